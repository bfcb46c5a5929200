"""Paradex portfolio margin (SCAN) and cross margin.

Exact. Sources: paradex-py (the venue's SDK) and docs.paradex.trade. Option P&L is measured from
the venue's own mark, so pass `Observed` where the venue's numbers are at hand. The tail weights
are those of 2026-04-22; older documents print others.
"""

from typing import Final

from keeper.margin.addons import Charges, hedged_delta
from keeper.margin.book import Floats
from keeper.margin.errors import finite, finite_array, not_negative, positive
from keeper.margin.form import Form
from keeper.margin.shocks import Shock, VolRule


CORE: Final = (0.12, 0.08, 0.04, 0.0, -0.04, -0.08, -0.12)
TAILS: Final = (
    (-0.66, 0.18),
    (-0.33, 0.36),
    (0.5, 0.24),
    (1.0, 0.12),
    (2.0, 0.06),
    (3.0, 0.04),
    (4.0, 0.03),
    (5.0, 0.024),
)
VOL: Final = VolRule(short_power=0.3, long_power=0.13, floor_days=1.0, floor_up=0.4)
FACTORS: Final = (0.02, 0.01)


def shocks(up: float = 0.4, down: float = 0.22) -> tuple[Shock, ...]:
    """Return the 24 weighted scenarios in the venue's order."""
    body = [Shock(spot=spot, vol=vol) for spot in CORE for vol in (up, -down)]
    ends = [Shock(spot=0.16, vol=up), Shock(spot=-0.16, vol=up)]
    tails = [Shock(spot=spot, vol=up, weight=weight) for spot, weight in TAILS]
    return (ends[0], *body, ends[1], *tails)


def method(
    scenarios: tuple[Shock, ...] | None = None,
    vol: VolRule = VOL,
    factors: tuple[float, float] = FACTORS,
    mm_factor: float = 0.5,
    fee: float = 0.0,
) -> Form:
    """Return portfolio margin; factors = (unhedged, hedged) delta floor.

    IMR = max(worst loss, delta floor) + funding + fee; MMR takes mm_factor of the first term.
    """
    unhedged, hedged = factors
    return Form(
        "paradex",
        scenarios or shocks(),
        vol,
        charges=Charges(delta_net=unhedged, delta_hedged=hedged, fee=fee),
        mm_factor=mm_factor,
    )


def least_delta(deltas: Floats, spot: float, factors: tuple[float, float]) -> float:
    """Return the delta floor of one underlying's legs; factors = (net, hedged)."""
    net, _, hedged = hedged_delta(finite_array("delta", deltas))
    return positive("spot", spot) * (factors[0] * abs(net) + factors[1] * hedged)


def open_sizes(position: float, buys: float, sells: float) -> tuple[float, float]:
    """Return (buy, sell) sizes that would be open: orders count only when adverse."""
    held = finite("position", position)
    bought = max(0.0, held + not_negative("buy_orders", buys))
    return bought, max(0.0, not_negative("sell_orders", sells) - held)


def cross_perpetual(
    position: float, open_size: float, mark: float, rates: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Return (net IMR, fee IMR, MMR); rates = (imf, mmf share of it, fee)."""
    imf, mmf, fee = (not_negative("rates", each) for each in rates)
    exposed = not_negative("open size", open_size) * positive("mark", mark)
    held = abs(finite("position", position)) * mark
    return exposed * imf, exposed * fee, held * (imf * mmf + fee)


def cross_short(
    size: float, spot: float, strike: float, call: bool, rates: tuple[float, float]
) -> float:
    """Return IMR of a short option; rates = (in the money, out of the money) shares of spot."""
    price = positive("spot", spot)
    out = max(0.0, strike - price) if call else max(0.0, price - strike)
    return not_negative("size", size) * max(rates[0] * price - out, rates[1] * price)


def cross_long(size: float, spot: float, mark: float, rates: tuple[float, float]) -> float:
    """Return IMR of a long option: rates = (premium multiplier, in-the-money share of spot)."""
    unit = min(rates[0] * not_negative("mark", mark), rates[1] * positive("spot", spot))
    return not_negative("size", size) * unit
