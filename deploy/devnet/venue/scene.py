"""What a run plays, as plain values: underlyings, expiries, books, and the seed.

It must not know nodes or the keeper. Chain time is fixed: the same seed plays the same market, to
the second, on whatever day it is run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deploy.devnet.venue.market import DAY_S, UnderlyingPlan
from deploy.devnet.venue.parameters import (
    BookParameters,
    CollateralParameters,
    VenueParameters,
    two_books,
    wad,
)
from deploy.devnet.venue.portfolios import Listed, listed


GENESIS_S = 1_767_571_200  # 2026-01-05 00:00 UTC
FIRST_QUOTES_S = GENESIS_S + 600
# Between the first quotes and the market's start the keeper comes up, a chain second a block.
START_S = FIRST_QUOTES_S + 120
EXPIRY_DAYS = (2, 9, 30, 90)
EXPIRY_HOUR_S = 8 * 3_600
# This one loses its volatility quotes during the run, so that some books cannot be margined.
DYING_DAYS = 5
UNDERLYINGS = (
    UnderlyingPlan("ETH", 3_000.0, 0.62),
    UnderlyingPlan("BTC", 90_000.0, 0.48, beta=0.8),
    UnderlyingPlan("SOL", 150.0, 0.85, beta=2.0),
)
TICKS = {"ETH": 50.0, "BTC": 1_000.0, "SOL": 5.0}
WEIGHTS = {"ETH": 0.45, "BTC": 0.4, "SOL": 0.15}
STABLE_COIN = "USDT"


@dataclass(frozen=True)
class Scene:
    """Everything a run depends on besides the node; `step_s` is chain seconds a block."""

    seed: int = 1
    accounts: int = 300
    blocks: int = 120
    step_s: int = 30

    @property
    def silent_from(self) -> int:
        """The block from which the dying expiry is quoted no more; its heartbeat outlasts it."""
        return max(4, self.blocks // 2 - 40)


def expiry(days: int) -> int:
    """Return the expiry so many days after the first midnight, in unix seconds."""
    return GENESIS_S + days * DAY_S + EXPIRY_HOUR_S


def expiries() -> tuple[int, ...]:
    """Return all that is quoted, the dying one too, nearest first."""
    return tuple(sorted(expiry(days) for days in (*EXPIRY_DAYS, DYING_DAYS)))


def markets() -> list[Listed]:
    """Return what can be held under each underlying, the wildest last."""
    lasting = tuple(expiry(days) for days in EXPIRY_DAYS)
    return [
        listed(
            each.underlying, each.spot, lasting, TICKS[each.underlying], WEIGHTS[each.underlying]
        )
        for each in UNDERLYINGS
    ]


def dying_market() -> Listed:
    """Return the first underlying at the expiry that loses its quotes."""
    first = UNDERLYINGS[0]
    return listed(first.underlying, first.spot, (expiry(DYING_DAYS),), TICKS[first.underlying])


def demo_parameters() -> VenueParameters:
    """Return three books; ETH takes a stable coin too, as a collateral that is haircut only."""
    eth, btc = two_books()
    stable = CollateralParameters(
        STABLE_COIN, STABLE_COIN, 6, wad("0.02"), wad("0.03"), risk_cancelling=False
    )
    eth = replace(eth, collaterals=(*eth.collaterals, stable))
    coin = CollateralParameters("WSOL", "SOL", 9, wad("0.02"), wad("0.01"), risk_cancelling=True)
    sol = BookParameters("SOL", (coin,))
    return VenueParameters(books=(eth, btc, sol))
