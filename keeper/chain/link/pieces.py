"""Long answers of logs, read out of the bytes instead of as one document.

Pure, and no second opinion. The logs of one block are read by their pattern, others piece by piece:
a piece fits the processor's cache, the whole does not, which makes three times the speed. What is
not certainly the same as the whole read at once is left to that.
"""

from typing import Any, Final, NamedTuple

import orjson

from keeper.chain.link.columns import LogColumns, LogRows
from keeper.chain.link.pattern import BlockRows, read_block


_LEAST_BYTES: Final = 64 * 1024  # shorter messages are read at once as quickly
_PIECE_BYTES: Final = 96 * 1024
_OPENING: Final = b'"result":[{"'
_CLOSINGS: Final = (b"}]}", b'}],"')  # the result comes last, or the id after it
_BETWEEN: Final = b"},{"
_STAND_IN: Final = "keeper:logs"


class Carved(NamedTuple):
    """A message whose array of logs was read by itself: `rest` says `stand_in` in its place."""

    rest: bytes
    rows: BlockRows | LogRows
    stand_in: list[str]


def carve(raw: bytes | str) -> Carved | None:
    """Return a long message with its logs read, None where it must be read as a whole.

    Why it is the same: each piece is an array of logs, so what was taken out is one array.
    The stand-in is an array, too, so `rest` is JSON where the message is and nowhere else: had the
    array begun inside a string, the first quote of either would end it before a letter. And the
    words of the stand-in occur nowhere else, not even escaped, so they stand for this array only.
    """
    if len(raw) < _LEAST_BYTES:
        return None
    try:
        message = raw.encode() if isinstance(raw, str) else raw
    except UnicodeEncodeError:
        return None
    first = message.find(_OPENING) + len(_OPENING) - 2
    last = 0
    for closing in _CLOSINGS:  # the last of any: what stands before one that was found is no more
        last = max(last, message.rfind(closing, last) + 1)
    if not len(_OPENING) - 2 <= first < last:
        return None
    rows = read_block(message, first, last) or _rows(message, first, last)
    stand_in = [_STAND_IN]
    rest = message[: first - 1] + orjson.dumps(stand_in) + message[last + 1 :]
    if rows is None or rest.count(_STAND_IN.encode()) != 1 or b"\\" in rest:
        return None
    return Carved(rest, rows, stand_in)


def _rows(message: bytes, first: int, last: int) -> LogRows | None:
    """Return the logs from the first brace up to the last one, or None."""
    columns = LogColumns()
    while first < last:
        cut = message.find(_BETWEEN, first + _PIECE_BYTES, last)
        end = last if cut < 0 else cut + 1
        piece = _array(message[first:end])
        if piece is None or not columns.add(piece):
            return None
        first = end + 1
    return columns.rows()


def _array(piece: bytes) -> Any:
    """Return the elements of a piece, None where it is no JSON."""
    try:
        return orjson.loads(b"[" + piece + b"]")
    except ValueError:
        return None
