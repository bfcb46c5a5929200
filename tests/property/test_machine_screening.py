"""A venue's book on a block, with bounds and without: nothing that is decided may differ."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.liquidation.triage import triage
from keeper.machine.assessing import required
from keeper.machine.screening import Screens, compute
from keeper.margin.book import Flags, Floats
from keeper.margin.kernel.front import THREADS
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.screen import COLUMNS
from keeper.venue import Ahead, Margined, VenueBook
from tests.property.margin_markets import World, worlds
from tests.property.test_screen import Loose, Step, near_line, next_step


fixed = settings(max_examples=60, deadline=None, derandomize=True, database=None)
KEY = ("venue", 0)
BLOCKS = 5


@dataclass
class Seen:
    """What a hunt found: how the two ways differ, and how many accounts a bound cleared."""

    faults: list[str]
    cleared: int = 0


def block(step: Step, method: Pmrm2, rng: np.random.Generator, *, ahead: bool) -> VenueBook:
    """Return the book as a venue would: some accounts in auction, newer quotes or none."""
    newer = None
    if ahead:
        carried = step.book.carried + rng.normal(0, 1, step.book.accounts)
        size = float(rng.choice([1e-4, 0.02]))
        spot = step.market.spot * (1.0 + size * float(rng.uniform(-1, 1)))
        usable = step.market.usable | (rng.random(len(step.market.usable)) < 0.5)
        market = replace(step.market, spot=spot, usable=usable)
        newer = Ahead(replace(step.book, carried=carried), market)
    count = step.book.accounts
    attention: Flags = rng.random(count) < rng.choice([0.0, 0.1])
    accounts = np.arange(1, count + 1, dtype=np.int64)
    at = (step.book, step.market, method, step.extra, attention)
    return VenueBook("ETH", accounts, *at, ahead=newer)


def unlike(name: str, got: Floats, want: Floats, rows: Flags) -> list[str]:
    """Return the name where the columns differ in these rows."""
    return [name] if (got[rows] != want[rows]).any() else []


def differences(got: Margined, want: Margined) -> list[str]:
    """Return how a block with bounds differs from one without, in what is read of it."""
    seen, true = got.accrued, want.accrued
    ours = triage(seen.excess, seen.equity, seen.defined)
    theirs = triage(true.excess, true.equity, true.defined)
    told = [name for name in ours._fields if name != "breaches"]
    faults = [name for name in told if getattr(ours, name) != getattr(theirs, name)]
    if ours.breaches.tolist() != theirs.breaches.tolist():
        faults.append("breaches")
    everybody = np.ones(len(seen.equity), np.bool_)
    leads = np.zeros_like(everybody) if want.leads is None else want.leads
    if got.leads is not None:
        faults += unlike("leads", got.leads, leads, everybody)
    cleared = np.zeros_like(everybody) if got.cleared is None else got.cleared
    served = want.book.attention | leads
    served[theirs.breaches] = True
    for name in COLUMNS:
        columns = getattr(seen, name), getattr(true, name)
        faults += unlike(f"served {name}", *columns, served | ~cleared)
        stored = getattr(got.stored, name), getattr(want.stored, name)
        faults += unlike(f"stored {name}", *stored, ~cleared)
    return faults + unlike("defined", seen.defined, true.defined, everybody)


def computed(got: Margined, want: Margined, some: Flags) -> list[str]:
    """Return what is not this block's figure of those rows once they were computed."""
    compute(got, np.flatnonzero(some).tolist())
    faults = []
    for name in COLUMNS:
        for side in ("stored", "accrued"):
            pair = (getattr(getattr(each, side), name) for each in (got, want))
            faults += unlike(f"computed {side} {name}", *pair, some)
    return faults


def hunt(world: World, method: Pmrm2, seed: int, *, ahead: bool, threads: int = THREADS) -> Seen:
    """Go through some blocks both ways; `threads` are those of the method."""
    rng = np.random.default_rng(seed)
    book = near_line(world, rng)
    step = Step(world.market, book, np.zeros(book.accounts))
    bounded, seen = Screens(0, 1.0), Seen([])
    plain = Pmrm2(world.method.parameters, threads=threads)
    for _ in range(BLOCKS):
        venue_book = block(step, method, rng, ahead=ahead)
        want = required(replace(venue_book, method=plain), Screens(), KEY)
        got = required(venue_book, bounded, KEY)
        seen.faults += differences(got, want)
        seen.cleared += 0 if got.cleared is None else int(np.count_nonzero(got.cleared))
        seen.faults += computed(got, want, rng.random(book.accounts) < 0.5)
        seen.faults += computed(got, want, np.ones(book.accounts, np.bool_))
        step = next_step(world, step, rng)
    return seen


@fixed
@given(worlds(), st.integers(0, 2**32 - 1), st.booleans())
def test_a_block_with_bounds_decides_what_one_without_does(
    world: World, seed: int, ahead: bool
) -> None:
    assert hunt(world, Pmrm2(world.method.parameters), seed, ahead=ahead).faults == []


@fixed
@given(worlds(), st.integers(0, 2**32 - 1), st.booleans())
def test_so_it_does_without_the_kernel(world: World, seed: int, ahead: bool) -> None:
    plain = Pmrm2(world.method.parameters, threads=0)
    assert hunt(world, plain, seed, ahead=ahead, threads=0).faults == []


def test_the_hunt_clears_accounts_and_finds_a_loose_bound() -> None:
    cleared, found = 0, list[str]()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(worlds(), st.integers(0, 2**32 - 1))
    def look(world: World, seed: int) -> None:
        nonlocal cleared
        cleared += hunt(world, Pmrm2(world.method.parameters), seed, ahead=False).cleared
        found.extend(hunt(world, Loose(world.method.parameters), seed, ahead=False).faults)

    look()
    assert cleared > 1_000
    assert "breaches" in found
