"""What no log tells of a venue's rules: code, proxies' slots, owners, heartbeats, looked at anew.

The first look is at the snapshot's block: what changes from there on is told as `RulesObserved`.
What nobody answers is not known, and is compared again at the next look. Must not know what a
change leads to.
"""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from keeper.chain.link.fanout import in_order
from keeper.domain.errors import ChainMismatch, EndpointError, KeeperError
from keeper.domain.events import RulesObserved
from keeper.domain.units import Address, Hash
from keeper.ports import CallFailed, RulesReader
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.logs.authority import role
from keeper.protocols.derive.views.authority_standing import (
    SLOTS,
    heartbeat_asks,
    heartbeat_changes,
    standing,
    standing_asks,
)
from keeper.protocols.derive.views.survey import Answer, Ask


CONTRACTS_AT_ONCE = 4
DIGITS_TOLD = 18
EMPTY_SLOT = "0x" + 64 * "0"

Report = Callable[[str, KeeperError], None]


class Look(NamedTuple):
    """What a look found: changes to post, and why only a new snapshot would do, if so."""

    changes: list[RulesObserved]
    unread: str


class RulesWatch:
    """What stood at each contract when it was last looked at."""

    def __init__(self, reader: RulesReader, extra: Sequence[Address], report: Report) -> None:
        self._reader = reader
        self._extra = extra
        self._report = report
        self._known: dict[tuple[str, Address, str], str] = {}

    async def look(self, venue: Derive, block: Hash) -> Look:
        """Look at every contract of a venue at a block, a few at a time."""
        contracts = tuple(dict.fromkeys((*venue.watch(), *self._extra)))
        changes: list[RulesObserved] = []
        try:
            works = [partial(self._standing, contract, block) for contract in contracts]
            standings = await in_order(works, CONTRACTS_AT_ONCE)
        except EndpointError as error:
            self._report("rules", error)
            return Look([], "")
        for contract, found in zip(contracts, standings, strict=True):
            changes += self._compare(venue, contract, found)
        beats = await self._heartbeats(venue, block)
        return Look([*changes, *beats], beats[0].change if beats else "")

    async def _standing(self, contract: Address, block: Hash) -> dict[str, str]:
        found = {"code": await self._code(contract, block)}
        for word, slot in SLOTS.items():
            value = await self._reader.storage(contract, slot, block)
            found[word] = value
            if value != EMPTY_SLOT:
                found[f"{word} code"] = await self._code(f"0x{value[-40:]}", block)
        found |= standing(await self._ask(standing_asks(contract), block))
        return found

    async def _code(self, contract: Address, block: Hash) -> str:
        return "0x" + sha256((await self._reader.code(contract, block)).encode()).hexdigest()

    def _compare(
        self, venue: Derive, contract: Address, found: dict[str, str]
    ) -> list[RulesObserved]:
        changes = []
        for word, value in found.items():
            before = self._known.setdefault((venue.name, contract, word), value)
            if before != value:
                self._known[venue.name, contract, word] = value
                subject = f"{role(venue.tables, contract)} {contract}"
                change = f"{word} {_short(before)} -> {_short(value)}"
                changes.append(RulesObserved(venue.name, subject, change))
        return changes

    async def _heartbeats(self, venue: Derive, block: Hash) -> list[RulesObserved]:
        """Return feeds that now grow old at another age than the one we hold."""
        asks = heartbeat_asks(venue.tables)
        try:
            answers = await self._ask(asks, block)
            apart = heartbeat_changes(venue.tables, answers)
        except (EndpointError, ChainMismatch) as error:
            self._report("rules", error)
            return []
        return [RulesObserved(venue.name, f"feed {feed}", change) for feed, change in apart]

    async def _ask(self, asks: Sequence[Ask], block: Hash) -> list[Answer]:
        results = await self._reader.call_many(asks, block)
        return [
            None if isinstance(each, CallFailed) else bytes.fromhex(each.removeprefix("0x"))
            for each in results
        ]


def _short(value: str) -> str:
    return value if len(value) <= 42 else f"{value[:DIGITS_TOLD]}…"
