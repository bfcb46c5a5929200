"""Leave to act for an account that is not in breach: nothing preventive happens without it.

Serving a breach is anybody's right; cutting the risk of an account that still stands is only its
owner's, who may hand it to us for a time and within bounds. Without a mandate, the configured
default, preventive mode is off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from keeper.domain.units import AccountId
from keeper.liquidation.priority import Appraised
from keeper.liquidation.strategy import Service


# What a venue lets anybody do to any account, breach or none, because it only follows its rules.
UPKEEP: Final = frozenset(
    {
        Service.SETTLE_OPTIONS,
        Service.TERMINATE,
        Service.CONVERT,
        Service.UPDATE_SCENARIO,
    }
)


@dataclass(frozen=True, slots=True)
class Mandate:
    """One owner's leave: for which account, until when, from which excess on, with what."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    venue: str
    account: AccountId
    until_s: int
    excess_below_usd: float
    services: tuple[str, ...]


def permitted(appraised: Appraised, mandates: Sequence[Mandate]) -> bool:
    """Tell whether an action is a breach's service, upkeep, or covered by its owner's mandate.

    A live auction is the venue's own finding of a breach: bids on it need no leave of the owner.
    An excess that is not a number is no breach.
    """
    opportunity, appraisal = appraised
    in_breach = opportunity.excess_usd < 0.0 or opportunity.auction is not None
    if in_breach or appraisal.service in UPKEEP:
        return True
    return any(
        mandate.venue == opportunity.venue
        and mandate.account == opportunity.account
        and opportunity.at_s <= mandate.until_s
        and opportunity.excess_usd < mandate.excess_below_usd
        and str(appraisal.service) in mandate.services
        for mandate in mandates
    )
