"""What time alone does to cash and perpetuals: borrow interest on a kinked curve, funding.

Floats, for margin and what-ifs; the wei-exact ledger of a venue belongs to its protocol room.
Sources: Derive v2 CashAsset and PerpAsset as specified; the kinked curve is the common one of
lending markets.
"""

import math
from dataclasses import dataclass

from keeper.margin.errors import between, finite, not_negative, positive, within
from keeper.margin.pricing import YEAR_S


@dataclass(frozen=True, slots=True)
class KinkedRate:
    """A yearly rate: least + slope x use up to the kink, `steep` x use beyond it.

    Defaults are the venue's deploy-time ones.
    """

    least: float = 0.02
    slope: float = 0.08
    kink: float = 0.85
    steep: float = 0.90

    def __post_init__(self) -> None:
        for name in ("least", "slope", "steep"):
            not_negative(f"rate.{name}", getattr(self, name))
        between("rate.kink", self.kink, 0.0, 1.0)

    def at(self, used: float) -> float:
        """Return the rate at a utilisation 0..1."""
        share = within("utilization", used, 0.0, 1.0)
        below, above = min(share, self.kink), max(0.0, share - self.kink)
        return self.least + self.slope * below + self.steep * above


def accrued(balance: float, rate: float, seconds: float) -> float:
    """Return a balance after continuous interest; a debt is negative and grows."""
    years = not_negative("seconds", seconds) / YEAR_S
    return finite("balance", balance) * math.exp(finite("rate", rate) * years)


def funding_owed(quantity: float, index: float, hourly_rate: float, seconds: float) -> float:
    """Return what a perpetual position has paid in funding, USD; longs pay a positive rate."""
    hours = not_negative("seconds", seconds) / 3600.0
    rate = finite("hourly_rate", hourly_rate)
    return finite("quantity", quantity) * positive("index", index) * rate * hours
