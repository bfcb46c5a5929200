"""Binance portfolio margin: one ratio of equity to maintenance over all products (uniMMR).

Exact for tiers and prices (`keeper.margin.tiers`); OUTLINE for the ratio: the example's own
number was beyond the stored text. Source: binance.com support, unified maintenance margin ratio.
"""

from dataclasses import dataclass

from keeper.margin.errors import finite, not_negative, positive


@dataclass(frozen=True, slots=True)
class CoinEquity:
    """Equity in one coin; rate is its collateral ratio."""

    equity: float
    price: float
    rate: float

    @property
    def counted(self) -> float:
        """Return min(E x price x rate, E x price): a debt counts in full."""
        value = finite("equity", self.equity) * positive("price", self.price)
        return min(value * not_negative("rate", self.rate), value)


def profit(quantity: float, entry: float, mark: float, side: float) -> float:
    """Return a leg's unrealised profit in USD; side +1 long, -1 short."""
    move = positive("mark", mark) - positive("entry", entry)
    return not_negative("q", quantity) * side * move


def loan_maintenance(loan: float, rate: float) -> float:
    """Return a loan's maintenance margin IN COIN; 10 %, 8 %, 5 % at 3x, 5x, 10x."""
    return not_negative("loan", loan) * not_negative("mmr", rate)


def unified_ratio(coins: tuple[CoinEquity, ...], futures_mm: float, loan_mm_usd: float) -> float:
    """Return uniMMR; liquidation at 105 %; infinite without a requirement."""
    required = not_negative("futures_mm", futures_mm) + not_negative("loan_mm", loan_mm_usd)
    counted = sum(each.counted for each in coins)
    return counted / required if required > 0.0 else float("inf")
