"""Frames over HTTP that never ends: server-sent events, kept open like a socket.

It must not know what a frame says.
Source: WHATWG HTML, "Server-sent events"; of an event only its data count, and its lines end in
LF or CRLF (a lone CR, which the standard allows too, no publisher we know of sends).
"""

import asyncio
from typing import Final

import aiohttp

from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
)
from keeper.oracle.links import (
    HTTP_OK,
    NONE,
    TOO_MANY,
    Backoff,
    Ended,
    Headers,
    Take,
    connecting,
    kept_open,
    retry_after,
)
from keeper.oracle.settings import OracleSettings


EVENTS: Final = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}


class ServerEvents:
    """The pure half: bytes in as they come, the data of whole events out."""

    def __init__(self, name: str, bytes_max: int) -> None:
        self._name = name
        self._bytes_max = bytes_max
        self._rest = b""
        self._data: list[bytes] = []
        self._held = 0

    def take(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that a chunk ends; comments and bare fields are none.

        Raises MalformedReply for an event that is too long.
        """
        found: list[bytes] = []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in (each.removesuffix(b"\r") for each in lines):
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._held += len(line)
            elif not line:
                found += [b"\n".join(self._data)] if self._data else []
                self._data, self._held = [], 0
            if self._held > self._bytes_max:
                break
        if self._held + len(self._rest) > self._bytes_max:
            raise MalformedReply(self._name, f"an event of more than {self._bytes_max} bytes")
        return found


class EventLink:
    """A page of events; too long without one ends the session, comments notwithstanding."""

    def __init__(self, settings: OracleSettings, url: str, headers: Headers = NONE) -> None:
        self._settings = settings
        self._url = url
        self._headers = {**EVENTS, **headers}
        self._backoff = Backoff(settings.backoff_first_ms, settings.backoff_max_ms)

    async def run(self, take: Take, ended: Ended) -> None:
        """Keep it open; see `keeper.oracle.links.Link`."""
        await kept_open(lambda session: self._session(session, take), self._backoff, ended)

    async def _session(self, session: aiohttp.ClientSession, take: Take) -> None:
        """Read one answer to its end, which is always an EndpointError."""
        name = self._settings.name
        async with connecting(name):
            forever = aiohttp.ClientTimeout(total=None)
            answer = await session.get(self._url, headers=self._headers, timeout=forever)
        try:
            if answer.status == TOO_MANY:
                raise RateLimited(name, retry_after(answer.headers.get("Retry-After")))
            # What was packed although we asked for plain could unfold without end.
            if answer.status != HTTP_OK or "Content-Encoding" in answer.headers:
                raise EndpointUnreachable(name, f"answered {answer.status}, or packed")
            await self._read(answer.content, take)
        except (aiohttp.ClientError, OSError) as error:
            raise EndpointUnreachable(name, f"broke ({type(error).__name__})") from None
        finally:
            answer.close()

    async def _read(self, content: aiohttp.StreamReader, take: Take) -> None:
        name, silence_s = self._settings.name, self._settings.silence_s
        events = ServerEvents(name, self._settings.frame_bytes_max)
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    frames = await _next(content, events)
            except TimeoutError:
                raise DeadlineExceeded(name, f"no frame for {silence_s} s") from None
            if frames is None:
                raise EndpointUnreachable(name, "ended (eof)")
            for frame in frames:
                take(frame)
            self._backoff.good()
            await asyncio.sleep(0)  # a flood must not hold the loop from everybody else


async def _next(content: aiohttp.StreamReader, events: ServerEvents) -> list[bytes] | None:
    """Return the next events, None at the end of the answer."""
    while chunk := await content.readany():
        if found := events.take(chunk):
            return found
        await asyncio.sleep(0)
    return None
