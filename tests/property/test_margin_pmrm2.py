"""PMRM_2 on arrays against the scalar reference, and what must not change its answer."""

from dataclasses import fields, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.margin.book import Book, Floats, Market, Result
from keeper.margin.methods.pmrm2 import Pmrm2
from tests.property.margin_markets import World, worlds
from tests.reference import pmrm2_scalar as scalar


fixed = settings(max_examples=60, deadline=None, derandomize=True, database=None)
COLUMNS = ("equity", "mm", "im", "worst", "gross", "defined")


def same(left: Result, right: Result) -> bool:
    """Return whether two results are equal bit for bit."""
    return all(getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in COLUMNS)


def take(book: Book, accounts: np.ndarray) -> Book:
    """Return these accounts' rows in this order."""
    rows = [np.arange(book.start[a], book.start[a + 1]) for a in accounts]
    at = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    return Book(
        start=np.cumsum([0, *(len(each) for each in rows)]).astype(np.int64),
        instrument=book.instrument[at],
        quantity=book.quantity[at],
        cash=book.cash[accounts],
        carried=book.carried[accounts],
    )


@fixed
@given(worlds())
def test_arrays_equal_the_scalar_reference(world: World) -> None:
    result = world.method.require(world.book, world.market)
    ladder = world.method.ladder(world.book, world.market)
    for row, portfolio in enumerate(world.portfolios):
        assert result.defined[row]
        outcome = scalar.assess(portfolio, world.quotes, world.rules)
        room = 1e-9 * max(1.0, float(result.gross[row]))
        assert abs(result.equity[row] - outcome.mtm) <= room
        assert abs(result.excess[row] - outcome.mm) <= room
        assert abs(result.excess_initial[row] - outcome.im) <= room
        assert np.allclose(ladder[row], [*outcome.pnls, outcome.basis], rtol=0.0, atol=room)
        if result.worst[row] != outcome.worst:  # only ties may be broken differently
            assert abs(ladder[row, result.worst[row]] - outcome.span) <= room


@fixed
@given(worlds(), st.randoms(use_true_random=False))
def test_under_one_scenario_equals_the_scalar_reference(world: World, chance: object) -> None:
    rng = np.random.default_rng(chance.randrange(2**32))  # type: ignore[attr-defined]
    scenario = rng.integers(0, world.method.scenarios, world.book.accounts)
    got = world.method.under_scenario(world.book, world.market, scenario)
    gross = world.method.require(world.book, world.market).gross
    for row, portfolio in enumerate(world.portfolios):
        expected = scalar.margin_under(portfolio, world.quotes, world.rules, int(scenario[row]))
        assert abs(got[row] - expected) <= 1e-9 * max(1.0, float(gross[row]))


@fixed
@given(worlds())
def test_excess_under_the_worst_scenario_is_the_excess(world: World) -> None:
    result = world.method.require(world.book, world.market)
    scenario = np.minimum(result.worst, world.method.scenarios - 1)
    got = world.method.under_scenario(world.book, world.market, scenario)
    assert (got == result.excess).all()


@fixed
@given(worlds(), st.randoms(use_true_random=False))
def test_permuting_accounts_permutes_the_result(world: World, chance: object) -> None:
    rng = np.random.default_rng(chance.randrange(2**32))  # type: ignore[attr-defined]
    order = rng.permutation(world.book.accounts)
    straight = world.method.require(world.book, world.market)
    mixed = world.method.require(take(world.book, order), world.market)
    expected = Result(*(getattr(straight, name)[order] for name in COLUMNS))
    assert same(mixed, expected)


@fixed
@given(worlds(), st.integers(1, 40))
def test_chunking_changes_no_bit(world: World, rows: int) -> None:
    chunked = Pmrm2(world.method.parameters, chunk_rows=rows)
    whole, parts = (m.require(world.book, world.market) for m in (world.method, chunked))
    assert same(whole, parts)
    ladders = [m.ladder(world.book, world.market) for m in (world.method, chunked)]
    assert ladders[0].tobytes() == ladders[1].tobytes()
    greeks = [m.greeks(world.book, world.market) for m in (world.method, chunked)]
    assert greeks[0].tobytes() == greeks[1].tobytes()


