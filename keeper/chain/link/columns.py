"""Many logs at once, checked column by column: an answer of 10,000 of them must cost no block time.

Pure, and no second opinion: what is not exactly in canonical form (lower case, nothing missing,
nothing odd) is left to `keeper.chain.link.wire`, which reads it log by log and says what is wrong.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

from keeper.domain.events import Log
from keeper.domain.units import Hash


_HASH_LENGTH: Final = 66
_ADDRESS_LENGTH: Final = 42
_QUANTITY_LENGTHS: Final = range(3, 67)
_DIGITS: Final = b"0123456789abcdef"
_FIELDS: Final = itemgetter(
    "address", "topics", "data", "logIndex", "transactionHash", "blockNumber", "blockHash"
)
_PREFIX: Final = itemgetter(slice(0, 2))
# `Log._make` without a call in Python for each: the rows are five wide by their making.
_LOG: Final[Callable[[Iterable[Any]], Log]] = partial(tuple.__new__, Log)


class LogRows(list[tuple[int, Hash, Log]]):
    """(number, block hash, log) of each log of an answer: what was read and found sound."""


class LogColumns:
    """Reads an answer piece by piece; equal words become one object, checked once at the end."""

    def __init__(self) -> None:
        self._rows = LogRows()
        self._hashes: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def add(self, raw: Sequence[Any]) -> bool:
        """Take some logs; False where one of them needs a closer look."""
        try:
            return not raw or self._add(raw)
        except (TypeError, KeyError, AttributeError, ValueError):
            return False  # not objects, a field is missing, or it is no text

    def rows(self) -> LogRows | None:
        """Return all rows, or None where a word among them is not in canonical form."""
        try:
            sound = (
                _are_hex(self._hashes, {_HASH_LENGTH})
                and _are_hex(self._addresses, {_ADDRESS_LENGTH})
                and _are_hex(self._numbers, _QUANTITY_LENGTHS)
            )
        except TypeError:
            return None  # no text
        return self._rows if sound else None

    def _add(self, raw: Sequence[Any]) -> bool:
        fields = zip(*map(_FIELDS, raw), strict=True)
        addresses, topics, data, indexes, transactions, numbers, blocks = fields
        removed = [log.get("removed") for log in raw]
        if (
            removed.count(False) + removed.count(None) != len(raw)
            or {*map(type, topics)} != {list}
            or max(map(len, topics)) > 4
            or not _are_data(data)
            or not _are_hex(indexes, _QUANTITY_LENGTHS)
        ):
            return False
        word = self._hashes.setdefault
        rows = zip(
            map(self._addresses.setdefault, addresses, addresses),
            [tuple(map(word, some, some)) for some in topics],
            data,
            [int(index, 16) for index in indexes],
            map(word, transactions, transactions),
            strict=True,
        )
        self._numbers.update({text: int(text, 16) for text in dict.fromkeys(numbers)})
        places = map(self._numbers.__getitem__, numbers), map(word, blocks, blocks)
        self._rows += zip(*places, map(_LOG, rows), strict=True)
        return True


def read_logs(raw: Sequence[Any]) -> LogRows | None:
    """Return (number, block hash, log) of each, or None where one of them needs a closer look."""
    columns = LogColumns()
    return columns.rows() if columns.add(raw) else None


def _are_hex(values: Iterable[str], lengths: Iterable[int]) -> bool:
    """Whether each is "0x" and lower-case hex digits, of such a length; else TypeError."""
    texts = [*values]
    return {*map(len, texts)}.issubset(lengths) and _are_digits(texts)


def _are_data(values: Sequence[str]) -> bool:
    """Whether each is "0x" and an even number of lower-case hex digits; else TypeError."""
    return not any(length % 2 for length in {*map(len, values)}) and _are_digits(values)


def _are_digits(values: Sequence[str]) -> bool:
    """Whether each begins with "0x" and is lower-case hex digits after it; else TypeError.

    Joined, they are checked in one pass: with as many "x" as there are values, and each of them
    where a prefix has it, no other is left once the digits are taken away.
    """
    joined = "".join(values)
    if not joined.isascii() or not {*map(_PREFIX, values)} <= {"0x"}:
        return False
    return joined.encode().translate(None, _DIGITS) == b"x" * len(values)
