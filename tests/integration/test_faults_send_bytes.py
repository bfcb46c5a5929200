"""Rows 14 to 17 of the fault matrix: bytes that are dropped, replaced, displaced or reverted.

Where a guard can be taken away, a row is tried without it too, and must fail then.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.chain.link.http import RpcHttp
from keeper.chain.routes.routing import PublicRoute
from keeper.chain.sending import fees as fee_rules
from keeper.chain.sending.follower import Follower
from keeper.chain.sending.sender import LaneExecutor
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    LaneObserved,
    TransactionDropped,
    TransactionIncluded,
    TransactionReverted,
)
from keeper.liquidation.outbox import CooldownRule, Outbox
from tests.integration.lane_world import COUNTER, Told, counted, executor
from tests.integration.send_world import (
    GWEI,
    NEVER_AGAIN,
    STILL,
    SendWorld,
    decided,
    fees,
    send_world,
    slots_of,
    stranger,
    submitted,
    written,
)
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.world.rpc_proxy import Call, Onward, Reply, Rule, rpc_proxy
from tests.world.rpc_rules import forgetting, refusing


pytestmark = pytest.mark.node


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_14_a_dropped_transaction_is_rebroadcast_as_the_same_bytes_to_every_route(
    tmp_path: Path, guarded: bool
) -> None:
    heard: list[str] = []
    async with (
        send_world() as world,
        rpc_proxy(world.url) as deaf,
        RpcHttp("first", world.url) as first,
        RpcHttp("second", deaf.url) as second,
    ):
        # A yes is not "in the pool": the second route says one and forgets.
        deaf.rules = [forgetting(heard)]
        routes = [PublicRoute(first, PATIENCE_S), PublicRoute(second, PATIENCE_S)]
        parameters = STILL if guarded else NEVER_AGAIN
        async with executor(world, tmp_path / "ledger", parameters=parameters, routes=routes) as (
            executing,
            told,
        ):
            (committed,) = await submitted(world, executing, told, 1)
            for _ in range(4):
                await world.ask("anvil_dropTransaction", committed.transaction)
                await world.block(executing)
            assert counted(world, 1) == 0
            assert [each.state for each in slots_of(executing)] == ["LIVE"]
            assert len(set(world.sent)) == len(set(heard)) == 1, "the same bytes, always"
            assert len(world.sent) == len(heard) == (4 if guarded else 1)
            await world.blocks(executing, 2)
            included = told.of(TransactionIncluded)
            assert [each.transaction for each in included] == [committed.transaction] * guarded
            assert counted(world, 1) == int(guarded)


async def test_row_14_a_pool_that_forgot_everything_gets_all_lanes_bytes_in_nonce_order(
    tmp_path: Path,
) -> None:
    async with (
        send_world(lanes=2) as world,
        executor(world, tmp_path / "ledger", lanes=2, parameters=STILL) as (executing, told),
    ):
        every = await submitted(world, executing, told, *range(1, 9))
        for each in sorted(every, key=lambda each: -each.nonce):
            await world.ask("anvil_dropTransaction", each.transaction)
        world.sent.clear()
        await world.blocks(executing, 4)
        assert {each.transaction for each in told.of(TransactionIncluded)} == {
            each.transaction for each in every
        }
        assert len(dict.fromkeys(world.sent)) == 8
        assert [counted(world, account) for account in range(1, 9)] == [1] * 8


async def test_row_14_a_lane_full_of_calls_that_came_too_late_is_free_again_in_a_few_blocks(
    tmp_path: Path,
) -> None:
    async with send_world() as world:
        # Nothing gets through until every deadline has passed: sixteen nonces to be taken back.
        world.fault(refusing("eth_sendRawTransaction", -32603, "internal error"))
        async with executor(world, tmp_path / "ledger", parameters=STILL) as (executing, told):
            await submitted(world, executing, told, *range(1, 17), blocks=2)
            await world.blocks(executing, 3)
            world.fault()
            await world.blocks(executing, 4)
            assert [each.reason for each in told.of(TransactionDropped)] == ["cancelled"] * 16
            assert told.of(LaneObserved)[-1].slots_free == 16
            assert [counted(world, account) for account in range(1, 17)] == [0] * 16
            await submitted(world, executing, told, 17)
            await world.block(executing)
            assert counted(world, 17) == 1


async def spiked(world: SendWorld, executing: LaneExecutor, told: Told) -> CommandCommitted:
    """Have a command's bytes replaced, because a base fee spike keeps them waiting."""
    (committed,) = await submitted(world, executing, told, 1)
    await world.block(executing, 20 * GWEI)
    assert counted(world, 1) == 0
    return committed


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_15_a_bump_that_wins_closes_its_sibling(
    tmp_path: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        # anvil would take this one; geth wants a tenth more in both fields.
        monkeypatch.setattr(fee_rules, "bumped", lambda old_wei: old_wei * 105 // 100 + 1)
    async with (
        send_world() as world,
        executor(world, tmp_path / "ledger", parameters=STILL) as (executing, told),
    ):
        first = await spiked(world, executing, told)
        (slot,) = slots_of(executing)
        assert len(slot.attempts) == 2
        if not guarded:
            assert world.rules.pool.find(slot.last.hash) is None
            return
        await world.block(executing, 20 * GWEI)
        (included,) = told.of(TransactionIncluded)
        assert included.transaction == slot.last.hash != first.transaction
        assert world.rules.pool.dropped == [first.transaction]
        (settled,) = await written(executing)
        assert (settled.state, settled.won) == ("INCLUDED", slot.last.hash)
        world.sent.clear()
        await world.blocks(executing, 3)
        assert not world.sent, "nothing is sent again of a slot that is settled"
        assert counted(world, 1) == 1


def losing_bumps() -> Rule:
    """Say yes to a slot's second bytes and lose them."""
    first: dict[str, None] = {}

    async def rule(call: Call, onward: Onward) -> Reply:
        if call.method != "eth_sendRawTransaction":
            return await onward(call)
        if not first:
            first[call.params[0]] = None
        if call.params[0] in first:
            return await onward(call)
        return {"error": {"code": -32603, "message": "lost"}}

    return rule


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_15_bytes_that_win_after_they_were_replaced_are_ours_all_the_same(
    tmp_path: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        live = Follower._live
        monkeypatch.setattr(
            Follower,
            "_live",
            lambda self: [replace(each, attempts=each.attempts[-1:]) for each in live(self)],
        )
    async with send_world() as world:
        world.fault(losing_bumps())
        async with executor(world, tmp_path / "ledger", parameters=STILL) as (executing, told):
            first = await spiked(world, executing, told)
            (slot,) = slots_of(executing)
            assert len(slot.attempts) == 2
            await world.block(executing, GWEI)
            assert counted(world, 1) == 1
            await world.blocks(executing, 4)
            # Whoever looks for the newest bytes alone never hears of it.
            included = [each.transaction for each in told.of(TransactionIncluded)]
            assert included == [first.transaction] * guarded
            assert told.of(LaneObserved)[-1].state == "READY"
            assert counted(world, 1) == 1


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_16_foreign_nonce_quarantines_the_lane_for_good(
    tmp_path: Path, guarded: bool
) -> None:
    follow = STILL.follow if guarded else replace(STILL.follow, foreign_blocks=10**9)
    parameters = replace(STILL, follow=follow)
    async with send_world(lanes=2) as world:
        async with executor(world, tmp_path / "ledger", lanes=2, parameters=parameters) as (
            executing,
            told,
        ):
            (ours,) = await submitted(world, executing, told, 1)
            lane = 0 if ours.lane == executing._signers[0].address else 1
            # The pool takes the stranger's bytes in ours' place, as geth does, without a word.
            assert await world.ask("eth_sendRawTransaction", stranger(0, 9 * GWEI, 90 * GWEI, lane))
            await world.blocks(executing, 4)
            assert (counted(world, 99), counted(world, 1)) == (1, 0)
            dropped = [(each.command_id, each.reason) for each in told.of(TransactionDropped)]
            assert dropped == [(1, "foreign")] * guarded
            states = {each.lane: each.state for each in told.of(LaneObserved)}
            assert states[ours.lane] == ("QUARANTINE" if guarded else "READY")
            if not guarded:
                return
            # The other lane goes on; this one is not chosen, and its lost bytes are not sent again.
            world.sent.clear()
            every = await submitted(world, executing, told, *range(2, 6))
            assert {each.lane for each in every} == set(states) - {ours.lane}
            await world.blocks(executing, 2)
            assert len(world.sent) == 4
        async with executor(world, tmp_path / "ledger", lanes=2, parameters=parameters) as (
            executing,
            told,
        ):
            states = {each.lane: each.state for each in told.of(LaneObserved)}
            assert states[ours.lane] == "QUARANTINE", "a restart is no acknowledgement"
            assert counted(world, 1) == 0


async def test_row_16_a_second_keeper_with_the_same_key_stops_the_first(tmp_path: Path) -> None:
    async with (
        send_world() as world,
        executor(world, tmp_path / "first", parameters=STILL) as (first, told),
    ):
        await submitted(world, first, told, 1)
        await world.block(first)
        async with executor(world, tmp_path / "second", parameters=STILL) as (second, heard):
            await submitted(world, second, heard, 2)
            await world.ask("evm_mine")
            await world.follow(second)
            assert [each.command_id for each in heard.of(TransactionIncluded)] == [2]
        # A nonce beyond ours was used: that needs no k blocks, nothing of ours can have done it.
        await world.follow(first)
        assert told.of(LaneObserved)[-1].state == "QUARANTINE"
        first.submit([decided(world, 3)])
        await told.until(lambda: bool(told.of(CommandRefused)))
        assert told.of(CommandRefused)[0].reason == "lane_not_ready"
        assert [counted(world, account) for account in (1, 2, 3)] == [1, 1, 0]


async def test_row_17_what_is_mined_and_reverts_is_booked_named_and_not_tried_again(
    tmp_path: Path,
) -> None:
    async with (
        send_world() as world,
        executor(world, tmp_path / "ledger", parameters=STILL) as (executing, told),
    ):
        outbox = Outbox(CooldownRule(first_blocks=2))
        number = int(world.call("eth_blockNumber"), 16)
        identifier = outbox.open("counter", 7, "act", number)
        (committed,) = await submitted(world, executing, told, identifier, account=7)
        before = int(world.call("eth_getBalance", committed.lane, "latest"), 16)
        # The world changes between the decision and the block: the contract now always reverts.
        world.call("anvil_setCode", COUNTER, "0x63deadbeef6000526004601cfd")
        number = await world.block(executing)
        (reverted,) = told.of(TransactionReverted)
        assert (reverted.command_id, reverted.reason) == (identifier, "counter:0xdeadbeef")
        cost = before - int(world.call("eth_getBalance", committed.lane, "latest"), 16)
        assert await executing._ledger.spent("global") == (0, cost), "booked to the wei"
        (settled,) = await written(executing)
        assert settled.intent.state == "FAILED"
        world.sent.clear()
        await world.blocks(executing, 3)
        assert not world.sent, "no blind retry"
        # The account rests; without the rest it would be decided on again in the next block.
        live = outbox.close(identifier)
        assert live is not None
        assert outbox.free("counter", 7, number + 1), "the row without its guard"
        assert outbox.rest(live, number) == number + 2
        assert not outbox.free("counter", 7, number + 1)
        assert outbox.free("counter", 7, number + 2)
        assert int(world.call("eth_getTransactionCount", committed.lane, "latest"), 16) == 1


async def test_row_17_a_lane_goes_on_behind_a_revert(tmp_path: Path) -> None:
    async with (
        send_world() as world,
        executor(world, tmp_path / "ledger", parameters=STILL) as (executing, told),
    ):
        good, bad, _ = await submitted(world, executing, told, 1, 2, 3)
        await asyncio.to_thread(world.call, "anvil_setBalance", good.lane, hex(10**21))
        # The second alone fails: by the time it runs, its account's slot cannot be written.
        world.call("anvil_setCode", COUNTER, REVERTS_FOR_TWO)
        await world.block(executing)
        assert [each.command_id for each in told.of(TransactionReverted)] == [2]
        assert [each.command_id for each in told.of(TransactionIncluded)] == [1, 3]
        assert bad.nonce == 1
        assert not told.of(CommandRefused)
        assert fees(world.sent) == fees(world.sent[:3])


# if calldata[0] == 2 then revert(0xdeadbeef); sstore(calldata[0], sload(calldata[0]) + 1)
REVERTS_FOR_TWO = "0x6000356002146014576000358054600101905500" + "5b63deadbeef6000526004601cfd"
