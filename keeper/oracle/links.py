"""What brings a source's frames: a WebSocket kept open, or a page polled. Faults are classified.

A link never ends by itself: it tells why a session ended, waits longer each time, and begins anew.
It must not know what a frame says.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Protocol

import aiohttp

from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointError,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
)
from keeper.oracle.settings import OracleSettings


# Takes a frame; raises EndpointError where the session must not go on.
Take = Callable[[bytes | str], None]
Ended = Callable[[EndpointError], None]
# What each request says of us; may hold a secret, so that it is in no message.
Headers = Mapping[str, str]

NONE: Final[Headers] = {}
CONNECT_S: Final = 5.0
CLOSE_S: Final = 1.0
FRAMES_A_TURN: Final = 32
HTTP_OK: Final = 200
TOO_MANY: Final = 429


class Link(Protocol):
    """One way to a source."""

    async def run(self, take: Take, ended: Ended) -> None:
        """Hand over frames until cancelled; tell of each session's end."""


class Backoff:
    """How long to wait before the next session: twice as long each time, until one was good."""

    def __init__(self, first_ms: int, most_ms: int) -> None:
        self._first_ms = first_ms
        self._most_ms = most_ms
        self._next_ms = first_ms

    def good(self) -> None:
        """Note that a session brought something."""
        self._next_ms = self._first_ms

    def wait_s(self) -> float:
        """Return the wait before the next session, and double it."""
        wait_ms, self._next_ms = self._next_ms, min(2 * self._next_ms, self._most_ms)
        return wait_ms / 1_000


async def kept_open(
    session: Callable[[aiohttp.ClientSession], Awaitable[None]], backoff: Backoff, ended: Ended
) -> None:
    """Open one session after the other, tell why each ended, and wait as it asks."""
    while True:
        wait_s = 0.0
        try:
            async with aiohttp.ClientSession() as opened:
                await session(opened)
        except EndpointError as error:
            ended(error)
            wait_s = asked_wait_s(error)
        await asyncio.sleep(max(wait_s, backoff.wait_s()))


@contextlib.asynccontextmanager
async def connecting(name: str) -> AsyncIterator[None]:
    """Hold a connection's making to its time; whatever goes wrong is an EndpointError."""
    try:
        async with asyncio.timeout(CONNECT_S):
            yield
    except TimeoutError:
        raise DeadlineExceeded(name, f"no connection in {CONNECT_S} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The class alone: a message may hold the URL, and with it a secret.
        raise EndpointUnreachable(name, f"cannot connect ({type(error).__name__})") from None


class SocketLink:
    """A WebSocket; a ping without its pong, or too long a silence, ends the session."""

    def __init__(self, settings: OracleSettings, url: str, headers: Headers = NONE) -> None:
        self._settings = settings
        self._url = url
        self._headers = headers
        self._backoff = Backoff(settings.backoff_first_ms, settings.backoff_max_ms)

    async def run(self, take: Take, ended: Ended) -> None:
        """Keep it open; see `Link`."""
        await kept_open(lambda session: self._session(session, take), self._backoff, ended)

    async def _session(self, session: aiohttp.ClientSession, take: Take) -> None:
        """Read one connection to its end, which is always an EndpointError."""
        name, settings = self._settings.name, self._settings
        async with connecting(name):
            socket = await session.ws_connect(
                self._url,
                headers=self._headers,
                heartbeat=settings.heartbeat_s,
                max_msg_size=settings.frame_bytes_max,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            )
        try:
            for frame in settings.subscribe:
                await socket.send_str(frame)
            await self._read(socket, take)
        except (aiohttp.ClientError, OSError) as error:
            raise EndpointUnreachable(name, f"broke ({type(error).__name__})") from None
        finally:
            # Who goes on talking keeps a polite close waiting for ever: the session ends it then.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await socket.close()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, take: Take) -> None:
        name, silence_s = self._settings.name, self._settings.silence_s
        count = 0
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    message = await socket.receive()
            except TimeoutError:
                raise DeadlineExceeded(name, f"no frame for {silence_s} s") from None
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                raise EndpointUnreachable(name, f"ended ({message.type.name.lower()})")
            take(message.data)
            self._backoff.good()
            count += 1
            if count % FRAMES_A_TURN == 0:
                await asyncio.sleep(0)  # a flood must not hold the loop from everybody else


class PollLink:
    """A page asked for again and again; one that does not answer is waited for longer."""

    def __init__(self, settings: OracleSettings, url: str, headers: Headers = NONE) -> None:
        self._settings = settings
        self._url = url
        self._headers = headers
        self._backoff = Backoff(settings.backoff_first_ms, settings.backoff_max_ms)

    async def run(self, take: Take, ended: Ended) -> None:
        """Poll; see `Link`."""
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    take(await self._page(session))
                except EndpointError as error:
                    ended(error)
                    await asyncio.sleep(max(self._backoff.wait_s(), asked_wait_s(error)))
                else:
                    self._backoff.good()
                    await asyncio.sleep(self._settings.poll_ms / 1_000)

    async def _page(self, session: aiohttp.ClientSession) -> bytes:
        name, most = self._settings.name, self._settings.frame_bytes_max
        try:
            asked = session.get(self._url, headers=self._headers)
            async with asyncio.timeout(self._settings.silence_s), asked as answer:
                if answer.status == TOO_MANY:
                    raise RateLimited(name, retry_after(answer.headers.get("Retry-After")))
                if answer.status != HTTP_OK:
                    raise EndpointUnreachable(name, f"answered {answer.status}")
                body = await answer.content.read(most + 1)
                while len(body) <= most and (more := await answer.content.read(most + 1)):
                    body += more
        except TimeoutError:
            raise DeadlineExceeded(name, f"no answer in {self._settings.silence_s} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EndpointUnreachable(name, f"cannot be asked ({type(error).__name__})") from None
        if len(body) > most:
            raise MalformedReply(name, f"an answer of more than {most} bytes")
        return body


def asked_wait_s(error: EndpointError) -> float:
    """Return how long who refused us wants to be left alone, seconds."""
    return error.retry_after_s if isinstance(error, RateLimited) else 0.0


def retry_after(said: str | None) -> float:
    """Return how long a source asks us to wait, seconds; a minute at most."""
    return float(min(int(said), 60)) if said is not None and said.isdigit() else 1.0
