"""Whether the keeper lives and whether it is ready, with the reasons why not.

Must not know where a head or a quote comes from: it is told. Readiness starts red and is earned;
red always says why. It is told from the loop's thread and asked from the web server's.
"""

from dataclasses import dataclass
from typing import Final

from keeper.domain.effects import Effects
from keeper.domain.events import BlockSealed, Entry
from keeper.domain.units import NS_PER_MS
from keeper.ports import Clock, Timing
from keeper.telemetry.text import clean


REASONS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """When silence becomes red, milliseconds of a monotonic clock."""

    head_age_ms_max: int
    progress_age_ms_max: int = 10_000


class Health:
    """What is known of the keeper's health; an `Observer`, and plain methods for the rest."""

    def __init__(self, clock: Clock, limits: HealthLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._started_ns = clock.monotonic_ns()
        self._progress_ns: int | None = None
        self._head_ns: int | None = None
        self._quotes: dict[str, tuple[tuple[str, str], ...]] = {}
        self._open: dict[str, str] = {"recovery": "not done"}

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Note that the engine goes on, that a head came, and what its quotes are."""
        self._progress_ns = timing.decided_ns
        if isinstance(entry.event, BlockSealed) and entry.event.at_tip:
            self._head_ns = timing.decided_ns
        for assessment in effects.assessments:
            self._quotes[assessment.venue] = assessment.quotes

    def hold(self, what: str, why: str) -> None:
        """Keep readiness red for `what` (e.g. "lanes") until it is released."""
        self._open[what] = why

    def release(self, what: str) -> None:
        """Take back a `hold`; "recovery" is held from the start."""
        self._open.pop(what, None)

    def not_alive(self) -> list[str]:
        """Return why the process should be restarted; empty when its loop goes on."""
        since = self._started_ns if self._progress_ns is None else self._progress_ns
        age_ms = self._age_ms(since)
        if age_ms > self._limits.progress_age_ms_max:
            return [f"engine: no entry for {age_ms} ms"]
        return []

    def not_ready(self) -> list[str]:
        """Return why nothing should be expected of this keeper now; empty when it is ready."""
        # Copied in one step each: the loop's thread may add to them meanwhile.
        held, venues = list(self._open.items()), list(self._quotes.items())
        reasons = [f"{what}: {why}" for what, why in held]
        reasons += self.not_alive()
        if self._progress_ns is None:
            reasons.append("engine: no entry yet")
        if self._head_ns is None:
            reasons.append("head: none yet")
        elif (age_ms := self._age_ms(self._head_ns)) > self._limits.head_age_ms_max:
            reasons.append(f"head: none for {age_ms} ms")
        if not venues:
            reasons.append("venues: none assessed yet")
        for venue, quotes in venues:
            reasons += [f"quote {venue} {name}: {state}" for name, state in quotes if state != "OK"]
        more = len(reasons) - REASONS_MAX
        shown = [clean(reason) for reason in reasons[:REASONS_MAX]]
        return [*shown, f"and {more} more"] if more > 0 else shown

    def _age_ms(self, since_ns: int) -> int:
        return (self._clock.monotonic_ns() - since_ns) // NS_PER_MS
