"""The strict order in which breaches are served.

Orders are named functions from an appraised opportunity to a sortable key: tier, worth, venue,
account. Ties in worth go to the venue that comes first by name and then to the lower account id,
so that no two keys are ever equal and replay cannot depend on input order. A worth that is not a
number is worth nothing: it comes last of its tier.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keeper.domain.units import AccountId
from keeper.liquidation.strategy import Appraisal, Opportunity, Service


class Appraised(NamedTuple):
    """An opportunity and what its strategy thinks serving it is worth."""

    opportunity: Opportunity
    appraisal: Appraisal


Key = tuple[int, float, str, AccountId]
Order = Callable[[Appraised], Key]

# Services that stop a loss come before those that earn: an auction nobody started cannot be bid.
# Before all of them comes what their margin will be read from.
TIER = {
    Service.PUSH_FEEDS: -1,
    Service.START: 0,
    Service.SETTLE_OPTIONS: 0,
    Service.CONVERT: 1,
    Service.TERMINATE: 1,
    Service.UPDATE_SCENARIO: 1,
    Service.BID: 2,
}


def by_excess(appraised: Appraised) -> Key:
    """Order by the excess itself, the most negative first."""
    opportunity, appraisal = appraised
    tier = TIER[appraisal.service]
    return (tier, _last_if_nan(opportunity.excess_usd), opportunity.venue, opportunity.account)


def by_excess_per_gas(appraised: Appraised) -> Key:
    """Order by what is missing for each unit of gas: many small breaches before one huge book."""
    opportunity, appraisal = appraised
    worth = _last_if_nan(opportunity.excess_usd / max(appraisal.gas, 1))
    return (TIER[appraisal.service], worth, opportunity.venue, opportunity.account)


def by_net_profit(appraised: Appraised) -> Key:
    """Order by profit less risk for each unit of gas, so that no huge one heads every block."""
    opportunity, appraisal = appraised
    worth = (appraisal.profit_usd - appraisal.risk_usd) / max(appraisal.gas, 1)
    worth = _last_if_nan(-worth)
    return (TIER[appraisal.service], worth, opportunity.venue, opportunity.account)


def _last_if_nan(worth: float) -> float:
    # Comparisons with NaN are all false: a sort would depend on the order of arrival.
    return math.inf if math.isnan(worth) else worth


ORDERS: dict[str, Order] = {
    "excess": by_excess,
    "excess_per_gas": by_excess_per_gas,
    "net_profit": by_net_profit,
}


def prioritise(appraised: Sequence[Appraised], order: Order) -> list[Appraised]:
    """Return them in strict order, first to be served first."""
    return sorted(appraised, key=order)
