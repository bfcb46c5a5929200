"""Signers that hold no key here: the lane's policy, a signature from elsewhere, and a proof of it.

Whoever signs is given bytes and gives a signature back; what comes back counts only where it
recovers to the lane's own address, so a wrong or lying service can refuse us and no more. It never
sees or chooses a nonce by itself: only raw signing is asked for. It must not know lanes.
"""

from typing import Final, Protocol

import aiohttp
from coincurve import PublicKey
from coincurve.utils import GROUP_ORDER_INT
from eth_hash.auto import keccak

from keeper.chain.keys.signer import join, payload, signing_hash, unsigned
from keeper.chain.keys.signing_policy import Signed, SigningPolicy, Transaction
from keeper.domain.errors import EndpointUnreachable, KeyFileError, MalformedReply
from keeper.domain.units import Address


SIGN_ROUTE: Final = "/api/v1/eth1/sign/"
KEYS_ROUTE: Final = "/api/v1/eth1/publicKeys"
_REPLY_BYTES_MAX: Final = 262_144
_POINT_BYTES: Final = 64


class KeyElsewhere(Protocol):
    """A key that somebody else keeps."""

    async def signature(self, body: bytes) -> tuple[bytes, bytes]:
        """Return r and s over an unsigned transaction's items; raises EndpointError."""


class RemoteSigner:
    """A lane's signer whose key is elsewhere, under the same policy as a key of our own."""

    def __init__(self, key: KeyElsewhere, address: Address, policy: SigningPolicy) -> None:
        self._key = key
        self._address = address
        self._policy = policy

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address})"

    @property
    def address(self) -> Address:
        """Return whose transactions it signs."""
        return self._address

    def refusal(self, transaction: Transaction) -> str | None:
        """Return why the policy forbids a transaction, None where it does not."""
        return self._policy.refusal(transaction)

    async def sign(self, transaction: Transaction) -> Signed:
        """Sign; raises SigningForbidden, EndpointError where no good signature comes back."""
        self._policy.admit(transaction)
        body = unsigned(transaction)
        r, s = await self._key.signature(body)
        return verified(body, r, s, self._address)


class HttpKey:
    """A key of a service that speaks web3signer's `eth1` routes (raw signing, public keys).

    `identifier` is how the service calls the key: its public point as hex.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, identifier: str, deadline_s: float = 1.0
    ) -> None:
        self._session = session
        self._route = f"{url.rstrip('/')}{SIGN_ROUTE}{identifier}"
        self._limits = aiohttp.ClientTimeout(total=deadline_s)

    def __repr__(self) -> str:
        return "HttpKey(***)"  # a URL may hold a secret

    async def signature(self, body: bytes) -> tuple[bytes, bytes]:
        """Return r and s; the service hashes what it is given. Raises EndpointError."""
        answer = await _ask(
            self._session, "POST", self._route, self._limits, {"data": "0x" + payload(body).hex()}
        )
        try:
            raw = bytes.fromhex(answer.strip().strip('"').removeprefix("0x"))
        except ValueError:
            raise MalformedReply("signer", "its answer is not hex") from None
        if len(raw) != 65:
            raise MalformedReply("signer", f"a signature has 65 bytes, not {len(raw)}")
        return raw[:32], raw[32:64]


async def find_key(
    session: aiohttp.ClientSession, url: str, address: Address, deadline_s: float = 5.0
) -> str:
    """Return how the service calls the key of an address.

    Raises EndpointError where it does not answer, KeyFileError where it has no such key.
    """
    limits = aiohttp.ClientTimeout(total=deadline_s)
    answer = await _ask(session, "GET", f"{url.rstrip('/')}{KEYS_ROUTE}", limits, None)
    for word in answer.strip().strip("[]").split(","):
        name = word.strip().strip('"')
        try:
            point = bytes.fromhex(name.removeprefix("0x"))
        except ValueError:
            raise MalformedReply("signer", "its list of keys is not of hex") from None
        if len(point) == _POINT_BYTES and address_of_point(point) == address:
            return name
    cure = "load that key into the signer, or correct the lane's address"
    raise KeyFileError(f"of {address} at the remote signer", "is not among its keys", cure)


async def _ask(
    session: aiohttp.ClientSession,
    method: str,
    route: str,
    limits: aiohttp.ClientTimeout,
    document: dict[str, str] | None,
) -> str:
    try:
        async with session.request(
            method, route, json=document, timeout=limits, allow_redirects=False
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _REPLY_BYTES_MAX:
                    raise MalformedReply("signer", f"its answer is over {_REPLY_BYTES_MAX} bytes")
            if response.status != 200:
                raise EndpointUnreachable("signer", f"answered {response.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # The message may quote the URL, and a URL may hold a secret.
        raise EndpointUnreachable("signer", type(error).__name__) from None
    return body.decode("ascii", "replace")


def address_of_point(point: bytes) -> Address:
    """Return the account of a public point (x and y, 64 bytes): the tail of its hash."""
    return "0x" + keccak(point)[-20:].hex()


def verified(body: bytes, r: bytes, s: bytes, address: Address) -> Signed:
    """Return the signed bytes, with a low s and the parity found by trying; the address decides.

    Raises MalformedReply where the signature is not the lane's over exactly these bytes.
    """
    low = int.from_bytes(s, "big")
    if not 0 < low < GROUP_ORDER_INT:
        raise MalformedReply("signer", "a number of the signature is out of range")
    # EIP-2 allows only the lower of the two s that sign the same.
    low = min(low, GROUP_ORDER_INT - low)
    digest = signing_hash(body)
    for parity in (0, 1):
        signature = r + low.to_bytes(32, "big") + bytes((parity,))
        try:
            key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
        except ValueError:  # there is no such point for this parity
            continue
        if address_of_point(key.format(compressed=False)[1:]) == address:
            return join(body, signature)
    raise MalformedReply("signer", "the signature is not the lane's over these bytes")
