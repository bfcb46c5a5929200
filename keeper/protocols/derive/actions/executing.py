"""Derive's bids through an executor contract that owns the bidder, with the guard around them.

It joins the tables with the guard's conditions. What an own key owns is left as it is: the venue
wants the owner itself to send a bid, and starts and upkeep hold no money to be guarded.
"""

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import Address, to_wad
from keeper.liquidation.executor import Gain
from keeper.liquidation.strategy import Opportunity, Proposal, Service
from keeper.protocols.derive.guarded import (
    Decided,
    GuardRule,
    cash_gain,
    guarded,
    guarded_gas,
    step_of,
    worth_gain,
)
from keeper.protocols.derive.margins.readings import Readings
from keeper.protocols.derive.tables import STATIC_DIFF, DeriveTables, ManagerRow
from keeper.venue import Encoded


def through_executor(
    tables: DeriveTables,
    readings: Readings,
    rule: GuardRule,
    encoded: Encoded,
    opportunity: Opportunity,
    proposal: Proposal,
) -> Encoded:
    """Return a bid of an account that a contract owns as that contract's guarded call.

    `encoded` is the bid as its owner would send it: the owner, here the executor, is its sender.
    Any lane may send the result. Raises InvariantViolation for what is no bid by an own account.
    """
    executor, bidder = encoded.sender, proposal.bidder
    if proposal.service is not Service.BID or executor is None or bidder is None:
        raise InvariantViolation(f"{proposal.service} is not a bid that an owner sends")
    manager = tables.accounts[opportunity.account]
    decided = decided_on(tables, readings, manager, tables.managers[manager])
    gains = _gains(tables, manager, proposal, rule)
    step = step_of(encoded.call, opportunity, proposal, decided, rule)
    call = guarded(executor, step, decided, rule, gains)
    return Encoded(call, guarded_gas(encoded.gas, opportunity.positions, len(gains)), None)


def decided_on(
    tables: DeriveTables, readings: Readings, manager: Address, row: ManagerRow
) -> Decided:
    """Return what a decision on one manager's book stands on; its spot must be readable."""
    tip, spot = tables.portfolio.tip, readings.spot(row.spot_feed)
    if tip is None or spot is None:
        raise InvariantViolation(f"a decision on the book of {manager} without a block or a spot")
    perp = tables.perps.get(row.perp)
    feed = None if perp is None else perp.perp_feed
    rules = None if feed is None else tables.feeds.get(feed)
    dated = rules is not None and rules.kind != STATIC_DIFF
    return Decided(
        number=tip[0],
        timestamp_s=readings.now,
        auction=tables.config.auction,
        manager=manager,
        spot_feed=row.spot_feed,
        diff_feed=feed if dated else None,
        spot_wad=spot.value,
    )


def _gains(
    tables: DeriveTables, manager: Address, proposal: Proposal, rule: GuardRule
) -> tuple[Gain, ...]:
    """Return what our account must have gained: worth, or, through the helper, no more lost."""
    config = tables.config
    if proposal.bidder is None:
        return ()
    if proposal.through_helper:
        cash = to_wad(proposal.cash_usd)
        return (cash_gain(config.sub_accounts, config.cash, proposal.bidder, -cash),)
    return (worth_gain(manager, proposal.bidder, to_wad(rule.profit_least_usd)),)
