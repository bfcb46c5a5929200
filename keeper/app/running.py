"""`keeper run`: endpoints, snapshot, machine, executor and telemetry, joined and supervised.

A run whose chain went further away than can be undone or caught up with begins again from a fresh
snapshot; everything that must survive that is in the ledger.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from keeper.app.assembly import Core, Places, assemble, edition, load_snapshot
from keeper.app.execution import execute, load_signers
from keeper.app.links import Links, connect, settle_memory
from keeper.app.snapshots import take_snapshot
from keeper.chain.branch import GapTooDeep
from keeper.chain.hardening import deny_dumps
from keeper.chain.heads import HeadFollower, HeadsConfig
from keeper.chain.reader import NodeReader
from keeper.chain.sender import LaneExecutor
from keeper.config import Config, config_digest
from keeper.domain.effects import Effects, Notice
from keeper.domain.errors import KeeperError
from keeper.domain.events import BlockSealed, Entry, Event, LaneObserved, Started
from keeper.domain.units import Address
from keeper.margin.kernel_warm import warm
from keeper.ports import Clock, Executor, Header, Observer, Post, Timing
from keeper.runtime.clock import SystemClock, Ticker
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox
from keeper.runtime.journal import FileJournal, JournalLimits
from keeper.runtime.supervisor import Ended, Parts, Supervisor
from keeper.telemetry.health import Health, HealthLimits, HealthServer
from keeper.telemetry.logging import Lines
from keeper.telemetry.metrics import LoopLag, Metrics


class Renewal:
    """Asks for a run from a new snapshot: the chain is too far away, or no log says enough."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask; the first reason is the one told."""
        self.reason = self.reason or reason
        self.asked.set()


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The three observers, and what serves them; an `Observer` itself."""

    lines: Lines
    metrics: Metrics
    health: Health
    renewal: Renewal
    lanes: dict[Address, str] = field(default_factory=dict)  # their states, as last told

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Show an applied entry to all of them."""
        observers: tuple[Observer, ...] = (self.lines, self.metrics, self.health)
        for observer in observers:
            observer.observe(entry, effects, timing)
        if isinstance(entry.event, LaneObserved):
            self.health.release("recovery")  # the executor tells of lanes once it has recovered
            self._lane(entry.event)
        for notice in effects.notices:
            if notice.kind == "venue_halted":
                self.health.hold("venue", str(dict(notice.fields).get("problem", "halted")))
            if notice.kind == "rewired":
                # A contract we never read now counts: its state and its logs are both missing.
                self.renewal.ask(f"rewired: {dict(notice.fields)}")

    def _lane(self, lane: LaneObserved) -> None:
        """Keep readiness red while there is no lane that would take a command."""
        self.lanes[lane.lane] = lane.state
        if "READY" in self.lanes.values():
            self.health.release("lanes")
        else:
            told = ", ".join(f"{each} is {state}" for each, state in self.lanes.items())
            self.health.hold("lanes", told)

    def survived(self, word: str, error: KeeperError) -> None:
        """Tell of a failure that was survived."""
        fields = (("error", type(error).__name__), ("problem", str(error)))
        self.lines.tell(Notice(f"{word}_failed", "warning", fields))


class Heads:
    """The follower as a source, with the executor told of every head after it was posted."""

    def __init__(self, follower: HeadFollower, executor: Executor, renewal: Renewal) -> None:
        self._follower = follower
        self._executor = executor
        self._renewal = renewal

    async def run(self, post: Post) -> None:
        """Follow until cancelled; a chain that is too far away asks for a new snapshot."""

        def post_and_tell(event: Event) -> None:
            post(event)
            if isinstance(event, BlockSealed) and isinstance(self._executor, LaneExecutor):
                self._executor.on_block(event.number, event.hash)

        try:
            await self._follower.run(post_and_tell)
        except GapTooDeep as lost:
            self._renewal.ask(str(lost))
            await asyncio.get_running_loop().create_future()


async def run(config: Config) -> Ended:
    """Run a keeper until it is told to stop or must not go on; return how it ended."""
    clock = SystemClock()
    lines = Lines(clock, config.telemetry.log_level)
    try:
        _warm(lines)
        while True:
            ended = await _run_once(config, clock, lines)
            if ended is not None:
                return ended
    finally:
        lines.close()


