"""A source as a part of the run: frames in, a bounded queue, events out, silence told.

Frames are taken as fast as they come and read at a steady pace, so that a flood costs memory and
time that are known beforehand. It must not know what a price is good for.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Final

from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError, MalformedReply
from keeper.domain.events import OracleUpdated, PayloadReceived
from keeper.domain.units import NS_PER_MS, NS_PER_S
from keeper.oracle import hermes, mapping
from keeper.oracle.links import NONE, Headers, Link, PollLink, SocketLink
from keeper.oracle.server_events import EventLink
from keeper.oracle.settings import OracleSettings
from keeper.ports import Clock, Post


Tell = Callable[[Notice], None]
Said = OracleUpdated | PayloadReceived

SEEN_MAX: Final = 4_096


class OracleSource:
    """`keeper.ports.Source` for a stream of prices, for signed data or for pull updates."""

    def __init__(self, settings: OracleSettings, clock: Clock, tell: Tell, link: Link) -> None:
        self.settings = settings
        self.malformed = 0
        self.dropped = 0  # frames that a flood pushed out
        self.posted = 0
        self._clock = clock
        self._tell = tell
        self._link = link
        self._queue: deque[bytes | str] = deque(maxlen=settings.queue_max)
        self._waiting = asyncio.Event()
        self._malformed_run = 0
        self._good_ns = clock.monotonic_ns()
        self._stale = False
        self._down = ""
        self._seen: dict[Hashable, None] = {}

    async def run(self, post: Post) -> None:
        """Post what the source says until cancelled; no fault of the source ends it."""
        self._good_ns = self._clock.monotonic_ns()
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._link.run(self._take, self._ended))
            parts.create_task(self._read_on(post))
            parts.create_task(self._watch())

    @property
    def age_s(self) -> float:
        """Return how long ago the source last said something usable, seconds."""
        return (self._clock.monotonic_ns() - self._good_ns) / NS_PER_S

    def _take(self, frame: bytes | str) -> None:
        """Queue a frame, at the cost of the oldest; raises MalformedReply after too much nonsense.

        The reading happens elsewhere, so the count is of frames read since.
        """
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(frame)
        self._waiting.set()
        if self._malformed_run >= self.settings.malformed_max:
            run, self._malformed_run = self._malformed_run, 0
            raise MalformedReply(self.settings.name, f"{run} malformed frames in a row")

    async def _read_on(self, post: Post) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            self._read_queue(post)
            await asyncio.sleep(self.settings.post_ms / 1_000)

    def _read_queue(self, post: Post) -> None:
        """Read what is queued; of several of the same in one pause only the last is posted."""
        last: dict[Hashable, Said] = {}
        while self._queue:
            try:
                last.update(self._events(self._queue.popleft()))
            except MalformedReply as error:
                self.malformed += 1
                self._malformed_run += 1
                if self._malformed_run == 1:
                    self._say("oracle_malformed", "warning", problem=error.problem)
            else:
                self._malformed_run = 0
        for event in last.values():
            if isinstance(event, PayloadReceived) and not self._new(_key(event)):
                continue
            self.posted += 1
            post(event)
        if last:
            self._heard()

    def _events(self, frame: bytes | str) -> Mapping[Hashable, Said]:
        """Return what a frame says by what it is of: the newest of those is worth all others."""
        settings = self.settings
        document = mapping.parsed(settings.name, frame)
        if settings.kind == "pyth_updates":
            return hermes.updates(settings, document)
        if settings.kind == "signed":
            return {_key(each): each for each in mapping.payloads(settings, document)}
        now_ms = self._clock.now_ns() // NS_PER_MS
        return {_key(each): each for each in mapping.price(settings, document, now_ms)}

    def _new(self, key: Hashable) -> bool:
        """Tell whether signed data were not posted before: a page shows them again and again."""
        if key in self._seen:
            return False
        self._seen[key] = None
        while len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return True

    def _heard(self) -> None:
        self._good_ns = self._clock.monotonic_ns()
        if self._stale or self._down:
            self._stale, self._down = False, ""
            self._say("oracle_back", "info")

    def _ended(self, error: EndpointError) -> None:
        """Tell why a session ended, once for as long as the reason stays the same."""
        if self._down != str(error):
            self._down = str(error)
            self._say("oracle_lost", "warning", problem=error.problem)

    async def _watch(self) -> None:
        """Tell once that the source has said nothing usable for too long."""
        stale_s = self.settings.stale_s
        while True:
            await asyncio.sleep(stale_s / 4)
            if not self._stale and self.age_s >= stale_s:
                self._stale = True
                self._say("oracle_stale", "warning", age_s=round(self.age_s, 3))

    def _say(self, kind: str, severity: str, **fields: str | float) -> None:
        told = (("source", self.settings.name), *fields.items())
        self._tell(Notice(kind, severity, told))


def source(
    settings: OracleSettings, clock: Clock, tell: Tell, headers: Headers = NONE
) -> OracleSource:
    """Return the source that settings describe: of a WebSocket, of events, or polled."""
    link: Link
    stream_url = settings.stream_url
    if stream_url is None:
        link = PollLink(settings, settings.poll_url or "", headers)
    elif stream_url.startswith("http"):
        link = EventLink(settings, stream_url, headers)
    else:
        link = SocketLink(settings, stream_url, headers)
    return OracleSource(settings, clock, tell, link)


def _key(event: Said) -> Hashable:
    if isinstance(event, OracleUpdated):
        return event.underlying
    return event.feed, event.payload
