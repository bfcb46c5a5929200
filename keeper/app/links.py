"""The endpoints of a run: one pool, kept up by one task, handed out by role."""

import asyncio
import gc
from contextlib import AsyncExitStack
from dataclasses import dataclass

from keeper.chain.link.endpoints import Endpoint, EndpointConfig
from keeper.chain.link.hedge import HedgedRpc
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.pool import EndpointPool, Report
from keeper.chain.link.watching import BestWatch
from keeper.chain.link.websocket import RpcSocket
from keeper.config import Config
from keeper.config.endpoints import endpoint_configs, pool_config
from keeper.ports import Clock
from keeper.runtime.clock import SystemClock


# After the snapshot nearly everything alive stays alive: what a collection walks through is told
# once, and the young are collected seldom. Default thresholds cost a block of 10,000 logs 60 ms.
GC_THRESHOLDS = (200_000, 20, 100)


@dataclass(frozen=True, slots=True)
class Links:
    """The pool and its task; a `Service` of the supervisor."""

    pool: EndpointPool
    task: asyncio.Task[None]

    @property
    def watch(self) -> BestWatch:
        """Return what the follower follows."""
        return self.pool.watch

    @property
    def read(self) -> HedgedRpc:
        """Return what state is read from."""
        return self.pool.reads

    @property
    def send(self) -> tuple[Endpoint, ...]:
        """Return where bytes are sent, all of them."""
        return tuple(self.pool.senders)

    async def run(self) -> None:
        """Wait for the end of the pool, which is a failure."""
        await self.task


async def connect(config: Config, clock: Clock, report: Report, stack: AsyncExitStack) -> Links:
    """Connect every endpoint and wait until they can be used; raises ChainMismatch."""
    pool = EndpointPool(endpoint_configs(config.chain), pool_config(config.chain), clock, report)
    task = asyncio.create_task(pool.run(), name="endpoints")
    stack.push_async_callback(_end, task)
    up = asyncio.create_task(pool.up())
    try:
        done, _ = await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        up.cancel()
    return Links(pool, task)


def open_link(endpoint: EndpointConfig) -> RpcSocket | RpcHttp:
    """Return a single connection, not yet open, for commands that only look."""
    if endpoint.url.startswith("ws"):
        return RpcSocket(endpoint.name, endpoint.url, SystemClock())
    return RpcHttp(endpoint.name, endpoint.url)


def settle_memory() -> None:
    """Leave what was loaded out of every later collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
