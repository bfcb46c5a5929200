"""Signed feed data as a feed takes them: `FeedData`, opened into the row the feed would then hold.

Every word is checked as a log's are, and what the feed itself would refuse for another reason than
a signature raises Unfit. Must not know which payloads are held, nor the tables.
Source: derive-v2 feeds, `acceptData(abi.encode(FeedData))`, and each feed's own layout of `data`.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from keeper.domain.units import WAD
from keeper.protocols.derive.margins.readings import SETTLEMENT_WINDOW_S, Row
from keeper.protocols.derive.tables import (
    DIFF,
    FORWARD,
    RATE,
    SPOT,
    VOL,
    DiffRow,
    ForwardRow,
    RateRow,
    SpotRow,
    VolRow,
)
from keeper.protocols.derive.words import Unfit, signed, unsigned


BYTES_MAX: Final = 16_384


class Opened(NamedTuple):
    """What one payload says, and when the feed takes it."""

    expiry: int
    row: Row
    published_s: int
    deadline_s: int


def opened(kind: str, data: bytes) -> Opened:
    """Return abi.encode(FeedData) as what it says; raises Unfit for anything a feed refuses."""
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise Unfit(f"a feed of kind {kind} takes no signed data")
    if len(data) > BYTES_MAX or len(data) % 32:
        raise Unfit(f"{len(data)} bytes are no FeedData")
    if len(data) < 32 * 8 or unsigned(data, 0) != 32:
        raise Unfit("no FeedData")
    body = data[32:]
    content = _bytes_at(body, unsigned(body, 0))
    deadline, timestamp = unsigned(body, 1), unsigned(body, 2, 64)
    words, read = layout
    if len(content) != 32 * words:
        raise Unfit(f"{len(content)} bytes of data, expected {words} words")
    expiry, row, confidence = read(content, timestamp)
    if confidence > WAD:
        raise Unfit("a confidence above 1")
    if timestamp == 0 or (expiry and timestamp > expiry and kind != RATE):
        raise Unfit("a timestamp that no feed takes")
    return Opened(expiry, row, timestamp, min(deadline, (1 << 63) - 1))


def _bytes_at(body: bytes, offset: int) -> bytes:
    if offset % 32 or offset + 32 > len(body):
        raise Unfit("data lie outside")
    length = int.from_bytes(body[offset : offset + 32], "big")
    if offset + 32 + length > len(body):
        raise Unfit("data lie outside")
    return body[offset + 32 : offset + 32 + length]


def _spot(raw: bytes, at: int) -> tuple[int, Row, int]:
    price, confidence = unsigned(raw, 0, 96), unsigned(raw, 1, 64)
    if price == 0:
        raise Unfit("a price of zero")
    return 0, SpotRow(price, confidence, at), confidence


def _diff(raw: bytes, at: int) -> tuple[int, Row, int]:
    confidence = unsigned(raw, 1, 64)
    return 0, DiffRow(signed(raw, 0, 96), confidence, at), confidence


def _rate(raw: bytes, at: int) -> tuple[int, Row, int]:
    confidence = unsigned(raw, 2, 64)
    return unsigned(raw, 0, 64), RateRow(signed(raw, 1, 96), confidence, at), confidence


def _forward(raw: bytes, at: int) -> tuple[int, Row, int]:
    expiry, confidence = unsigned(raw, 0, 64), unsigned(raw, 4, 64)
    start, current = unsigned(raw, 1), unsigned(raw, 2)
    if at + SETTLEMENT_WINDOW_S > expiry:
        if start >= current:
            raise Unfit("aggregates that do not grow")
    else:
        start = current = 0
    return expiry, ForwardRow(signed(raw, 3, 96), confidence, at, start, current), confidence


def _vol(raw: bytes, at: int) -> tuple[int, Row, int]:
    confidence = unsigned(raw, 8, 64)
    numbers = (signed(raw, 1), unsigned(raw, 2), signed(raw, 3), signed(raw, 4), unsigned(raw, 5))
    row = VolRow(*numbers, unsigned(raw, 6), unsigned(raw, 7, 64), confidence, at)
    return unsigned(raw, 0, 64), row, confidence


def octets(text: str) -> bytes:
    """Return a payload's hex digits as bytes; raises Unfit or ValueError."""
    if not text.startswith("0x") or len(text) > 2 + 2 * BYTES_MAX:
        raise Unfit("no hex digits, or too many")
    return bytes.fromhex(text[2:])


# Words of a feed's data, and how they are read: (expiry, row, confidence).
LAYOUTS: Final[dict[str, tuple[int, Callable[[bytes, int], tuple[int, Row, int]]]]] = {
    SPOT: (2, _spot),
    DIFF: (2, _diff),
    RATE: (3, _rate),
    FORWARD: (5, _forward),
    VOL: (9, _vol),
}
