"""`state.*` rows of the benchmark: warm restart, reorg, cold start.

Each function builds its own world and returns figures. The state is Derive's own tables with the
book every margin figure is measured on; logs are the venue's, through the machine's own fold; the
cold start reads a real node.

    python -m tests.performance.state_bench
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.venue.deployment import keeper_config
from deploy.devnet.venue.driver import Driver
from deploy.devnet.venue.scene import GENESIS_S, Scene
from deploy.devnet.venue.seeding import seed_account
from keeper.app.assembly import Places
from keeper.app.links import settle_memory
from keeper.app.state.files import put, read_state
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.domain.events import BlockSealed, ChainRewound, Entry, Event, Log
from keeper.liquidation.limits import LimitParameters
from keeper.machine import Machine, MachineParameters
from keeper.margin.book import Kind, Listing
from keeper.portfolio.exact import Parts
from keeper.portfolio.image import Label, cut, encode, fill
from keeper.portfolio.positions import Held
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.record import load
from keeper.protocols.derive.snapshot import take
from keeper.protocols.derive.tables import DeriveTables
from keeper.protocols.derive.wiring import DeriveConfig
from keeper.runtime.clock import SystemClock
from strategies.flag_only import FlagOnly
from tests.performance.market_book import DAYS, measured
from tests.performance.table import GOALS, Figure, judged
from tests.unit.protocols.derive.deployment import (
    CASH,
    COIN,
    MANAGER,
    NOW,
    OPTION,
    PERP,
    SUB_ACCOUNTS,
    WAD,
    Deployment,
    at,
    config,
    option_id,
)
from tests.unit.protocols.derive.logs import log_of


ACCOUNTS = 100_000  # with ten positions each on average
LOGS = 1_000
DEPTH = 8
BLOCKS_SINCE = 32  # folded after a warm restart, of so many logs each
ROUNDS = 5
COLD_ACCOUNTS = 3_000
ROOT = "0x" + "11" * 32  # the block a deployment stands at, number 1
DOLLAR = at(29)  # a collateral besides the coin


def crowded(accounts: int) -> Deployment:
    """Return a deployment of so many accounts with the measured book's positions and cash."""
    deployment = Deployment()
    tables, portfolio = deployment.tables, deployment.portfolio
    for days in DAYS:
        deployment.expiry(NOW + days * 86_400, NOW)
    sample = measured(accounts)
    listing, book = sample.market.listing, sample.book
    listed = [_listed(tables, listing, row) for row in range(len(listing.kind))]
    for account in range(1, accounts + 1):
        tables.accounts.set(account, MANAGER)
        tables.owners.set(account, at(10_000 + account))
        row = tables.row(account)
        tables.cash.set(row, int(book.cash[row] * 10**6) * 10**12)
        tables.cash_index.set(row, WAD)
    instrument = np.array(listed, np.int32)[book.instrument]
    owner = np.repeat(np.arange(accounts), np.diff(book.start))
    order = np.lexsort((portfolio.instruments.rank[instrument], owner))
    whole = np.trunc(book.quantity[order] * 100).astype(np.int64) * 10**16
    hi, lo = np.divmod(whole, WAD)
    portfolio.positions.fill(Held(book.start, instrument[order], Parts(hi, lo, whole / WAD)))
    return deployment


def _listed(tables: DeriveTables, listing: Listing, row: int) -> int:
    kind = Kind(listing.kind[row])
    if kind == Kind.PERPETUAL:
        return tables.instrument(MANAGER, PERP, 0)
    if kind == Kind.BASE:
        last = row == len(listing.kind) - 1
        return tables.instrument(MANAGER, DOLLAR if last else COIN, 0)
    expiry = NOW + DAYS[listing.expiry[row]] * 86_400
    name = option_id(expiry, float(listing.strike[row]), kind == Kind.CALL)
    return tables.instrument(MANAGER, OPTION, name)


class Blocks:
    """Blocks of trades between a deployment's accounts, as the venue would log them."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self._tables = deployment.tables
        self._chance = random.Random(seed)
        self._branch = seed

    def chain(self, count: int) -> list[BlockSealed]:
        """Return so many blocks of `LOGS` logs on the deployment's block."""
        made: list[BlockSealed] = []
        for number in range(2, 2 + count):
            parent = made[-1].hash if made else ROOT
            block = f"0x{self._branch:02x}{number:062x}"
            logs = tuple(self._logs())
            made.append(BlockSealed(1, number, block, parent, NOW + number, 0, 0, False, 0, logs))
        return made

    def _logs(self) -> Iterator[Log]:
        index = 0
        while index < LOGS:
            for log in self._trade():
                if index < LOGS:
                    yield Log(log.address, log.topics, log.data, index, log.transaction)
                index += 1

    def _trade(self) -> list[Log]:
        """Return one account's part of a trade: perpetual settled, interest paid, both legs."""
        chance, tables = self._chance, self._tables
        account = chance.randrange(1, len(tables.accounts) + 1)
        held = tables.portfolio.positions.held(tables.row(account))
        row, quantity = chance.choice(held)
        instrument = tables.portfolio.instruments[row]
        index = WAD + chance.randrange(10**9)
        paid, owed = chance.randrange(10**16), chance.randrange(-(10**22), 10**23)
        return [
            log_of(
                "PositionSettled", account, 5, chance.randrange(10**20), 2_000 * WAD, source=PERP
            ),
            log_of("FundingAppliedOnAccount", account, paid, 10**17, source=PERP),
            _balance(account, instrument.address, instrument.sub_id, quantity + paid),
            log_of("InterestAccrued", 1, index, index, 10**24, 10**23, source=CASH),
            log_of("InterestAccruedOnAccount", account, 10**20, 5, index, source=CASH),
            _balance(account, CASH, 0, owed),
        ]


