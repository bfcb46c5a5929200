import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from keeper.chain.link.branch import GapTooDeep
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.domain.errors import ConfigError, DeadlineExceeded, RateLimited, RpcError
from keeper.domain.events import BlockSealed, ChainRewound, Event
from keeper.ports import Clock
from tests.simulation.virtual_loop import VirtualClock, VirtualLoop
from tests.unit.chain.fake_chain import CHAIN_ID, WATCHED, FakeChain, expected, fold
from tests.unit.chain.scripted_node import PATIENCE_S, HostClock, until


START = 3
# Polls are so rare that a test which passes without `polling` needed none.
CONFIG = HeadsConfig(
    block_time_ms=60_000, poll_interval_ms=60_000, call_deadline_ms=1000, window_blocks=10
)
POLLING = HeadsConfig(
    block_time_ms=60_000, poll_interval_ms=10, call_deadline_ms=1000, window_blocks=10
)


class Following:
    """A follower at work on a fake chain, and what it posted."""

    def __init__(self, chain: FakeChain, config: HeadsConfig, clock: Clock) -> None:
        self.chain = chain
        self.events: list[Event] = []
        start = chain.header(START)
        self.follower = HeadFollower(chain, clock, config, CHAIN_ID, start, [WATCHED])
        self.task = asyncio.create_task(self.follower.run(self.events.append))

    async def until(self, number: int, block: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (self.follower.status.number, self.follower.status.hash) != (number, block):
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.001)

    async def caught_up(self) -> None:
        await self.until(int(self.chain.tip["number"], 16), self.chain.tip["hash"])
        assert fold(self.events, START, self.chain) == expected(self.chain)

    @property
    def sealed(self) -> list[BlockSealed]:
        return [event for event in self.events if isinstance(event, BlockSealed)]

    @property
    def rewinds(self) -> list[ChainRewound]:
        return [event for event in self.events if isinstance(event, ChainRewound)]


@asynccontextmanager
async def following(
    config: HeadsConfig = CONFIG, *, chain: FakeChain | None = None, clock: Clock | None = None
) -> AsyncIterator[Following]:
    chain = chain or chain_of(START)
    at_work = Following(chain, config, clock or HostClock())
    try:
        await until(lambda: bool(chain.asked))  # it has subscribed, and knows the head
        yield at_work
    finally:
        at_work.task.cancel()
        await asyncio.wait([at_work.task])


def chain_of(blocks: int) -> FakeChain:
    chain = FakeChain()
    chain.mine(blocks)
    return chain


async def test_every_head_is_sealed_once_with_its_logs_in_order() -> None:
    async with following() as it:
        for _ in range(20):
            it.chain.mine(logs=3)
            await it.caught_up()
        assert [event.number for event in it.sealed] == list(range(START + 1, START + 21))
        assert all(event.at_tip for event in it.sealed)
        assert all(event.received_ns == 1 for event in it.sealed)
        assert not it.rewinds
        assert "eth_getBlockReceipts" not in it.chain.asked


async def test_the_header_is_the_nodes_answer_by_hash_not_the_notification() -> None:
    async with following() as it:
        it.chain.mine(tell=False)
        it.chain.tell({**it.chain.tip, "timestamp": "0x1", "gasLimit": "0x1"})
        await it.caught_up()
        (event,) = it.sealed
        assert (event.timestamp, event.gas_limit, event.base_fee_wei) == (1_700_000_004, 30, 7)
        assert event.chain_id == CHAIN_ID


async def test_blocks_since_the_snapshot_are_folded_and_only_the_newest_is_at_the_tip() -> None:
    chain = chain_of(START)
    chain.mine(200)
    async with following(chain=chain) as it:
        await it.caught_up()
        assert [event.at_tip for event in it.sealed] == [False] * 199 + [True]
        assert it.follower.status.gap_blocks_filled == 199


