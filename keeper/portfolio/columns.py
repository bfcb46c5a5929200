"""One exact number an account: cash, an interest index, a perpetual's last mark.

Written through the undo log. Accounts that were never written hold 0.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from keeper.portfolio.exact import Exact, Parts
from keeper.portfolio.undo import UndoLog


ROWS_FIRST = 256


class Column:
    """An exact 18-decimal integer for each account row."""

    def __init__(self, undo: UndoLog, name: str) -> None:
        self.name = name
        self._undo = undo
        self._rows = Exact(name, ROWS_FIRST)

    def get(self, account: int) -> int:
        """Return the exact value of an account row."""
        return self._rows.get(account) if account < self._rows.rows else 0

    def set(self, account: int, value: int) -> None:
        """Write the value of an account row."""
        rows = self._rows
        if account >= rows.rows:
            rows.reach(account + 1)
        self._undo.record(self, account, rows.get(account))
        rows.put(account, value)

    def set_many(self, values: Mapping[int, int]) -> None:
        """Write many account rows at once: one record, and what `set` of each would leave."""
        if not values:
            return
        accounts, parts = np.array([*values], np.int64), self._rows.split(values.values())
        self._rows.reach(int(accounts.max()) + 1)
        self._undo.record(self, accounts, self._rows.parts().at(accounts))
        self._rows.lay(accounts, parts)

    def restore(self, key: object, old: object) -> None:
        """Put an old value back, or those of many rows; only the undo log calls this."""
        if isinstance(old, Parts):
            self._rows.lay(cast("NDArray[np.int64]", key), old)
        else:
            self._rows.put(cast("int", key), cast("int", old))

    def floats(self, accounts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the values of these account rows in whole units, (account,)."""
        self._rows.reach(int(accounts.max(initial=-1)) + 1)
        return self._rows.floats[accounts]

    def cut(self, accounts: int) -> Parts:
        """Return a copy of the first so many account rows."""
        return self._rows.cut(accounts)

    def fill(self, parts: Parts) -> None:
        """Take over the rows of a state file, unlogged; raises ValueError."""
        self._rows.fill(parts)
