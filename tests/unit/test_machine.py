"""The machine: entries in, effects out; deterministic, undoable, one live action an account."""

from typing import Any

import pytest

from keeper.domain.errors import InvariantViolation
from keeper.domain.events import (
    BlockSealed,
    ChainRewound,
    CommandRefused,
    Entry,
    Event,
    Log,
    Started,
    Ticked,
    TransactionIncluded,
    TransactionOrphaned,
)
from keeper.liquidation.limits import LimitParameters
from keeper.machine import Machine, MachineParameters
from keeper.portfolio.state import Portfolio
from tests.unit.fake_venue import ADDRESS, FakeVenue, StartAll


def hash_of(number: int, branch: str = "a") -> str:
    return "0x" + f"{branch}{number:x}".rjust(64, "0")


class World:
    """A machine on a fake venue, fed block by block."""

    def __init__(self, **limits: Any) -> None:
        self.portfolio = Portfolio()
        self.venue = FakeVenue(self.portfolio)
        parameters = MachineParameters(chain_id=1, limits=LimitParameters(**limits))
        self.machine = Machine(parameters, self.portfolio, [self.venue], {"fake": StartAll()})
        self.portfolio.undo.begin(0, hash_of(0))
        self.seq = 0

    def apply(self, event: Event):
        self.seq += 1
        return self.machine.apply(Entry(self.seq, self.seq, event))

    def block(self, number: int, *logs: str, at_tip: bool = True, branch: str = "a"):
        tip = self.portfolio.tip
        assert tip is not None
        return self.apply(
            BlockSealed(
                chain_id=1,
                number=number,
                hash=hash_of(number, branch),
                parent=tip[1],
                timestamp=1_000 + number,
                base_fee_wei=10,
                gas_limit=30_000_000,
                at_tip=at_tip,
                received_ns=0,
                logs=tuple(
                    Log(ADDRESS, ("0x00",), data, index, hash_of(number, "f"))
                    for index, data in enumerate(logs)
                ),
            )
        )


def accounts(effects: Any) -> list[int]:
    return [command.account for command in effects.commands]


def refused(command_id: int, stage: str) -> CommandRefused:
    return CommandRefused(command_id, stage, "planted", "")


def test_every_breach_becomes_one_command_in_priority_order() -> None:
    effects = World().block(1, "7:-5", "8:100", "9:-50")

    assert accounts(effects) == [9, 7]
    assert [command.rank for command in effects.commands] == [0, 1]
    assert [command.id for command in effects.commands] == [1, 2]
    assert {command.decided_hash for command in effects.commands} == {hash_of(1)}
    (assessment,) = effects.assessments
    assert (assessment.accounts, assessment.breaches, assessment.insolvent) == (3, 2, 2)
    assert assessment.shortfall_usd == 55.0


def test_an_account_with_a_live_action_is_not_decided_again() -> None:
    world = World()
    world.block(1, "7:-5")

    assert accounts(world.block(2)) == []


def test_a_block_behind_the_head_is_folded_and_not_decided() -> None:
    world = World()

    effects = world.block(1, "7:-5", at_tip=False)

    assert effects.commands == ()
    assert effects.assessments == ()
    assert accounts(world.block(2)) == [7]


def test_a_rewind_takes_the_state_back_and_leaves_the_outbox() -> None:
    world = World()
    world.block(1, "7:100")
    before = world.portfolio.contents()
    world.block(2, "7:-5")

    world.apply(ChainRewound(1, 1, hash_of(1)))

    assert world.portfolio.contents() == before
    assert len(world.machine.outbox) == 1
    assert accounts(world.block(2, "7:-6", "8:-1", branch="b")) == [8]


def test_a_block_on_another_parent_without_a_rewind_is_a_bug() -> None:
    world = World()
    world.block(1, "7:100")
    world.portfolio.undo.begin(2, hash_of(2))
    stray = BlockSealed(1, 3, hash_of(3), hash_of(1), 1, 1, 1, True, 0, ())

    with pytest.raises(InvariantViolation, match="does not stand on our tip"):
        world.apply(stray)


def test_a_block_of_another_chain_is_a_bug() -> None:
    world = World()
    stray = BlockSealed(2, 1, hash_of(1), hash_of(0), 1, 1, 1, True, 0, ())

    with pytest.raises(InvariantViolation, match="chain 2"):
        world.apply(stray)


