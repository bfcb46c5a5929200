"""A block's logs as columns: what repeats is held once, and a `Log` is made where one is asked for.

Ten thousand logs as objects cost more to make than to fold, and few are ever looked at one by one.
Pure; knows no JSON, no node, and nothing of what a word means.
"""

from binascii import unhexlify
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import ClassVar, Final, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from keeper.domain.events import Log
from keeper.domain.units import Address, Hash


TOPICS_MAX: Final = 4
NONE: Final = -1

Places = NDArray[np.int64]
Windows = NDArray[np.void]


class Columns(NamedTuple):
    """What logs say, in log order; an address or a topic is told by its place in a table.

    addresses  each address once
    address    (log,) place in `addresses`
    words      each topic once
    topics     (log, TOPICS_MAX) place in `words`, NONE beyond a log's last topic
    data       the data of all logs as bytes, in whatever order
    start      (log,) where in `data` the log's own begin
    size       (log,) how many bytes they are
    """

    addresses: Sequence[Address]
    address: Places
    words: Sequence[str]
    topics: Places
    data: bytes
    start: Places
    size: Places

    def at(self, rows: Places) -> "Columns":
        """Return some of the logs, in the order of `rows`."""
        return self._replace(
            address=self.address[rows],
            topics=self.topics[rows],
            start=self.start[rows],
            size=self.size[rows],
        )


class Logs(Sequence[Log]):
    """Logs of one block in the order they were given, held as columns; equal to a tuple of them.

    All texts are canonical: "0x" and lower-case digits. `log_index` is (log,) the logs' own,
    `transaction` (log,) a place in `transactions`, which hold each hash once.
    """

    __slots__ = ("columns", "log_index", "transaction", "transactions")
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # as a list: no key of anything

    def __init__(
        self, columns: Columns, log_index: Places, transaction: Places, transactions: Sequence[Hash]
    ) -> None:
        self.columns = columns
        self.log_index = log_index
        self.transaction = transaction
        self.transactions = transactions

    def __len__(self) -> int:
        return len(self.log_index)

    @overload
    def __getitem__(self, place: int) -> Log: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Log, ...]: ...
    def __getitem__(self, place: int | slice) -> Log | tuple[Log, ...]:
        if isinstance(place, slice):
            return tuple(map(self._log, range(*place.indices(len(self)))))
        return self._log(place)

    def __iter__(self) -> Iterator[Log]:
        return map(self._log, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Logs | tuple) else NotImplemented

    def heard(self) -> set[Address]:
        """Return the addresses that have a log here."""
        heard = np.flatnonzero(np.bincount(self.columns.address))
        return {self.columns.addresses[place] for place in heard.tolist()}

    def of(self, addresses: Collection[Address]) -> "Logs":
        """Return the logs of these addresses only."""
        ours = np.array([each in addresses for each in self.columns.addresses], bool)
        if ours.all():
            return self
        rows = np.flatnonzero(ours[self.columns.address])
        return Logs(
            self.columns.at(rows), self.log_index[rows], self.transaction[rows], self.transactions
        )

    def ascend(self) -> bool:
        """Whether each index is above the one before it."""
        return bool((np.diff(self.log_index) > 0).all())

    def _log(self, row: int) -> Log:
        addresses, address, words, topics, data, start, size = self.columns
        first = start.item(row)
        return Log(
            addresses[address.item(row)],
            tuple([words[place] for place in topics[row].tolist() if place != NONE]),
            "0x" + data[first : first + size.item(row)].hex(),
            self.log_index.item(row),
            self.transactions[self.transaction.item(row)],
        )


def windows(content: bytes, width: int, starts: Places) -> Windows:
    """Return so many bytes from each start on, (start,); raises IndexError beyond the content.

    One copy each, and no Python: what makes columns quicker than slices, a hundred times.
    """
    if len(content) < width:
        raise IndexError(f"{width} of {len(content)} bytes")
    every = np.ndarray((len(content) - width + 1,), f"V{width}", content, strides=(1,))
    return every[starts]


def columns_of(logs: Sequence[Log]) -> Columns:
    """Return logs as columns; raises ValueError where data are no bytes or topics too many."""
    if isinstance(logs, Logs):
        return logs.columns
    addresses, topics, data, _, _ = zip(*logs, strict=True) if logs else ((),) * 5
    counts = np.fromiter(map(len, topics), np.int64, len(logs))
    if counts.max(initial=0) > TOPICS_MAX:
        raise ValueError("more topics than a log has")
    heard, address = _numbered(addresses)
    words, said = _numbered([*chain.from_iterable(topics)])
    places = np.full((len(logs), TOPICS_MAX), NONE, np.int64)
    places[np.arange(TOPICS_MAX) < counts[:, None]] = said
    digits = np.fromiter(map(len, data), np.int64, len(logs)) - len("0x")
    if (digits % 2).any() or not {*map(_PREFIX, data)} <= {"0x"}:
        raise ValueError("data that are no bytes")
    joined, size = unhexlify("".join(map(_DIGITS, data))), digits // 2
    return Columns(heard, address, words, places, joined, np.cumsum(size) - size, size)


_PREFIX: Final = itemgetter(slice(0, 2))
_DIGITS: Final = itemgetter(slice(2, None))


def _numbered(texts: Sequence[str]) -> tuple[Sequence[str], Places]:
    """Return each text once, and the place of each among them."""
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return [*place], np.fromiter(map(place.__getitem__, texts), np.int64, len(texts))
