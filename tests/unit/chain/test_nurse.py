"""What is done for bytes that wait: bumps on evidence, cancels that pay, and what data costs."""

from dataclasses import replace

import pytest

from keeper.chain.sending.fees import FeeParameters
from keeper.domain.errors import DeadlineExceeded, RpcError
from keeper.domain.events import CommandRefused, CommandSent
from tests.unit.chain.fake_node import GWEI, TARGET
from tests.unit.chain.lane_bench import LANE, QUICK, command, follow, running, sent


def got_in(*tips_wei):
    """Answer as a node whose last blocks held transactions with these tips at least."""
    history = {"reward": [[hex(each)] for each in tips_wei], "gasUsedRatio": [0.5] * len(tips_wei)}
    return lambda _: history


@pytest.mark.parametrize(
    ("answer", "bumps"),
    [
        (got_in(10**10, 10**10), True),  # all who got in paid more
        (got_in(10**10, 1), False),  # somebody got in for less
        (lambda _: {"reward": [["0x0"]], "gasUsedRatio": [0.0]}, False),  # nobody got in
        (lambda _: {"reward": [], "gasUsedRatio": []}, False),
        (lambda _: RpcError("node", -32601, "no such method"), True),  # it cannot tell
        (lambda _: DeadlineExceeded("node", "1 s"), True),
        (lambda _: {"reward": None}, True),
    ],
)
async def test_a_bump_wants_evidence_that_the_fees_do_not_buy_a_place(
    node, tmp_path, answer, bumps
):
    node.script["eth_feeHistory"] = answer
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        node.pool.clear()
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "busy")
        await follow(node, executor, 5)
        slots = executor._dispatch.lanes[LANE].slots
        assert (len(slots[0].attempts) > 1) == bumps


async def test_who_is_passed_over_for_long_is_bumped_though_others_paid_less(node, tmp_path):
    node.script["eth_feeHistory"] = got_in(1)
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1)
        node.pool.clear()
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "busy")
        await follow(node, executor, 6)
        slots = executor._dispatch.lanes[LANE].slots
        assert len(slots[0].attempts) == 1
        await follow(node, executor, 2)
        assert len(slots[0].attempts) == 2


async def test_a_slot_not_included_for_k_blocks_is_bumped_only_when_it_is_its_turn(node, tmp_path):
    node.script["eth_feeHistory"] = got_in(2 * GWEI)
    async with running(node, tmp_path / "ledger") as (executor, told):
        await sent(node, executor, told, 1, 2)
        node.pool.clear()
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "busy")
        await follow(node, executor, 6)
        slots = executor._dispatch.lanes[LANE].slots
        assert len(slots[0].attempts) > 1
        assert len(slots[1].attempts) == 1


async def test_a_late_call_that_is_cheaper_to_let_revert_is_cancelled_only_out_of_the_way(
    node, tmp_path
):
    dear = replace(QUICK, fees=FeeParameters(revert_gas_ppm=200_000))  # 20,000 of 100,000 gas
    async with running(node, tmp_path / "ledger", parameters=dear) as (executor, told):
        await sent(node, executor, told, 1, deadline_block=node.head.number + 1)
        node.pool.clear()
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "busy")
        await follow(node, executor, 6)
        slots = executor._dispatch.lanes[LANE].slots
        assert [slot.last.kind for slot in slots.values()] == ["act"]
        executor.submit([command(node, 2)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        await follow(node, executor)
        assert [slot.last.kind for slot in slots.values()] == ["cancel", "act"]


async def test_a_data_fee_is_set_aside_with_the_gas_and_carried_by_every_replacement(
    node, tmp_path
):
    fees = FeeParameters(base_fee_rule="op_stack", data_fee_headroom_ppm=1_000_000)
    node.script["eth_call"] = lambda params: "0x3e8" if params[0]["to"] != TARGET else "0x"
    parameters = replace(QUICK, fees=fees)
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        await sent(node, executor, told, 1, 2)
        slots = executor._dispatch.lanes[LANE].slots
        first = slots[0].attempts[0]
        assert first.l1_fee_max_wei == 1_000
        assert first.cost_max_wei == first.gas * first.cap_wei + 1_000
        reserved = sum(slot.reserved_wei for slot in slots.values())
        assert await executor._ledger.spent("total") == (reserved, 0)
        await executor._dispatch.bump(executor._dispatch.lanes[LANE], slots[0])
        await executor._dispatch.cancel(executor._dispatch.lanes[LANE], slots[1])
        assert {slot.last.l1_fee_max_wei for slot in slots.values()} == {1_000}
        assert await executor._ledger.open_slots() == list(slots.values())


async def test_a_budget_that_gas_alone_fits_does_not_pay_for_the_data(node, tmp_path):
    fees = FeeParameters(base_fee_rule="op_stack", data_fee_headroom_ppm=1_000_000)
    # The node's blocks are at three times the target of Canyon: the next base fee is 0.8 % up.
    least = 100_000 * (1_008_000_000 + 1)
    node.script["eth_call"] = lambda params: "0x1" if params[0]["to"] != TARGET else "0x"
    parameters = replace(QUICK, fees=fees)
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        executor.submit([command(node, 1, spend_max_wei=least)])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "fee_beyond_spend"
        await sent(node, executor, told, 2, spend_max_wei=least + 100_000)
