"""Slots against the chain: inclusion by block hash, reorgs, strangers, bumps, cancels."""

import asyncio
from dataclasses import replace

import pytest

from keeper.chain.sending.nurse import FollowParameters
from keeper.chain.sending.sender import ExecutionParameters
from keeper.domain.errors import FinalityViolated, RpcError
from keeper.domain.events import (
    CommandCommitted,
    CommandSent,
    LaneObserved,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from tests.unit.chain.fake_node import GWEI, FakeNode
from tests.unit.chain.lane_bench import (
    FUNDS,
    LANE,
    QUICK,
    catch_up,
    command,
    follow,
    running,
    sent,
)
from tests.unit.chain.scripted_node import PATIENCE_S


async def test_an_included_command_is_told_once_with_what_it_cost(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        await follow(node, executor, 3)
        (included,) = told.of(TransactionIncluded)
        assert (included.command_id, included.number, included.block) == (
            1,
            4,
            node.chain[4].hash,
        )
        assert included.gas_used == 21_000
        assert await executor._ledger.spent("global") == (0, 21_000 * included.price_wei)


async def test_a_failed_transaction_is_told_with_the_reason_of_a_trial_on_the_block_before(
    node, tmp_path
):
    data = f"0x{1:064x}"
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        node.failing.add(data)
        node.reverts[data] = "0xbeef"
        await follow(node, executor)
        (reverted,) = told.of(TransactionReverted)
        assert reverted.reason == "venue:0xbeef"
        # The account is free again: its action has ended.
        node.reverts.clear()
        await sent(node, executor, told, 2, account=1)


async def test_a_failure_that_the_block_before_does_not_show_says_so(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        node.failing.add(f"0x{1:064x}")
        await follow(node, executor)
        assert told.of(TransactionReverted)[0].reason == "not_reproduced"


async def test_a_failure_by_what_came_earlier_in_its_block_is_named(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        node.failing.add(f"0x{1:064x}")
        asked = []

        def call(params):
            asked.append(params[1]["blockHash"])
            fine = len(set(asked)) == 1  # the block before: nothing was wrong there yet
            return "0x" if fine else RpcError("node", 3, "execution reverted", "0xbeef")

        node.script["eth_call"] = call
        await follow(node, executor)
        (reverted,) = told.of(TransactionReverted)
        assert reverted.reason == "venue:0xbeef"
        assert asked[-1] == reverted.block


async def test_a_receipt_of_a_block_off_our_branch_does_not_count(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        node.mine()
        truth = node._receipt(told.of(CommandCommitted)[0].transaction)
        node.script["eth_getTransactionReceipt"] = lambda _: {
            **truth,
            "blockHash": "0x" + "77" * 32,
        }
        await catch_up(node, executor)
        assert told.of(TransactionIncluded) == []
        del node.script["eth_getTransactionReceipt"]
        await follow(node, executor)
        assert len(told.of(TransactionIncluded)) == 1


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_reorg_orphans_rebroadcasts_and_includes_the_same_bytes(node, tmp_path, depth):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, 2)
        await follow(node, executor, depth)
        node.reorg(depth)
        await follow(node, executor, 2)
        assert [each.command_id for each in told.of(TransactionOrphaned)] == [1, 2]
        hashes = [each.transaction for each in told.of(TransactionIncluded)]
        assert len(hashes) == 4
        assert hashes[:2] == hashes[2:]
        assert node.nonce(LANE) == 2


async def test_a_reorg_settles_the_spend_once(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        await follow(node, executor)
        once = await executor._ledger.spent(f"lane:{LANE}")
        node.reorg(1)
        await catch_up(node, executor)
        reserved, settled = await executor._ledger.spent(f"lane:{LANE}")
        assert settled == 0
        assert reserved > 0
        await follow(node, executor)
        assert await executor._ledger.spent(f"lane:{LANE}") == once


async def test_an_orphan_whose_account_acts_elsewhere_by_now_is_cancelled(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, account=9)
        await follow(node, executor)
        await sent(node, executor, told, 2, account=9)
        node.reorg(1)
        node.pool.clear()
        await catch_up(node, executor)
        await follow(node, executor, 2)
        dropped = told.of(TransactionDropped)
        assert [(each.command_id, each.reason) for each in dropped] == [(1, "cancelled")]
        assert [each.command_id for each in told.of(TransactionIncluded)] == [1, 2]
        on_chain = [t.data for block in node.chain for t in block.transactions]
        assert on_chain.count(f"0x{9:064x}") == 1, "the account was acted on exactly once"


async def test_a_foreign_nonce_quarantines_after_k_blocks_and_only_if_no_witness_objects(
    node, tmp_path
):
    witness = FakeNode("witness")
    async with running(node, tmp_path / "ledger", witnesses=[witness]) as (executor, told):
        await sent(node, executor, told, 1)
        node.pool.clear()
        node.nonce_offset[LANE] = 1
        witness.script["eth_getTransactionReceipt"] = lambda _: RpcError("witness", -32000, "busy")
        truth = {
            "transactionHash": told.of(CommandCommitted)[0].transaction,
            "blockNumber": "0x4",
            "blockHash": "0x" + "55" * 32,
            "transactionIndex": "0x0",
            "status": "0x1",
            "gasUsed": "0x1",
            "effectiveGasPrice": "0x1",
        }
        witness.script["eth_getTransactionReceipt"] = lambda _: truth
        await follow(node, executor, 5)
        assert told.of(TransactionDropped) == []
        witness.script["eth_getTransactionReceipt"] = lambda _: None
        await follow(node, executor)
        assert [each.reason for each in told.of(TransactionDropped)] == ["foreign"]
        assert told.of(LaneObserved)[-1].state == "QUARANTINE"
        assert told.of(LaneObserved)[-1].slots_free == 0


async def test_a_nonce_beyond_ours_quarantines_at_once(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        node.nonce_offset[LANE] = 3
        await follow(node, executor)
        assert told.of(LaneObserved)[-1].state == "QUARANTINE"


async def test_a_base_fee_beyond_the_cap_bumps_within_the_budget(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, deadline_block=node.head.number + 6)
        first = node.pool[0]
        node.base_fee = first.cap + GWEI
        await follow(node, executor, 2)
        (included,) = told.of(TransactionIncluded)
        assert included.transaction != first.hash
        assert included.command_id == 1


async def test_capped_out_bytes_are_still_rebroadcast(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, spend_max_wei=100_000 * 4 * GWEI)
        first = node.pool[0]
        node.base_fee = 100 * GWEI
        node.pool.clear()
        await follow(node, executor, 4)
        assert set(node.sent) == {first.hash}
        assert len(node.sent) >= 3
        assert told.of(TransactionIncluded) == []


async def test_a_deadline_passed_is_not_bumped_and_then_cancelled_with_all_that_follow(
    node, tmp_path
):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, 2, deadline_block=node.head.number + 1)
        node.pool.clear()
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "busy")
        await follow(node, executor, 3)
        assert {len(s.attempts) for s in executor._dispatch.lanes[LANE].slots.values()} == {1}
        await follow(node, executor, 2)
        kinds = [s.last.kind for s in executor._dispatch.lanes[LANE].slots.values()]
        assert kinds == ["cancel", "cancel"]
        del node.script["eth_sendRawTransaction"]
        await follow(node, executor, 8)
        assert [each.reason for each in told.of(TransactionDropped)] == ["cancelled"] * 2
        assert all(t.to == LANE for block in node.chain for t in block.transactions)


async def test_what_is_too_late_behind_a_call_in_time_is_not_taken_back_before_it(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, deadline_block=node.head.number + 50)
        executor.submit([command(node, 2, deadline_block=node.head.number + 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        node.pool.clear()
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "busy")
        await follow(node, executor, 6)
        kinds = [s.last.kind for s in executor._dispatch.lanes[LANE].slots.values()]
        assert kinds == ["act", "act"]


async def test_depth_makes_a_slot_confirmed_and_final_and_forgotten(node, tmp_path):
    parameters = replace(
        QUICK, follow=FollowParameters(confirm_blocks=2, final_blocks=4, poll_ms=60_000)
    )
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        await sent(node, executor, told, 1)
        await follow(node, executor, 3)
        assert executor._dispatch.lanes[LANE].slots[0].state == "CONFIRMED"
        await follow(node, executor, 2)
        assert executor._dispatch.lanes[LANE].slots == {}
        assert await executor._ledger.open_slots() == []


async def test_a_chain_that_goes_back_behind_final_slots_ends_the_run(node, tmp_path):
    parameters = replace(
        QUICK, follow=FollowParameters(confirm_blocks=1, final_blocks=2, poll_ms=60_000)
    )
    with pytest.raises(FinalityViolated, match="nonce 1 of"):
        await go_back(node, tmp_path / "ledger", parameters)


async def go_back(node, file, parameters):
    async with running(node, file, parameters=parameters) as (executor, told):
        await sent(node, executor, told, 1)
        await follow(node, executor, 4)
        node.rewind(5)
        node.mine()
        executor.on_block(node.head.number, node.head.hash)
        await asyncio.wait([told.task], timeout=PATIENCE_S)


async def test_no_head_for_long_is_asked_for(node, tmp_path):
    parameters = ExecutionParameters(follow=FollowParameters(poll_ms=20))
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        await sent(node, executor, told, 1)
        node.mine()
        await told.until(lambda: len(told.of(TransactionIncluded)) == 1)


async def test_an_endpoint_that_fails_is_reported_and_changes_nothing(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        node.script["eth_getBalance"] = lambda _: RpcError("node", -32000, "pruned")
        node.mine()
        executor.on_block(node.head.number, node.head.hash)
        await told.until(lambda: told.reports != [])
        assert told.reports[0][0] == "follow"
        del node.script["eth_getBalance"]
        await follow(node, executor)
        assert len(told.of(TransactionIncluded)) == 1


async def test_a_lane_is_observed_when_something_changed_and_not_otherwise(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await follow(node, executor, 3)
        assert told.of(LaneObserved) == [LaneObserved(LANE, "READY", FUNDS, 16)]
        node.balances[LANE] = 5
        await follow(node, executor)
        assert told.of(LaneObserved)[-1].balance_wei == 5
