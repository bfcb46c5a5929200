"""The compiled kernel against the numpy path: same breaches, same worst, same bits of any sum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.margin.book import Book, Kind, Listing, Market, Result
from keeper.margin.kernel.front import compiled
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.methods.pmrm2_compiled import require_compiled
from tests.property.margin_markets import World
from tests.property.margin_markets import worlds as any_worlds
from tests.property.test_margin_pmrm2 import NUMBERS, poisoned, same


pytestmark = pytest.mark.skipif(bool(compiled().reason), reason=f"no numba: {compiled().reason}")
worlds = st.deferred(lambda: any_worlds().map(canonical))
fixed = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def canonical(world: World) -> World:
    """Return the world with its listing in canonical order, as venues list: else numpy serves.

    The accounts' rows follow; nothing else changes.
    """
    listing = world.market.listing
    option = listing.kind <= Kind.PUT
    order = np.lexsort((listing.kind, listing.strike, listing.expiry, ~option))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    columns = ("kind", "underlying", "expiry", "strike")
    market = replace(
        world.market,
        listing=Listing(*(getattr(listing, name)[order] for name in columns)),
        **{n: getattr(world.market, n)[order] for n in ("vol", "price", "confidence", "usable")},
    )
    book = world.book
    owner = np.repeat(np.arange(book.accounts), np.diff(book.start))
    rows = np.lexsort((place[book.instrument], owner))
    held = place[book.instrument][rows].astype(np.int32)
    book = replace(book, instrument=held, quantity=book.quantity[rows])
    return replace(world, market=market, book=book)


def both(world: World, market: Market, book: Book) -> tuple[Result, Result]:
    """Return the answers of the compiled path, which must not have given up, and of numpy."""
    parameters = world.method.parameters
    method = Pmrm2(parameters)
    with np.errstate(all="ignore"):
        fast = require_compiled(parameters, book, market, method.price(book, market), 2)
    assert fast is not None
    return fast, Pmrm2(parameters, threads=0).require(book, market)


@fixed
@given(worlds)
def test_compiled_equals_numpy(world: World) -> None:
    fast, plain = both(world, world.market, world.book)
    assert (fast.defined == plain.defined).all()
    room = 1e-9 * np.maximum(1.0, plain.gross)
    for name in ("equity", "mm", "im", "gross"):
        assert (np.abs(getattr(fast, name) - getattr(plain, name)) <= room).all(), name
    off_line = np.abs(plain.excess) > room
    assert ((fast.excess < 0.0) == (plain.excess < 0.0))[off_line].all()
    ladder = world.method.ladder(world.book, world.market)
    for row in np.flatnonzero(fast.worst != plain.worst):  # only ties may be broken differently
        tie = ladder[row, fast.worst[row]] - ladder[row, plain.worst[row]]
        assert abs(tie) <= room[row]


@fixed
@given(worlds)
def test_sums_over_one_ladder_are_the_same_bits(world: World) -> None:
    parameters, book, market = world.method.parameters, world.book, world.market
    method = Pmrm2(parameters)
    priced = method.price(book, market)
    with np.errstate(all="ignore"):
        fast = require_compiled(parameters, book, market, priced, 2)
        plain = method._require_numpy(book, market, priced)
    assert fast is not None
    assert same(fast, plain)


@fixed
@given(
    worlds,
    st.sampled_from(NUMBERS),
    st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300, 1e-300]),
    st.integers(0, 2**32 - 1),
)
def test_a_bad_number_leaves_the_same_accounts_undefined(
    world: World, name: str, value: float, seed: int
) -> None:
    market = poisoned(world.market, name, value, np.random.default_rng(seed))
    parameters = world.method.parameters
    fast = Pmrm2(parameters).require(world.book, market)
    plain = Pmrm2(parameters, threads=0).require(world.book, market)
    assert (fast.defined == plain.defined).all()
    for column in ("equity", "mm", "im", "gross"):
        assert np.isfinite(getattr(fast, column)).all()


@fixed
@given(worlds, st.sampled_from([np.nan, np.inf, 1e308]), st.integers(0, 2**32 - 1))
def test_a_bad_quantity_is_undefined_and_alone(world: World, value: float, seed: int) -> None:
    if not len(world.book.quantity):
        return
    place = int(np.random.default_rng(seed).integers(len(world.book.quantity)))
    quantity = world.book.quantity.copy()
    quantity[place] = value
    fast, plain = both(world, world.market, replace(world.book, quantity=quantity))
    assert (fast.defined == plain.defined).all()
    owner = int(np.searchsorted(world.book.start, place, side="right")) - 1
    before, _ = both(world, world.market, world.book)
    others = np.arange(world.book.accounts) != owner
    assert (before.mm[others] == fast.mm[others]).all()
