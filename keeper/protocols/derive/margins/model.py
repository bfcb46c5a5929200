"""Tables into margin's arrays: who holds what under one manager, and what the chain would read.

One book for each manager and lib. What only changes when somebody's set of instruments changes
is kept from block to block; quantities, cash and quotes are read anew. Must not know auctions'
rules, calldata or what is worth doing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keeper.domain.units import Address
from keeper.margin.book import Book, Flags, Floats, Market
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.protocols.derive.margins.accrual import Accrual
from keeper.protocols.derive.margins.markets import enabled_under, market_of, refusing
from keeper.protocols.derive.margins.parameters import method_parameters, unread_parameters
from keeper.protocols.derive.margins.shape import Group, Shape, Shapes
from keeper.protocols.derive.tables import DeriveTables, ManagerRow
from keeper.venue import Ahead, VenueBook


@dataclass(frozen=True, slots=True)
class Scene:
    """One manager at one timestamp: what all its groups share."""

    address: Address
    manager: ManagerRow
    shape: Shape
    market: Market
    settled: Flags  # (instrument,) expired, and its settlement price is known


@dataclass(frozen=True, slots=True)
class Served:
    """A book with what made it, for those who turn rows back into addresses."""

    scene: Scene
    venue_book: VenueBook


@dataclass(frozen=True, slots=True)
class Newer:
    """What signed data of ours would bring: the accrual on them, and the managers they touch."""

    accrual: Accrual
    scenes: Mapping[Address, Scene]


class Model:
    """Every supported account as margin's arrays, at a given timestamp."""

    def __init__(self, tables: DeriveTables) -> None:
        self._tables = tables
        self._shapes = Shapes(tables)
        self._methods: dict[tuple[Address, Address], tuple[tuple[object, ...], Pmrm2 | None]] = {}

    def scenes(self, accrual: Accrual) -> list[Scene]:
        """Return every served manager, in address order."""
        return [
            self.scene(accrual, address, manager)
            for address, manager in self._tables.managers.items()
        ]

    def serve(
        self, accrual: Accrual, scenes: Sequence[Scene], newer: Newer | None = None
    ) -> list[Served]:
        """Return the books of all managers in their order, accounts ascending in each.

        With `newer`, the books of its managers also say what they come to ahead.
        """
        found = []
        for scene in scenes:
            ahead = None if newer is None else newer.scenes.get(scene.address)
            for group in scene.shape.groups:
                book = self._book(accrual, scene, group)
                if newer is not None and ahead is not None:
                    book = replace(book, ahead=self._ahead(newer.accrual, ahead, group, book))
                found.append(Served(scene, book))
        return found

    def _ahead(self, accrual: Accrual, scene: Scene, group: Group, book: VenueBook) -> Ahead:
        """Return the same accounts at quotes ahead: only prices differ, and what they carry."""
        held = book.book
        market = enabled_under(self._tables, scene.market, scene.shape, group.lib)
        size = _perpetuals(group, held.quantity)
        carried = accrual.carried(scene.manager.perp, group.rows, size)
        moved = replace(held, carried=0.0 * size if carried is None else carried)
        return Ahead(moved, refusing(market) if self._refuses(scene, group) else market)

    def _refuses(self, scene: Scene, group: Group) -> bool:
        """Return whether the chain refuses to margin a group, whatever the quotes."""
        # What only a new snapshot can read keeps the manager undecided until there is one.
        unread = bool(self._tables.unread.get(scene.address))
        return group.refused or self._method(scene, group.lib) is None or unread

    def scene(self, accrual: Accrual, address: Address, manager: ManagerRow) -> Scene:
        """Return one manager at the accrual's timestamp and quotes."""
        shape = self._shapes.of(address, manager)
        market = market_of(self._tables, accrual, (address, manager), shape)
        known = [
            (manager.forward_feed, expiry) in self._tables.settled and expiry <= accrual.now
            for expiry in shape.expiries
        ]
        # The last row answers for what has no expiry.
        settled = np.array([*known, False], np.bool_)[shape.listing.expiry]
        return Scene(address, manager, shape, market, settled)

    def _book(self, accrual: Accrual, scene: Scene, group: Group) -> VenueBook:
        tables = self._tables
        quantity = tables.portfolio.positions.quantities(group.places)
        cash = tables.cash.floats(group.rows)
        method = self._method(scene, group.lib)
        market = enabled_under(tables, scene.market, scene.shape, group.lib)
        size = _perpetuals(group, quantity)
        carried = accrual.carried(scene.manager.perp, group.rows, size)
        return VenueBook(
            underlying=scene.manager.underlying,
            accounts=group.accounts,
            # Where the perpetual cannot be read its holders are undefined already.
            book=Book(
                start=group.start,
                instrument=group.instrument,
                quantity=quantity,
                cash=cash,
                carried=0.0 * size if carried is None else carried,
            ),
            market=refusing(market) if self._refuses(scene, group) else market,
            method=method or Pmrm2(unread_parameters(scene.shape.assets)),
            accrued=accrual.interest(group.rows),
            attention=self._attention(scene, group),
        )

    def _method(self, scene: Scene, lib: Address) -> Pmrm2 | None:
        """Return the method of a lib's parameters, None where they were never read."""
        tables = self._tables
        version = (scene.shape.assets, *(table.version for table in tables.lib_tables))
        kept = self._methods.get((scene.address, lib))
        if kept is None or kept[0] != version:
            found = method_parameters(tables, scene.address, lib, scene.shape.assets)
            kept = (version, None if found is None else Pmrm2(found))
            self._methods[scene.address, lib] = kept
        return kept[1]

    def _attention(self, scene: Scene, group: Group) -> Flags:
        """Return who has a live auction, or expired options that can be settled, (account,)."""
        attention = np.zeros(len(group.accounts), np.bool_)
        live = np.array([account for account, _ in self._tables.auctions.items()], np.int64)
        place = np.searchsorted(group.accounts, live)
        inside = place < len(group.accounts)
        place = place[inside]
        attention[place[group.accounts[place] == live[inside]]] = True
        if scene.settled.any():
            rows = np.flatnonzero(scene.settled[group.instrument])
            attention[np.searchsorted(group.start, rows, side="right") - 1] = True
        return attention


def _perpetuals(group: Group, quantity: Floats) -> Floats:
    """Return how many perpetuals each account holds, signed, (account,)."""
    legs, holders = group.perpetuals
    size = np.zeros(len(group.accounts))
    size[holders] = quantity[legs]
    return size
