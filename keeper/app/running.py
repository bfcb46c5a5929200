"""`keeper run`: endpoints, snapshot, machine, executor and telemetry, joined and supervised.

A run whose chain went further away than can be undone or caught up with begins again, from an
older state file or a fresh snapshot; everything that must survive that is in the ledger.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from keeper.app.assembly import Core, Places, assemble, edition, meanings
from keeper.app.audit.auditing import Auditor, auditor_of, watch_audit
from keeper.app.execution import execute
from keeper.app.keys import load_signers
from keeper.app.leave.activating import admit
from keeper.app.link_figures import watch_link
from keeper.app.links import Links, connect, settle_memory
from keeper.app.observing import Renewal, Telemetry, Witness
from keeper.app.oracles import oracle_sources
from keeper.app.state.keeping import Keeping, Telling
from keeper.app.state.warm import begin
from keeper.chain.link.branch import GapTooDeep
from keeper.chain.link.reader import NodeReader
from keeper.chain.link.skew import check_skew
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.chain.sending.sender import LaneExecutor
from keeper.config import Config, config_digest
from keeper.domain.effects import Notice
from keeper.domain.events import BlockSealed, Event, RulesObserved, Started
from keeper.margin.kernel_warm import warm
from keeper.ports import Clock, Executor, Header, Post
from keeper.runtime.clock import SystemClock, Ticker
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox
from keeper.runtime.journal import FileJournal, JournalLimits
from keeper.runtime.supervisor import Ended, Parts, Service, Supervisor
from keeper.telemetry.health import Health, HealthLimits
from keeper.telemetry.logging import Lines
from keeper.telemetry.memory import MemoryLimits, MemoryWatch, resident_bytes
from keeper.telemetry.metrics import LoopLag, Metrics
from keeper.telemetry.server import HealthServer


class Heads:
    """The follower as a source, with the executor told of every head after it was posted."""

    def __init__(
        self, follower: HeadFollower, executor: Executor, renewal: Renewal, keeping: Keeping
    ) -> None:
        self._follower = follower
        self._executor = executor
        self._renewal = renewal
        self._keeping = keeping

    async def run(self, post: Post) -> None:
        """Follow until cancelled; a chain that is too far away asks for a new snapshot."""

        def post_and_tell(event: Event) -> None:
            post(self._keeping.admitted(event))
            if isinstance(event, BlockSealed) and isinstance(self._executor, LaneExecutor):
                self._executor.on_block(event.number, event.hash)

        try:
            await self._follower.run(post_and_tell)
        except GapTooDeep as lost:
            # An older file may do, unless the one we began from led nowhere.
            self._renewal.ask(str(lost), cold=not self._keeping.agreed)
            await asyncio.get_running_loop().create_future()


async def run(config: Config, witness: Witness | None = None) -> Ended:
    """Run a keeper until it is told to stop or must not go on; return how it ended."""
    clock = SystemClock()
    lines = Lines(clock, config.telemetry.log_level, meanings=meanings())
    try:
        _warm(lines)
        carried: dict[str, str] = {}
        renewal = Renewal()
        while True:
            cold, renewal = renewal.cold, Renewal()
            beginning = Beginning(lines, witness, renewal, carried, cold)
            ended = await _run_once(config, clock, beginning)
            if ended is not None:
                return ended
    finally:
        lines.close()


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run is begun with, whichever of the process's it is.

    `carried` are the doubts (venue, reason) of the run before: a snapshot is no audit. `cold`
    where no state file will do.
    """

    lines: Lines
    witness: Witness | None
    renewal: Renewal
    carried: dict[str, str]
    cold: bool


async def _run_once(config: Config, clock: Clock, beginning: Beginning) -> Ended | None:
    """Run from a state file or a fresh snapshot; None where the run must begin anew."""
    lines, witness, renewal = beginning.lines, beginning.witness, beginning.renewal
    carried = beginning.carried
    assemble(config)  # what the configuration alone refuses, before any connection
    places = Places(Path(config.keeper.data_dir))
    telemetry = Telemetry(lines, Metrics(meanings()), _health(config, clock), renewal, witness)
    async with AsyncExitStack() as stack:
        # A snapshot may take minutes: what would refuse the start comes first.
        signers = [] if config.keeper.mode == "observe" else await load_signers(config, stack)
        links = await connect(config, clock, telemetry.survived, stack)
        reader = NodeReader(links.read, config.reader)
        check_skew(clock, await reader.header("latest"), config.chain.clock_skew_s_max)
        await admit(config, reader, places, signers, lines)
        chain = _heads(config)
        begun = await begin(
            config, reader, places, lines, chain.gap_blocks_max, cold=beginning.cold
        )
        if begun is None:
            return None
        core = begun.core
        settle_memory()
        follower = _follow(config, clock, links, begun.header, core)
        executor, next_id = await execute(
            config, clock, links, core, telemetry.survived, signers, stack
        )
        inbox = Inbox(clock)
        telling = Telling(lines, telemetry.health, renewal.ask, renewal.asked.is_set)
        keeping = Keeping(config, begun, reader, telling, lambda: inbox.waiting)
        journal = _journal(config, places, f"{begun.header.number}-{clock.now_ns()}", clock)
        inbox.post(Started(edition(), config_digest(config), begun.file, begun.digest, next_id))
        for venue, reason in carried.items():
            inbox.post(RulesObserved(venue, "before the new snapshot", reason))
        _watch(telemetry.metrics, journal, inbox, follower)
        watch_link(telemetry.metrics, links.pool, follower)
        oracles = oracle_sources(config, reader, clock, lines.tell, telemetry.metrics)
        auditor = auditor_of(config, clock, links, core, renewal, lines.tell)
        _listen(telemetry, auditor)
        telemetry.listeners.append(keeping.heard)
        parts = Parts(
            inbox=inbox,
            engine=Engine(inbox, core.machine, journal, executor, telemetry, clock),
            journal=journal,
            executor=executor,
            sources={
                "heads": Heads(follower, executor, renewal, keeping),
                "ticker": Ticker(config.keeper.tick_ms),
                "audit": auditor,
                **oracles,
            },
            services={**_services(config, links, telemetry, clock), "state": keeping},
            tell=lines.tell,
        )
        ended = await _supervise(Supervisor(parts), renewal, witness, lines)
        if ended is not None:
            await keeping.end(ended)
        doubts = [(each.name, core.machine.gates.doubted(each.name)) for each in core.venues]
        carried.clear()
        carried.update((name, reason) for name, reason in doubts if reason is not None)
        return ended