@pytest.mark.parametrize("missed", [1, 2, 5, 100])
async def test_missed_heads_are_filled_in_order(missed: int) -> None:
    async with following() as it:
        it.chain.mine(missed, tell=False)
        it.chain.mine()
        await it.caught_up()
        assert [event.at_tip for event in it.sealed] == [False] * missed + [True]


@pytest.mark.parametrize("longer", [0, 1])
@pytest.mark.parametrize("depth", range(1, 9))
async def test_a_reorg_rewinds_to_the_common_ancestor_and_follows(depth: int, longer: int) -> None:
    async with following() as it:
        it.chain.mine(9)
        await it.caught_up()
        ancestor = START + 9 - depth
        it.chain.reorg(depth, longer=longer)
        await it.caught_up()
        (rewound,) = it.rewinds
        assert rewound == ChainRewound(CHAIN_ID, ancestor, it.chain.canonical[ancestor])
        assert it.follower.status.rewinds == 1


async def test_a_reorg_told_by_its_last_head_alone_is_followed() -> None:
    # geth tells no newHead of the intermediate blocks of a reorg.
    async with following() as it:
        it.chain.mine(6)
        await it.caught_up()
        it.chain.reorg(4, longer=1, tell=False)
        it.chain.tell(it.chain.tip)
        await it.caught_up()
        assert len(it.rewinds) == 1


async def test_a_reorg_back_to_the_first_branch_is_followed() -> None:
    async with following() as it:
        it.chain.mine(5)
        await it.caught_up()
        first = list(it.chain.canonical)
        it.chain.reorg(3, longer=1)
        await it.caught_up()
        it.chain.canonical = first
        it.chain.mine(2)
        await it.caught_up()
        assert len(it.rewinds) == 2


async def test_a_silent_rewind_is_found_by_the_next_lower_head() -> None:
    async with following() as it:
        it.chain.mine(5)
        await it.caught_up()
        it.chain.rewind(3)
        it.chain.mine(1)
        await it.caught_up()
        assert [rewound.number for rewound in it.rewinds] == [START + 2]


async def test_a_silent_rewind_is_found_by_the_poll_before_any_head() -> None:
    async with following(POLLING) as it:
        it.chain.mine(5)
        await it.caught_up()
        it.chain.rewind(3)
        await it.caught_up()
        assert [rewound.number for rewound in it.rewinds] == [START + 2]
        it.chain.mine(2)
        await it.caught_up()


async def test_heads_without_notifications_are_found_by_the_poll() -> None:
    async with following(POLLING) as it:
        it.chain.mine(3, tell=False)
        await it.caught_up()
        assert it.follower.status.heads_polled == 1


async def test_duplicate_heads_change_nothing() -> None:
    async with following() as it:
        it.chain.mine(4)
        await it.caught_up()
        posted = len(it.events)
        for block in it.chain.canonical * 3:
            it.chain.tell(it.chain.known[block])
        await asyncio.sleep(0.05)
        for block in it.chain.canonical:
            it.chain.tell(it.chain.known[block])
            await asyncio.sleep(0.005)
        assert len(it.events) == posted
        it.chain.mine()
        await it.caught_up()
        assert not it.rewinds


async def test_a_head_told_before_its_parent_seals_both_in_order() -> None:
    async with following() as it:
        it.chain.mine(2, tell=False)
        it.chain.tell(it.chain.tip)
        await it.caught_up()
        it.chain.tell(it.chain.known[it.chain.canonical[-2]])
        it.chain.mine(1)
        await it.caught_up()
        assert [event.number for event in it.sealed] == [4, 5, 6]
        assert not it.rewinds


async def test_a_stale_higher_head_does_not_hide_the_new_branch() -> None:
    async with following() as it:
        it.chain.mine(4, tell=False)
        stale = it.chain.tip
        it.chain.rewind(3)
        it.chain.mine(1, tell=False)
        it.chain.tell(stale)
        it.chain.tell(it.chain.tip)
        await it.caught_up()


