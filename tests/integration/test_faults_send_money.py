"""Rows 22 and 23 of the fault matrix: balances that run dry and base fees that run away.

Bytes that cannot pay are kept and sent again, and nothing dearer is signed for them than their
budget. Where a guard can be taken away, a row is tried without it too, and must fail then.
"""

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from keeper.chain.sending import fees as fee_rules
from keeper.chain.sending import nurse
from keeper.chain.sending.base_fee import Ahead
from keeper.chain.sending.breakers import GAS_PRICE
from keeper.chain.sending.fees import Fee, FeeParameters, Offer
from keeper.domain.events import CommandRefused, LaneObserved, TransactionIncluded
from tests.integration.lane_world import FUNDS_WEI, SPEND_WEI, counted, executor
from tests.integration.send_world import (
    GWEI,
    NEVER_AGAIN,
    STILL,
    decided,
    fees,
    send_world,
    slots_of,
    submitted,
)


pytestmark = pytest.mark.node

# Whatever waits is bumped at once, if anything lets it be.
EAGER = replace(STILL, follow=replace(STILL.follow, bump_blocks=1))


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_22_a_lane_out_of_funds_starves_with_its_bytes_and_the_others_go_on(
    tmp_path: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        monkeypatch.setattr(nurse, "STARVED", "no such state")
    async with (
        send_world(lanes=2) as world,
        executor(world, tmp_path / "ledger", lanes=2, parameters=EAGER) as (executing, told),
    ):
        poor, rich = (each.address for each in executing._dispatch.lanes)
        await asyncio.to_thread(world.call, "anvil_setBalance", poor, "0x0")
        await submitted(world, executing, told, 1, sender=poor)
        for _ in range(3):
            await world.block(executing, 20 * GWEI)  # reason enough to raise the fees
        states = {each.lane: each.state for each in told.of(LaneObserved)}
        assert states == {poor: "STARVED", rich: "READY"}
        assert (len(fees(world.sent)) == 1) is guarded, "no bump: the same bytes stay"
        if not guarded:
            return
        assert len(world.sent) == 3, "and are sent again"
        await world.block(executing, GWEI)
        await submitted(world, executing, told, 2, 3)
        executing.submit([decided(world, 4, sender=poor)])
        await told.until(lambda: bool(told.of(CommandRefused)))
        assert told.of(CommandRefused)[0].reason == "lane_not_ready"
        await world.block(executing, GWEI)
        assert [counted(world, account) for account in range(1, 5)] == [0, 1, 1, 0]
        await asyncio.to_thread(world.call, "anvil_setBalance", poor, hex(FUNDS_WEI))
        for _ in range(2):
            await world.block(executing, GWEI)
        assert counted(world, 1) == 1
        states = {each.lane: each.state for each in told.of(LaneObserved)}
        assert states == {poor: "READY", rich: "READY"}


async def test_row_22_a_balance_drained_behind_pending_bytes_starves_the_lane(
    tmp_path: Path,
) -> None:
    async with (
        send_world() as world,
        executor(world, tmp_path / "ledger", parameters=EAGER) as (executing, told),
    ):
        (committed,) = await submitted(world, executing, told, 1)
        await asyncio.to_thread(world.call, "anvil_setBalance", committed.lane, "0x0")
        for _ in range(4):
            await world.block(executing, 20 * GWEI)
        # The pool let go of them: nobody was told.
        assert world.rules.pool.find(committed.transaction) is None
        assert told.of(LaneObserved)[-1].state == "STARVED"
        assert len(fees(world.sent)) == 1
        assert [each.state for each in slots_of(executing)] == ["LIVE"]
        await asyncio.to_thread(world.call, "anvil_setBalance", committed.lane, hex(FUNDS_WEI))
        for _ in range(2):
            await world.block(executing, GWEI)
        assert counted(world, 1) == 1
        assert told.of(LaneObserved)[-1].state == "READY"


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_23_bytes_a_base_fee_spike_prices_out_stay_alive_until_it_is_over(
    tmp_path: Path, guarded: bool
) -> None:
    parameters = STILL if guarded else NEVER_AGAIN
    async with (
        send_world() as world,
        executor(world, tmp_path / "ledger", parameters=parameters) as (executing, told),
    ):
        # What the command may spend pays no bump: its budget is its profit.
        (committed,) = await submitted(world, executing, told, 1, spend_max_wei=3 * 10**14)
        for spike in (30, 60, 90):
            await world.block(executing, spike * GWEI)
            assert [each.state for each in slots_of(executing)] == ["LIVE"]
            # As if the pool had thrown them out, as anvil's does, and geth's when it is full.
            await world.ask("anvil_dropTransaction", committed.transaction)
        assert len(fees(world.sent)) == 1, "priced out, and beyond the budget: held as they are"
        await world.block(executing, 1)
        await world.block(executing, 1)
        assert counted(world, 1) == int(guarded)
        included = [each.transaction for each in told.of(TransactionIncluded)]
        assert included == [committed.transaction] * guarded


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_23_a_bump_stops_where_it_would_cost_more_than_it_may(
    tmp_path: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:

        def spendthrift(old: Fee, offer: Offer, base: Ahead, limits: FeeParameters) -> Fee | None:
            rich = replace(offer, spend_wei_max=10**19)
            return replacement(old, rich, base, limits)

        replacement = fee_rules.replacement_fee
        monkeypatch.setattr(fee_rules, "replacement_fee", spendthrift)
    budget_wei = 10**15  # 10 gwei for each of the 100,000 gas
    async with (
        send_world() as world,
        executor(world, tmp_path / "ledger", parameters=EAGER) as (executing, told),
    ):
        await submitted(world, executing, told, 1, spend_max_wei=budget_wei)
        for spike in (6, 40, 40, 40):
            await world.block(executing, spike * GWEI)
        offers = fees(world.sent)
        assert len(offers) >= 2, "within the budget it is bumped"
        assert all(cap * 100_000 <= budget_wei for _, _, cap in offers) is guarded
        for (_, tip, cap), (_, more_tip, more_cap) in pairwise(offers):
            assert more_tip * 10 >= tip * 11
            assert more_cap * 10 >= cap * 11
        assert len(world.sent) > len(offers) or not guarded, "capped out, and still sent again"
        await world.block(executing, 1)
        await world.block(executing, 1)
        assert counted(world, 1) == 1
        assert (await executing._ledger.spent("global"))[1] <= SPEND_WEI


async def test_row_23_above_the_breakers_base_fee_nothing_new_is_signed(tmp_path: Path) -> None:
    breakers = replace(STILL.breakers, base_fee_wei_max=50 * GWEI)
    async with (
        send_world() as world,
        executor(world, tmp_path / "ledger", parameters=replace(STILL, breakers=breakers)) as (
            executing,
            told,
        ),
    ):
        await world.block(executing, 100 * GWEI)
        executing.submit([decided(world, 1)])
        await told.until(lambda: bool(told.of(CommandRefused)))
        refused = told.of(CommandRefused)[0]
        assert (refused.stage, refused.reason) == ("breaker", GAS_PRICE)
        assert not world.sent
        await world.block(executing, GWEI)
        await submitted(world, executing, told, 2)
        await world.block(executing, GWEI)
        assert [counted(world, account) for account in (1, 2)] == [0, 1]