def test_an_undecodable_log_stops_decisions_and_says_which_log() -> None:
    world = World()

    effects = world.block(1, "7:-5", "bad")

    assert effects.commands == ()
    (notice,) = effects.notices
    assert (notice.kind, notice.severity) == ("venue_halted", "error")
    assert dict(notice.fields)["log"] == 1
    assert world.block(2, "8:-5").commands == ()


@pytest.mark.parametrize(("stage", "again_at"), [("lane", 2), ("expired", 2), ("preflight", 2)])
def test_a_refused_account_is_decided_again(stage: str, again_at: int) -> None:
    world = World()
    world.block(1, "7:-5")
    world.apply(refused(1, stage))

    assert accounts(world.block(again_at)) == [7]


def test_a_second_refusal_of_the_account_lets_it_rest_but_not_a_busy_lane() -> None:
    rested, busy = World(), World()
    for world, stage in ((rested, "preflight"), (busy, "lane")):
        world.block(1, "7:-5")
        world.apply(refused(1, stage))
        world.block(2)
        world.apply(refused(2, stage))

    assert accounts(rested.block(3)) == []
    assert accounts(rested.block(4)) == [7]
    assert accounts(busy.block(3)) == [7]


def test_an_included_action_frees_the_account_and_an_orphaned_one_takes_it_back() -> None:
    world = World()
    world.block(1, "7:-5")
    world.apply(TransactionIncluded(1, hash_of(1, "e"), 2, hash_of(2), 21_000, 1))
    world.apply(TransactionOrphaned(1, hash_of(1, "e")))

    assert accounts(world.block(2)) == []
    world.apply(TransactionIncluded(1, hash_of(1, "e"), 3, hash_of(3), 21_000, 1))
    assert accounts(world.block(3)) == [7]


def included(command_id: int, number: int) -> TransactionIncluded:
    return TransactionIncluded(command_id, hash_of(1, "e"), number, hash_of(number), 21_000, 1)


def test_an_account_that_only_waited_for_its_receipt_is_served_in_the_same_block() -> None:
    world = World()
    world.block(1, "7:-5")
    assert accounts(world.block(2)) == []

    (command,) = world.apply(included(1, 2)).commands

    assert (command.account, command.decided_number, command.rank) == (7, 2, 0)
    assert world.apply(included(1, 2)).commands == ()


def test_a_receipt_of_a_block_we_do_not_have_yet_serves_nothing() -> None:
    world = World()
    world.block(1, "7:-5")
    world.block(2)

    assert world.apply(included(1, 3)).commands == ()


def test_what_waited_is_not_served_on_a_branch_that_was_left() -> None:
    world = World()
    world.block(1, "7:-5")
    world.block(2)
    world.apply(ChainRewound(1, 1, hash_of(1)))

    assert world.apply(included(1, 1)).commands == ()


def test_the_command_limit_is_a_notice_and_the_best_are_served() -> None:
    effects = World(commands_per_block_max=2).block(1, "1:-1", "2:-2", "3:-3")

    assert accounts(effects) == [3, 2]
    assert [notice.kind for notice in effects.notices] == ["commands_limit_reached"]


def test_a_command_beyond_the_spend_limit_is_told_and_not_sent() -> None:
    effects = World(spend_max_wei=1).block(1, "1:-1")

    assert effects.commands == ()
    assert [notice.kind for notice in effects.notices] == ["command_too_dear"]


def test_a_command_never_asks_for_more_gas_than_a_block_holds() -> None:
    world = World()
    small = BlockSealed(
        chain_id=1,
        number=1,
        hash=hash_of(1),
        parent=hash_of(0),
        timestamp=1_000,
        base_fee_wei=10,
        gas_limit=60_000,
        at_tip=True,
        received_ns=0,
        logs=(Log(ADDRESS, ("0x00",), "7:-5", 0, hash_of(1, "f")),),
    )

    (command,) = world.apply(small).commands

    assert command.gas == 60_000


def test_command_ids_go_on_from_the_ledger() -> None:
    world = World()
    world.apply(Started("1", "c", "s", "d", 41))

    assert [command.id for command in world.block(1, "7:-5").commands] == [41]


def test_the_same_entries_give_the_same_effects() -> None:
    def run() -> list[Any]:
        world = World()
        effects = [world.block(1, "7:-5", "8:-9"), world.apply(refused(2, "preflight"))]
        effects += [world.apply(Ticked()), world.block(2, "9:-1"), world.block(3)]
        return effects

    assert run() == run()
