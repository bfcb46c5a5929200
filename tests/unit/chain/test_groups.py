"""Group commit, stale decisions, and what of a lane's life needs no command."""

import asyncio
from dataclasses import replace

import pytest

from keeper.chain.ledger.rows import Binding, CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.farewell import FarewellParameters
from keeper.chain.sending.nurse import FollowParameters
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    LaneObserved,
    TransactionIncluded,
)
from tests.unit.chain.fake_node import CHAIN_ID
from tests.unit.chain.lane_bench import (
    LANE,
    QUICK,
    attempt,
    command,
    follow,
    intent,
    running,
    signer,
)


async def test_a_group_is_one_commit_and_the_best_is_committed_before_it(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        groups = []
        bind = executor._ledger.bind_group

        async def counting(bindings):
            groups.append([each.intent.command_id for each in bindings])
            return await bind(bindings)

        executor._ledger.bind_group = counting
        executor.submit([command(node, number) for number in range(1, 17)])
        await told.until(lambda: len(told.of(CommandSent)) == 16)
        assert groups == [[1], list(range(2, 17))]


async def test_one_refused_in_a_group_leaves_no_gap_and_stops_nobody_else(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        # 3 is of the account of 2: the ledger refuses it in the middle of the group.
        executor.submit([command(node, n, account=2 if n == 3 else n) for n in range(1, 7)])
        await told.until(lambda: len(told.of(CommandSent)) == 5)
        assert [(e.command_id, e.nonce) for e in told.of(CommandCommitted)] == [
            (1, 0), (2, 1), (4, 2), (5, 3), (6, 4),
        ]  # fmt: skip
        assert [(e.command_id, e.reason) for e in told.of(CommandRefused)] == [(3, "live_action")]
        await follow(node, executor)
        assert len(told.of(TransactionIncluded)) == 5


async def test_a_group_that_dies_in_its_commit_leaves_nothing(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger", CHAIN_ID, CapParameters())
    await ledger.take_over([(LANE, 0)])
    fits, clash = Binding(intent(1, 1), attempt(0), 1), Binding(intent(2, 2), attempt(5), 1)
    assert await ledger.bind_group([fits, clash]) == [1, "nonce_taken"]
    assert [slot.nonce for slot in await ledger.open_slots()] == [0]
    await ledger.close()


async def test_a_decision_from_before_the_last_action_was_included_is_refused(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        stale = command(node, 2, account=1)
        executor.submit([command(node, 1, account=1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor)
        executor.submit([stale])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "not_followed"
        executor.submit([command(node, 3, account=1)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 2)


async def test_a_decision_on_a_new_branch_waits_until_the_orphaned_action_is_known(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1, account=1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor)
        node.reorg(1)
        executor.submit([command(node, 2, account=1)])  # the account is in breach again
        await asyncio.sleep(0.02)
        assert len(told.of(CommandCommitted)) == 1, "nothing may be bound before it is known"
        executor.on_block(node.head.number, node.head.hash)
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "live_action"


async def test_row_34_sigterm_keeps_live_bytes(node, tmp_path):
    """A cancel is answered by sending live bytes once more, and by waiting for their block."""
    parameters = replace(QUICK, farewell=FarewellParameters(wait_ms_max=3_000, poll_ms=5))

    async def leave() -> None:
        async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
            executor.submit([command(node, number) for number in (1, 2)])
            await told.until(lambda: len(told.of(CommandSent)) == 2)
            node.pool.clear()
            given = len(node.sent)
            tasks = asyncio.all_tasks()
            task = next(each for each in tasks if "LaneExecutor.run" in repr(each.get_coro()))
            task.cancel()
            await told.until(lambda: len(node.sent) == given + 2)
            assert not task.done(), "it waits for their block"
            node.mine()
            await asyncio.wait([task])
            assert [event.command_id for event in told.of(TransactionIncluded)] == [1, 2]

    with pytest.raises(asyncio.CancelledError):
        await leave()


async def test_bytes_of_a_lane_that_left_the_configuration_are_followed_to_their_end(
    node, tmp_path
):
    file = tmp_path / "ledger"
    async with running(node, file, lanes=1) as (executor, told):
        executor.submit([command(node, 1, account=9)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
    node.pool.clear()
    node.balances[signer(2).address] = 10**21
    async with running(node, file, signers=[signer(2)]) as (executor, told):
        assert {event.lane: event.state for event in told.of(LaneObserved)}[LANE] == "PAUSED"
        executor.submit([command(node, 2, account=9)])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "live_action"
        await follow(node, executor)
        assert [event.command_id for event in told.of(TransactionIncluded)] == [1]
        executor.submit([command(node, 3, account=9)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 1)
        assert told.of(CommandCommitted)[0].lane == signer(2).address


async def test_what_the_node_calls_final_is_final_and_depth_counts_where_it_names_nothing(
    node, tmp_path
):
    parameters = replace(
        QUICK,
        follow=FollowParameters(
            rebroadcast_blocks=1, poll_ms=60_000, confirm_blocks=2, finalized_every_blocks=1,
            final_blocks=12,
        ),
    )  # fmt: skip
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor, 6)
        slots = executor._dispatch.lanes[LANE].slots
        assert [slot.state for slot in slots.values()] == ["CONFIRMED"]
        node.final = node.head.number - 4
        await follow(node, executor)
        assert slots == {}
        executor.submit([command(node, 2)])
        node.final = None
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        await follow(node, executor, 11)
        assert [slot.state for slot in slots.values()] == ["CONFIRMED"]
        await follow(node, executor, 3)
        assert slots == {}


async def test_a_lane_that_comes_to_be_delegated_is_quarantined(node, tmp_path):
    parameters = replace(QUICK, follow=FollowParameters(poll_ms=60_000, delegation_every_blocks=2))
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        node.codes[LANE] = "0xef0100" + "11" * 20
        await follow(node, executor, 2)
        assert told.of(LaneObserved)[-1].state == "QUARANTINE"
