"""Dederi portfolio margin: eleven index moves by three vol rows, and a futures contingency.

Exact for futures; the vol rows follow Deribit's scaling, whose ranges are not printed for this
venue and are therefore arguments. Source: wiki.dederi.io, portfolio margin. The compounding of
the basis is inferred: the printed forward fits continuous, not simple, interest.
"""

import math

from keeper.margin.addons import Charges
from keeper.margin.book import Floats
from keeper.margin.errors import finite, finite_array, not_negative, positive
from keeper.margin.form import Form
from keeper.margin.shocks import VolRule, grid


SPOTS = (-0.15, -0.12, -0.09, -0.06, -0.03, 0.0, 0.03, 0.06, 0.09, 0.12, 0.15)
CONTINGENCY = 0.006


def forward(index: float, basis: float, days: float) -> float:
    """Return index x exp(basis x days / 365)."""
    years = not_negative("days", days) / 365.0
    return positive("index", index) * math.exp(finite("annualised_basis", basis) * years)


def future_pnl(quantity: float, price: float, shocks: Floats) -> Floats:
    """Return USD gained under each move."""
    size = finite("qty", quantity) * positive("forward", price)
    gain: Floats = size * finite_array("shocks", shocks)
    return gain


def contingency(quantity: float, index: float, factor: float = CONTINGENCY) -> float:
    """Return the charge on gross futures, USD."""
    gross = abs(finite("qty", quantity)) * positive("index", index)
    return not_negative("contingency_factor", factor) * gross


def method(vol_up: float, vol_down: float) -> Form:
    """Return the 33 scenarios with the operator's vol ranges."""
    return Form(
        "dederi",
        grid(SPOTS, (vol_up, 0.0, -vol_down)),
        VolRule(short_power=0.3, long_power=0.13),
        charges=Charges(linear=CONTINGENCY),
    )
