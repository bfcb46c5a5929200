"""Feeds pushed in the first blocks after a halt: first, bounded, one at a time, told of once."""

from collections.abc import Sequence
from typing import Any

import pytest

from keeper.domain.codec import decode_effects, encode_effects
from keeper.domain.effects import Effects
from keeper.domain.events import (
    ChainRewound,
    CommandRefused,
    Event,
    StateAudited,
    TransactionIncluded,
    TransactionOrphaned,
)
from keeper.liquidation.halt import HaltRule
from keeper.liquidation.limits import LimitParameters
from keeper.liquidation.priority import TIER
from keeper.liquidation.strategy import Service
from keeper.machine import Machine, MachineParameters
from keeper.portfolio.state import Portfolio
from keeper.venue import PushRefused
from tests.unit.fake_venue import PAYLOAD_GAS, FakeVenue, StartAll
from tests.unit.test_machine import World, accounts, hash_of, refused
from tests.unit.test_machine_gates import BidAll
from tests.unit.test_machine_serving import at, told


PRICE_WEI = 2 * 10**9 + 10  # of a unit of gas: the least tip and the base fee of these blocks
FOR_TWO_WEI = PRICE_WEI * PAYLOAD_GAS * 2
BOUNDS = {"halt": "push_spend_max_wei", "limits": "spend_max_wei"}
HALT_S = 9_000


def standing(
    strategy: StartAll | None = None,
    *,
    beside: Sequence[FakeVenue] = (),
    payloads: int | None = 3,
    halt: dict[str, int] | None = None,
    limits: dict[str, int] | None = None,
    **parameters: Any,
) -> World:
    """A world with account 7 in breach on block 1, served; the next block ends a halt."""
    world = World()
    rule = HaltRule(**{"gap_s": 60, **(halt or {})})
    rules = MachineParameters(
        chain_id=1, halt=rule, limits=LimitParameters(**(limits or {})), **parameters
    )
    venues = [*beside, world.venue]
    strategies = {venue.name: strategy or StartAll() for venue in venues}
    world.machine = Machine(rules, world.portfolio, venues, strategies)
    world.venue.payloads = payloads
    world.block(1, "7:-5")
    return world


def halted(world: World, number: int = 2) -> Effects:
    return at(world, number, HALT_S * number)


def kinds(effects: Effects) -> list[str]:
    return [command.kind for command in effects.commands]


def included(command_id: int, number: int) -> TransactionIncluded:
    return TransactionIncluded(command_id, hash_of(70), number, hash_of(number), 21_000, 1)


def test_feeds_are_pushed_before_all_else_and_for_no_account() -> None:
    world = standing()
    world.apply(refused(1, "lane"))
    effects = halted(world)
    push, start = effects.commands
    assert (push.kind, start.kind) == ("push_feeds", "start")
    assert (push.rank, start.rank) == (0, 1)
    assert push.priority < start.priority
    assert (push.account, push.subject, start.subject) == (None, "feeds", "7")
    assert push.gas == 3 * PAYLOAD_GAS
    assert push.tip_budget_wei == push.gas * 2 * 10**9, "what earns nothing bids the floor"
    assert told(effects) == ["halt_ended", "feeds_push_decided"]
    assert effects.assessments[0].proposals == 2


@pytest.mark.parametrize("hold_blocks", [1, 3])
def test_feeds_are_pushed_on_the_blocks_on_which_bids_wait_and_on_no_other(
    hold_blocks: int,
) -> None:
    world = standing(BidAll(), halt={"hold_blocks": hold_blocks})
    world.apply(included(1, 1))
    pushed, bid = [], []
    for number in range(2, 7):
        effects = halted(world) if number == 2 else at(world, number, 2 * HALT_S + number)
        pushed += [number] * kinds(effects).count("push_feeds")
        bid += [number] * accounts(effects).count(7)
        for command in effects.commands:
            world.apply(included(command.id, number))
    held = list(range(2, 2 + hold_blocks))
    assert pushed == held
    assert bid == list(range(2 + hold_blocks, 7))


@pytest.mark.parametrize("gap_s", [0, 10**6])
def test_without_a_halt_no_feeds_are_pushed(gap_s: int) -> None:
    assert kinds(halted(standing(halt={"gap_s": gap_s}))) == []


def test_with_nothing_newer_nothing_is_sent_and_that_is_told_once_a_halt() -> None:
    world = standing(payloads=0)
    effects = halted(world)
    assert effects.commands == ()
    assert told(effects) == ["halt_ended", "feeds_not_pushed"]
    (notice,) = effects.notices[1:]
    assert notice.severity == "info"
    assert dict(notice.fields) == {"venue": "fake", "reason": "nothing_newer", "payloads": 0}
    assert told(at(world, 3, 2 * HALT_S + 1)) == []
    assert told(halted(world, 4))[-1] == "feeds_not_pushed"


def test_what_comes_later_in_the_first_blocks_is_pushed_then() -> None:
    world = standing(payloads=0)
    halted(world)
    world.venue.payloads = 2
    assert kinds(at(world, 3, 2 * HALT_S + 1)) == ["push_feeds"]


def test_that_nothing_is_left_to_push_after_a_push_is_no_news() -> None:
    world = standing()
    (push,) = halted(world).commands
    world.apply(included(push.id, 2))
    world.venue.payloads = 0
    assert told(at(world, 3, 2 * HALT_S + 1)) == []


