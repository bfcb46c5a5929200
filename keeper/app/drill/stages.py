"""What a drill came to, stage by stage: the table, the JSON, and the looker-on who times it.

It must not know nodes, nor how a breach was made.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Final

from keeper.domain.effects import Command, Effects
from keeper.domain.errors import KeeperError, OperatorError
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    Entry,
    PreflightPassed,
    TransactionDropped,
    TransactionIncluded,
    TransactionReverted,
)
from keeper.domain.units import NS_PER_MS, AccountId, Address
from keeper.ports import Clock, Timing


START: Final = "start"
BID: Final = "bid"
STEPS: Final[dict[type, str]] = {
    PreflightPassed: "preflight",
    CommandCommitted: "committed",
    CommandSent: "sent",
    TransactionIncluded: "included",
}


class StageFailed(Exception):
    """A stage of the drill failed; it is in the report, and the rest is not tried."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: how long it took since the one before, and what there is to say."""

    name: str
    ok: bool
    ms: float
    detail: str = ""


@dataclass(slots=True)
class DrillReport:
    """All stages in order; a drill passed when there are some and all of them did."""

    clock: Clock
    stages: list[Stage] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Tell whether the drill went through."""
        return bool(self.stages) and all(each.ok for each in self.stages)

    @contextmanager
    def stage(self, name: str) -> Iterator[list[str]]:
        """Time a stage; what is put into the list is its detail. Raises StageFailed."""
        began, detail = self.clock.monotonic_ns(), list[str]()
        try:
            yield detail
        except OperatorError:
            raise  # a refusal to run, not a stage that failed
        except (KeeperError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            self.stages.append(Stage(name, ok=False, ms=self._ms(began), detail=said))
            raise StageFailed(name) from error
        self.stages.append(Stage(name, ok=True, ms=self._ms(began), detail="; ".join(detail)))

    def document(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {"passed": self.passed, "stages": [asdict(each) for each in self.stages]}

    def table(self) -> list[str]:
        """Return the report as lines for people."""
        width = max((len(each.name) for each in self.stages), default=0)
        lines = [
            f"{'ok    ' if each.ok else 'FAILED'}  {each.name:<{width}}  {each.ms:>9,.1f} ms  "
            f"{each.detail}".rstrip()
            for each in self.stages
        ]
        return [*lines, "the drill passed" if self.passed else "the drill FAILED"]

    def _ms(self, began_ns: int) -> float:
        return round((self.clock.monotonic_ns() - began_ns) / NS_PER_MS, 3)


@dataclass(slots=True)
class _Path:
    """One way through a service, one command at a time: its steps, and what ended it."""

    command: int = 0
    marks: list[tuple[str, int]] = field(default_factory=list)
    to: Address = ""
    ended: str = "nothing was decided"
    included: bool = False


class DrillWitness:
    """Looks on until every wanted path was gone to its end, or too many blocks passed.

    `wanted` names the path that an (account, service) is part of. Several may be parts of one: a
    bidder that can bid only once bids on one of them.
    """

    def __init__(self, wanted: Mapping[tuple[AccountId, str], str], blocks_max: int) -> None:
        self.done = asyncio.Event()
        self.blocks = 0
        self._blocks_max = blocks_max
        self._wanted = dict(wanted)
        self._paths = {name: _Path() for name in wanted.values()}
        self._commands: dict[int, _Path] = {}

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """See one applied entry."""
        self.blocks += bool(effects.assessments)
        self._outcome(entry, timing)
        for command in effects.commands:
            self._decided(command, timing)
        included = all(each.included for each in self._paths.values())
        if included or self.blocks >= self._blocks_max:
            self.done.set()

    def stages(self, executor: Address | None) -> list[Stage]:
        """Return each path's stages, in the order of what was wanted."""
        found = []
        for name, path in self._paths.items():
            for (_, before), (step, at) in pairwise(path.marks):
                through = path.to == executor and step == "decided"
                detail = "through the executor" if through else ""
                found.append(Stage(f"{name}: {step}", ok=True, ms=_ms(at - before), detail=detail))
            if not path.included:
                found.append(Stage(f"{name}: included", ok=False, ms=0.0, detail=path.ended))
        return found

    def _decided(self, command: Command, timing: Timing) -> None:
        account = command.account
        name = None if account is None else self._wanted.get((account, command.kind))
        if name is None:
            return
        path = self._paths[name]
        if path.included or path.command:
            return
        self._commands[command.id] = path
        # Timed from the block's arrival: a try before that came to nothing is not what counts.
        path.marks = [("heard", timing.posted_ns), ("decided", timing.decided_ns)]
        path.command, path.to, path.ended = command.id, command.call.to, "decided, then nothing"

    def _outcome(self, entry: Entry, timing: Timing) -> None:
        event = entry.event
        path = self._commands.get(getattr(event, "command_id", 0))
        if path is None:
            return
        step = STEPS.get(type(event))
        if step is not None:
            path.marks.append((step, timing.posted_ns))
            path.included = path.included or isinstance(event, TransactionIncluded)
        elif isinstance(event, CommandRefused):
            path.command = 0
            path.ended = f"refused: {event.stage} {event.reason} {event.detail}".rstrip()
        elif isinstance(event, TransactionReverted | TransactionDropped):
            path.command, path.ended = 0, f"{type(event).__name__}: {event.reason}"


def _ms(ns: int) -> float:
    return round(ns / NS_PER_MS, 3)
