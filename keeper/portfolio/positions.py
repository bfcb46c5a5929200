"""Every account's positions as columns: exact quantities, a float copy for margin.

Each account owns a segment of rows with room to grow, sorted by the instruments' canonical rank; a
segment that is full moves to the end.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from keeper.portfolio.exact import Exact, Parts, fits
from keeper.portfolio.instruments import Instruments
from keeper.portfolio.undo import UndoLog


ROOM_FIRST = 4
ROWS_FIRST = 1024
ACCOUNTS_FIRST = 256
NAME = "a quantity"


class Held(NamedTuple):
    """All positions as plain arrays: what a state file holds of them.

    start       (account + 1,) int64, first row of each account row, and the end
    instrument  (row,) int32, instrument rows of this portfolio, canonical order in each account
    quantity    (row,) exact
    """

    start: NDArray[np.int64]
    instrument: NDArray[np.int32]
    quantity: Parts


class Segments:
    """Where each account's rows stand: first row, rows in use, room; (account,) int64 each."""

    __slots__ = ("accounts", "count", "room", "start")

    def __init__(self) -> None:
        self.start, self.count, self.room = np.zeros((3, ACCOUNTS_FIRST), np.int64)
        self.accounts = ACCOUNTS_FIRST

    def reach(self, accounts: int) -> None:
        """Make places for at least so many accounts, without rows."""
        if accounts > self.accounts:
            more = np.zeros(max(accounts, 2 * self.accounts) - self.accounts, np.int64)
            self.start, self.count, self.room = (
                np.append(each, more) for each in (self.start, self.count, self.room)
            )
            self.accounts = len(self.start)


