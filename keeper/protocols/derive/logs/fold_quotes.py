"""Events of feeds and perpetuals into tables.

A writer takes the tables, an event and the block's timestamp. An event whose source does not stand
in the table of its kind writes nothing.
"""

from collections.abc import Callable
from typing import Any, Final

from keeper.domain.units import Address
from keeper.market.quotes import advance
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.tables import (
    DIFF,
    FORWARD,
    RATE,
    SPOT,
    STATIC_DIFF,
    STATIC_RATE,
    STATIC_SPOT,
    VOL,
    DeriveTables,
    DiffRow,
    PerpRow,
    RateRow,
    SpotRow,
)


SETTLEMENT_WINDOW_S: Final = 1_800

# ── perpetuals ──


def position_settled(tables: DeriveTables, event: ev.PositionSettled, _: int) -> None:
    """Write an account's profit and the price it was marked to."""
    if holds(tables, event.account, event.source):
        row = tables.row(event.account)
        tables.perp_pnl.set(row, event.pnl)
        tables.perp_mark.set(row, event.price)


def funding_applied(tables: DeriveTables, event: ev.FundingApplied, _: int) -> None:
    """Add an account's funding and write the index it was booked up to."""
    if holds(tables, event.account, event.source):
        row = tables.row(event.account)
        if event.funding:
            tables.perp_funding.set(row, tables.perp_funding.get(row) + event.funding)
        tables.perp_aggregated.set(row, event.aggregated)


def position_cleared(tables: DeriveTables, event: ev.PositionCleared, _: int) -> None:
    """Write that profit and funding went into cash."""
    if holds(tables, event.account, event.source):
        row = tables.row(event.account)
        tables.perp_pnl.set(row, 0)
        tables.perp_funding.set(row, 0)


def holds(tables: DeriveTables, account: int, perp: Address) -> bool:
    """Return whether this is the account's own perpetual: anybody may poke any other."""
    manager = tables.manager_of(account)
    return manager is not None and manager.perp == perp


def perp_changed(tables: DeriveTables, event: Any, _: int) -> None:
    """Write what an event says of a perpetual as a whole."""
    row = tables.perps.get(event.source)
    if row is not None:
        tables.perps.set(event.source, PERP_CHANGES[type(event)](row, event))


# ── feeds ──


def spot_posted(tables: DeriveTables, event: ev.SpotPosted, _: int) -> None:
    """Write a spot, and whether it jumped too far to be believed."""
    feed = event.source
    if not _is(tables, feed, STATIC_SPOT if event.timestamp == 0 else SPOT):
        return
    tables.spots.set(feed, SpotRow(event.price, event.confidence, event.timestamp))
    if event.timestamp:
        rule, seen = tables.config.rule, tables.doubts.get(feed)
        quote = advance(seen, event.price, event.confidence, event.timestamp, rule)
        tables.doubts.set(feed, quote)


def diff_posted(tables: DeriveTables, event: ev.DiffPosted, _: int) -> None:
    """Write a difference to spot."""
    if _is(tables, event.source, STATIC_DIFF if event.timestamp == 0 else DIFF):
        row = DiffRow(event.diff, event.confidence, event.timestamp)
        tables.diffs.set(event.source, row)


def diff_cap_set(tables: DeriveTables, event: ev.DiffCapSet, _: int) -> None:
    """Write the cap on a difference."""
    row = tables.feeds.get(event.source)
    if row is not None and row.kind == DIFF:
        tables.feeds.set(event.source, row._replace(diff_cap=event.cap))


def settlement_heartbeat_set(
    tables: DeriveTables, event: ev.SettlementHeartbeatSet, _: int
) -> None:
    """Write how old a forward may be while its settlement price is made."""
    row = tables.feeds.get(event.source)
    if row is not None and row.kind == FORWARD:
        tables.feeds.set(event.source, row._replace(settlement_heartbeat_s=event.seconds))


def forward_posted(tables: DeriveTables, event: ev.ForwardPosted, _: int) -> None:
    """Write a forward; outside the settlement window its aggregates say nothing."""
    row, key = event.row, (event.source, event.expiry)
    if not _is(tables, event.source, FORWARD):
        return
    old = tables.forwards.get(key)
    if old is not None and row.start_aggregate == 0 and row.current_aggregate == 0:
        row = row._replace(
            start_aggregate=old.start_aggregate, current_aggregate=old.current_aggregate
        )
    tables.forwards.set(key, row)
    if row.timestamp == event.expiry:
        price = (row.current_aggregate - row.start_aggregate) // SETTLEMENT_WINDOW_S
        tables.settled.set(key, price)


def vol_posted(tables: DeriveTables, event: ev.VolPosted, _: int) -> None:
    """Write a smile."""
    if _is(tables, event.source, VOL):
        tables.vols.set((event.source, event.expiry), event.row)


def rate_posted(tables: DeriveTables, event: ev.RatePosted, _: int) -> None:
    """Write an interest rate."""
    if _is(tables, event.source, STATIC_RATE if event.timestamp == 0 else RATE):
        row = RateRow(event.rate, event.confidence, event.timestamp)
        tables.rates.set((event.source, event.expiry), row)


def _is(tables: DeriveTables, source: Address, kind: str) -> bool:
    row = tables.feeds.get(source)
    return row is not None and row.kind == kind


PERP_CHANGES: Final[dict[type, Callable[[PerpRow, Any], PerpRow]]] = {
    ev.FundingAggregated: lambda row, event: row._replace(
        aggregated=event.aggregated, paid_at=event.paid_at
    ),
    ev.RateBoundsSet: lambda row, event: row._replace(rate_max=event.rate, rate_min=-event.rate),
    ev.StaticRateSet: lambda row, event: row._replace(rate_static=event.rate),
    ev.ConvergenceSet: lambda row, event: row._replace(convergence=event.period),
    ev.PerpDisabled: lambda row, event: row._replace(
        disabled=True, frozen_price=event.price, aggregated=event.aggregated
    ),
}

WRITERS: Final[dict[type, Callable[[DeriveTables, Any, int], None]]] = {
    ev.PositionSettled: position_settled,
    ev.FundingApplied: funding_applied,
    ev.PositionCleared: position_cleared,
    **dict.fromkeys(PERP_CHANGES, perp_changed),
    ev.SpotPosted: spot_posted,
    ev.DiffPosted: diff_posted,
    ev.DiffCapSet: diff_cap_set,
    ev.SettlementHeartbeatSet: settlement_heartbeat_set,
    ev.ForwardPosted: forward_posted,
    ev.VolPosted: vol_posted,
    ev.RatePosted: rate_posted,
}
