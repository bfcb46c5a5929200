"""How much to take: each rule by its own numbers, and never more than there is."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import InvariantViolation
from keeper.liquidation.sizing import (
    Cut,
    Depth,
    Leg,
    best_leg,
    by_close_factor,
    by_depth,
    by_inventory,
    by_largest_fraction,
    by_leg,
    full,
    smallest,
)
from tests.unit.liquidation.opportunities import AUCTION


NAN = math.nan


@pytest.mark.parametrize(
    ("health", "share"), [(1.2, 0.0), (1.0, 0.0), (0.99, 0.5), (0.95, 1.0), (0.1, 1.0), (NAN, 0.0)]
)
def test_a_close_factor_closes_half_and_all_of_the_sickest(health: float, share: float) -> None:
    assert by_close_factor(health, 0.5, 0.95) == share


def test_a_close_factor_out_of_range_is_a_bug() -> None:
    with pytest.raises(InvariantViolation):
        by_close_factor(0.9, 0.0, 0.95)


def test_the_largest_fraction_leaves_the_rest_with_no_missing_buffer() -> None:
    share = by_largest_fraction(AUCTION, 1_450)
    assert share == AUCTION.fraction_max(1_450)
    assert 0.0 < share < 1.0
    paid = AUCTION.price(1_450) * share
    left = replace(
        AUCTION,
        equity_usd=AUCTION.equity_usd * (1 - share) + paid,
        mm_excess_usd=AUCTION.mm_excess_usd * (1 - share) + paid,
    )
    assert left.buffered_usd == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("asked", "cash", "share"),
    [(100.0, 40.0, 0.4), (100.0, 400.0, 1.0), (0.0, 0.0, 1.0), (-5.0, 0.0, 1.0),
     (100.0, -1.0, 0.0), (100.0, NAN, 0.0), (NAN, 5.0, 0.0)],
)  # fmt: skip
def test_inventory_bounds_the_share(asked: float, cash: float, share: float) -> None:
    assert by_inventory(asked, cash) == share


def test_the_narrowest_leg_decides_the_depth() -> None:
    legs = [Depth(1, -10.0, 100.0), Depth(2, 4.0, 1.0), Depth(3, 0.0, 0.0)]
    assert by_depth(legs) == 0.25
    assert by_depth([Depth(1, 10.0, 100.0)]) == 1.0
    assert by_depth([Depth(1, 10.0, NAN)]) == 0.0
    assert by_depth([Depth(1, 10.0, -3.0)]) == 0.0


@pytest.mark.parametrize(
    ("shares", "least", "share"),
    [([0.4, 0.2, 1.0], 0.1, 0.2), ([0.4, 0.05], 0.1, 0.0), ([], 0.0, 0.0),
     ([NAN, 0.4], 0.0, 0.0), ([0.4, NAN], 0.0, 0.0), ([-0.1], 0.0, 0.0), ([2.0], 0.0, 1.0)],
)  # fmt: skip
def test_all_rules_together_allow_the_smallest(shares, least, share) -> None:
    assert smallest(shares, least) == share
    assert full() == 1.0


LEGS = [
    Leg(1, 10.0, frees_usd=100.0, costs_usd=50.0),
    Leg(2, -4.0, frees_usd=80.0, costs_usd=8.0),
    Leg(3, 5.0, frees_usd=-20.0, costs_usd=0.0),
    Leg(4, 2.0, frees_usd=30.0, costs_usd=-1.0),
]


def test_the_leg_that_frees_most_per_cost_is_closed_first_and_the_last_in_part() -> None:
    assert by_leg(LEGS, 160.0) == [
        Cut(4, 2.0, 30.0, -1.0),
        Cut(2, -4.0, 80.0, 8.0),
        Cut(1, 5.0, 50.0, 25.0),
    ]
    assert best_leg(LEGS) == LEGS[3]
    assert best_leg(LEGS[2:3]) is None


def test_nothing_is_closed_where_nothing_is_needed_or_nothing_helps() -> None:
    assert by_leg(LEGS, 0.0) == []
    assert by_leg(LEGS[2:3], 100.0) == []


def test_all_legs_may_not_be_enough() -> None:
    cuts = by_leg(LEGS, 10_000.0)
    assert sum(cut.frees_usd for cut in cuts) == 210.0
    assert {cut.instrument for cut in cuts} == {1, 2, 4}


@pytest.mark.parametrize(
    ("needed", "closed"), [(25.0, 4.0), (20.0, 2.0), (1e-30, 2.0), (20.1, 4.0), (99.0, 9.0)]
)
def test_a_leg_is_cut_to_whole_steps(needed: float, closed: float) -> None:
    # Nine lots of which ten dollars come free each, to be closed two at a time.
    assert by_leg([Leg(1, 9.0, 90.0, 9.0, step=2.0)], needed)[0].quantity == closed


def test_equal_legs_are_closed_by_instrument() -> None:
    twins = [Leg(each, 1.0, 10.0, 1.0) for each in (5, 2, 9)]
    assert [cut.instrument for cut in by_leg(twins, 25.0)] == [2, 5, 9]


LEG = st.builds(
    Leg,
    st.integers(1, 6),
    st.sampled_from([-3.0, 1.0, 8.0]),
    st.floats(1.0, 100.0),
    st.floats(0.1, 50.0),
    st.just(0.0),
)


@given(st.lists(LEG, max_size=5, unique_by=lambda leg: leg.instrument), st.floats(0.01, 300.0))
def test_no_other_choice_of_parts_frees_as_much_for_less(legs, needed) -> None:
    cuts = by_leg(legs, needed)
    freed = sum(cut.frees_usd for cut in cuts)
    total = sum(leg.frees_usd for leg in legs)
    assert freed == pytest.approx(min(needed, total))
    # The dual of the fractional knapsack: a price that no leg left over undercuts.
    price = max((cut.costs_usd / cut.frees_usd for cut in cuts), default=0.0)
    closed = {cut.instrument: cut.frees_usd for cut in cuts}
    for leg in legs:
        rest = leg.frees_usd - closed.get(leg.instrument, 0.0)
        assert rest <= 1e-9 or not cuts or leg.costs_usd / leg.frees_usd >= price - 1e-12
