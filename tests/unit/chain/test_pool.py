import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from keeper.chain.link.endpoints import EndpointConfig, EndpointState, Role
from keeper.chain.link.pool import EndpointPool, PoolConfig
from keeper.domain.errors import ChainMismatch, ConfigError, FinalityViolated
from tests.unit.chain.fake_chain import digest
from tests.unit.chain.scripted_node import PATIENCE_S, HostClock, serving, until


CONFIG = PoolConfig(
    block_time_ms=40,
    call_deadline_ms=60_000,
    stall_blocks=10_000,
    agreed_age_blocks_max=10_000,
    mismatch_retry_ms=100,
)
BOTH = (Role.WATCH, Role.READ)


class Chain:
    """A chain over HTTP: `fork` names the branch above `fork_at`, `silent` answers nothing."""

    def __init__(self, head: int = 20) -> None:
        self.head = head
        self.final: int | None = None
        self.fork_at = 10**9
        self.chain_id = "0x1"
        self.silent = False
        self.asked = 0

    def block(self, number: int) -> dict[str, Any] | None:
        if number > self.head:
            return None
        name, parent = self._hash(number), self._hash(number - 1)
        place = {"number": hex(number), "hash": name, "parentHash": parent}
        return place | {"timestamp": "0x1", "gasLimit": "0x1"}

    async def serve(self, request: web.Request) -> web.Response:
        self.asked += 1
        parts = await request.json()
        if self.silent:
            await asyncio.sleep(60)
        answers = [{"id": part["id"], "result": self._answer(part)} for part in parts]
        return web.json_response(answers)

    def _answer(self, part: dict[str, Any]) -> Any:
        if part["method"] == "eth_chainId":
            return self.chain_id
        tag = part["params"][0]
        if tag == "finalized":
            return None if self.final is None else self.block(self.final)
        return self.block(self.head if tag == "latest" else int(tag, 16))

    def _hash(self, number: int) -> str:
        return digest("block", number, number > self.fork_at)


@asynccontextmanager
async def pooled(
    *chains: Chain, config: PoolConfig = CONFIG
) -> AsyncIterator[tuple[EndpointPool, asyncio.Task[None]]]:
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(serving(chain.serve)) for chain in chains]
        settings = [
            EndpointConfig(f"n{index}", f"http://{place}", 1, roles=BOTH, backoff_first_ms=10)
            for index, place in enumerate(places)
        ]
        pool = EndpointPool(settings, config, HostClock())
        task = asyncio.create_task(pool.run())
        try:
            yield pool, task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def agreed(pool: EndpointPool) -> None:
    await asyncio.wait_for(pool.up(), PATIENCE_S)
    await until(lambda: pool.refusal() is None)


async def test_endpoints_that_agree_may_send_whatever_their_heads() -> None:
    async with pooled(Chain(20), Chain(22)) as (pool, _):
        assert pool.refusal() == "no endpoint is alive"
        await agreed(pool)
        await until(lambda: all(each.state is EndpointState.ALIVE for each in pool.endpoints))
        assert pool.watch.name == "n0"
        assert [each.name for each in pool.witnesses()] == ["n1"]


@pytest.mark.parametrize("ahead", [0, 2])
async def test_two_that_disagree_at_a_height_mean_no_sends_until_they_agree(ahead: int) -> None:
    one, other = Chain(20), Chain(20 + ahead)
    async with pooled(one, other) as (pool, _):
        await agreed(pool)
        other.fork_at = 19
        await until(lambda: pool.refusal() == "n0 and n1 disagree at block 20")
        other.fork_at = 10**9
        await until(lambda: pool.refusal() is None)


async def test_the_silence_of_one_that_disagreed_is_no_agreement() -> None:
    one, other = Chain(), Chain()
    config = PoolConfig(block_time_ms=40, call_deadline_ms=50, stall_blocks=1000)
    async with pooled(one, other, config=config) as (pool, _):
        await agreed(pool)
        other.fork_at = 19
        await until(lambda: pool.conflict is not None)
        other.silent = True
        rounds = pool.rounds
        await until(lambda: pool.rounds >= rounds + 2)
        assert pool.refusal() is not None
        # Once it counts as gone, the one that is left is believed again.
        await until(lambda: pool.refusal() is None)
        assert pool.endpoints[1].state is EndpointState.UNREACHABLE


