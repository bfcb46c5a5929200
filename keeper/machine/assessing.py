"""One venue on one block: every account margined, every breach made an opportunity. Pure.

Must not know what became of earlier blocks, nor what a strategy wants.
"""

from typing import NamedTuple

from keeper.domain.effects import Assessment
from keeper.domain.events import BlockSealed
from keeper.liquidation.strategy import Opportunity
from keeper.liquidation.triage import triage
from keeper.venue import Margined, Venue


class Assessed(NamedTuple):
    """What can be done, the arrays it was found in, and the figures to tell."""

    opportunities: list[Opportunity]
    margined: list[Margined]
    assessment: Assessment


def assess(venue: Venue, block: BlockSealed) -> Assessed:
    """Margin every account of a venue at a block and find what can be done about which."""
    venue.accrue(block.timestamp)
    opportunities: list[Opportunity] = []
    margined: list[Margined] = []
    accounts = positions = undecided = breaches = insolvent = 0
    shortfall = 0.0
    excess_min: float | None = None
    for book in venue.books():
        stored = book.method.require(book.book, book.market)
        result = Margined(book, stored, stored.with_cash(book.accrued))
        margined.append(result)
        found = triage(result.accrued.excess, result.accrued.equity, result.accrued.defined)
        opportunities.extend(venue.opportunities(result, found.breaches))
        accounts += book.book.accounts
        positions += len(book.book.instrument)
        undecided += found.undecided
        breaches += len(found.breaches)
        insolvent += found.insolvent
        shortfall += found.shortfall_usd
        if found.undecided < book.book.accounts:
            worst = found.excess_min_usd
            excess_min = worst if excess_min is None else min(excess_min, worst)
    assessment = Assessment(
        venue=venue.name,
        number=block.number,
        accounts=accounts,
        positions=positions,
        undecided=undecided,
        unsupported=venue.unsupported(),
        breaches=breaches,
        insolvent=insolvent,
        shortfall_usd=shortfall,
        excess_min_usd=excess_min or 0.0,
        auctions=sum(1 for opportunity in opportunities if opportunity.auction is not None),
        opportunities=len(opportunities),
        proposals=0,
        quotes=venue.quotes(),
    )
    return Assessed(opportunities, margined, assessment)
