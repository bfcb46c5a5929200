"""Preflight "parallel": sent while it is tried, within a budget for what then reverts."""

import asyncio
from dataclasses import replace

import pytest

from keeper.chain.sending.breakers import BreakerParameters
from keeper.chain.sending.fees import FeeParameters
from keeper.chain.sending.preflight import PreflightParameters
from keeper.domain.errors import DeadlineExceeded
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    PreflightPassed,
    TransactionDropped,
    TransactionReverted,
)
from tests.unit.chain.fake_node import GWEI
from tests.unit.chain.lane_bench import LANE, QUICK, command, follow, running


RISK = 10**17  # what a command of the bench may spend
HASTY = replace(
    QUICK,
    preflight=PreflightParameters(mode="parallel"),
    breakers=BreakerParameters(hurried_loss_hour_wei_max=10 * RISK),
)


def hold_trials(node) -> asyncio.Event:
    """Let no trial be answered until the event is set."""
    held, batch = asyncio.Event(), node.batch

    async def slow(calls, *, deadline_s):
        if any(method == "eth_call" for method, _ in calls):
            await held.wait()
        return await batch(calls, deadline_s=deadline_s)

    node.batch = slow
    return held


def hurry(node, identifier, **changes):
    return command(node, identifier, hurried=True, **changes)


