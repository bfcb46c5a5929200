"""Signers that hold no key here: a signing service over HTTP, and a cloud key service.

Both are given a hash or its preimage and give a signature back; what comes back counts only where
it recovers to the lane's own address, so a wrong or lying service can refuse us and no more. The
service never sees or chooses a nonce: only its raw sign route is used. It must not know lanes.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import aiohttp
from coincurve import PublicKey
from coincurve.utils import GROUP_ORDER_INT
from eth_hash.auto import keccak

from keeper.chain.signer import join, payload, signing_hash, unsigned
from keeper.chain.signing_policy import Signed, SigningPolicy, Transaction
from keeper.domain.errors import EndpointUnreachable, MalformedReply
from keeper.domain.units import Address


_REPLY_BYTES_MAX: Final = 4_096


class HttpSigner:
    """A service with web3signer's route `POST /api/v1/eth1/sign/{identifier}`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        identifier: str,
        address: Address,
        policy: SigningPolicy,
        deadline_s: float = 1.0,
    ) -> None:
        self._session = session
        self._route = f"{url.rstrip('/')}/api/v1/eth1/sign/{identifier}"
        self._address = address
        self._policy = policy
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)

    def __repr__(self) -> str:
        return f"HttpSigner({self._address})"

    @property
    def address(self) -> Address:
        """Return whose transactions it signs."""
        return self._address

    def refusal(self, transaction: Transaction) -> str | None:
        """Return why the policy forbids a transaction, None where it does not."""
        return self._policy.refusal(transaction)

    async def sign(self, transaction: Transaction) -> Signed:
        """Sign; raises SigningForbidden, EndpointError where the service gives no signature."""
        self._policy.admit(transaction)
        body = unsigned(transaction)
        # The service hashes what it is given.
        answer = await self._ask("0x" + payload(body).hex())
        try:
            raw = bytes.fromhex(answer.removeprefix("0x"))
        except ValueError:
            raise MalformedReply("signer", "its answer is not hex") from None
        if len(raw) != 65:
            raise MalformedReply("signer", f"a signature has 65 bytes, not {len(raw)}")
        return verified(body, raw[:32], raw[32:64], self._address)

    async def _ask(self, data: str) -> str:
        try:
            async with self._session.post(
                self._route, json={"data": data}, timeout=self._timeout, allow_redirects=False
            ) as response:
                text = (await response.content.read(_REPLY_BYTES_MAX)).decode("ascii", "replace")
                if response.status != 200:
                    raise EndpointUnreachable("signer", f"answered {response.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The message may quote the URL, and a URL may hold a secret.
            raise EndpointUnreachable("signer", type(error).__name__) from None
        return text.strip().strip('"')


class KeyService(Protocol):
    """The part of boto3's KMS client that is used; its calls block."""

    def sign(self, **request: Any) -> dict[str, Any]:
        """Return {"Signature": DER}."""


class KmsSigner:
    """An asymmetric ECC_SECG_P256K1 key of AWS KMS, through a client that the caller made."""

    def __init__(
        self, client: KeyService, key_id: str, address: Address, policy: SigningPolicy
    ) -> None:
        self._client = client
        self._key_id = key_id
        self._address = address
        self._policy = policy

    def __repr__(self) -> str:
        return f"KmsSigner({self._address})"

    @property
    def address(self) -> Address:
        """Return whose transactions it signs."""
        return self._address

    def refusal(self, transaction: Transaction) -> str | None:
        """Return why the policy forbids a transaction, None where it does not."""
        return self._policy.refusal(transaction)

    async def sign(self, transaction: Transaction) -> Signed:
        """Sign; raises SigningForbidden, EndpointError where the service gives no signature."""
        self._policy.admit(transaction)
        body = unsigned(transaction)
        ask: Callable[[], dict[str, Any]] = lambda: self._client.sign(  # noqa: E731
            KeyId=self._key_id,
            Message=signing_hash(body),
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        try:
            answer = await asyncio.to_thread(ask)
        except Exception as error:  # noqa: BLE001 - the client's own tree, which is not a dependency
            raise EndpointUnreachable("signer", type(error).__name__) from None
        r, s = parse_der(answer.get("Signature", b""))
        return verified(body, r, s, self._address)


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
        if "0x" + keccak(key.format(compressed=False)[1:])[-20:].hex() == address:
            return join(body, signature)
    raise MalformedReply("signer", "the signature is not the lane's over these bytes")


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
