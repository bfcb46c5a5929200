"""Sources on a real socket: prices come through, and no fault of the other side ends anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise

from aiohttp import web

from keeper.domain.events import OracleUpdated, PayloadReceived
from tests.unit.oracle.outside_server import OutsideServer, Session, listening, until


FEED = "0x" + "F1" * 20


def says(*frames: object, then: Session | None = None) -> Session:
    """A session that sends frames and stays, or goes on as `then`."""

    async def play(socket: web.WebSocketResponse) -> None:
        for frame in frames:
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))
        await (then or stays)(socket)

    return play


async def stays(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass


async def leaves(socket: web.WebSocketResponse) -> None:
    await socket.close()


async def breaks(socket: web.WebSocketResponse) -> None:
    transport = socket._req.transport if socket._req is not None else None
    assert transport is not None
    transport.abort()


async def hangs(_: web.WebSocketResponse) -> None:
    """Read nothing, send nothing and answer no ping: half open, as after a cable was cut."""
    await asyncio.Event().wait()


def played(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_price_comes_through_with_its_source_and_time() -> None:
    async def test() -> None:
        server = OutsideServer()
        server.sessions = [server.hears(says({"ack": 1}, {"p": "2000.5", "t": 1_700_000_000}))]
        settings = {"subscribe": ('{"op":"sub"}',), "time_path": "t", "time_unit": "s"}
        async with listening(server, **settings) as (_, heard):
            await until("a price", lambda: bool(heard.events))
            assert heard.events == [OracleUpdated("outside", "ETH", 2000.5, 1_700_000_000_000)]
        assert server.received == ['{"op":"sub"}']

    played(test)


def test_a_connection_that_is_dropped_or_broken_is_made_anew_and_told_once() -> None:
    async def test() -> None:
        server = OutsideServer(leaves, breaks, leaves, says({"p": 1.0}, then=stays))
        async with listening(server) as (_, heard):
            await until("a price", lambda: bool(heard.events))
            assert server.connections == 4
            assert heard.kinds()[-1] == "oracle_back"
            lost = [each for each in heard.told if each.kind == "oracle_lost"]
            assert all(a != b for a, b in pairwise(lost))
            assert 1 <= len(lost) <= 3

    played(test)


def test_a_half_open_connection_is_noticed_by_its_pings() -> None:
    async def test() -> None:
        server = OutsideServer(hangs, says({"p": 1.0}))
        async with listening(server, heartbeat_s=1, silence_s=600) as (_, heard):
            await until("a price", lambda: bool(heard.events))
            assert server.connections == 2

    played(test)


def test_a_connection_that_pings_and_says_nothing_is_made_anew() -> None:
    async def test() -> None:
        server = OutsideServer(stays, says({"p": 1.0}))
        async with listening(server, heartbeat_s=600, silence_s=1) as (_, heard):
            await until("a price", lambda: bool(heard.events))
            (lost,) = [each for each in heard.told if each.kind == "oracle_lost"]
            assert dict(lost.fields)["problem"] == "no frame for 1 s"

    played(test)


def test_nonsense_is_counted_told_once_and_ends_the_session_in_the_end() -> None:
    async def test() -> None:
        nonsense = ["{", "NaN", {"p": "x"}, {"p": None}, {"p": -1}, {"p": 0}, {"p": True}, b"\xff"]

        async def babbles(socket: web.WebSocketResponse) -> None:
            while not socket.closed:
                for frame in ("{", "[", "nul"):
                    await socket.send_str(frame)
                await asyncio.sleep(0.001)

        server = OutsideServer(babbles, says(*nonsense, {"p": 5.0}))
        async with listening(server, malformed_max=16) as (source, heard):
            await until("a price", lambda: bool(heard.events))
            assert [each.price_usd for each in heard.events] == [5.0]  # type: ignore[union-attr]
            assert source.malformed >= 16 + len(nonsense)
            assert "malformed frames in a row" in str(heard.told)
            assert heard.kinds().count("oracle_malformed") <= 3

    played(test)


def test_a_flood_costs_a_queue_and_the_newest_price_wins() -> None:
    async def test() -> None:
        count = 5_000
        server = OutsideServer(says(*({"p": 1.0 + each} for each in range(count))))
        async with listening(server, queue_max=64, post_ms=20) as (source, heard):

            def last() -> float:
                return heard.events[-1].price_usd if heard.events else 0.0  # type: ignore[union-attr]

            await until("the last price", lambda: last() == count)
            assert source.dropped > 0
            assert len(heard.events) < count / 10
            prices = [each.price_usd for each in heard.events]  # type: ignore[union-attr]
            assert prices == sorted(prices)

    played(test)


def test_silence_is_told_once_and_so_is_its_end() -> None:
    async def test() -> None:
        speak = asyncio.Event()

        async def late(socket: web.WebSocketResponse) -> None:
            await speak.wait()
            await socket.send_str('{"p": 7}')
            await stays(socket)

        server = OutsideServer(late)
        async with listening(server, stale_s=1) as (source, heard):
            await until("it is told", lambda: "oracle_stale" in heard.kinds())
            assert source.age_s >= 1.0
            speak.set()
            await until("a price", lambda: bool(heard.events))
            assert heard.kinds() == ["oracle_stale", "oracle_back"]

    played(test)


def test_a_frame_too_long_ends_the_session_and_not_the_source() -> None:
    async def test() -> None:
        server = OutsideServer(says("x" * 5_000), says({"p": 1.0}))
        async with listening(server, frame_bytes_max=1_000) as (_, heard):
            await until("a price", lambda: bool(heard.events))
            assert server.connections == 2

    played(test)


def test_nobody_there_is_told_without_the_url_and_its_secret() -> None:
    async def test() -> None:
        server = OutsideServer(stays)
        url = {"stream_url": "ws://127.0.0.1:1/secret-key"}
        async with listening(server, **url) as (source, heard):
            await until("it is told", lambda: bool(heard.told))
            assert "secret" not in str(heard.told)
            assert "secret" not in repr(source.settings)

    played(test)


# ── signed data ──

ITEM = {"feed": FEED, "payload": "0xABCD", "timestamp": "1700000000", "deadline": 1_700_000_060}
SIGNED = {"kind": "signed", "items_path": "data", "underlying": ""}


def test_signed_data_of_a_page_are_posted_once_however_often_it_shows_them() -> None:
    async def test() -> None:
        second = {**ITEM, "payload": "0xabce"}
        server = OutsideServer()
        pages = [{"data": [ITEM]}, {"data": [ITEM]}, {"data": [ITEM, second]}]
        server.pages = [(200, json.dumps(each).encode()) for each in pages]
        async with listening(server, polled=True, **SIGNED) as (_, heard):
            await until("both", lambda: len(heard.events) == 2 and server.asked > 5)
            first, _ = heard.events
            times = (1_700_000_000, 1_700_000_060)
            assert first == PayloadReceived("outside", FEED.lower(), "0xabcd", *times)
            assert len(heard.events) == 2

    played(test)


def test_a_page_that_fails_is_told_waited_for_and_asked_again() -> None:
    async def test() -> None:
        server = OutsideServer()
        good = json.dumps({"data": [ITEM]}).encode()
        server.pages = [(500, b""), (200, b"<html>"), (200, b"x" * 400_000), (200, good)]
        async with listening(server, polled=True, **SIGNED) as (_, heard):
            await until("signed data", lambda: bool(heard.events))
            problems = [str(dict(each.fields).get("problem")) for each in heard.told]
            assert any("answered 500" in each for each in problems)
            assert any("not JSON" in each for each in problems)
            assert any("more than 262144 bytes" in each for each in problems)
            assert heard.kinds()[-1] == "oracle_back"

    played(test)
