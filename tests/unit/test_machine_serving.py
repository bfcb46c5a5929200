"""What a command carries to the sender, and what a lost nonce or a halted chain leads to."""

from dataclasses import replace

import pytest

from keeper.domain.codec import decode_effects, digest, encode_effects
from keeper.domain.effects import Effects
from keeper.domain.events import BlockSealed, CommandRefused, TransactionDropped
from keeper.liquidation.halt import HaltRule
from keeper.liquidation.strategy import Opportunity, Proposal, Service
from keeper.machine import MachineParameters
from keeper.machine.machine import Machine
from tests.unit.fake_venue import StartAll
from tests.unit.test_machine import World, accounts, hash_of, refused


class Hurrying(StartAll):
    """As its parent, in a hurry."""

    def propose(self, opportunity: Opportunity, *rest: object) -> Proposal | None:
        made = super().propose(opportunity, *rest)  # type: ignore[arg-type]
        return None if made is None else replace(made, hurried=True)


def world_with(strategy: StartAll, halt: HaltRule | None = None) -> World:
    world = World()
    parameters = MachineParameters(chain_id=1, halt=halt or HaltRule())
    world.machine = Machine(parameters, world.portfolio, [world.venue], {"fake": strategy})
    return world


def test_a_command_carries_the_place_of_its_breach_in_the_configured_order() -> None:
    effects = World().block(1, "7:-5", "9:-50")
    assert [command.priority for command in effects.commands] == [(0, -50.0), (0, -5.0)]


@pytest.mark.parametrize(("strategy", "asked"), [(StartAll(), False), (Hurrying(), True)])
def test_a_proposal_that_hurries_makes_a_command_that_does(strategy: StartAll, asked: bool) -> None:
    (command,) = world_with(strategy).block(1, "7:-5").commands
    assert command.hurried is asked


def test_a_commands_worth_is_no_part_of_the_digest_but_hurry_is_and_both_are_kept() -> None:
    effects = World().block(1, "7:-5")
    (command,) = effects.commands
    other = Effects((replace(command, priority=(0, -5.000001)),), effects.notices)
    hurried = Effects((replace(command, hurried=True),), effects.notices)
    assert digest(other) == digest(Effects(effects.commands, effects.notices))
    assert digest(hurried) != digest(other)
    assert decode_effects(encode_effects(hurried)) == hurried


@pytest.mark.parametrize(
    ("reason", "now", "later"),
    [("displaced", [7], []), ("outrun", [7], []), ("cancelled", [], [7])],
)
def test_an_account_whose_nonce_went_to_another_is_served_at_once(
    reason: str, now: list[int], later: list[int]
) -> None:
    world = World()
    world.block(1, "7:-5")
    world.block(2)  # in breach still, and its command live
    dropped = TransactionDropped(1, hash_of(77), reason)
    assert accounts(world.apply(dropped)) == now
    assert accounts(world.block(3)) == later


def test_a_nonce_taken_back_again_and_again_does_not_make_its_account_rest() -> None:
    world = World()
    world.block(1, "7:-5")
    for number in range(2, 6):
        world.apply(TransactionDropped(number - 1, hash_of(77), "cancelled"))
        assert accounts(world.block(number)) == [7]


@pytest.mark.parametrize("reason", ["no_answer", "unknown_block", "no_data_fee"])
def test_a_node_without_an_answer_is_not_the_accounts_fault(reason: str) -> None:
    world = World()
    world.block(1, "7:-5")
    for number in range(2, 6):
        world.apply(CommandRefused(number - 1, "preflight", reason, ""))
        assert accounts(world.block(number)) == [7]


def test_an_open_breaker_is_not_the_accounts_fault() -> None:
    world = World()
    world.block(1, "7:-5")
    for number in range(2, 6):
        world.apply(refused(number - 1, "breaker"))
        assert accounts(world.block(number)) == [7]


def at(world: World, number: int, timestamp: int) -> Effects:
    tip = world.portfolio.tip
    assert tip is not None
    block = BlockSealed(1, number, hash_of(number), tip[1], timestamp, 10, 30_000_000, True, 0, ())
    return world.apply(block)


def told(effects: Effects) -> list[str]:
    return [notice.kind for notice in effects.notices]


def test_after_a_halt_starts_go_on_and_the_book_is_looked_at_anew_before_the_first_bid() -> None:
    world = world_with(StartAll(), HaltRule(gap_s=60, hold_blocks=3))
    world.block(1, "7:-5")
    world.apply(refused(1, "lane"))
    effects = at(world, 2, 9_000)
    assert told(effects) == ["halt_ended"]
    assert accounts(effects) == [7], "a start does not wait"
    allowed = world.machine.serving.halt.allows
    assert not allowed(Service.BID, 2)
    assert told(at(world, 3, 9_001)) == []
    assert told(at(world, 4, 9_002)) == ["look_anew"]
    assert not allowed(Service.BID, 4)
    assert told(at(world, 5, 9_003)) == []
    assert allowed(Service.BID, 5)


def test_a_halt_that_holds_nothing_is_looked_at_anew_at_once() -> None:
    world = world_with(StartAll(), HaltRule(gap_s=60, hold_blocks=0))
    world.block(1)
    assert told(at(world, 2, 9_000)) == ["halt_ended", "look_anew"]
