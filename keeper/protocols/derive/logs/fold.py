"""Events into tables, in log order, exactly: integers as the contracts store them.

Each event goes to the one writer of its kind. The same event means nothing, or another thing,
from another contract, so writers look its source up in the table of its kind. Every write goes
through the undo log; what folding found worth telling waits here until it is drained.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from keeper.domain.effects import Notice
from keeper.domain.events import BlockSealed
from keeper.domain.units import Address
from keeper.protocols.derive.logs import fold_accounts, fold_quotes, fold_rules
from keeper.protocols.derive.logs.authority import CHANGES, AuthorityChanged, described, versions
from keeper.protocols.derive.logs.fold_rules import feeds_of, libs
from keeper.protocols.derive.record import load
from keeper.protocols.derive.tables import DeriveTables
from keeper.protocols.derive.wiring import NOWHERE


Writer = Callable[[DeriveTables, Any, int], tuple[Notice, ...] | None]

WRITERS: Final[dict[type, Writer]] = {
    **fold_accounts.WRITERS,
    **fold_quotes.WRITERS,
    **fold_rules.WRITERS,
    AuthorityChanged: lambda _tables, _event, _timestamp: None,  # it moves no state of ours
}


class Fold:
    """Writes one deployment's events; keeps nothing but notices that were not yet told."""

    def __init__(self, tables: DeriveTables) -> None:
        self.tables = tables
        self._notices: list[Notice] = []
        self._moved: list[str] = []

    def load(self, snapshot: Mapping[str, Any]) -> None:
        """Write a snapshot's rows to empty tables; tell of managers that are not served.

        Raises MalformedRecord. The undo log must stand at the snapshot's block.
        """
        load(self.tables, snapshot)
        for manager, accounts in self.tables.unsupported.items():
            fields = (("venue", self.tables.name), ("manager", manager), ("accounts", accounts))
            self._notices.append(Notice("manager_unsupported", "warning", fields))

    def fold(self, event: object, block: BlockSealed) -> None:
        """Write one event of a block; a stranger's event writes nothing."""
        kind = type(event)
        if kind in CHANGES:
            self.write(event, block.timestamp)
            return
        # What comes by the thousand a block, the short way.
        told = WRITERS[kind](self.tables, event, block.timestamp)
        if told:
            self._notices.extend(told)

    def write(self, event: object, timestamp: int) -> None:
        """Write one event of a block with this timestamp; note what it changed of the rules."""
        change = described(self.tables, event) if type(event) in CHANGES else None
        before = () if change is None else versions(self.tables)
        told = WRITERS[type(event)](self.tables, event, timestamp)
        if told:
            self._notices.extend(told)
        if change is None:
            return
        # A parameter that a contract nobody reads was given changes nothing of ours.
        if isinstance(event, AuthorityChanged) or versions(self.tables) != before:
            self._moved.append(change)

    def drain(self) -> tuple[Notice, ...]:
        """Return and forget what folding found worth telling."""
        told, self._notices = tuple(self._notices), []
        return told

    def moved(self) -> tuple[str, ...]:
        """Return and forget which rules were changed since last asked."""
        moved, self._moved = tuple(self._moved), []
        return moved


def watch_addresses(tables: DeriveTables) -> tuple[Address, ...]:
    """Return every address whose logs move state of ours, ascending, none twice.

    A feed or a lib that was read once is watched for good, also while nobody reads it: it may be
    taken back, and then its last values must be the chain's.
    """
    config = tables.config
    found = [config.sub_accounts, config.cash, config.auction, *config.managers, *libs(tables)]
    found += [] if config.timelock is None else [config.timelock]
    found += [lib for lib, _ in tables.margin.items()]
    managers = [row for _, row in tables.managers.items()]
    for manager in managers:
        found += [manager.perp, *feeds_of(tables, manager)]
    found += [feed for _, feed in tables.collateral_feeds.items()]
    feeds = list(tables.feeds.items())
    for feed, row in feeds:
        found += [feed, row.spot_feed]
    return tuple(sorted(dict.fromkeys(address for address in found if address != NOWHERE)))