async def test_a_head_the_node_has_lost_again_is_given_up_for_its_latest() -> None:
    async with following() as it:
        it.chain.mine(2)
        await it.caught_up()
        ghost = {**it.chain.tip, "hash": "0x" + "99" * 32, "number": "0x9"}
        it.chain.tell({**ghost, "parentHash": "0x" + "98" * 32})
        it.chain.mine(1, tell=False)
        await it.caught_up()
        assert it.follower.status.heads_vanished >= 1


async def test_malformed_heads_are_counted_and_the_next_good_one_is_followed() -> None:
    async with following() as it:
        malformed: list[Any] = [None, [], {}, {"number": "0x5"}, {**it.chain.tip, "hash": "0x12"}]
        for raw in malformed:
            it.chain.tell(raw)
        it.chain.mine()
        await it.caught_up()
        it.chain.cut()
        it.chain.mine()
        await it.caught_up()
        assert it.follower.status.heads_malformed == 5


async def test_empty_logs_with_a_bloom_hit_are_decided_by_the_receipts() -> None:
    async with following() as it:

        def lie(method: str, params: Sequence[Any]) -> Any:
            return [] if method == "eth_getLogs" else it.chain.truth(method, params)

        it.chain.answer = lie
        it.chain.mine(3, logs=2)
        await it.caught_up()
        assert (it.follower.blocks.doubts, it.follower.blocks.refuted) == (3, 3)


async def test_empty_logs_that_the_bloom_allows_cost_no_receipts() -> None:
    async with following() as it:
        it.chain.mine(3, logs=0)
        await it.caught_up()
        assert "eth_getBlockReceipts" not in it.chain.asked


async def test_too_many_logs_for_one_answer_are_read_from_the_receipts() -> None:
    async with following() as it:

        def refuse(method: str, params: Sequence[Any]) -> Any:
            if method == "eth_getLogs":
                return RpcError("watch", -32005, "query returned more than 10000 results")
            return it.chain.truth(method, params)

        it.chain.answer = refuse
        it.chain.mine(1, logs=5)
        await it.caught_up()


async def test_a_broken_connection_is_followed_by_a_backfill() -> None:
    async with following() as it:
        it.chain.mine(2)
        await it.caught_up()
        it.chain.cut()
        it.chain.mine(7, tell=False)
        await it.caught_up()
        assert it.follower.status.sessions == 2


@pytest.mark.parametrize(
    "error",
    [
        DeadlineExceeded("watch", "no answer"),
        RateLimited("watch", 0.01),
        RpcError("watch", -32000, "header not found"),
    ],
)
async def test_an_endpoint_error_leads_to_a_new_connection_and_no_loss(error: Exception) -> None:
    async with following() as it:
        failures = [error] * 6  # more than are asked for ahead and swallowed there

        def fail(method: str, params: Sequence[Any]) -> Any:
            if failures and method == "eth_getBlockByHash":
                failures.pop()
                raise error
            return it.chain.truth(method, params)

        it.chain.answer = fail
        it.chain.mine(3)
        await it.caught_up()
        assert it.chain.drops
        assert it.follower.status.last_problem == str(error)


@pytest.mark.parametrize(
    "twist",
    [
        lambda raw: {**raw, "number": "0x63"},
        lambda raw: {**raw, "parentHash": "0x" + "77" * 32},
        lambda raw: {**raw, "hash": "0x" + "77" * 32},
        lambda raw: {**raw, "logsBloom": "0x"},
        lambda raw: [raw],
    ],
)
async def test_a_block_that_does_not_fit_is_not_sealed(twist: Any) -> None:
    async with following() as it:

        def lie(method: str, params: Sequence[Any]) -> Any:
            truth = it.chain.truth(method, params)
            return twist(truth) if method == "eth_getBlockByHash" else truth

        it.chain.answer = lie
        it.chain.mine(logs=0)  # with logs, their block hash would give some of the lies away
        await until(lambda: bool(it.chain.drops))
        assert not it.events
        it.chain.answer = it.chain.truth
        await it.caught_up()


