"""A private copy of a chain: anvil forking through a gate of ours that lets reads pass and no more.

The gate keeps two promises: whatever the copy is asked, nothing is sent to the real chain, and a
URL with a provider's secret stands in no process list. A second one stands before the copy, because
anvil 1.7.1 locks up for good where states of two blocks are asked at once while it still has to
fetch them: it lets one question through at a time. It must not know what the copy is for.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from keeper.chain.link.http import RpcHttp
from keeper.chain.link.transport import Rpc
from keeper.chain.throwaway.node import answering
from keeper.domain.errors import ConfigError, EndpointError, RpcError


HOST: Final = "127.0.0.1"
START_LIMIT_S: Final = 60.0
END_LIMIT_S: Final = 10.0
READ_DEADLINE_S: Final = 30.0
READS_AT_ONCE: Final = 16
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
HISTORY_STATES: Final = 500  # without a bound the copy fills the disk
READS: Final = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getAccountInfo",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getCode",
        "eth_getLogs",
        "eth_getProof",
        "eth_getStorageAt",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "net_version",
        "web3_clientVersion",
    }
)
# The node dies with us whatever becomes of us: its keeper waits on a pipe that only we hold.
_GUARDED: Final = '"$0" "$@" & child=$!; cat > /dev/null; kill -9 $child'


class Gate:
    """Answers JSON-RPC on loopback by asking an endpoint: `allowed` methods, so many at once."""

    def __init__(self, source: Rpc, allowed: frozenset[str] | None, at_once: int) -> None:
        self._source = source
        self._allowed = allowed
        self._permits = asyncio.Semaphore(at_once)
        self.refused: list[str] = []  # methods that were asked for and not let through

    async def serve(self, stack: AsyncExitStack) -> str:
        """Serve until the stack ends; the gate's URL."""
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_post("/", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        port = runner.addresses[0][1]
        return f"http://{HOST}:{port}"

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            asked = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return web.Response(status=400)
        many = asked if isinstance(asked, list) else [asked]
        answers = await asyncio.gather(*(self._one(each) for each in many))
        body = orjson.dumps(answers if isinstance(asked, list) else answers[0])
        return web.Response(body=body, content_type="application/json")

    async def _one(self, asked: Any) -> dict[str, Any]:
        told = {"jsonrpc": "2.0", "id": asked.get("id") if isinstance(asked, dict) else None}
        method = str(asked.get("method")) if isinstance(asked, dict) else ""
        if self._allowed is not None and method not in self._allowed:
            self.refused.append(method)
            return {**told, "error": {"code": -32601, "message": f"{method}: reads only"}}
        try:
            async with self._permits:
                result = await self._source.call(
                    method, asked.get("params") or [], deadline_s=READ_DEADLINE_S
                )
        except RpcError as error:
            return {**told, "error": _error(error)}
        except EndpointError as error:
            return {**told, "error": {"code": -32000, "message": error.problem}}
        return {**told, "result": result}


@asynccontextmanager
async def forked(anvil: Path, source: Rpc, folder: Path) -> AsyncIterator[str]:
    """Run a copy of the source's chain; its URL, for polling. Raises ConfigError, EndpointError.

    Nothing mines by itself. The copy and all that was done to it are gone on leaving.
    """
    async with AsyncExitStack() as stack:
        gate = await Gate(source, READS, READS_AT_ONCE).serve(stack)
        port = _free_port()
        words = ["--host", HOST, "--port", str(port), "--fork-url", gate, "--no-mining", "--silent"]
        words += ["--no-storage-caching", "--prune-history", str(HISTORY_STATES)]
        words += ["--no-request-size-limit", "--cache-path", str(folder / "cache")]
        log = folder / "fork.log"
        try:
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    "sh", "-c", _GUARDED, str(anvil), *words,
                    stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise ConfigError("--anvil", str(anvil), f"cannot be run: {error.strerror}") from error
        stack.push_async_callback(_ended, process)
        rpc = await stack.enter_async_context(RpcHttp("fork", f"http://{HOST}:{port}"))
        if not await answering(rpc, START_LIMIT_S):
            raise EndpointError("fork", f"did not start: {log.read_text(errors='replace')[-500:]}")
        yield await Gate(rpc, None, 1).serve(stack)


def _error(error: RpcError) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    return told if error.data is None else {**told, "data": error.data}


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Let go of the pipe, which ends the node, and wait for it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
