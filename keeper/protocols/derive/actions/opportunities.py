"""What can be done about an account now: the venue's rules on a book's breaches and live auctions.

Looks at a few accounts only, on accrued cash, because the chain settles interest before it judges.
Must not know calldata, strategies or what is worth doing.
"""

from dataclasses import dataclass, replace

import numpy as np

from keeper.domain.units import AccountId, from_wad
from keeper.liquidation.mechanisms.dutch_auction import Auction, AuctionParameters
from keeper.liquidation.strategy import Greeks, Opportunity, Service
from keeper.margin.book import Book, Flags, Floats, Ints
from keeper.protocols.derive.actions.calls import gas_limit
from keeper.protocols.derive.margins.model import Served
from keeper.protocols.derive.tables import AuctionRow, AuctionRulesRow, DeriveTables
from keeper.venue import Ahead, Margined


# Relative to gross notional: what two scenarios must differ by to be told apart in float64.
TIE = 1e-10


@dataclass(frozen=True, slots=True)
class Figures:
    """The chosen accounts' figures on accrued cash, in their order; USD, (account,) unless said.

    rows       rows of the book
    scenario   index to hand to the chain; of a live auction, the auction's own
    under      excess under the scenario of its live auction, 0 where nobody has one
    ladder     (account, scenario + 1) P&L
    greeks     (account, 4)
    expired    whether it holds options that can be settled
    suspect    whether a doubted price stands behind any of it
    """

    rows: Ints
    scenario: Ints
    under: Floats
    ladder: Floats
    greeks: Floats
    expired: Flags
    suspect: Flags


