"""The screen's rules: what it computes, when it begins anew, and what it must never trust."""

from dataclasses import replace

import numpy as np
import pytest

from keeper.margin.book import Book, Kind, Market
from keeper.margin.kernel.grid import moved
from keeper.margin.methods import pmrm2_fall
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.screen import Screen, lower_bounds
from keeper.margin.screen_rows import differing, gross_fall, take
from tests.performance.market_book import Measured, beta, measured


@pytest.fixture(scope="module")
def found() -> Measured:
    return measured(600)


def begun(found: Measured) -> tuple[Screen, Pmrm2]:
    screen, method = Screen(), Pmrm2(found.parameters)
    screen.require(method, found.book, found.market)
    return screen, method


def small_move(found: Measured) -> Market:
    return moved(found.market, beta(found.market), -0.0005, 0.001)


def test_first_call_computes_everybody(found: Measured) -> None:
    screening = Screen().require(Pmrm2(found.parameters), found.book, found.market)
    assert screening.exact.all()


def test_a_small_move_computes_few_and_finds_the_least_excess(found: Measured) -> None:
    screen, method = begun(found)
    screening = screen.require(method, found.book, small_move(found))
    full = method.require(found.book, small_move(found))
    assert 0 < screening.computed < 60
    assert screening.result.excess.min() == full.excess.min()
    assert (screening.result.mm[screening.exact] == full.mm[screening.exact]).all()


def test_a_large_move_begins_a_new_epoch(found: Measured) -> None:
    screen, method = Screen(), Pmrm2(found.parameters)
    book = replace(found.book, cash=found.book.cash + 1e6)  # far from the line before and after
    screen.require(method, book, found.market)
    crash = moved(found.market, beta(found.market), -0.9, 0.5)
    assert screen.require(method, book, crash).exact.all()
    assert screen.require(method, book, crash).computed < 60


def test_whose_positions_changed_is_bounded_from_what_he_holds_now(found: Measured) -> None:
    screen, method = begun(found)
    quantity = found.book.quantity.copy()
    here = slice(found.book.start[7], found.book.start[8])
    quantity[here] = -100.0 * np.abs(quantity[here])
    book = replace(found.book, quantity=quantity)
    screening, full = screen.require(method, book, found.market), method.require(book, found.market)
    assert full.excess[7] < 0.0
    assert screening.exact[7]
    assert screening.result.excess[7] == full.excess[7]


def test_an_array_the_caller_writes_into_is_noticed(found: Measured) -> None:
    book = replace(found.book, quantity=found.book.quantity.copy())
    screen, method = Screen(), Pmrm2(found.parameters)
    screen.require(method, book, found.market)
    book.quantity[found.book.start[7] : found.book.start[8]] = -1e4
    screening = screen.require(method, book, found.market)
    assert screening.result.excess[7] == method.require(book, found.market).excess[7] < 0.0


def traded(found: Measured, accounts: list[int]) -> Book:
    """Return the book after these accounts sold much of their first instrument."""
    quantity = found.book.quantity.copy()
    quantity[found.book.start[accounts]] = -1e4
    return replace(found.book, quantity=quantity)


def test_named_accounts_give_the_answer_of_comparing_every_row(found: Measured) -> None:
    (named, method), (compared, _) = begun(found), begun(found)
    compared.require(method, found.book, found.market)
    for accounts in ([7], [7, 30, 31], []):
        book, market = traded(found, accounts), small_move(found)
        changed = np.array([7, 30, 31])  # more than did is allowed
        got = named.require(method, book, market, changed=changed)
        full = method.require(book, market)
        assert ((got.result.excess < 0.0) == (full.excess < 0.0)).all()
        assert (got.result.excess[accounts] == full.excess[accounts]).all()
        assert got.result.excess.min() == full.excess.min()