async def test_a_hurried_command_is_on_its_way_before_its_trial_ends(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=HASTY) as (executor, told):
        held = hold_trials(node)
        executor.submit([command(node, 1), hurry(node, 2)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        assert [each.command_id for each in told.of(CommandCommitted)] == [2]
        assert told.of(PreflightPassed) == []
        held.set()
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        assert [each.command_id for each in told.of(PreflightPassed)] == [1, 2]


@pytest.mark.parametrize(
    "parameters",
    [
        QUICK,  # the configuration does not allow it
        replace(HASTY, breakers=BreakerParameters(hurried_loss_hour_wei_max=RISK - 1)),
        # What an OP stack chain charges for data is known by the trial only.
        replace(HASTY, fees=FeeParameters(base_fee_rule="op_stack")),
    ],
)
async def test_asking_is_not_enough_to_be_sent_untried(node, tmp_path, parameters):
    node.script["eth_call"] = lambda _: "0x0"
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        held = hold_trials(node)
        executor.submit([hurry(node, 1)])
        await asyncio.sleep(0.02)
        assert told.of(CommandCommitted) == []
        held.set()
        await told.until(lambda: len(told.of(CommandSent)) == 1)


async def test_what_is_in_flight_untried_counts_as_lost_until_it_is_known(node, tmp_path):
    tight = replace(HASTY, breakers=BreakerParameters(hurried_loss_hour_wei_max=2 * RISK))
    async with running(node, tmp_path / "ledger", parameters=tight) as (executor, told):
        held = hold_trials(node)
        executor.submit([hurry(node, number) for number in (1, 2, 3)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        await asyncio.sleep(0.02)
        assert len(told.of(CommandCommitted)) == 2
        held.set()
        await told.until(lambda: len(told.of(CommandSent)) == 3)


async def test_a_spent_budget_means_trials_first_and_the_next_hour_has_its_own(node, tmp_path):
    # A revert costs 21,000 gas at 2 gwei.
    tight = replace(
        HASTY, breakers=BreakerParameters(hurried_loss_hour_wei_max=RISK + 41_999 * GWEI)
    )
    async with running(node, tmp_path / "ledger", parameters=tight) as (executor, told):
        doomed = hurry(node, 1)
        node.failing.add(doomed.call.data)
        executor.submit([doomed])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor)
        (reverted,) = told.of(TransactionReverted)
        assert reverted.gas_used * reverted.price_wei >= 41_999 * GWEI
        held = hold_trials(node)
        executor.submit([hurry(node, 2)])
        await asyncio.sleep(0.02)
        assert len(told.of(CommandCommitted)) == 1
        held.set()
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        held.clear()
        executor._clock.ns += 3_600 * 10**9
        executor.on_block(node.head.number, "0x" + "ee" * 32)  # a head came, or all is void
        executor.submit([hurry(node, 3)])
        await told.until(lambda: len(told.of(CommandSent)) == 3)
        held.set()


async def test_a_restart_does_not_forget_what_haste_has_lost(node, tmp_path):
    doomed = hurry(node, 1)
    node.failing.add(doomed.call.data)
    async with running(node, tmp_path / "ledger", parameters=HASTY) as (executor, told):
        executor.submit([doomed])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor)
        assert len(told.of(TransactionReverted)) == 1
    tight = replace(
        HASTY, breakers=BreakerParameters(hurried_loss_hour_wei_max=RISK + 41_999 * GWEI)
    )
    async with running(node, tmp_path / "ledger", parameters=tight) as (executor, told):
        held = hold_trials(node)
        executor.submit([hurry(node, 2)])
        await asyncio.sleep(0.02)
        assert told.of(CommandCommitted) == []
        held.set()


async def test_a_bad_trial_after_the_send_takes_the_nonce_back_and_refuses_nothing(node, tmp_path):
    async with running(node, tmp_path / "ledger", parameters=HASTY) as (executor, told):
        late = hurry(node, 1)
        node.reverts[late.call.data] = "0xdead"
        executor.submit([late])
        await told.until(lambda: len(node.sent) == 2)
        assert told.of(CommandRefused) == [], "it was sent: it is not provably unsent"
        assert executor._dispatch.lanes[LANE].slots[0].last.kind == "cancel"
        await follow(node, executor)
        assert [each.reason for each in told.of(TransactionDropped)] == ["cancelled"]


async def test_a_cancel_that_costs_more_than_the_revert_is_not_sent(node, tmp_path):
    cheap = replace(HASTY, fees=FeeParameters(revert_gas_ppm=200_000))  # 20,000 of 100,000 gas
    async with running(node, tmp_path / "ledger", parameters=cheap) as (executor, told):
        late = hurry(node, 1)
        node.reverts[late.call.data] = "0xdead"
        executor.submit([late])
        await told.until(lambda: "eth_call" in node.asked and len(told.of(CommandSent)) == 1)
        await asyncio.sleep(0.02)
        assert len(node.sent) == 1


async def test_in_required_mode_a_trial_without_an_answer_means_not_sent(node, tmp_path):
    node.script["eth_call"] = lambda _: DeadlineExceeded("node", "no answer in 1 s")
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([hurry(node, 1)])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "no_answer"
        assert node.sent == []


# A chain that says nothing ----------------------------------------------------------------------


async def test_no_head_for_three_blocks_voids_what_waits_and_what_is_being_tried(node, tmp_path):
    three = replace(QUICK, head_age_ms_max=3_000)
    async with running(node, tmp_path / "ledger", parameters=three) as (executor, told):
        held = hold_trials(node)
        executor.submit([command(node, 1), command(node, 2)])
        await asyncio.sleep(0.01)
        executor._clock.ns += 3_001 * 10**6
        executor.submit([command(node, 3)])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        held.set()
        await told.until(lambda: len(told.of(CommandRefused)) == 3)
        assert {(each.stage, each.reason) for each in told.of(CommandRefused)} == {
            ("expired", "no_head")
        }
        assert node.sent == []
        await follow(node, executor)
        executor.submit([command(node, 4)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)


async def test_the_same_head_told_again_is_no_news(node, tmp_path):
    three = replace(QUICK, head_age_ms_max=3_000)
    async with running(node, tmp_path / "ledger", parameters=three) as (executor, told):
        await follow(node, executor)
        executor._clock.ns += 3_001 * 10**6
        executor.on_block(node.head.number, node.head.hash)
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "no_head"
