"""Every account's positions as columns: exact quantities, a float copy for margin.

A quantity is kept as two int64 columns, value = hi x 10^18 + lo with 0 <= lo < 10^18, so that
+-9.2e18 coins fit exactly. Each account owns a segment of rows with room to grow, sorted by the
instruments' canonical rank; a segment that is full moves to the end.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD
from keeper.portfolio.instruments import Instruments
from keeper.portfolio.undo import UndoLog


ROOM_FIRST = 4
HI_MAX = 2**63 - 1


class Positions:
    """Signed quantities by (account row, instrument row); zero is not held and has no row."""

    def __init__(self, undo: UndoLog, instruments: Instruments) -> None:
        self._undo = undo
        self._instruments = instruments
        self._start: list[int] = []
        self._count: list[int] = []
        self._room: list[int] = []
        self._end = 0
        self._instrument = np.zeros(1024, np.int32)
        self._hi = np.zeros(1024, np.int64)
        self._lo = np.zeros(1024, np.int64)
        self._quantity = np.zeros(1024, np.float64)
        self.structure = 0  # moves when a row appears, disappears or moves
        self.total = 0  # rows in use

    def get(self, account: int, instrument: int) -> int:
        """Return the exact quantity in 18 decimals, 0 where not held."""
        row = self._find(account, instrument)
        return 0 if row is None else self._value(row)

    def held(self, account: int) -> list[tuple[int, int]]:
        """Return (instrument row, quantity) of an account in canonical order."""
        if account >= len(self._start):
            return []
        first = self._start[account]
        rows = range(first, first + self._count[account])
        return [(int(self._instrument[row]), self._value(row)) for row in rows]

    def set(self, account: int, instrument: int, value: int) -> None:
        """Write a quantity; 0 removes the row."""
        self._undo.record(self, (account, instrument), self.get(account, instrument))
        self._write(account, instrument, value)

    def restore(self, key: object, old: object) -> None:
        """Put an old quantity back; only the undo log calls this."""
        account, instrument = cast("tuple[int, int]", key)
        self._write(account, instrument, cast("int", old))

    def book(
        self, accounts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
        """Return (start, instrument, quantity) of these account rows: compact sparse rows.

        start       (account + 1,) int64
        instrument  (row,) int32, instrument rows of this portfolio, canonical order
        quantity    (row,) float64
        """
        known = accounts < len(self._start)
        safe = np.where(known, accounts, 0)
        first = np.array(self._start or [0], np.int64)[safe]
        count = np.where(known, np.array(self._count or [0], np.int64)[safe], 0)
        start = np.zeros(len(accounts) + 1, np.int64)
        np.cumsum(count, out=start[1:])
        rows = np.repeat(first - start[:-1], count) + np.arange(start[-1])
        return start, self._instrument[rows], self._quantity[rows]

    def _value(self, row: int) -> int:
        return int(self._hi[row]) * WAD + int(self._lo[row])

    def _find(self, account: int, instrument: int) -> int | None:
        if account >= len(self._start):
            return None
        first = self._start[account]
        segment = self._instrument[first : first + self._count[account]]
        hits = np.flatnonzero(segment == instrument)
        return first + int(hits[0]) if len(hits) else None

    def _write(self, account: int, instrument: int, value: int) -> None:
        hi, lo = divmod(value, WAD)
        # Before any row is made for it: a row without a value would hold what stood there last.
        if not -HI_MAX <= hi <= HI_MAX:
            raise InvariantViolation(f"a quantity of {value} does not fit two int64 columns")
        row = self._find(account, instrument)
        if value == 0:
            if row is not None:
                self._remove(account, row)
            return
        if row is None:
            row = self._insert(account, instrument)
        self._hi[row], self._lo[row], self._quantity[row] = hi, lo, value / WAD

    def _insert(self, account: int, instrument: int) -> int:
        while account >= len(self._start):
            self._start.append(self._end)
            self._count.append(0)
            self._room.append(0)
        if self._count[account] == self._room[account]:
            self._move(account)
        first, count = self._start[account], self._count[account]
        rank = self._instruments.rank
        ranks = rank[self._instrument[first : first + count]]
        row = first + int(np.searchsorted(ranks, rank[instrument]))
        for column in (self._instrument, self._hi, self._lo, self._quantity):
            column[row + 1 : first + count + 1] = column[row : first + count].copy()
        self._instrument[row] = instrument
        self._count[account] = count + 1
        self.structure += 1
        self.total += 1
        return row

    def _remove(self, account: int, row: int) -> None:
        last = self._start[account] + self._count[account] - 1
        for column in (self._instrument, self._hi, self._lo, self._quantity):
            column[row:last] = column[row + 1 : last + 1].copy()
        self._count[account] -= 1
        self.structure += 1
        self.total -= 1

    def _move(self, account: int) -> None:
        """Give a full segment twice the room, at the end of the columns."""
        first, count = self._start[account], self._count[account]
        room = max(ROOM_FIRST, 2 * count)
        if self._end + room > len(self._instrument):
            self._grow(self._end + room)
        target = self._end
        for column in (self._instrument, self._hi, self._lo, self._quantity):
            column[target : target + count] = column[first : first + count]
        self._start[account], self._room[account] = target, room
        self._end += room

    def _grow(self, least: int) -> None:
        size = max(least, 2 * len(self._instrument))
        self._instrument = np.resize(self._instrument, size)
        self._hi = np.resize(self._hi, size)
        self._lo = np.resize(self._lo, size)
        self._quantity = np.resize(self._quantity, size)
