"""Names for rows: which account and which instrument a row number means.

Interning only, not chain state: a number once given is never taken back, also not by a reorg,
and no output depends on the order in which numbers were given.
"""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keeper.domain.units import AccountId, Address


class Instrument(NamedTuple):
    """A listed contract or asset; the tuple order is the canonical order inside an account.

    `kind` is a code of `keeper.margin.book.Kind`; `strike_wad` and `expiry` are 0 where there is
    none; `address` and `sub_id` are what the venue calls it.
    """

    venue: str
    underlying: str
    kind_rank: int  # options first, so that an expiry's rows stand together
    expiry: int
    strike_wad: int
    kind: int
    address: Address
    sub_id: int


class Accounts:
    """(venue, account) to row and back; rows count from 0 in order of first sight."""

    def __init__(self) -> None:
        self._row: dict[tuple[str, AccountId], int] = {}
        self._key: list[tuple[str, AccountId]] = []

    def __len__(self) -> int:
        return len(self._key)

    def row(self, venue: str, account: AccountId) -> int:
        """Return the account's row, giving it one at first sight."""
        key = (venue, account)
        row = self._row.get(key)
        if row is None:
            row = self._row[key] = len(self._key)
            self._key.append(key)
        return row

    def find(self, venue: str, account: AccountId) -> int | None:
        """Return the account's row, None where it was never seen."""
        return self._row.get((venue, account))

    def key(self, row: int) -> tuple[str, AccountId]:
        """Return (venue, account) of a row."""
        return self._key[row]

    def cut(self) -> list[tuple[str, AccountId]]:
        """Return (venue, account) of every row, in row order."""
        return list(self._key)

    def fill(self, keys: list[tuple[str, AccountId]]) -> None:
        """Take over the rows of a state file; raises ValueError where one stands twice."""
        self._row = {key: row for row, key in enumerate(keys)}
        self._key = keys
        if len(self._row) != len(keys):
            raise ValueError("accounts: one stands twice")


class Instruments:
    """Instrument to row and back, with the canonical rank of each row."""

    def __init__(self) -> None:
        self._row: dict[Instrument, int] = {}
        self._key: list[Instrument] = []
        self._sorted: list[Instrument] = []
        self._rank: NDArray[np.int64] = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._key)

    def row(self, instrument: Instrument) -> int:
        """Return the instrument's row, giving it one at first sight."""
        row = self._row.get(instrument)
        if row is None:
            row = self._row[instrument] = len(self._key)
            self._key.append(instrument)
            # A new array: who holds the old one keeps the order it was read in.
            place = bisect_left(self._sorted, instrument)
            self._sorted.insert(place, instrument)
            self._rank = np.append(self._rank + (self._rank >= place), place)
        return row

    def __getitem__(self, row: int) -> Instrument:
        return self._key[row]

    def cut(self) -> list[Instrument]:
        """Return every instrument, in row order."""
        return list(self._key)

    def fill(self, listed: list[Instrument]) -> None:
        """Take over the rows of a state file; raises ValueError where one stands twice."""
        self._row = {instrument: row for row, instrument in enumerate(listed)}
        self._key, self._sorted = listed, sorted(listed)
        if len(self._row) != len(listed):
            raise ValueError("instruments: one stands twice")
        self._rank = np.zeros(len(listed), np.int64)
        for place, instrument in enumerate(self._sorted):
            self._rank[self._row[instrument]] = place

    @property
    def rank(self) -> NDArray[np.int64]:
        """Return each row's place in canonical order, (instrument,); a new listing moves them."""
        return self._rank
