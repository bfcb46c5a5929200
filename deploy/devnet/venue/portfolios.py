"""Seeded accounts with books as people hold them: spreads, condors, hedges, naked shorts, loans.

Pure plans: legs and how near the line the account shall stand. It must not know contracts or the
keeper; who seeds the accounts turns legs into balances and asks the chain for the cash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


CALL, PUT, PERPETUAL, COIN, STABLE = "call", "put", "perpetual", "coin", "stable"


@dataclass(frozen=True)
class Leg:
    """One balance: `strike` and `expiry` are 0 for what is no option; `amount` is signed."""

    kind: str
    amount: float
    expiry: int = 0
    strike: float = 0.0


@dataclass(frozen=True)
class AccountPlan:
    """An account to seed: its book's underlying, a style for the report, and its legs.

    `excess_share` is the excess it starts with, as a share of gross notional; `excess_usd`, where
    given, is that excess in USD instead. With `at_gap` it is the excess that is left in the last
    block before the gap.
    """

    underlying: str
    style: str
    legs: tuple[Leg, ...]
    excess_share: float
    excess_usd: float | None = None
    at_gap: bool = False


@dataclass(frozen=True)
class Listed:
    """What can be held under one underlying: strikes by expiry, nearest expiry first.

    `weight` is how popular it is beside the others.
    """

    underlying: str
    spot: float
    strikes: dict[int, tuple[float, ...]]
    weight: float = 1.0

    @property
    def expiries(self) -> tuple[int, ...]:
        """The expiries, nearest first."""
        return tuple(sorted(self.strikes))


def listed(
    underlying: str, spot: float, expiries: Sequence[int], tick: float, weight: float = 1.0
) -> Listed:
    """Return 17 strikes an expiry, 60 % to 150 % of spot, on the exchange's tick."""
    ratios = np.linspace(0.6, 1.5, 17)
    row = tuple(sorted({float(round(spot * ratio / tick) * tick) for ratio in ratios}))
    return Listed(underlying, spot, dict.fromkeys(expiries, row), weight)


Chance = np.random.Generator
Style = Callable[[Chance, Listed, float], tuple[Leg, ...]]


def near(market: Listed, expiry: int, ratio: float) -> float:
    """Return the listed strike nearest to `ratio` x spot."""
    return min(market.strikes[expiry], key=lambda strike: abs(strike - ratio * market.spot))


def some_expiry(chance: Chance, market: Listed) -> int:
    return int(chance.choice(market.expiries))


