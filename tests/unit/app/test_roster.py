"""Whose turn it is: near the line first, everybody in turn, who was met is remembered."""

from __future__ import annotations

from typing import Any

import numpy as np

from keeper.app.audit.roster import NEVER, Place, Roster
from keeper.margin.book import Book, Result
from keeper.venue import Margined, VenueBook
from tests.unit.fake_venue import ExcessMethod, empty_market


def margined(accounts: dict[int, float], undefined: tuple[int, ...] = ()) -> Margined:
    """Return a book of accounts by their excess; each holds 100 USD gross."""
    ids = np.array(sorted(accounts), np.int64)
    excess = np.array([accounts[each] for each in ids.tolist()])
    zero = np.zeros(len(ids))
    defined = np.array([each not in undefined for each in ids.tolist()], np.bool_)
    gross = np.full(len(ids), 100.0)
    result = Result(excess, zero, zero, zero.astype(np.int64), gross, defined)
    empty: Any = np.zeros(0)
    start = np.zeros(len(ids) + 1, np.int64)
    book = Book(start, empty, empty, excess, zero)
    venue_book = VenueBook("ETH", ids, book, empty_market(), ExcessMethod(), zero, defined)  # type: ignore[arg-type]
    return Margined(venue_book, result, result)


BOOKS = [margined({1: 50.0, 4: -3.0, 6: 1.0}), margined({2: 9.0, 3: -2.0, 5: 80.0}, (5,))]


def met(books: list[Margined]) -> Roster:
    roster = Roster()
    roster.meet(books)
    return roster


def ids(places: list[Place], books: list[Margined] = BOOKS) -> list[int]:
    return [int(books[book].book.accounts[row]) for book, row in places]


def test_the_nearest_come_first_from_either_side_of_the_line() -> None:
    assert ids(met(BOOKS).nearest(BOOKS, 3)) == [6, 3, 4]


def test_who_has_no_number_is_near_no_line() -> None:
    assert ids(met(BOOKS).nearest(BOOKS, 99)) == [6, 3, 4, 2, 1]


def test_everybody_comes_in_turn_also_who_has_no_number() -> None:
    roster = met(BOOKS)
    assert [ids(roster.turn(2)) for _ in range(4)] == [[1, 2], [3, 4], [5, 6], [1, 2]]


def test_a_turn_of_those_who_have_not_agreed_since_leaves_the_others_out() -> None:
    roster = met(BOOKS)
    roster.agree([1, 2, 3], 10)
    roster.agree([2], 12)
    assert ids(roster.turn(99, 12)) == [1, 3, 4, 5, 6]
    roster.agree([1, 3, 4, 5, 6], 13)
    assert roster.turn(99, 12) == []
    assert roster.oldest == 12


def test_nobody_is_asked_where_none_may_be() -> None:
    assert met(BOOKS).turn(0) == []
    assert met(BOOKS).nearest(BOOKS, 0) == []
    assert Roster().turn(5) == []


def test_who_differs_has_not_agreed() -> None:
    roster = met(BOOKS)
    roster.agree([1, 2, 3, 4, 5, 6], 10)
    roster.differ(4)
    assert roster.oldest == NEVER
    assert ids(roster.turn(99, 1)) == [4]


def test_blocks_that_left_the_chain_prove_nothing() -> None:
    roster = met(BOOKS)
    roster.agree([1, 2, 3, 4, 5, 6], 10)
    roster.agree([1], 12)
    roster.forget_after(11)
    assert ids(roster.turn(99, 1)) == [1]


def test_who_comes_has_never_agreed_and_who_stays_is_remembered() -> None:
    roster = met(BOOKS)
    roster.agree([1, 2, 3, 4, 5, 6], 10)
    later = [BOOKS[0], margined({2: 1.0, 3: 1.0, 7: 1.0})]
    roster.meet(later)
    assert len(roster) == 6
    assert ids(roster.turn(99, 1), later) == [7]
    roster.agree([99], 11)  # nobody's
    assert roster.oldest == NEVER
