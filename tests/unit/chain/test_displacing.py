"""Pre-emption carried out: who takes whose nonce, and who is told what when a receipt decides."""

from dataclasses import replace

import pytest

from keeper.chain.sending.lanes import LaneParameters
from keeper.chain.sending.preemption import PreemptionParameters
from keeper.domain.errors import RpcError
from keeper.domain.events import (
    CommandCommitted,
    CommandDisplaced,
    CommandRefused,
    CommandSent,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from tests.unit.chain.fake_node import GWEI
from tests.unit.chain.lane_bench import (
    LANE,
    QUICK,
    catch_up,
    command,
    follow,
    running,
)


NARROW = replace(QUICK, lanes=LaneParameters(in_flight_max=2))


def wanted(node, identifier, worth, **changes):
    return command(node, identifier, priority=(0, worth), **changes)


async def fill(node, executor, told):
    """Take both places of the lane: command 1 with the lesser breach, 2 with the greater."""
    executor.submit([wanted(node, 1, -5.0), wanted(node, 2, -50.0)])
    await told.until(lambda: len(told.of(CommandSent)) == 2)


async def refusals(told, count):
    await told.until(lambda: len(told.of(CommandRefused)) == count)
    return [(each.command_id, each.stage, each.reason) for each in told.of(CommandRefused)]


def ends(told):
    """Return what became of commands, in the order told."""
    kinds = (TransactionIncluded, TransactionDropped, TransactionReverted, TransactionOrphaned)
    return [
        (
            each.command_id,
            type(each).__name__.removeprefix("Transaction"),
            getattr(each, "reason", ""),
        )
        for each in told.events
        if isinstance(each, kinds)
    ]


async def displace(node, executor, told):
    """Let command 3, better than 1, come when there is no place; return the slot it took."""
    await fill(node, executor, told)
    executor.submit([wanted(node, 3, -20.0)])
    await told.until(lambda: len(told.of(CommandSent)) == 3)
    return executor._dispatch.lanes[LANE].slots[0]


async def test_a_better_late_breach_takes_the_worst_place_and_the_chain_serves_it(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        slot = await displace(node, executor, told)
        assert told.of(CommandDisplaced) == [CommandDisplaced(1, 3, LANE, 0)]
        assert told.of(CommandCommitted)[-1].nonce == 0
        assert [each.intent.command_id for each in slot.claims] == [1, 3]
        await follow(node, executor)
        assert ends(told) == [
            (3, "Included", ""),
            (1, "Dropped", "displaced"),
            (2, "Included", ""),
        ]
        # Its account is free again, in the ledger too.
        executor.submit([wanted(node, 4, -5.0, account=1)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 4)


async def test_the_newcomers_bytes_replace_the_old_ones_everywhere(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        slot = await displace(node, executor, told)
        old, new = slot.attempts
        assert new.tip_wei >= old.tip_wei * 1125 / 1000 + 1
        assert new.cap_wei >= old.cap_wei * 1125 / 1000 + 1
        assert [each.hash for each in node.pool if each.nonce == 0] == [new.hash]


async def test_ties_displace_nobody(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        await fill(node, executor, told)
        executor.submit([wanted(node, 3, -5.0)])
        assert await refusals(told, 1) == [(3, "lane", "no_free_slot")]
        assert told.of(CommandDisplaced) == []


async def test_old_bytes_that_win_after_all_are_told_and_the_newcomer_is_free(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        await fill(node, executor, told)
        old = next(each for each in node.pool if each.nonce == 0)
        slot = await displace_again(node, executor, told)
        # A builder had the old bytes already.
        node.pool = [each for each in node.pool if each.nonce] + [old]
        node.pool.sort(key=lambda each: each.nonce)
        await follow(node, executor)
        assert ends(told) == [
            (1, "Included", ""),
            (3, "Dropped", "outrun"),
            (2, "Included", ""),
        ]
        assert told.of(TransactionIncluded)[0].transaction == slot.attempts[0].hash
        # Account 1 was served in that block, account 3 was not: it may act at once.
        lanes = executor._dispatch.lanes
        assert lanes.served("venue", "1") == [(node.head.number, node.head.hash)]
        assert lanes.served("venue", "3") == []
        executor.submit([wanted(node, 4, -20.0, account=3)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 4)


async def displace_again(node, executor, told):
    executor.submit([wanted(node, 3, -20.0)])
    await told.until(lambda: len(told.of(CommandSent)) == 3)
    return executor._dispatch.lanes[LANE].slots[0]


async def test_the_displaced_account_gets_no_second_action_while_its_bytes_may_land(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW, lanes=2) as (executor, told):
        executor.submit([wanted(node, n, -5.0, sender=LANE) for n in (1, 2)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        executor.submit([wanted(node, 3, -20.0, sender=LANE)])
        await told.until(lambda: len(told.of(CommandSent)) == 3)
        assert told.of(CommandDisplaced)[0].command_id == 2
        executor.submit([wanted(node, 4, -99.0, account=2)])  # the other lane has places
        assert await refusals(told, 1) == [(4, "ledger", "live_action")]


async def test_a_reorg_brings_all_claims_of_a_slot_back_and_the_other_may_win(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        await fill(node, executor, told)
        old = next(each for each in node.pool if each.nonce == 0)
        await displace_again(node, executor, told)
        await follow(node, executor)
        before = len(ends(told))
        node.reorg(1)
        await catch_up(node, executor)
        assert sorted(ends(told)[before:]) == [
            (1, "Orphaned", ""),
            (2, "Orphaned", ""),
            (3, "Orphaned", ""),
        ]
        assert executor._dispatch.lanes.is_live("venue", "1")
        before = len(ends(told))
        node.pool = [old]
        await follow(node, executor)
        assert (1, "Included", "") in ends(told)[before:]
        assert (3, "Dropped", "outrun") in ends(told)[before:]


async def test_bytes_given_up_are_not_sent_again_after_a_reorg_but_taken_back(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        await fill(node, executor, told)
        old = next(each for each in node.pool if each.nonce == 0)
        await displace_again(node, executor, told)
        node.pool = [old, *(each for each in node.pool if each.nonce)]
        await follow(node, executor)  # 1 and 2 are in it, 3 was outrun
        executor.submit([wanted(node, 4, -20.0, account=3)])
        await told.until(lambda: len(told.of(CommandSent)) == 4)
        await follow(node, executor)
        node.reorg(2)
        await catch_up(node, executor)  # 3 may land again, and with it 4 would be its second
        await follow(node, executor, 4)
        done = [t.data for block in node.chain for t in block.transactions]
        assert done.count(f"0x{3:064x}") == 1
        assert [each.nonce for each in node.pool] == []


async def test_what_a_displaced_action_reverts_with_is_found_by_its_own_call(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        await fill(node, executor, told)
        old = next(each for each in node.pool if each.nonce == 0)
        await displace_again(node, executor, told)
        node.pool = [old]
        node.failing.add(old.data)
        node.reverts[old.data] = "0xbeef"
        await follow(node, executor)
        assert ends(told) == [(1, "Reverted", "venue:0xbeef"), (3, "Dropped", "outrun")]


async def test_a_restart_between_commit_and_send_sends_the_newcomers_bytes(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        await fill(node, executor, told)
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "busy")
        await displace_again(node, executor, told)
    del node.script["eth_sendRawTransaction"]
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        slot = executor._dispatch.lanes[LANE].slots[0]
        assert [each.intent.command_id for each in slot.claims] == [1, 3]
        assert slot.intent.priority == (0, -20.0)
        await follow(node, executor)
        assert ends(told)[:2] == [(3, "Included", ""), (1, "Dropped", "displaced")]


async def test_with_receipts_still_to_come_a_place_is_waited_for_and_nobody_displaced(
    node, tmp_path
):
    async with running(node, tmp_path / "ledger", parameters=NARROW) as (executor, told):
        await fill(node, executor, told)
        node.mine()  # both are in it; the executor has not heard yet
        executor.submit([wanted(node, 3, -20.0)])
        await told.until(lambda: node.asked.count("eth_call") >= 3)
        await catch_up(node, executor)
        await told.until(lambda: len(told.of(CommandSent)) == 3)
        assert told.of(CommandDisplaced) == []
        assert told.of(CommandCommitted)[-1].nonce == 2


@pytest.mark.parametrize(
    ("rule", "spend"),
    [
        (PreemptionParameters(per_block_max=0), 10**17),
        (PreemptionParameters(bump_wei_max=1), 10**17),
        (PreemptionParameters(age_blocks_max=-1), 10**17),
        (PreemptionParameters(), 100_000 * 2 * GWEI),  # pays a place, not this one
    ],
)
async def test_beyond_the_rule_or_the_budget_nobody_is_displaced(node, tmp_path, rule, spend):
    parameters = replace(NARROW, preemption=rule)
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        await fill(node, executor, told)
        executor.submit([wanted(node, 3, -20.0, spend_max_wei=spend)])
        assert await refusals(told, 1) == [(3, "lane", "no_free_slot")]


async def test_the_rule_counts_over_all_batches_of_a_block(node, tmp_path):
    parameters = replace(NARROW, preemption=PreemptionParameters(per_block_max=1))
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        await displace(node, executor, told)
        executor.submit([wanted(node, 4, -90.0)])
        assert await refusals(told, 1) == [(4, "lane", "no_free_slot")]
        node.pool.clear()
        node.script["eth_sendRawTransaction"] = lambda _: None
        await follow(node, executor)
        executor.submit([wanted(node, 5, -90.0)])
        await told.until(lambda: len(told.of(CommandDisplaced)) == 2)


async def test_who_gave_way_too_often_keeps_its_place(node, tmp_path):
    one = replace(
        QUICK,
        lanes=LaneParameters(in_flight_max=1),
        preemption=PreemptionParameters(again_max=1),
    )
    async with running(node, tmp_path / "ledger", parameters=one) as (executor, told):
        executor.submit([wanted(node, 1, -1.0)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        executor.submit([wanted(node, 2, -2.0)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        await follow(node, executor)
        executor.submit([wanted(node, 3, -1.0, account=1)])
        await told.until(lambda: len(told.of(CommandSent)) == 3)
        executor.submit([wanted(node, 4, -2.0, account=2)])
        assert await refusals(told, 1) == [(4, "lane", "no_free_slot")]
