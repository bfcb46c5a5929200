"""The compiled kernel's rules: absent without harm, the same bits on any threads, no row unseen."""

import math
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from keeper.margin.book import Book, Floats, Market, Result
from keeper.margin.kernel import front as kernel
from keeper.margin.kernel.front import compiled, netted_worst, rows_of, share
from keeper.margin.kernel.grid import forward_grid
from keeper.margin.kernel.pricing import Pricing, price_table
from keeper.margin.kernel.shapes import Rows
from keeper.margin.kernel.warm import warm
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.pricing import YEAR_S, black76
from tests.performance.market_book import Measured, beta, measured


COLUMNS = ("equity", "mm", "im", "worst", "gross", "defined")
needs_numba = pytest.mark.skipif(bool(compiled().reason), reason=f"no numba: {compiled().reason}")


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith("keeper.margin.kernel_")]:
        if name.rsplit("_", 1)[1] in ("accounts", "cells", "ladder", "screen", "vectors"):
            monkeypatch.delitem(sys.modules, name)
    compiled.cache_clear()
    yield
    compiled.cache_clear()


def same(left: Result, right: Result) -> bool:
    return all(getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in COLUMNS)


def test_without_numba_the_answers_are_numpys_and_the_reason_is_told(without_numba: None) -> None:
    found = measured(40)
    assert "numba" in compiled().reason
    assert "numba" in warm()
    result = Pmrm2(found.parameters).require(found.book, found.market)
    assert same(result, Pmrm2(found.parameters, threads=0).require(found.book, found.market))
    assert result.defined.all()


def test_without_numba_a_stress_has_no_answer(without_numba: None) -> None:
    rows = Rows(1, np.array([0, 1]), np.zeros(1, np.int32), np.ones(1), np.zeros(1), np.zeros(1))
    assert netted_worst(rows, np.zeros(1, np.int32), np.ones((1, 3)), np.ones(1)) is None


@needs_numba
def test_threads_change_no_bit() -> None:
    found = measured(3 * kernel.PIECE + 1)
    one, two, three = (
        Pmrm2(found.parameters, threads=n).require(found.book, found.market) for n in (1, 2, 3)
    )
    assert same(one, two)
    assert same(one, three)


@needs_numba
def test_breaches_and_worst_are_those_of_numpy() -> None:
    found = measured(2_000)
    cash = found.book.cash - np.where(np.arange(2_000) % 3 == 0, 1e4, 0.0)
    book = replace(found.book, cash=cash)
    fast = Pmrm2(found.parameters).require(book, found.market)
    plain = Pmrm2(found.parameters, threads=0).require(book, found.market)
    assert ((fast.excess < 0.0) == (plain.excess < 0.0)).all()
    assert (fast.excess < 0.0).sum() > 100
    assert (fast.worst == plain.worst).all()
    assert np.abs(fast.mm - plain.mm).max() <= 1e-9 * plain.gross.max()


@needs_numba
def test_a_column_in_two_dampings_is_two_scenarios() -> None:
    found = measured(200)
    halved = tuple(replace(each, damping=0.5) for each in found.parameters.scenarios)
    parameters = replace(found.parameters, scenarios=halved + found.parameters.scenarios)
    fast = Pmrm2(parameters).require(found.book, found.market)
    plain = Pmrm2(parameters, threads=0).require(found.book, found.market)
    assert (fast.worst == plain.worst).all()
    assert (fast.worst >= len(halved)).any()


@needs_numba
def test_rows_out_of_order_are_left_to_numpy() -> None:
    found = measured(50)
    book, first = found.book, int(np.argmax(np.diff(found.book.start) > 1))
    at = found.book.start[first]
    instrument, quantity = book.instrument.copy(), book.quantity.copy()
    instrument[[at, at + 1]], quantity[[at, at + 1]] = (
        instrument[[at + 1, at]],
        quantity[[at + 1, at]],
    )
    swapped = replace(book, instrument=instrument, quantity=quantity)
    result = Pmrm2(found.parameters).require(swapped, found.market)
    whole = Pmrm2(found.parameters).require(book, found.market)
    assert np.allclose(result.mm, whole.mm, rtol=1e-12, atol=1e-9)


