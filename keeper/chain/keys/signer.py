"""The one place that holds a key: EIP-1559 transactions in, signed bytes out, under a policy.

It must not know lanes, nonces or nodes. Hashing and RLP are our own ten lines around libsecp256k1,
eight times faster than eth-account and byte-equal to it: `check_signing` proves that at start.
A key is read from a file that only its owner may read, and shows in no repr, error or pickle.
"""

import asyncio
import json
from collections.abc import Collection
from pathlib import Path
from typing import Final, NoReturn, Protocol

from coincurve import PrivateKey
from eth_account import Account
from eth_hash.auto import keccak

from keeper.chain.keys.secret_files import read_secret
from keeper.chain.keys.signing_policy import (
    Signed,
    SigningForbidden,
    SigningLimits,
    SigningPolicy,
    Transaction,
)
from keeper.domain.errors import InvariantViolation, KeyFileError
from keeper.domain.units import Address
from keeper.ports import Clock


__all__ = [
    "LocalSigner",
    "Signed",
    "Signer",
    "SigningForbidden",
    "Transaction",
    "address_of",
    "check_signing",
    "load_signer",
    "sign_with",
    "unsigned",
]


class Signer(Protocol):
    """Signs for one address; a remote signer fits the same socket."""

    @property
    def address(self) -> Address:
        """Return whose transactions it signs."""

    def refusal(self, transaction: Transaction, /) -> str | None:
        """Return why the policy forbids a transaction, None where it does not."""

    async def sign(self, transaction: Transaction, /) -> Signed:
        """Sign; raises SigningForbidden, EndpointError where a remote signer does not answer."""


class LocalSigner:
    """A key in memory, bound to one chain id and to the contracts it may call."""

    __slots__ = ("_address", "_key", "_policy")

    def __init__(
        self,
        secret: bytes,
        chain_id: int,
        targets: Collection[Address],
        limits: SigningLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._key = PrivateKey(secret)
        self._address = address_of(self._key)
        self._policy = SigningPolicy(self._address, chain_id, targets, limits, clock)

    def __repr__(self) -> str:
        return f"LocalSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer cannot be pickled or copied")

    @property
    def address(self) -> Address:
        """Return whose transactions it signs."""
        return self._address

    def refusal(self, transaction: Transaction) -> str | None:
        """Return why the policy forbids a transaction, None where it may be signed."""
        return self._policy.refusal(transaction)

    async def sign(self, transaction: Transaction) -> Signed:
        """Sign; raises SigningForbidden for what the policy forbids."""
        self._policy.admit(transaction)
        return sign_with(self._key, transaction)


class NoSigner:
    """An address whose key is not configured any more: its bytes are followed, none are added."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def address(self) -> Address:
        """Return whose bytes they are."""
        return self._address

    def refusal(self, _: Transaction) -> str | None:
        """Refuse everything."""
        return "no_key"

    async def sign(self, _: Transaction) -> Signed:
        """Raise SigningForbidden."""
        raise SigningForbidden("no_key")


def sign_with(key: PrivateKey, transaction: Transaction) -> Signed:
    """Return the signed EIP-1559 bytes (deterministic by RFC 6979) and their hash."""
    body = unsigned(transaction)
    signature = key.sign_recoverable(signing_hash(body), hasher=None)
    return join(body, signature)


def unsigned(transaction: Transaction) -> bytes:
    """Return the RLP items of the unsigned transaction, without the list's head."""
    items = (
        _quantity(transaction.chain_id),
        _quantity(transaction.nonce),
        _quantity(transaction.tip_wei),
        _quantity(transaction.cap_wei),
        _quantity(transaction.gas),
        _rlp(bytes.fromhex(transaction.to[2:])),
        _quantity(transaction.value_wei),
        _rlp(transaction.data),
        b"\xc0",  # an empty access list
    )
    return b"".join(items)


def payload(body: bytes) -> bytes:
    """Return what is hashed to be signed (EIP-2718 type 2)."""
    return b"\x02" + _list(body)


def signing_hash(body: bytes) -> bytes:
    """Return the hash that a signature is of."""
    return keccak(payload(body))


