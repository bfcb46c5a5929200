"""Feed data signed as the venue's feeds take them from anybody: EIP-712 over `FeedData`.

It knows the feeds' domain and the layout of the envelope; what is signed it must not know. Keys
here are those of a development venue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coincurve import PrivateKey
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from deploy.devnet.chain.contract import Contract


FEED_DATA = "(bytes,uint256,uint64,address[],bytes[])"
DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
STRUCT = "FeedData(bytes data,uint256 deadline,uint64 timestamp)"


@dataclass(frozen=True)
class FeedSigner:
    """One key that feeds may be told to trust, on one chain."""

    chain_id: int
    secret: int

    @property
    def address(self) -> str:
        """The address a feed whitelists."""
        public = self._key.public_key.format(compressed=False)[1:]
        return str(to_checksum_address(keccak(public)[12:]))

    def signed(self, feed: Contract, content: bytes, timestamp: int, deadline: int) -> bytes:
        """Return what the feed's `acceptData` takes from anybody until `deadline`."""
        domain = hashed(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            keccak(text=DOMAIN),
            keccak(text=feed.artifact.name),
            keccak(text="1"),
            self.chain_id,
            feed.address,
        )
        struct = hashed(
            ["bytes32", "bytes32", "uint256", "uint64"],
            keccak(text=STRUCT),
            keccak(content),
            deadline,
            timestamp,
        )
        raw = self._key.sign_recoverable(keccak(b"\x19\x01" + domain + struct), hasher=None)
        signature = raw[:64] + bytes([27 + raw[64]])
        return feed_data(content, deadline, timestamp, [self.address], [signature])

    @property
    def _key(self) -> PrivateKey:
        return PrivateKey(self.secret.to_bytes(32, "big"))


def feed_data(
    content: bytes, deadline: int, timestamp: int, signers: list[str], signatures: list[bytes]
) -> bytes:
    """Return abi.encode(FeedData)."""
    return bytes(encode([FEED_DATA], [(content, deadline, timestamp, signers, signatures)]))


def hashed(types: list[str], *values: Any) -> bytes:
    """Return keccak256(abi.encode(values))."""
    return bytes(keccak(encode(types, values)))
