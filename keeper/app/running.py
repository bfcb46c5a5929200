"""`keeper run`: endpoints, snapshot, machine, executor and telemetry, joined and supervised.

A run whose chain went further away than can be undone or caught up with begins again, from an
older state file or a fresh snapshot; everything that must survive that is in the ledger.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from keeper.app.assembly import Places, assemble, edition, meanings
from keeper.app.audit.auditing import Auditor, auditor_of, watch_audit
from keeper.app.execution import execute
from keeper.app.following import Heads, follower_of, heads_config
from keeper.app.keys import load_signers
from keeper.app.leave.activating import admit
from keeper.app.link_figures import watch_link
from keeper.app.links import connect, settle_memory
from keeper.app.observing import Renewal, Telemetry, Witness
from keeper.app.oracles import oracle_sources
from keeper.app.services import health_of, journal_of, services_of, watch_loop
from keeper.app.state.keeping import Keeping, Telling
from keeper.app.state.warm import begin
from keeper.chain.link.reader import NodeReader
from keeper.chain.link.skew import check_skew
from keeper.config import Config, config_digest
from keeper.domain.effects import Notice
from keeper.domain.events import RulesObserved, Started
from keeper.margin.kernel.warm import warm
from keeper.ports import Clock
from keeper.runtime.clock import SystemClock, Ticker
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox
from keeper.runtime.supervisor import Ended, Parts, Supervisor
from keeper.telemetry.logging import Lines
from keeper.telemetry.metrics import Metrics


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
    telemetry = Telemetry(lines, Metrics(meanings()), health_of(config, clock), renewal, witness)
    async with AsyncExitStack() as stack:
        # A snapshot may take minutes: what would refuse the start comes first.
        signers = [] if config.keeper.mode == "observe" else await load_signers(config, stack)
        links = await connect(config, clock, telemetry.survived, stack)
        reader = NodeReader(links.read, config.reader)
        check_skew(clock, await reader.header("latest"), config.chain.clock_skew_s_max)
        await admit(config, reader, places, signers, lines)
        gap_blocks_max = heads_config(config.chain).gap_blocks_max
        begun = await begin(config, reader, places, lines, gap_blocks_max, cold=beginning.cold)
        if begun is None:
            return None
        core = begun.core
        settle_memory()
        follower = follower_of(config, clock, links, begun.header, core)
        executor, next_id = await execute(
            config, clock, links, core, telemetry.survived, signers, stack
        )
        inbox = Inbox(clock)
        telling = Telling(lines, telemetry.health, renewal.ask, renewal.asked.is_set)
        keeping = Keeping(config, begun, reader, telling, lambda: inbox.waiting)
        journal = journal_of(config, places, f"{begun.header.number}-{clock.now_ns()}", clock)
        inbox.post(Started(edition(), config_digest(config), begun.file, begun.digest, next_id))
        for venue, reason in carried.items():
            inbox.post(RulesObserved(venue, "before the new snapshot", reason))
        watch_loop(telemetry.metrics, journal, inbox, core.machine.screens)
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
            services={**services_of(config, links, telemetry, clock), "state": keeping},
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


def _listen(telemetry: Telemetry, auditor: Auditor) -> None:
    """Let the auditor see what was applied, and a scrape see the auditor."""
    telemetry.listeners.append(auditor.heard)
    watch_audit(telemetry.metrics, auditor)


def _warm(lines: Lines) -> None:
    """Compile (or load) the margin kernel now, not in the first block; tell which one margins."""
    reason = warm()
    fields = (("edition", edition()), ("reason", reason))
    lines.tell(Notice("margin_kernel", "warning" if reason else "info", fields))
