"""From opportunities to commands: appraise, order, propose, limit. Pure.

Must not know how accounts are margined, nor what a command becomes once it is out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keeper.domain.effects import Command, Notice
from keeper.domain.events import BlockSealed
from keeper.domain.units import AccountId
from keeper.liquidation.halt import Halt, HaltRule
from keeper.liquidation.limits import LimitParameters, earned_wei, spend_cap_wei, tip_bid_wei
from keeper.liquidation.mandate import Mandate, permitted
from keeper.liquidation.outbox import CooldownRule, Key, Outbox
from keeper.liquidation.patience import Patience
from keeper.liquidation.priority import ORDERS, Appraised, prioritise
from keeper.liquidation.strategy import Opportunity, Proposal, Service, Stock, Strategy
from keeper.venue import Encoded, Venue


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
    held: dict[Key, tuple[Venue, Opportunity]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be a command, before it has a price, a rank and an id.

    It bids for its place by `profit_usd`; `worth_wei` is the most it may cost in all, None where
    only the limits say. `account` is None for the venue's feeds.
    """

    venue: str
    account: AccountId | None
    service: Service
    encoded: Encoded
    priority: tuple[int, float]
    profit_usd: float = 0.0
    worth_wei: int | None = None
    hurried: bool = False


class Serving:
    """Serves breaches in strict priority, one live command an account."""

    def __init__(self, parameters: MachineParameters, strategies: Mapping[str, Strategy]) -> None:
        self.parameters = parameters
        self.outbox = Outbox(parameters.cooldown)
        self.patience = Patience(parameters.act_after_blocks)
        self.halt = Halt(parameters.halt)
        self._strategies = strategies

    def open_round(self, venues: Sequence[Venue], block: BlockSealed) -> Round:
        """Return a block's round with nothing served yet: whose cash and places it may use."""
        limits = self.parameters.limits
        bidders = [bidder for venue in venues for bidder in venue.bidders()]
        price = block.base_fee_wei + limits.tip_least_wei
        stock = Stock(bidders, price, limits.gas_token_usd, limits.commands_per_block_max)
        return Round(block, stock, 0, {})

    def serve(
        self,
        venue: Venue,
        opportunities: Sequence[Opportunity],
        current: "Round",
    ) -> tuple[list[Command], list[Notice]]:
        """Propose from the top of the priority order until the stock is used up."""
        block, stock = current.block, current.stock
        strategy = self._strategies[venue.name]
        appraised = []
        for opportunity in opportunities:
            if not self.outbox.free(venue.name, opportunity.account, block.number):
                current.held[venue.name, opportunity.account] = (venue, opportunity)
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
        order = ORDERS[self.parameters.order]
        for each in prioritise(appraised, order):
            opportunity, appraisal = each
            if stock.commands <= 0:
                left = len(appraised) - len(commands)
                fields = (("venue", venue.name), ("left", left))
                notices.append(Notice("commands_limit_reached", "warning", fields))
                break
            proposal = strategy.propose(opportunity, appraisal, stock)
            if proposal is None:
                continue
            command = self.issue(current, self._wanted(venue, current, each, proposal))
            if command is None:
                fields = (("venue", venue.name), ("account", opportunity.account))
                notices.append(Notice("command_too_dear", "warning", fields))
                continue
            stock.debit(proposal)
            commands.append(command)
        return commands, notices

    def issue(self, current: Round, wanted: Wanted) -> Command | None:
        """Make the round's next command; None where it would cost more than it may."""
        limits, block = self.parameters.limits, current.block
        call = wanted.encoded.call
        # Estimates carry headroom: what would not fit a block is tried with the whole block.
        gas = min(wanted.encoded.gas, block.gas_limit)
        tip = tip_bid_wei(wanted.profit_usd, gas, limits)
        price = (block.base_fee_wei, tip)
        spend = spend_cap_wei(gas, call.value_wei, price, limits, wanted.worth_wei)
        if spend is None:
            return None
        rank, kind = current.served, str(wanted.service)
        current.served += 1
        return Command(
            id=self.outbox.open(wanted.venue, wanted.account, kind, block.number),
            venue=wanted.venue,
            account=wanted.account,
            kind=kind,
            call=call,
            gas=gas,
            spend_max_wei=spend,
            tip_budget_wei=gas * tip,
            deadline_block=block.number + limits.deadline_blocks,
            rank=rank,
            sender=wanted.encoded.sender,
            decided_number=block.number,
            decided_hash=block.hash,
            priority=wanted.priority,
            hurried=wanted.hurried,
        )

    def _wanted(
        self, venue: Venue, current: Round, appraised: Appraised, proposal: Proposal
    ) -> Wanted:
        """Return a proposal as what is to be done, and what serving is worth."""
        opportunity, appraisal = appraised
        gas_usd = current.stock.gas_usd(appraisal.gas)
        return Wanted(
            venue=venue.name,
            account=opportunity.account,
            service=proposal.service,
            encoded=venue.encode(opportunity, proposal),
            priority=ORDERS[self.parameters.order](appraised)[:2],
            profit_usd=appraisal.profit_usd,
            worth_wei=earned_wei(appraisal.profit_usd, gas_usd, self.parameters.limits),
            hurried=proposal.hurried,
        )
