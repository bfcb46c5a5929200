"""A bounded queue of one subscription's notifications, stamped as they arrive.

It knows nothing of what the notifications mean. Where the consumer is too slow the loss is never
silent: a lossy subscription (heads: the newest says it all, parents fill the rest) counts what it
dropped, any other ends with an error, because a lost log must lead to a resync.
"""

import asyncio
from collections import deque
from typing import Any, NamedTuple

from keeper.domain.errors import EndpointError, MalformedReply


class Arrival(NamedTuple):
    """One notification, and the monotonic nanosecond at which its bytes were read."""

    received_ns: int
    result: Any


class Subscription:
    """What the transport delivers into and one consumer reads from."""

    def __init__(self, endpoint: str, identifier: str, capacity: int, *, lossy: bool) -> None:
        self.identifier = identifier
        self.dropped = 0
        self._endpoint = endpoint
        self._capacity = capacity
        self._lossy = lossy
        self._queue: deque[Arrival] = deque()
        self._ended: EndpointError | None = None
        self._wake = asyncio.Event()

    def deliver(self, arrival: Arrival) -> None:
        """Take a notification; on overflow drop the oldest (lossy) or end the subscription."""
        if self._ended is not None:
            return
        if len(self._queue) >= self._capacity:
            self.dropped += 1
            if not self._lossy:
                self.end(MalformedReply(self._endpoint, "subscription overflowed: resync"))
                return
            self._queue.popleft()
        self._queue.append(arrival)
        self._wake.set()

    def end(self, error: EndpointError) -> None:
        """Let the consumer drain what is queued, then raise `error`; the first error stays."""
        if self._ended is None:
            self._ended = error
        self._wake.set()

    async def get(self) -> Arrival:
        """Return the oldest notification; raises the EndpointError that ended the subscription."""
        while not self._queue:
            if self._ended is not None:
                raise self._ended
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()
