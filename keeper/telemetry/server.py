"""The small web server of health and metrics, on a loop and a thread of its own.

Nothing that clients do (many of them, slow ones, endless headers) runs on the thread that sends
transactions: there it costs no more than one exposition a quarter of a second. One request, one
answer, then the connection ends; of a request only method and path are read, and nothing is
changed. It must not know what health or metrics mean.
"""

import asyncio
import contextlib
import json
import socket
import threading
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST

from keeper.domain.errors import ConfigError
from keeper.domain.units import NS_PER_MS
from keeper.ports import Clock
from keeper.telemetry.health import Health
from keeper.telemetry.metrics import Metrics


CONNECTIONS_MAX: Final = 32
REQUEST_BYTES_MAX: Final = 4_096
REQUEST_MS_MAX: Final = 2_000  # from the connection to its end, whatever the client does
UNREAD_BYTES_MAX: Final = 65_536  # of a refused request, so that its refusal can be read
STOP_MS_MAX: Final = 500
BACKLOG: Final = 16
# A scrape is built at most this often: a flood of them must not slow a send.
EXPOSITION_AGE_MS_MAX: Final = 250

_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_JSON: Final = "application/json"


class HealthServer:
    """Serves `/metrics`, `/livez` and `/readyz`, GET only; a `Service` of the supervisor."""

    def __init__(
        self, health: Health, metrics: Metrics, clock: Clock, host: str, port: int
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._host = host
        self._port = port
        self._port_bound: int | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._taken = 0
        self._refused = 0
        self._exposition = b""
        self._exposed_ns: int | None = None

    @property
    def port(self) -> int | None:
        """Return the port being served, None while there is none."""
        return self._port_bound

    @property
    def taken(self) -> int:
        """Return how many connections there were so far, refused ones included."""
        return self._taken

    @property
    def refused(self) -> int:
        """Return how many connections were ended unheard, because too many were open."""
        return self._refused

    async def run(self) -> None:
        """Serve until cancelled; raises ConfigError when the port cannot be had."""
        listener = self._listen()
        ours = asyncio.get_running_loop()
        ended: asyncio.Future[None] = ours.create_future()
        theirs = asyncio.new_event_loop()
        stop = asyncio.Event()

        def serve() -> None:
            failure: BaseException | None = None
            try:
                with asyncio.Runner(loop_factory=lambda: theirs) as runner:
                    runner.run(self._serve(listener, stop))
            except BaseException as error:  # noqa: BLE001 - raised again in the loop that waits
                failure = error
            with contextlib.suppress(RuntimeError):  # that loop may have ended without us
                ours.call_soon_threadsafe(_settle, ended, failure)

        thread = threading.Thread(target=serve, name="health-server", daemon=True)
        thread.start()
        try:
            await asyncio.shield(ended)
        finally:
            self._port_bound = None
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                theirs.call_soon_threadsafe(stop.set)
            done, _ = await asyncio.wait([ended], timeout=2 * STOP_MS_MAX / 1_000)
            if done:
                thread.join()  # to say so was the last thing it did

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        except OSError as error:
            where = f"{self._host}:{self._port}"
            cure = f"cannot listen on {where} ({error.strerror}); free it or take another port"
            raise ConfigError("telemetry.listen_port", self._port, cure) from error

    async def _serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(
            self._connected, sock=listener, limit=REQUEST_BYTES_MAX, backlog=BACKLOG
        )
        self._port_bound = listener.getsockname()[1]
        await stop.wait()
        server.close()
        exchanges = [each for each in self._open.values() if each is not None]
        for writer in list(self._open):
            writer.transport.abort()
        if exchanges:
            await asyncio.wait(exchanges, timeout=STOP_MS_MAX / 1_000)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request within its time and size, then end the connection."""
        self._taken += 1
        if len(self._open) >= CONNECTIONS_MAX:
            self._refused += 1
            writer.transport.abort()
            return
        self._open[writer] = asyncio.current_task()
        try:
            async with asyncio.timeout(REQUEST_MS_MAX / 1_000):
                await self._exchange(reader, writer)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # too slow, gone in the middle, or cut off: there is nobody to tell
        finally:
            del self._open[writer]
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(_response(431, _JSON, _reasons(["request too large"])))
            writer.write_eof()
            # A connection closed on unread bytes is reset, and the answer is lost with it.
            unread = UNREAD_BYTES_MAX
            while unread > 0 and (chunk := await reader.read(REQUEST_BYTES_MAX)):
                unread -= len(chunk)
        else:
            writer.write(self._answer(head))
        writer.close()
        await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _response(400, _JSON, _reasons(["not HTTP/1"]))
        method, path = words[0], words[1].split(b"?", 1)[0]
        if path not in (b"/metrics", b"/livez", b"/readyz"):
            return _response(404, _JSON, _reasons(["no such path"]))
        if method != b"GET":
            # An answer to HEAD has no body.
            return _response(405, _JSON, b"" if method == b"HEAD" else _reasons(["only GET"]))
        if path == b"/metrics":
            return _response(200, CONTENT_TYPE_LATEST, self._scrape())
        name, reasons = "alive", self._health.not_alive()
        if path == b"/readyz":
            name, reasons = "ready", self._health.not_ready()
        body = json.dumps({name: not reasons, "reasons": reasons}).encode()
        return _response(503 if reasons else 200, _JSON, body)

    def _scrape(self) -> bytes:
        now = self._clock.monotonic_ns()
        age_ns = EXPOSITION_AGE_MS_MAX * NS_PER_MS
        if self._exposed_ns is None or now - self._exposed_ns >= age_ns:
            self._exposition = self._metrics.exposition()
            self._exposed_ns = now
        return self._exposition


def _settle(ended: asyncio.Future[None], failure: BaseException | None) -> None:
    if ended.done():
        return
    if failure is None:
        ended.set_result(None)
    else:
        ended.set_exception(failure)


def _reasons(reasons: list[str]) -> bytes:
    return json.dumps({"reasons": reasons}).encode()


def _response(status: int, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
