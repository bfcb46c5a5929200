"""CME SPAN: sixteen scenarios, spreads between months and commodities, short option minimum.

Exact. Source: ICE Clear US, "SPAN margining" (2015). Risk arrays are dollars for one LONG
contract, LOSS positive, in SPAN's order: 0, +1/3, -1/3, +2/3, -2/3, +1, -1 of the price scan
range, each with vol up then down; 15 and 16 are extreme moves of which a part is covered.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.margin.addons import Charges
from keeper.margin.book import Floats
from keeper.margin.errors import (
    BadShape,
    finite_array,
    not_negative,
    positive,
    same_length,
    within,
)
from keeper.margin.form import Form
from keeper.margin.pricing import YEAR_S, black76
from keeper.margin.shocks import Shock, VolRule


SCENARIOS: Final = 16
STEPS: Final = (0.0, 1 / 3, -1 / 3, 2 / 3, -2 / 3, 1.0, -1.0)
PAIRED: Final = (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 14, 15)


@dataclass(frozen=True, slots=True)
class Extreme:
    """Scenarios 15 and 16: a multiple of the scan range, and the share of its loss covered."""

    multiple: float = 3.0
    cover: float = 0.33


@dataclass(frozen=True, slots=True)
class Scan:
    """The worst of a commodity's sixteen sums; `active` counts from one."""

    summary: Floats
    risk: float
    active: int


@dataclass(frozen=True, slots=True)
class Leg:
    """One combined commodity in an inter-commodity spread.

    array  its summary array; delta its net delta; ratio of deltas a spread takes of it
    """

    array: Floats
    delta: float
    ratio: float
    credit: float

    @property
    def paired(self) -> float:
        """Return the value of the scenario paired with the worst: same price, other vol."""
        array = _array("array", self.array)
        return float(array[PAIRED[int(array.argmax())]])

    @property
    def time_risk(self) -> float:
        """Return what passing time costs: the mean of scenarios 1 and 2."""
        array = _array("array", self.array)
        return 0.5 * float(array[0] + array[1])

    @property
    def futures_price_risk(self) -> float:
        """Return what the futures price costs: mean of scan and paired, less time risk."""
        return 0.5 * (self.scan + self.paired) - self.time_risk

    @property
    def price_risk(self) -> float:
        """Return the weighted futures price risk: floored at zero, a unit of delta."""
        return max(0.0, self.futures_price_risk / positive("|delta|", abs(self.delta)))

    @property
    def scan(self) -> float:
        """Return the leg's scan risk."""
        return float(_array("array", self.array).max())


@dataclass(frozen=True, slots=True)
class OptionModel:
    """What an option's array is repriced from: Black-76 without a discount, futures in points."""

    futures: float
    strike: float
    vol: float
    price: float
    years: float
    call: bool


@dataclass(frozen=True, slots=True)
class ScanRange:
    """How far price (points) and vol (absolute) are scanned, and what a point is worth."""

    points: float
    vol: float
    decay_years: float
    point_value: float
    extreme: Extreme


def moves(extreme: Extreme) -> tuple[tuple[float, float, float], ...]:
    """Return (price move in scan ranges, vol direction, cover) of each scenario."""
    core = [(step, side, 1.0) for step in STEPS for side in (1.0, -1.0)]
    ends = [(sign * extreme.multiple, 0.0, extreme.cover) for sign in (1.0, -1.0)]
    return tuple(core + ends)


def scan_risk(arrays: Floats, positions: Floats) -> Scan:
    """Return the scan of one commodity; arrays (contract, 16), positions (contract,)."""
    table, held = finite_array("risk_arrays", arrays, 1), finite_array("positions", positions)
    if table.ndim != 2 or table.shape[1] != SCENARIOS:
        raise BadShape("risk_arrays", table.shape, "pass sixteen values a contract")
    same_length("risk_arrays and positions", table, held)
    summary: Floats = (table * held[:, None]).sum(axis=0)
    worst = int(summary.argmax())
    return Scan(summary, float(summary[worst]), worst + 1)


def spread_charge(spreads: Floats, rates: Floats) -> float:
    """Return delta spreads times their rates: within and between tiers, or delivery month."""
    count, rate = not_negative_pair(spreads, rates)
    return float((count * rate).sum())


