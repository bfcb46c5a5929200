"""The bounded queue where every event gets its number and its time.

One writer fixes one total order: whatever is posted from the loop's thread is numbered here, and
nothing later reorders it. Must not know what an event means, but for one thing: a head that has
been overtaken in the queue is not worth a decision.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.errors import OperatorError
from keeper.domain.events import BlockSealed, Entry, Event
from keeper.ports import Clock


WAITING_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Posted:
    """An entry with the monotonic time at which it was posted, for latencies only."""

    entry: Entry
    posted_ns: int


class InboxOverflow(OperatorError):
    """More events wait than the limit: the machine is too slow for this chain or this host.

    An event cannot be left out (state would be wrong from there on), so the run ends; the next
    start takes a fresh snapshot and is at the head again.
    """

    exit_code = 70

    def __init__(self, waiting_max: int, event: str) -> None:
        self.waiting_max = waiting_max
        self.event = event
        super().__init__(
            f"inbox: {waiting_max} events wait and {event} came; "
            "start again (from a fresh snapshot), give the process a faster or quieter core"
        )


class Inbox:
    """Numbers, stamps and holds events until the engine takes them, in the order posted."""

    def __init__(self, clock: Clock, first_seq: int = 1, waiting_max: int = WAITING_MAX) -> None:
        assert waiting_max > 0, "an inbox that holds nothing cannot start"
        self._clock = clock
        self._next_seq = first_seq
        self._waiting_max = waiting_max
        self._waiting: deque[Posted] = deque()
        self._heads: Counter[int] = Counter()
        self._arrival = asyncio.Event()
        self._overflow: InboxOverflow | None = None

    def post(self, event: Event) -> None:
        """Give an event its number and time; call it from the loop's thread only.

        Raises InboxOverflow when full, and from then on for every call: a source that swallowed
        the first would otherwise leave a hole in the order.
        """
        if self._overflow is None and len(self._waiting) >= self._waiting_max:
            self._overflow = InboxOverflow(self._waiting_max, type(event).__name__)
            self._arrival.set()
        if self._overflow is not None:
            raise self._overflow
        entry = Entry(self._next_seq, self._clock.now_ns(), event)
        self._next_seq += 1
        self._waiting.append(Posted(entry, self._clock.monotonic_ns()))
        if isinstance(event, BlockSealed) and event.at_tip:
            self._heads[event.chain_id] += 1
        self._arrival.set()

    async def take(self) -> Posted:
        """Wait for the next entry; raises InboxOverflow once the queue has overflowed."""
        while True:
            if self._overflow is not None:
                raise self._overflow
            if self._waiting:
                return self._pop()
            self._arrival.clear()
            await self._arrival.wait()

    def take_waiting(self) -> Posted | None:
        """Return the next entry without waiting, None when there is none; for shutdown."""
        return self._pop() if self._waiting else None

    @property
    def waiting(self) -> int:
        """Return how many entries wait."""
        return len(self._waiting)

    def _pop(self) -> Posted:
        """Take the oldest entry; a head that a later waiting head overtook is folded only.

        The change is made before the entry is journaled, so a replay sees the same `at_tip`.
        """
        posted = self._waiting.popleft()
        event = posted.entry.event
        if not isinstance(event, BlockSealed) or not event.at_tip:
            return posted
        self._heads[event.chain_id] -= 1
        if self._heads[event.chain_id] == 0:
            return posted
        overtaken = replace(posted.entry, event=replace(event, at_tip=False))
        return replace(posted, entry=overtaken)
