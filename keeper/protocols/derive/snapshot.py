"""The whole state of a deployment at one block hash, read from a node into a snapshot's rows.

The only file of the protocol that awaits anything. What to ask is `survey`'s business; here are
batches, log scans and progress. Pushed quotes have no view that gives their
timestamps, so their last updates are taken from logs, scanned back one heartbeat.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from keeper.domain.errors import EndpointError, RpcError
from keeper.domain.events import Log
from keeper.domain.units import AccountId, Address
from keeper.portfolio.state import Portfolio
from keeper.ports import CallFailed, ChainReader, Clock, Header
from keeper.protocols.derive.abi import TOPIC, call
from keeper.protocols.derive.logs.decode import decode
from keeper.protocols.derive.logs.events import CollateralFeedSet, CollateralSet
from keeper.protocols.derive.logs.fold import Fold
from keeper.protocols.derive.logs.fold_rules import libs
from keeper.protocols.derive.record import dump
from keeper.protocols.derive.tables import FORWARD, RATE, SPOT, VOL, DeriveTables
from keeper.protocols.derive.views.agreement import Standing, disagreements, standing
from keeper.protocols.derive.views.bundle import NOBODY, bundle, unbundle
from keeper.protocols.derive.views.survey import Ask, Survey, contracts, lib_rows, read
from keeper.protocols.derive.views.survey_accounts import accounts, collaterals
from keeper.protocols.derive.views.survey_feeds import feeds, settled
from keeper.protocols.derive.wiring import DeriveConfig


# (share done 0..1, seconds left or None while that cannot be said)
Progress = Callable[[float, float | None], None]

IN_FLIGHT_MAX = 4
BUNDLE_CALLS_MAX = 256  # 15 kB of init code, of 48 kB (EIP-3860); a few million gas
CALLS_AN_ACCOUNT = 3  # in the widest question about accounts
SCAN_FIRST_BLOCKS = 64
QUOTES = {
    SPOT: TOPIC["SpotPriceUpdated"],
    FORWARD: TOPIC["ForwardDataUpdated"],
    VOL: TOPIC["VolDataUpdated"],
    RATE: TOPIC["RateUpdated"],
}


async def take(
    reader: ChainReader,
    config: DeriveConfig,
    block: Header,
    clock: Clock,
    progress: Progress = lambda _done, _left_s: None,
) -> dict[str, Any]:
    """Return the state at a block as a snapshot; see `record` for its form.

    Raises EndpointError, also when the block left the chain meanwhile, and ChainMismatch for a
    contract that does not answer as this venue's do, UndecodableLog for a log that does not fit.
    """
    portfolio = Portfolio()
    portfolio.undo.begin(block.number, block.hash)
    tables = DeriveTables(portfolio, config)
    taking = _Taking(reader, tables, block)
    await taking.answer(contracts(tables))
    await taking.accounts(clock, progress)
    overridden = sorted({lib for lib in libs(tables) if lib not in tables.margin})
    for lib in overridden:
        await taking.answer(lib_rows(tables, lib))
    await taking.answer(collaterals(tables, await taking.collaterals()))
    await taking.answer(feeds(tables))
    await taking.quotes()
    await taking.answer(settled(tables, block.timestamp))
    if (await reader.header(block.number)).hash != block.hash:
        raise EndpointError("snapshot", f"block {block.number} left the chain while it was read")
    progress(1.0, 0.0)
    return dump(tables, block.number, block.hash, block.timestamp)


async def compare(
    reader: ChainReader, config: DeriveConfig, block: Header, ours: Standing
) -> list[str]:
    """Return in what the chain differs at a block from what we hold of some accounts there.

    Raises EndpointError, also when the block left the chain, and ChainMismatch.
    """
    portfolio = Portfolio()
    portfolio.undo.begin(block.number, block.hash)
    tables = DeriveTables(portfolio, config)
    for manager, row in ours.managers:
        tables.managers.set(manager, row)
    taking = _Taking(reader, tables, block)
    total = await taking.last_account()
    known = [account for account in ours.accounts if account <= total]
    await taking.answer(accounts(tables, known, await taking.managers_with_libs()))
    return disagreements(ours, total, standing(tables, ours.accounts).accounts)


class _Taking:
    """One snapshot being taken."""

    def __init__(self, reader: ChainReader, tables: DeriveTables, block: Header) -> None:
        self.reader = reader
        self.tables = tables
        self.block = block
        self.config = tables.config
        self.bundling = True

    async def answer(self, survey: Survey) -> None:
        """Ask what a survey wants to know until it wants no more."""
        try:
            asks = next(survey)
            while True:
                asks = survey.send(await self._ask(asks))
        except StopIteration:
            return

    async def _ask(self, asks: list[Ask]) -> list[bytes | None]:
        answers: list[bytes | None] = []
        for first in range(0, len(asks), self.config.snapshot_batch_calls):
            batch = asks[first : first + self.config.snapshot_batch_calls]
            answers += await self._bundled(batch)
            # What failed among many may have lacked gas: only by itself does it prove a revert.
            again = [at for at in range(first, first + len(batch)) if answers[at] is None]
            alone = [asks[at] for at in again]
            results = await self.reader.call_many(alone, self.block.hash)
            for at, (where, _), result in zip(again, alone, results, strict=True):
                answers[at] = None if isinstance(result, CallFailed) else _bytes(where, result)
        return answers

    async def _bundled(self, asks: list[Ask]) -> list[bytes | None]:
        """Ask many views in each call; None for what must be asked again by itself.

        A node that will not run bundles is asked no more of them: it takes longer, that is all.
        """
        parts = [asks[at : at + BUNDLE_CALLS_MAX] for at in range(0, len(asks), BUNDLE_CALLS_MAX)]
        results: Sequence[str | CallFailed] = [""] * len(parts)
        if self.bundling:
            calls = [(NOBODY, bundle(part)) for part in parts]
            with contextlib.suppress(RpcError):
                results = await self.reader.call_many(calls, self.block.hash)
        answers: list[bytes | None] = []
        for part, result in zip(parts, results, strict=True):
            told = unbundle(result.data, len(part)) if isinstance(result, CallFailed) else None
            self.bundling = self.bundling and told is not None
            answers += told or [None] * len(part)
        return answers

    async def accounts(self, clock: Clock, progress: Progress) -> None:
        """Read every account, a few batches in flight."""
        last = await self.last_account()
        with_libs = await self.managers_with_libs()
        size = max(1, self.config.snapshot_batch_calls // CALLS_AN_ACCOUNT)
        started, done = clock.monotonic_ns(), 0
        gate = asyncio.Semaphore(IN_FLIGHT_MAX)

        async def batch(first: int) -> None:
            nonlocal done
            ids = range(first, min(first + size, last + 1))
            async with gate:
                await self.answer(accounts(self.tables, ids, with_libs))
            done += len(ids)
            spent_s = (clock.monotonic_ns() - started) / 1e9
            progress(done / (last + 1), spent_s * (last - done) / done)

        try:
            async with asyncio.TaskGroup() as group:
                for first in range(1, last + 1, size):
                    group.create_task(batch(first))
        except ExceptionGroup as failed:
            # The first failure ended the others; alone it says who must act.
            raise failed.exceptions[0] from failed

    async def last_account(self) -> AccountId:
        """Return the newest account's number, which is how many there are."""
        hub = self.config.sub_accounts
        (answer,) = await self._ask([(hub, call("lastAccountId"))])
        return int(read(hub, "lastAccountId", answer, "u")[0])

    async def managers_with_libs(self) -> frozenset[Address]:
        """Return the managers that know overrides (PMRM_2_1): the others have no such view."""
        managers = self.config.managers
        answers = await self._ask([(manager, call("getAccountLib", 0)) for manager in managers])
        known = zip(managers, answers, strict=True)
        return frozenset(manager for manager, answer in known if answer)

    async def collaterals(self) -> list[tuple[Address, Address]]:
        """Return (manager, asset) of every collateral held or ever announced.

        One that nobody holds yet must be known too: its first deposit does not tell its rules.
        """
        tables = self.tables
        managers = dict(tables.managers.items())
        known = {
            (manager, tables.portfolio.instruments[row].address)
            for account, manager in tables.accounts.items()
            for row, _ in tables.portfolio.positions.held(tables.row(account))
        }
        speakers = sorted({*managers, *(row.lib for row in managers.values())})
        topics = [TOPIC["CollateralParametersUpdated"], TOPIC["CollateralSpotFeedUpdated"]]
        first, last = self.config.start_block, self.block.number
        for log in await self._logs(speakers, topics, first, last):
            event = decode(log)
            assert isinstance(event, CollateralFeedSet | CollateralSet)
            heard = [each for each, row in managers.items() if log.address in (each, row.lib)]
            known |= {(manager, event.asset) for manager in heard}
        own = {(each, asset) for each, row in managers.items() for asset in (row.option, row.perp)}
        return sorted(known - own)

    async def quotes(self) -> None:
        """Fold the last updates of pushed feeds, scanned back as far as each may still be read."""
        wanted = {feed: row for feed, row in self.tables.feeds.items() if row.kind in QUOTES}
        found: list[list[Log]] = []
        last, width = self.block.number, SCAN_FIRST_BLOCKS
        while wanted and last >= self.config.start_block:
            first = max(self.config.start_block, last - width + 1)
            topics = sorted({QUOTES[row.kind] for row in wanted.values()})
            logs = await self._logs(sorted(wanted), topics, first, last)
            found.append(logs)
            age_s = self.block.timestamp - (await self.reader.header(first)).timestamp
            seen = {log.address for log in logs}
            wanted = {
                feed: row
                for feed, row in wanted.items()
                if age_s <= row.heartbeat_s and not (row.kind == SPOT and feed in seen)
            }
            last, width = first - 1, min(2 * width, self.config.snapshot_range_blocks)
        fold = Fold(self.tables)
        for logs in reversed(found):
            for log in logs:
                event = decode(log)
                if event is not None:
                    fold.write(event, self.block.timestamp)

    async def _logs(
        self, addresses: Sequence[Address], topics: Sequence[str], first: int, last: int
    ) -> list[Log]:
        return [log for _, _, log in await self.reader.logs(addresses, topics, first, last)]


def _bytes(where: Address, answer: str) -> bytes:
    try:
        return bytes.fromhex(answer.removeprefix("0x"))
    except ValueError as error:
        raise EndpointError("snapshot", f"a call of {where} answered {answer[:80]!r}") from error
