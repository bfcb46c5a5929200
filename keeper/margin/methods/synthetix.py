"""Synthetix v3 perpetuals: fills move with the skew, margin available is marked at the index.

Exact. Source: Synthetixio/synthetix-v3 perps-market, PerpsMarketConfiguration and AsyncOrder.
USD and coins, no fees, no funding.
"""

import math

from keeper.margin.book import Floats
from keeper.margin.errors import finite, finite_array, not_negative, positive, same_length


def fill_price(index: float, skew: float, size: float, scale: float) -> float:
    """Return the price of a trade: index x (1 + mean of skew before and after / scale)."""
    before, traded = finite("skew", skew), finite("size", size)
    mean = before + 0.5 * traded
    return positive("entry_index", index) * (1.0 + mean / positive("skew_scale", scale))


def profits(sizes: Floats, fills: Floats, prices: Floats) -> Floats:
    """Return each position's profit at the index, gain positive, (market,)."""
    held, entered = finite_array("size", sizes), finite_array("fill", fills)
    marked = finite_array("prices", prices)
    same_length("size, fill, prices", held, entered, marked)
    return held * (marked - entered)


def available_margin(collateral: float, profit: Floats) -> float:
    """Return collateral plus all profits."""
    return finite("collateral", collateral) + math.fsum(finite_array("pnl", profit))


def initial_ratio(size: float, scale: float, fraction: float, least: float) -> float:
    """Return the initial margin ratio: |size| / skew scale x fraction + minimum."""
    share = abs(finite("size", size)) / positive("skew_scale", scale)
    return share * not_negative("fraction", fraction) + not_negative("minimum", least)
