"""Rows of exact 18-decimal integers as two int64 columns, with a float copy for margin.

value = hi x 10^18 + lo with 0 <= lo < 10^18, so that +-9.2e18 units fit exactly. Knows no account,
no instrument and no undo log: those who own the rows write through it.
"""

from collections.abc import Collection
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD


HI_MAX = 2**63 - 1


class Parts(NamedTuple):
    """Exact rows as plain arrays, all (row,): what a state file holds of them."""

    hi: NDArray[np.int64]
    lo: NDArray[np.int64]
    floats: NDArray[np.float64]

    def at(self, rows: NDArray[np.int64] | slice) -> "Parts":
        """Return a copy of these rows."""
        return Parts(self.hi[rows].copy(), self.lo[rows].copy(), self.floats[rows].copy())


class Exact:
    """A growing store of exact integers; rows that were never written hold 0.

    One row is read and written through memoryviews: a third of what an array's own index costs.
    """

    __slots__ = ("_floats", "_hi", "_lo", "floats", "hi", "lo", "name", "rows")

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        zeros = np.zeros(size, np.int64)
        self._take(Parts(zeros, zeros.copy(), np.zeros(size, np.float64)))

    def get(self, row: int) -> int:
        """Return the exact value of a row."""
        return self._hi[row] * WAD + self._lo[row]

    def put(self, row: int, value: int) -> None:
        """Write a row that is there; raises InvariantViolation for what two columns cannot hold."""
        hi, lo = divmod(value, WAD)
        if not -HI_MAX <= hi <= HI_MAX:
            raise self.unfit(value)
        self._hi[row] = hi
        self._lo[row] = lo
        self._floats[row] = value / WAD

    def split(self, values: Collection[int]) -> Parts:
        """Return one value or more as exact rows; raises InvariantViolation as `put` does."""
        for value in (min(values, default=0), max(values, default=0)):
            if not fits(value):
                raise self.unfit(value)
        hi, lo = zip(*[divmod(value, WAD) for value in values], strict=True)
        # As `put` rounds it: a division of integers, not of floats.
        floats = [value / WAD for value in values]
        return Parts(np.array(hi, np.int64), np.array(lo, np.int64), np.array(floats, np.float64))

    def lay(self, rows: NDArray[np.int64], parts: Parts) -> None:
        """Write rows that are there, none twice."""
        for part, values in zip(self.parts(), parts, strict=True):
            part[rows] = values

    def unfit(self, value: int) -> InvariantViolation:
        """Return the error for a value that two columns cannot hold."""
        return InvariantViolation(f"{self.name} of {value} does not fit two int64 columns")

    def reach(self, rows: int) -> None:
        """Make room for at least so many rows."""
        if rows > self.rows:
            zeros = np.zeros(max(rows, 2 * self.rows) - self.rows, np.int64)
            hi, lo = np.append(self.hi, zeros), np.append(self.lo, zeros)
            self._take(Parts(hi, lo, np.append(self.floats, zeros.astype(np.float64))))

    def move(self, source: int, target: int, count: int) -> None:
        """Copy `count` rows to where they shall stand; the two places may overlap."""
        for part in self.parts():
            part[target : target + count] = part[source : source + count]

    def parts(self) -> Parts:
        """Return the rows themselves, not a copy: only the owner may write to them."""
        return Parts(self.hi, self.lo, self.floats)

    def cut(self, rows: int) -> Parts:
        """Return a copy of the first `rows` rows, zeros where there are fewer."""
        self.reach(rows)
        return self.parts().at(slice(rows))

    def fill(self, parts: Parts) -> None:
        """Take over the rows of a state file; raises ValueError where they are no exact rows."""
        hi, lo, floats = parts
        if not len(hi) == len(lo) == len(floats):
            raise ValueError(f"{self.name}: columns of {len(hi)}, {len(lo)} and {len(floats)} rows")
        if len(hi) and (lo.min() < 0 or lo.max() >= WAD or hi.min() < -HI_MAX):
            raise ValueError(f"{self.name}: a row is no exact number")
        self._take(parts.at(slice(None)))  # a file's own arrays cannot be written to

    def _take(self, parts: Parts) -> None:
        self.hi, self.lo, self.floats = parts
        self.rows = len(self.hi)
        self._hi, self._lo = self.hi.data, self.lo.data
        self._floats = cast("memoryview[float]", self.floats.data)


def fits(value: int) -> bool:
    """Return whether two columns can hold a value."""
    return -HI_MAX * WAD <= value < (HI_MAX + 1) * WAD
