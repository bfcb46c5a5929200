"""Who looks on while a run goes: log lines, metrics, readiness, and what asks for a new beginning.

Must not know how a run is joined, nor how any of it is served.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from keeper.domain.effects import Effects, Notice
from keeper.domain.errors import KeeperError, StorageError
from keeper.domain.events import Entry, LaneObserved
from keeper.domain.units import Address
from keeper.ports import Observer, Timing
from keeper.telemetry.health import Health
from keeper.telemetry.logging import Lines
from keeper.telemetry.metrics import Metrics


class Witness(Observer, Protocol):
    """Somebody who looks on from the first entry, and ends the run when `done` is set."""

    done: asyncio.Event


class Renewal:
    """Asks for a run that begins anew: the chain is too far away, or no log says enough.

    `cold` where only a fresh snapshot will do.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.reason = ""
        self.cold = False

    def ask(self, reason: str, *, cold: bool = True) -> None:
        """Ask; the first reason is the one told."""
        self.reason = self.reason or reason
        self.cold = self.cold or cold
        self.asked.set()


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The three observers, and what serves them; an `Observer` itself."""

    lines: Lines
    metrics: Metrics
    health: Health
    renewal: Renewal
    witness: Witness | None = None
    lanes: dict[Address, str] = field(default_factory=dict)  # their states, as last told
    listeners: list[Callable[[Entry], None]] = field(default_factory=list)

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Show an applied entry to all of them."""
        observers: tuple[Observer, ...] = (self.lines, self.metrics, self.health)
        for observer in observers:
            observer.observe(entry, effects, timing)
        for listen in self.listeners:
            listen(entry)
        if self.witness is not None:
            self.witness.observe(entry, effects, timing)
        if isinstance(entry.event, LaneObserved):
            self.health.release("recovery")  # the executor tells of lanes once it has recovered
            self._lane(entry.event)
        for notice in effects.notices:
            if notice.kind == "venue_halted":
                self.health.hold("venue", str(dict(notice.fields).get("problem", "halted")))
            if notice.kind in ("decisions_stopped", "decisions_resumed"):
                self._doubted(notice)
            if notice.kind == "look_anew":
                self.renewal.ask(f"the chain stood still: {dict(notice.fields)}")
            if notice.kind == "rewired":
                # A contract we never read now counts: its state and its logs are both missing.
                self.renewal.ask(f"rewired: {dict(notice.fields)}")

    def _doubted(self, notice: Notice) -> None:
        """Keep readiness red while a venue is followed and not served."""
        fields = dict(notice.fields)
        what = f"decisions {fields['venue']}"
        if notice.kind == "decisions_stopped":
            self.health.hold(what, str(fields["reason"]))
        else:
            self.health.release(what)

    def _lane(self, lane: LaneObserved) -> None:
        """Keep readiness red while there is no lane that would take a command."""
        self.lanes[lane.lane] = lane.state
        if "READY" in self.lanes.values():
            self.health.release("lanes")
        else:
            told = ", ".join(f"{each} is {state}" for each, state in self.lanes.items())
            self.health.hold("lanes", told)

    def survived(self, word: str, error: KeeperError) -> None:
        """Tell of a failure that was survived; without its ledger a keeper is not ready."""
        if isinstance(error, StorageError):
            self.health.hold("ledger", error.problem)
        fields = (("error", type(error).__name__), ("problem", str(error)))
        self.lines.tell(Notice(f"{word}_failed", "warning", fields))
