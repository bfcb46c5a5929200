"""A lane's key inside AWS KMS: an asymmetric ECC_SECG_P256K1 key that signs digests.

The library is an extra (`kms`) and is loaded only where a lane asks for it; its calls block, so
each runs in a thread. Credentials are found by the library as everywhere in AWS (a role, a file,
the environment): none is ever in our configuration. It must not know lanes or transactions.
"""

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from keeper.chain.keys.remote_signer import address_of_point
from keeper.chain.keys.signer import signing_hash
from keeper.domain.errors import ConfigError, EndpointUnreachable, KeyFileError, MalformedReply
from keeper.domain.units import Address


KEY_SPEC: Final = "ECC_SECG_P256K1"
CONNECT_S_MAX: Final = 2
READ_S_MAX: Final = 2
_POINT_BYTES: Final = 64
# A SubjectPublicKeyInfo of that curve up to the point's x and y (RFC 5480, SEC 2): the algorithm,
# the curve's name 1.3.132.0.10, and 04 for "uncompressed".
_SECP256K1: Final = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a03420004")


class KeyService(Protocol):
    """The part of boto3's KMS client that is used; its calls block."""

    def sign(self, **request: Any) -> Mapping[str, Any]:
        """Return {"Signature": DER}."""

    def get_public_key(self, **request: Any) -> Mapping[str, Any]:
        """Return {"PublicKey": DER}."""


class KmsKey:
    """One key of the service, by id, alias or ARN."""

    def __init__(self, client: KeyService, key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    async def signature(self, body: bytes) -> tuple[bytes, bytes]:
        """Return r and s over the hash of the unsigned transaction; raises EndpointError."""
        answer = await _call(
            lambda: self._client.sign(
                KeyId=self._key_id,
                Message=signing_hash(body),
                MessageType="DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        )
        return parse_der(answer.get("Signature", b""))

    async def address(self) -> Address:
        """Return whose key it is; raises EndpointError, KeyFileError for a key of another curve."""
        answer = await _call(lambda: self._client.get_public_key(KeyId=self._key_id))
        public = bytes(answer.get("PublicKey", b""))
        head, point = public[: len(_SECP256K1)], public[len(_SECP256K1) :]
        if head != _SECP256K1 or len(point) != _POINT_BYTES:
            cure = f"make a key with KeySpec {KEY_SPEC} and KeyUsage SIGN_VERIFY"
            raise KeyFileError(f"{self._key_id} in KMS", "is no secp256k1 key", cure)
        return address_of_point(point)


def open_client(region: str | None, key: str, key_id: str) -> KeyService:
    """Return boto3's client; raises ConfigError where the extra is not installed or no region is.

    `key` is the configuration key that asked for it, `key_id` its value.
    """
    try:
        boto3 = importlib.import_module("boto3")
        settings = importlib.import_module("botocore.config")
        errors = importlib.import_module("botocore.exceptions")
    except ImportError:
        cure = 'install the extra: pip install "margin-keeper[kms]"'
        raise ConfigError(key, key_id, cure) from None
    limits = settings.Config(
        connect_timeout=CONNECT_S_MAX, read_timeout=READ_S_MAX, retries={"total_max_attempts": 2}
    )
    try:
        client: KeyService = boto3.client("kms", region_name=region, config=limits)
    except errors.NoRegionError:
        raise ConfigError(key, key_id, "add kms_region to the lane") from None
    return client


def parse_der(signature: bytes) -> tuple[bytes, bytes]:
    """Return r and s, 32 bytes each, of a DER signature; raises MalformedReply."""
    numbers: list[bytes] = []
    if len(signature) < 8 or signature[0] != 0x30 or signature[1] != len(signature) - 2:
        raise MalformedReply("signer", "the signature is not DER")
    rest = signature[2:]
    while rest:
        if len(rest) < 2 or rest[0] != 0x02 or len(rest) < 2 + rest[1]:
            raise MalformedReply("signer", "the signature is not DER")
        number = rest[2 : 2 + rest[1]].lstrip(b"\0")
        if len(number) > 32:
            raise MalformedReply("signer", "a number of the signature is too long")
        numbers.append(number.rjust(32, b"\0"))
        rest = rest[2 + rest[1] :]
    if len(numbers) != 2:
        raise MalformedReply("signer", "a signature is two numbers")
    return numbers[0], numbers[1]


async def _call(ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return await asyncio.to_thread(ask)
    except Exception as error:  # noqa: BLE001 - the client's own tree, which is not a dependency
        # The message may quote the request; the class says what went wrong.
        raise EndpointUnreachable("signer", type(error).__name__) from None
