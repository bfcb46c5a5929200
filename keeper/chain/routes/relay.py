"""Private relays that speak the Flashbots wire format: one block's bundle, or one transaction.

A request is signed over the exact bytes of its body with a reputation key that holds no money, and
a reply counts as a yes only where it names what was sent, byte for byte: nothing a relay says can
do more than that. Sources: docs.flashbots.net, "Authentication", `eth_sendBundle` and
`eth_sendPrivateTransaction`. Errors carry the route's name and no body: a body holds signed bytes.
"""

import asyncio
from typing import Any, Final, NoReturn, Protocol, Self

import aiohttp
import orjson
from coincurve import PrivateKey
from eth_hash.auto import keccak

from keeper.chain.keys.signer import address_of
from keeper.chain.link import frames
from keeper.chain.link.transport import rpc_error
from keeper.chain.routes.routing import NO_HEAD, TOO_LARGE, Answer, answer_of, classify, hash_of
from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointError,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
    RpcError,
)
from keeper.domain.units import Address


REPLY_BYTES_MAX: Final = 64 * 1024
BUNDLE_BYTES_MAX: Final = 300_000
PRIVATE_BLOCKS_MAX: Final = 25
NO_CODE: Final = 0  # V1 methods answer an error as bare text


class RelayIdentity:
    """The key by which relays know us; refunds and reputation go to it, never money of a lane."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(secret)
        self.address = checksummed(address_of(self._key))

    def __repr__(self) -> str:
        return f"RelayIdentity({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a relay identity cannot be pickled or copied")

    def header(self, body: bytes) -> str:
        """Return `X-Flashbots-Signature` of a body: EIP-191 over its hash as 0x-hex text."""
        text = ("0x" + keccak(body).hex()).encode()
        digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text)
        signature = self._key.sign_recoverable(digest, hasher=None)
        return f"{self.address}:0x{signature[:64].hex()}{signature[64] + 27:02x}"


def checksummed(address: Address) -> str:
    """Return an address in mixed case: EIP-55, as relays compare it."""
    digits = address[2:].lower()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit
        for digit, mark in zip(digits, marks, strict=False)
    )


class Asked(Protocol):
    """One signed call to a relay."""

    @property
    def name(self) -> str:
        """Return the configured name."""

    async def call(self, method: str, params: dict[str, Any], deadline_s: float) -> Any:
        """Return the result; raises EndpointError."""


class RelayClient:
    """Signed JSON-RPC to one relay over HTTP; `async with` opens and closes its connections."""

    def __init__(self, name: str, url: str, identity: RelayIdentity) -> None:
        self._name = name
        self._url = url
        self._identity = identity
        self._next_id = 1

    @property
    def name(self) -> str:
        """Return the configured name."""
        return self._name

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, params: dict[str, Any], deadline_s: float) -> Any:
        """Return the result; raises RpcError for any error it words, else as `Rpc.call`."""
        identifier = self._next_id
        self._next_id += 1
        body = frames.encode(identifier, method, [params])
        try:
            async with asyncio.timeout(deadline_s):
                raw = await self._post(body)
        except TimeoutError:
            raise DeadlineExceeded(self._name, f"{method}: no answer in {deadline_s} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EndpointUnreachable(self._name, f"broke ({type(error).__name__})") from None
        return result_of(self._name, identifier, raw)

    async def _post(self, body: bytes) -> bytes:
        headers = {
            "Content-Type": "application/json",
            "X-Flashbots-Signature": self._identity.header(body),
        }
        async with self._session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            if response.status == 429:
                raise RateLimited(self._name, 1.0)
            raw = b""
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > REPLY_BYTES_MAX:
                    raise MalformedReply(self._name, f"a reply of over {REPLY_BYTES_MAX} bytes")
            return raw


def result_of(name: str, identifier: int, raw: bytes) -> Any:
    """Return the result in a relay's reply; raises RpcError for an error, MalformedReply else.

    An error may be an object or bare text and may lack an id: the old methods do not keep to
    JSON-RPC. A result is taken only with our own id beside it.
    """
    try:
        reply = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise MalformedReply(name, "a reply that is not JSON") from None
    if not isinstance(reply, dict):
        raise MalformedReply(name, "a reply that is not an object")
    error = reply.get("error")
    if error is not None:
        raise _error(name, error)
    if type(reply.get("id")) is not int or reply["id"] != identifier or "result" not in reply:
        raise MalformedReply(name, "a reply to something else")
    return reply["result"]


def _error(name: str, error: object) -> EndpointError:
    code, words = NO_CODE, error
    if isinstance(error, dict):
        told = error.get("code")
        code = told if type(told) is int and abs(told) < 2**31 else NO_CODE
        words = error.get("message")
    text = words if isinstance(words, str) else "an error without words"
    return rpc_error(name, frames.Fault(code, text, None))


class ByRelay:
    """What every route through a relay is: named like it, and told of heads."""

    def __init__(self, relay: Asked, deadline_s: float) -> None:
        self._relay = relay
        self._deadline_s = deadline_s
        self._head = 0

    @property
    def name(self) -> str:
        """Return the relay's name."""
        return self._relay.name

    def see(self, number: int) -> None:
        """Learn the newest head's number."""
        self._head = number


class PrivateTransactionRoute(ByRelay):
    """`eth_sendPrivateTransaction`: the relay tries block after block, to the last of ours."""

    def __init__(
        self, relay: Asked, blocks: int = PRIVATE_BLOCKS_MAX, deadline_s: float = 2.0
    ) -> None:
        super().__init__(relay, deadline_s)
        self._blocks = min(blocks, PRIVATE_BLOCKS_MAX)

    async def send(self, raw: bytes) -> Answer:
        """Give the bytes to the relay."""
        asked: dict[str, Any] = {"tx": "0x" + raw.hex()}
        if self._head:
            asked["maxBlockNumber"] = hex(self._head + self._blocks)
        try:
            told = await self._relay.call("eth_sendPrivateTransaction", asked, self._deadline_s)
        except EndpointError as error:
            return relay_answer(error)
        return answer_of(told, hash_of(raw))


class BundleRoute(ByRelay):
    """`eth_sendBundle` of one transaction for the next block.

    A bundle is for one block: whoever rebroadcasts live bytes each block sends it for the next.
    """

    def __init__(self, relay: Asked, deadline_s: float = 2.0) -> None:
        super().__init__(relay, deadline_s)

    async def send(self, raw: bytes) -> Answer:
        """Give the bytes as a bundle for the block after the newest head."""
        if not self._head:
            return Answer(NO_HEAD)
        if len(raw) > BUNDLE_BYTES_MAX:
            return Answer(TOO_LARGE)
        bundle = {"txs": ["0x" + raw.hex()], "blockNumber": hex(self._head + 1)}
        try:
            told = await self._relay.call("eth_sendBundle", bundle, self._deadline_s)
        except EndpointError as error:
            return relay_answer(error)
        named = told.get("bundleHash") if isinstance(told, dict) else None
        return answer_of(named, bundle_hash(raw))


def bundle_hash(raw: bytes) -> str:
    """Return the name of a bundle of one transaction: the hash of its transactions' hashes."""
    return "0x" + keccak(keccak(raw)).hex()


def relay_answer(error: EndpointError) -> Answer:
    """Return what a relay's error means; "unknown" words of a relay are a refusal of its own.

    Neither frees a nonce: a relay that says no may have passed the bytes on all the same.
    """
    answer = classify(error)
    if answer.outcome == "unknown" and isinstance(error, RpcError):
        return Answer("refused", answer.code)
    return answer
