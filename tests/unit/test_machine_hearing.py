"""What is told besides logs reaches every venue, decides nothing, and no reorg takes it back."""

from typing import get_args

import pytest

from keeper.domain.effects import NOTHING
from keeper.domain.events import (
    ChainRewound,
    CommandRefused,
    OracleUpdated,
    PayloadReceived,
    PriceObserved,
    RoundObserved,
    Ticked,
)
from keeper.venue import Heard, PushRefused
from tests.unit.test_machine import World, hash_of


HEARD: list[Heard] = [
    OracleUpdated("exchange", "ETH", 2_000.0, 1_700_000_000_000),
    PayloadReceived("page", "0x" + "f1" * 20, "0xab", 10, 20),
    RoundObserved("check", "ETH", "0x" + "f1" * 20, "0x" + "f2" * 20, 1, 8, -1, 60, 1, 1, 1, 1),
    PriceObserved("pyth", "ETH", "0x" + "f3" * 20, "0x" + "e1" * 32, 1, 0, 8, -1, 9, 60, 0, 1),
    CommandRefused(7, "preflight", "BLF_InvalidSignature", ""),
]


def test_there_is_one_of_every_kind() -> None:
    # A push's refusal arrives as any other's: the machine knows which it is.
    assert {type(each) for each in HEARD} == set(get_args(Heard)) - {PushRefused}


@pytest.mark.parametrize("event", HEARD, ids=lambda each: type(each).__name__)
def test_it_reaches_the_venue_and_causes_nothing_by_itself(event: Heard) -> None:
    world = World()
    world.block(1, "7:100")
    assert world.apply(event) == NOTHING
    assert world.venue.heard == [event]


def test_a_rewind_takes_none_of_it_back() -> None:
    world = World()
    world.block(1, "7:100")
    before = world.portfolio.contents()
    world.apply(HEARD[0])
    world.block(2, "7:-5")
    world.apply(ChainRewound(1, 1, hash_of(1)))
    assert world.portfolio.contents() == before
    assert world.venue.heard == [HEARD[0]]


def test_what_is_of_no_concern_to_venues_does_not_reach_them() -> None:
    world = World()
    world.apply(Ticked())
    assert world.venue.heard == []


def test_the_age_of_quotes_is_assessed_with_their_state() -> None:
    (assessment,) = World().block(1, "7:100").assessments
    assert assessment.quote_ages == (("spot:ETH", 0.25),)
