"""Whose figures a block takes: small books in full, large ones by bounds, and who asks for more."""

from dataclasses import replace

import numpy as np
import pytest

from keeper.machine.assessing import required
from keeper.machine.screening import SCREENED_FROM, Screens, compute
from keeper.margin.book import Book, Flags
from keeper.margin.kernel.grid import moved
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.screen import COLUMNS
from keeper.venue import Ahead, VenueBook
from tests.performance.market_book import Measured, beta, measured
from tests.unit.fake_venue import ExcessMethod, empty_market


ACCOUNTS = 600
NOBODY = np.zeros(ACCOUNTS, np.bool_)
NOTHING = np.zeros(ACCOUNTS)
KEY = ("venue", 0)


@pytest.fixture(scope="module")
def found() -> Measured:
    return measured(ACCOUNTS)


def book_of(found: Measured, method: Pmrm2, move: float, wanted: Flags = NOBODY) -> VenueBook:
    """Return the measured book after all spots moved."""
    market = moved(found.market, beta(found.market), move, 0.0)
    ids = np.arange(1, ACCOUNTS + 1, dtype=np.int64)
    return VenueBook("ETH", ids, found.book, market, method, np.full(ACCOUNTS, 0.01), wanted)


def same(got: object, want: object, rows: Flags) -> bool:
    """Return whether all columns of two results are equal in these rows."""
    return all((getattr(got, name)[rows] == getattr(want, name)[rows]).all() for name in COLUMNS)


def test_a_book_below_the_line_is_computed_in_full_on_every_block(found: Measured) -> None:
    method = Pmrm2(found.parameters)
    for least, bounded in ((ACCOUNTS + 1, False), (ACCOUNTS, True)):
        screens = Screens(least, 1.0)
        for move in (0.0, 0.0005):
            result = required(book_of(found, method, move), screens, KEY)
        assert (result.cleared is not None) == bounded
        told = 0 if result.cleared is None else int(np.count_nonzero(result.cleared))
        assert screens.cleared == told


def test_what_a_venue_of_today_holds_is_computed_in_full() -> None:
    assert SCREENED_FROM > 10_000


def test_a_method_without_bounds_computes_everybody() -> None:
    screens, count = Screens(0, 1.0), 3
    cash = np.array([1.0, -2.0, 3.0])
    book = Book(np.zeros(count + 1, np.int64), np.zeros(0, np.int32), np.zeros(0), cash, cash * 0.0)
    for _ in range(2):
        at = (book, empty_market())
        result, cleared = screens.require(KEY, ExcessMethod(), at, 0.0 * cash, cash > 9.0)  # type: ignore[arg-type]
        assert cleared is None
        assert result.excess.tolist() == [1.0, -2.0, 3.0]


def test_a_live_auction_has_this_block_s_figures_however_far_from_the_line(
    found: Measured,
) -> None:
    method, screens, wanted = Pmrm2(found.parameters), Screens(0, 1.0), NOBODY.copy()
    far = int(np.argmax(method.require(found.book, found.market).excess))
    required(book_of(found, method, 0.0), screens, KEY)
    assert required(book_of(found, method, 0.0003), screens, KEY).cleared[far]  # type: ignore[index]

    wanted[far] = True
    book = book_of(found, method, 0.0005, wanted)
    result = required(book, screens, KEY)

    assert result.cleared is not None
    assert not result.cleared[far]
    assert result.cleared.any()
    full = required(book, Screens(), KEY)
    assert same(result.accrued, full.accrued, wanted)


def test_who_has_no_number_on_the_chain_s_quotes_has_one_of_this_block_s_ahead(
    found: Measured,
) -> None:
    method, screens = Pmrm2(found.parameters), Screens(0, 1.0)
    for move in (0.0, 0.0005):
        plain = book_of(found, method, move)
        ahead = Ahead(plain.book, plain.market)
        blind = replace(plain.market, usable=plain.market.usable.copy())
        blind.usable[:40] = False
        book = replace(plain, market=blind, ahead=ahead)
        result, full = required(book, screens, KEY), required(book, Screens(), KEY)
    assert result.leads is not None
    assert result.leads.any()
    assert same(result.accrued, full.accrued, result.leads)


def test_the_quotes_ahead_do_not_end_the_bounds_of_the_chain_s(found: Measured) -> None:
    method, screens = Pmrm2(found.parameters), Screens(0)
    required(book_of(found, method, 0.0), screens, KEY)
    book = book_of(found, method, 0.0002)
    later = moved(found.market, beta(found.market), 0.3, 0.0)
    required(replace(book, ahead=Ahead(book.book, later)), screens, KEY)
    result = required(book_of(found, method, 0.0004), screens, KEY)
    assert result.cleared is not None
    assert result.cleared.any()


def test_computing_gives_the_rows_asked_for_this_block_s_figures(found: Measured) -> None:
    method, screens = Pmrm2(found.parameters), Screens(0, 1.0)
    required(book_of(found, method, 0.0), screens, KEY)
    book = book_of(found, method, 0.0005)
    result, full = required(book, screens, KEY), required(book, Screens(), KEY)
    assert result.cleared is not None
    asked, left = np.flatnonzero(result.cleared)[:2]
    here = np.arange(ACCOUNTS) == asked
    assert not same(result.stored, full.stored, here)

    compute(result, [int(asked), int(asked), 0])

    assert same(result.stored, full.stored, here)
    assert same(result.accrued, full.accrued, here)
    assert not result.cleared[asked]
    assert result.cleared[left], "who was not asked for is still told as cleared"
    accrued = result.accrued.equity.copy()
    compute(result, [int(asked)])
    assert (result.accrued.equity == accrued).all(), "interest is added once"


def test_computing_what_was_computed_in_full_changes_nothing(found: Measured) -> None:
    full = required(book_of(found, Pmrm2(found.parameters), 0.0), Screens(), KEY)
    equity = full.accrued.equity.copy()
    compute(full, range(ACCOUNTS))
    assert (full.accrued.equity == equity).all()
