"""A follower on a real node, alone or through a pool: what the tests of the link stand on.

The emitter logs the block's number, so that each block's logs differ; `Link` folds what is posted
and compares the branch it leads to with the node's own, block by block and log by log.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from deploy.devnet.chain.node import Node
from keeper.chain.link.endpoints import Endpoint, EndpointConfig, EndpointState, Role
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.pool import EndpointPool, PoolConfig
from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.chain.link.transport import TransportLimits
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig, Watch
from keeper.domain.events import BlockSealed, ChainRewound, Event
from keeper.ports import Header
from keeper.runtime.clock import SystemClock
from tests.integration.lane_world import UNHURRIED
from tests.unit.chain.scripted_node import PATIENCE_S


CHAIN_ID = 31337
EMITTER = "0x" + "e1" * 20
REVERTER = "0x" + "e2" * 20
# LOG1 of the block number under topic 0x42; and a revert with the four bytes 12345678.
EMITTER_CODE = "0x43600052604260206000a100"
REVERTER_CODE = "0x63123456786000526004601cfd"
# Mined on request, the chain is quiet between tests' steps: silence must not count as a stall. Nor
# must an answer that is slow because the machine has much else to do: it comes, or the fault at
# hand says in another way that it will not.
HEADS = HeadsConfig(block_time_ms=60_000, poll_interval_ms=200, call_deadline_ms=30_000)
POOL = PoolConfig(
    block_time_ms=100, call_deadline_ms=30_000, stall_blocks=10_000, agreed_age_blocks_max=10_000
)
# For the faults of which nothing tells but the time that passes.
BLOCK_TIME_MS = 400
BRISK = HeadsConfig(block_time_ms=BLOCK_TIME_MS, poll_interval_ms=200, call_deadline_ms=400)
# A connection may take its time to be made; a lost one is made anew at once.
PATIENT = {"connect_deadline_ms": 30_000, "backoff_max_ms": 400}


def equip(node: Node) -> None:
    node.call("anvil_setCode", EMITTER, EMITTER_CODE)
    node.call("anvil_setCode", REVERTER, REVERTER_CODE)
    mine(node, 3)


def emit(node: Node, logs: int) -> None:
    sender = node.call("eth_accounts")[0]
    for _ in range(logs):
        node.call("eth_sendTransaction", {"from": sender, "to": EMITTER, "gas": "0x186a0"})


def mine(node: Node, blocks: int = 1, logs: int = 2) -> None:
    for _ in range(blocks):
        emit(node, logs)
        node.call("evm_mine")


def branch_of(node: Node, above: int) -> list[tuple[str, tuple[str, ...]]]:
    """Return (hash, data of the watched logs) of the node's blocks above a number, in order."""
    found = []
    for number in range(above + 1, int(node.call("eth_blockNumber"), 16) + 1):
        block = node.call("eth_getBlockByNumber", hex(number), False)["hash"]
        logs = node.call("eth_getLogs", {"blockHash": block, "address": EMITTER})
        found.append((block, tuple(log["data"] for log in logs)))
    return found


class Link:
    """A follower on a node, and the branch that its events fold to."""

    def __init__(self, follower: HeadFollower, start: int) -> None:
        self.follower = follower
        self.start = start
        self.events: list[Event] = []
        self.branch: list[tuple[str, tuple[str, ...]]] = []
        self.task: asyncio.Task[None]

    def post(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ChainRewound):
            del self.branch[event.number - self.start :]
        else:
            assert isinstance(event, BlockSealed)
            assert event.number == self.start + len(self.branch) + 1
            assert not self.branch or event.parent == self.branch[-1][0]
            self.branch.append((event.hash, tuple(log.data for log in event.logs)))

    async def reach(self, node: Node) -> None:
        """Wait until our tip is the node's."""
        head = await asyncio.to_thread(node.call, "eth_getBlockByNumber", "latest", False)
        async with asyncio.timeout(PATIENCE_S):
            while self.follower.status.hash != head["hash"]:
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.005)

    async def caught_up(self, node: Node) -> None:
        """Wait until our tip is the node's, and compare every block and log."""
        await self.reach(node)
        assert self.branch == await asyncio.to_thread(branch_of, node, self.start)

    @property
    def halvings(self) -> int:
        return self.follower.ranges.halvings

    @property
    def rewinds(self) -> list[int]:
        return [event.number for event in self.events if isinstance(event, ChainRewound)]


class EndpointLink(Link):
    """A link over one endpoint, with nothing else to fall back on."""

    endpoint: Endpoint


class PoolLink(Link):
    """A link over a pool of endpoints."""

    pool: EndpointPool
    pool_task: asyncio.Task[None]

    def state(self, place: int) -> EndpointState:
        return self.pool.endpoints[place].state


async def _start(node: Node) -> Header:
    async with RpcHttp("read", node.url) as rpc:
        return await NodeReader(rpc, ReaderConfig()).header("latest")


def _follower(watch: Watch, heads: HeadsConfig, start: Header, **more: Any) -> HeadFollower:
    return HeadFollower(watch, SystemClock(), heads, CHAIN_ID, start, [EMITTER], **more)


@asynccontextmanager
async def linked(
    node: Node,
    url: str | None = None,
    *,
    heads: HeadsConfig = HEADS,
    limits: TransportLimits = UNHURRIED,
    **settings: Any,
) -> AsyncIterator[EndpointLink]:
    """Follow one node from its head, over `url` where something stands between."""
    given: dict[str, Any] = {"name": "watch", "url": url or node.ws_url, "chain_id": CHAIN_ID}
    config = EndpointConfig(**given | PATIENT | settings)
    endpoint = Endpoint(config, SystemClock(), limits)
    start = await _start(node)
    link = EndpointLink(_follower(endpoint, heads, start), start.number)
    link.endpoint = endpoint
    async with AsyncExitStack() as stack:
        running = asyncio.create_task(endpoint.run())
        link.task = asyncio.create_task(link.follower.run(link.post))
        stack.push_async_callback(_end, running, link.task)
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        yield link


@asynccontextmanager
async def pool_linked(
    node: Node,
    urls: Iterable[str],
    *,
    heads: HeadsConfig = HEADS,
    config: PoolConfig = POOL,
    all_up: bool = False,
    **settings: Any,
) -> AsyncIterator[PoolLink]:
    """Follow the first of several endpoints that is up, or the first one, all of them compared."""
    common: dict[str, Any] = {"roles": (Role.WATCH, Role.READ)} | PATIENT | settings
    endpoints = [
        EndpointConfig(f"n{place}", url, CHAIN_ID, **common) for place, url in enumerate(urls)
    ]
    pool = EndpointPool(endpoints, config, SystemClock(), limits=UNHURRIED)
    start = await _start(node)
    follower = _follower(pool.watch, heads, start, witnesses=pool.witnesses)
    link = PoolLink(follower, start.number)
    link.pool = pool
    async with AsyncExitStack() as stack:
        link.pool_task = asyncio.create_task(pool.run())
        stack.push_async_callback(_end, link.pool_task)
        await asyncio.wait_for(pool.up(), PATIENCE_S)
        for each in pool.endpoints if all_up else ():
            await asyncio.wait_for(each.up(), PATIENCE_S)
        link.task = asyncio.create_task(follower.run(link.post))
        stack.push_async_callback(_end, link.task)
        yield link


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
