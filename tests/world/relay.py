"""A private relay that speaks the Flashbots wire format and believes nothing.

`eth_sendBundle` and `eth_sendPrivateTransaction` are taken only with an `X-Flashbots-Signature`
over the exact bytes of the body (docs.flashbots.net, "Authentication"): the EIP-191 signature of
the body's keccak-256 as 0x-hex text. A test can make it reject, delay, lie or answer nonsense; it
includes nothing by itself: `due` tells a test which raw transactions a block would get.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak


BUNDLE_TRANSACTIONS_MAX = 100
BUNDLE_BYTES_MAX = 300_000
PRIVATE_BLOCKS = 25


@dataclass(frozen=True)
class Taken:
    """What the relay has accepted: raw transactions and the closed range of blocks they want."""

    kind: str  # "bundle" or "private"
    signer: str
    raws: tuple[str, ...]
    first: int
    last: int
    may_revert: tuple[str, ...] = ()


@dataclass
class Manners:
    """How the relay behaves; all off is an honest relay."""

    reject: str | None = None  # answer every request with this error
    conformant: bool = True  # False: errors as bare text, as the V1 methods give them
    delay_s: float = 0.0
    lie: bool = False  # say yes and forget the transactions
    wrong_hash: bool = False  # say yes with the hash of something else
    garbage: bytes | None = None  # answer with these bytes
    status: int = 200


@dataclass
class Relay:
    """State of one relay; `head` is the block number it thinks is the newest."""

    manners: Manners = field(default_factory=Manners)
    head: int = 0
    url: str = ""
    taken: list[Taken] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def due(self, number: int) -> list[str]:
        """Return the raw transactions that want block `number`, in the order they came."""
        return [
            raw for each in self.taken if each.first <= number <= each.last for raw in each.raws
        ]

    async def page(self, request: web.Request) -> web.Response:
        """Answer one request."""
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        await asyncio.sleep(self.manners.delay_s)
        if self.manners.garbage is not None:
            return web.Response(body=self.manners.garbage, status=self.manners.status)
        try:
            signer = signer_of(request.headers.get("X-Flashbots-Signature"), body)
            asked = json.loads(body)
            result = self._serve(signer, asked["method"], asked["params"])
        except _Refused as refused:
            self.refused.append(str(refused))
            return self._error(str(refused))
        reply = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
        return web.json_response(reply, status=self.manners.status)

    def _error(self, words: str) -> web.Response:
        if not self.manners.conformant:
            return web.json_response({"error": words}, status=400)
        return web.json_response({"id": 1, "error": {"code": -32600, "message": words}})

    def _serve(self, signer: str, method: str, params: list[Any]) -> Any:
        if self.manners.reject is not None:
            raise _Refused(self.manners.reject)
        if method == "eth_sendBundle":
            return self._bundle(signer, params[0])
        if method == "eth_sendPrivateTransaction":
            return self._private(signer, params[0])
        if method == "eth_cancelPrivateTransaction":
            return self._cancel(signer, params[0]["txHash"])
        raise _Refused(f"method {method} not supported")

    def _bundle(self, signer: str, bundle: dict[str, Any]) -> dict[str, str]:
        raws = bundle.get("txs")
        if not isinstance(raws, list) or not raws:
            raise _Refused("bundle missing txs")
        if len(raws) > BUNDLE_TRANSACTIONS_MAX:
            raise _Refused("too many transactions in the bundle")
        if sum(len(raw) // 2 - 1 for raw in raws) > BUNDLE_BYTES_MAX:
            raise _Refused("bundle too large")
        number = _quantity(bundle.get("blockNumber"), "blockNumber")
        if number <= self.head:
            raise _Refused("block number is in the past")
        hashes = [_hash_of(raw) for raw in raws]
        digest = keccak(b"".join(bytes.fromhex(each[2:]) for each in hashes))
        reverting = tuple(bundle.get("revertingTxHashes", ()))
        self._take(Taken("bundle", signer, tuple(raws), number, number, reverting))
        return {"bundleHash": self._told("0x" + digest.hex())}

    def _private(self, signer: str, asked: dict[str, Any]) -> str:
        raw = asked.get("tx")
        if not isinstance(raw, str):
            raise _Refused("missing tx")
        last = self.head + PRIVATE_BLOCKS
        if "maxBlockNumber" in asked:
            last = min(last, _quantity(asked["maxBlockNumber"], "maxBlockNumber"))
        self._take(Taken("private", signer, (raw,), self.head + 1, last))
        return self._told(_hash_of(raw))

    def _cancel(self, signer: str, transaction: str) -> bool:
        """Only the key that sent may cancel; what is with builders already stays there."""
        for each in self.taken:
            if each.kind == "private" and _hash_of(each.raws[0]) == transaction:
                if each.signer != signer:
                    raise _Refused("not the sender's key")
                self.taken.remove(each)
                self.cancelled.append(transaction)
                return True
        return False

    def _take(self, taken: Taken) -> None:
        if not self.manners.lie:
            self.taken.append(taken)

    def _told(self, truth: str) -> str:
        return "0x" + "66" * 32 if self.manners.wrong_hash else truth


class _Refused(Exception):
    """Why the relay does not take a request."""


def signature_header(key: str, body: bytes) -> str:
    """Return the header an honest client sends; the checker's own code, for tests of the relay."""
    signed = Account.sign_message(encode_defunct(text="0x" + keccak(body).hex()), key)
    return f"{Account.from_key(key).address}:0x{signed.signature.hex().removeprefix('0x')}"


def signer_of(header: str | None, body: bytes) -> str:
    """Return who signed exactly these bytes; refuses any other header."""
    if header is None:
        raise _Refused("no X-Flashbots-Signature header")
    address, _, signature = header.partition(":")
    message = encode_defunct(text="0x" + keccak(body).hex())
    try:
        recovered = Account.recover_message(message, signature=signature)
    except Exception as error:  # whatever eth-account thinks of the text, it is no signature
        raise _Refused("the signature cannot be read") from error
    if recovered != address:
        raise _Refused("the signature is not over these bytes")
    return str(recovered)


def _quantity(value: Any, what: str) -> int:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise _Refused(f"{what} is not a hex quantity")
    return int(value, 16)


def _hash_of(raw: str) -> str:
    return "0x" + keccak(bytes.fromhex(raw[2:])).hex()


@asynccontextmanager
async def relay(manners: Manners | None = None) -> AsyncIterator[Relay]:
    """Run a relay on a free port of this machine."""
    running = Relay(manners or Manners())
    application = web.Application()
    application.router.add_post("/", running.page)
    runner = web.AppRunner(application, shutdown_timeout=0.05)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield running
    finally:
        await runner.cleanup()
