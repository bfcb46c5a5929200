"""Vega protocol: maintenance with slippage and risk factors, funding, orders, full collateral.

Exact, with the specification's misprints noted in the vectors. Source: vegaprotocol/specs
0019-MCAL. One settlement unit; factors are fractions (slippage 100 is 10000 %).
"""

from dataclasses import dataclass

from keeper.margin.errors import finite, not_negative, positive


@dataclass(frozen=True, slots=True)
class RiskFactors:
    """What one unit of notional must keep, by side."""

    slippage: float
    long: float
    short: float


def maintenance(position: float, mark: float, factors: RiskFactors) -> float:
    """Return maintenance margin of an open position."""
    return with_orders(position, 0.0, 0.0, mark, factors)


def with_orders(
    position: float, buys: float, sells: float, mark: float, factors: RiskFactors
) -> float:
    """Return maintenance margin of the riskier of the sides that orders could lead to."""
    held, price = finite("position", position), positive("mark", mark)
    long = max(0.0, held + not_negative("buys", buys))
    short = -min(0.0, held - not_negative("sells", sells))
    slip = not_negative("linear_slippage", factors.slippage)
    return price * max(long * (slip + factors.long), short * (slip + factors.short))


def funding_payment(
    spot: float, futures: float, interest: float, clamps: tuple[float | None, float | None]
) -> float:
    """Return what longs pay on one unit; `interest` over the period, clamps of the spot's mean."""
    s_twap, f_twap = positive("s_twap", spot), positive("f_twap", futures)
    rate = (1.0 + finite("interest", interest)) * s_twap - f_twap
    low, high = clamps
    if high is not None:
        rate = min(rate, finite("clamp_upper", high) * s_twap)
    if low is not None:
        rate = max(rate, finite("clamp_lower", low) * s_twap)
    return f_twap - s_twap + rate


def with_funding(margin: float, factor: float, position: float, payment: float) -> float:
    """Return margin plus the share of the funding still to be paid."""
    owed = max(0.0, finite("position", position) * finite("funding_payment", payment))
    return not_negative("base_margin", margin) + not_negative("funding_factor", factor) * owed


def isolated_margin(position: float, entry: float, factor: float) -> float:
    """Return an isolated position's margin."""
    return abs(finite("position", position)) * positive("entry", entry) * factor


def isolated_order_margin(size: float, limit: float, factor: float, opposite: float = 0.0) -> float:
    """Return an order's margin beyond what closes the opposite position."""
    fresh = max(0.0, not_negative("size", size) - abs(finite("position", opposite)))
    return fresh * positive("limit", limit) * factor


def full_collateral(position: float, entry: float, price_max: float) -> float:
    """Return a capped future's whole possible loss."""
    held, paid = finite("position", position), not_negative("entry", entry)
    worst = not_negative("max_price - entry", price_max - paid) if held < 0.0 else paid
    return abs(held) * worst


def full_collateral_orders(
    buys: list[tuple[float, float]], sells: list[tuple[float, float]], price_max: float
) -> float:
    """Return the orders' margin from (size, price): the larger side, no offset of the position."""
    bought = sum(size * price for size, price in buys)
    return max(bought, sum(size * (price_max - price) for size, price in sells))