@fixed
@given(worlds())
def test_rows_of_zero_quantity_change_no_bit_even_of_unusable_instruments(world: World) -> None:
    count, book = len(world.market.vol), world.book
    dense = np.zeros((book.accounts, count))
    accounts = np.repeat(np.arange(book.accounts), np.diff(book.start))
    dense[accounts, book.instrument] = book.quantity
    full = Book(
        start=np.arange(book.accounts + 1, dtype=np.int64) * count,
        instrument=np.tile(np.arange(count, dtype=np.int32), book.accounts),
        quantity=dense.ravel(),
        cash=book.cash,
        carried=book.carried,
    )
    held = (dense != 0.0).any(axis=0)
    market = replace(world.market, usable=held)
    assert same(world.method.require(full, market), world.method.require(book, world.market))


@fixed
@given(worlds(), st.floats(-1e6, 1e6))
def test_more_cash_moves_the_equity_alone(world: World, cash: float) -> None:
    delta = np.full(world.book.accounts, cash)
    shifted = world.method.require(world.book, world.market).with_cash(delta)
    richer = replace(world.book, cash=world.book.cash + delta)
    computed = world.method.require(richer, world.market)
    assert np.allclose(shifted.equity, computed.equity, rtol=1e-12, atol=1e-6)
    assert shifted.mm.tobytes() == computed.mm.tobytes()
    assert (shifted.worst == computed.worst).all()


def poisoned(market: Market, name: str, value: float, rng: np.random.Generator) -> Market:
    """Return the market with one number of one field replaced."""
    if name == "strike":
        strike = market.listing.strike.copy()
        strike[rng.integers(len(strike))] = value
        return replace(market, listing=replace(market.listing, strike=strike))
    if name == "stable":
        return replace(market, stable=value)
    column: Floats = getattr(market, name).copy()
    if len(column):
        column[rng.integers(len(column))] = value
    return replace(market, **{name: column})


NUMBERS = [f.name for f in fields(Market) if f.name not in ("listing", "usable")] + ["strike"]


@fixed
@given(
    worlds(),
    st.sampled_from(NUMBERS),
    st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300, 1e-300]),
    st.integers(0, 2**32 - 1),
)
def test_no_bad_number_of_the_market_becomes_nan(
    world: World, name: str, value: float, seed: int
) -> None:
    market = poisoned(world.market, name, value, np.random.default_rng(seed))
    assert_whole(world.method, world.book, market)


@fixed
@given(
    worlds(),
    st.sampled_from(["quantity", "cash", "carried"]),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308]),
    st.integers(0, 2**32 - 1),
)
def test_a_bad_number_of_one_account_leaves_the_others_alone(
    world: World, name: str, value: float, seed: int
) -> None:
    column: Floats = getattr(world.book, name).copy()
    if not len(column):
        return
    place = int(np.random.default_rng(seed).integers(len(column)))
    column[place] = value
    owner = place
    if name == "quantity":
        owner = int(np.searchsorted(world.book.start, place, side="right")) - 1
    book = replace(world.book, **{name: column})
    assert_whole(world.method, book, world.market)
    before = world.method.require(world.book, world.market)
    after = world.method.require(book, world.market)
    others = np.arange(world.book.accounts) != owner
    for each in COLUMNS:
        assert (getattr(before, each)[others] == getattr(after, each)[others]).all()


def assert_whole(method: Pmrm2, book: Book, market: Market) -> None:
    """Assert that every answer is finite, and zero where the account is undefined."""
    result = method.require(book, market)
    for name in COLUMNS:
        column = getattr(result, name)
        assert np.isfinite(column).all(), name
        assert not column[~result.defined].any(), name
    asked = np.zeros(book.accounts, np.int64)
    for table in (
        method.ladder(book, market),
        method.greeks(book, market),
        method.under_scenario(book, market, asked),
    ):
        assert np.isfinite(table).all()
