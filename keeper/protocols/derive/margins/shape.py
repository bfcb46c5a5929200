"""Which accounts and instruments stand under a manager: what changes only when holdings appear.

Groups accounts by the lib that margins them, numbers the held instruments in canonical order, and
finds the accounts whose view the chain refuses whatever the quotes say. Knows no quote, no time.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keeper.domain.units import Address
from keeper.margin.book import Flags, Indices, Ints, Kind, Listing
from keeper.portfolio.instruments import Instrument
from keeper.protocols.derive.tables import DeriveTables, ManagerRow


NONE = -1


class Group(NamedTuple):
    """Accounts margined by one lib, ascending; `refused` where the chain reverts for all of them.

    accounts     (account,) int64, the venue's ids
    rows         (account,) int64, rows of the portfolio
    start        (account + 1,) int64, as `Book.start`
    instrument   (row,) int32, rows of the listing
    places       (row,) int64, where the portfolio keeps the quantities
    perpetuals   rows that hold the perpetual, and whose accounts they are: (2, holder) int64
    """

    lib: Address
    refused: bool
    accounts: Ints
    rows: Ints
    start: Ints
    instrument: Indices
    places: Ints
    perpetuals: Ints


class Members(NamedTuple):
    """A manager's accounts, ascending, (account,): ids, portfolio rows, and indexes of `libs`."""

    accounts: Ints
    rows: Ints
    libs: tuple[Address, ...]  # ascending
    lib: Ints


@dataclass(frozen=True, slots=True)
class Shape:
    """What one manager's accounts hold, as numbers; all (instrument,) in the listing's order.

    instruments  what the listing's rows are
    expiries     unix seconds, ascending: the listing's expiry rows
    base         listing rows of the BASE instruments, in order
    """

    listing: Listing
    instruments: tuple[Instrument, ...]
    expiries: tuple[int, ...]
    base: tuple[int, ...]
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
        self._members: dict[Address, tuple[tuple[int, ...], Members]] = {}

    def of(self, manager: Address, row: ManagerRow) -> Shape:
        """Return the shape of a manager's accounts as they stand."""
        tables = self._tables
        versions = (tables.accounts.version, tables.overrides.version, tables.managers.version)
        key = (tables.portfolio.positions.structure, *versions)
        kept = self._kept.get(manager)
        if kept is None or kept[0] != key:
            members = self._members.get(manager)
            if members is None or members[0] != versions:
                members = (versions, _members(tables, manager, row))
                self._members[manager] = members
            kept = self._kept[manager] = (key, _shape(tables, row, members[1]))
        return kept[1]


def _members(tables: DeriveTables, manager: Address, row: ManagerRow) -> Members:
    ids = tables.members(manager)
    libs = [tables.lib_of(account, row) for account in ids]
    known = tuple(sorted(dict.fromkeys(libs)))
    place = {lib: index for index, lib in enumerate(known)}
    return Members(
        np.array(ids, np.int64),
        np.array([tables.row(account) for account in ids], np.int64),
        known,
        np.array([place[lib] for lib in libs], np.int64),
    )


def _shape(tables: DeriveTables, row: ManagerRow, members: Members) -> Shape:
    start, held, _ = tables.portfolio.positions.places(members.rows)
    instruments = tables.portfolio.instruments
    found = np.flatnonzero(np.bincount(held, minlength=len(instruments)))
    found = found[np.argsort(instruments.rank[found], kind="stable")] if len(found) else found
    listed = tuple(instruments[int(each)] for each in found)
    local = np.full(len(instruments), NONE, np.int32)
    local[found] = np.arange(len(found), dtype=np.int32)
    listing, expiries = _listing(listed)
    crowded = _expiries_held(start, local[held], listing) > row.expiries_max
    perpetual = _perpetual(listing)
    return Shape(
        listing=listing,
        instruments=listed,
        expiries=expiries,
        base=tuple(int(each) for each in np.flatnonzero(listing.kind == Kind.BASE)),
        groups=_groups(tables, members, crowded, local, perpetual),
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
    tables: DeriveTables, members: Members, crowded: Flags, local: Indices, perpetual: int
) -> tuple[Group, ...]:
    """Return the groups in order of lib, those the chain refuses last in each."""
    groups = []
    for index, lib in enumerate(members.libs):
        for refused in (False, True):
            here = np.flatnonzero((members.lib == index) & (crowded == refused))
            if len(here) == 0:
                continue
            rows = members.rows[here]
            start, held, places = tables.portfolio.positions.places(rows)
            instrument = local[held]
            legs = np.flatnonzero((instrument == perpetual) & (perpetual != NONE))
            holders = np.searchsorted(start, legs, side="right") - 1
            perpetuals = np.array([legs, holders], np.int64)
            at = (members.accounts[here], rows, start, instrument, places, perpetuals)
            groups.append(Group(lib, refused, *at))
    return tuple(groups)