def month_spreads(long_delta: float, short_delta: float) -> float:
    """Return how many spreads long and short deltas form."""
    return min(not_negative("long_delta", long_delta), abs(short_delta))


def short_option_minimum(short_options: float, rate: float) -> float:
    """Return the least requirement: rate x gross short options."""
    return not_negative("short_options", short_options) * not_negative("rate", rate)


def initial_margin(maintenance: float, ratio: float = 1.1) -> float:
    """Return initial margin: a multiple of maintenance."""
    return not_negative("maintenance", maintenance) * positive("ratio", ratio)


def requirement(scan: float, added: float, credits_: float, minimum: float) -> float:
    """Return max(scan + inter-month + delivery - credits, short option minimum)."""
    return max(scan + added - credits_, minimum)


def futures_array(scan_range: float, extreme: Extreme) -> Floats:
    """Return one long future's array."""
    reach = not_negative("price_scan_range", scan_range)
    return np.array([-move * cover * reach for move, _, cover in moves(extreme)]) + 0.0


def option_array(option: OptionModel, scan: ScanRange) -> Floats:
    """Return one long option's array; the base is the published price, not the model's."""
    positive("F", option.futures)
    table = np.array(moves(scan.extreme))
    count = len(table)
    years = positive("T_years - decay_years", option.years - scan.decay_years)
    value = black76(
        option.futures + table[:, 0] * scan.points,
        np.full(count, positive("K", option.strike)),
        np.full(count, years * YEAR_S),
        option.vol + table[:, 1] * scan.vol,
        np.ones(count),
        np.full(count, option.call),
    )
    array: Floats = (option.price - value) * table[:, 2] * scan.point_value
    return array


def inter_commodity(legs: tuple[Leg, ...]) -> tuple[float, tuple[float, ...]]:
    """Return (number of spreads, credit of each leg) of one spread; deltas of any sign."""
    spreads = min(abs(leg.delta) / positive("ratio", leg.ratio) for leg in legs)
    return spreads, tuple(
        within("credit_pct", leg.credit, 0.0, 1.0) * leg.price_risk * spreads * leg.ratio
        for leg in legs
    )


def greedy_credits(
    deltas: dict[str, float],
    price_risks: dict[str, float],
    spreads: tuple[tuple[float, dict[str, float]], ...],
) -> dict[str, float]:
    """Return each commodity's credit: spreads in priority order consume the deltas left.

    spreads  (credit share, {commodity: signed ratio}); the signs say which sides pair up
    """
    left, earned = dict(deltas), dict.fromkeys(deltas, 0.0)
    for share, ratios in spreads:
        counts = [left[name] / ratio for name, ratio in ratios.items()]
        if min(counts) < 0.0 < max(counts) or min(abs(each) for each in counts) == 0.0:
            continue  # the sides do not face each other
        formed = min(abs(each) for each in counts)
        for name, ratio in ratios.items():
            used = formed * abs(ratio)
            left[name] -= used if left[name] > 0.0 else -used
            earned[name] += within("credit", share, 0.0, 1.0) * price_risks[name] * used
    return earned


def method(
    scan: float,
    vol: float,
    extreme: Extreme | None = None,
    charges: Charges | None = None,
    initial: float = 1.1,
) -> Form:
    """Return SPAN by full repricing; scan range and vol shift are RELATIVE and the operator's.

    They have no default: a clearing house publishes its own for every product.
    """
    cut = extreme or Extreme()
    shocks = tuple(
        Shock(spot=max(move * scan, -0.999), vol=side * vol, weight=cover)
        for move, side, cover in moves(cut)
    )
    return Form("span", shocks, VolRule(), charges=charges or Charges(), im_factor=initial)


def not_negative_pair(spreads: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """Return two lists in step, each zero or more."""
    count, rate = finite_array("spreads", spreads), finite_array("rates", rates)
    same_length("spreads and rates", count, rate)
    not_negative("least of spreads", float(count.min(initial=0.0)))
    not_negative("least of rates", float(rate.min(initial=0.0)))
    return count, rate


def _array(field: str, values: Floats) -> Floats:
    array = finite_array(field, values)
    if array.shape != (SCENARIOS,):
        raise BadShape(field, array.shape, "pass sixteen values")
    return array
