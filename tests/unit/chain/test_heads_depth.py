"""How far back the follower goes: short heads, final blocks, gaps in ranges."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from keeper.chain.link.branch import GapTooDeep
from keeper.chain.sealing.heads import HeadsConfig
from keeper.domain.errors import FinalityViolated, RpcError
from tests.unit.chain.fake_chain import FakeChain
from tests.unit.chain.scripted_node import PATIENCE_S, until
from tests.unit.chain.test_heads import START, chain_of, following


def heads(**changes: int) -> HeadsConfig:
    figures = {"block_time_ms": 60_000, "poll_interval_ms": 10, "call_deadline_ms": 1000}
    return HeadsConfig(**figures | changes)


FINAL = heads(window_blocks=30, finality_blocks=6)


@pytest.mark.parametrize("longer", [0, 1])
async def test_a_reorg_down_to_the_last_final_block_is_followed(longer: int) -> None:
    async with following(FINAL) as it:
        it.chain.mine(12)
        await it.caught_up()
        it.chain.reorg(6, longer=longer)
        await it.caught_up()


@pytest.mark.parametrize("depth", [7, 9, 12])
async def test_a_reorg_below_a_final_block_ends_the_run_and_rewinds_nothing(depth: int) -> None:
    async with following(FINAL) as it:
        it.chain.mine(12)
        await it.caught_up()
        ours = list(it.chain.canonical)
        it.chain.reorg(depth, longer=1)
        with pytest.raises(FinalityViolated) as raised:
            await asyncio.wait_for(it.task, PATIENCE_S)
        assert not it.rewinds
        number = START + 6
        assert (raised.value.number, raised.value.expected) == (number, ours[number])
        assert raised.value.actual == it.chain.canonical[number]


async def test_what_is_final_stays_final_after_a_rewind() -> None:
    async with following(FINAL) as it:
        it.chain.mine(12)
        await it.caught_up()
        it.chain.reorg(5, longer=0)
        await it.caught_up()
        it.chain.reorg(7, longer=1)
        with pytest.raises(FinalityViolated):
            await asyncio.wait_for(it.task, PATIENCE_S)


async def test_a_reorg_below_the_window_but_above_finality_needs_a_snapshot() -> None:
    async with following(heads(window_blocks=4, finality_blocks=20)) as it:
        it.chain.mine(12)
        await it.caught_up()
        it.chain.reorg(8, longer=1)
        with pytest.raises(GapTooDeep):
            await asyncio.wait_for(it.task, PATIENCE_S)


async def test_a_head_that_is_merely_short_of_ours_is_given_a_moment() -> None:
    # Two nodes behind one balancer: every other answer comes from the one that is behind.
    async with following(heads()) as it:
        it.chain.mine(6)
        await it.caught_up()
        turn = [0]

        def balanced(method: str, params: Sequence[Any]) -> Any:
            if params[0] == "latest":
                turn[0] += 1
                if turn[0] % 2:
                    return it.chain.known[it.chain.canonical[-3]]
            return it.chain.truth(method, params)

        it.chain.answer = balanced
        await until(lambda: turn[0] > 8)
        it.chain.mine(2, tell=False)
        await it.caught_up()
        assert not it.rewinds


async def test_a_head_short_of_a_final_block_is_a_fault_of_the_endpoint_not_a_rewind() -> None:
    async with following(FINAL) as it:
        it.chain.mine(12)
        await it.caught_up()
        lost = it.chain.canonical[-9:]
        it.chain.rewind(9)
        await until(lambda: "behind what was" in it.follower.status.last_problem)
        assert not it.rewinds
        assert it.chain.drops
        it.chain.canonical += lost
        it.chain.mine(1)
        await it.caught_up()


def counting(chain: FakeChain, logs_max: int) -> list[int]:
    """Let the node refuse ranges with more logs; return the spans it was asked for."""
    spans: list[int] = []

    def answer(method: str, params: Sequence[Any]) -> Any:
        truth = chain.truth(method, params)
        if method != "eth_getLogs" or "fromBlock" not in params[0]:
            return truth
        spans.append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
        if len(truth) > logs_max:
            return RpcError("watch", -32005, f"query returned more than {logs_max} results")
        return truth

    chain.answer = answer
    return spans


async def test_a_gap_is_filled_in_bounded_ranges() -> None:
    chain = chain_of(START)
    chain.mine(200, logs=2)
    spans = counting(chain, logs_max=10_000)
    async with following(heads(range_blocks_max=50), chain=chain) as it:
        await it.caught_up()
    assert spans == [50, 50, 50, 49]
    # The last block of each range is read by itself, for it may have been cut off; so is the tip.
    assert chain.asked.count("eth_getLogs") == 4 + 4 + 1


async def test_ranges_halve_on_too_many_results_and_grow_again() -> None:
    chain = chain_of(START)
    chain.mine(130, logs=4)
    spans = counting(chain, logs_max=100)
    async with following(heads(range_blocks_max=64), chain=chain) as it:
        await it.caught_up()
    assert spans[:4] == [64, 32, 16, 32]
    assert len(spans) < 20


async def test_a_single_block_too_large_for_a_query_is_read_from_its_receipts() -> None:
    chain = chain_of(START)
    chain.mine(5, logs=1)
    chain.mine(1, logs=30)
    chain.mine(20, logs=1)
    counting(chain, logs_max=20)
    async with following(heads(), chain=chain) as it:
        await it.caught_up()


@pytest.mark.parametrize("cut", ["all", "some", "reorg"])
async def test_a_range_answer_that_lacks_logs_is_read_block_by_block(cut: str) -> None:
    chain = chain_of(START)
    chain.mine(40, logs=2)

    def answer(method: str, params: Sequence[Any]) -> Any:
        truth = chain.truth(method, params)
        if method != "eth_getLogs" or "fromBlock" not in params[0]:
            return truth
        if cut == "reorg":
            return [{**log, "blockHash": "0x" + "99" * 32} for log in truth]
        return [] if cut == "all" else truth[: len(truth) // 2]

    chain.answer = answer
    async with following(heads(), chain=chain) as it:
        await it.caught_up()
        # Block by block the same node told the truth, so that nothing had to be doubted there.
        assert it.follower.blocks.doubts == 0
