"""Derive v2 as a venue: joins tables, fold, model, opportunities and calls behind the socket.

Holds nothing but the tables and what was derived from them at the accrued timestamp.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keeper.domain.effects import Call, Notice
from keeper.domain.errors import InvariantViolation
from keeper.domain.events import (
    BlockSealed,
    Log,
    OracleUpdated,
    PayloadReceived,
    PriceObserved,
    RoundObserved,
)
from keeper.domain.units import AccountId, Address, from_wad, to_wad
from keeper.liquidation import executor
from keeper.liquidation.strategy import Bidder, Opportunity, Proposal, Service
from keeper.margin.book import Ints
from keeper.market.opinions import Opinions
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.actions import calls
from keeper.protocols.derive.actions.executing import through_executor
from keeper.protocols.derive.actions.opportunities import Outlook, opportunities
from keeper.protocols.derive.logs.decode import decode
from keeper.protocols.derive.logs.fold import Fold, watch_addresses
from keeper.protocols.derive.logs.fold_hot import fold_logs
from keeper.protocols.derive.margins.accrual import Accrual
from keeper.protocols.derive.margins.doubts import (
    Judge,
    halted,
    quote_ages,
    quote_states,
    suspicion,
)
from keeper.protocols.derive.margins.model import Model, Scene, Served
from keeper.protocols.derive.signed.ahead import Bundle, SignedData
from keeper.protocols.derive.signed.bundling import bringing
from keeper.protocols.derive.signed.leading import Leading, lead
from keeper.protocols.derive.signed.pushing import Pusher
from keeper.protocols.derive.tables import DeriveTables, ManagerRow
from keeper.protocols.derive.wiring import DeriveConfig
from keeper.venue import Encoded, Heard, Margined, Push, PushRefused, VenueBook


class Derive:
    """`keeper.venue.Venue` for one deployment of Derive v2 (PMRM_2 and PMRM_2_1)."""

    def __init__(self, config: DeriveConfig, portfolio: Portfolio) -> None:
        self.config = config
        self.tables = DeriveTables(portfolio, config)
        self._fold = Fold(self.tables)
        self._watched: tuple[tuple[int, ...], tuple[Address, ...]] = ((), ())
        self._model = Model(self.tables)
        self._accrual = Accrual(self.tables, 0)
        self._scenes: list[Scene] = []
        self._served: list[Served] = []
        self._owned: tuple[int, frozenset[AccountId]] = (-1, frozenset())
        self._opinions = Opinions(config.quotes, config.rule, config.payloads)
        self._signed = SignedData(self.tables, config.payloads)
        self._judge = Judge(self.tables, self._accrual, self._opinions, config.quotes)
        self._leading: Leading | None = None
        self._pusher = Pusher(self.tables)

    @property
    def name(self) -> str:
        """Return the configured name."""
        return self.config.name

    def watch(self) -> tuple[Address, ...]:
        """Return the addresses whose logs fold into our state; found anew when wiring moved."""
        tables = self.tables
        wiring = (
            tables.managers,
            tables.perps,
            tables.feeds,
            tables.overrides,
            tables.collateral_feeds,
        )
        versions = tuple(table.version for table in wiring)
        if self._watched[0] != versions:
            self._watched = (versions, watch_addresses(tables))
        return self._watched[1]

    def load(self, snapshot: Mapping[str, Any]) -> None:
        """Write a snapshot's rows to the tables; raises MalformedRecord."""
        self._fold.load(snapshot)

    def decode(self, log: Log) -> object | None:
        """Return the log as a venue event; raises UndecodableLog."""
        return decode(log)

    def fold(self, event: Any, block: BlockSealed) -> None:
        """Write an event to the tables."""
        self._fold.fold(event, block)

    def fold_logs(self, logs: Sequence[Log], block: BlockSealed) -> None:
        """Decode and fold a block's logs, many at once; raises UndecodableLog."""
        fold_logs(self, self._fold.tables, logs, block)

    def hear(self, event: Heard) -> None:
        """Take note of prices, rounds and signed data; data the chain refused are forgotten."""
        match event:
            case OracleUpdated():
                self._opinions.hear_price(event)
            case RoundObserved():
                self._opinions.hear_round(event)
            case PriceObserved():
                self._opinions.pulls.hear_price(event)
            case PayloadReceived() if self._opinions.pulls.knows(event.feed):
                self._opinions.pulls.hear_update(event)
            case PayloadReceived():
                self._signed.hear(event)
            case PushRefused():
                if event.reason in calls.DATA_FAULTS:
                    self._signed.refuse(self._pusher.refused())
            case _:
                if self._leading is not None and event.reason in calls.DATA_FAULTS:
                    self._signed.refuse(self._leading.brought())

    def accrue(self, timestamp: int) -> None:
        """Move interest, funding, expiries and the age of quotes to `timestamp`."""
        self._accrual = Accrual(self.tables, timestamp)
        self._scenes = self._model.scenes(self._accrual)
        self._served = []
        self._judge = Judge(self.tables, self._accrual, self._opinions, self.config.quotes)
        self._leading = self._lead(timestamp)

    def books(self) -> Sequence[VenueBook]:
        """Return every supported account at the accrued timestamp."""
        newer = None if self._leading is None else self._leading.newer
        self._served = self._model.serve(self._accrual, self._scenes, newer)
        return [served.venue_book for served in self._served]

    def unsupported(self) -> int:
        """Return how many accounts stand under a manager that is not served."""
        return sum(count for _, count in self.tables.unsupported.items())

    def opportunities(self, margined: Margined, breaches: Ints) -> Sequence[Opportunity]:
        """Return what can be done about rows in breach or attention; ours are left out."""
        for served in self._served:
            if served.venue_book is margined.book:
                scene, at = served.scene, (served, margined, breaches)
                outlook, ahead = self._outlook(scene, self._judge), self._outlook_ahead(scene)
                found = opportunities(self.tables, *at, outlook, ahead)
                if self._leading is not None:
                    self._leading.take(margined, found)
                return found
        raise InvariantViolation("margin of a book that is not of the accrued timestamp")

    def bidders(self) -> Sequence[Bidder]:
        """Return our own accounts with their stored cash, which is what a bid counts."""
        found = []
        for account in self.config.bidders:
            manager, owner = self.tables.manager_of(account), self.tables.owners.get(account)
            if manager is not None and owner is not None:
                found.append(self._bidder(account, owner, manager))
        return found

    def encode(self, opportunity: Opportunity, proposal: Proposal) -> Encoded:
        """Return the call for a proposal; raises InvariantViolation for an impossible one."""
        if proposal.service not in opportunity.services:
            raise InvariantViolation(
                f"{proposal.service} of account {opportunity.account} is not on offer"
            )
        leading = self._leading
        bundle = None if leading is None else leading.bundle(opportunity, proposal)
        if proposal.service is Service.BID:
            encoded = self._encode_bid(opportunity, proposal, bundle)
            if encoded.sender != self.config.executor:
                return encoded
            if bundle is None:
                at = (self.tables, self._accrual.readings, self.config.guard)
                return through_executor(*at, encoded, opportunity, proposal)
        else:
            gas = calls.gas_limit(proposal.service, opportunity.positions)
            encoded = Encoded(self._encode_open(opportunity, proposal.service), gas, None)
        if bundle is None or leading is None or self.config.executor is None:
            return encoded
        ahead = (self.tables, leading.newer.accrual.readings, self.config.guard)
        return bringing(*ahead, encoded, opportunity, proposal, bundle)

    def push(self, gas_max: int) -> Push | None:
        """Return the data we hold that are newer than the feeds', as one call to the submitter."""
        if self.config.data_submitter is None:
            return None
        ahead = self._signed.ahead(self._accrual.now)
        return self._pusher.push(self.config.data_submitter, ahead, gas_max)

    def reason(self, data: str) -> str:
        """Return the classified name of revert data."""
        return executor.reason(data) or calls.reason(data)

    def quotes(self) -> tuple[tuple[str, str], ...]:
        """Return the required quotes' states at the accrued timestamp."""
        return quote_states(self.tables, self._judge, self._scenes)

    def quote_ages(self) -> tuple[tuple[str, float], ...]:
        """Return the required quotes' ages at the accrued timestamp, over their heartbeats."""
        return quote_ages(self.tables, self._accrual, self._scenes)

    def notices(self) -> Sequence[Notice]:
        """Return and forget what folding found worth telling."""
        led = [] if self._leading is None else self._leading.drain()
        heard = [*self._signed.drain(), *self._opinions.pulls.drain()]
        return [*self._fold.drain(), *heard, *led]

    def moved(self) -> Sequence[str]:
        """Return and forget which rules the last block's logs changed."""
        return self._fold.moved()

    def owned(self) -> tuple[AccountId, ...]:
        """Return our own accounts, ascending: never liquidated by us."""
        return tuple(sorted(self._own_accounts()))

    def _lead(self, now: int) -> Leading | None:
        """Return what signed data come to, None where nothing could bring them."""
        if self.config.executor is None and self.config.auction_utils is None:
            return None
        ahead = self._signed.ahead(now)
        return lead(self.tables, self._model, self._scenes, ahead, self._opinions, now)

    def _outlook(self, scene: Scene, judge: Judge) -> Outlook:
        everywhere, suspect = suspicion(self.tables, scene, judge)
        owned, dead = self._own_accounts(), halted(scene, judge)
        return Outlook(self._accrual.now, owned, everywhere, suspect, dead)

    def _outlook_ahead(self, scene: Scene) -> Outlook | None:
        """Return how accounts that lead are looked at: without an executor only bids bring data."""
        newer = None if self._leading is None else self._leading.scene(scene)
        if self._leading is None or newer is None:
            return None
        outlook = self._outlook(newer, self._leading.judge)
        carried = None if self.config.executor is not None else (Service.BID,)
        return replace(outlook, services=carried)

    def _own_accounts(self) -> frozenset[AccountId]:
        """Return the bidders and what else their owners hold: slices bought stay with the owner."""
        version = self.tables.owners.version
        if self._owned[0] != version:
            bidders = self.config.bidders
            owners = {self.tables.owners.get(account) for account in bidders} - {None}
            held = {account for account, owner in self.tables.owners.items() if owner in owners}
            self._owned = (version, frozenset(held.union(bidders)))
        return self._owned[1]

    def _bidder(self, account: AccountId, owner: Address, manager: ManagerRow) -> Bidder:
        row = self.tables.row(account)
        cash = self.tables.cash.get(row)
        # One ulp down: a float that was rounded up would spend wei that are not there.
        cash_usd = max(0.0, math.nextafter(from_wad(cash), -math.inf))
        ready = cash > 0 and not self.tables.portfolio.positions.held(row)
        return Bidder(account, owner, manager.underlying, cash_usd, ready)

    def _encode_open(self, opportunity: Opportunity, service: Service) -> Call:
        """Return a call that anybody may send."""
        account, auction = opportunity.account, self.config.auction
        match service:
            case Service.START:
                return calls.start_auction(auction, account, opportunity.scenario)
            case Service.UPDATE_SCENARIO:
                return calls.update_scenario(auction, account, opportunity.scenario)
            case Service.TERMINATE:
                return calls.terminate_auction(auction, account)
            case Service.CONVERT:
                return calls.convert_auction(auction, account)
        manager = self.tables.accounts[account]
        option = self.tables.managers[manager].option
        return calls.settle_options(manager, option, account)

    def _encode_bid(
        self, opportunity: Opportunity, proposal: Proposal, bundle: Bundle | None
    ) -> Encoded:
        bidder = proposal.bidder
        owner = None if bidder is None else self.tables.owners.get(bidder)
        if bidder is None or owner is None or bidder not in self.config.bidders:
            raise InvariantViolation(f"a bid by {bidder}, which is not an account of ours")
        account, helper = opportunity.account, self.config.auction_utils
        share, limit = (
            calls.fraction_wad(proposal.fraction),
            calls.limit_wad(proposal.price_limit_usd),
        )
        gas = calls.gas_limit(
            Service.BID, opportunity.positions, through_helper=proposal.through_helper
        )
        if not proposal.through_helper:
            return Encoded(
                calls.bid(self.config.auction, account, bidder, share, limit), gas, owner
            )
        if helper is None:
            raise InvariantViolation("a bid through a helper that is not configured")
        cash = to_wad(proposal.cash_usd)
        call = calls.advanced_bid(helper, opportunity.scenario, account, bidder, share, limit, cash)
        if bundle is None or owner == self.config.executor:
            return Encoded(call, gas, owner)
        # An owner's own key sends no batch; the cash that moves into the fresh account brings it.
        return Encoded(calls.with_manager_data(call, bundle.batch()), gas + bundle.gas, owner)
