"""The machine: `apply(entry) -> effects`, synchronous and deterministic.

Joins the pure rooms and passes arrays between them. Same parameters, same entries, same order:
same effects. It awaits nothing, reads no clock, draws no number and logs nothing; failures that
can be expected arrive as events, and it raises only InvariantViolation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.domain.effects import NOTHING, Assessment, Command, Effects, Notice
from keeper.domain.errors import InvariantViolation, UndecodableLog
from keeper.domain.events import (
    BlockSealed,
    ChainRewound,
    CommandRefused,
    Entry,
    Event,
    LaneObserved,
    Started,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.domain.units import AccountId, Address, Hash
from keeper.liquidation.halt import Halt, HaltRule
from keeper.liquidation.limits import LimitParameters, spend_cap_wei
from keeper.liquidation.mandate import Mandate, permitted
from keeper.liquidation.outbox import CooldownRule, Live, Outbox
from keeper.liquidation.patience import Patience
from keeper.liquidation.priority import ORDERS, Appraised, prioritise
from keeper.liquidation.strategy import Opportunity, Proposal, Stock, Strategy
from keeper.liquidation.triage import triage
from keeper.portfolio.state import Portfolio
from keeper.venue import Margined, Venue


# Refusals that say nothing about the account: it may be decided again on the next block.
NOT_THE_ACCOUNTS_FAULT = ("lane", "expired")
ENDED_REMEMBERED_MAX = 4096


@dataclass(frozen=True, slots=True)
class MachineParameters:
    """What decisions depend on besides entries; part of the configuration's digest."""

    chain_id: int
    order: str = "excess"
    limits: LimitParameters = field(default_factory=LimitParameters)
    cooldown: CooldownRule = field(default_factory=CooldownRule)
    act_after_blocks: int = 0  # a backup serves what stood unserved for so many blocks
    halt: HaltRule = field(default_factory=HaltRule)
    mandates: tuple[Mandate, ...] = ()  # without one nothing is done to an account that stands


@dataclass(slots=True)
class Round:
    """The last block's decisions, kept open until the next block.

    `held` are opportunities of accounts whose earlier command was in this very block, but whose
    receipt was not read yet: they are served as soon as it is, not a block later.
    """

    block: BlockSealed
    stock: Stock
    served: int
    held: dict[tuple[str, AccountId], tuple[Venue, Opportunity]]