def test_named_accounts_are_seen_where_rows_came_and_went(found: Measured) -> None:
    screen, method = begun(found)
    keep = np.arange(len(found.book.instrument)) != found.book.start[5]
    start = found.book.start.copy()
    start[6:] -= 1
    old = found.book
    fewer = Book(start, old.instrument[keep], old.quantity[keep], old.cash - 1.0, old.carried)
    for book in (fewer, old, fewer):
        got = screen.require(method, book, found.market, changed=np.array([5]))
        full = method.require(book, found.market)
        assert ((got.result.excess < 0.0) == (full.excess < 0.0)).all()
        assert got.result.excess.min() == full.excess.min()


@pytest.mark.parametrize("wrong", [-1, 600])
def test_naming_no_account_of_the_book_is_refused(found: Measured, wrong: int) -> None:
    screen, method = begun(found)
    with pytest.raises(ValueError, match=r"changed: outside 0\.\.599"):
        screen.require(method, found.book, found.market, changed=np.array([wrong]))


def test_a_quote_the_caller_writes_over_is_noticed(found: Measured) -> None:
    market = replace(found.market, vol=found.market.vol.copy())
    screen, method = Screen(1.0), Pmrm2(found.parameters)
    screen.require(method, found.book, found.market)
    screen.require(method, found.book, market)
    market.vol[:400] *= 3.0
    screening, full = screen.require(method, found.book, market), method.require(found.book, market)
    assert ((screening.result.excess < 0.0) == (full.excess < 0.0)).all()
    assert screening.result.excess.min() == full.excess.min()


def test_a_result_is_the_callers_to_keep(found: Measured) -> None:
    screen, method = begun(found)
    first = screen.require(method, found.book, found.market).result
    equity = first.equity.copy()
    first.equity[:] = -1.0
    again = screen.require(method, found.book, found.market).result
    assert (again.equity == equity).all()


def test_accrued_interest_alone_can_break_an_account(found: Measured) -> None:
    screen, method = begun(found)
    excess = method.require(found.book, found.market).excess
    extra = np.zeros(600)
    extra[11] = -excess[11] - 1.0
    screening = screen.require(method, found.book, found.market, extra)
    assert screening.exact[11]
    assert (screening.result.excess + extra)[11] < 0.0


def test_another_method_account_or_listing_begins_anew(found: Measured) -> None:
    screen, _ = begun(found)
    other = Pmrm2(found.parameters)
    assert screen.require(other, found.book, found.market).exact.all()
    fewer = take(found.book, np.arange(599))
    assert screen.require(other, fewer, found.market).exact.all()
    listing = replace(found.market.listing, strike=found.market.listing.strike + 0.01)
    assert screen.require(other, fewer, replace(found.market, listing=listing)).exact.all()


def test_a_new_instrument_begins_anew_though_rows_name_it(found: Measured) -> None:
    screen, method = Screen(1.0), Pmrm2(found.parameters)
    screen.require(method, found.book, found.market)
    old, market = found.book, found.market
    last = int(np.flatnonzero(market.listing.kind <= Kind.PUT)[-1])

    def longer(column: np.ndarray) -> np.ndarray:  # the last option, listed once more
        return np.insert(column, last, column[last])

    names = ("kind", "underlying", "expiry", "strike")
    listing = replace(market.listing, **{n: longer(getattr(market.listing, n)) for n in names})
    columns = {n: longer(getattr(market, n)) for n in ("vol", "price", "confidence", "usable")}
    later = replace(market, listing=listing, **columns)
    book = replace(old, instrument=old.instrument + (old.instrument > last).astype(np.int32))
    assert book.instrument.max() == len(market.vol)

    screening = screen.require(method, book, later)

    assert screening.exact.all()
    assert (screening.result.mm == method.require(old, market).mm).all()


def test_whose_figures_are_wanted_is_computed_though_a_bound_clears_him(found: Measured) -> None:
    screen, method = begun(found)
    full = method.require(found.book, small_move(found))
    far = int(np.argmax(full.excess))
    assert not screen.require(method, found.book, small_move(found)).exact[far]
    wanted = np.arange(600) == far
    screening = screen.require(method, found.book, small_move(found), wanted=wanted)
    assert screening.exact[far]
    assert screening.result.mm[far] == full.mm[far]
    assert not screening.exact.all()


