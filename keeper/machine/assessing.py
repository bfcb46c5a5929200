"""One venue on one block: every account margined, every breach made an opportunity. Pure.

Must not know what became of earlier blocks, nor what a strategy wants.
"""

from typing import NamedTuple

import numpy as np

from keeper.domain.effects import Assessment
from keeper.domain.events import BlockSealed
from keeper.liquidation.strategy import Opportunity
from keeper.liquidation.triage import triage
from keeper.machine.screening import AHEAD, Key, Screens
from keeper.margin.book import Result
from keeper.margin.screen import COLUMNS
from keeper.venue import Margined, Venue, VenueBook


class Assessed(NamedTuple):
    """What can be done, the arrays it was found in, and the figures to tell."""

    opportunities: list[Opportunity]
    margined: list[Margined]
    assessment: Assessment


def required(book: VenueBook, screens: Screens, key: Key) -> Margined:
    """Return a book's results; where quotes ahead show what the chain's do not, they lead.

    A breach on the chain's own quotes stays one whatever we hold: data that nobody has checked
    yet may add an account to those we serve, and must not hide one.
    """
    method, extra, wanted = book.method, book.accrued, book.attention
    at = (book.book, book.market)
    stored, cleared = screens.require(key, method, at, extra, wanted)
    accrued = stored.with_cash(extra)
    if book.ahead is None:
        return Margined(book, stored, accrued, cleared=cleared)
    # Who has no number on the chain's quotes may have one here, and it is told as the account's.
    at, wanted = (book.ahead.book, book.ahead.market), wanted | ~accrued.defined
    ahead = screens.require((*key, AHEAD), method, at, extra, wanted)[0].with_cash(extra)
    leads = ahead.defined & (~accrued.defined | ((accrued.excess >= 0.0) & (ahead.excess < 0.0)))
    columns = {
        name: np.where(leads, getattr(ahead, name), getattr(accrued, name)) for name in COLUMNS
    }
    return Margined(book, stored, Result(**columns), leads, cleared)


def assess(venue: Venue, block: BlockSealed, screens: Screens | None = None) -> Assessed:
    """Margin every account of a venue at a block and find what can be done about which.

    `screens` are those of the blocks before; without them every account is computed.
    """
    screens = Screens() if screens is None else screens
    venue.accrue(block.timestamp)
    opportunities: list[Opportunity] = []
    margined: list[Margined] = []
    accounts = positions = undecided = breaches = insolvent = 0
    shortfall = 0.0
    excess_min: float | None = None
    for number, book in enumerate(venue.books()):
        result = required(book, screens, (venue.name, number))
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
        quote_ages=venue.quote_ages(),
    )
    return Assessed(opportunities, margined, assessment)
