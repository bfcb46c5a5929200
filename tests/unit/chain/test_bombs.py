"""Answers that are small on the wire and large in memory."""

import tracemalloc
import zlib

import pytest
from aiohttp import web

from keeper.chain.link.http import RpcHttp
from keeper.chain.link.transport import TransportLimits
from keeper.domain.errors import MalformedReply


LIMIT_BYTES = 1_000_000
BOMB_BYTES = 300_000_000


@pytest.mark.parametrize(("coding", "window"), [("gzip", 31), ("deflate", 15)])
async def test_a_compressed_bomb_is_refused_before_it_unfolds(coding: str, window: int) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    body = b"".join(packer.compress(b" " * 1_000_000) for _ in range(BOMB_BYTES // 1_000_000))
    body += packer.flush()
    assert len(body) < LIMIT_BYTES, "the wire's limit would have stopped it"

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": coding})

    app = web.Application()
    app.router.add_post("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with RpcHttp("node", url, TransportLimits(message_bytes_max=LIMIT_BYTES)) as rpc:
            tracemalloc.start()
            with pytest.raises(MalformedReply, match="more than"):
                await rpc.call("eth_chainId", [], deadline_s=20)
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await runner.cleanup()
    assert peak < BOMB_BYTES / 10