async def _supervise(
    supervisor: Supervisor, renewal: Renewal, witness: Witness | None, lines: Lines
) -> Ended | None:
    """Run to the end; None where the run shall begin again from a new snapshot."""

    async def stop_after(asked: asyncio.Event) -> None:
        await asked.wait()
        supervisor.stop()

    asks = [renewal.asked, *([] if witness is None else [witness.done])]
    waiting = [asyncio.create_task(stop_after(each)) for each in asks]
    try:
        ended = await supervisor.run()
    finally:
        for each in waiting:
            each.cancel()
    if witness is not None and witness.done.is_set():
        return ended
    if not renewal.asked.is_set() or ended.exit_code != 0:
        return ended
    lines.tell(Notice("new_snapshot_needed", "warning", (("problem", renewal.reason),)))
    return None


def _services(
    config: Config, links: Links, telemetry: Telemetry, clock: Clock
) -> dict[str, Service]:
    host, port = config.telemetry.listen_host, config.telemetry.listen_port
    return {
        "endpoints": links,
        "health": HealthServer(telemetry.health, telemetry.metrics, clock, host, port),
        "loop_lag": LoopLag(telemetry.metrics, clock),
        "memory": _memory(config, telemetry),
    }


def _journal(config: Config, places: Places, name: str, clock: Clock) -> FileJournal:
    section = config.journal
    limits = JournalLimits(section.file_bytes_max, section.total_bytes_max, section.sync_ms)
    return FileJournal(places.journal, name, clock, limits)


def _listen(telemetry: Telemetry, auditor: Auditor) -> None:
    """Let the auditor see what was applied, and a scrape see the auditor."""
    telemetry.listeners.append(auditor.heard)
    watch_audit(telemetry.metrics, auditor)


def _warm(lines: Lines) -> None:
    """Compile (or load) the margin kernel now, not in the first block; tell which one margins."""
    reason = warm()
    fields = (("edition", edition()), ("reason", reason))
    lines.tell(Notice("margin_kernel", "warning" if reason else "info", fields))


def _memory(config: Config, telemetry: Telemetry) -> MemoryWatch:
    limits = MemoryLimits(config.telemetry.memory_soft_bytes, config.telemetry.memory_hard_bytes)
    telemetry.metrics.watch("resident_bytes", "Memory of the process.", resident_bytes)
    shed = {"lines": telemetry.lines.shed, "stages": telemetry.metrics.shed}
    return MemoryWatch(limits, telemetry.lines.tell, shed)


def _health(config: Config, clock: Clock) -> Health:
    age_ms = config.telemetry.head_age_blocks_max * config.chain.block_time_ms
    health = Health(clock, HealthLimits(age_ms, config.telemetry.progress_age_ms_max))
    if config.keeper.mode != "live":
        health.release("recovery")  # nothing is sent, so there is nothing to recover
    return health


def _heads(config: Config) -> HeadsConfig:
    chain = config.chain
    return HeadsConfig(
        block_time_ms=chain.block_time_ms,
        poll_interval_ms=chain.poll_interval_ms,
        call_deadline_ms=chain.call_deadline_ms,
        stall_blocks=chain.stall_blocks,
        finality_blocks=chain.finality_blocks,
        header_hashes=chain.header_hashes,
    )


def _follow(config: Config, clock: Clock, links: Links, start: Header, core: Core) -> HeadFollower:
    addresses = [address for venue in core.venues for address in venue.watch()]
    chain_id, witnesses = config.chain.chain_id, links.pool.witnesses
    heads = _heads(config)
    return HeadFollower(links.watch, clock, heads, chain_id, start, addresses, witnesses)


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
