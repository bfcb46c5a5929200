"""The one undo log: every write to chain-derived state can be taken back, block by block.

Outbox and ledger are not here: what we did is never rewound by a reorg.
"""

from typing import Protocol

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import Hash


class Restorable(Protocol):
    """A table that can put an old value back without recording that."""

    def restore(self, key: object, old: object) -> None:
        """Put `old` back at `key`; ABSENT means there was nothing."""


class Absent:
    """The mark of a key that had no value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


class Frame:
    """The writes of one block, oldest first."""

    __slots__ = ("hash", "number", "writes")

    def __init__(self, number: int, block: Hash) -> None:
        self.number = number
        self.hash = block
        self.writes: list[tuple[Restorable, object, object]] = []


class UndoLog:
    """Frames of the last `depth_max` blocks; deeper reorgs need a snapshot."""

    def __init__(self, depth_max: int = 256) -> None:
        self.depth_max = depth_max
        self._frames: list[Frame] = []
        self._open: Frame | None = None

    @property
    def tip(self) -> tuple[int, Hash] | None:
        """Return (number, hash) of the block the state stands at, None before the first."""
        return (self._frames[-1].number, self._frames[-1].hash) if self._frames else None

    @property
    def depth(self) -> int:
        """Return how many blocks can be taken back."""
        return max(0, len(self._frames) - 1)

    def begin(self, number: int, block: Hash) -> None:
        """Open the frame of a block; all writes until the next one belong to it."""
        tip = self.tip
        if tip is not None and number != tip[0] + 1:
            raise InvariantViolation(f"block {number} does not follow {tip[0]}")
        self._open = Frame(number, block)
        self._frames.append(self._open)
        if len(self._frames) > self.depth_max + 1:
            del self._frames[0]

    def record(self, table: Restorable, key: object, old: object) -> None:
        """Remember what stood at `key` before a write; tables call this, nobody else."""
        if self._open is None:
            raise InvariantViolation("a table was written before any block was begun")
        self._open.writes.append((table, key, old))

    def hash_at(self, number: int) -> Hash | None:
        """Return our hash at a height inside the window, None outside it."""
        if not self._frames:
            return None
        index = number - self._frames[0].number
        return self._frames[index].hash if 0 <= index < len(self._frames) else None

    def rewind(self, number: int, block: Hash) -> int:
        """Take back all blocks above the ancestor; return how many.

        Raises InvariantViolation when the ancestor is not inside the window: the shell must have
        asked for a snapshot instead.
        """
        if self.hash_at(number) != block:
            raise InvariantViolation(f"no block {number} {block} to rewind to")
        taken = 0
        while self._frames[-1].number > number:
            frame = self._frames.pop()
            for table, key, old in reversed(frame.writes):
                table.restore(key, old)
            taken += 1
        self._open = self._frames[-1]
        return taken