@dataclass(frozen=True, slots=True)
class State:
    """What decides which services the venue would accept for one account."""

    defined: bool
    startable: bool  # its manager is on the auction's list
    equity_usd: float
    excess_usd: float
    gross_usd: float
    auction: Auction | None
    expired: bool
    at_s: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What opportunities depend on besides the book.

    owned       our own accounts, never served
    everywhere  spot or stable is doubted: behind everything
    suspect     (instrument,) a doubted price stands behind it
    halted      the market's price is none: nothing is done
    services    what can be done at all; None: whatever the venue accepts
    """

    at_s: int
    owned: frozenset[AccountId]
    everywhere: bool
    suspect: Flags
    halted: bool = False
    services: tuple[Service, ...] | None = None


def opportunities(
    tables: DeriveTables,
    served: Served,
    margined: Margined,
    breaches: Ints,
    outlook: Outlook,
    ahead: Outlook | None = None,
) -> list[Opportunity]:
    """Return what can be done about rows in breach, in their order, then those of attention.

    Rows that lead (see `Margined`) are looked at on the quotes ahead, with the outlook of those.
    """
    book = margined.book
    attention = np.setdiff1d(np.flatnonzero(book.attention), breaches)
    rows = [
        int(row) for row in (*breaches, *attention) if int(book.accounts[row]) not in outlook.owned
    ]
    leads = np.zeros(len(book.accounts), np.bool_) if margined.leads is None else margined.leads
    found: dict[int, Opportunity] = {}
    for led, look in ((False, outlook), (True, ahead)):
        chosen = [row for row in rows if bool(leads[row]) == led]
        if look is None or look.halted or not chosen:
            continue
        figures = _figures(tables, served, margined, np.array(chosen, np.int64), look, led=led)
        for index, row in enumerate(chosen):
            found[row] = _opportunity(tables, served, margined, figures, index, look)
    return [found[row] for row in rows if row in found and found[row].services]


def services_of(state: State) -> tuple[Service, ...]:
    """Return what the venue would accept for an account in this state, most urgent first."""
    settle = (Service.SETTLE_OPTIONS,) if state.expired else ()
    if not state.defined or not state.startable:
        # The chain reverts on every look at it; settling needs no margin.
        return settle
    auction = state.auction
    if auction is None:
        return (Service.START, *settle) if state.excess_usd < 0.0 else settle
    return settle + _live_services(state, auction)


def _live_services(state: State, auction: Auction) -> tuple[Service, ...]:
    tie = TIE * max(1.0, state.gross_usd)
    update: tuple[Service, ...] = ()
    if state.excess_usd < auction.mm_excess_usd - tie:
        update = (Service.UPDATE_SCENARIO,)
    if auction.can_terminate(state.at_s):
        # A worse scenario is worth handing over only where it keeps the auction alive.
        worse = replace(auction, mm_excess_usd=state.excess_usd)
        return (*(() if worse.can_terminate(state.at_s) else update), Service.TERMINATE)
    return (Service.CONVERT if auction.over(state.at_s) else Service.BID, *update)


def auction_of(row: AuctionRow, rules: AuctionRulesRow, equity: float, excess: float) -> Auction:
    """Return a live auction as the mechanism knows it; equity and excess in USD."""
    curve = AuctionParameters(
        start=from_wad(rules.starting_mtm),
        cutoff=from_wad(rules.fast_cutoff),
        fast_s=rules.fast_s,
        slow_s=rules.slow_s,
        insolvent_s=rules.insolvent_s,
        fee_rate=from_wad(rules.fee_rate),
        buffer=from_wad(rules.buffer),
        mtm_cutoff_usd=from_wad(rules.mtm_cutoff),
    )
    reserved = from_wad(row.reserved)
    return Auction(curve, row.insolvent, row.started_at, row.scenario, reserved, equity, excess)


def select(book: Book, rows: Ints, extra_cash: Floats) -> Book:
    """Return the book of these rows alone, in their order, with `extra_cash` (row,) more cash."""
    first, count = book.start[rows], book.start[rows + 1] - book.start[rows]
    start = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(count, out=start[1:])
    held = np.repeat(first - start[:-1], count) + np.arange(start[-1])
    return Book(
        start=start,
        instrument=book.instrument[held],
        quantity=book.quantity[held],
        cash=book.cash[rows] + extra_cash,
        carried=book.carried[rows],
    )


def _figures(
    tables: DeriveTables,
    served: Served,
    margined: Margined,
    rows: Ints,
    outlook: Outlook,
    *,
    led: bool,
) -> Figures:
    book, method = margined.book, margined.book.method
    at = book.ahead if led and book.ahead is not None else Ahead(book.book, book.market)
    chosen = select(at.book, rows, book.accrued[rows])
    # The add-on scenario counts under every index: any valid one shows the chain the breach.
    worst = margined.accrued.worst[rows]
    scenario = np.where(worst < method.scenarios, worst, 0)
    asked, auctions = scenario.copy(), False
    for index, row in enumerate(rows):
        live = tables.auctions.get(int(book.accounts[row]))
        if live is not None and live.scenario < method.scenarios:
            asked[index], auctions = live.scenario, True
    return Figures(
        rows=rows,
        scenario=scenario,
        under=method.under_scenario(chosen, at.market, asked) if auctions else np.zeros(len(rows)),
        ladder=method.ladder(chosen, at.market),
        greeks=method.greeks(chosen, at.market),
        expired=_any_held(chosen, served.scene.settled),
        suspect=_any_held(chosen, outlook.suspect),
    )


def _any_held(book: Book, flagged: Flags) -> Flags:
    """Return which accounts hold any flagged instrument, (account,)."""
    held = np.flatnonzero(flagged[book.instrument])
    found = np.zeros(book.accounts, np.bool_)
    found[np.searchsorted(book.start, held, side="right") - 1] = True
    return found


def _opportunity(
    tables: DeriveTables,
    served: Served,
    margined: Margined,
    figures: Figures,
    index: int,
    outlook: Outlook,
) -> Opportunity:
    book, result, row = margined.book, margined.accrued, int(figures.rows[index])
    account, equity = int(book.accounts[row]), float(result.equity[row])
    live, rules = tables.auctions.get(account), tables.auction_rules.get(tables.config.auction)
    known = live is None or live.scenario < book.method.scenarios
    auction = None
    if live is not None and rules is not None:
        auction = auction_of(live, rules, equity, float(figures.under[index]))
    state = State(
        # An auction under a scenario that is gone makes every look at it panic.
        defined=bool(result.defined[row]) and known,
        startable=bool(tables.whitelist.get(served.scene.address)),
        equity_usd=equity,
        excess_usd=float(result.excess[row]),
        gross_usd=float(result.gross[row]),
        auction=auction,
        expired=bool(figures.expired[index]),
        at_s=outlook.at_s,
    )
    services = services_of(state)
    if outlook.services is not None:
        services = tuple(each for each in services if each in outlook.services)
    positions = int(book.book.start[row + 1] - book.book.start[row])
    through_helper = tables.config.auction_utils is not None
    return Opportunity(
        venue=tables.name,
        account=account,
        underlying=book.underlying,
        services=services,
        gas=tuple(
            gas_limit(each, positions, through_helper=through_helper and each is Service.BID)
            for each in services
        ),
        equity_usd=equity,
        excess_usd=state.excess_usd,
        gross_usd=state.gross_usd,
        worst=int(result.worst[row]),
        scenario=int(figures.scenario[index]),
        ladder=tuple(figures.ladder[index].tolist()),
        greeks=Greeks(*figures.greeks[index].tolist()),
        positions=positions,
        auction=auction,
        suspect=bool(figures.suspect[index] or outlook.everywhere),
        at_s=outlook.at_s,
    )
