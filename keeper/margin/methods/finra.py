"""TIMS, the engine of FINRA 4210(g) portfolio margin, with the brokers' house widening.

OUTLINE. The ranges come from general knowledge (the rule text was not at hand) and the split into
five points a side is an assumption. Sources: FINRA Rule 4210(g); OCC, risk-based haircuts;
Schwab, "Understanding Portfolio Margin". No worked TIMS example is public.
"""

from typing import Final

from keeper.margin.addons import Charges
from keeper.margin.errors import BadNumber, UnknownName, between, finite, positive
from keeper.margin.form import Form
from keeper.margin.shocks import Shock
from keeper.margin.tree import Offsets


RANGES: Final = {
    "high_cap_broad_index": (-0.08, 0.06),
    "non_high_cap_broad_index": (-0.10, 0.10),
    "equity_narrow": (-0.15, 0.15),
}
POINTS: Final = 10
LEAST_USD: Final = 37.5  # a contract
HOUSE_LEAST: Final = 0.15  # Schwab thinkorswim: never less for stocks AND indices


def valuation_points(low: float, high: float, points: int = POINTS) -> tuple[float, ...]:
    """Return equidistant moves, half a side, zero left out, ascending."""
    if points < 2 or points % 2:
        raise BadNumber("n", points, "pass an even number of points")
    half = points // 2
    down = [between("low", low, -1.0, 0.0) * step / half for step in range(half, 0, -1)]
    return (*down, *(positive("high", high) * step / half for step in range(1, half + 1)))


def stock_requirement(shares: float, price: float, reach: float) -> float:
    """Return the loss of a stock position at the far end of its range."""
    return abs(finite("shares", shares)) * positive("price", price) * positive("range", reach)


def method(
    product: str = "equity_narrow",
    *,
    house: bool = False,
    group_offset: float = 1.0,
    groups: tuple[int, ...] = (),
) -> Form:
    """Return class groups netted in full, product groups by `group_offset`; `house` widens."""
    if product not in RANGES:
        raise UnknownName("product", product, f"pass one of {', '.join(RANGES)}")
    low, high = RANGES[product]
    if house:
        low, high = min(low, -HOUSE_LEAST), max(high, HOUSE_LEAST)
    shocks = tuple(Shock(spot=move) for move in valuation_points(low, high))
    return Form(
        "tims",
        shocks,
        offsets=Offsets(underlying=group_offset, groups=groups),
        charges=Charges(short_option_usd=LEAST_USD),
    )
