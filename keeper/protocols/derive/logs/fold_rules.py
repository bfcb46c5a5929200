"""Events that change rules and wiring: parameters, scenarios, feeds, whitelists.

A writer takes the tables, an event and the block's timestamp, and returns notices where there is
something to tell. What a log leaves unsaid (a new feed's heartbeat, a new model's rates) marks the
managers that need it unread: undecided until a new snapshot.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from keeper.domain.effects import Notice
from keeper.domain.units import Address
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.tables import (
    AuctionRulesRow,
    BasisRow,
    DeriveTables,
    ManagerRow,
    MarginRow,
    OtherRow,
    VolShockRow,
)
from keeper.protocols.derive.wiring import NOWHERE


Told = tuple[Notice, ...]

# A role's field in the rows of a manager, a perpetual and a feed.
MANAGER_ROLES: Final = {
    "spot": "spot_feed",
    "stable": "stable_feed",
    "forward": "forward_feed",
    "vol": "vol_feed",
    "rate": "rate_feed",
}
PERP_ROLES: Final = {"spot": "spot_feed", "perp": "perp_feed"}
FEED_ROLES: Final = {"spot": "spot_feed"}


# ── wiring ──


def feed_rewired(tables: DeriveTables, event: ev.FeedRewired, _: int) -> Told:
    """Write that a manager, a perpetual or a feed reads another feed."""
    source, role = event.source, event.role
    for table, roles in (
        (tables.managers, MANAGER_ROLES),
        (tables.perps, PERP_ROLES),
        (tables.feeds, FEED_ROLES),
    ):
        row: Any = table.get(source)
        if row is not None and role in roles:
            table.set(source, row._replace(**{roles[role]: event.feed}))
            return _rewired(tables, source, role, (event.feed,))
    return ()


def impact_feeds_rewired(tables: DeriveTables, event: ev.ImpactFeedsRewired, _: int) -> Told:
    """Write that a perpetual reads other impact prices."""
    row = tables.perps.get(event.source)
    if row is None:
        return ()
    tables.perps.set(event.source, row._replace(ask_feed=event.ask, bid_feed=event.bid))
    return _rewired(tables, event.source, "impact", (event.ask, event.bid))


def collateral_feed_set(tables: DeriveTables, event: ev.CollateralFeedSet, _: int) -> Told:
    """Write where a collateral's price is read; an unread feed concerns its holders only."""
    if event.source not in tables.managers:
        return ()
    tables.collateral_feeds.set((event.source, event.asset), event.feed)
    if event.feed in tables.feeds:
        return ()
    return (_notice(tables, event.source, "collateral", event.feed),)


def rate_model_changed(tables: DeriveTables, event: ev.RateModelChanged, _: int) -> Told:
    """Write that another contract computes the borrow rate, which everybody's cash depends on."""
    row = tables.cash_state.get(event.source)
    if row is None:
        return ()
    tables.cash_state.set(event.source, row._replace(rate_model=event.model))
    if event.model in tables.rate_models:
        return ()
    _mark(tables, [manager for manager, _ in tables.managers.items()])
    return (_notice(tables, event.source, "rate_model", event.model),)


def lib_overridden(tables: DeriveTables, event: ev.LibOverridden, _: int) -> Told:
    """Write an account's own lib; one whose parameters were never read leaves it undecided."""
    row = tables.managers.get(event.source)
    if row is None:
        return ()
    if event.lib in (NOWHERE, row.lib):
        tables.overrides.delete(event.account)
        return ()
    tables.overrides.set(event.account, event.lib)
    if event.lib in tables.margin:
        return ()
    return (_notice(tables, event.source, "lib", event.lib),)


def _rewired(tables: DeriveTables, source: Address, role: str, feeds: Iterable[Address]) -> Told:
    """Mark the managers that read `source`, where one of its new feeds was never read."""
    unread = [feed for feed in feeds if not _read(tables, feed)]
    if unread:
        _mark(tables, readers(tables, source))
    return tuple(_notice(tables, source, role, feed) for feed in unread)


def _read(tables: DeriveTables, feed: Address) -> bool:
    """Return whether a feed, and the spot it is a difference to, were read by a snapshot."""
    row = tables.feeds.get(feed)
    if row is None:
        return False
    return row.spot_feed == NOWHERE or row.spot_feed in tables.feeds


def _mark(tables: DeriveTables, managers: Iterable[Address]) -> None:
    for manager in managers:
        tables.unread.set(manager, (tables.unread.get(manager) or 0) + 1)


def readers(tables: DeriveTables, source: Address) -> list[Address]:
    """Return the managers whose margin reads a contract, itself included, in address order."""
    found = []
    for manager, row in tables.managers.items():
        if source in (manager, row.perp) or source in feeds_of(tables, row):
            found.append(manager)
    return found


