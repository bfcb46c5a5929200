"""Rows 7 to 13 of the fault matrix: logs that are lost, doubled or taken back, and reorgs.

Where a guard can be taken away, a row is tried without it too, and must fail then.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.chain.link.branch import GapTooDeep
from keeper.chain.sealing.completeness import Watchlist
from keeper.domain.errors import FinalityViolated
from tests.integration.link_world import (
    EMITTER,
    HEADS,
    POOL,
    equip,
    linked,
    mine,
    pool_linked,
)
from tests.unit.chain.scripted_node import PATIENCE_S, until
from tests.world.rpc_proxy import rpc_proxy
from tests.world.rpc_rules import dropping_nth, duplicating, reordering, rewriting


pytestmark = pytest.mark.node


@pytest.fixture
def chain() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as node:
        equip(node)
        yield node


@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_row_07_missed_heads_are_filled_from_the_parents(chain: Node, nth: int) -> None:
    # Nothing but the next head that is told may find what the ones before it did not tell.
    heads = replace(HEADS, poll_interval_ms=60_000)
    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url, heads=heads) as link:
        await asyncio.to_thread(mine, chain, 1)
        await link.caught_up(chain)
        told: list[dict[str, object]] = []
        proxy.notes = [lambda note: [told.append(note) or note], dropping_nth(nth)]
        await asyncio.to_thread(mine, chain, 12)
        await until(lambda: len(told) == 12)
        proxy.notes = []
        await asyncio.to_thread(mine, chain, 1)
        await link.caught_up(chain)
        assert link.follower.status.gap_blocks_filled > 0
        assert not link.rewinds


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_07_empty_getlogs_with_bloom_hit_retried_until_found(
    chain: Node, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        monkeypatch.setattr(Watchlist, "unheard", lambda *_: False)
    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url) as link:
        proxy.rules = [rewriting("eth_getLogs", lambda _: [])]
        await asyncio.to_thread(mine, chain, 4)
        if guarded:
            await link.caught_up(chain)
            assert link.follower.blocks.refuted >= 4
        else:
            await link.reach(chain)
            assert [logs for _, logs in link.branch] == [()] * 4


async def test_row_07_another_endpoint_is_asked_before_the_receipts_are(chain: Node) -> None:
    async with (
        rpc_proxy(chain.url) as proxy,
        pool_linked(
            chain,
            [proxy.ws_url, chain.ws_url],
            config=replace(POOL, lag_blocks_max=100),
            all_up=True,
        ) as link,
    ):
        proxy.rules = [rewriting("eth_getLogs", lambda _: [])]
        await asyncio.to_thread(mine, chain, 4)
        await link.caught_up(chain)
        assert link.pool.watch.name == "n0"
        # Once for each block at least: what was begun when a newer head came is asked anew.
        assert link.follower.blocks.refuted >= 4
        assert "eth_getBlockReceipts" not in proxy.asked


async def test_row_08_duplicated_heads_and_logs_count_once(chain: Node) -> None:
    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url) as link:
        proxy.notes = [duplicating, duplicating]
        proxy.rules = [rewriting("eth_getLogs", lambda logs: logs + logs[::-1])]
        for _ in range(6):
            await asyncio.to_thread(mine, chain)
        await link.caught_up(chain)
        assert len(link.events) == 6


async def test_row_09_log_before_head_and_dup_are_put_in_order(chain: Node) -> None:
    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url) as link:
        proxy.notes = [duplicating, reordering(3)]
        proxy.rules = [rewriting("eth_getLogs", lambda logs: logs[::-1] + logs)]
        for _ in range(9):
            await asyncio.to_thread(mine, chain)
        await link.caught_up(chain)
        assert len(link.events) == 9
        assert not link.rewinds


async def test_row_10_removed_logs_are_never_relied_on(chain: Node) -> None:
    removed = [True] * 12

    def taken_back(logs: list[dict[str, object]]) -> list[dict[str, object]]:
        return [log | {"removed": bool(removed and removed.pop())} for log in logs]

    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url) as link:
        await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        # Unasked-for news of logs that were taken back: whatever they say, blocks decide.
        logs = await asyncio.to_thread(chain.call, "eth_getLogs", {"address": EMITTER})
        for log in logs:
            params = {"subscription": "0x1", "result": log | {"removed": True}}
            note = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
            await proxy.say(json.dumps(note))
        proxy.rules = [rewriting("eth_getLogs", taken_back)]
        await asyncio.to_thread(mine, chain, 3)
        await link.caught_up(chain)
        assert not removed
        assert "taken back" in link.follower.status.last_problem
        await asyncio.to_thread(chain.call, "anvil_reorg", 2, [])
        await link.caught_up(chain)


@pytest.mark.parametrize("depth", range(1, 9))
async def test_row_11_a_reorg_of_any_depth_is_followed(chain: Node, depth: int) -> None:
    async with linked(chain) as link:
        await asyncio.to_thread(mine, chain, 9)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "anvil_reorg", depth, [])
        await asyncio.to_thread(mine, chain, 1)
        await link.caught_up(chain)
        assert link.rewinds == [link.start + 9 - depth]


@pytest.mark.parametrize("back", ["anvil_rollback", "evm_revert"])
@pytest.mark.parametrize("polled", [True, False])
async def test_row_12_a_silent_rewind_is_found_without_being_told(
    chain: Node, back: str, polled: bool
) -> None:
    heads = HEADS if polled else replace(HEADS, poll_interval_ms=60_000)
    async with linked(chain, heads=heads) as link:
        await asyncio.to_thread(mine, chain, 3)
        snapshot = await asyncio.to_thread(chain.call, "evm_snapshot")
        await asyncio.to_thread(mine, chain, 3)
        await link.caught_up(chain)
        argument = 3 if back == "anvil_rollback" else snapshot
        await asyncio.to_thread(chain.call, back, argument)
        if not polled:
            # Without the poll nothing tells, until the next head has an unknown parent.
            await asyncio.sleep(3 * HEADS.poll_interval_ms / 1000)
            assert not link.rewinds
            await asyncio.to_thread(mine, chain, 1, 1)
        await link.caught_up(chain)
        assert link.rewinds == [link.start + 3]


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_13_a_reorg_below_a_final_block_halts_and_rewinds_nothing(
    chain: Node, guarded: bool
) -> None:
    heads = replace(HEADS, finality_blocks=4 if guarded else 1_000)
    async with linked(chain, heads=heads) as link:
        await asyncio.to_thread(mine, chain, 9)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "anvil_reorg", 6, [])
        await asyncio.to_thread(mine, chain, 1)
        if not guarded:
            await link.caught_up(chain)
            return
        with pytest.raises(FinalityViolated) as raised:
            await asyncio.wait_for(link.task, PATIENCE_S)
        assert raised.value.exit_code == 67
        assert not link.rewinds
        assert len(link.branch) == 9


async def test_row_13_deeper_than_the_undo_window_asks_for_a_snapshot(chain: Node) -> None:
    async with linked(chain, heads=replace(HEADS, window_blocks=4)) as link:
        await asyncio.to_thread(mine, chain, 9)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "anvil_reorg", 6, [])
        with pytest.raises(GapTooDeep):
            await asyncio.wait_for(link.task, PATIENCE_S)
        assert not link.rewinds


async def test_row_13_a_final_block_that_every_endpoint_left_halts_the_pool() -> None:
    # anvil calls a block final 64 blocks below its head, as geth does after two epochs.
    with Node(NodeOptions(mining=False)) as chain:
        await asyncio.to_thread(chain.call, "anvil_mine", hex(80))
        async with pool_linked(chain, [chain.ws_url, chain.url]) as link:
            await until(lambda: link.pool.finality.confirmed is not None)
            await asyncio.to_thread(chain.call, "anvil_reorg", 70, [])
            with pytest.raises(FinalityViolated, match="was final as"):
                await asyncio.wait_for(link.pool_task, PATIENCE_S)
