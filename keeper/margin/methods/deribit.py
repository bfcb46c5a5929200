"""Deribit portfolio margin: nine inverse price buckets, gain filter, roll and delta shock.

Exact for linear books; OUTLINE for options (no published example holds one), for the extended
table's dampener and for the delta shock above its threshold. Source: docs.deribit.com,
private/pme/simulate. Everything in coin unless named in USD.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.margin.addons import Charges
from keeper.margin.book import Floats
from keeper.margin.errors import BadNumber, between, finite_array, not_negative, positive, within
from keeper.margin.form import Form
from keeper.margin.shocks import Shock, VolRule, grid, ladder_moves
from keeper.margin.tree import Offsets


DECIMALS: Final = 9


@dataclass(frozen=True, slots=True)
class Rules:
    """One currency's parameters, under the venue's own names."""

    price_range: float
    buckets_each_side: int
    pnl_offset: float
    min_annualised_move: float
    mm_factor: float
    delta_threshold_usd: float

    def __post_init__(self) -> None:
        between("price_range", self.price_range, 0.0, 1.0)
        within("pnl_offset", self.pnl_offset, 0.0, 1.0)
        not_negative("min_annualised_move", self.min_annualised_move)
        not_negative("mm_factor", self.mm_factor)


@dataclass(frozen=True, slots=True)
class Simulated:
    """The venue's answer for one currency, in coin."""

    per_bucket: Floats
    aggregated: Floats
    worst_case: float
    roll_shock: float
    delta_shock: float
    risk_matrix_margin: float
    initial_margin: float
    maintenance_margin: float


def inverse_pnl(quantity: float, shocks: Floats) -> Floats:
    """Return coins gained on `quantity` coins of a linear contract: Q s / (1 + s)."""
    gain: Floats = quantity * shocks / (1.0 + shocks)
    return gain


def simulate(
    rules: Rules, quantities: Floats, index: float, mmp: float = 0.0, orders: float = 0.0
) -> Simulated:
    """Return the margins of perpetuals and futures, (position,) signed coins."""
    held = finite_array("positions", quantities)
    shocks = np.array(ladder_moves(rules.price_range, rules.buckets_each_side))
    buckets: Floats = inverse_pnl(1.0, shocks)[None, :] * held[:, None]
    total: Floats = buckets.sum(axis=0)
    aggregated = np.where(total < 0.0, total, total * rules.pnl_offset)
    worst = max(0.0, -float(aggregated.min()))
    roll = float(np.abs(held).sum()) * rules.min_annualised_move
    if abs(float(held.sum())) * positive("index", index) > rules.delta_threshold_usd:
        raise BadNumber(
            "positions", float(held.sum()), "the delta shock of so large a delta is not published"
        )
    margin = round(worst, DECIMALS) + roll
    initial = margin + not_negative("mmp_margin", mmp) + not_negative("orders", orders)
    return Simulated(
        per_bucket=total,
        aggregated=aggregated,
        worst_case=worst,
        roll_shock=roll,
        delta_shock=0.0,
        risk_matrix_margin=margin,
        initial_margin=round(initial, DECIMALS),
        maintenance_margin=rules.mm_factor * margin,
    )


def extended(raw: Floats, dampener_usd: float, index: float, factor: float = 1.0) -> Floats:
    """Return the extended table after its dampener; INFERRED, any larger dampener fits too."""
    coins = not_negative("dampener_usd", dampener_usd) / positive("index", index)
    damped: Floats = np.minimum(0.0, finite_array("extended_raw", raw) * factor + coins)
    return damped


def method(rules: Rules, vol_up: float, vol_down: float) -> Form:
    """Return the risk matrix as a method in USD; the extended table is left out."""
    spots = ladder_moves(rules.price_range, rules.buckets_each_side)
    shocks: tuple[Shock, ...] = grid(spots, (vol_up, 0.0, -vol_down))
    return Form(
        "deribit",
        shocks,
        VolRule(short_power=0.3, long_power=0.13, floor_up=0.5),
        offsets=Offsets(gain_share=rules.pnl_offset),
        charges=Charges(linear=rules.min_annualised_move),
        inverse=True,
        mm_factor=rules.mm_factor,
    )
