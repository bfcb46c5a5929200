"""The book every figure is measured on: seeded, of any size, near the line where it matters.

85 % small accounts (1-12 positions) and 15 % large ones (30-60), ten positions an account on
average, at most 11 expiries each, 45 % of positions short; 2,000 listed options (20 expiries, 50
strikes), one perpetual, two collaterals. Cash is set so that excess over notional is log-normal
with 3 % of the accounts within 1 % of the line. Parameters: 31 scenarios, every contingency on.
"""

from dataclasses import dataclass, replace

import numpy as np

from keeper.margin.book import Book, Floats, Ints, Kind, Listing, Market, Result
from keeper.margin.methods.pmrm2 import (
    BasisContingency,
    Collateral,
    MarginFactors,
    OtherContingencies,
    Pmrm2,
    Pmrm2Parameters,
    Scenario,
    SkewShock,
    VolShock,
    VolShockRange,
)


DAY_S = 86_400.0
SPOT = 3_000.0
DAYS = (1, 2, 3, 7, 14, 21, 28, 42, 56, 70, 91, 120, 150, 182, 240, 273, 300, 330, 364, 450)
STRIKES = 50
EXPIRIES_HELD_MAX = 11
LINE_MEDIAN, LINE_SIGMA = 0.15, 1.44  # 3 % below 0.01
FLAT = (1.135, 1.09, 1.045, 1.0, 0.955, 0.91, 0.865)
TAILS = ((0.34, 0.0545), (0.67, 0.1091), (1.5, 0.072), (2.0, 0.036), (3.0, 0.018), (4.0, 0.012))


@dataclass(frozen=True, slots=True)
class Measured:
    """What a figure is taken of."""

    parameters: Pmrm2Parameters
    book: Book
    market: Market


def parameters() -> Pmrm2Parameters:
    """Return the settings most of the published vectors use: 31 scenarios."""
    up, down, none = VolShock.UP, VolShock.DOWN, VolShock.NONE
    scenarios = [Scenario(1.18, up, 1.0)]
    scenarios += [Scenario(spot, vol, 1.0) for spot in FLAT for vol in (up, none, down)]
    scenarios += [Scenario(0.82, up, 1.0)]
    scenarios += [Scenario(spot, up, damping) for spot, damping in TAILS]
    scenarios += [Scenario(1.0, vol, 1.0) for vol in (VolShock.LINEAR, VolShock.ABS)]
    return Pmrm2Parameters(
        scenarios=tuple(scenarios),
        basis=BasisContingency(1.045, 0.955, 0.5, 2.0),
        margin=MarginFactors(1.0, 0.8, 0.5, 1.0, 0.08, 0.08, 1.04, 0.95),
        other=OtherContingencies(0.98, 2.0, 0.55, 1.0, 0.015, 0.005, 0.003, 0.002),
        vol=VolShockRange(0.5, 0.275, 0.3, 0.13, DAY_S, 0.45),
        skew=SkewShock(0.15, 0.15, -0.05, -0.05, 0.01, 4.0, 0.6, -0.1),
        collateral=(Collateral(True, 0.015, 0.005), Collateral(False, 0.02, 0.03)),
    )


