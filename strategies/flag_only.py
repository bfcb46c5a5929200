"""Keep the venue's liquidations moving and buy nothing: start, settle, update, convert, end.

For an operator who wants every breach flagged in the block it is seen, and for anyone who has gas
but no cash. Knows the strategy socket and the domain only; holds no state.
"""

import math
from dataclasses import dataclass

from keeper.liquidation.strategy import Appraisal, Opportunity, Proposal, Service, Stock
from strategies.parameters import bounded, read


@dataclass(frozen=True, slots=True)
class FlagOnlyParameters:
    """`[strategy.parameters]` of `flag_only`.

    shortfall_min_usd  start only where at least this much margin is missing
    update_min_usd     hand a worse scenario to a live auction only where it is worse by this much;
                       each update costs gas and earns nothing
    hurry              ask to be sent while still being tried (`[preflight] mode = "parallel"`)
    """

    shortfall_min_usd: float = bounded(0.0, 0.0, math.inf)
    update_min_usd: float = bounded(1.0, 0.0, math.inf)
    hurry: bool = False


class FlagOnly:
    """Serve whatever costs gas only; a suspect quote stops nothing here.

    The chain itself margins on a suspect quote, so a breach by it is a breach; what must not be
    done on it is to buy, and this strategy never buys.
    """

    # What stops a loss first: no one can bid on an auction nobody started, and an option that
    # expired blocks or distorts its account's margin until it is settled.
    order = (
        Service.START,
        Service.SETTLE_OPTIONS,
        Service.CONVERT,
        Service.UPDATE_SCENARIO,
        Service.TERMINATE,
    )

    def __init__(self, **parameters: object) -> None:
        self.parameters = read(FlagOnlyParameters, parameters)

    @property
    def name(self) -> str:
        """Return the name for logs and metrics."""
        return "flag_only"

    def appraise(self, opportunity: Opportunity, stock: Stock) -> Appraisal | None:
        """Return the most urgent service that is wanted, None where there is none."""
        for service in self.order:
            if service in opportunity.services and self._wanted(service, opportunity):
                gas = gas_of(service, opportunity)
                shortfall = max(0.0, -opportunity.excess_usd)
                return Appraisal(service, shortfall, -stock.gas_usd(gas), 0.0, gas)
        return None

    def propose(
        self, opportunity: Opportunity, appraisal: Appraisal, stock: Stock
    ) -> Proposal | None:
        """Return the service as appraised: it needs nothing of the stock but gas."""
        del stock
        if appraisal.service not in opportunity.services:
            return None
        return Proposal(appraisal.service, hurried=self.parameters.hurry)

    def _wanted(self, service: Service, opportunity: Opportunity) -> bool:
        if service is Service.START:
            return -opportunity.excess_usd >= self.parameters.shortfall_min_usd
        if service is Service.UPDATE_SCENARIO and opportunity.auction is not None:
            # An account that could be let go under its auction's scenario, and is in breach under
            # another, is always worth the update: ending it would only mean starting it again.
            if Service.TERMINATE in opportunity.services:
                return True
            worse = opportunity.auction.mm_excess_usd - opportunity.excess_usd
            return worse >= self.parameters.update_min_usd
        return True


def gas_of(service: Service, opportunity: Opportunity) -> int:
    """Return the gas estimate that stands beside `service` in the opportunity."""
    return opportunity.gas[opportunity.services.index(service)]
