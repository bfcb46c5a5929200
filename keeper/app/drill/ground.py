"""The ground a drill stands on: which accounts, whose bidders, and how a breach is made on a copy.

It changes a throwaway node only. It must not know how the keeper serves a breach.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from keeper.app.assembly import Core, Places, assemble, load_snapshot
from keeper.app.state.snapshots import take_snapshot
from keeper.chain.throwaway.node import ThrowawayNode
from keeper.config import Config
from keeper.domain.effects import Call
from keeper.domain.errors import ConfigError, EndpointError
from keeper.domain.units import AccountId, Address, to_wad
from keeper.liquidation.executor import IS_LANE, OWNER, SET_LANE
from keeper.ports import ChainReader
from keeper.protocols.derive.actions.rehearsal import (
    hand_over,
    manager_of,
    owner_of,
    stored_cash,
    trust_helper,
)
from keeper.runtime.clock import SystemClock
from keeper.telemetry.logging import Lines


ACCOUNTS: Final = 3
# How deep a drilled account is put below its line, share of its gross notional.
DEPTH: Final = 0.01


@dataclass(frozen=True, slots=True)
class Chosen:
    """An account to be drilled, as it stands; money in USD."""

    venue: str
    account: AccountId
    underlying: str
    excess_usd: float
    gross_usd: float

    def told(self) -> str:
        """Return it in words."""
        return f"{self.account} ({self.underlying}, excess {self.excess_usd:,.0f} USD)"


async def survey(
    config: Config, reader: ChainReader, folder: Path, accounts: Sequence[AccountId]
) -> list[Chosen]:
    """Margin every account and return those to drill; raises ConfigError for one that cannot be."""
    plain = replace(config, keeper=replace(config.keeper, data_dir=str(folder)))
    core = assemble(plain)
    lines = Lines(SystemClock(), "error")
    try:
        taken = await take_snapshot(plain, reader, Places(folder), lines)
    finally:
        lines.close()
    load_snapshot(core, taken.document)
    healthy = sorted(
        _standing(core, taken.header.timestamp),
        key=lambda each: (each.excess_usd / each.gross_usd, each.account),
    )
    if not accounts:
        chosen = healthy[:ACCOUNTS]
        if not chosen:
            raise ConfigError("--accounts", (), "no account of the venue can be drilled now")
        return chosen
    by_id = {each.account: each for each in healthy}
    missing = [each for each in accounts if each not in by_id]
    if missing:
        cure = "choose accounts that stand, have positions, are not ours and are in no auction"
        raise ConfigError("--accounts", missing, cure)
    return [by_id[each] for each in accounts]


class Ground:
    """A throwaway copy with the accounts that are drilled on it."""

    def __init__(self, config: Config, node: ThrowawayNode, chosen: Sequence[Chosen]) -> None:
        self._config = config
        self._node = node
        self.chosen = tuple(chosen)
        self._venues = {each.name: each for each in config.venues.values()}

    @property
    def executor(self) -> Address | None:
        """Return the first configured executor."""
        found = [each.executor for each in self._venues.values() if each.executor is not None]
        return found[0] if found else None

    async def admit(self, lanes: Sequence[Address]) -> None:
        """Fund the lanes, let the executors take their calls, hand the other bidders over."""
        for lane in lanes:
            await self._node.fund(lane)
        for venue in self._venues.values():
            if venue.executor is not None:
                owner = await self._seen(Call(venue.executor, "0x" + OWNER))
                for lane in lanes:
                    word = f"{int(lane, 16):064x}"
                    await self._node.act(owner, venue.executor, f"0x{SET_LANE}{word}{1:064x}")
                    if not await self._node.view(venue.executor, f"0x{IS_LANE}{word}"):
                        raise EndpointError("drill", "the executor did not take the drill's lane")
            for account in venue.bidders:
                owner = await self._seen(owner_of(venue, account))
                if owner != venue.executor:
                    call = hand_over(venue, owner, lanes[0], account)
                    await self._node.act(owner, call.to, call.data)
            if venue.auction_utils is not None:
                call = trust_helper(venue, venue.auction_utils)
                await self._node.act(lanes[0], call.to, call.data)

    async def can_bid(self) -> set[str]:
        """Return the underlyings that some bidder of ours stands under."""
        found: set[str] = set()
        for venue in self._venues.values():
            for account in venue.bidders:
                manager = await self._seen(manager_of(venue, account))
                if manager in venue.managers:
                    found.add(venue.underlying(manager))
        return found

    async def break_accounts(self) -> list[str]:
        """Put the accounts below their lines, and nobody else; what was done, in words.

        Cash is taken and not a price moved: quotes are known from logs, which storage has none of,
        and a price would take down accounts that nobody chose.
        """
        told = [await self._take_cash(each) for each in self.chosen]
        await self._node.mine()
        return told

    async def _take_cash(self, each: Chosen) -> str:
        view = stored_cash(self._venues[each.venue], each.account)
        taken_usd = each.excess_usd + DEPTH * each.gross_usd
        cash = await self._node.view(view.to, view.data)
        await self._node.rewrite(view.to, view.data, cash - to_wad(taken_usd))
        return f"{taken_usd:,.0f} USD taken from {each.account}"

    async def _seen(self, view: Call) -> Address:
        """Return the address that a view shows."""
        return f"0x{await self._node.view(view.to, view.data) % 2**160:040x}"


def _standing(core: Core, timestamp: int) -> Iterator[Chosen]:
    """Yield every account that stands and could be drilled."""
    for venue in core.venues:
        venue.accrue(timestamp)
        owned = frozenset(venue.owned())
        for book in venue.books():
            result = book.method.require(book.book, book.market).with_cash(book.accrued)
            for row, account in enumerate(book.accounts.tolist()):
                excess, gross = float(result.excess[row]), float(result.gross[row])
                held = book.book.start[row + 1] > book.book.start[row]
                busy = venue.tables.auctions.get(account) is not None or account in owned
                if result.defined[row] and held and not busy and excess >= 0.0:
                    yield Chosen(venue.name, account, book.underlying, excess, gross)
