"""Row 39: a metrics endpoint under abuse, and the thread that sends, which must not know of it."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keeper.domain.events import CommandSent
from keeper.telemetry import server as module
from keeper.telemetry.health import Health, HealthLimits
from keeper.telemetry.metrics import Metrics
from keeper.telemetry.server import CONNECTIONS_MAX, REQUEST_BYTES_MAX, HealthServer
from tests.unit.chain.fake_node import FakeNode
from tests.unit.chain.lane_bench import command, running
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.unit.telemetry.entries import HandClock


class Watched(Metrics):
    """Metrics that note which thread builds an exposition."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def exposition(self) -> bytes:
        self.threads.append(threading.get_ident())
        return super().exposition()


class Rig:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.metrics = Watched()
        health = Health(self.clock, HealthLimits(head_age_ms_max=5_000))
        self.server = HealthServer(health, self.metrics, self.clock, "127.0.0.1", 0)
        self.clients: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.clients.append(writer)
        return reader, writer

    async def ask(self, request: bytes) -> bytes:
        """Send bytes and return all that comes back until the connection ends."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), PATIENCE_S)
        except ConnectionError:
            return b""

    async def open_and_silent(self, count: int, first_bytes: bytes = b"") -> list[Any]:
        """Open connections that never finish their request; each has been accepted."""
        links = [await self.connect() for _ in range(count)]
        for _, writer in links:
            writer.write(first_bytes)
        await until(lambda: self.server.taken >= count)
        return links


@asynccontextmanager
async def serving() -> AsyncIterator[Rig]:
    rig = Rig()
    task = asyncio.create_task(rig.server.run())
    try:
        await until(lambda: rig.server.port is not None)
        yield rig
    finally:
        task.cancel()
        await asyncio.wait([task])
        for client in rig.clients:
            client.transport.abort()
        await asyncio.sleep(0)


async def until(holds: Any, limit_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.005)


def get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_row_39_connections_beyond_the_cap_are_ended_unheard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REQUEST_MS_MAX", 60_000)
    async with serving() as rig:
        links = await rig.open_and_silent(CONNECTIONS_MAX, b"GET /me")
        assert rig.server.refused == 0
        for number in range(1, 6):
            assert await rig.ask(get(b"/livez")) == b"", "no place for one more"
            assert rig.server.refused == number
        links[0][1].transport.abort()
        await until(lambda: len(rig.server._open) < CONNECTIONS_MAX)
        assert b"200 OK" in await rig.ask(get(b"/livez"))


async def test_row_39_clients_that_never_end_their_request_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REQUEST_MS_MAX", 200)
    async with serving() as rig:
        for reader, _ in await rig.open_and_silent(5, b"GET /me"):
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        await until(lambda: not rig.server._open)


async def test_row_39_a_client_that_does_not_read_its_answer_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REQUEST_MS_MAX", 500)
    async with serving() as rig:
        rig.server._exposition = b"x" * 50_000_000  # more than any buffer on the way
        rig.server._exposed_ns = rig.clock.monotonic
        _, writer = await rig.connect()
        writer.write(get(b"/metrics"))
        await until(lambda: rig.server.taken == 1)
        await until(lambda: not rig.server._open)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nX: " + b"y" * 2 * REQUEST_BYTES_MAX + b"\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * REQUEST_BYTES_MAX + b"\r\n", b"431"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"DELETE /readyz HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /../ledger.sqlite HTTP/1.1\r\n\r\n", b"404"),
        (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", b"404"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
        (b"GET /livez\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
    ],
)
async def test_row_39_what_is_no_plain_get_of_three_paths_is_refused(
    request_bytes: bytes, status: bytes
) -> None:
    async with serving() as rig:
        answer = await rig.ask(request_bytes)
        assert answer.split(b" ")[1] == status
        assert b"200 OK" in await rig.ask(get(b"/livez?probe=1"))
        assert rig.metrics.threads == []


async def test_row_39_health_answers_from_its_own_thread_while_the_loop_is_blocked() -> None:
    async with serving() as rig:
        answers: list[bytes] = []

        def ask() -> None:
            with socket.create_connection(("127.0.0.1", rig.server.port), PATIENCE_S) as client:
                client.sendall(get(b"/livez"))
                answers.append(client.recv(1_000))

        asker = threading.Thread(target=ask)
        asker.start()
        while asker.is_alive():  # nothing else runs on this thread until the answer is there
            time.sleep(0.001)  # noqa: ASYNC251 - blocking the loop is what this test is about
        assert b"200 OK" in answers[0]


async def test_row_39_metrics_flood_does_not_move_send_p99(tmp_path: Path) -> None:
    """By structure, not by a stopwatch: no scrape, however many come, runs where sends run."""
    node = FakeNode()
    node.mine(3)
    async with serving() as rig, running(node, tmp_path / "ledger") as (executor, told):
        before = len(asyncio.all_tasks())
        await rig.open_and_silent(2 * CONNECTIONS_MAX, get(b"/metrics"))
        executor.submit([command(node, number) for number in range(1, 9)])
        await told.until(lambda: len(told.of(CommandSent)) == 8)
        assert rig.metrics.threads, "it was asked"
        assert threading.get_ident() not in rig.metrics.threads
        # The clock stood still: of so many scrapes one was built.
        assert len(rig.metrics.threads) == 1
        assert len(rig.server._open) <= CONNECTIONS_MAX
        ours = [each for each in asyncio.all_tasks() if "_connected" in repr(each)]
        assert ours == [], f"{len(asyncio.all_tasks())} tasks here, {before} before"


async def test_a_server_that_is_stopped_lets_go_of_its_port_and_its_thread() -> None:
    async with serving() as rig:
        port = rig.server.port
        await rig.open_and_silent(3)
        assert any(each.name == "health-server" for each in threading.enumerate())
    assert not any(each.name == "health-server" for each in threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
