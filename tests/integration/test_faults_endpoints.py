"""Rows 1 to 6, 41, 42 and 45 of the fault matrix: endpoints that die, dawdle, lie or disagree.

Where a guard can be taken away, a row is tried without it too, and must fail then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from deploy.devnet.chain.node import HOST, Node, NodeOptions
from keeper.chain.link.budget import Budget
from keeper.chain.link.endpoints import Endpoint, EndpointConfig, EndpointState
from keeper.chain.link.hedge import HedgeConfig, HedgedRpc
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.pool import EndpointPool, PoolConfig
from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.domain.errors import (
    ChainMismatch,
    DeadlineExceeded,
    EndpointUnreachable,
    RateLimited,
    RpcError,
)
from keeper.runtime.clock import SystemClock
from tests.integration.link_world import (
    BLOCK_TIME_MS,
    BRISK,
    CHAIN_ID,
    EMITTER,
    EMITTER_CODE,
    HEADS,
    POOL,
    PoolLink,
    emit,
    equip,
    linked,
    mine,
    pool_linked,
)
from tests.unit.chain.scripted_node import PATIENCE_S, until
from tests.world.fault_proxy import fault_proxy
from tests.world.rpc_proxy import RateLimit, rpc_proxy
from tests.world.rpc_rules import delaying
from tests.world.twins import Twins, twins


pytestmark = pytest.mark.node


@pytest.fixture
def chain() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as node:
        equip(node)
        yield node


@pytest.fixture
def pair() -> Iterator[Twins]:
    with twins() as both:
        both.both("anvil_setCode", EMITTER, EMITTER_CODE)
        both.mine(3)
        yield both


async def grow(pair: Twins, blocks: int = 1, *, on: Node | None = None) -> None:
    """Mine blocks with a log each, on both nodes or on one."""

    def work() -> None:
        for _ in range(blocks):
            for node in (pair.one, pair.other) if on is None else (on,):
                emit(node, 1)
            pair.mine(on=on)

    await asyncio.to_thread(work)


@asynccontextmanager
async def two(pair: Twins, **settings: object) -> AsyncIterator[PoolLink]:
    urls = [pair.one.ws_url, pair.other.ws_url]
    # Both are up before one is chosen: which of them is followed is no race.
    async with pool_linked(pair.one, urls, all_up=True, **settings) as link:  # type: ignore[arg-type]
        await sending(link)
        yield link


async def sending(link: PoolLink) -> None:
    await until(lambda: link.pool.refusal() is None)


async def compared(link: PoolLink, rounds: int) -> None:
    """Wait until the endpoints were held against one another so many times more."""
    last = link.pool.rounds + rounds
    await until(lambda: link.pool.rounds >= last)


async def test_row_01_a_dead_node_is_survived_on_another_and_the_last_one_stops_sends(
    pair: Twins,
) -> None:
    async with two(pair) as link:
        await grow(pair, 2)
        await link.caught_up(pair.one)
        await asyncio.to_thread(pair.one.kill)
        await grow(pair, 3, on=pair.other)
        await link.caught_up(pair.other)
        assert link.pool.watch.name == "n1"
        await sending(link)
        await asyncio.to_thread(pair.other.kill)
        await until(lambda: link.pool.refusal() == "no endpoint is alive")
        assert not link.task.done()
        assert not link.pool_task.done()


@pytest.mark.parametrize("hedged", [True, False])
async def test_row_02_a_slow_endpoint_is_hedged_in_far_less_than_its_deadline(
    chain: Node, hedged: bool
) -> None:
    async with rpc_proxy(chain.url) as slow, RpcHttp("quick", chain.url) as quick:
        slow.rules = [delaying(lambda _: 3_600.0)]
        async with RpcHttp("slow", slow.url) as first:
            rpcs = [first, quick] if hedged else [first]
            reads = HedgedRpc("read", lambda: rpcs, HedgeConfig(hedge_after_ms=100))
            if hedged:
                assert await reads.call("eth_chainId", [], deadline_s=PATIENCE_S) == hex(CHAIN_ID)
                assert reads.hedged == 1
            else:
                with pytest.raises(DeadlineExceeded):
                    await reads.call("eth_chainId", [], deadline_s=0.5)


async def test_row_02_heads_that_get_old_stop_sends(chain: Node) -> None:
    config = PoolConfig(block_time_ms=200, call_deadline_ms=1000, agreed_age_blocks_max=3)
    async with rpc_proxy(chain.url) as slow:
        delays = {"eth_getBlockByNumber": 0.0}
        slow.rules = [delaying(lambda method: delays.get(method, 0.0))]
        async with pool_linked(chain, [slow.url], config=config) as link:
            await until(lambda: link.pool.refusal() is None or link.pool.rounds > 1)
            delays["eth_getBlockByNumber"] = 30.0
            await until(lambda: link.pool.refusal() is not None)


QUIET = HeadsConfig(
    block_time_ms=60_000, poll_interval_ms=60_000, call_deadline_ms=5_000, stall_blocks=100
)


@pytest.mark.parametrize("watched", [True, False])
async def test_row_03_half_open_detected_in_3_blocks(chain: Node, watched: bool) -> None:
    heads = BRISK if watched else QUIET
    async with (
        fault_proxy(HOST, chain.port) as proxy,
        linked(chain, proxy.ws_url, heads=heads) as link,
    ):
        await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        sessions = link.follower.status.sessions
        proxy.freeze()
        within_s = 3 * BLOCK_TIME_MS / 1000
        if not watched:
            # Without poll and watchdog nobody tells: that is what half-open means.
            with pytest.raises(TimeoutError):
                await until(lambda: link.endpoint.state is not EndpointState.ALIVE, within_s)
            return
        await until(lambda: link.endpoint.state is not EndpointState.ALIVE)
        # By the first call that had no answer; how long that is, is the configuration's.
        assert "no answer in 0.4 s" in link.follower.status.last_problem
        assert BRISK.poll_interval_ms + BRISK.call_deadline_ms <= 3 * BLOCK_TIME_MS
        # Subscribed anew, and the gap filled from the last processed hash.
        await asyncio.to_thread(mine, chain, 12)
        await link.caught_up(chain)
        assert link.follower.status.sessions > sessions
        assert not link.rewinds


async def test_row_04_wrong_chain_at_runtime_ends_the_run_of_the_only_endpoint(chain: Node) -> None:
    async with pool_linked(chain, [chain.ws_url], probe_interval_ms=50) as link:
        await asyncio.to_thread(chain.call, "anvil_setChainId", 7)
        with pytest.raises(ChainMismatch, match="expected 31337, was 7") as raised:
            await asyncio.wait_for(link.pool_task, PATIENCE_S)
        assert raised.value.exit_code == 66
        assert link.pool.refusal() is not None


async def test_row_04_an_endpoint_on_a_wrong_chain_is_left_and_looked_at_again(
    pair: Twins,
) -> None:
    config = replace(POOL, mismatch_retry_ms=200)
    async with two(pair, config=config, probe_interval_ms=50) as link:
        await asyncio.to_thread(pair.one.call, "anvil_setChainId", 7)
        await until(lambda: link.state(0) is EndpointState.WRONG_CHAIN)
        await asyncio.to_thread(pair.mine, 2)  # on that chain id anvil's own accounts cannot sign
        await link.caught_up(pair.other)
        await sending(link)
        await asyncio.to_thread(pair.one.call, "anvil_setChainId", CHAIN_ID)
        await until(lambda: link.state(0) is EndpointState.ALIVE)


async def test_row_05_a_lagging_endpoint_is_left_for_the_one_ahead(pair: Twins) -> None:
    async with two(pair) as link:
        await grow(pair, 1)
        await link.caught_up(pair.one)
        await grow(pair, 5, on=pair.other)
        await link.caught_up(pair.other)
        assert link.pool.watch.name == "n1"
        assert link.state(0) is EndpointState.OUT_OF_SYNC
        assert [each.name for each in link.pool.readers()] == ["n1", "n0"]
        await sending(link)
        assert not link.rewinds


async def test_row_05_a_late_endpoint_to_fall_back_on_takes_nothing_back(pair: Twins) -> None:
    # Two polls apart a head that is short of ours would be a rewind: no poll comes that late here.
    heads = replace(HEADS, poll_interval_ms=600_000)
    async with two(pair, heads=heads) as link:
        await grow(pair, 2)
        await grow(pair, 2, on=pair.one)
        await link.caught_up(pair.one)
        sessions = link.follower.status.sessions
        timestamps = await asyncio.to_thread(pair.missing)
        await asyncio.to_thread(pair.one.kill)
        await until(lambda: link.pool.watch.name == "n1")
        await until(lambda: link.follower.status.sessions > sessions)
        for timestamp in timestamps:
            await asyncio.to_thread(emit, pair.other, 1)
            await asyncio.to_thread(pair.mine_at, pair.other, timestamp)
        await grow(pair, 1, on=pair.other)
        await link.caught_up(pair.other)
        assert not link.rewinds


async def test_row_06_providers_that_conflict_mean_no_sends_until_they_agree(pair: Twins) -> None:
    async with two(pair) as link:
        await grow(pair, 2)
        await link.caught_up(pair.one)
        await asyncio.to_thread(pair.part)
        rounds = link.pool.rounds
        await until(lambda: "disagree at block" in str(link.pool.refusal()))
        assert link.pool.rounds - rounds <= 6, "twice a block, three blocks long"
        await link.reach(pair.one)
        await asyncio.to_thread(pair.meet)
        await sending(link)
        await link.caught_up(pair.one)


async def test_row_06_one_provider_alone_cannot_tell(pair: Twins) -> None:
    # The row without its guard: nobody to disagree with.
    async with pool_linked(pair.one, [pair.one.ws_url]) as link:
        await sending(link)
        await asyncio.to_thread(pair.part)
        await link.reach(pair.one)
        await compared(link, 4)
        assert link.pool.refusal() is None


@pytest.mark.parametrize("url", ["ws://no-such-host.invalid:1", "wss://{place}", "https://{place}"])
async def test_row_41_a_name_or_a_certificate_that_fails_is_an_endpoint_that_is_dead(
    chain: Node, url: str
) -> None:
    broken = url.format(place=f"{HOST}:{chain.port}")
    async with pool_linked(chain, [broken, chain.ws_url]) as link:
        await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        await until(lambda: link.pool.endpoints[0].last_problem != "")
        # Refused, or not looked up in time: which it is, is the resolver's.
        assert "connect" in link.pool.endpoints[0].last_problem or url.startswith("https")
        assert link.state(0) is EndpointState.UNREACHABLE
        await sending(link)


@pytest.mark.parametrize("honoured", [True, False])
async def test_row_42_a_429_is_waited_out_as_long_as_it_says(
    chain: Node, honoured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not honoured:
        monkeypatch.setattr(Budget, "limited", lambda *_: None)
    async with rpc_proxy(chain.url) as proxy:
        endpoint = Endpoint(EndpointConfig("node", proxy.url, CHAIN_ID), SystemClock())
        task = asyncio.create_task(endpoint.run())
        try:
            await asyncio.wait_for(endpoint.up(), PATIENCE_S)
            proxy.limit = RateLimit(calls_left=2, retry_after="60")
            outcomes = [await tried(endpoint) for _ in range(20)]
            assert outcomes[:2] == ["0x7a69", "0x7a69"]
            assert outcomes[2:] == ["RateLimited"] * 18
            assert proxy.limit.refused == (1 if honoured else 18)
        finally:
            task.cancel()
            await asyncio.wait([task])


async def tried(endpoint: Endpoint) -> str:
    try:
        return str(await endpoint.call("eth_chainId", [], deadline_s=30.0))
    except RateLimited as error:
        return type(error).__name__


@pytest.mark.parametrize("retry_after", ["1", None, "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_row_42_a_limited_link_goes_on_where_it_was(
    chain: Node, retry_after: str | None
) -> None:
    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url) as link:
        await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        proxy.limit = RateLimit(calls_left=0, retry_after=retry_after)
        await asyncio.to_thread(mine, chain, 2)
        await until(lambda: "rate limited" in link.follower.status.last_problem)
        proxy.limit = None
        await link.caught_up(chain)
        assert not link.rewinds


@pytest.mark.parametrize("patient", [True, False])
async def test_row_45_stale_answers_behind_a_balancer_take_nothing_back(
    pair: Twins, patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not patient:
        news: Callable[..., bool] = lambda self, latest: latest.hash != self._branch.tip.hash  # noqa: E731
        monkeypatch.setattr(HeadFollower, "_is_news", news)
    heads = replace(HEADS, poll_interval_ms=30)
    async with (
        rpc_proxy(pair.one.url, pair.other.url) as proxy,
        # Probes would come between two polls: one node would answer twice in a row.
        linked(pair.one, proxy.ws_url, heads=heads, probe_interval_ms=600_000) as link,
    ):
        await grow(pair, 3)
        await link.caught_up(pair.one)
        await grow(pair, 2, on=pair.one)
        await until(lambda: link.follower.status.number == link.start + 5)
        if patient:
            polls = proxy.asked.count("eth_getBlockByNumber")
            await until(lambda: proxy.asked.count("eth_getBlockByNumber") >= polls + 10)
            assert not link.rewinds
        else:
            await until(lambda: bool(link.rewinds))
        await asyncio.to_thread(pair.catch_up)
        await link.caught_up(pair.one)


async def test_row_45_a_read_at_a_block_hash_is_that_block_s_or_none_at_all(pair: Twins) -> None:
    await grow(pair, 1, on=pair.one)
    async with (
        rpc_proxy(pair.one.url, pair.other.url) as balanced,
        RpcHttp("balanced", balanced.url) as stale,
        RpcHttp("own", pair.one.url) as own,
    ):
        head = await NodeReader(own, ReaderConfig()).header("latest")
        alone, refused = NodeReader(stale, ReaderConfig()), 0
        for _ in range(6):
            try:
                assert await alone.code(EMITTER, head.hash) == EMITTER_CODE
            except RpcError:
                refused += 1
        assert refused == 3
        both = HedgedRpc("read", lambda: [stale, own], HedgeConfig(hedge_after_ms=60_000))
        for _ in range(6):
            assert await NodeReader(both, ReaderConfig()).code(EMITTER, head.hash) == EMITTER_CODE
        assert both.failed_over == 3


async def test_a_pool_without_any_node_waits_and_says_no(chain: Node) -> None:
    pool = EndpointPool([EndpointConfig("gone", "ws://127.0.0.1:1", 1)], POOL, SystemClock())
    task = asyncio.create_task(pool.run())
    try:
        await asyncio.sleep(0.2)
        assert pool.refusal() == "no endpoint is alive"
        with pytest.raises(EndpointUnreachable):
            await pool.reads.call("eth_chainId", [], deadline_s=1)
    finally:
        task.cancel()
        await asyncio.wait([task])
