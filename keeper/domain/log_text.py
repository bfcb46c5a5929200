"""Many logs as the journal's JSON, written column by column; `codec` says what the form is.

As objects, ten thousand logs would cost more to write than to fold. Pure.
"""

from binascii import hexlify
from collections.abc import Sequence
from typing import Final

import numpy as np

from keeper.domain.logs import NONE, Logs, Places, Windows, windows


_INDEX_DIGITS_MAX: Final = 16  # of what JSON holds exactly
_TENS: Final = 10 ** np.arange(_INDEX_DIGITS_MAX)


def written(logs: Logs) -> bytes:
    """Return what `canonical` makes of a list of these logs, each as a list of its five parts."""
    if not logs:
        return b"[]"
    columns = logs.columns
    addresses = _texts([f'["{each}",[' for each in columns.addresses])
    words = _texts([f'"{each}",' for each in columns.words])
    transactions = _texts([f',"{each}"],' for each in logs.transactions])
    topics = (columns.topics != NONE).sum(axis=1)
    digits = np.searchsorted(_TENS[1:], logs.log_index, side="right") + 1
    before = addresses.itemsize + topics * words.itemsize - (topics > 0)
    # The last topic's comma is written over.
    data = before + len(_DATA)
    index = data + 2 * columns.size + len(_INDEX)
    length = index + digits + transactions.itemsize
    ends = 1 + np.cumsum(length)  # after the bracket that opens the list
    starts = ends - length
    page = _Page(int(ends[-1]))
    page.put(addresses[columns.address], starts)
    for place, said in enumerate(columns.topics.T):
        rows = np.flatnonzero(said != NONE)
        at = starts[rows] + addresses.itemsize + place * words.itemsize
        page.put(words[said[rows]], at)
    page.put(_texts([_DATA]), starts + before)
    _put_data(page, logs, starts + data)
    page.put(_texts([_INDEX]), starts + index - len(_INDEX))
    _put_index(page, logs.log_index, digits, starts + index)
    page.put(transactions[logs.transaction], ends - transactions.itemsize)
    page.text[0], page.text[-1] = b"[]"  # the latter for the last log's comma
    return bytes(page.text)


_DATA: Final = '],"0x'
_INDEX: Final = '",'


class _Page:
    """Text that is written from many places on at once."""

    def __init__(self, size: int) -> None:
        self.text = bytearray(size)

    def put(self, texts: Windows, starts: Places) -> None:
        """Write a text at each start, or one and the same at all."""
        if starts.size:
            width = texts.itemsize
            every = np.ndarray((len(self.text) - width + 1,), texts.dtype, self.text, strides=(1,))
            every[starts] = texts


def _put_data(page: _Page, logs: Logs, starts: Places) -> None:
    columns = logs.columns
    for size in np.unique(columns.size).tolist():
        if size:
            rows = np.flatnonzero(columns.size == size)
            digits = hexlify(windows(columns.data, size, columns.start[rows]).tobytes())
            page.put(np.frombuffer(digits, f"V{2 * size}"), starts[rows])


def _put_index(page: _Page, index: Places, digits: Places, starts: Places) -> None:
    for width in np.unique(digits).tolist():
        rows = np.flatnonzero(digits == width)
        decimals = index[rows, None] // _TENS[width - 1 :: -1] % 10 + ord("0")
        page.put(decimals.astype(np.uint8).view(f"V{width}").ravel(), starts[rows])


def _texts(texts: Sequence[str]) -> Windows:
    """Return texts of one length as an array."""
    width = len(texts[0]) if texts else 1
    return np.frombuffer("".join(texts).encode("ascii"), f"V{width}")
