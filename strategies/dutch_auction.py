"""Serve what `flag_only` serves, and bid where the discount beats gas, risk and a least profit.

A bid is sized by what the auction still sells, by the cash of one own account and by the price
the book is worth; nothing is forecast. Knows the strategy socket and the domain only; holds no
state, so that the same opportunity and stock give the same proposal.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from keeper.domain.units import AccountId
from keeper.liquidation import sizing
from keeper.liquidation.strategy import Appraisal, Bidder, Opportunity, Proposal, Service, Stock
from strategies.flag_only import FlagOnly, gas_of
from strategies.parameters import bounded, read


@dataclass(frozen=True, slots=True)
class DutchAuctionParameters:
    """`[strategy.parameters]` of `dutch_auction`.

    profit_min_usd     least profit of one bid, after gas and risk
    risk_rate          cost of holding the slice until it is unwound, share of its gross notional
    fraction_min       no slice smaller than this share of the account
    fraction_max       no slice larger than this share
    cash_headroom      cash brought beyond what the auction asks now: margin moves until inclusion
    price_headroom     how much worse than now the price may be at inclusion
    through_helper     bid through the venue's helper, which opens a fresh account in the bid, so
                       that nobody can spoil a waiting account with dust
    shortfall_min_usd, update_min_usd, hurry  as in `flag_only`
    """

    profit_min_usd: float = bounded(10.0, 0.0, math.inf)
    risk_rate: float = bounded(0.005, 0.0, 1.0)
    fraction_min: float = bounded(0.01, 0.0, 1.0)
    fraction_max: float = bounded(1.0, 0.0, 1.0)
    cash_headroom: float = bounded(0.05, 0.0, 1.0)
    price_headroom: float = bounded(0.01, 0.0, 0.5)
    through_helper: bool = False
    shortfall_min_usd: float = bounded(0.0, 0.0, math.inf)
    update_min_usd: float = bounded(1.0, 0.0, math.inf)
    hurry: bool = False


CASH_LEAST_USD = 1.0


class Bid(NamedTuple):
    """A bid worth making: `fraction` is what we count on, `asked` what we ask for."""

    bidder: AccountId
    fraction: float
    asked: float
    price_limit_usd: float
    cash_usd: float
    profit_usd: float
    risk_usd: float


class DutchAuction:
    """Start first, settle second, bid third; otherwise whatever keeps the auction moving."""

    def __init__(self, **parameters: object) -> None:
        self.parameters = read(DutchAuctionParameters, parameters)
        self._flags = FlagOnly(
            shortfall_min_usd=self.parameters.shortfall_min_usd,
            update_min_usd=self.parameters.update_min_usd,
            hurry=self.parameters.hurry,
        )

    @property
    def name(self) -> str:
        """Return the name for logs and metrics."""
        return "dutch_auction"

    def appraise(self, opportunity: Opportunity, stock: Stock) -> Appraisal | None:
        """Return the bid where it pays and nothing more urgent waits, else as `flag_only`."""
        flag = self._flags.appraise(opportunity, stock)
        if flag is not None and flag.service in (Service.START, Service.SETTLE_OPTIONS):
            return flag
        bid = self._bid(opportunity, stock)
        if bid is None:
            return flag
        saved = max(0.0, -opportunity.excess_usd) * bid.fraction
        gas = gas_of(Service.BID, opportunity)
        profit = bid.profit_usd - stock.gas_usd(gas)
        return Appraisal(Service.BID, saved, profit, bid.risk_usd, gas)

    def propose(
        self, opportunity: Opportunity, appraisal: Appraisal, stock: Stock
    ) -> Proposal | None:
        """Return the service appraised; a bid is sized again by the cash that is left."""
        if appraisal.service is not Service.BID:
            return self._flags.propose(opportunity, appraisal, stock)
        bid = self._bid(opportunity, stock)
        if bid is None:
            return None
        return Proposal(
            Service.BID,
            fraction=bid.asked,
            price_limit_usd=bid.price_limit_usd,
            bidder=bid.bidder,
            cash_usd=bid.cash_usd,
            through_helper=self.parameters.through_helper,
            hurried=self.parameters.hurry,
        )

    def _bid(self, opportunity: Opportunity, stock: Stock) -> Bid | None:
        """Return the best bid of the account with the most cash, None where none pays."""
        auction = opportunity.auction
        if auction is None or Service.BID not in opportunity.services or opportunity.suspect:
            return None
        payer = self._payer(opportunity, stock)
        if payer is None:
            return None
        bidder, cash_usd = payer
        at_s = opportunity.at_s
        whole_usd = self._cash_for_all(opportunity)
        limit = sizing.by_largest_fraction(auction, at_s)
        asked = self._asked(limit, whole_usd, cash_usd)
        fraction = sizing.smallest([asked, limit], least=self.parameters.fraction_min)
        if fraction <= 0.0:
            return None
        profit_usd = auction.profit(at_s, fraction)
        risk_usd = self.parameters.risk_rate * opportunity.gross_usd * fraction
        gas_usd = stock.gas_usd(gas_of(Service.BID, opportunity))
        if profit_usd - risk_usd - gas_usd < self.parameters.profit_min_usd:
            return None
        price_usd = auction.price(at_s) * asked
        limit_usd = price_usd + self.parameters.price_headroom * abs(price_usd)
        # An account with no balance at all cannot bid: exactly one, cash, is what is asked.
        cash_in = min(max(asked * whole_usd, CASH_LEAST_USD), cash_usd)
        return Bid(bidder.account, fraction, asked, limit_usd, cash_in, profit_usd, risk_usd)

    def _asked(self, limit: float, whole_usd: float, cash_usd: float) -> float:
        """Return the share to ask for, given the most on sale and the cash for 100 %.

        The chain sells no more than its own limit at inclusion, and that grows as the price
        falls: asking a little more than today's limit lets the bid end the auction.
        """
        roomy = limit * (1.0 + self.parameters.cash_headroom)
        carried = sizing.by_inventory(whole_usd, cash_usd)
        return sizing.smallest([roomy, self.parameters.fraction_max, carried])

    def _payer(self, opportunity: Opportunity, stock: Stock) -> tuple[Bidder, float] | None:
        """Return the account that pays: any with cash through the helper, else a ready one."""
        for bidder, cash_usd in stock.bidders(opportunity.underlying):
            usable = self.parameters.through_helper or (
                bidder.ready and not stock.used(bidder.account)
            )
            if usable and cash_usd > 0.0 and bidder.account != opportunity.account:
                return bidder, cash_usd
        return None

    def _cash_for_all(self, opportunity: Opportunity) -> float:
        """Return the cash that 100 % of the account asks for, USD, headroom included.

        A rival may hand the auction the worst scenario before we are included, so the dearer of
        the two is brought.
        """
        auction, at_s = opportunity.auction, opportunity.at_s
        if auction is None:
            return 0.0
        worst = replace(auction, mm_excess_usd=min(auction.mm_excess_usd, opportunity.excess_usd))
        needed = max(auction.cash_needed(at_s, 1.0), worst.cash_needed(at_s, 1.0))
        return needed * (1.0 + self.parameters.cash_headroom)
