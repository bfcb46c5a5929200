"""One exact number an account: cash, an interest index, a perpetual's last mark.

Kept like quantities, as two int64 columns (value = hi x 10^18 + lo), with a float copy in whole
units for margin; written through the undo log. Accounts that were never written hold 0.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD
from keeper.portfolio.undo import UndoLog


HI_MAX = 2**63 - 1


class Column:
    """An exact 18-decimal integer for each account row."""

    def __init__(self, undo: UndoLog, name: str) -> None:
        self.name = name
        self._undo = undo
        self._hi = np.zeros(256, np.int64)
        self._lo = np.zeros(256, np.int64)
        self._float = np.zeros(256, np.float64)

    def get(self, account: int) -> int:
        """Return the exact value of an account row."""
        if account >= len(self._hi):
            return 0
        return int(self._hi[account]) * WAD + int(self._lo[account])

    def set(self, account: int, value: int) -> None:
        """Write the value of an account row."""
        self._undo.record(self, account, self.get(account))
        self._write(account, value)

    def restore(self, key: object, old: object) -> None:
        """Put an old value back; only the undo log calls this."""
        self._write(cast("int", key), cast("int", old))

    def floats(self, accounts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the values of these account rows in whole units, (account,)."""
        self._reach(int(accounts.max(initial=-1)))
        return self._float[accounts]

    def _write(self, account: int, value: int) -> None:
        hi, lo = divmod(value, WAD)
        if not -HI_MAX <= hi <= HI_MAX:
            raise InvariantViolation(f"{self.name} of {value} does not fit two int64 columns")
        self._reach(account)
        self._hi[account], self._lo[account], self._float[account] = hi, lo, value / WAD

    def _reach(self, account: int) -> None:
        if account >= len(self._hi):
            size = max(account + 1, 2 * len(self._hi))
            for name in ("_hi", "_lo", "_float"):
                old = getattr(self, name)
                new = np.zeros(size, old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