def test_a_venue_that_takes_no_push_is_not_told_of() -> None:
    effects = halted(standing(payloads=None))
    assert effects.commands == ()
    assert told(effects) == ["halt_ended"]


def test_one_push_is_live_at_a_time() -> None:
    world = standing()
    (push,) = halted(world).commands
    assert kinds(at(world, 3, 2 * HALT_S + 1)) == []
    world.apply(refused(push.id, "lane"))
    assert kinds(at(world, 4, 2 * HALT_S + 2)) == ["push_feeds"]


def test_a_push_that_a_reorg_made_live_again_is_not_made_anew() -> None:
    world = standing()
    (push,) = halted(world).commands
    world.apply(included(push.id, 2))
    world.apply(ChainRewound(1, 1, hash_of(1)))
    world.apply(TransactionOrphaned(push.id, hash_of(70)))
    assert kinds(halted(world)) == [], "its bytes may be in a block again"
    world.apply(included(push.id, 2))
    assert kinds(at(world, 3, 2 * HALT_S + 1)) == ["push_feeds"]


def test_a_halt_that_a_reorg_undid_pushes_nothing_and_what_was_told_of_it_is_forgotten() -> None:
    world = standing(payloads=0)
    halted(world)
    world.apply(ChainRewound(1, 1, hash_of(1)))
    world.venue.payloads = 3
    assert kinds(world.block(2, branch="b")) == []
    world.apply(ChainRewound(1, 1, hash_of(1)))
    world.venue.payloads = 0
    assert told(halted(world)) == ["halt_ended", "feeds_not_pushed"]


@pytest.mark.parametrize("bound", [FOR_TWO_WEI, FOR_TWO_WEI * 5 // 4])
@pytest.mark.parametrize("limit", ["halt", "limits"])
def test_a_push_carries_what_its_bound_pays_for_and_costs_no_more(limit: str, bound: int) -> None:
    effects = halted(standing(**{limit: {BOUNDS[limit]: bound}}))
    (push,) = effects.commands
    assert push.gas == 2 * PAYLOAD_GAS
    assert FOR_TWO_WEI <= push.spend_max_wei <= bound
    fields = dict(effects.notices[-1].fields)
    assert (fields["payloads"], fields["left"]) == (2, 1)


def test_a_push_is_no_larger_than_a_block() -> None:
    effects = halted(standing(payloads=1_000, halt={"push_spend_max_wei": 10**18}))
    (push,) = effects.commands
    assert push.gas == 30_000_000
    assert dict(effects.notices[-1].fields)["left"] == 1_000 - 30_000_000 // PAYLOAD_GAS


@pytest.mark.parametrize("limit", ["halt", "limits"])
def test_a_push_that_nothing_can_pay_for_is_not_sent_and_told_once(limit: str) -> None:
    world = standing(**{limit: {BOUNDS[limit]: PRICE_WEI * PAYLOAD_GAS - 1}})
    effects = halted(world)
    assert effects.commands == ()
    (notice,) = [each for each in effects.notices if each.kind == "feeds_not_pushed"]
    assert notice.severity == "warning"
    assert dict(notice.fields) == {"venue": "fake", "reason": "too_dear", "payloads": 3}
    assert "feeds_not_pushed" not in told(at(world, 3, 2 * HALT_S + 1))


def test_a_bound_of_nothing_pushes_nothing_and_says_nothing() -> None:
    effects = halted(standing(halt={"push_spend_max_wei": 0}))
    assert effects.commands == ()
    assert told(effects) == ["halt_ended"]


def test_a_push_takes_one_of_the_blocks_commands() -> None:
    world = standing(limits={"commands_per_block_max": 1})
    world.apply(refused(1, "lane"))
    effects = halted(world)
    assert kinds(effects) == ["push_feeds"]
    assert told(effects)[-1] == "commands_limit_reached"
    none = halted(standing(limits={"commands_per_block_max": 0}))
    assert none.commands == ()


def test_a_backup_pushes_what_the_first_keeper_left() -> None:
    world = standing(act_after_blocks=2)
    assert kinds(halted(world)) == []
    assert "push_feeds" not in kinds(at(world, 3, 2 * HALT_S + 1))
    assert "push_feeds" in kinds(at(world, 4, 2 * HALT_S + 2))


def test_no_feeds_are_pushed_while_decisions_are_stopped() -> None:
    world = standing()
    world.apply(StateAudited("fake", 1, hash_of(1), 1, False, "account 7: mm"))
    assert kinds(halted(world)) == []


@pytest.mark.parametrize(
    ("event", "heard"),
    [
        (CommandRefused(2, "preflight", "planted", ""), PushRefused("planted")),
        (CommandRefused(1, "preflight", "planted", ""), None),
    ],
)
def test_why_a_push_was_refused_is_told_to_its_venue_alone(
    event: Event, heard: PushRefused | None
) -> None:
    other = FakeVenue(Portfolio())
    other.name = "other"
    world = standing(beside=[other])
    assert kinds(halted(world))[0] == "push_feeds"
    world.apply(event)
    assert world.venue.heard == [heard or event]
    assert other.heard == ([] if heard else [event])


def test_a_command_of_no_account_is_recorded_and_read_again() -> None:
    effects = halted(standing())
    assert accounts(effects) == [None]
    assert decode_effects(encode_effects(effects)) == effects


def test_no_service_of_an_account_comes_before_a_push() -> None:
    tiers = [tier for service, tier in TIER.items() if service is not Service.PUSH_FEEDS]
    assert TIER[Service.PUSH_FEEDS] < min(tiers)