def feeds_of(tables: DeriveTables, manager: ManagerRow) -> tuple[Address, ...]:
    """Return the feeds that every account under a manager is margined with; may repeat."""
    perp = tables.perps.get(manager.perp)
    direct = [getattr(manager, field) for field in MANAGER_ROLES.values()]
    if perp is not None:
        direct += [perp.spot_feed, perp.perp_feed, perp.ask_feed, perp.bid_feed]
    below = [row.spot_feed for feed in direct if (row := tables.feeds.get(feed)) is not None]
    return tuple(feed for feed in [*direct, *below] if feed != NOWHERE)


def _notice(tables: DeriveTables, source: Address, role: str, unread: Address) -> Notice:
    fields = (("venue", tables.name), ("source", source), ("role", role), ("unread", unread))
    return Notice("rewired", "warning", fields)


# ── parameters ──


def parameters_set(tables: DeriveTables, event: ev.ParametersSet, _: int) -> None:
    """Write one group of a lib's parameters."""
    row = event.row
    if not is_lib(tables, event.source):
        return
    if isinstance(row, BasisRow):
        tables.basis.set(event.source, row)
    elif isinstance(row, OtherRow):
        tables.other.set(event.source, row)
    elif isinstance(row, MarginRow):
        tables.margin.set(event.source, row)
    elif isinstance(row, VolShockRow):
        tables.vol_shock.set(event.source, row)
    else:
        tables.skew.set(event.source, row)


def collateral_set(tables: DeriveTables, event: ev.CollateralSet, _: int) -> None:
    """Write how a lib treats a collateral; all zeros is what it says of any unknown asset."""
    if not is_lib(tables, event.source):
        return
    if any(event.row):
        tables.collaterals.set((event.source, event.asset), event.row)
    else:
        tables.collaterals.delete((event.source, event.asset))


def is_lib(tables: DeriveTables, source: Address) -> bool:
    """Return whether a contract margins anybody, or did and may again."""
    return source in tables.margin or source in libs(tables)


def libs(tables: DeriveTables) -> tuple[Address, ...]:
    """Return the libs that managers and overrides name; may repeat."""
    own = [row.lib for _, row in tables.managers.items()]
    return (*own, *(lib for _, lib in tables.overrides.items()))


def scenarios_set(tables: DeriveTables, event: ev.ScenariosSet, _: int) -> None:
    """Replace a manager's list of scenarios, the rest of a longer one too."""
    manager = event.source
    if manager not in tables.managers:
        return
    for index, row in enumerate(event.scenarios):
        tables.scenarios.set((manager, index), row)
    index = len(event.scenarios)
    while (manager, index) in tables.scenarios:
        tables.scenarios.delete((manager, index))
        index += 1


def manager_changed(tables: DeriveTables, event: Any, _: int) -> None:
    """Write what an event says of a manager as a whole."""
    row = tables.managers.get(event.source)
    if row is not None:
        tables.managers.set(event.source, MANAGER_CHANGES[type(event)](row, event))


def auction_rules_changed(tables: DeriveTables, event: Any, _: int) -> None:
    """Write what an event says of the auction's rules."""
    row = tables.auction_rules.get(event.source)
    if row is not None:
        tables.auction_rules.set(event.source, RULES_CHANGES[type(event)](row, event))


def manager_whitelisted(tables: DeriveTables, event: ev.ManagerWhitelisted, _: int) -> None:
    """Write whether a manager's accounts may be auctioned."""
    if event.source == tables.config.auction and event.manager in tables.managers:
        tables.whitelist.set(event.manager, event.allowed)


MANAGER_CHANGES: Final[dict[type, Callable[[ManagerRow, Any], ManagerRow]]] = {
    ev.AccountSizeMaxSet: lambda row, event: row._replace(account_size_max=event.most),
    ev.ExpiriesMaxSet: lambda row, event: row._replace(expiries_max=event.most),
    ev.AdjustmentsPausedSet: lambda row, event: row._replace(paused=event.paused),
}

RULES_CHANGES: Final[dict[type, Callable[[AuctionRulesRow, Any], AuctionRulesRow]]] = {
    ev.AuctionRulesSet: lambda row, event: AuctionRulesRow._make((*event.rules, *row[7:])),
    ev.MtmCutoffSet: lambda row, event: row._replace(mtm_cutoff=event.cutoff),
    ev.SecurityAccountSet: lambda row, event: row._replace(security_account=event.account),
}

WRITERS: Final[dict[type, Callable[[DeriveTables, Any, int], Told | None]]] = {
    ev.FeedRewired: feed_rewired,
    ev.ImpactFeedsRewired: impact_feeds_rewired,
    ev.CollateralFeedSet: collateral_feed_set,
    ev.RateModelChanged: rate_model_changed,
    ev.LibOverridden: lib_overridden,
    ev.ParametersSet: parameters_set,
    ev.CollateralSet: collateral_set,
    ev.ScenariosSet: scenarios_set,
    **dict.fromkeys(MANAGER_CHANGES, manager_changed),
    **dict.fromkeys(RULES_CHANGES, auction_rules_changed),
    ev.ManagerWhitelisted: manager_whitelisted,
}