class Machine:
    """Folds entries into the portfolio and decides once a block."""

    def __init__(
        self,
        parameters: MachineParameters,
        portfolio: Portfolio,
        venues: Sequence[Venue],
        strategies: Mapping[str, Strategy],
    ) -> None:
        self.parameters = parameters
        self.portfolio = portfolio
        self.venues = tuple(venues)
        self.outbox = Outbox(parameters.cooldown)
        self.patience = Patience(parameters.act_after_blocks)
        self.halt = Halt(parameters.halt)
        self.margined: dict[str, list[Margined]] = {}  # of the last decided block, by venue
        self.decided: tuple[int, Hash] | None = None  # the block `margined` is of
        self.lanes: dict[Address, LaneObserved] = {}
        self._strategies = strategies
        self._venue_at: dict[Address, Venue] = {}
        self._watched: dict[str, tuple[Address, ...]] = {}
        self._halted: dict[str, str] = {}
        self._ended: dict[int, Live] = {}
        self._notices: list[Notice] = []
        self._round: Round | None = None
        self._freed: Live | None = None

    def apply(self, entry: Entry) -> Effects:
        """Fold the entry and decide on it."""
        self.fold(entry)
        return self.decide(entry)

    def fold(self, entry: Entry) -> None:
        """Write what happened; decides nothing."""
        match entry.event:
            case BlockSealed() as block:
                self._fold_block(block)
            case ChainRewound() as rewound:
                self._rewind(rewound)
            case Started() as started:
                self.outbox.start_from(started.next_command_id)
            case LaneObserved() as lane:
                self.lanes[lane.lane] = lane
            case event:
                self._fold_outcome(event)

    def decide(self, entry: Entry) -> Effects:
        """Return what is to be done and told after the fold of the same entry."""
        notices = self._drain()
        if not isinstance(entry.event, BlockSealed):
            return self._decide_held(notices)
        if not entry.event.at_tip:
            return Effects(notices=notices)
        return self._decide_block(entry.event, notices)

    def _decide_held(self, notices: tuple[Notice, ...]) -> Effects:
        """Serve an account that was only waiting for the end of its last command."""
        freed, self._freed = self._freed, None
        if freed is None or self._round is None:
            return Effects(notices=notices) if notices else NOTHING
        current = self._round
        held = current.held.pop((freed.venue, freed.account), None)
        if held is None:
            return Effects(notices=notices) if notices else NOTHING
        venue, opportunity = held
        commands, more = self._serve(
            venue, current.block, [opportunity], current.stock, current.served
        )
        current.served += len(commands)
        return Effects(tuple(commands), (*notices, *more))

    def _drain(self) -> tuple[Notice, ...]:
        for venue in self.venues:
            self._notices.extend(venue.notices())
        notices, self._notices = tuple(self._notices), []
        return notices

    # ── folding ──

    def _fold_block(self, block: BlockSealed) -> None:
        if block.chain_id != self.parameters.chain_id:
            raise InvariantViolation(f"a block of chain {block.chain_id} was posted")
        self._round = None
        tip = self.portfolio.tip
        if tip is not None and block.parent != tip[1]:
            raise InvariantViolation(f"block {block.number} does not stand on our tip {tip[0]}")
        self.portfolio.undo.begin(block.number, block.hash)
        self.halt.see(block.number, block.timestamp)
        self._route()
        for log in block.logs:
            venue = self._venue_at.get(log.address)
            if venue is None or venue.name in self._halted:
                continue
            try:
                event = venue.decode(log)
            except UndecodableLog as error:
                self._halt(venue, block, error)
                continue
            if event is not None:
                venue.fold(event, block)
        self.outbox.expire(block.number)

    def _route(self) -> None:
        """Map addresses to venues anew where a venue's watch list has changed."""
        for venue in self.venues:
            watched = venue.watch()
            if self._watched.get(venue.name) != watched:
                self._watched[venue.name] = watched
                self._venue_at.update(dict.fromkeys(watched, venue))

    def _halt(self, venue: Venue, block: BlockSealed, error: UndecodableLog) -> None:
        """Stop deciding for a venue whose state we can no longer vouch for."""
        self._halted[venue.name] = str(error)
        fields = (
            ("venue", venue.name),
            ("block", block.number),
            ("address", error.address),
            ("topic", error.topic),
            ("log", error.log_index),
            ("problem", error.problem),
        )
        self._notices.append(Notice("venue_halted", "error", fields))

    def _rewind(self, rewound: ChainRewound) -> None:
        self._round = None
        taken = self.portfolio.undo.rewind(rewound.number, rewound.hash)
        self.patience.rewind(rewound.number)
        self.halt.rewind(rewound.number)
        fields = (("number", rewound.number), ("depth", taken))
        self._notices.append(Notice("rewound", "warning", fields))

    def _fold_outcome(self, event: Event) -> None:
        number = self.portfolio.tip[0] if self.portfolio.tip is not None else 0
        match event:
            case CommandRefused():
                live = self.outbox.close(event.command_id)
                if live is not None and event.stage not in NOT_THE_ACCOUNTS_FAULT:
                    self.outbox.rest(live, number)
            case TransactionIncluded():
                live = self._end(event.command_id)
                if live is not None:
                    self.outbox.forgive(live)
                    # What the inclusion did is in our state only up to the tip.
                    self._freed = live if event.number <= number else None
            case TransactionReverted() | TransactionDropped():
                live = self._end(event.command_id)
                if live is not None:
                    self.outbox.rest(live, number)
            case TransactionOrphaned():
                live = self._ended.pop(event.command_id, None)
                if live is not None:
                    self.outbox.reopen(event.command_id, live)
            case _:
                pass  # commits, sends, passes and ticks move no state of ours

    def _end(self, command_id: int) -> Live | None:
        """Close a command, remembering it for as long as a reorg may bring it back."""
        live = self.outbox.close(command_id)
        if live is not None:
            self._ended[command_id] = live
            while len(self._ended) > ENDED_REMEMBERED_MAX:
                del self._ended[next(iter(self._ended))]
        return live

    # ── deciding ──

    def _decide_block(self, block: BlockSealed, notices: tuple[Notice, ...]) -> Effects:
        self.decided = (block.number, block.hash)
        limits = self.parameters.limits
        bidders = [bidder for venue in self.venues for bidder in venue.bidders()]
        price = block.base_fee_wei + limits.tip_max_wei
        stock = Stock(bidders, price, limits.gas_token_usd, limits.commands_per_block_max)
        commands: list[Command] = []
        assessments: list[Assessment] = []
        told = list(notices)
        self._round = Round(block, stock, 0, {})
        for venue in self.venues:
            if venue.name in self._halted:
                continue
            opportunities, assessment = self._assess(venue, block)
            decided, more = self._serve(venue, block, opportunities, stock, len(commands))
            commands.extend(decided)
            told.extend(more)
            assessments.append(replace(assessment, proposals=len(decided)))
        self._round.served = len(commands)
        return Effects(tuple(commands), tuple(told), tuple(assessments))

    def _assess(self, venue: Venue, block: BlockSealed) -> tuple[list[Opportunity], Assessment]:
        """Margin every account of a venue and find what can be done about which."""
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
        self.margined[venue.name] = margined
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
        return opportunities, assessment

    def _serve(
        self,
        venue: Venue,
        block: BlockSealed,
        opportunities: Sequence[Opportunity],
        stock: Stock,
        rank: int,
    ) -> tuple[list[Command], list[Notice]]:
        """Propose from the top of the priority order until the stock is used up."""
        strategy = self._strategies[venue.name]
        appraised = []
        for opportunity in opportunities:
            if not self.outbox.free(venue.name, opportunity.account, block.number):
                if self._round is not None:
                    key = (venue.name, opportunity.account)
                    self._round.held[key] = (venue, opportunity)
                continue
            appraisal = strategy.appraise(opportunity, stock)
            if appraisal is None or not self.halt.allows(appraisal.service, block.number):
                continue
            each = Appraised(opportunity, appraisal)
            if permitted(each, self.parameters.mandates):
                appraised.append(each)
        appraised = self.patience.ripe(venue.name, block.number, appraised)
        commands: list[Command] = []
        notices: list[Notice] = []
        for opportunity, appraisal in prioritise(appraised, ORDERS[self.parameters.order]):
            if stock.commands <= 0:
                left = len(appraised) - len(commands)
                fields = (("venue", venue.name), ("left", left))
                notices.append(Notice("commands_limit_reached", "warning", fields))
                break
            proposal = strategy.propose(opportunity, appraisal, stock)
            if proposal is None:
                continue
            command = self._command(venue, block, opportunity, proposal, rank + len(commands))
            if command is None:
                fields = (("venue", venue.name), ("account", opportunity.account))
                notices.append(Notice("command_too_dear", "warning", fields))
                continue
            stock.debit(proposal)
            commands.append(command)
        return commands, notices

    def _command(
        self,
        venue: Venue,
        block: BlockSealed,
        opportunity: Opportunity,
        proposal: Proposal,
        rank: int,
    ) -> Command | None:
        """Make a command of a proposal; None where it would cost more than the limit."""
        limits = self.parameters.limits
        encoded = venue.encode(opportunity, proposal)
        value = encoded.call.value_wei
        # Estimates carry headroom: what would not fit a block is tried with the whole block.
        gas = min(encoded.gas, block.gas_limit)
        spend = spend_cap_wei(gas, value, block.base_fee_wei, limits)
        if spend is None:
            return None
        kind = str(proposal.service)
        return Command(
            id=self.outbox.open(venue.name, opportunity.account, kind, block.number),
            venue=venue.name,
            account=opportunity.account,
            kind=kind,
            call=encoded.call,
            gas=gas,
            spend_max_wei=spend,
            tip_budget_wei=gas * limits.tip_max_wei,
            deadline_block=block.number + limits.deadline_blocks,
            rank=rank,
            sender=encoded.sender,
            decided_number=block.number,
            decided_hash=block.hash,
        )
