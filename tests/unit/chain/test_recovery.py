"""What a restart finds and mends before it takes a command."""

from dataclasses import replace

import pytest

from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.fees import FeeParameters
from keeper.chain.sending.lanes import LaneParameters
from keeper.chain.sending.recovery import acknowledge
from keeper.domain.errors import (
    ChainMismatch,
    FinalityViolated,
    InvariantViolation,
    RpcError,
    StorageError,
)
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    LaneObserved,
    TransactionDropped,
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
    sent,
    signer,
)


async def test_live_bytes_are_sent_again_in_nonce_order_before_any_command(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, 2, 3)
        committed = [each.transaction for each in told.of(CommandCommitted)]
    node.pool.clear()
    node.sent.clear()
    async with running(node, tmp_path / "ledger") as (executor, told):
        assert node.sent == committed
        await follow(node, executor)
        assert [each.command_id for each in told.of(TransactionIncluded)] == [1, 2, 3]


async def test_what_was_included_while_we_were_away_is_told(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
    node.mine(2)
    async with running(node, tmp_path / "ledger") as (_, told):
        assert [each.command_id for each in told.of(TransactionIncluded)] == [1]


async def test_a_command_past_its_deadline_is_cancelled_at_its_nonce(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, deadline_block=node.head.number + 2)
    node.pool.clear()
    node.mine(3)
    node.sent.clear()
    async with running(node, tmp_path / "ledger") as (executor, told):
        assert [(each.to, each.data) for each in node.pool] == [(LANE, "0x")]
        await follow(node, executor)
        assert [each.reason for each in told.of(TransactionDropped)] == ["cancelled"]


async def test_gap_healed_lowest_first_by_transfers_to_ourselves(node, tmp_path):
    await gap(tmp_path / "ledger", next_nonce=3)
    async with running(node, tmp_path / "ledger") as (executor, told):
        assert [(each.nonce, each.to) for each in node.pool] == [(0, LANE), (1, LANE), (2, LANE)]
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        assert told.of(CommandCommitted)[0].nonce == 3
        await follow(node, executor)
        assert node.nonce(LANE) == 4


async def gap(file, next_nonce):
    """Leave a ledger whose lane is ahead of everything that is bound."""
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    await ledger.take_over([(LANE, next_nonce)])
    await ledger.close()


async def test_restored_backup_quarantines_until_acknowledged(node, tmp_path):
    await gap(tmp_path / "ledger", next_nonce=0)
    node.nonce_offset[LANE] = 2
    async with running(node, tmp_path / "ledger") as (executor, told):
        assert told.of(LaneObserved)[-1].state == "QUARANTINE"
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
    ledger = await Ledger.open(tmp_path / "ledger", CHAIN_ID, CapParameters())
    await acknowledge(ledger, LANE, 2)
    with pytest.raises(InvariantViolation, match="cannot take 'acknowledge'"):
        await acknowledge(ledger, LANE, 2)
    await ledger.close()
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        assert told.of(CommandCommitted)[0].nonce == 2


async def test_a_nonce_a_stranger_used_while_we_were_away_quarantines_before_ready(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
    node.pool.clear()
    node.nonce_offset[LANE] = 1
    async with running(node, tmp_path / "ledger") as (_, told):
        assert [each.reason for each in told.of(TransactionDropped)] == ["foreign"]
        assert told.of(LaneObserved)[-1].state == "QUARANTINE"


async def test_a_lane_with_a_history_of_its_own_starts_at_the_chains_nonce(node, tmp_path):
    node.nonce_offset[LANE] = 7
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        assert told.of(CommandCommitted)[0].nonce == 7


async def test_another_chain_is_refused(node, tmp_path):
    node.script["eth_chainId"] = lambda _: "0x1"
    with pytest.raises(ChainMismatch, match="expected 31337, was 1"):
        async with running(node, tmp_path / "ledger"):
            pass


async def test_a_delegated_sender_is_refused(node, tmp_path):
    node.codes[LANE] = "0xef0100" + "11" * 20
    with pytest.raises(ChainMismatch, match="23 bytes"):
        async with running(node, tmp_path / "ledger"):
            pass


async def test_a_node_that_does_not_answer_is_asked_until_it_does(node, tmp_path):
    answers = [RpcError("node", -32000, "starting"), RpcError("node", -32000, "starting"), "0x7a69"]
    node.script["eth_chainId"] = lambda _: answers.pop(0)
    async with running(node, tmp_path / "ledger") as (_, told):
        assert [what for what, _ in told.reports] == ["recovery", "recovery"]


async def test_a_chain_behind_final_slots_is_refused(node, tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger", CHAIN_ID, CapParameters())
    await ledger.take_over([(LANE, 0)])
    assert await ledger.bind(intent(), attempt(), 1) == 1
    for state in ("INCLUDED", "CONFIRMED", "FINAL"):
        await ledger._do(
            lambda s=state: ledger._db.execute(
                "UPDATE slot SET state = ?, won_hash = ?", (s, attempt().hash)
            )
        )
    await ledger.close()
    with pytest.raises(FinalityViolated):
        async with running(node, tmp_path / "ledger"):
            pass


async def test_row_36_two_keepers_cannot_have_one_ledger(node, tmp_path):
    async with running(node, tmp_path / "ledger"):
        with pytest.raises(StorageError, match="another keeper"):
            await Ledger.open(tmp_path / "ledger", CHAIN_ID, CapParameters())


async def test_a_late_command_that_is_cheaper_to_let_revert_is_left_alone(node, tmp_path):
    dear = replace(QUICK, fees=FeeParameters(revert_gas_ppm=200_000))
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, deadline_block=node.head.number + 2)
    node.pool.clear()
    node.mine(3)
    node.sent.clear()
    async with running(node, tmp_path / "ledger", parameters=dear) as (executor, told):
        assert node.sent == []
        assert executor._dispatch.lanes.is_live("venue", "1"), "its bytes may still land"


async def test_each_lane_has_its_own_limit_of_what_is_in_flight(node, tmp_path):
    one, two = signer(1).address, signer(2).address
    limits = replace(QUICK, lanes=LaneParameters(in_flight_max=3, own=((one, 1),)))
    async with running(node, tmp_path / "ledger", lanes=2, parameters=limits) as (executor, _):
        assert {each.address: each.free for each in executor._dispatch.lanes} == {one: 1, two: 3}