def market(rng: np.random.Generator) -> Market:
    """Return quotes for 2,000 options, a perpetual, ether and a second dollar."""
    expiries, others = len(DAYS), 3
    options = expiries * STRIKES * 2
    seconds = np.array(DAYS) * DAY_S
    expiry = np.repeat(np.arange(expiries), STRIKES * 2)
    years = seconds / (365.0 * DAY_S)
    width = np.maximum(0.1, 0.75 * np.sqrt(years))[expiry]
    place = np.tile(np.repeat(np.linspace(-1.3, 1.3, STRIKES), 2), expiries)
    strike = np.round(SPOT * np.exp(place * width), 2)
    moneyness = np.log(strike / SPOT)
    vol = 0.6 + 0.1 * moneyness * moneyness - 0.05 * moneyness + rng.normal(0, 0.005, options)
    forward = SPOT * np.exp(0.04 * years)
    count = options + others
    return Market(
        listing=Listing(
            kind=np.array(
                [Kind.CALL, Kind.PUT] * (options // 2) + [Kind.PERPETUAL, Kind.BASE, Kind.BASE],
                np.int8,
            ),
            underlying=np.zeros(count, np.int32),
            expiry=np.append(expiry, [-1] * others).astype(np.int32),
            strike=np.append(strike, [0.0] * others),
        ),
        seconds=seconds,
        forward_fixed=np.zeros(expiries),
        forward_variable=forward,
        rate=np.full(expiries, 0.04),
        expiry_confidence=rng.uniform(0.5, 1.0, expiries),  # some below the threshold
        spot=np.array([SPOT]),
        spot_confidence=np.array([1.0]),
        perp_price=np.array([SPOT * 1.0005]),
        perp_confidence=np.array([1.0]),
        stable=1.0,
        vol=np.append(vol, [0.0] * others),
        price=np.append(np.zeros(options + 1), [SPOT, 1.0]),
        confidence=np.ones(count),
        usable=np.ones(count, np.bool_),
    )


def measured(accounts: int, seed: int = 0) -> Measured:
    """Return the book of so many accounts, ten positions each on average."""
    rng = np.random.default_rng(seed)
    quotes, rules = market(rng), parameters()
    start, instrument = _held(rng, accounts, len(quotes.vol))
    rows = len(instrument)
    kind = quotes.listing.kind[instrument]
    quantity = np.round(rng.lognormal(0.0, 1.2, rows), 2) + 0.01
    short = (rng.random(rows) < 0.45) & (kind != Kind.BASE)
    quantity[short] *= -1.0
    perpetual = np.bincount(
        np.repeat(np.arange(accounts), np.diff(start)), kind == Kind.PERPETUAL, accounts
    )
    carried = np.where(perpetual > 0.0, np.round(rng.normal(0, 50, accounts), 2), 0.0)
    book = Book(start, instrument, quantity, np.zeros(accounts), carried)
    bare = Pmrm2(rules).require(book, quotes)
    share = LINE_MEDIAN * np.exp(LINE_SIGMA * rng.standard_normal(accounts))
    cash = np.round(share * bare.gross - bare.excess, 6)
    return Measured(rules, replace(book, cash=cash), quotes)


def _held(rng: np.random.Generator, accounts: int, instruments: int) -> tuple[Ints, np.ndarray]:
    """Return (start, instrument): who holds what, ascending and never twice."""
    large = rng.random(accounts) < 0.15
    few = np.minimum(rng.geometric(0.175, accounts), 12)
    many = 30 + np.minimum(rng.geometric(0.09, accounts) - 1, 30)
    count = np.where(large, many, few)
    spread = np.where(large, rng.integers(5, EXPIRIES_HELD_MAX + 1, accounts), (count + 2) // 3)
    account = np.repeat(np.arange(accounts), count)
    slot = rng.integers(0, spread[account])
    first = rng.integers(0, len(DAYS), accounts)
    expiry = (first[account] + slot * 7) % len(DAYS)  # 7 and 20 share no factor: no slot twice
    options = 2 * STRIKES
    near = np.clip(rng.normal(options / 2, options / 5, len(account)), 0, options - 1)
    instrument = expiry * options + near.astype(np.int64)
    other = rng.random(len(account))
    instrument[other < 0.05] = instruments - 3
    instrument[other < 0.02] = instruments - 2
    instrument[other < 0.01] = instruments - 1
    key = np.unique(account * instruments + instrument)
    held = np.bincount(key // instruments, minlength=accounts)
    start = np.zeros(accounts + 1, np.int64)
    np.cumsum(held, out=start[1:])
    return start, (key % instruments).astype(np.int32)


def beta(quotes: Market) -> Floats:
    """Return which prices follow spot: ether does, the dollar does not."""
    return np.where(quotes.price > 1.5, 1.0, 0.0)


def within(result: Result, book: Book, line: float) -> float:
    """Return the share of accounts whose excess is below `line` of their positions' notional."""
    return float(np.mean(result.excess < line * (result.gross - np.abs(book.cash))))