async def test_one_far_behind_is_out_of_sync_and_proves_itself_before_it_counts() -> None:
    one, other = Chain(20), Chain(20)
    async with pooled(one, other) as (pool, _):
        await agreed(pool)
        await until(lambda: pool.endpoints[1].connected)
        one.head = 24
        await until(lambda: pool.endpoints[1].state is EndpointState.OUT_OF_SYNC)
        assert [each.name for each in pool.readers()] == ["n0", "n1"]
        assert pool.refusal() is None
        other.head = 24
        await until(lambda: pool.endpoints[1].state is EndpointState.PROBING)
        await until(lambda: pool.endpoints[1].state is EndpointState.ALIVE)


async def test_the_last_lagging_endpoint_is_watched_and_nothing_is_sent() -> None:
    config = PoolConfig(block_time_ms=20, call_deadline_ms=500)
    one = Chain(20)
    async with pooled(one, config=config) as (pool, _):
        await until(lambda: pool.endpoints[0].state is EndpointState.LAGGING)
        assert pool.refusal() == "no endpoint is alive"
        assert pool.watch.best() is pool.endpoints[0]
        assert pool.readers() == [pool.endpoints[0]]


async def test_the_watch_moves_to_a_better_endpoint_and_keeps_the_one_it_left() -> None:
    one, other = Chain(20), Chain(20)
    async with pooled(one, other) as (pool, _):
        await agreed(pool)
        topic = await pool.watch.subscribe(
            "newHeads", deadline_s=PATIENCE_S, capacity=1, lossy=True
        )
        other.head = 30
        with pytest.raises(Exception, match="out_of_sync, n1 is better"):
            await asyncio.wait_for(topic.get(), PATIENCE_S)
        pool.watch.drop("what the follower says then")
        await pool.watch.up()
        assert (pool.watch.name, pool.watch.switches) == ("n1", 1)
        assert pool.endpoints[0].connected
        pool.watch.drop("and this one for real")
        assert not pool.endpoints[1].connected


async def test_one_on_the_wrong_chain_is_left_out_and_looked_at_again() -> None:
    one, other = Chain(), Chain()
    other.chain_id = "0x2"
    async with pooled(one, other) as (pool, task):
        await agreed(pool)
        await until(lambda: pool.endpoints[1].state is EndpointState.WRONG_CHAIN)
        assert not task.done()
        other.chain_id = "0x1"
        await until(lambda: pool.endpoints[1].connected)


async def test_one_with_another_genesis_than_the_first_is_on_a_wrong_chain() -> None:
    one, other = Chain(), Chain()
    other.fork_at = -1
    async with pooled(one, other) as (pool, task):
        wrong = [EndpointState.WRONG_CHAIN]
        await until(lambda: [e.state for e in pool.endpoints if e.state in wrong] == wrong)
        await until(lambda: pool.refusal() is None)
        assert not task.done()


async def test_no_endpoint_on_our_chain_ends_the_run() -> None:
    one, other = Chain(), Chain()
    one.chain_id = other.chain_id = "0x2"
    async with pooled(one, other) as (_, task):
        with pytest.raises(ChainMismatch, match="expected 1, was 2"):
            await asyncio.wait_for(task, PATIENCE_S)


async def test_one_that_leaves_a_final_block_is_dropped_and_all_of_them_end_the_run() -> None:
    one, other = Chain(), Chain()
    one.final = other.final = 10
    async with pooled(one, other) as (pool, task):
        await agreed(pool)
        await until(lambda: pool.finality.confirmed is not None)
        other.fork_at = 5
        await until(lambda: pool.endpoints[1].state is EndpointState.WRONG_CHAIN)
        assert not task.done()
        one.fork_at = 5
        with pytest.raises(FinalityViolated, match="block 10 was final"):
            await asyncio.wait_for(task, PATIENCE_S)


async def test_without_a_recent_round_nothing_is_sent() -> None:
    one = Chain()
    config = PoolConfig(block_time_ms=20, call_deadline_ms=60_000, agreed_age_blocks_max=2)
    async with pooled(one, config=config) as (pool, _):
        await until(lambda: pool.refusal() is None)
        one.silent = True
        await until(lambda: pool.refusal() == "the endpoints were not compared lately")


def test_names_must_differ_and_one_must_be_watched() -> None:
    twice = [EndpointConfig("a", "ws://x", 1), EndpointConfig("a", "ws://y", 1)]
    with pytest.raises(ConfigError, match="its own name"):
        EndpointPool(twice, CONFIG, HostClock())
    with pytest.raises(ConfigError, match="role watch"):
        EndpointPool([EndpointConfig("a", "ws://x", 1, roles=(Role.READ,))], CONFIG, HostClock())
