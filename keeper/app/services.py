"""What stands beside the loop of a run: journal files, health, memory, how late the loop wakes.

Must not know how a run is joined, nor decide anything.
"""

from keeper.app.assembly import Places
from keeper.app.links import Links
from keeper.app.observing import Telemetry
from keeper.config import Config
from keeper.machine.screening import Screens
from keeper.ports import Clock
from keeper.runtime.inbox import Inbox
from keeper.runtime.journal import FileJournal, JournalLimits
from keeper.runtime.supervisor import Service
from keeper.telemetry.health import Health, HealthLimits
from keeper.telemetry.memory import MemoryLimits, MemoryWatch, resident_bytes
from keeper.telemetry.metrics import LoopLag, Metrics
from keeper.telemetry.server import HealthServer


def services_of(
    config: Config, links: Links, telemetry: Telemetry, clock: Clock
) -> dict[str, Service]:
    """Return what runs for as long as the run does, by name."""
    host, port = config.telemetry.listen_host, config.telemetry.listen_port
    return {
        "endpoints": links,
        "health": HealthServer(telemetry.health, telemetry.metrics, clock, host, port),
        "loop_lag": LoopLag(telemetry.metrics, clock),
        "memory": _memory(config, telemetry),
    }


def health_of(config: Config, clock: Clock) -> Health:
    """Return readiness as it is before anything was done."""
    age_ms = config.telemetry.head_age_blocks_max * config.chain.block_time_ms
    health = Health(clock, HealthLimits(age_ms, config.telemetry.progress_age_ms_max))
    if config.keeper.mode != "live":
        health.release("recovery")  # nothing is sent, so there is nothing to recover
    return health


def journal_of(config: Config, places: Places, name: str, clock: Clock) -> FileJournal:
    """Open a run's journal; raises StorageError."""
    section = config.journal
    limits = JournalLimits(section.file_bytes_max, section.total_bytes_max, section.sync_ms)
    return FileJournal(places.journal, name, clock, limits)


def watch_loop(metrics: Metrics, journal: FileJournal, inbox: Inbox, screens: Screens) -> None:
    """Show what is read at each scrape."""
    metrics.watch("journal_bytes", "Bytes of all journal files.", lambda: journal.total_bytes)
    metrics.watch("inbox_waiting", "Events that wait for the machine.", lambda: inbox.waiting)
    metrics.watch("margin_cleared", "Accounts cleared by a bound.", lambda: screens.cleared)


def _memory(config: Config, telemetry: Telemetry) -> MemoryWatch:
    limits = MemoryLimits(config.telemetry.memory_soft_bytes, config.telemetry.memory_hard_bytes)
    telemetry.metrics.watch("resident_bytes", "Memory of the process.", resident_bytes)
    shed = {"lines": telemetry.lines.shed, "stages": telemetry.metrics.shed}
    return MemoryWatch(limits, telemetry.lines.tell, shed)
