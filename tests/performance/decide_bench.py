"""`machine.decided.*`: one block decided over 100,000 accounts, with bounds and without, in turn.

The book of the margin figures as Derive's tables, 3 % of the accounts within 1 % of the line; each
block posts every quote anew (spot moved by 5 basis points, as in head_bench) and moves cash and a
position of 200 accounts. Both machines stand on the same venue, and what they decide is compared.

    python -m tests.performance.decide_bench
"""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from keeper.app.links import settle_memory
from keeper.domain.codec import digest, floats
from keeper.domain.effects import Effects
from keeper.domain.events import BlockSealed, Entry
from keeper.liquidation.limits import LimitParameters
from keeper.machine import Machine, MachineParameters
from keeper.machine.screening import Screens
from keeper.margin.kernel.warm import warm
from keeper.protocols.derive.tables import CollateralRow, ScenarioRow
from strategies.flag_only import FlagOnly
from tests.performance.market_book import DAYS, LINE_MEDIAN, LINE_SIGMA, SPOT, parameters
from tests.performance.state_bench import DOLLAR, crowded
from tests.performance.stopwatch import p99
from tests.performance.table import GOALS, Figure, judged
from tests.unit.protocols.derive.deployment import (
    LIB,
    MANAGER,
    NOW,
    STABLE_FEED,
    WAD,
    wad,
)


ACCOUNTS: Final = 100_000
BLOCKS: Final = 60
WARMING: Final = 4
BLOCK_S: Final = 2
TRADES: Final = 200
STEP: Final = 0.0005
NEVER: Final = 10**9  # accounts from which on bounds are used: the machine that computes everybody


class Floor:
    """A crowded deployment that goes on, block after block."""

    def __init__(self, accounts: int) -> None:
        self._deployment = crowded(accounts)
        self._accounts, self._chance = accounts, random.Random("floor")
        self._number, self._spot = 1, SPOT
        tables = self._deployment.tables
        tables.collateral_feeds.set((MANAGER, DOLLAR), STABLE_FEED)
        tables.collaterals.set((LIB, DOLLAR), CollateralRow(True, False, wad(0.02), wad(0.01)))
        for index, each in enumerate(parameters().scenarios):
            row = ScenarioRow(wad(each.spot_shock), int(each.vol_shock), wad(each.damping))
            tables.scenarios.set((MANAGER, index), row)
        self._post(NOW)
        self._near_line()

    def machine(self, screens: Screens) -> Machine:
        """Return a machine on this deployment's venue."""
        rules = MachineParameters(chain_id=1, limits=LimitParameters(gas_token_usd=10.0))
        venue = self._deployment.venue
        return Machine(
            rules, self._deployment.portfolio, (venue,), {venue.name: FlagOnly()}, screens
        )

    def mine(self) -> BlockSealed:
        """Move quotes and some accounts; return the block, folded already."""
        self._number += 1
        number, before = self._number, f"0x{self._number - 1:064x}"
        now, block = NOW + number * BLOCK_S, f"0x{number:064x}"
        self._deployment.portfolio.undo.begin(number, block)
        self._spot *= self._chance.gauss(1.0, STEP)
        self._post(now)
        for _ in range(TRADES):
            self._trade(self._chance.randrange(1, self._accounts + 1))
        return BlockSealed(1, number, block, before, now, 10**9, 30_000_000, True, 0, ())

    def _trade(self, account: int) -> None:
        tables, chance = self._deployment.tables, self._chance
        row, positions = tables.row(account), tables.portfolio.positions
        tables.cash.set(row, tables.cash.get(row) + wad(chance.uniform(-1.0, 1.0)))
        held = positions.held(row)
        if held:
            instrument, quantity = chance.choice(held)
            positions.set(row, instrument, quantity + WAD // 100)

    def _post(self, now: int) -> None:
        self._deployment.quotes(now, self._spot)
        for days in DAYS:
            self._deployment.expiry(NOW + days * 86_400, now)

    def _near_line(self) -> None:
        """Give every account the cash that leaves it as far from the line as in the margin book."""
        venue, tables = self._deployment.venue, self._deployment.tables
        venue.accrue(NOW + BLOCK_S)
        rng = np.random.default_rng(5)
        for each in venue.books():
            found = each.method.require(each.book, each.market)
            share = LINE_MEDIAN * np.exp(LINE_SIGMA * rng.standard_normal(each.book.accounts))
            notional = found.gross - np.abs(each.book.cash)
            cash = each.book.cash + share * notional - found.excess
            for account, usd in zip(each.accounts.tolist(), cash.tolist(), strict=True):
                tables.cash.set(tables.row(account), int(usd * 10**6) * 10**12)


def decided(accounts: int = ACCOUNTS, blocks: int = BLOCKS) -> list[Figure]:
    """Return what deciding takes, and how many accounts were computed."""
    warm()
    floor = Floor(accounts)
    settle_memory()
    screens = Screens()
    machines = {"bounds": floor.machine(screens), "in_full": floor.machine(Screens(NEVER))}
    taken: dict[str, list[float]] = {name: [] for name in machines}
    cpu: dict[str, list[float]] = {name: [] for name in machines}
    computed = []
    for turn in range(WARMING + blocks):
        entry = Entry(turn + 1, turn + 1, floor.mine())
        before, effects = screens.cleared, dict[str, Effects]()
        for name in sorted(machines, reverse=turn % 2 == 0):
            began, spent = time.perf_counter(), time.process_time()
            effects[name] = machines[name].decide(entry)
            cpu[name].append(1e3 * (time.process_time() - spent))
            taken[name].append(1e3 * (time.perf_counter() - began))
        computed.append(accounts - (screens.cleared - before))
        _compare(*effects.values())
    figures = [Figure("machine.decided.computed", statistics.median(computed[WARMING:]), "")]
    for name, times in taken.items():
        counted = times[WARMING:]
        figures += [
            Figure(f"machine.decided.{name}.p50", statistics.median(counted), "ms"),
            Figure(f"machine.decided.{name}.p99", p99(counted), "ms"),
            Figure(f"machine.decided.{name}.least", min(counted), "ms"),
            Figure(f"machine.decided.{name}.cpu", statistics.median(cpu[name][WARMING:]), "ms"),
        ]
    return figures


def _compare(one: Effects, other: Effects) -> None:
    if (digest(one), floats(one)) != (digest(other), floats(other)):
        raise AssertionError("bounds change what is decided")


async def rows(_: Path) -> list[Figure]:
    """Return the rows of a decided block."""
    return await asyncio.to_thread(decided)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="decide-") as place:
        for row in judged(asyncio.run(rows(Path(place))), GOALS):
            print(row.line())