def covered_call(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    expiry = some_expiry(chance, market)
    strike = near(market, expiry, chance.uniform(1.02, 1.2))
    return (Leg(COIN, size), Leg(CALL, -size, expiry, strike))


def put_spread(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    expiry = some_expiry(chance, market)
    high = near(market, expiry, chance.uniform(0.92, 1.0))
    low = near(market, expiry, chance.uniform(0.7, 0.85))
    return (Leg(PUT, -size, expiry, high), Leg(PUT, size, expiry, low))


def condor(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    expiry = some_expiry(chance, market)
    puts = (near(market, expiry, 0.78), near(market, expiry, 0.9))
    calls = (near(market, expiry, 1.1), near(market, expiry, 1.24))
    return (
        Leg(PUT, size, expiry, puts[0]),
        Leg(PUT, -size, expiry, puts[1]),
        Leg(CALL, -size, expiry, calls[0]),
        Leg(CALL, size, expiry, calls[1]),
    )


def calendar(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    first = int(chance.integers(0, len(market.expiries) - 1))
    early, late = market.expiries[first], market.expiries[first + 1]
    strike = near(market, early, chance.uniform(0.95, 1.05))
    return (Leg(CALL, -size, early, strike), Leg(CALL, size, late, strike))


def naked_put(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    expiry = some_expiry(chance, market)
    return (Leg(PUT, -size, expiry, near(market, expiry, chance.uniform(0.8, 1.0))),)


def strangle(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    expiry = some_expiry(chance, market)
    put = near(market, expiry, chance.uniform(0.8, 0.92))
    call = near(market, expiry, chance.uniform(1.08, 1.25))
    return (Leg(PUT, -size, expiry, put), Leg(CALL, -size, expiry, call))


def hedged_put(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    legs = naked_put(chance, market, size)
    return (*legs, Leg(PERPETUAL, -0.35 * size))


def hedged_coin(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    return (Leg(COIN, size), Leg(PERPETUAL, -size * chance.uniform(0.3, 0.9)))


def perpetual(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    return (Leg(PERPETUAL, size if chance.random() < 0.7 else -size),)


def borrower(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    return (Leg(COIN, size),)


def synthetic(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    """Return a synthetic forward mostly hedged by the perpetual, so that basis is worst.

    What is left unhedged takes it over the line when spot falls far.
    """
    expiry = market.expiries[-1]
    strike = near(market, expiry, 1.0)
    return (
        Leg(CALL, size, expiry, strike),
        Leg(PUT, -size, expiry, strike),
        Leg(PERPETUAL, -0.8 * size),
    )


def large_book(chance: Chance, market: Listed, size: float) -> tuple[Leg, ...]:
    """Return 32 to 44 different options over all expiries, as many short as long, and a hedge."""
    rows = [
        (kind, expiry, strike)
        for expiry in market.expiries
        for strike in market.strikes[expiry]
        for kind in (CALL, PUT)
    ]
    count = int(chance.integers(32, 45))
    picked = [rows[index] for index in sorted(chance.choice(len(rows), count, replace=False))]
    legs = [
        Leg(kind, round(float(chance.normal(0.0, size / 3)), 3) or 0.01, expiry, strike)
        for kind, expiry, strike in picked
    ]
    return (*legs, Leg(PERPETUAL, round(float(chance.normal(0.0, size / 2)), 3) or 0.01))


STYLES: tuple[tuple[str, Style, float], ...] = (
    ("covered call", covered_call, 0.13),
    ("put spread", put_spread, 0.14),
    ("condor", condor, 0.13),
    ("calendar", calendar, 0.08),
    ("naked put", naked_put, 0.12),
    ("strangle", strangle, 0.08),
    ("hedged put", hedged_put, 0.07),
    ("hedged coin", hedged_coin, 0.06),
    ("perpetual", perpetual, 0.10),
    ("borrower", borrower, 0.09),
)
LARGE_SHARE = 0.04
LARGE_MIN = 8
SYNTHETICS = 4
LENDERS = 3
DOOMED = 6
ORPHANS = 3


def plan_accounts(
    seed: int, count: int, markets: Sequence[Listed], dying: Listed
) -> list[AccountPlan]:
    """Return `count` plans, in seeded order; a fixed few of each rare kind are always there.

    `dying` lists the expiry that will lose its quotes. The last market is the wildest.

    Excess over gross notional is log-normal with a median of 7 %, so that a crash reaches many
    accounts one after the other and some at once.
    """
    chance = np.random.default_rng([seed, 7])
    weights = np.array([weight for _, _, weight in STYLES])
    weights = weights / weights.sum()
    popular = np.array([market.weight for market in markets])
    popular = popular / popular.sum()
    plans = [*_rare(chance, count, markets), *orphans(dying)]
    while len(plans) < count:
        market = markets[int(chance.choice(len(markets), p=popular))]
        style, make, _ = STYLES[int(chance.choice(len(STYLES), p=weights))]
        # A typical account is worth some ten thousand dollars, whatever a coin costs.
        size = round(float(chance.lognormal(1.2, 0.8)) * 3_000 / market.spot, 3) + 0.01
        share = float(np.clip(chance.lognormal(np.log(0.07), 0.9), 0.002, 0.6))
        plans.append(AccountPlan(market.underlying, style, make(chance, market, size), share))
    order = chance.permutation(len(plans))
    return [plans[index] for index in order]


def _rare(chance: Chance, count: int, markets: Sequence[Listed]) -> list[AccountPlan]:
    """Return the large books, the basis-worst books, the loans against stable coin, the doomed."""
    plans = []
    first = markets[0]
    for index in range(max(LARGE_MIN, int(count * LARGE_SHARE))):
        market = markets[index % len(markets)]
        size = round(12_000 / market.spot, 3)
        share = float(np.clip(chance.lognormal(np.log(0.05), 0.7), 0.004, 0.3))
        legs = large_book(chance, market, size)
        plans.append(AccountPlan(market.underlying, "large book", legs, share))
    for index in range(SYNTHETICS):
        share = 0.0015 + 0.0015 * index
        legs = synthetic(chance, first, 5.0 + index)
        plans.append(AccountPlan(first.underlying, "synthetic forward", legs, share))
    for index in range(LENDERS):
        # Price moves cannot touch a loan against stable coin: only interest takes it over the line.
        legs = (Leg(STABLE, 500_000.0 + 100_000.0 * index),)
        plans.append(AccountPlan(first.underlying, "stable loan", legs, 0.0, 0.2 + 0.15 * index))
    wildest = markets[-1]
    for index in range(DOOMED):
        # A short put of the wildest underlying with hardly any excess left when the gap comes: the
        # gap is worse than what its margin was for.
        strike = near(wildest, wildest.expiries[0], 0.9 + 0.04 * (index % 3))
        legs = (Leg(PUT, -60.0 - 20.0 * index, wildest.expiries[0], strike),)
        share = 0.002 + 0.001 * index
        plans.append(AccountPlan(wildest.underlying, "doomed put", legs, share, at_gap=True))
    return plans


def orphans(market: Listed) -> list[AccountPlan]:
    """Return spreads at an expiry that will lose its quotes: nobody can margin them from then."""
    expiry = market.expiries[0]
    high, low = near(market, expiry, 0.95), near(market, expiry, 0.8)
    return [
        AccountPlan(
            market.underlying,
            "orphaned spread",
            (Leg(PUT, -1.0 - index, expiry, high), Leg(PUT, 1.0 + index, expiry, low)),
            0.5,
        )
        for index in range(ORPHANS)
    ]
