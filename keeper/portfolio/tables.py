"""Small named tables of a venue (indexes, parameters, feeds, auctions): exact, undoable.

Keys are ints, strings or tuples of them; values are ints, strings, bools or NamedTuples of them,
so that a table can be written to a snapshot and read back equal.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

from keeper.portfolio.undo import ABSENT, UndoLog


K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """A mapping whose every write goes through the undo log.

    Iteration is in key order, not in insertion order: insertion order would differ between a
    snapshot and a history.
    """

    def __init__(self, undo: UndoLog, name: str, row: Callable[..., V]) -> None:
        self.name = name
        self.row = row
        self._undo = undo
        self._rows: dict[K, V] = {}
        self.version = 0  # moves with each write, taken back or not: a cheap "has it changed?"

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def get(self, key: K) -> V | None:
        """Return the value at `key`, None where there is none."""
        return self._rows.get(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield (key, value) in key order."""
        for key in sorted(self._rows, key=cast("Any", None)):
            yield key, self._rows[key]

    def set(self, key: K, value: V) -> None:
        """Write `value` at `key`."""
        self._undo.record(self, key, self._rows.get(key, ABSENT))
        self._rows[key] = value
        self.version += 1

    def delete(self, key: K) -> None:
        """Remove `key`; nothing happens where it is not there."""
        if key in self._rows:
            self._undo.record(self, key, self._rows[key])
            del self._rows[key]
            self.version += 1

    def cut(self) -> dict[K, V]:
        """Return a copy of all rows, in the order they were written; values never change."""
        return dict(self._rows)

    def fill(self, rows: dict[K, V]) -> None:
        """Take over the rows of a state file, unlogged."""
        self._rows = rows
        self.version += 1

    def restore(self, key: object, old: object) -> None:
        """Put an old value back; only the undo log calls this."""
        self.version += 1
        if old is ABSENT:
            self._rows.pop(cast("K", key), None)
        else:
            self._rows[cast("K", key)] = cast("V", old)
