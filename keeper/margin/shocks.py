"""Scenario sets as data: joint moves of spot, vol, rate, basis, peg and time, with their weights.

What a move does to a price is `revaluation`'s business; how losses are netted is `tree`'s.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from keeper.margin.book import Flags, Floats
from keeper.margin.errors import BadNumber, BadShape, finite, not_negative


DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Shock:
    """One scenario. A field of 0.0 moves nothing; moves of one shock happen together.

    spot      relative move of every spot: -0.1 = ten per cent down
    spot_usd  absolute move on top, USD
    vol       move of implied volatility before maturity scaling; relative or in vol points, as
              the `VolRule` says
    rate      added to the interest rate, a year
    basis     relative move of a dated forward against spot, a year
    peg       relative move of the stable coin
    days      that pass
    weight    share of the P&L that counts (a cover)
    history   True where the scenario is a day of the past: only VaR and ES look at these
    """

    spot: float = 0.0
    spot_usd: float = 0.0
    vol: float = 0.0
    rate: float = 0.0
    basis: float = 0.0
    peg: float = 0.0
    days: float = 0.0
    weight: float = 1.0
    history: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name != "history":
                finite(f"shock.{each.name}", getattr(self, each.name))
        if self.spot <= -1.0:
            raise BadNumber("shock.spot", self.spot, "pass a move above -1: prices stay positive")
        if self.peg <= -1.0:
            raise BadNumber("shock.peg", self.peg, "pass a move above -1: the coin keeps a price")
        not_negative("shock.days", self.days)
        not_negative("shock.weight", self.weight)


@dataclass(frozen=True, slots=True)
class VolRule:
    """How a shock's `vol` becomes a volatility: scaled by (reference / days left) ^ power.

    additive      vol points are added instead of multiplied
    short, long   powers below and from the reference on; 0.0 = no scaling
    floor_days    least days in the scaling
    floor_up      least volatility after an upward shock
    """

    additive: bool = False
    reference_days: float = 30.0
    short_power: float = 0.0
    long_power: float = 0.0
    floor_days: float = 0.0
    floor_up: float = 0.0

    def shocked(self, vol: Floats, seconds: Floats, move: float) -> Floats:
        """Return volatilities after a move, (instrument,); zero time has no scaling left."""
        days = np.maximum(seconds / DAY_S, self.floor_days)
        power = np.where(days < self.reference_days, self.short_power, self.long_power)
        with np.errstate(divide="ignore"):
            reach = np.where(power > 0.0, (self.reference_days / days) ** power, 1.0)
        scaled = vol + move * reach if self.additive else vol * (1.0 + move * reach)
        return np.maximum(scaled, self.floor_up if move > 0.0 else 0.0)


def grid(
    spots: tuple[float, ...], vols: tuple[float, ...], weight: float = 1.0
) -> tuple[Shock, ...]:
    """Return every spot move with every vol move, vol fastest."""
    return tuple(Shock(spot=spot, vol=vol, weight=weight) for spot in spots for vol in vols)


def ladder_moves(reach: float, steps: int) -> tuple[float, ...]:
    """Return evenly spaced moves from -reach to reach, `steps` a side and zero."""
    if steps < 1:
        raise BadShape("steps", steps, "pass at least one step a side")
    return tuple(reach * step / steps for step in range(-steps, steps + 1))


def historical(moves: Floats) -> tuple[Shock, ...]:
    """Return past days as shocks: (day, 2) relative moves of spot and of vol."""
    return tuple(Shock(spot=float(a), vol=float(b), history=True) for a, b in moves)


def history_flags(shocks: tuple[Shock, ...]) -> Flags:
    """Return which shocks are days of the past, (shock,)."""
    return np.array([each.history for each in shocks], np.bool_)