def join(body: bytes, signature: bytes) -> Signed:
    """Return the signed bytes; `signature` is r, s (32 bytes each) and the parity as one byte."""
    tail = (
        _quantity(signature[64])
        + _quantity(int.from_bytes(signature[:32], "big"))
        + _quantity(int.from_bytes(signature[32:64], "big"))
    )
    raw = payload(body + tail)
    return Signed(raw, "0x" + keccak(raw).hex())


def address_of(key: PrivateKey) -> Address:
    """Return the key's account: the last 20 bytes of the hash of its public point."""
    return "0x" + keccak(key.public_key.format(compressed=False)[1:])[-20:].hex()


# A known answer besides: it holds should both libraries come to be wrong in the same way.
CHECK_SECRET: Final = bytes(range(1, 33))
CHECK_TRANSACTION: Final = Transaction(
    chain_id=957,
    nonce=128,
    tip_wei=1,
    cap_wei=2**70,
    gas=1_234_567,
    to="0x00000000000000000000000000000000000000ff",
    value_wei=0,
    data=bytes(range(256)) * 2,
)
CHECK_HASH: Final = "0xa7dabfa7dafc596f05d23c999e20b7de96d1d1ef30c82a6f46bf77675e2bf936"


def check_signing() -> None:
    """Sign a known transaction; raises InvariantViolation if a byte differs from eth-account."""
    ours = sign_with(PrivateKey(CHECK_SECRET), CHECK_TRANSACTION)
    if ours.hash != CHECK_HASH:
        raise InvariantViolation(f"signing is not what it was: {ours.hash} for {CHECK_HASH}")
    fields = {
        "type": 2,
        "chainId": CHECK_TRANSACTION.chain_id,
        "nonce": CHECK_TRANSACTION.nonce,
        "maxPriorityFeePerGas": CHECK_TRANSACTION.tip_wei,
        "maxFeePerGas": CHECK_TRANSACTION.cap_wei,
        "gas": CHECK_TRANSACTION.gas,
        "to": bytes.fromhex(CHECK_TRANSACTION.to[2:]),
        "value": CHECK_TRANSACTION.value_wei,
        "data": CHECK_TRANSACTION.data,
    }
    theirs = bytes(Account.sign_transaction(fields, CHECK_SECRET).raw_transaction)
    if ours.raw != theirs:
        raise InvariantViolation("signing differs from eth-account's: the bytes are not the same")


async def load_signer(
    path: Path | str,
    password: Path | str | None,
    chain_id: int,
    targets: Collection[Address],
    limits: SigningLimits | None = None,
    clock: Clock | None = None,
) -> LocalSigner:
    """Read a key: a keystore (version 3, with a password file) or 32 bytes as hex.

    Both are references of `secret_files`. Raises KeyFileError where one may not be read, does not
    parse, or does not open with the password. The slow key derivation runs in a thread.
    """
    name = str(path)
    content = read_secret(name)
    if content.lstrip().startswith("{"):
        if password is None:
            raise KeyFileError(name, "is a keystore", "name its password file")
        phrase = read_secret(str(password)).rstrip("\r\n")
        secret = await asyncio.to_thread(_decrypt, name, content, phrase)
    else:
        secret = _parse_hex(name, content.strip())
    try:
        return LocalSigner(secret, chain_id, targets, limits, clock)
    except ValueError:
        raise KeyFileError(name, "holds no valid key", "write a new key file") from None


def _decrypt(name: str, content: str, phrase: str) -> bytes:
    try:
        return bytes(Account.decrypt(json.loads(content), phrase))
    except (ValueError, KeyError, TypeError, NotImplementedError):
        # NotImplementedError is eth-account's word for a keystore of a version it does not know.
        # The cause is left out: it may quote what it could not read.
        raise KeyFileError(
            name, "does not open with this password", "check keystore and password file"
        ) from None


def _parse_hex(name: str, text: str) -> bytes:
    try:
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise KeyFileError(name, "is neither a keystore nor 64 hex digits", "write one of the two")
    return secret


def _quantity(value: int) -> bytes:
    return _rlp(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _rlp(item: bytes) -> bytes:
    if len(item) == 1 and item[0] < 0x80:
        return item
    return _head(0x80, len(item)) + item


def _list(body: bytes) -> bytes:
    return _head(0xC0, len(body)) + body


def _head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes((offset + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(size),)) + size
