"""Pyth's updates as bytes, by the envelope that its contracts take; nothing in them is signed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from keeper.market.pyth import PythPrice


ETH, BTC = "0x" + "e1" * 32, "0x" + "b1" * 32
NOW = 1_800_000_000
USD = 10**8


def price(usd: int = 2_000, at: int = NOW, *, about: str = ETH, within: int = 1) -> PythPrice:
    return PythPrice(about, usd * USD, within * USD, -8, at)


def message(one: PythPrice, more: bytes = b"") -> bytes:
    """A price with its branch of two nodes; `more` is what a later version may add."""
    numbers = (one.price, one.confidence, one.exponent, one.published_s, one.published_s - 1, 1, 1)
    body = b"\0" + bytes.fromhex(one.feed[2:]) + struct.pack(">qQiqqqQ", *numbers) + more
    return struct.pack(">H", len(body)) + body + b"\2" + bytes(40)


def packed(
    *prices: PythPrice, more: bytes = b"", proof: bytes = bytes(160), head: bytes = b""
) -> bytes:
    """One update that brings prices."""
    start = b"PNAU\1\0" + bytes([len(head)]) + head + b"\0"
    signed = struct.pack(">H", len(proof)) + proof
    return start + signed + bytes([len(prices)]) + b"".join(message(one, more) for one in prices)


def frame(data: Sequence[bytes], prices: Sequence[PythPrice]) -> dict[str, object]:
    """What Hermes says of updates; ids without their 0x, numbers of 64 bits as text."""
    parsed = [
        {
            "id": one.feed[2:],
            "price": {
                "price": str(one.price),
                "conf": str(one.confidence),
                "expo": one.exponent,
                "publish_time": one.published_s,
            },
            "metadata": {"slot": 1, "prev_publish_time": one.published_s - 1},
        }
        for one in prices
    ]
    return {
        "binary": {"encoding": "hex", "data": [each.hex() for each in data]},
        "parsed": parsed,
    }
