"""One of several endpoints to follow heads on: the best there is, and another when it fails.

It is a `Watch` for the follower, which need not know that there are several. It knows states, not
blocks: that an endpoint is behind or on another branch is the pool's to find out.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from keeper.chain.link.endpoints import Endpoint
from keeper.chain.link.rating import WATCH_ORDER
from keeper.chain.link.subscription import Subscription
from keeper.chain.link.transport import Request
from keeper.domain.errors import EndpointUnreachable, RpcError


class BestWatch:
    """The endpoint that is followed now, and the way to the next; earlier ones are preferred."""

    def __init__(self, name: str, endpoints: Sequence[Endpoint]) -> None:
        self.switches = 0
        self._name = name
        self._endpoints = tuple(endpoints)
        self._picked: Endpoint | None = None
        self._subscription: Subscription | None = None
        self._leaving = False

    @property
    def name(self) -> str:
        """Return the name of the endpoint that is followed, or the group's own."""
        return self._name if self._picked is None else self._picked.name

    @property
    def picked(self) -> Endpoint | None:
        """Return the endpoint that is followed, if any."""
        return self._picked

    def best(self) -> Endpoint | None:
        """Return the connected endpoint to follow, were the choice made now."""
        ranked = [each for each in self._endpoints if each.connected and each.state in WATCH_ORDER]
        return min(ranked, key=lambda each: WATCH_ORDER.index(each.state), default=None)

    async def up(self) -> None:
        """Wait for an endpoint that can be followed, and pick the best."""
        while (best := self.best()) is None:
            await _first_up(self._endpoints)
        if self._picked is not None and best is not self._picked:
            self.switches += 1
        self._picked = best
        self._leaving = False

    def prefer_better(self) -> None:
        """Leave an endpoint that is no longer ALIVE where another one is better."""
        best, picked = self.best(), self._picked
        if best is None or picked is None or best is picked or self._subscription is None:
            return
        if picked.state not in WATCH_ORDER or (
            WATCH_ORDER.index(best.state) < WATCH_ORDER.index(picked.state)
        ):
            self._leaving = True
            problem = f"{picked.state.value}, {best.name} is better"
            self._subscription.end(EndpointUnreachable(picked.name, problem))

    def drop(self, problem: str) -> None:
        """Break the connection that failed; one that we left of our own will is kept."""
        if self._picked is not None and not self._leaving:
            self._picked.drop(problem)

    def head_seen(self) -> None:
        """Note that a new head came."""
        if self._picked is not None:
            self._picked.head_seen()

    def head_late(self) -> None:
        """Note that no head came for too long."""
        if self._picked is not None:
            self._picked.head_late()

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        """See `Rpc.call`."""
        return await self._required().call(method, params, deadline_s=deadline_s)

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any | RpcError]:
        """See `Rpc.batch`."""
        return await self._required().batch(calls, deadline_s=deadline_s)

    async def subscribe(
        self, topic: str, *, deadline_s: float, capacity: int, lossy: bool
    ) -> Subscription:
        """See `Subscriber.subscribe`."""
        self._subscription = await self._required().subscribe(
            topic, deadline_s=deadline_s, capacity=capacity, lossy=lossy
        )
        return self._subscription

    def _required(self) -> Endpoint:
        if self._picked is None:
            raise EndpointUnreachable(self._name, "no endpoint is connected")
        return self._picked


async def _first_up(endpoints: Sequence[Endpoint]) -> None:
    tasks = [asyncio.create_task(each.up()) for each in endpoints]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
