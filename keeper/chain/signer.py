"""The one place that holds a key: EIP-1559 transactions in, signed bytes out, under a policy.

It must not know lanes, nonces or nodes. Hashing and RLP are our own ten lines around libsecp256k1,
eight times faster than eth-account and byte-equal to it: `check_signing` proves that at start.
A key is read from a file that only its owner may read, and shows in no repr, error or pickle.
"""

import asyncio
import json
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Protocol

from coincurve import PrivateKey
from eth_account import Account
from eth_hash.auto import keccak

from keeper.domain.errors import InvariantViolation, KeyFileError
from keeper.domain.units import Address, Hash


@dataclass(frozen=True, slots=True)
class Transaction:
    """An EIP-1559 transaction without access list; `data` is bytes, fees are wei per gas."""

    chain_id: int
    nonce: int
    tip_wei: int
    cap_wei: int
    gas: int
    to: Address
    value_wei: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """The bytes to send and the hash the chain will know them by."""

    raw: bytes
    hash: Hash


class Signer(Protocol):
    """Signs for one address; a remote signer fits the same socket."""

    @property
    def address(self) -> Address:
        """Return whose transactions it signs."""

    def refusal(self, transaction: Transaction) -> str | None:
        """Return why the policy forbids a transaction: "wrong_chain", "target_not_allowed"."""

    async def sign(self, transaction: Transaction) -> Signed:
        """Sign; raises InvariantViolation for what the policy forbids."""


class LocalSigner:
    """A key in memory, bound to one chain id and to the contracts it may call."""

    __slots__ = ("_address", "_chain_id", "_key", "_targets")

    def __init__(self, secret: bytes, chain_id: int, targets: Collection[Address]) -> None:
        self._key = PrivateKey(secret)
        self._address = address_of(self._key)
        self._chain_id = chain_id
        self._targets = frozenset(targets)

    def __repr__(self) -> str:
        return f"LocalSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer cannot be pickled or copied")

    @property
    def address(self) -> Address:
        """Return whose transactions it signs."""
        return self._address

    def refusal(self, transaction: Transaction) -> str | None:
        """Return why the policy forbids a transaction, None where it may be signed.

        A transfer of nothing to itself is always allowed: that is how a nonce is cancelled.
        """
        if transaction.chain_id != self._chain_id:
            return "wrong_chain"
        if transaction.to == self._address and not transaction.data and not transaction.value_wei:
            return None
        return None if transaction.to in self._targets else "target_not_allowed"

    async def sign(self, transaction: Transaction) -> Signed:
        """Sign; raises InvariantViolation for what the policy forbids."""
        refusal = self.refusal(transaction)
        if refusal is not None:
            raise InvariantViolation(f"asked to sign what the policy forbids: {refusal}")
        return sign_with(self._key, transaction)


def sign_with(key: PrivateKey, transaction: Transaction) -> Signed:
    """Return the signed EIP-1559 bytes (deterministic by RFC 6979) and their hash."""
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
    body = b"".join(items)
    signature = key.sign_recoverable(keccak(b"\x02" + _list(body)), hasher=None)
    tail = (
        _quantity(signature[64])
        + _quantity(int.from_bytes(signature[:32], "big"))
        + _quantity(int.from_bytes(signature[32:64], "big"))
    )
    raw = b"\x02" + _list(body + tail)
    return Signed(raw, "0x" + keccak(raw).hex())


def address_of(key: PrivateKey) -> Address:
    """Return the key's account: the last 20 bytes of the hash of its public point."""
    return "0x" + keccak(key.public_key.format(compressed=False)[1:])[-20:].hex()


# What eth-account signs for this key and transaction; a test signs it with eth-account again.
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
    actual = sign_with(PrivateKey(CHECK_SECRET), CHECK_TRANSACTION).hash
    if actual != CHECK_HASH:
        raise InvariantViolation(f"signing is not what it was: {actual} for {CHECK_HASH}")


async def load_signer(
    path: Path, password: Path | None, chain_id: int, targets: Collection[Address]
) -> LocalSigner:
    """Read a key file: a keystore (version 3, with a password file) or 32 bytes as hex.

    Raises KeyFileError where it is not a plain file of ours that only we can read, does not parse,
    or does not open with the password. The slow key derivation runs in a thread.
    """
    content = read_secret_file(path)
    if content.lstrip().startswith("{"):
        if password is None:
            raise KeyFileError(str(path), "is a keystore", "name its password file")
        phrase = read_secret_file(password).rstrip("\r\n")
        secret = await asyncio.to_thread(_decrypt, str(path), content, phrase)
    else:
        secret = _parse_hex(str(path), content.strip())
    try:
        return LocalSigner(secret, chain_id, targets)
    except ValueError:
        raise KeyFileError(str(path), "holds no valid key", "write a new key file") from None


def read_secret_file(path: Path) -> str:
    """Return a secret file's text; raises KeyFileError unless it is ours alone and no link."""
    name = str(path)
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise KeyFileError(name, "is a symbolic link", "name the file itself") from None
        problem = (error.strerror or "cannot be opened").lower()
        raise KeyFileError(name, problem, "name a file this process can read") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(name, "is not a plain file", "name a plain file")
        if status.st_uid != os.geteuid():
            raise KeyFileError(
                name, f"belongs to user {status.st_uid}", f"chown {os.geteuid()} {name}"
            )
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyFileError(name, f"others may read it (mode {mode:04o})", f"chmod 600 {name}")
        return os.read(file, _FILE_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise KeyFileError(name, "is not text", "write a keystore or 64 hex digits") from None
    finally:
        os.close(file)


_FILE_BYTES_MAX: Final = 65_536


def _decrypt(name: str, content: str, phrase: str) -> bytes:
    try:
        return bytes(Account.decrypt(json.loads(content), phrase))
    except (ValueError, KeyError, TypeError, NotImplementedError):
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