class Positions:
    """Signed quantities by (account row, instrument row); zero is not held and has no row."""

    def __init__(self, undo: UndoLog, instruments: Instruments) -> None:
        self._undo = undo
        self._instruments = instruments
        self._segments = Segments()
        self._end = 0
        self._instrument = np.zeros(ROWS_FIRST, np.int32)
        self._quantity = Exact(NAME, ROWS_FIRST)
        self.structure = 0  # moves when a row appears, disappears or moves
        self.total = 0  # rows in use

    def get(self, account: int, instrument: int) -> int:
        """Return the exact quantity in 18 decimals, 0 where not held."""
        row = self._find(account, instrument)
        return 0 if row is None else self._quantity.get(row)

    def held(self, account: int) -> list[tuple[int, int]]:
        """Return (instrument row, quantity) of an account in canonical order."""
        first, count = self._segment(account)
        listed = self._instrument[first : first + count].tolist()
        return [(each, self._quantity.get(row)) for row, each in enumerate(listed, first)]

    def set(self, account: int, instrument: int, value: int) -> None:
        """Write a quantity; 0 removes the row."""
        row = self._find(account, instrument)
        old = 0 if row is None else self._quantity.get(row)
        self._undo.record(self, (account, instrument), old)
        self._write(account, instrument, row, value)

    def set_many(self, values: Mapping[tuple[int, int], int]) -> None:
        """Write many quantities by (account row, instrument row) at once: one record.

        It leaves what `set` of each would leave, wherever the rows come to stand.
        """
        if not values:
            return
        owners, listed = (np.array(each, np.int64) for each in zip(*values, strict=True))
        quantity = self._quantity.split(values.values())
        accounts, place = np.unique(owners, return_inverse=True)
        old = self._held(accounts)
        self._undo.record(self, accounts, old)
        place = np.append(np.repeat(np.arange(len(accounts)), np.diff(old.start)), place)
        instrument = np.append(old.instrument, listed.astype(np.int32))
        merged = Parts(*(np.append(*each) for each in zip(old.quantity, quantity, strict=True)))
        rank = self._instruments.rank
        order = np.argsort(place * len(rank) + rank[instrument], kind="stable")
        # Of equal ones the newest stands last, and counts; nothing is not held.
        moves = (np.diff(place[order]) != 0) | (np.diff(instrument[order]) != 0)
        order = order[np.append(moves, True)]
        order = order[(merged.hi[order] != 0) | (merged.lo[order] != 0)]
        start = np.zeros(len(accounts) + 1, np.int64)
        np.cumsum(np.bincount(place[order], minlength=len(accounts)), out=start[1:])
        self._lay(accounts, Held(start, instrument[order], merged.at(order)))

    def restore(self, key: object, old: object) -> None:
        """Put an old quantity back, or many accounts' rows; only the undo log calls this."""
        if isinstance(old, Held):
            self._lay(cast("NDArray[np.int64]", key), old)
            return
        account, instrument = cast("tuple[int, int]", key)
        row = self._find(account, instrument)
        self._write(account, instrument, row, cast("int", old))

    def places(
        self, accounts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """Return (start, instrument, place) of these account rows: compact sparse rows.

        start       (account + 1,) int64
        instrument  (row,) int32, instrument rows of this portfolio, canonical order
        place       (row,) int64, for `quantities`, for as long as `structure` does not move
        """
        start, rows = self._compact(accounts)
        return start, self._instrument[rows], rows

    def quantities(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much is held at `places`, (row,) float64."""
        return self._quantity.floats[places]

    def cut(self, accounts: int) -> Held:
        """Return a copy of the first so many account rows' positions, compact."""
        return self._held(np.arange(accounts, dtype=np.int64))

    def fill(self, held: Held) -> None:
        """Take over the positions of a state file, unlogged; raises ValueError.

        The instruments come first: the order inside an account is theirs.
        """
        start, instrument, quantity = held
        self._check(held)
        self._quantity.fill(quantity)
        self._instrument = instrument.astype(np.int32)
        self._segments = Segments()
        self._segments.reach(len(start) - 1)
        self._segments.start[: len(start) - 1] = start[:-1]
        self._segments.count[: len(start) - 1] = self._segments.room[: len(start) - 1] = np.diff(
            start
        )
        self._end = self.total = len(instrument)
        self.structure += 1

    def _check(self, held: Held) -> None:
        start, instrument, quantity = held
        if len(start) < 1 or start[0] != 0 or (np.diff(start) < 0).any():
            raise ValueError("positions: accounts do not follow one another")
        if not start[-1] == len(instrument) == len(quantity.hi):
            raise ValueError(f"positions: {start[-1]} rows, {len(instrument)} instruments")
        if len(instrument) == 0:
            return
        if instrument.min() < 0 or instrument.max() >= len(self._instruments):
            raise ValueError("positions: a row of an instrument that is not listed")
        if ((quantity.hi == 0) & (quantity.lo == 0)).any():
            raise ValueError("positions: a row of nothing")
        order = self._instruments.rank[instrument]
        ascending = np.append(np.diff(order) > 0, True)
        ascending[start[1:][start[1:] > 0] - 1] = True  # the last of an account
        if not ascending.all():
            raise ValueError("positions: an account is not in canonical order")

    def _compact(self, accounts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where each account starts, and the rows themselves, one account after another."""
        self._segments.reach(int(accounts.max(initial=-1)) + 1)
        count = self._segments.count[accounts]
        start = np.zeros(len(accounts) + 1, np.int64)
        np.cumsum(count, out=start[1:])
        first = self._segments.start[accounts]
        return start, np.repeat(first - start[:-1], count) + np.arange(start[-1])

    def _held(self, accounts: NDArray[np.int64]) -> Held:
        """Return a copy of these account rows' positions, compact."""
        start, rows = self._compact(accounts)
        return Held(start, self._instrument[rows], self._quantity.parts().at(rows))

    def _lay(self, accounts: NDArray[np.int64], held: Held) -> None:
        """Let these accounts, none of them twice, hold this and nothing else."""
        before, segments = self._held(accounts).instrument, self._segments
        count = np.diff(held.start)
        self._widen(accounts, count)
        was = segments.count[accounts]
        segments.count[accounts] = count
        self.total += int(count.sum() - was.sum())
        _, rows = self._compact(accounts)
        self._instrument[rows] = held.instrument
        self._quantity.lay(rows, held.quantity)
        if not (np.array_equal(was, count) and np.array_equal(before, held.instrument)):
            self.structure += 1

    def _widen(self, accounts: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Give accounts that need more room twice that, at the end; what they held is not moved."""
        segments = self._segments
        narrow = count > segments.room[accounts]
        accounts, room = accounts[narrow], np.maximum(ROOM_FIRST, 2 * count[narrow])
        segments.start[accounts] = self._end + np.cumsum(room) - room
        segments.room[accounts] = room
        self._end += int(room.sum())
        self._reach_end()

    def _segment(self, account: int) -> tuple[int, int]:
        segments = self._segments
        if account >= segments.accounts:
            return 0, 0
        return segments.start.item(account), segments.count.item(account)

    def _find(self, account: int, instrument: int) -> int | None:
        segments = self._segments
        if account >= segments.accounts:
            return None
        first = segments.start.item(account)
        # A list: a segment is short, and an array would cost more to ask than to search.
        listed = self._instrument[first : first + segments.count.item(account)].tolist()
        return first + listed.index(instrument) if instrument in listed else None

    def _write(self, account: int, instrument: int, row: int | None, value: int) -> None:
        if value == 0:
            if row is not None:
                self._remove(account, row)
            return
        if row is None:
            # Before a row is made for it: one without a value would hold what stood there last.
            if not fits(value):
                raise self._quantity.unfit(value)
            row = self._insert(account, instrument)
        self._quantity.put(row, value)

    def _insert(self, account: int, instrument: int) -> int:
        segments = self._segments
        segments.reach(account + 1)
        if segments.count[account] == segments.room[account]:
            self._give_room(account)
        first, count = self._segment(account)
        rank = self._instruments.rank
        ranks = rank[self._instrument[first : first + count]]
        row = first + int(np.searchsorted(ranks, rank[instrument]))
        self._shift(row, row + 1, first + count - row)
        self._instrument[row] = instrument
        segments.count[account] = count + 1
        self.structure += 1
        self.total += 1
        return row

    def _remove(self, account: int, row: int) -> None:
        first, count = self._segment(account)
        self._shift(row + 1, row, first + count - row - 1)
        self._segments.count[account] = count - 1
        self.structure += 1
        self.total -= 1

    def _give_room(self, account: int) -> None:
        """Give a full segment twice the room, at the end of the columns."""
        first, count = self._segment(account)
        room = max(ROOM_FIRST, 2 * count)
        target, self._end = self._end, self._end + room
        self._reach_end()
        self._shift(first, target, count)
        self._segments.start[account], self._segments.room[account] = target, room

    def _reach_end(self) -> None:
        if self._end > len(self._instrument):
            more = max(self._end, 2 * len(self._instrument)) - len(self._instrument)
            self._instrument = np.append(self._instrument, np.zeros(more, np.int32))
            self._quantity.reach(len(self._instrument))

    def _shift(self, source: int, target: int, count: int) -> None:
        self._instrument[target : target + count] = self._instrument[source : source + count]
        self._quantity.move(source, target, count)
