"""Which signed data an action on an account must bring, and the action as a batch that does.

The chain's margin reads every feed behind an account's book; where ours were decided on data that
no feed holds yet, the same data go into the same transaction. Must not know what was decided.
"""

from collections.abc import Iterator
from dataclasses import replace

from keeper.domain.effects import Call
from keeper.domain.errors import InvariantViolation
from keeper.domain.units import AccountId, Address
from keeper.liquidation.executor import Guard, Step, execute, join
from keeper.liquidation.strategy import Opportunity, Proposal
from keeper.protocols.derive.actions.calls import ACCEPT_DATA, SUBMIT_DATA
from keeper.protocols.derive.actions.executing import decided_on
from keeper.protocols.derive.guarded import GuardRule, guarded_gas, market_conditions, step_of
from keeper.protocols.derive.margins.readings import Readings
from keeper.protocols.derive.signed.ahead import Bundle, Key
from keeper.protocols.derive.tables import DeriveTables, ManagerRow
from keeper.venue import Encoded


def feeds_behind(
    tables: DeriveTables, address: Address, manager: ManagerRow
) -> tuple[Address, ...]:
    """Return every feed that a manager's margin may read, those that others stand on first."""
    perp = tables.perps.get(manager.perp)
    funding = () if perp is None else (perp.spot_feed, perp.perp_feed, perp.ask_feed, perp.bid_feed)
    collateral = [feed for (owner, _), feed in tables.collateral_feeds.items() if owner == address]
    dated = (manager.forward_feed, manager.rate_feed, manager.vol_feed)
    return tuple(
        dict.fromkeys((manager.spot_feed, manager.stable_feed, *funding, *collateral, *dated))
    )


def wanted(tables: DeriveTables, account: AccountId) -> Iterator[Key]:
    """Return what an account's margin reads, by (feed, expiry), the feeds others stand on first."""
    address = tables.accounts[account]
    manager = tables.managers[address]
    held = [
        tables.portfolio.instruments[row]
        for row, _ in tables.portfolio.positions.held(tables.row(account))
    ]
    dated = (manager.forward_feed, manager.rate_feed, manager.vol_feed)
    expiries = sorted({each.expiry for each in held if each.expiry})
    for feed in feeds_behind(tables, address, manager):
        if feed not in dated:
            yield feed, 0
        else:
            yield from ((feed, expiry) for expiry in expiries)


def bringing(
    tables: DeriveTables,
    readings: Readings,
    rule: GuardRule,
    encoded: Encoded,
    opportunity: Opportunity,
    proposal: Proposal,
    bundle: Bundle,
) -> Encoded:
    """Return an action as the executor's batch: the data first, then the action, or nothing.

    What the action was decided under is looked at after the data are in, not before: a feed that
    is too old to be read is why they are brought. `readings` are those the decision stands on.
    """
    executor = tables.config.executor
    if executor is None or not bundle.items:
        raise InvariantViolation("signed data without an executor to bring them, or without data")
    manager = tables.accounts[opportunity.account]
    # The perpetual's feed stands for the age of them all: here the data are as old as they say.
    decided = replace(
        decided_on(tables, readings, manager, tables.managers[manager]), diff_feed=None
    )
    acting = step_of(encoded.call, opportunity, proposal, decided, rule)
    conditions = (*market_conditions(decided, rule), *acting.conditions)
    steps = [*_data_steps(tables.config.data_submitter, bundle), Step(acting.call, conditions)]
    guard = Guard(decided.number + rule.blocks_max, decided.timestamp_s + rule.seconds_max)
    gas = guarded_gas(encoded.gas + bundle.gas, opportunity.positions)
    return Encoded(execute(executor, steps, guard), gas, None)


def submitting(submitter: Address, bundle: Bundle) -> Call:
    """Return the call that posts all the data through the venue's submitter."""
    return Call(submitter, "0x" + SUBMIT_DATA + join((bundle.batch(),)).hex())


def _data_steps(submitter: Address | None, bundle: Bundle) -> list[Step]:
    """Return the steps that post the data: one through the submitter, else one a feed."""
    if submitter is not None:
        return [Step(submitting(submitter, bundle))]
    return [
        Step(Call(feed, "0x" + ACCEPT_DATA + join((data,)).hex())) for feed, data in bundle.items
    ]