def test_who_is_wanted_and_far_from_the_line_makes_nobody_else_computed(found: Measured) -> None:
    far = replace(found.book, cash=found.book.cash + 1e6)  # nobody is in doubt
    screen, method = Screen(), Pmrm2(found.parameters)
    excess = method.require(far, found.market).excess
    screen.require(method, far, found.market)
    screening = screen.require(method, far, small_move(found), wanted=excess == excess.max())
    assert screening.computed < 30
    assert screening.result.excess.min() == method.require(far, small_move(found)).excess.min()


def test_where_too_many_are_wanted_everybody_is_computed(found: Measured) -> None:
    screen, method = begun(found)
    wanted = np.arange(600) < 100
    assert screen.require(method, found.book, small_move(found), wanted=wanted).exact.all()


def test_forgetting_begins_anew(found: Measured) -> None:
    screen, method = begun(found)
    screen.forget()
    assert screen.require(method, found.book, found.market).exact.all()


def test_an_unreadable_market_clears_nobody(found: Measured) -> None:
    screen, method = begun(found)
    dark = replace(found.market, stable=0.0)
    assert not screen.require(method, found.book, dark).result.defined.any()
    assert screen.require(method, found.book, found.market).result.defined.all()


@pytest.mark.parametrize("threads", [0, 2])
def test_differing_rows_are_found_however_they_moved(threads: int) -> None:
    book = measured(40).book
    assert not differing(book, book, threads).any()
    quantity = book.quantity.copy()
    quantity[book.start[3]] += 1e-12
    changed = differing(book, replace(book, quantity=quantity), threads)
    assert np.flatnonzero(changed).tolist() == [3]
    keep = np.arange(len(book.instrument)) != book.start[5]
    start = book.start.copy()
    start[6:] -= 1
    shorter = Book(start, book.instrument[keep], book.quantity[keep], book.cash, book.carried)
    assert np.flatnonzero(differing(book, shorter, threads)).tolist() == [5]
    assert np.flatnonzero(differing(shorter, book, threads)).tolist() == [5]


@pytest.mark.parametrize("threads", [0, 2])
def test_gross_fall_is_the_sum_over_rows(threads: int) -> None:
    found = measured(40)
    fall = np.random.default_rng(0).random(len(found.market.vol))
    asked = np.array([30, 2, 2])
    got = gross_fall(found.book, asked, fall, threads)
    for place, account in enumerate(asked):
        here = slice(found.book.start[account], found.book.start[account + 1])
        rows = np.abs(found.book.quantity[here]) * fall[found.book.instrument[here]]
        assert got[place] == pytest.approx(rows.sum(), rel=1e-14)


def test_bounds_are_the_same_without_the_kernel(
    found: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Pmrm2(found.parameters)
    result = method.require(found.book, found.market)
    now = replace(found.book, cash=found.book.cash - 5.0, carried=found.book.carried + 1.0)
    extra = np.linspace(-1.0, 0.0, 600)
    sides = [(market, method.price(None, market)) for market in (found.market, small_move(found))]
    fast, plain = np.zeros((2, 600)), np.zeros((2, 600))
    first = lower_bounds(result, (found.book, now), extra, 1e-3, fast)
    fall = pmrm2_fall.fall(found.parameters, *sides)
    monkeypatch.setattr("keeper.margin.screen.share", lambda *_: False)
    monkeypatch.setattr("keeper.margin.methods.pmrm2_fall.share", lambda *_: False)
    second = lower_bounds(result, (found.book, now), extra, 1e-3, plain)
    slow = pmrm2_fall.fall(found.parameters, *sides)
    assert np.allclose(fast, plain, rtol=1e-14, atol=1e-9)
    assert (first.equity == second.equity).all()
    assert fall is not None
    assert slow is not None
    assert np.allclose(fall, slow, rtol=1e-14, atol=0.0)