async def test_a_log_of_another_block_is_not_sealed() -> None:
    async with following() as it:

        def lie(method: str, params: Sequence[Any]) -> Any:
            truth = it.chain.truth(method, params)
            if method == "eth_getLogs":
                return [{**log, "blockHash": "0x" + "77" * 32} for log in truth]
            return truth

        it.chain.answer = lie
        it.chain.mine()
        await until(lambda: bool(it.chain.drops))
        assert not it.events
        it.chain.answer = it.chain.truth
        await it.caught_up()


async def test_duplicate_and_disordered_logs_are_put_in_order_once() -> None:
    async with following() as it:

        def repeat(method: str, params: Sequence[Any]) -> Any:
            truth = it.chain.truth(method, params)
            return truth[::-1] + truth if method == "eth_getLogs" else truth

        it.chain.answer = repeat
        it.chain.mine(2, logs=4)
        await it.caught_up()


async def test_a_rewind_below_the_window_ends_the_run() -> None:
    async with following() as it:
        it.chain.mine(14)
        await it.caught_up()
        it.chain.reorg(12, longer=1)
        with pytest.raises(GapTooDeep):
            await asyncio.wait_for(it.task, PATIENCE_S)
        assert not it.rewinds


async def test_a_gap_beyond_its_limit_ends_the_run() -> None:
    config = HeadsConfig(60_000, 60_000, 1000, gap_blocks_max=10)
    async with following(config) as it:
        it.chain.mine(11, tell=False)
        it.chain.tell(it.chain.tip)
        with pytest.raises(GapTooDeep):
            await asyncio.wait_for(it.task, PATIENCE_S)
        assert not it.events


def test_silence_for_three_block_times_makes_a_new_connection() -> None:
    config = HeadsConfig(block_time_ms=20, poll_interval_ms=10, call_deadline_ms=1000)
    loop = VirtualLoop()

    async def silence() -> None:
        async with following(config, clock=VirtualClock(loop)) as it:
            await asyncio.sleep(0.15)
            assert it.follower.status.stalls == 1
            assert any("no new head for 60 ms" in problem for problem in it.chain.drops)
            assert it.chain.heads_late >= 1
            # Doubling waits: a quiet chain is not connected to anew every three block times.
            await asyncio.sleep(0.6)
            assert it.follower.status.stalls == 3
            it.chain.mine()
            await it.caught_up()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(silence())


def test_blocks_told_faster_than_they_can_be_read_are_all_sealed_in_order() -> None:
    loop = VirtualLoop()

    async def haste() -> None:
        async with following(clock=VirtualClock(loop)) as it:
            it.chain.delay_s = 0.005
            for _ in range(50):
                it.chain.mine()
                await asyncio.sleep(0.001)
            await it.caught_up()
            assert it.sealed[-1].at_tip
            assert not all(event.at_tip for event in it.sealed)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(haste())


async def test_an_error_of_post_ends_the_run_bare() -> None:
    chain = chain_of(START + 1)

    def refuse(_: Event) -> None:
        raise ConfigError("inbox", 0, "test")

    start = chain.header(START)
    follower = HeadFollower(chain, HostClock(), CONFIG, CHAIN_ID, start, [WATCHED])
    with pytest.raises(ConfigError):
        await asyncio.wait_for(follower.run(refuse), PATIENCE_S)


@pytest.mark.parametrize("key", ["block_time_ms", "poll_interval_ms", "window_blocks"])
def test_a_figure_that_is_not_positive_is_refused(key: str) -> None:
    figures = {"block_time_ms": 1, "poll_interval_ms": 1, "call_deadline_ms": 1} | {key: 0}
    with pytest.raises(ConfigError, match=key):
        HeadsConfig(**figures)
