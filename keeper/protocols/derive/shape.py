"""Which accounts and instruments stand under a manager: what changes only when holdings appear.

Groups accounts by the lib that margins them, numbers the held instruments in canonical order, and
finds the accounts whose view the chain refuses whatever the quotes say. Knows no quote, no time.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keeper.domain.units import AccountId, Address
from keeper.margin.book import Flags, Indices, Ints, Kind, Listing
from keeper.portfolio.instruments import Instrument
from keeper.protocols.derive.tables import DeriveTables, ManagerRow


NONE = -1


class Group(NamedTuple):
    """Accounts margined by one lib, ascending; `refused` where the chain reverts for all of them.

    accounts  (account,) int64, the venue's ids
    rows      (account,) int64, rows of the portfolio
    """

    lib: Address
    refused: bool
    accounts: Ints
    rows: Ints


@dataclass(frozen=True, slots=True)
class Shape:
    """What one manager's accounts hold, as numbers; all (instrument,) in the listing's order.

    instruments  what the listing's rows are
    local        (portfolio instrument,) int32, row of the listing, -1 where it is not in it
    expiries     unix seconds, ascending: the listing's expiry rows
    base         listing rows of the BASE instruments, in order
    perpetual    listing row of the perpetual, -1 where nobody holds it
    """

    listing: Listing
    instruments: tuple[Instrument, ...]
    local: Indices
    expiries: tuple[int, ...]
    base: tuple[int, ...]
    perpetual: int
    groups: tuple[Group, ...]

    @property
    def assets(self) -> tuple[Address, ...]:
        """Return the addresses of the BASE instruments, in the listing's order."""
        return tuple(self.instruments[row].address for row in self.base)


class Shapes:
    """Shapes by manager, made again only when one of the things they stand on has moved."""

    def __init__(self, tables: DeriveTables) -> None:
        self._tables = tables
        self._kept: dict[Address, tuple[tuple[int, ...], Shape]] = {}

    def of(self, manager: Address, row: ManagerRow) -> Shape:
        """Return the shape of a manager's accounts as they stand."""
        tables = self._tables
        key = (
            tables.portfolio.positions.structure,
            tables.accounts.version,
            tables.overrides.version,
            tables.managers.version,
        )
        kept = self._kept.get(manager)
        if kept is None or kept[0] != key:
            kept = self._kept[manager] = (key, _shape(tables, manager, row))
        return kept[1]


def _shape(tables: DeriveTables, manager: Address, row: ManagerRow) -> Shape:
    ids = tables.members(manager)
    rows = np.array([tables.row(account) for account in ids], np.int64)
    start, held, _ = tables.portfolio.positions.book(rows)
    instruments = tables.portfolio.instruments
    found = np.unique(held)
    found = found[np.argsort(instruments.rank[found], kind="stable")] if len(found) else found
    listed = tuple(instruments[int(each)] for each in found)
    local = np.full(len(instruments), NONE, np.int32)
    local[found] = np.arange(len(found), dtype=np.int32)
    listing, expiries = _listing(listed)
    crowded = _expiries_held(start, local[held], listing) > row.expiries_max
    return Shape(
        listing=listing,
        instruments=listed,
        local=local,
        expiries=expiries,
        base=tuple(int(each) for each in np.flatnonzero(listing.kind == Kind.BASE)),
        perpetual=_perpetual(listing),
        groups=_groups(tables, row, ids, rows, crowded),
    )


def _listing(listed: tuple[Instrument, ...]) -> tuple[Listing, tuple[int, ...]]:
    expiries = tuple(sorted({each.expiry for each in listed if each.expiry}))
    place = {expiry: index for index, expiry in enumerate(expiries)}
    listing = Listing(
        kind=np.array([each.kind for each in listed], np.int8),
        underlying=np.zeros(len(listed), np.int32),
        expiry=np.array([place.get(each.expiry, NONE) for each in listed], np.int32),
        strike=np.array([each.strike_wad / 10**18 for each in listed], np.float64),
    )
    return listing, expiries


def _perpetual(listing: Listing) -> int:
    rows = np.flatnonzero(listing.kind == Kind.PERPETUAL)
    return int(rows[0]) if len(rows) else NONE


def _expiries_held(start: Ints, instrument: Indices, listing: Listing) -> Ints:
    """Return how many different expiries each account holds, (account,).

    An account's rows are in canonical order, so each expiry's options stand together.
    """
    account = np.repeat(np.arange(len(start) - 1), np.diff(start))
    expiry = listing.expiry[instrument]
    option = expiry >= 0
    account, expiry = account[option], expiry[option]
    first = np.ones(len(account), np.bool_)
    first[1:] = (account[1:] != account[:-1]) | (expiry[1:] != expiry[:-1])
    return np.bincount(account[first], minlength=len(start) - 1)


def _groups(
    tables: DeriveTables,
    manager: ManagerRow,
    ids: tuple[AccountId, ...],
    rows: Ints,
    crowded: Flags,
) -> tuple[Group, ...]:
    """Return the groups in order of lib, those the chain refuses last in each."""
    members: dict[tuple[Address, bool], list[int]] = {}
    for index, account in enumerate(ids):
        key = (tables.lib_of(account, manager), bool(crowded[index]))
        members.setdefault(key, []).append(index)
    accounts = np.array(ids, np.int64)
    return tuple(
        Group(lib, refused, accounts[here], rows[here])
        for (lib, refused), here in sorted(members.items())
    )
