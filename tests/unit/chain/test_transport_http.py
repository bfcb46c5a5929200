import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from keeper.chain.link.http import RpcHttp
from keeper.chain.link.transport import LIMITS, TransportLimits
from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
    RpcError,
)
from tests.unit.chain.scripted_node import PATIENCE_S, for_ever, scripted, serving


Answer = Callable[[Any], Awaitable[web.Response]]


@asynccontextmanager
async def asking(answer: Answer, limits: TransportLimits = LIMITS) -> AsyncIterator[RpcHttp]:
    async def page(request: web.Request) -> web.Response:
        return await answer(json.loads(await request.read()))

    async with serving(page) as place, RpcHttp("read", f"http://{place}/key", limits) as rpc:
        yield rpc


def says(status: int, body: str, **headers: str) -> Answer:
    async def answer(_: Any) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return answer


async def echo(request: Any) -> web.Response:
    parts = request if isinstance(request, list) else [request]
    answers = [{"id": part["id"], "result": part["method"]} for part in parts]
    return web.json_response(answers[::-1] if isinstance(request, list) else answers[0])


async def test_calls_and_batches_are_answered_in_the_order_asked() -> None:
    async with asking(echo) as rpc:
        assert await rpc.call("a", [], deadline_s=PATIENCE_S) == "a"
        both = rpc.batch([("b", []), ("c", [])], deadline_s=PATIENCE_S)
        others = rpc.batch([("d", []), ("e", [])], deadline_s=PATIENCE_S)
        assert list(await asyncio.gather(both, others)) == [["b", "c"], ["d", "e"]]
        assert await rpc.batch([], deadline_s=PATIENCE_S) == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [({"Retry-After": "7"}, 7.0), ({}, 1.0), ({"Retry-After": "Wed, 21 Oct 2026"}, 1.0)],
)
async def test_429_says_how_long_to_wait(header: dict[str, str], expected: float) -> None:
    async with asking(says(429, "slow down", **header)) as rpc:
        with pytest.raises(RateLimited) as raised:
            await rpc.call("a", [], deadline_s=PATIENCE_S)
        assert raised.value.retry_after_s == expected


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "nonsense", MalformedReply),
        (200, "", MalformedReply),
        (200, "[]", MalformedReply),
        (200, '{"id":77,"result":1}', MalformedReply),
        (200, '{"id":1}', MalformedReply),
        (200, '{"id":null,"error":{"code":-32700,"message":"parse error"}}', RpcError),
        (400, '{"id":1,"error":{"code":-32602,"message":"bad params"}}', RpcError),
        (500, "oops", EndpointUnreachable),
        (502, "<html>bad gateway</html>", EndpointUnreachable),
        (301, "", EndpointUnreachable),
    ],
)
async def test_every_kind_of_bad_answer_is_classified(
    status: int, body: str, error: type[Exception]
) -> None:
    async with asking(says(status, body, Location="http://127.0.0.1:1/")) as rpc:
        with pytest.raises(error) as raised:
            await rpc.call("a", [], deadline_s=PATIENCE_S)
        assert "127.0.0.1" not in str(raised.value)


async def test_no_answer_in_time_is_deadline_exceeded() -> None:
    async def never(_: Any) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    async with asking(never) as rpc:
        with pytest.raises(DeadlineExceeded):
            await rpc.call("a", [], deadline_s=0.05)


async def test_an_answer_over_the_limit_is_refused() -> None:
    async with asking(says(200, "x" * 5000), TransportLimits(message_bytes_max=4096)) as rpc:
        with pytest.raises(MalformedReply, match="more than 4096 bytes"):
            await rpc.call("a", [], deadline_s=PATIENCE_S)


async def test_nobody_there_is_unreachable_and_never_tells_the_url() -> None:
    async with scripted(for_ever) as url:
        place = url.removeprefix("ws://")
    async with RpcHttp("read", f"http://{place}/secret-key") as rpc:
        with pytest.raises(EndpointUnreachable) as raised:
            await rpc.call("a", [], deadline_s=PATIENCE_S)
    assert "secret" not in str(raised.value)


async def test_after_an_abort_every_call_is_unreachable() -> None:
    async with asking(echo) as rpc:
        rpc.abort("dropped")
        with pytest.raises(EndpointUnreachable, match="dropped"):
            await rpc.call("a", [], deadline_s=PATIENCE_S)
        assert (await rpc.closed()).problem == "dropped"
