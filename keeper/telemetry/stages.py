"""How long each stage took, from a block's receipt to a transaction's inclusion.

received → folded → decided, then for each command: → preflighted → committed → sent → included.
Must not know Prometheus. Commands are followed in a bounded table; those past it are counted.
"""

from collections.abc import Iterator
from typing import Final

from keeper.domain.effects import Effects
from keeper.domain.events import (
    BlockSealed,
    CommandCommitted,
    CommandRefused,
    CommandSent,
    Entry,
    Event,
    PreflightPassed,
    TransactionDropped,
    TransactionIncluded,
    TransactionReverted,
)
from keeper.ports import Timing


FOLLOWED_MAX: Final = 4_096
# What an event says of its command: the stage it has reached.
REACHED: Final[dict[type, str]] = {
    PreflightPassed: "preflighted",
    CommandCommitted: "committed",
    CommandSent: "sent",
    TransactionIncluded: "included",
}
# What ends following a command, besides its inclusion.
ENDED: Final = (CommandRefused, TransactionIncluded, TransactionReverted, TransactionDropped)


class Stages:
    """Follows commands by id through the stages; all times are monotonic nanoseconds."""

    def __init__(self, followed_max: int = FOLLOWED_MAX) -> None:
        self._followed_max = followed_max
        # command id → (last stage, when, when decided)
        self._followed: dict[int, tuple[str, int, int]] = {}
        self._untracked = 0

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> Iterator[tuple[str, int]]:
        """Yield (stage, nanoseconds) of every stage that this entry ends."""
        event = entry.event
        if isinstance(event, BlockSealed):
            yield from _block(event, effects, timing)
        else:
            yield from self._command(event, timing)
        for command in effects.commands:
            if len(self._followed) >= self._followed_max:
                # The oldest has been silent longest: it gives way.
                self._followed.pop(next(iter(self._followed)))
                self._untracked += 1
            self._followed[command.id] = ("decided", timing.decided_ns, timing.decided_ns)

    def take_untracked(self) -> int:
        """Return how many commands gave way since last asked."""
        untracked, self._untracked = self._untracked, 0
        return untracked

    def shed(self) -> None:
        """Let go of every command followed; they are counted as untracked."""
        self._untracked += len(self._followed)
        self._followed.clear()

    def _command(self, event: Event, timing: Timing) -> Iterator[tuple[str, int]]:
        command_id = getattr(event, "command_id", None)
        followed = self._followed.get(command_id) if isinstance(command_id, int) else None
        if command_id is None or followed is None:
            return
        before, since_ns, decided_ns = followed
        reached = REACHED.get(type(event))
        if reached is not None and reached != before:
            yield f"{before}_to_{reached}", timing.posted_ns - since_ns
            if reached == "sent":
                yield "decided_to_sent", timing.posted_ns - decided_ns
            self._followed[command_id] = (reached, timing.posted_ns, decided_ns)
        if isinstance(event, ENDED):
            self._followed.pop(command_id, None)


def _block(event: BlockSealed, effects: Effects, timing: Timing) -> Iterator[tuple[str, int]]:
    """Yield a block's stages; `received_ns` is of the same monotonic clock as the timing."""
    yield "received_to_folded", timing.folded_ns - event.received_ns
    if event.at_tip and effects.assessments:
        yield "folded_to_decided", timing.decided_ns - timing.folded_ns
        yield "received_to_decided", timing.decided_ns - event.received_ns
