"""The keeper's shell, as a process of its own whose memory is the keeper's alone.

Pool, endpoint, WebSocket, follower, inbox, engine, journal, machine, metrics and health are those
of `keeper run`; nothing is sent. After each decided block it prints its number and the bytes it
holds. `--leak` keeps every log for ever: what the soak must find.

    python -m tests.soak.keeper URL DOCUMENT FOLDER
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson

from keeper.app.link_figures import watch_link
from keeper.app.links import settle_memory
from keeper.chain.link.endpoints import EndpointConfig, Role
from keeper.chain.link.pool import EndpointPool, PoolConfig
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.chain.sending.modes import ObservingExecutor
from keeper.domain.effects import Effects
from keeper.domain.events import BlockSealed, Entry
from keeper.liquidation.limits import LimitParameters
from keeper.machine import Machine, MachineParameters
from keeper.margin.kernel.warm import warm
from keeper.portfolio.state import Portfolio
from keeper.ports import Header, Timing
from keeper.protocols.derive.derive import Derive
from keeper.runtime.clock import SystemClock, Ticker
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox
from keeper.runtime.journal import FileJournal, JournalLimits
from keeper.telemetry.health import Health, HealthLimits
from keeper.telemetry.memory import resident_bytes
from keeper.telemetry.metrics import Metrics
from strategies.flag_only import FlagOnly
from tests.simulation import places as on
from tests.simulation.machine_run import STARTED


BLOCK_TIME_MS = 60_000  # the market goes on when we are done: its silence must not count as a stall
HEADS = HeadsConfig(
    block_time_ms=BLOCK_TIME_MS, poll_interval_ms=BLOCK_TIME_MS, call_deadline_ms=20_000
)


STATM = Path("/proc/self/statm")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Scales:
    """An engine's observer that shows entries to telemetry and tells what the process holds."""

    def __init__(self, *, leak: bool) -> None:
        self.metrics = Metrics()
        self._health = Health(SystemClock(), HealthLimits(60_000))
        self._kept: list[Any] | None = [] if leak else None

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """See one applied entry."""
        self.metrics.observe(entry, effects, timing)
        self._health.observe(entry, effects, timing)
        if not isinstance(entry.event, BlockSealed):
            return
        if self._kept is not None:
            self._kept.append(entry.event.logs)
        told = {"number": entry.event.number, "bytes": resident_bytes(), "held": held_bytes()}
        sys.stdout.buffer.write(orjson.dumps(told) + b"\n")
        sys.stdout.flush()


def held_bytes() -> int:
    """Return the bytes this process has asked for and not given back, in memory or not.

    A system may take pages that were not touched for long; what is resident falls then, and
    would hide a leak. This figure knows of no such thing (data and stack of statm(5)).
    """
    return int(STATM.read_text().split()[5]) * PAGE_BYTES


def machine_of(document: dict[str, Any], undo: int) -> Machine:
    """Return a machine that stands at a snapshot's block."""
    portfolio = Portfolio(undo)
    venue = Derive(on.derive_config(), portfolio)
    portfolio.undo.begin(document["number"], document["hash"])
    venue.load(document)
    parameters = MachineParameters(on.CHAIN_ID, limits=LimitParameters(gas_token_usd=10.0))
    return Machine(parameters, portfolio, (venue,), {venue.name: FlagOnly()})


async def run(url: str, document: dict[str, Any], folder: Path, undo: int, *, leak: bool) -> None:
    """Follow the market until killed."""
    clock = SystemClock()
    machine = machine_of(document, undo)
    endpoint = EndpointConfig("watch", url, on.CHAIN_ID, roles=(Role.WATCH, Role.READ))
    pool = EndpointPool([endpoint], PoolConfig(BLOCK_TIME_MS, 20_000), clock)
    start = Header(document["number"], document["hash"], "0x" + 64 * "0", 0, 1, 30_000_000)
    follower = HeadFollower(pool.watch, clock, HEADS, on.CHAIN_ID, start, machine.venues[0].watch())
    inbox = Inbox(clock)
    inbox.post(STARTED)
    journal = FileJournal(folder, "soak", clock, JournalLimits())
    scales = Scales(leak=leak)
    watch_link(scales.metrics, pool, follower)
    executor = ObservingExecutor()
    engine = Engine(inbox, machine, journal, executor, scales, clock)
    settle_memory()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.run())
        tasks.create_task(engine.run())
        tasks.create_task(executor.run(inbox.post))
        tasks.create_task(Ticker(1_000).run(inbox.post))
        tasks.create_task(follower.run(inbox.post))
        tasks.create_task(_scraped(scales.metrics))


async def _scraped(metrics: Metrics) -> None:
    """Ask for /metrics as often as a scraper does."""
    while True:
        metrics.exposition()
        await asyncio.sleep(5.0)


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.keeper")
    parser.add_argument("url")
    parser.add_argument("document", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--undo", type=int, default=256)
    parser.add_argument("--leak", action="store_true")
    chosen = parser.parse_args()
    warm()
    document = orjson.loads(chosen.document.read_bytes())
    asyncio.run(run(chosen.url, document, chosen.folder, chosen.undo, leak=chosen.leak))


if __name__ == "__main__":
    main()
