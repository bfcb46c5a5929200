"""Every number the development venue is deployed with, as frozen values; no contract, no node.

Scenarios are the set the golden vectors use; the rest is as on the real venue's deployment scripts
(its static-discount pair the right way round: a long is worth less, a short costs more). Fractions
are given as decimal text and kept as 18-decimal integers, exactly as the contracts take them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


NONE, UP, DOWN, LINEAR, ABS = range(5)

Scenario = tuple[int, int, int]


def wad(text: str) -> int:
    """Decimal text → 18-decimal integer, exactly. Raises ValueError when it has more decimals."""
    scaled = Decimal(text).scaleb(18)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{text} has more than 18 decimals")
    return int(scaled)


def _wads(*texts: str) -> tuple[int, ...]:
    return tuple(wad(text) for text in texts)


def golden_scenarios() -> tuple[Scenario, ...]:
    """List the golden vectors' 31 scenarios (spot shock, volatility shock, damping), in order."""
    full = wad("1")
    grid = ("1.135", "1.09", "1.045", "1", "0.955", "0.91", "0.865")
    tails = (
        ("0.34", "0.0545"),
        ("0.67", "0.1091"),
        ("1.5", "0.072"),
        ("2", "0.036"),
        ("3", "0.018"),
        ("4", "0.012"),
    )
    scenarios = [(wad("1.18"), UP, full)]
    scenarios += [(wad(spot), shock, full) for spot in grid for shock in (UP, NONE, DOWN)]
    scenarios += [(wad("0.82"), UP, full)]
    scenarios += [(wad(spot), UP, wad(damp)) for spot, damp in tails]
    scenarios += [(full, LINEAR, full), (full, ABS, full)]
    return tuple(scenarios)


@dataclass(frozen=True)
class MarginParameters:
    """The tuples of the margin library, each in the order of its getter's struct."""

    scenarios: tuple[Scenario, ...] = field(default_factory=golden_scenarios)
    # spot up, spot down, add factor, multiplication factor
    basis: tuple[int, ...] = _wads("1.045", "0.955", "0.5", "2")
    # imFactor, mmFactor, rate mult short/long, rate add short/long, base discount short/long
    margin: tuple[int, ...] = _wads("1", "0.8", "0", "0", "0.16", "0.16", "1.05", "0.95")
    # peg threshold/factor, confidence threshold/margin, MM/IM of perpetuals, MM/IM of options
    other: tuple[int, ...] = _wads("0.99", "4", "0.55", "1", "0.03", "0.01", "0.003", "0.002")
    # range up/down, power short/long, floor in plain seconds, least shocked volatility
    vol_shock: tuple[int, ...] = (*_wads("0.5", "0.3", "0.3", "0.13"), 86_400, wad("0.4"))
    # linear/abs cap, linear/abs c, min k*, width scale, volatility static/scale
    skew: tuple[int, ...] = _wads("0.25", "0.25", "-0.1", "-0.1", "0.01", "4", "0.6", "0")
    max_account_size: int = 128
    max_expiries: int = 11


@dataclass(frozen=True)
class PerpParameters:
    """Funding of a perpetual; rates are per hour."""

    max_rate: int = wad("0.004")
    static_rate: int = wad("0.0000125")
    convergence_hours: int = wad("8")
    spot_diff_cap: int = wad("0.06")


@dataclass(frozen=True)
class HeartbeatParameters:
    """Seconds each kind of quote may be read after its timestamp."""

    spot: int = 180
    vol: int = 1_200
    perp: int = 900
    impact: int = 1_200
    forward: int = 3_600
    settlement: int = 180
    stable: int = 3_600
    rate: int = 43_200

    def stretched(self, seconds: int) -> HeartbeatParameters:
        """All of them at `seconds`: for a test that turns the clock without a market driver."""
        return HeartbeatParameters(*(seconds,) * 8)


@dataclass(frozen=True)
class CollateralParameters:
    """One collateral of a book; haircuts are shares of its value.

    It is priced by the spot feed of the book on `underlying`, or by its own where there is none.
    """

    symbol: str
    underlying: str
    decimals: int
    mm_haircut: int
    im_haircut: int
    risk_cancelling: bool


@dataclass(frozen=True)
class BookParameters:
    """One margin book: an underlying, its options, perpetual and collaterals."""

    underlying: str
    collaterals: tuple[CollateralParameters, ...]
    margin: MarginParameters = MarginParameters()
    perp: PerpParameters = PerpParameters()


@dataclass(frozen=True)
class AuctionParameters:
    """The auction's seven, in struct order, and the mark-to-market below which all may be sold."""

    starting_mtm: int = wad("0.95")
    fast_cutoff: int = wad("0.7")
    fast_length_s: int = 900
    slow_length_s: int = 43_200
    insolvent_length_s: int = 3_600
    fee_rate: int = wad("0.1")
    buffer: int = wad("0.15")
    mtm_cutoff: int = 0

    @property
    def struct(self) -> tuple[int, ...]:
        """As the contract takes it."""
        return (
            self.starting_mtm,
            self.fast_cutoff,
            self.fast_length_s,
            self.slow_length_s,
            self.insolvent_length_s,
            self.fee_rate,
            self.buffer,
        )


@dataclass(frozen=True)
class RateParameters:
    """Borrow rate of cash: minimum, slope, slope above the optimum, optimum; the module's share."""

    minimum: int = wad("0.02")
    slope: int = wad("0.08")
    high_slope: int = wad("0.9")
    optimal_utilisation: int = wad("0.85")
    sm_fee: int = wad("0.2")


def two_books() -> tuple[BookParameters, ...]:
    """ETH and BTC, each with its own coin (its risk cancels) and the other one (haircut only)."""
    own_mm, own_im, alien_mm, alien_im = _wads("0.015", "0.005", "0.15", "0.05")
    eth = CollateralParameters("WETH", "ETH", 18, own_mm, own_im, risk_cancelling=True)
    btc = CollateralParameters("WBTC", "BTC", 8, own_mm, own_im, risk_cancelling=True)
    alien_btc = CollateralParameters("WBTC", "BTC", 8, alien_mm, alien_im, risk_cancelling=False)
    alien_eth = CollateralParameters("WETH", "ETH", 18, alien_mm, alien_im, risk_cancelling=False)
    return (BookParameters("ETH", (eth, alien_btc)), BookParameters("BTC", (btc, alien_eth)))


@dataclass(frozen=True)
class VenueParameters:
    """Everything: books, auction, cash, heartbeats, and the security module's first deposit."""

    books: tuple[BookParameters, ...] = field(default_factory=two_books)
    auction: AuctionParameters = AuctionParameters()
    rate: RateParameters = RateParameters()
    heartbeats: HeartbeatParameters = HeartbeatParameters()
    security_module_usdc: int = 1_000_000
