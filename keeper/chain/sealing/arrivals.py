"""Head notifications between the socket and the follower: hints, of which the best one counts.

Notifications may repeat, overtake one another or be lost, and a reorg may show in any of them. So
nothing is concluded here: the follower gets the highest head told since it last looked, and is
told whether something later than it arrived, which only the node itself can put in order.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from keeper.chain.link import wire
from keeper.chain.link.subscription import Subscription
from keeper.domain.errors import EndpointError, MalformedReply
from keeper.domain.units import Hash
from keeper.ports import Header


class Head(NamedTuple):
    """A head we were told of, and the monotonic nanosecond at which we were."""

    header: Header
    received_ns: int


class Arrivals:
    """What newHeads told us and the follower has not looked at yet; one producer, one consumer."""

    def __init__(self, endpoint: str, remembered_max: int) -> None:
        self.malformed = 0
        self._endpoint = endpoint
        self._remembered_max = remembered_max
        self._remembered: dict[Hash, Head] = {}
        self._best: Head | None = None
        self._disordered = False
        self._ended: EndpointError | None = None
        self._wake = asyncio.Event()

    async def pump(self, subscription: Subscription, on_head: Callable[[Header], None]) -> None:
        """Read the subscription until it ends, calling `on_head` as each head arrives."""
        try:
            while True:
                arrival = await subscription.get()
                try:
                    header = wire.header(self._endpoint, arrival.result)
                except MalformedReply:
                    # A hint we cannot read costs one poll interval, no more.
                    self.malformed += 1
                    continue
                self.add(Head(header, arrival.received_ns))
                on_head(header)
        except EndpointError as error:
            self._ended = error
            self._wake.set()

    def add(self, head: Head) -> None:
        """Take a head; the highest wins, among equals the later."""
        self._remembered[head.header.hash] = head
        if len(self._remembered) > self._remembered_max:
            del self._remembered[next(iter(self._remembered))]
        if self._best is None or head.header.number >= self._best.header.number:
            self._best = head
        else:
            self._disordered = True
        self._wake.set()

    async def take(self) -> Head:
        """Return the highest head told since the last call; raises what ended the subscription."""
        while self._best is None:
            if self._ended is not None:
                raise self._ended
            self._wake.clear()
            await self._wake.wait()
        best, self._best = self._best, None
        return best

    def take_disorder(self) -> bool:
        """Whether, since the last call, a lower head arrived after a higher one not yet taken."""
        disordered, self._disordered = self._disordered, False
        return disordered

    def remembered(self, block: Hash) -> Head | None:
        """Return a head we were told of lately, taken or not."""
        return self._remembered.get(block)

    def newer_than(self, number: int) -> bool:
        """Whether a head above `number` waits to be taken."""
        return self._best is not None and self._best.header.number > number
