"""What became of each command, as the fields of a log line. Must not know how lines are written.

A log may name an account where a metric's label may not: an operator who asks "what happened to
account 17" reads these lines. Commands are followed in a bounded table.
"""

from collections.abc import Iterator
from typing import Any, Final

from keeper.domain.effects import Command, Effects
from keeper.domain.events import (
    CommandCommitted,
    CommandDisplaced,
    CommandRefused,
    CommandSent,
    Entry,
    Event,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.ports import Timing
from keeper.telemetry.outcomes import Meanings, outcome


FOLLOWED_MAX: Final = 4_096
OUTCOMES: Final[dict[type, str]] = {
    CommandRefused: "command_refused",
    CommandCommitted: "command_committed",
    CommandDisplaced: "command_displaced",
    CommandSent: "command_sent",
    TransactionIncluded: "transaction_included",
    TransactionReverted: "transaction_reverted",
    TransactionOrphaned: "transaction_orphaned",
    TransactionDropped: "transaction_dropped",
}


class CommandTrail:
    """Yields (line, fields) for every command decided and everything heard of one."""

    def __init__(self, followed_max: int = FOLLOWED_MAX, meanings: Meanings | None = None) -> None:
        self._meanings = meanings if meanings is not None else {}
        self._followed_max = followed_max
        self._followed: dict[int, tuple[Command, int]] = {}

    def observe(
        self, entry: Entry, effects: Effects, timing: Timing
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines of one applied entry."""
        word = OUTCOMES.get(type(entry.event))
        if word is not None:
            yield word, self._outcome(entry.event, timing)
        for command in effects.commands:
            if len(self._followed) >= self._followed_max:
                self._followed.pop(next(iter(self._followed)))
            self._followed[command.id] = (command, timing.decided_ns)
            yield "command_decided", {**_named(command), "gas": command.gas, "rank": command.rank}

    def shed(self) -> None:
        """Let go of every command followed: what comes of them is told with its id alone."""
        self._followed.clear()

    def _outcome(self, event: Event, timing: Timing) -> dict[str, Any]:
        fields = {name: getattr(event, name) for name in event.__slots__}
        ended = outcome(event, self._meanings)
        if ended is not None:
            fields["outcome"] = ended
        known = self._followed.get(fields["command_id"])
        if known is None:
            return fields  # of a run before this one
        command, decided_ns = known
        since_ms = round((timing.posted_ns - decided_ns) / 1e6, 3)
        return {**_named(command), **fields, "since_decided_ms": since_ms}


def _named(command: Command) -> dict[str, Any]:
    return {
        "command_id": command.id,
        "venue": command.venue,
        "account": command.account,
        "kind": command.kind,
        "decided_number": command.decided_number,
    }