async def _run_once(config: Config, clock: Clock, lines: Lines) -> Ended | None:
    """Run from a fresh snapshot; None where another one is needed."""
    places = Places(Path(config.keeper.data_dir))
    core = assemble(config)
    renewal = Renewal()
    telemetry = Telemetry(lines, Metrics(), _health(config, clock), renewal)
    if config.keeper.mode == "live":
        deny_dumps()  # before the first key is read
    # A snapshot may take minutes: what would refuse the start comes first.
    signers = [] if config.keeper.mode == "observe" else await load_signers(config)
    async with AsyncExitStack() as stack:
        links = await connect(config, clock, telemetry.survived, stack)
        reader = NodeReader(links.read, config.reader)
        taken = await take_snapshot(config, reader, places, lines)
        load_snapshot(core, taken.document)
        settle_memory()
        follower = _follow(config, clock, links, taken.header, core)
        executor, next_id = await execute(
            config, clock, links, core, telemetry.survived, signers, stack
        )
        heads = Heads(follower, executor, renewal)
        journal = FileJournal(
            places.journal,
            f"{taken.header.number}-{clock.now_ns()}",
            clock,
            JournalLimits(
                config.journal.file_bytes_max,
                config.journal.total_bytes_max,
                config.journal.sync_ms,
            ),
        )
        inbox = Inbox(clock)
        inbox.post(Started(edition(), config_digest(config), taken.file, taken.digest, next_id))
        _watch(telemetry.metrics, journal, inbox, follower)
        parts = Parts(
            inbox=inbox,
            engine=Engine(inbox, core.machine, journal, executor, telemetry, clock),
            journal=journal,
            executor=executor,
            sources={"heads": heads, "ticker": Ticker(config.keeper.tick_ms)},
            services={
                "endpoints": links,
                "health": HealthServer(
                    telemetry.health,
                    telemetry.metrics,
                    clock,
                    config.telemetry.listen_host,
                    config.telemetry.listen_port,
                ),
                "loop_lag": LoopLag(telemetry.metrics, clock),
            },
            tell=lines.tell,
        )
        return await _supervise(Supervisor(parts), renewal, lines)


async def _supervise(supervisor: Supervisor, renewal: Renewal, lines: Lines) -> Ended | None:
    """Run to the end; None where the run shall begin again from a new snapshot."""

    async def stop_when_asked() -> None:
        await renewal.asked.wait()
        supervisor.stop()

    waiting = asyncio.create_task(stop_when_asked())
    try:
        ended = await supervisor.run()
    finally:
        waiting.cancel()
    if not renewal.asked.is_set() or ended.exit_code != 0:
        return ended
    lines.tell(Notice("new_snapshot_needed", "warning", (("problem", renewal.reason),)))
    return None


def _warm(lines: Lines) -> None:
    """Compile (or load) the margin kernel now, not in the first block; tell which one margins."""
    reason = warm()
    fields = (("edition", edition()), ("reason", reason))
    lines.tell(Notice("margin_kernel", "warning" if reason else "info", fields))


def _health(config: Config, clock: Clock) -> Health:
    age_ms = config.telemetry.head_age_blocks_max * config.chain.block_time_ms
    health = Health(clock, HealthLimits(age_ms, config.telemetry.progress_age_ms_max))
    if config.keeper.mode != "live":
        health.release("recovery")  # nothing is sent, so there is nothing to recover
    return health


def _follow(config: Config, clock: Clock, links: Links, start: Header, core: Core) -> HeadFollower:
    chain = config.chain
    heads = HeadsConfig(
        block_time_ms=chain.block_time_ms,
        poll_interval_ms=chain.poll_interval_ms,
        call_deadline_ms=chain.call_deadline_ms,
        stall_blocks=chain.stall_blocks,
        finality_blocks=chain.finality_blocks,
    )
    addresses = [address for venue in core.venues for address in venue.watch()]
    witnesses = links.pool.witnesses
    return HeadFollower(links.watch, clock, heads, chain.chain_id, start, addresses, witnesses)


def _watch(metrics: Metrics, journal: FileJournal, inbox: Inbox, follower: HeadFollower) -> None:
    """Show what is read at each scrape."""
    status = follower.status
    metrics.watch("journal_bytes", "Bytes of all journal files.", lambda: journal.total_bytes)
    metrics.watch("inbox_waiting", "Events that wait for the machine.", lambda: inbox.waiting)
    metrics.watch("head_sessions", "Connections followed so far.", lambda: status.sessions)
    metrics.watch("head_rewinds", "Reorgs and silent rewinds seen.", lambda: status.rewinds)
    metrics.watch(
        "head_gap_blocks", "Blocks that no head announced.", lambda: status.gap_blocks_filled
    )
    metrics.watch("head_stalls", "Times no head came for too long.", lambda: status.stalls)