def _balance(account: int, asset: str, sub_id: int, after: int) -> Log:
    packed = bytes.fromhex(asset[2:]) + sub_id.to_bytes(12, "big")
    return log_of("BalanceAdjusted", account, MANAGER, packed, 0, 0, after, 7, source=SUB_ACCOUNTS)


class Folding:
    """A machine on a venue, given one event after another."""

    def __init__(self, portfolio: Portfolio, venue: Derive) -> None:
        parameters = MachineParameters(chain_id=1, limits=LimitParameters())
        self._machine = Machine(parameters, portfolio, [venue], {venue.name: FlagOnly()})
        self._seq = 0

    def fold(self, *events: Event) -> None:
        for event in events:
            self._seq += 1
            self._machine.fold(Entry(self._seq, self._seq, event))


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def warm_restart(deployment: Deployment, folder: Path) -> list[Figure]:
    """Return a state's way to the disk and back, and on over the blocks since."""
    since = Blocks(deployment, 3).chain(BLOCKS_SINCE)
    held = [_took(lambda: cut(deployment.portfolio)) for _ in range(ROUNDS)]
    parts, _ = encode(cut(deployment.portfolio), Label("1", 1, "venues", 1, ROOT))
    path = Places(folder).snapshots / "1.columns"
    written = [_took(lambda: put(path, parts)) for _ in range(ROUNDS)]
    loaded, folded = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        image, _ = read_state(path)
        portfolio = Portfolio()
        venue = Derive(config(), portfolio)
        fill(portfolio, image)
        venue.watch()
        venue.accrue(NOW)
        venue.books()  # what is derived from the tables is made at its first use
        loaded.append(time.perf_counter() - began)
        Folding(portfolio, venue).fold(*since)
        folded.append(time.perf_counter() - began)
    size = path.stat().st_size / 2**20
    return [
        Figure("state.positions", deployment.portfolio.positions.total, "positions"),
        Figure("state.file_mib", size, "MiB"),
        Figure("state.save_cut_ms", 1e3 * statistics.median(held), "ms"),
        Figure("state.save_write_s", statistics.median(written), "s"),
        Figure("state.warm_load_s", statistics.median(loaded), "s"),
        Figure("state.warm_restart_s", statistics.median(folded), "s"),
    ]


def reorg(deployment: Deployment) -> list[Figure]:
    """Return what leaving a branch costs, and what folding the other one does."""
    branches = [Blocks(deployment, seed).chain(DEPTH) for seed in (1, 2)]
    folding = Folding(deployment.portfolio, deployment.venue)
    folding.fold(*branches[0])
    back = ChainRewound(1, 1, ROOT)
    rewound, refolded = [], []
    for turn in range(2 * ROUNDS):
        rewound.append(1e3 * _took(lambda: folding.fold(back)))
        blocks = branches[(turn + 1) % 2]
        refolded.append(1e3 * _took(lambda: folding.fold(*blocks)))  # noqa: B023 - called at once
    both = [sum(pair) for pair in zip(rewound, refolded, strict=True)]
    folding.fold(back)
    return [
        Figure("state.reorg_rewind_ms", statistics.median(rewound), "ms"),
        Figure("state.reorg_ms", statistics.median(both), "ms"),
    ]


async def cold() -> list[Figure]:
    """Return how fast a real node's accounts become tables, and with them the run's own."""
    with Node(NodeOptions(mining=False, timestamp=GENESIS_S)) as node:
        venue = _many_accounts(node)
        read, begun = [], []
        async with RpcHttp("read", node.url) as rpc:
            reader = NodeReader(rpc, ReaderConfig())
            head = await reader.header("latest")
            for _ in range(ROUNDS):
                began = time.perf_counter()
                snapshot = await take(reader, venue, head, SystemClock())
                read.append(time.perf_counter() - began)
                portfolio = Portfolio()
                portfolio.undo.begin(head.number, head.hash)
                load(DeriveTables(portfolio, venue), snapshot)
                begun.append(time.perf_counter() - began)
        accounts = len(snapshot["tables"]["accounts"])
    return [
        Figure("state.cold_accounts_s", accounts / statistics.median(read), "accounts/s"),
        Figure("state.cold_begun_accounts_s", accounts / statistics.median(begun), "accounts/s"),
    ]


def _many_accounts(node: Node) -> DeriveConfig:
    """Seed a market's accounts over and over; the configuration that serves them."""
    driver = Driver(node, Scene(seed=7, accounts=300, blocks=36))
    driver.prepare()
    plans = [seed_account(driver.venue, each.plan, each.cash) for each in driver.seeded]
    for _ in range(COLD_ACCOUNTS // len(plans) - 1):
        driver.open_accounts(plans)
    managers = tuple(book.manager.address for book in driver.venue.books)
    return DeriveConfig(**keeper_config(driver.venue) | {"managers": managers})


async def rows(folder: Path) -> list[Figure]:
    """Return every `state.*` row."""
    deployment = crowded(ACCOUNTS)
    settle_memory()  # as a run does once its state is loaded
    return [*warm_restart(deployment, folder), *reorg(deployment), *await cold()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="state-") as place:
        for row in judged(asyncio.run(rows(Path(place))), GOALS):
            print(row.line())
