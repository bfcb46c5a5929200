"""Server-sent events: bytes into events, and a page of them that no fault of a server ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import MalformedReply
from keeper.domain.events import PayloadReceived
from keeper.oracle.server_events import ServerEvents
from keeper.oracle.settings import OracleSettings
from keeper.oracle.stream import OracleSource, source
from keeper.runtime.clock import SystemClock
from tests.unit.market.pyth_bytes import BTC, ETH, frame, packed, price
from tests.unit.oracle.outside_server import Heard, until


TEXT = b": hi\n\ndata:{a}\r\n\r\nevent: x\ndata: 1\ndata: 2\nid: 9\n\ndata\nretry: 5\n\ndata: z\n\n"
SAID = [b"{a}", b"1\n2", b"z"]
PYTH = "0x" + "f3" * 20


def taken(*chunks: bytes, most: int = 1_000) -> list[bytes]:
    events = ServerEvents("a", most)
    return [each for chunk in chunks for each in events.take(chunk)]


# ── the pure half ──


def test_of_an_event_its_data_count_and_comments_are_none() -> None:
    assert taken(TEXT) == SAID


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_however_the_bytes_come_the_events_are_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    assert taken(*(TEXT[a:b] for a, b in pairwise(places))) == SAID


@pytest.mark.parametrize(
    "endless",
    [b"data: " + b"x" * 90, b"x" * 101, b"data: x\n" * 20],
    ids=["data", "line", "lines of data"],
)
def test_an_event_without_end_is_malformed_and_held_no_further(endless: bytes) -> None:
    with pytest.raises(MalformedReply):
        taken(endless, endless, most=100)


def test_an_event_that_is_too_long_is_malformed_though_it_ends_in_the_same_bytes() -> None:
    with pytest.raises(MalformedReply):
        taken(b"data: x\n" * 20 + b"\n", most=100)


def test_the_limit_is_of_one_event_and_not_of_all() -> None:
    assert taken(*[b"data: " + b"x" * 80 + b"\n\n"] * 9, most=100) == [b"x" * 80] * 9


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_any_bytes_are_events_or_malformed(chunks: list[bytes]) -> None:
    with suppress(MalformedReply):
        assert all(isinstance(each, bytes) for each in taken(*chunks, most=64))


# ── the page ──

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


def said(usd: int, about: str = ETH) -> bytes:
    """An event that brings one price."""
    one = price(usd, about=about)
    return b"data:" + json.dumps(frame([packed(one)], [one])).encode() + b"\n\n"


def says(*events: bytes, stays: bool = True) -> Page:
    """A page that begins with these bytes, and stays open or ends."""

    async def page(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for each in events:
            await answer.write(each)
        if stays:
            await asyncio.Event().wait()
        return answer

    return page


def refuses(status: int, **headers: str) -> Page:
    async def page(_: web.Request) -> web.StreamResponse:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers=told, body=said(1))

    return page


@asynccontextmanager
async def listening(
    *pages: Page, headers: dict[str, str] | None = None, **changes: Any
) -> AsyncIterator[tuple[OracleSource, Heard, list[web.Request]]]:
    """Serve pages one after another, the last for ever, and run a source on them."""
    asked: list[web.Request] = []

    async def page(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return await pages[min(len(asked), len(pages)) - 1](request)

    app = web.Application()
    app.router.add_get("/stream", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/stream"
    fields: dict[str, Any] = {"name": "hermes", "kind": "pyth_updates", "feed": PYTH}
    pace = {"post_ms": 1, "backoff_first_ms": 1, "backoff_max_ms": 20}
    settings = OracleSettings(**{**fields, **pace, "stream_url": url, **changes})
    heard = Heard()
    made = source(settings, SystemClock(), heard.told.append, headers or {})
    task = asyncio.create_task(made.run(heard.events.append))
    try:
        yield made, heard, asked
        assert not task.done(), "no fault of a page ends it"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


def played(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def payloads(heard: Heard) -> list[str]:
    return [each.payload for each in heard.events if isinstance(each, PayloadReceived)]


def hexed(usd: int, about: str = ETH) -> str:
    return "0x" + packed(price(usd, about=about)).hex()


def test_updates_of_a_page_come_through_and_its_end_begins_it_anew() -> None:
    async def test() -> None:
        pages = (says(b":\n\n", said(1), stays=False), says(said(2, BTC)))
        async with listening(*pages) as (_, heard, asked):
            await until("both", lambda: payloads(heard) == [hexed(1), hexed(2, BTC)])
            (lost,) = [each for each in heard.told if each.kind == "oracle_lost"]
            assert dict(lost.fields)["problem"] == "ended (eof)"
            assert heard.told[-1].kind == "oracle_back"
            assert asked[0].headers["Accept"] == "text/event-stream"

    played(test)


def test_a_page_that_only_comments_is_asked_anew() -> None:
    async def test() -> None:
        async def comments(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse()
            await answer.prepare(request)
            while True:
                await answer.write(b":\n\n")
                await asyncio.sleep(0.01)

        async with listening(comments, says(said(1)), silence_s=1) as (_, heard, _asked):
            await until("an update", lambda: bool(heard.events))
            (lost,) = [each for each in heard.told if each.kind == "oracle_lost"]
            assert dict(lost.fields)["problem"] == "no frame for 1 s"

    played(test)


def test_a_page_that_refuses_is_told_waited_for_and_asked_again() -> None:
    async def test() -> None:
        pages = (refuses(500), refuses(429, Retry_After="0"), says(said(1)))
        async with listening(*pages) as (_, heard, _asked):
            await until("an update", lambda: bool(heard.events))
            problems = [str(dict(each.fields).get("problem")) for each in heard.told]
            assert any("answered 500" in each for each in problems)
            assert any("rate limited" in each for each in problems)
            assert len([each for each in heard.told if each.kind == "oracle_lost"]) == 2

    played(test)


def test_a_page_that_comes_packed_is_not_unpacked() -> None:
    async def test() -> None:
        packing = refuses(200, Content_Encoding="identity")
        async with listening(packing, says(said(2))) as (_, heard, _asked):
            await until("an update", lambda: bool(heard.events))
            assert payloads(heard) == [hexed(2)]

    played(test)


def test_an_event_too_long_ends_the_session_and_not_the_source() -> None:
    async def test() -> None:
        pages = (says(b"data: " + b"x" * 9_000), says(said(1)))
        async with listening(*pages, frame_bytes_max=4_000) as (_, heard, _asked):
            await until("an update", lambda: bool(heard.events))
            assert "more than 4000 bytes" in str(heard.told)

    played(test)


def test_a_flood_costs_a_queue_and_the_newest_update_wins() -> None:
    async def test() -> None:
        count = 1_000
        flood = says(*(said(each) for each in range(1, count + 1)))
        async with listening(flood, queue_max=16, post_ms=20) as (made, heard, _asked):
            await until("the last", lambda: payloads(heard)[-1:] == [hexed(count)])
            assert made.dropped > 0
            assert len(heard.events) < count / 4

    played(test)


def test_a_token_is_sent_and_is_in_nothing_that_is_told() -> None:
    async def test() -> None:
        headers = {"Authorization": "Bearer s3cret"}
        pages = (refuses(401), says(said(1)))
        async with listening(*pages, headers=headers) as (made, heard, asked):
            await until("an update", lambda: bool(heard.events))
            assert asked[-1].headers["Authorization"] == "Bearer s3cret"
            assert "s3cret" not in str(heard.told) + repr(made.settings)

    played(test)
