"""A block's logs read column by column out of the bytes of the answer, none of them as an object.

Pure, and no second opinion. A node writes every log of a block alike: the same keys in the same
order, the same block, and hex digits between them. The first log, read as JSON, gives the pattern;
where every byte of the others is the pattern's or a digit in its place, they can mean nothing else.
What is not exactly so is left to `keeper.chain.link.columns`, and what that leaves, to `wire`.
"""

from binascii import unhexlify
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, overload

import numpy as np
import orjson
from numpy.typing import NDArray

from keeper.chain.link.columns import read_logs
from keeper.domain.events import Log
from keeper.domain.logs import NONE, TOPICS_MAX, Columns, Logs, Places, windows
from keeper.domain.units import Hash


LOG_BYTES_LEAST: Final = 256  # the names of its fields, an address and two hashes
ADDRESS_DIGITS: Final = 40
WORD_DIGITS: Final = 64
NUMBER_DIGITS_MAX: Final = 12  # fits int64, and JSON's exact numbers
DATA_WORDS_MAX: Final = 12  # longer data, and such as are not whole words, are searched for
DATA_SIZES_MAX: Final = 64
CLOSING_TOLD: Final = 16  # bytes after a log's data that are compared to find their end

_TEXT_FIELDS: Final = frozenset(
    ("address", "data", "logIndex", "transactionHash", "transactionIndex")
)
_OPENING: Final = b'"0x'
_OPENED: Final = np.frombuffer(_OPENING, np.uint8)
_BRACE, _CLOSE, _QUOTE, _COMMA = b'{]",'
_NO_DIGIT: Final = 255
_DIGIT: Final = np.full(256, _NO_DIGIT, np.uint8)
_DIGIT[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
# Odd numbers without a rule: what is told apart by them is compared afterwards.
_MIX: Final = [0x9E3779B97F4A7C15 * (2 * place + 1) % 2**64 for place in range(8)]

Letters = NDArray[np.uint8]


class BlockRows(Sequence[tuple[int, Hash, Log]]):
    """(number, block hash, log) of each log of an answer, all of one block, found sound."""

    def __init__(self, number: int, block: Hash, logs: Logs) -> None:
        self.number = number
        self.block = block
        self.logs = logs

    def __len__(self) -> int:
        return len(self.logs)

    @overload
    def __getitem__(self, place: int) -> tuple[int, Hash, Log]: ...
    @overload
    def __getitem__(self, place: slice) -> list[tuple[int, Hash, Log]]: ...
    def __getitem__(
        self, place: int | slice
    ) -> tuple[int, Hash, Log] | list[tuple[int, Hash, Log]]:
        if isinstance(place, slice):
            return [(self.number, self.block, log) for log in self.logs[place]]
        return self.number, self.block, self.logs[place]

    def __iter__(self) -> Iterator[tuple[int, Hash, Log]]:
        return ((self.number, self.block, log) for log in self.logs)


def read_block(message: bytes, first: int, last: int) -> BlockRows | None:
    """Return the logs between the first brace and the end of the last log, None where not alike."""
    braces = np.frombuffer(message, np.uint8)[first:last] == _BRACE
    if np.count_nonzero(braces) * LOG_BYTES_LEAST > last - first:
        return None  # no logs, and whoever sends braces only is not given memory for each
    starts = np.flatnonzero(braces) + first
    ends = np.append(starts[1:] - 1, last)
    try:
        pattern = _pattern(message[first : ends[0]])
        # The answer for a range ends in another block: that is seen before anything is read.
        if pattern is None or message.find(pattern.block.encode(), starts[-1]) < 0:
            return None
        logs = _Reading(message, starts, ends).read(pattern.steps)
        return BlockRows(pattern.number, pattern.block, logs)
    except (_Unlike, IndexError, ValueError):
        return None  # beyond the message, or no digits


class _Pattern(NamedTuple):
    """What stands before each field that differs; the last step has no field."""

    number: int
    block: Hash
    steps: list[tuple[bytes, str]]


class _Unlike(Exception):
    """A log that is not written as the first one is."""


def _pattern(first: bytes) -> _Pattern | None:
    """Return how the first log is written, None where it is not in canonical form.

    It is held against the pattern as all others are: a blank or a second key is seen then.
    """
    log: Any = orjson.loads(first)
    rows = read_logs([log])
    if not rows:
        return None
    steps, passed = [], b"{"
    for key, value in log.items():
        passed += orjson.dumps(key) + b":"
        if key == "topics":
            steps.append((passed + b"[", key))
            passed = b"]"
        elif key in _TEXT_FIELDS and isinstance(value, str) and value.startswith("0x"):
            steps.append((passed + _OPENING, key))
            passed = b'"'
        else:
            passed += orjson.dumps(value)
        passed += b","
    steps.append((passed[:-1] + b"}", ""))
    number, block, _ = rows[0]
    return _Pattern(number, block, steps)


class _Reading:
    """One answer under way: `_at` is where in each log we stand, (log,)."""

    def __init__(self, message: bytes, starts: Places, ends: Places) -> None:
        self._message = message
        self._letters = np.frombuffer(message, np.uint8)
        self._at = starts.copy()
        self._ends = ends

    def read(self, steps: Sequence[tuple[bytes, str]]) -> Logs:
        """Read every log from its start to its end; raises _Unlike, IndexError or ValueError."""
        fields: dict[str, Any] = {}
        self._pass(steps[0][0])
        for (_, field), (closing, _) in pairwise(steps):
            fields[field] = self._read(field, closing)
            self._pass(closing)
        if (self._at != self._ends).any() or (self._letters[self._ends[:-1]] != _COMMA).any():
            raise _Unlike
        (heard, address), (transactions, transaction) = fields["address"], fields["transactionHash"]
        columns = Columns(heard, address, *fields["topics"], *fields["data"])
        return Logs(columns, fields["logIndex"], transaction, transactions)

    def _pass(self, text: bytes) -> None:
        """Pass what is the same in every log."""
        if len(text) * len(self._at) > len(self._message):
            raise _Unlike  # they cannot all say it, and so much memory is not tried
        if windows(self._message, len(text), self._at).tobytes() != text * len(self._at):
            raise _Unlike
        self._at += len(text)

    def _read(self, field: str, closing: bytes) -> Any:
        match field:
            case "address":
                return self._word(ADDRESS_DIGITS)
            case "transactionHash":
                return self._word(WORD_DIGITS)
            case "topics":
                return self._topics()
            case "data":
                return self._data(closing)
        return self._number()

    def _word(self, digits: int) -> tuple[list[str], Places]:
        words = windows(self._message, digits, self._at)
        self._at += digits
        return _numbered(words.view(np.uint8).reshape(-1, digits))

    def _number(self) -> Places:
        """Read hex digits up to a quote, one or more."""
        value = np.zeros(len(self._at), np.int64)
        for place in range(NUMBER_DIGITS_MAX + 1):
            letters = self._letters[self._at]
            more = letters != _QUOTE
            digits = _DIGIT[letters]
            if not more.any() and place > 0:
                return value
            if (digits[more] == _NO_DIGIT).any() or (place == 0 and not more.all()):
                break
            value = np.where(more, value * 16 + digits, value)
            self._at += more
        raise _Unlike

    def _topics(self) -> tuple[list[str], Places]:
        """Read texts up to the bracket, TOPICS_MAX at most; that it stands there is seen next."""
        said: list[Letters] = []
        held: list[Places] = []
        rows = np.flatnonzero(self._letters[self._at] != _CLOSE)
        while rows.size and len(said) < TOPICS_MAX:
            width = len(_OPENING) + WORD_DIGITS + 2  # the quote, and what comes after it
            some = windows(self._message, width, self._at[rows]).view(np.uint8).reshape(-1, width)
            opening, quote, further = some[:, : len(_OPENING)], some[:, -2], some[:, -1] == _COMMA
            if (opening != _OPENED).any() or (quote != _QUOTE).any():
                raise _Unlike
            said.append(some[:, len(_OPENING) : -2])
            held.append(rows)
            self._at[rows] += width - 1 + further
            rows = rows[further]
        places = np.full((len(self._at), TOPICS_MAX), NONE, np.int64)
        if not said:
            return [], places
        words, codes = _numbered(np.concatenate(said))
        ends = np.cumsum([len(each) for each in held])
        for place, (of, code) in enumerate(zip(held, np.split(codes, ends), strict=False)):
            places[of, place] = code
        return words, places

    def _data(self, closing: bytes) -> tuple[bytes, Places, Places]:
        """Read hex digits up to a quote, an even number."""
        begin = self._at
        self._at = self._data_ends(closing[:CLOSING_TOLD])
        digits = self._at - begin
        sizes = np.unique(digits).tolist()
        if len(sizes) > DATA_SIZES_MAX or any(size % 2 for size in sizes):
            raise _Unlike
        start, joined = np.zeros(len(begin), np.int64), bytearray()
        for size in sizes:
            if size == 0:
                continue
            rows = np.flatnonzero(digits == size)
            start[rows] = len(joined) + np.arange(rows.size) * (size // 2)
            joined += _unhexed(windows(self._message, size, begin[rows]).view(np.uint8))
        return bytes(joined), start, digits // 2

    def _data_ends(self, closing: bytes) -> Places:
        """Return where data end: most are whole words, so it is there that `closing` is sought."""
        ends, width = self._at.copy(), len(closing)
        rows = np.arange(len(ends))
        for _ in range(DATA_WORDS_MAX + 1):
            there = np.minimum(ends[rows], len(self._message) - width)
            rows = rows[windows(self._message, width, there).view(f"S{width}") != closing]
            if not rows.size:
                break
            ends[rows] += WORD_DIGITS
        for row in np.union1d(rows, np.flatnonzero(ends > self._ends)).tolist():
            ends[row] = self._message.index(b'"', self._at.item(row))
        return ends


def _numbered(letters: Letters) -> tuple[list[str], Places]:
    """Return each row of hex digits (row, digit) once, and the place of each among them."""
    letters = np.ascontiguousarray(letters)
    parts = letters.view(np.uint64)
    mixed = np.zeros(len(parts), np.uint64)
    for column, factor in zip(parts.T, _MIX, strict=False):
        mixed += column * np.uint64(factor)
    order = np.argsort(mixed)
    fresh = np.append(True, np.diff(mixed[order]) != 0)
    places = np.empty(len(parts), np.int64)
    places[order] = np.cumsum(fresh) - 1
    distinct = order[fresh]
    if (parts[distinct][places] != parts).any():
        raise _Unlike  # two words that mix alike: somebody made them
    once = letters[distinct]
    _unhexed(once)
    text, width = once.tobytes().decode("ascii"), letters.shape[1]
    return ["0x" + text[at : at + width] for at in range(0, len(text), width)], places


def _unhexed(letters: Letters) -> bytes:
    """Return the bytes that lower-case hex digits are; raises _Unlike or ValueError."""
    if (letters & 0x60 == 0x40).any():
        raise _Unlike  # upper case
    return unhexlify(letters.tobytes())
