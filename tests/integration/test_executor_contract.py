"""The executor contract: what it does for lanes, and each threat with the guard that stops it."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.devnet.chain.contract import created_address
from deploy.devnet.chain.node import Node
from deploy.executor.standing import is_executor, permission_of
from keeper.domain.effects import Call
from keeper.liquidation import executor
from keeper.liquidation.executor import (
    INT_MIN,
    REASONS,
    Callback,
    Condition,
    Gain,
    Step,
    execute,
    reason,
)
from tests.integration.executor_world import ExecutorWorld


pytestmark = pytest.mark.node

HOUR_S = 3_600


@pytest.fixture
def world(node: Node) -> ExecutorWorld:
    return ExecutorWorld(node)


def test_the_codes_address_and_errors_are_the_contracts(world: ExecutorWorld) -> None:
    assert is_executor(world.node.rpc, world.executor.address)
    assert not is_executor(world.node.rpc, world.venue.address)
    assert {"0x" + code: name for code, name in REASONS.items()} == world.executor.errors
    assert reason("0x" + "23a03526") == "EX_NotLane"
    assert reason("0xae769b25") is None
    assert world.executor.address == created_address(world.deployer.address, _nonce_of(world))


def test_what_a_check_asks_of_an_executor_is_what_the_contract_answers(
    world: ExecutorWorld,
) -> None:
    codes = world.executor.artifact.selectors
    asked = {
        "owner()": executor.OWNER,
        "paused()": executor.PAUSED,
        "isLane(address)": executor.IS_LANE,
        "permissionOf(address,bytes4)": executor.PERMISSION_OF,
        "isPermitted(bytes32)": executor.IS_PERMITTED,
        "setLane(address,bool)": executor.SET_LANE,
    }
    assert asked == {name: codes[name] for name in asked}


def _nonce_of(world: ExecutorWorld) -> int:
    return next(
        nonce
        for nonce in range(10_000)
        if created_address(world.deployer.address, nonce) == world.executor.address
    )


# ── what it does ──


def test_a_batch_serves_every_account_in_one_transaction(world: ExecutorWorld) -> None:
    world.breach(1, 2, 3)
    receipt = world.run([world.liquidate(each) for each in (1, 2, 3)])
    assert receipt["status"] == "0x1"
    assert [world.served(each) for each in (1, 2, 3)] == [1, 1, 1]
    assert world.balance() == 1_030


def test_a_healed_account_does_not_sink_the_rest(world: ExecutorWorld) -> None:
    world.breach(1, 3)
    steps = [world.liquidate(each, optional=True) for each in (1, 2, 3)]
    receipt = world.run(steps)
    assert [world.served(each) for each in (1, 2, 3)] == [1, 0, 1]
    (skipped,) = world.events(receipt, "Skipped")
    healed = bytes.fromhex(next(k for k, v in world.venue.errors.items() if v == "WV_Healed")[2:])
    assert (skipped["index"], skipped["reason"]) == (1, healed)


def test_a_mandatory_call_that_fails_sinks_all_and_says_why(world: ExecutorWorld) -> None:
    world.breach(1)
    steps = [world.liquidate(1), world.liquidate(2)]
    assert world.refusal(steps) == "WV_Healed"
    assert world.run(steps)["status"] == "0x0"
    assert world.served(1) == 0


def test_a_batch_in_which_all_are_healed_is_shown_as_failed(world: ExecutorWorld) -> None:
    steps = [world.liquidate(each, optional=True) for each in (1, 2)]
    assert world.refusal(steps) == "EX_TooFewServed"
    assert world.refusal(steps, world.guard(served_min=0)) is None


def test_a_call_whose_conditions_do_not_hold_is_left_out_alone(world: ExecutorWorld) -> None:
    world.breach(1)
    world.breach(2, margin=-900)
    steps = [
        world.liquidate(each, optional=True, conditions=(world.margin_in(each, -500, -1),))
        for each in (1, 2)
    ]
    receipt = world.run(steps)
    assert [world.served(each) for each in (1, 2)] == [1, 0]
    (skipped,) = world.events(receipt, "Skipped")
    assert reason("0x" + skipped["reason"].hex()) == "EX_ConditionFailed"
    mandatory = world.liquidate(2, conditions=(world.margin_in(2, -500, -1),))
    assert world.refusal([mandatory]) == "EX_ConditionFailed"


@pytest.mark.parametrize("hostile", ["silent", "bomb"])
def test_a_revert_without_words_or_with_too_many_is_survived(
    world: ExecutorWorld, hostile: str
) -> None:
    world.breach(1)
    spoilt = Step(world.call(world.venue, hostile), optional=True)
    receipt = world.run([spoilt, world.liquidate(1)])
    assert (receipt["status"], world.served(1)) == ("0x1", 1)
    assert int(receipt["gasUsed"], 16) < 420_000, "copying what it said costs as much again"
    assert len(world.events(receipt, "Skipped")) == 1


def test_a_call_that_burns_gas_burns_only_its_own(world: ExecutorWorld) -> None:
    world.breach(1)
    burner = Step(world.call(world.venue, "burn"), optional=True, gas=100_000)
    assert world.run([burner, world.liquidate(1)])["status"] == "0x1"
    assert world.served(1) == 1


def test_too_little_gas_is_not_taken_for_a_healed_account(world: ExecutorWorld) -> None:
    world.breach(1)
    assert world.refusal([world.liquidate(1, optional=True, gas=1_999_000)]) == "EX_OutOfGas"


def test_gas_coin_goes_along_with_a_call(world: ExecutorWorld) -> None:
    world.breach(1)
    step = Step(world.call(world.venue, "liquidate", 1, 5, value=7))
    call = execute(world.executor.address.lower(), [step], world.guard())
    assert call.value_wei == 7
    assert world.send(call)["status"] == "0x1"
    assert int(world.node.call("eth_getBalance", world.venue.address, "latest"), 16) == 7


# ── the guard ──


def test_after_its_block_a_batch_does_nothing(world: ExecutorWorld) -> None:
    world.breach(1)
    number = int(world.node.call("eth_blockNumber"), 16)
    assert world.refusal([world.liquidate(1)], world.guard(block_max=number)) is None
    world.node.call("evm_mine")
    assert world.refusal([world.liquidate(1)], world.guard(block_max=number)) == "EX_BlockPassed"
    assert world.run([world.liquidate(1)], world.guard(block_max=number))["status"] == "0x0"


def test_a_block_deadline_does_not_run_while_a_chain_is_halted_and_the_timestamp_does(
    world: ExecutorWorld,
) -> None:
    world.breach(1)
    head = world.node.call("eth_getBlockByNumber", "latest", False)
    number, stamp = int(head["number"], 16), int(head["timestamp"], 16)
    by_block = world.guard(block_max=number + 3)
    by_both = world.guard(block_max=number + 3, timestamp_max_s=stamp + 60)
    assert world.refusal([world.liquidate(1)], by_both) is None
    place = world.node.call("evm_snapshot")
    # The chain stands still for an hour, then makes its very next block.
    world.node.call("evm_increaseTime", HOUR_S)
    world.node.call("evm_mine")
    assert world.refusal([world.liquidate(1)], by_block) is None, "a block deadline alone serves"
    assert world.refusal([world.liquidate(1)], by_both) == "EX_TimestampPassed"
    assert world.run([world.liquidate(1)], by_both)["status"] == "0x0"
    world.node.call("evm_revert", place)
    for sender in (world.deployer, world.owner, world.lane, world.thief):
        sender.__post_init__()


@pytest.mark.parametrize(
    ("least", "most", "refused"),
    [
        (-100, -100, None),
        (-101, -99, None),
        (-99, 0, "EX_ConditionFailed"),
        (-500, -101, "EX_ConditionFailed"),
        (INT_MIN, -1, None),
    ],
)
def test_margin_must_be_in_the_decided_range(
    world: ExecutorWorld, least: int, most: int, refused: str | None
) -> None:
    world.breach(1)
    guard = world.guard(conditions=(world.margin_in(1, least, most),))
    assert world.refusal([world.liquidate(1)], guard) == refused


def test_a_later_word_of_a_view_can_be_asked_for(world: ExecutorWorld) -> None:
    world.breach(1)
    data, to = world.venue.encode("marginOf", 1), world.venue.address
    scenario = Condition(to, data, 2, 7, 7)
    assert world.refusal([world.liquidate(1)], world.guard(conditions=(scenario,))) is None
    for wrong in (Condition(to, data, 2, 6, 6), Condition(to, data, 1, -199, 0)):
        guard = world.guard(conditions=(wrong,))
        assert world.refusal([world.liquidate(1)], guard) == "EX_ConditionFailed"


def test_a_view_that_fails_or_says_too_little_holds_nothing(world: ExecutorWorld) -> None:
    world.breach(1)
    to = world.venue.address
    for view in (
        Condition(to, world.venue.encode("silent")),
        Condition(to, world.venue.encode("marginOf", 1), 3),
        Condition(world.thief.address, world.venue.encode("price")),
    ):
        guard = world.guard(conditions=(view,))
        assert world.refusal([world.liquidate(1)], guard) == "EX_ViewFailed"


def test_a_price_too_old_or_of_the_future_stops_the_batch(world: ExecutorWorld) -> None:
    world.breach(1)
    stamp = int(world.node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    for at, refused in ((stamp, None), (stamp - 61, "EX_ConditionFailed"), (stamp + 99, "both")):
        world.deployer.transact(world.venue, "setPrice", 1, at)
        found = world.refusal([world.liquidate(1)], world.guard(conditions=(world.fresh(60),)))
        assert (found is None) == (refused is None)


def test_less_profit_than_decided_undoes_everything(world: ExecutorWorld) -> None:
    world.breach(1)
    data = world.token.encode("balanceOf", world.executor.address)
    for least, refused in ((10, None), (11, "EX_GainTooSmall")):
        guard = world.guard(gains=(Gain(world.token.address, data, least),))
        assert world.refusal([world.liquidate(1, reward=10)], guard) == refused


# ── flash loans ──


def flash(world: ExecutorWorld, cost: int, worth: int, repay: int) -> tuple[Step, Callback]:
    agreed = world.see(world.lender, "AGREED")
    steps = (
        Step(world.call(world.venue, "buy", cost, worth)),
        Step(world.call(world.token, "transfer", world.lender.address, repay)),
    )
    selector = "4963710d"
    callback = Callback(world.lender.address, selector, steps, "0x" + agreed.hex())
    return Step(world.call(world.lender, "lend", 50_000)), callback


@pytest.fixture
def flashing(world: ExecutorWorld) -> ExecutorWorld:
    # Approving is set-up and the owner's: no lane may do it.
    approve = world.token.encode("approve", world.venue.address, 2**256 - 1)
    world.owner.transact(
        world.executor, "administer", world.token.address, 0, bytes.fromhex(approve[2:])
    )
    return world


def test_borrowed_money_buys_repays_and_leaves_the_profit(flashing: ExecutorWorld) -> None:
    lend, callback = flash(flashing, 50_000, 50_700, 50_000)
    data = flashing.token.encode("balanceOf", flashing.executor.address)
    gain = Gain(flashing.token.address, data, 700)
    receipt = flashing.run([lend], flashing.guard(callbacks=(callback,), gains=(gain,)))
    assert receipt["status"] == "0x1"
    assert flashing.balance() == 1_700
    assert flashing.balance(flashing.lender.address) == 1_000_000


def test_a_loan_that_is_not_repaid_undoes_everything(flashing: ExecutorWorld) -> None:
    lend, callback = flash(flashing, 50_000, 50_700, 49_999)
    assert flashing.refusal([lend], flashing.guard(callbacks=(callback,))) == "WL_NotRepaid"


def test_nobody_calls_back_who_was_not_expected(flashing: ExecutorWorld) -> None:
    lend, callback = flash(flashing, 50_000, 50_700, 50_000)
    other = Callback(flashing.venue.address, callback.selector, callback.steps, callback.reply)
    strange = Callback(callback.caller, "deadbeef", callback.steps, callback.reply)
    for callbacks in ((), (other,), (strange,)):
        guard = flashing.guard(callbacks=callbacks)
        assert flashing.refusal([lend], guard) == "EX_UnexpectedCallback"


def test_each_callback_is_good_once(flashing: ExecutorWorld) -> None:
    lend, callback = flash(flashing, 50_000, 50_700, 50_000)
    once = flashing.guard(callbacks=(callback,))
    assert flashing.refusal([lend, lend], once) == "EX_UnexpectedCallback"
    twice = flashing.guard(callbacks=(callback, callback))
    assert flashing.refusal([lend, lend], twice) is None


def test_callbacks_are_taken_in_their_order(flashing: ExecutorWorld) -> None:
    lend, small = flash(flashing, 50_000, 50_100, 50_000)
    _, large = flash(flashing, 50_000, 50_900, 50_000)
    flashing.run([lend, lend], flashing.guard(callbacks=(small, large)))
    assert flashing.balance() == 1_000 + 100 + 900


def test_a_batch_leaves_nothing_to_the_next_of_its_transaction(flashing: ExecutorWorld) -> None:
    lane = flashing.deployer.deploy("WorldLane")
    flashing.deployer.flush()
    flashing.owner.transact(flashing.executor, "setLane", lane.address, True)
    flashing.breach(1, 2)
    lend, callback = flash(flashing, 50_000, 50_700, 50_000)
    first = batch(flashing, flashing.liquidate(1), callbacks=(callback,))
    second = batch(flashing, flashing.liquidate(2))
    to = flashing.executor.address
    assert flashing.refused(lane, "both", to, first, second, by=flashing.thief) is None
    # A callback that was expected and did not come is not expected any more.
    late = batch(flashing, lend)
    refused = flashing.refused(lane, "both", to, first, late, by=flashing.thief)
    assert refused == "EX_UnexpectedCallback"


def batch(world: ExecutorWorld, step: Step, **guard: Any) -> bytes:
    call = execute(world.executor.address.lower(), [step], world.guard(**guard))
    return bytes.fromhex(call.data[2:])


def test_a_callback_outside_a_batch_is_refused(flashing: ExecutorWorld) -> None:
    lend, callback = flash(flashing, 50_000, 50_700, 50_000)
    flashing.run([lend], flashing.guard(callbacks=(callback,)))
    data = "0x" + callback.selector + "00" * 96
    request = {"from": flashing.lender.address, "to": flashing.executor.address, "data": data}
    assert flashing._refused("eth_call", request, "latest") == "EX_UnexpectedCallback"


# ── threats ──


def test_nobody_but_a_lane_executes_and_a_copy_of_the_calldata_is_worth_nothing(
    world: ExecutorWorld,
) -> None:
    world.breach(1)
    steps = [world.liquidate(1)]
    for copier in (world.thief, world.owner, world.deployer):
        assert world.refusal(steps, by=copier) == "EX_NotLane"
    # Mined first, with more gas paid: the copy fails, the original still serves.
    assert world.run(steps, by=world.thief)["status"] == "0x0"
    assert world.run(steps)["status"] == "0x1"
    assert world.served(1) == 1
    assert world.balance(world.thief.address) == 0


def test_a_venue_that_calls_back_into_the_executor_is_refused(world: ExecutorWorld) -> None:
    world.breach(1)
    inner = execute(world.executor.address.lower(), [world.liquidate(1)], world.guard())
    attack = bytes.fromhex(inner.data[2:])
    # Even if the venue were a lane itself.
    world.owner.transact(world.executor, "setLane", world.venue.address, True)
    world.deployer.transact(world.venue, "setReentry", world.executor.address, attack)
    assert world.refusal([world.liquidate(1)]) == "EX_Running"
    world.deployer.transact(
        world.venue, "setReentry", world.executor.address, bytes.fromhex("4963710d")
    )
    assert world.refusal([world.liquidate(1)]) == "EX_UnexpectedCallback"


def test_no_lane_moves_funds_out(world: ExecutorWorld) -> None:
    thief = world.thief.address
    executor, token, lane = world.executor, world.token, world.lane
    assert world.refused(executor, "withdraw", token.address, 1, by=lane) == "EX_NotOwner"
    pay = bytes.fromhex(token.encode("transfer", thief, 1)[2:])
    assert world.refused(executor, "administer", token.address, 0, pay, by=lane) == "EX_NotOwner"
    attempts = [
        world.call(token, "transfer", thief, 1),
        world.call(token, "approve", thief, 1),
        world.call(token, "transferFrom", executor.address, thief, 1),
        world.call(executor, "withdraw", token.address, 1),
        world.call(executor, "setLane", thief, True),
    ]
    for attempt in attempts:
        for optional in (False, True):
            assert world.refusal([Step(attempt, optional=optional)]) == "EX_NotPermitted"
    assert world.refused(executor, "setLane", thief, True, by=lane) == "EX_NotOwner"
    assert world.balance() == 1_000


def test_a_pinned_permission_is_for_its_first_argument_alone(world: ExecutorWorld) -> None:
    to_lender = Step(world.call(world.token, "transfer", world.lender.address, 1))
    to_thief = Step(world.call(world.token, "transfer", world.thief.address, 1))
    assert world.refusal([to_lender]) is None
    assert world.refusal([to_thief]) == "EX_NotPermitted"


def test_a_target_without_code_is_no_success(world: ExecutorWorld) -> None:
    empty = "0x" + "77" * 20
    selector = world.token.encode("transfer", empty, 0)[2:10]
    leave = (empty, bytes.fromhex(selector), False, bytes(32))
    world.owner.transact(world.executor, "setPermission", leave, True)
    step = Step(Call(empty, world.token.encode("transfer", empty, 0)))
    assert world.refusal([step]) == "EX_NoCode"
    world.owner.transact(world.executor, "setPermission", leave, False)
    assert world.refusal([step]) == "EX_NotPermitted"


def test_funds_go_back_to_the_owner_and_to_nobody_else(world: ExecutorWorld) -> None:
    world.node.call("anvil_setBalance", world.executor.address, hex(10**18))
    for stranger in (world.thief, world.lane, world.deployer):
        refused = world.refused(world.executor, "withdraw", world.token.address, 1, by=stranger)
        assert refused == "EX_NotOwner"
    world.owner.transact(world.executor, "withdraw", world.token.address, 1_000)
    assert (world.balance(), world.balance(world.owner.address)) == (0, 1_000)
    world.owner.transact(world.executor, "withdraw", "0x" + "00" * 20, 10**18)
    assert int(world.node.call("eth_getBalance", world.executor.address, "latest"), 16) == 0
    too_much = world.refused(world.executor, "withdraw", world.token.address, 1, by=world.owner)
    assert too_much == "EX_PayoutFailed"


def test_ownership_moves_in_two_steps(world: ExecutorWorld) -> None:
    executor, heir, owner = world.executor, world.thief, world.owner
    assert world.refused(executor, "offerOwnership", heir.address, by=heir) == "EX_NotOwner"
    assert world.refused(executor, "takeOwnership", by=heir) == "EX_NotOwner"
    owner.transact(executor, "offerOwnership", heir.address)
    assert world.see(executor, "owner").lower() == owner.address.lower()
    heir.transact(executor, "takeOwnership")
    assert world.see(executor, "owner").lower() == heir.address.lower()
    assert world.refused(executor, "withdraw", world.token.address, 1, by=owner) == "EX_NotOwner"
    assert world.refused(executor, "takeOwnership", by=heir) == "EX_NotOwner"


def test_a_lane_stops_it_and_only_the_owner_starts_it_again(world: ExecutorWorld) -> None:
    world.breach(1)
    assert world.refused(world.executor, "pause", by=world.thief) == "EX_NotLane"
    world.lane.transact(world.executor, "pause")
    assert world.refusal([world.liquidate(1)]) == "EX_Paused"
    assert world.refused(world.executor, "resume", by=world.lane) == "EX_NotOwner"
    world.owner.transact(world.executor, "resume")
    assert world.refusal([world.liquidate(1)]) is None


def test_a_lane_that_was_dismissed_does_nothing_more(world: ExecutorWorld) -> None:
    world.breach(1)
    world.owner.transact(world.executor, "setLane", world.lane.address, False)
    assert world.refusal([world.liquidate(1)]) == "EX_NotLane"


@pytest.mark.parametrize("text", ["0x12", "0x" + "11" * 20 + ":1234", "a:b:c:d"])
def test_a_permission_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        permission_of(text)
