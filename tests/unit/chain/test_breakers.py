"""Breakers: each stops new bytes under its own word; those that latch survive a restart."""

from dataclasses import replace

import pytest

from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.breakers import BreakerParameters
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    TransactionReverted,
)
from tests.unit.chain.fake_node import CHAIN_ID, GWEI
from tests.unit.chain.lane_bench import QUICK, catch_up, command, follow, running


def with_breakers(**changes):
    return replace(QUICK, breakers=BreakerParameters(**changes))


async def refusals(told, count=1):
    await told.until(lambda: len(told.of(CommandRefused)) >= count)
    return [(each.stage, each.reason) for each in told.of(CommandRefused)]


async def test_the_kill_switch_file_stops_new_bytes_while_it_is_there(node, tmp_path):
    switch = tmp_path / "stop"
    parameters = with_breakers(kill_switch_file=str(switch))
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        switch.touch()
        executor.submit([command(node, 1)])
        assert await refusals(told) == [("breaker", "kill_switch")]
        assert node.sent == []
        switch.unlink()
        executor.submit([command(node, 2)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 1)


async def test_a_base_fee_above_the_limit_stops_new_bytes_and_one_below_lets_them_go(
    node, tmp_path
):
    parameters = with_breakers(base_fee_wei_max=GWEI)
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        node.base_fee = 2 * GWEI
        node.mine()
        executor.submit([command(node, 1)])
        assert await refusals(told) == [("breaker", "gas_price")]
        node.base_fee = GWEI
        node.mine()
        executor.submit([command(node, 2)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 1)


@pytest.mark.parametrize("name", ["oracle_state", "head_disagreement"])
async def test_a_doubt_from_outside_stops_new_bytes_under_its_name(node, tmp_path, name):
    doubt = {"holds": True}
    doubts = {name: lambda: doubt["holds"]}
    async with running(node, tmp_path / "ledger", doubts=doubts) as (executor, told):
        executor.submit([command(node, 1)])
        assert await refusals(told) == [("breaker", name)]
        doubt["holds"] = False
        executor.submit([command(node, 2)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 1)


async def fail(node, executor, told, *numbers):
    """Let commands revert in their block."""
    for number in numbers:
        node.failing.add(f"0x{number:064x}")
    before = len(told.of(TransactionReverted))
    executor.submit([command(node, number) for number in numbers])
    await told.until(lambda: set(numbers) <= {e.command_id for e in told.of(CommandSent)})
    await follow(node, executor)
    await told.until(lambda: len(told.of(TransactionReverted)) == before + len(numbers))


async def test_reverts_beyond_the_limit_latch_until_an_operator_resets_them(node, tmp_path):
    file, parameters = tmp_path / "ledger", with_breakers(reverts_max=2)
    async with running(node, file, parameters=parameters) as (executor, told):
        await fail(node, executor, told, 1, 2)
        executor.submit([command(node, 3)])
        await told.until(lambda: len(told.of(CommandSent)) == 3)
        await follow(node, executor)
        await fail(node, executor, told, 4)
        await follow(node, executor)
        executor.submit([command(node, 5)])
        assert await refusals(told) == [("breaker", "reverts")]
    async with running(node, file, parameters=parameters) as (executor, told):
        executor.submit([command(node, 6)])
        assert await refusals(told) == [("breaker", "reverts")], "a restart is no reset"
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    assert await ledger.reset("reverts", 2 * 10**18)
    assert not await ledger.reset("reverts", 2 * 10**18), "it was open once"
    await ledger.close()
    async with running(node, file, parameters=parameters) as (executor, told):
        executor.submit([command(node, 7)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 1)


async def test_what_is_lost_in_a_day_latches_and_counts_anew_after_a_reset(node, tmp_path):
    file, parameters = tmp_path / "ledger", with_breakers(loss_day_wei_max=21_000 * GWEI)
    async with running(node, file, parameters=parameters) as (executor, told):
        await fail(node, executor, told, 1)
        executor.submit([command(node, 2)])
        assert await refusals(told) == [("breaker", "loss_day")]
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    assert await ledger.reset("loss_day", 1_767_225_600 * 10**9)
    await ledger.close()
    async with running(node, file, parameters=parameters) as (executor, told):
        executor.submit([command(node, 3)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 1)


async def test_live_bytes_are_still_sent_again_and_not_bumped_behind_an_open_breaker(
    node, tmp_path
):
    switch = tmp_path / "stop"
    parameters = with_breakers(kill_switch_file=str(switch))
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        node.pool.clear()
        switch.touch()
        node.base_fee = 50 * GWEI  # far above the cap: without the breaker this is a bump
        sent = len(node.sent)
        for _ in range(2):
            node.mine(empty=True)
            await catch_up(node, executor)
        assert len(node.sent) > sent
        assert len(set(node.sent)) == 1
