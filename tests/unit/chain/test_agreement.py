import pytest

from keeper.chain.link.agreement import (
    Conflict,
    Finality,
    View,
    behind,
    common_height,
    conflict_at,
    known_at,
)
from keeper.chain.link.branch import Point


def view(endpoint: str, head: int, final: int | None = None, fork: str = "") -> View:
    end = None if final is None else Point(final, f"0x{final}{fork}")
    return View(endpoint, Point(head, f"0x{head}{fork}"), end)


def test_an_endpoint_is_behind_only_beyond_the_limit() -> None:
    views = [view("a", 100), view("b", 97), view("c", 96)]
    assert behind(views, 3) == ("c",)
    assert behind([], 3) == ()


def test_views_are_compared_at_the_highest_block_that_all_have() -> None:
    views = [view("a", 9), view("b", 7), view("c", 7, fork="x")]
    assert common_height(views) == 7
    assert known_at(views, 7) == {"b": "0x7", "c": "0x7x"}


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [
        ({}, None),
        ({"a": "0x1"}, None),
        ({"a": "0x1", "b": "0x1"}, None),
        ({"a": "0x1", "b": None}, None),
        ({"a": None, "b": "0x2", "c": "0x2"}, None),
        ({"a": "0x1", "b": None, "c": "0x2"}, Conflict(5, "a", "c")),
    ],
)
def test_two_different_hashes_at_a_height_are_a_conflict(
    hashes: dict[str, str | None], expected: Conflict | None
) -> None:
    assert conflict_at(5, hashes) == expected


def test_a_final_block_counts_once_all_that_answer_have_it_and_then_only_goes_up() -> None:
    finality = Finality()
    finality.propose([view("a", 9, 5), view("b", 9, 4), view("c", 9)])
    assert (finality.candidate, finality.asked()) == (Point(4, "0x4"), (4,))
    assert finality.judge({4: {"a": "0x4", "b": "0x4", "c": None}}) is None
    assert (finality.confirmed, finality.candidate) == (Point(4, "0x4"), None)
    finality.propose([view("a", 9, 3), view("b", 9, 4)])
    assert finality.candidate is None
    finality.propose([view("a", 9, 8)])
    assert finality.asked() == (4, 8)


def test_final_blocks_that_differ_are_a_conflict_until_they_agree() -> None:
    finality = Finality()
    finality.propose([view("a", 9, 5)])
    assert finality.judge({5: {"a": "0x5", "b": "0x5x"}}) == Conflict(5, "a", "b")
    assert finality.confirmed is None
    assert finality.judge({5: {"a": "0x5", "b": "0x5"}}) is None
    assert finality.confirmed == Point(5, "0x5")


def test_a_final_block_that_nobody_has_any_more_is_given_up() -> None:
    finality = Finality()
    finality.propose([view("a", 9, 5)])
    assert finality.judge({5: {"a": "0x5x", "b": "0x5x"}}) is None
    assert (finality.confirmed, finality.candidate) == (None, None)


def test_who_left_the_confirmed_block_is_named_and_who_is_silent_is_not() -> None:
    finality = Finality()
    assert finality.deserters({5: {"a": "0x5"}}) == ()
    finality.propose([view("a", 9, 5)])
    finality.judge({5: {"a": "0x5"}})
    assert finality.deserters({5: {"a": "0x5", "b": "0x5x", "c": None}}) == ("b",)
