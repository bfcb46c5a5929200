"""Pyth's accumulator update taken apart: which prices the bytes bring, signed or not. Pure.

Magic, version, a header that may grow, a proof that a root was signed, then each price with its
branch to that root; all big-endian. The contract checks proofs, we only read what is proved.
Source: Pyth's accumulator wire format ("PNAU", version 1, WormholeMerkle, PriceFeedMessage),
docs.pyth.network; tried on updates of mainnet.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple


MAGIC: Final = b"PNAU"
MAJOR: Final = 1
WORMHOLE_MERKLE: Final = 0
PRICE_FEED: Final = 0
NODE_BYTES: Final = 20
# kind; id; price, confidence, exponent, time, time before; the moving average's two
MESSAGE: Final = struct.Struct(">B32sqQiqqqQ")


class Proved(NamedTuple):
    """One price as the bytes say it, in the contract's own widths."""

    price_id: str  # "0x" and 64 hex digits
    price: int
    confidence: int
    exponent: int
    published_s: int


def proved(data: bytes) -> tuple[Proved, ...]:
    """Return the prices of an update, none where it is not one or does not hold together."""
    if not data.startswith(MAGIC):
        return ()
    try:
        return tuple(_messages(data))
    except (struct.error, IndexError):
        return ()


def _messages(data: bytes) -> Iterator[Proved]:
    """Return each price message; raises struct.error or IndexError where bytes are missing."""
    major, _, header = data[4], data[5], data[6]
    at = 7 + header
    if major != MAJOR or data[at] != WORMHOLE_MERKLE:
        return
    (signed_bytes,) = struct.unpack_from(">H", data, at + 1)
    at += 3 + signed_bytes
    count, at = data[at], at + 1
    for _ in range(count):
        (size,) = struct.unpack_from(">H", data, at)
        if data[at + 2] == PRICE_FEED:
            _, price_id, price, confidence, exponent, published, *_ = MESSAGE.unpack_from(
                data, at + 2
            )
            yield Proved("0x" + price_id.hex(), price, confidence, exponent, published)
        at += 2 + size
        at += 1 + NODE_BYTES * data[at]
    if at != len(data):
        raise IndexError("bytes after the last branch, or too few")
