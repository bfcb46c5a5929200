"""A better breach takes the worst place that is not included yet, and nothing else is reordered."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.sending.preemption import (
    Displacement,
    Newcomer,
    Place,
    PreemptionParameters,
    displacements,
)


RULE = PreemptionParameters()


def newcomer(command_id: int, worth: float, sender: str | None = None, tier: int = 0) -> Newcomer:
    return Newcomer(command_id, (tier, worth), sender)


def place(command_id: int, worth: float, nonce: int = 0, lane: str = "0xa", **more: int) -> Place:
    plain = {"held_blocks": 0, "displaced": 0} | more
    return Place(command_id, (0, worth), lane, nonce, **plain)


def taken(newcomers, places, rule=RULE, prices=None) -> list[tuple[int, int]]:
    """Return (newcomer, displaced); a place costs 1 wei where `prices` does not say otherwise."""
    prices = prices or {}
    found = displacements(newcomers, places, rule, lambda _, each: prices.get(each.command_id, 1))
    return [(each.newcomer, each.displaced) for each in found]


def test_the_worst_place_goes_to_the_better_breach() -> None:
    places = [place(1, -50.0, 7), place(2, -5.0, 8), place(3, -20.0, 9)]
    assert displacements([newcomer(10, -30.0)], places, RULE, lambda *_: 5) == [
        Displacement(10, 2, "0xa", 8, 5)
    ]


def test_a_breach_that_is_no_better_waits() -> None:
    assert taken([newcomer(10, -5.0)], [place(1, -5.0), place(2, -50.0)]) == []


def test_ties_in_worth_displace_nobody_though_the_order_is_strict() -> None:
    assert taken([newcomer(1, -5.0)], [place(2, -5.0)]) == []


def test_a_start_displaces_a_bid_of_any_worth() -> None:
    bid = Place(1, (2, -10_000.0), "0xa", 0, 0, 0)
    assert taken([newcomer(10, -0.5, tier=0)], [bid]) == [(10, 1)]


def test_the_best_newcomer_takes_the_worst_place_the_next_the_next() -> None:
    newcomers = [newcomer(10, -30.0), newcomer(11, -40.0), newcomer(12, -1.0)]
    places = [place(1, -5.0, 1), place(2, -10.0, 2), place(3, -99.0, 3)]
    assert taken(newcomers, places) == [(11, 1), (10, 2)]


def test_of_equal_places_the_later_nonce_is_given_up() -> None:
    twins = [place(7 + each, -5.0, each) for each in (4, 5, 3)]
    assert displacements([newcomer(10, -30.0)], twins, RULE, lambda *_: 1)[0].nonce == 5


def test_a_sender_that_is_named_takes_places_of_its_own_lane_only() -> None:
    places = [place(1, -1.0, lane="0xa"), place(2, -5.0, lane="0xb")]
    assert taken([newcomer(10, -30.0, "0xb")], places) == [(10, 2)]
    assert taken([newcomer(10, -30.0, "0xc")], places) == []


def test_a_place_about_to_be_included_is_left() -> None:
    assert taken([newcomer(10, -30.0)], [place(1, -5.0, held_blocks=4)]) == []
    assert taken([newcomer(10, -30.0)], [place(1, -5.0, held_blocks=3)]) == [(10, 1)]


def test_nobody_is_displaced_for_ever() -> None:
    assert taken([newcomer(10, -30.0)], [place(1, -5.0, displaced=2)]) == []
    assert taken([newcomer(10, -30.0)], [place(1, -5.0, displaced=1)]) == [(10, 1)]


def test_all_bumps_together_stay_in_the_budget() -> None:
    newcomers = [newcomer(10, -30.0), newcomer(11, -40.0)]
    places = [place(1, -5.0), place(2, -10.0)]
    tight = PreemptionParameters(bump_wei_max=11)
    assert taken(newcomers, places, tight, {1: 6, 2: 6}) == [(11, 1)]
    # A place that is too dear, or that cannot be paid at all, does not hide one behind it.
    assert taken(newcomers, places, tight, {1: 60, 2: 6}) == [(11, 2)]
    assert taken(newcomers, places, tight, {1: None, 2: 6}) == [(11, 2)]


def test_a_block_displaces_no_more_than_the_rule_says() -> None:
    newcomers = [newcomer(10 + each, -90.0 - each) for each in range(9)]
    places = [place(each, -5.0 - each, each) for each in range(9)]
    assert len(taken(newcomers, places)) == RULE.per_block_max
    assert taken(newcomers, places, PreemptionParameters(per_block_max=0)) == []


KEYS = st.tuples(st.integers(0, 2), st.integers(-4, 0).map(float))


@given(st.lists(KEYS, max_size=5), st.lists(KEYS, max_size=5))
def test_every_displacement_is_to_the_better_and_does_not_depend_on_arrival(
    arriving, holding
) -> None:
    newcomers = [Newcomer(100 + i, key, None) for i, key in enumerate(arriving)]
    places = [Place(i, key, "0xa", i, 0, 0) for i, key in enumerate(holding)]
    found = displacements(newcomers, places, RULE, lambda *_: 1)
    new, old = {each[0]: each for each in newcomers}, {each[0]: each for each in places}
    assert all(new[each.newcomer].priority < old[each.displaced].priority for each in found)
    assert len({each.newcomer for each in found}) == len({each.displaced for each in found})
    for shuffled in itertools.islice(itertools.permutations(newcomers), 4):
        assert displacements(shuffled, places[::-1], RULE, lambda *_: 1) == found
