"""The strategy of a drill: the operator's own for the chosen accounts, and a small bid at the end.

A drill is about the path, not about profit: where the operator's strategy would not bid on a
chosen account, a small bid is made all the same. It holds no state and draws no number.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keeper.app.assembly import load_strategy
from keeper.liquidation.strategy import Appraisal, Bidder, Opportunity, Proposal, Service, Stock


NAME: Final = "keeper.app.drill.policy:DrillPolicy"
FRACTION: Final = 0.05
# The price and the margin move between the decision and the block: nothing here is to be earned.
HEADROOM: Final = 0.25
CASH_LEAST_USD: Final = 100.0


class DrillPolicy:
    """Serves the chosen accounts only."""

    def __init__(
        self, name: str, parameters: Mapping[str, Any], accounts: Sequence[int], *, helper: bool
    ) -> None:
        self._own = load_strategy(name, parameters)
        self._accounts = frozenset(accounts)
        self._helper = helper

    @property
    def name(self) -> str:
        """Return the name for logs and metrics."""
        return f"drill of {self._own.name}"

    def appraise(self, opportunity: Opportunity, stock: Stock) -> Appraisal | None:
        """Return the operator's appraisal, or one of the drill's bid where there is none."""
        if opportunity.account not in self._accounts:
            return None
        own = self._own.appraise(opportunity, stock)
        if own is not None or self._proposal(opportunity, stock) is None:
            return own
        gas = opportunity.gas[opportunity.services.index(Service.BID)]
        return Appraisal(Service.BID, max(0.0, -opportunity.excess_usd) * FRACTION, 0.0, 0.0, gas)

    def propose(
        self, opportunity: Opportunity, appraisal: Appraisal, stock: Stock
    ) -> Proposal | None:
        """Return the operator's proposal, or the drill's bid where that is None."""
        own = None
        # What it did not appraise itself a strategy must not be asked to propose.
        if self._own.appraise(opportunity, stock) == appraisal:
            own = self._own.propose(opportunity, appraisal, stock)
        if own is not None or appraisal.service is not Service.BID:
            return own
        return self._proposal(opportunity, stock)

    def _proposal(self, opportunity: Opportunity, stock: Stock) -> Proposal | None:
        auction, payer = opportunity.auction, self._payer(opportunity, stock)
        if auction is None or payer is None or Service.BID not in opportunity.services:
            return None
        at_s = opportunity.at_s
        price = auction.price(at_s) * FRACTION
        needed = auction.cash_needed(at_s, FRACTION) * (1.0 + HEADROOM) + CASH_LEAST_USD
        bidder, cash_usd = payer
        return Proposal(
            Service.BID,
            fraction=FRACTION,
            price_limit_usd=price + HEADROOM * abs(price) + 1.0,
            bidder=bidder.account,
            cash_usd=min(needed, cash_usd),
            through_helper=self._helper,
        )

    def _payer(self, opportunity: Opportunity, stock: Stock) -> tuple[Bidder, float] | None:
        for bidder, cash_usd in stock.bidders(opportunity.underlying):
            usable = self._helper or (bidder.ready and not stock.used(bidder.account))
            if usable and cash_usd > CASH_LEAST_USD and bidder.account != opportunity.account:
                return bidder, cash_usd
        return None