@needs_numba
@pytest.mark.parametrize("wrong", [10**6, 2_003])
def test_an_instrument_that_is_not_listed_is_refused_not_read(wrong: int) -> None:
    found = measured(5)
    instrument = found.book.instrument.copy()
    instrument[-1] = wrong
    with pytest.raises(IndexError):
        Pmrm2(found.parameters).require(replace(found.book, instrument=instrument), found.market)


def test_columns_whose_lengths_contradict_each_other_are_no_rows() -> None:
    book = measured(5).book
    assert rows_of(book) is not None
    assert rows_of(replace(book, carried=np.zeros(4))) is None
    assert rows_of(replace(book, quantity=book.quantity[:-1])) is None
    assert rows_of(replace(book, start=book.start[:-1])) is None


@needs_numba
def test_arrays_with_gaps_are_read_as_numpy_reads_them() -> None:
    found = measured(30)
    wide = np.zeros((len(found.book.quantity), 2))
    wide[:, 0] = found.book.quantity
    gapped = replace(found.book, quantity=wide[:, 0])
    method = Pmrm2(found.parameters)
    assert not gapped.quantity.flags.c_contiguous
    assert same(method.require(gapped, found.market), method.require(found.book, found.market))


@needs_numba
def test_netted_worst_is_the_sum_of_each_groups_worst() -> None:
    rng, accounts, count = np.random.default_rng(3), 50, 12
    held = [np.sort(rng.permutation(count)[: rng.integers(0, count)]) for _ in range(accounts)]
    start = np.cumsum([0, *(len(each) for each in held)]).astype(np.int64)
    instrument = np.concatenate(held).astype(np.int32)
    quantity, cash = rng.normal(0, 1, len(instrument)), rng.normal(0, 1, accounts)
    group = (np.arange(count) // 4).astype(np.int32)
    ladder, mark = rng.normal(0, 1, (count, 7)), rng.uniform(0, 1, count)
    rows = Rows(len(instrument), start, instrument, quantity, cash, np.zeros(accounts))
    found = netted_worst(rows, group, ladder, mark)
    assert found is not None
    for account in range(accounts):
        here = slice(start[account], start[account + 1])
        chosen, amount = instrument[here], quantity[here]
        worst = [
            (amount[group[chosen] == g, None] * ladder[chosen[group[chosen] == g]]).sum(0).min()
            for g in range(3)
        ]
        expected = cash[account] + (amount * mark[chosen]).sum() + sum(worst)
        assert math.isclose(found[account], expected, rel_tol=1e-12, abs_tol=1e-12)


@needs_numba
def test_ladder_is_black76_to_the_last_digits() -> None:
    rng, count, columns = np.random.default_rng(5), 400, 31
    strike = 3_000.0 * np.exp(rng.normal(0, 1.0, count))
    strike[0] = 0.0  # not regular: numpy's business
    work = Pricing(
        expiry=np.sort(rng.integers(0, 4, count)).astype(np.int32),
        strike=strike,
        call=rng.random(count) < 0.5,
        seconds=np.array([0.0, 60.0, 0.05 * YEAR_S, 2.0 * YEAR_S]),
        forward=3_000.0 * np.exp(rng.normal(0, 0.5, (4, columns))),
        discount=np.array([1.0, 1.0, 0.99, 0.9]),
        vol=rng.uniform(0.0, 3.0, (5, count)),
        kind=rng.integers(0, 5, columns),
    )
    found = price_table(work, np.arange(count), count, 1)
    assert found is not None
    table, sound = found
    expected = black76(
        work.forward[work.expiry].T,
        strike,
        work.seconds[work.expiry],
        work.vol[work.kind],
        work.discount[work.expiry],
        work.call,
    )
    size = work.forward[work.expiry].T + strike
    assert sound.all()
    assert (np.abs(table[:, :columns].T - expected) <= 2e-15 * size).all()


@needs_numba
def test_a_thread_that_fails_fails_the_call() -> None:
    def loop(first: int, last: int) -> int:
        return 0 if first == 0 else kernel.THREADS

    assert not share(loop, 10 * kernel.PIECE, (), 2)
    assert share(lambda first, last: 0, 10 * kernel.PIECE, (), 2)


@needs_numba
def test_a_loop_that_cannot_be_compiled_is_replaced_by_numpy_and_told() -> None:
    def loop(first: int, last: int) -> int:
        raise AttributeError("Can't get attribute 'Rows'")

    for count in (1, 10 * kernel.PIECE):
        assert not share(loop, count, (), 2)
    assert "Can't get attribute" in kernel.troubles()[-1]


@needs_numba
def test_warming_leaves_nothing_to_compile() -> None:
    assert warm() == ""
    loop = compiled().requirement
    before = len(loop.signatures)  # type: ignore[union-attr]
    found = measured(20)
    Pmrm2(found.parameters).require(found.book, found.market)
    assert len(loop.signatures) == before  # type: ignore[union-attr]


def test_the_grid_is_a_full_recompute_in_every_cell() -> None:
    found = measured(60)
    method, follows = Pmrm2(found.parameters), beta(found.market)
    spots, vols = np.array([-0.2, 0.0, 0.3]), np.array([0.0, 0.1])
    excess, equity = forward_grid(method, found.book, found.market, (spots, vols), follows)
    here = method.require(found.book, found.market)
    assert (excess[1, 0] == here.excess).all()
    assert (equity[1, 0] == here.equity).all()
    alone = forward_grid(method, found.book, found.market, (spots[2:], vols[1:]), follows, 1)
    assert (alone[0][0, 0] == excess[2, 1]).all()
    assert np.isfinite(excess).all()


class OneByOne:
    """A method that cannot lay a book out: the grid has to ask for each cell."""

    def __init__(self, method: Pmrm2) -> None:
        self._method = method

    def require(self, book: Book, market: Market) -> Result:
        """Return what the method returns."""
        return self._method.require(book, market)


def grids(
    found: Measured, book: Book, market: Market, threads: int = 1
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return the grid laid out, and cell by cell."""
    method, follows = Pmrm2(found.parameters, threads=threads), beta(found.market)
    moves = np.array([-0.5, -0.013, 0.0, 0.3]), np.linspace(-0.4, 0.4, 9)
    fast = forward_grid(method, book, market, moves, follows)
    return fast, forward_grid(OneByOne(method), book, market, moves, follows)


@needs_numba
def test_a_grid_laid_out_is_the_grid_cell_by_cell_to_the_bit() -> None:
    found = measured(300)
    assert Pmrm2(found.parameters).cells(found.book, found.market) is not None
    fast, plain = grids(found, found.book, found.market)
    assert all(left.tobytes() == right.tobytes() for left, right in zip(fast, plain, strict=True))
    assert len(np.unique(fast[0])) > 5_000


@needs_numba
@pytest.mark.parametrize("column", ["usable", "vol", "rate", "expiry_confidence"])
def test_a_grid_knows_who_has_no_number(column: str) -> None:
    found = measured(300)
    values = getattr(found.market, column).copy()
    held = int(np.bincount(found.book.instrument)[:2_000].argmax())
    values[min(held, len(values) - 9)] = False if column == "usable" else np.nan
    market = replace(found.market, **{column: values})
    fast, plain = grids(found, found.book, market)
    assert all(left.tobytes() == right.tobytes() for left, right in zip(fast, plain, strict=True))
    assert (fast[1] == 0.0).all(axis=(0, 1)).any()


@needs_numba
@pytest.mark.parametrize("field", ["quantity", "cash", "carried"])
def test_a_grid_with_an_absurd_number_is_taken_cell_by_cell(field: str) -> None:
    found = measured(300)
    values = getattr(found.book, field).copy()
    values[7] = np.nan
    fast, plain = grids(found, replace(found.book, **{field: values}), found.market)
    assert all(left.tobytes() == right.tobytes() for left, right in zip(fast, plain, strict=True))


@needs_numba
def test_a_book_or_method_the_grid_cannot_lay_out_is_left_to_require() -> None:
    found = measured(30)
    assert Pmrm2(found.parameters, threads=0).cells(found.book, found.market) is None
    method, backwards = Pmrm2(found.parameters), found.book.instrument[::-1].copy()
    disordered = replace(found.book, instrument=backwards)
    assert method.cells(disordered, found.market) is None
    wrong = found.book.instrument.copy()
    wrong[-1] = len(found.market.vol)
    assert method.cells(replace(found.book, instrument=wrong), found.market) is None


@needs_numba
def test_a_ladder_repriced_is_the_ladder_priced_anew_to_the_bit() -> None:
    found, rng = measured(3), np.random.default_rng(7)
    method, market = Pmrm2(found.parameters), found.market
    priced = method.price(None, market)
    for count in (0, 1, 13, 400, 900):
        vol = market.vol.copy()
        vol[rng.permutation(2_000)[:count]] *= 1.07
        vol[:count:50] = np.nan
        now = replace(market, vol=vol)
        partly, anew = method.price(None, now, (market, priced)), method.price(None, now)
        for name in ("value", "valid", "long_discount", "short_discount", "basis_weight"):
            left, right = getattr(partly[0], name), getattr(anew[0], name)
            assert left.tobytes() == right.tobytes()
        market, priced = now, partly


@needs_numba
def test_a_ladder_is_not_reused_where_more_than_volatility_moved() -> None:
    found = measured(3)
    method, market = Pmrm2(found.parameters), found.market
    last = market, method.price(None, market)
    for name in ("forward_variable", "seconds", "rate", "price", "spot", "perp_price"):
        now = replace(market, **{name: getattr(market, name) * 1.01})
        partly, anew = method.price(None, now, last), method.price(None, now)
        assert partly[0].value.tobytes() == anew[0].value.tobytes()
        assert partly[1].notional.tobytes() == anew[1].notional.tobytes()
        assert partly[1].unit_value.tobytes() == anew[1].unit_value.tobytes()


def test_an_empty_book_has_an_answer() -> None:
    found = measured(3)
    nobody = Book(
        np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0), np.zeros(0), np.zeros(0)
    )
    assert len(Pmrm2(found.parameters).require(nobody, found.market).mm) == 0


@needs_numba
def test_what_is_asked_after_a_margin_is_what_is_asked_without_it() -> None:
    found = measured(300)
    kept, market = Pmrm2(found.parameters), found.market
    scenario = np.zeros(found.book.accounts, np.int64)
    few = Book(
        found.book.start[:4],
        found.book.instrument[: found.book.start[3]],
        found.book.quantity[: found.book.start[3]],
        found.book.cash[:3],
        found.book.carried[:3],
    )
    for moved in (1.0, 1.1, 0.9):
        now = replace(market, vol=market.vol * moved)
        kept.require(found.book, now)
        for book in (found.book, few):
            asked = scenario[: book.accounts]
            for _ in range(2):
                anew = Pmrm2(found.parameters)
                assert kept.ladder(book, now).tobytes() == anew.ladder(book, now).tobytes()
                assert kept.greeks(book, now).tobytes() == anew.greeks(book, now).tobytes()
                under = kept.under_scenario(book, now, asked)
                assert under.tobytes() == anew.under_scenario(book, now, asked).tobytes()


@needs_numba
def test_a_market_that_was_margined_is_not_priced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(30)
    method = Pmrm2(found.parameters)
    method.require(found.book, found.market)
    monkeypatch.setattr(method, "price", None)
    assert method.ladder(found.book, found.market).shape == (30, method.scenarios + 1)
    with pytest.raises(TypeError):
        method.ladder(found.book, replace(found.market, stable=0.99))
