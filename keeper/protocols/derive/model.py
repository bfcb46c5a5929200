"""Tables into margin's arrays: who holds what under one manager, and what the chain would read.

One book for each manager and lib. What only changes when somebody's set of instruments changes
is kept from block to block; quantities, cash and quotes are read anew. Must not know auctions'
rules, calldata or what is worth doing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keeper.domain.units import Address
from keeper.margin.book import Book, Flags, Floats, Indices, Ints, Market
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.protocols.derive.accrual import Accrual
from keeper.protocols.derive.markets import enabled_under, market_of, refusing
from keeper.protocols.derive.parameters import method_parameters, unread_parameters
from keeper.protocols.derive.shape import NONE, Group, Shape, Shapes
from keeper.protocols.derive.tables import DeriveTables, ManagerRow
from keeper.venue import VenueBook


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


class Model:
    """Every supported account as margin's arrays, at a given timestamp."""

    def __init__(self, tables: DeriveTables) -> None:
        self._tables = tables
        self._shapes = Shapes(tables)
        self._methods: dict[tuple[Address, Address], tuple[tuple[object, ...], Pmrm2 | None]] = {}

    def scenes(self, accrual: Accrual) -> list[Scene]:
        """Return every served manager, in address order."""
        return [
            self._scene(accrual, address, manager)
            for address, manager in self._tables.managers.items()
        ]

    def serve(self, accrual: Accrual, scenes: Sequence[Scene]) -> list[Served]:
        """Return the books of all managers in their order, accounts ascending in each."""
        return [
            Served(scene, self._book(accrual, scene, group))
            for scene in scenes
            for group in scene.shape.groups
        ]

    def _scene(self, accrual: Accrual, address: Address, manager: ManagerRow) -> Scene:
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
        start, held, quantity = tables.portfolio.positions.book(group.rows)
        instrument = scene.shape.local[held]
        cash = tables.cash.floats(group.rows)
        method = self._method(scene, group.lib)
        market = enabled_under(tables, scene.market, scene.shape, group.lib)
        # What only a new snapshot can read keeps the manager undecided until there is one.
        unread = bool(tables.unread.get(scene.address))
        refused = group.refused or method is None or unread
        size = _perpetuals(scene.shape, start, instrument, quantity)
        carried = accrual.carried(scene.manager.perp, group.rows, size)
        return VenueBook(
            underlying=scene.manager.underlying,
            accounts=group.accounts,
            # Where the perpetual cannot be read its holders are undefined already.
            book=Book(
                start, instrument, quantity, cash, 0.0 * size if carried is None else carried
            ),
            market=refusing(market) if refused else market,
            method=method or Pmrm2(unread_parameters(scene.shape.assets)),
            accrued=accrual.interest(group.rows),
            attention=self._attention(scene, group, start, instrument),
        )

    def _method(self, scene: Scene, lib: Address) -> Pmrm2 | None:
        """Return the method of a lib's parameters, None where they were never read."""
        tables = self._tables
        version = (
            scene.shape.assets,
            *(
                table.version
                for table in (
                    tables.basis,
                    tables.other,
                    tables.margin,
                    tables.vol_shock,
                    tables.skew,
                    tables.scenarios,
                    tables.collaterals,
                )
            ),
        )
        kept = self._methods.get((scene.address, lib))
        if kept is None or kept[0] != version:
            found = method_parameters(tables, scene.address, lib, scene.shape.assets)
            kept = (version, None if found is None else Pmrm2(found))
            self._methods[scene.address, lib] = kept
        return kept[1]

    def _attention(self, scene: Scene, group: Group, start: Ints, instrument: Indices) -> Flags:
        """Return who has a live auction, or expired options that can be settled, (account,)."""
        live = [account for account, _ in self._tables.auctions.items()]
        attention = np.isin(group.accounts, np.array(live, np.int64))
        rows = np.flatnonzero(scene.settled[instrument])
        attention[np.searchsorted(start, rows, side="right") - 1] = True
        return attention


def _perpetuals(shape: Shape, start: Ints, instrument: Indices, quantity: Floats) -> Floats:
    """Return how many perpetuals each account holds, signed, (account,)."""
    size = np.zeros(len(start) - 1)
    held = np.flatnonzero((instrument == shape.perpetual) & (shape.perpetual != NONE))
    size[np.searchsorted(start, held, side="right") - 1] = quantity[held]
    return size
