"""Hyperliquid: cross margin by tiers as a method, and the portfolio margin ratio.

Exact (tiers, prices in `keeper.margin.tiers`; threshold, borrow rate here); the ratio is as the
docs word it, without a published number. Source: hyperliquid.gitbook.io, margining and portfolio
margin (pre-alpha).
"""

from dataclasses import dataclass

from keeper.margin.errors import finite, not_negative, positive, within


LEAST_USDC = 20.0


@dataclass(frozen=True, slots=True)
class Borrowed:
    """One borrowable token: what is owed and held, and what it may be borrowed against.

    collateral  (balance, price, ltv, supply cap) of the token that backs it
    """

    owed: float
    price: float
    balance: float
    borrow_cap: float
    collateral: tuple[float, float, float, float]


def liquidation_threshold(ltv: float) -> float:
    """Return the share of collateral that counts when liquidating: 0.5 + 0.5 LTV."""
    return 0.5 + 0.5 * within("ltv", ltv, 0.0, 1.0)


def borrow_rate(utilization: float) -> float:
    """Return the yearly rate: 0.05 + 4.75 x max(0, u - 0.8)."""
    return 0.05 + 4.75 * max(0.0, within("utilization", utilization, 0.0, 1.0) - 0.8)


def auto_borrow(perp: float, price: float, entry: float) -> float:
    """Return USDC borrowed when a perpetual's loss finds no USDC; the spot stays."""
    return max(0.0, -finite("perp", perp) * (positive("price", price) - positive("entry", entry)))


def portfolio_ratio(cross_mm: float, tokens: tuple[Borrowed, ...]) -> float:
    """Return the largest ratio over borrowable tokens; liquidatable above 0.95."""
    ratios = []
    for each in tokens:
        held, price, ltv, cap = each.collateral
        backed = min(not_negative("balance", held), cap) * price * liquidation_threshold(ltv)
        room = each.balance + min(each.borrow_cap, backed)
        needed = LEAST_USDC + not_negative("cross_mm", cross_mm) + each.owed * each.price
        ratios.append(needed / positive("balance and room to borrow", room))
    return max(ratios, default=0.0)
