"""The 32-byte words of logs and results: numbers, addresses and flags, each checked for its type.

Knows no event and no view. What does not fit raises Unfit or ValueError; the caller says where.
"""

from collections.abc import Callable
from typing import Final

from keeper.domain.events import Log


Value = int | str | bool

PADDING: Final = bytes(12)


class Unfit(Exception):
    """A body that does not fit its topic; the caller says where."""


def body(log: Log, words: int, topics: int = 1) -> bytes:
    """Return the data as bytes; raises Unfit or ValueError unless they are so many words."""
    data = log.data
    if len(log.topics) != topics:
        raise Unfit(f"expected {topics} topics, was {len(log.topics)}")
    if len(data) != 2 + 64 * words or data[:2] != "0x":
        raise Unfit(f"expected {words} words of data, was {len(data)} characters")
    raw = bytes.fromhex(data[2:])
    # fromhex overlooks blanks: then the bytes are fewer than the characters said.
    if len(raw) != 32 * words:
        raise Unfit("data are not hex digits")
    return raw


def word(topic: str) -> bytes:
    """Return a topic as its 32 bytes."""
    if len(topic) != 66 or topic[:2] != "0x":
        raise Unfit(f"expected a topic of 32 bytes, was {topic[:80]}")
    raw = bytes.fromhex(topic[2:])
    if len(raw) != 32:
        raise Unfit("a topic is not hex digits")
    return raw


def unsigned(raw: bytes, index: int, bits: int = 256) -> int:
    """Return word `index` as an unsigned number of so many bits."""
    value = int.from_bytes(raw[32 * index : 32 * index + 32], "big")
    if value >> bits:
        raise Unfit(f"word {index} does not fit uint{bits}")
    return value


def signed(raw: bytes, index: int, bits: int = 256) -> int:
    """Return word `index` as a signed number of so many bits."""
    value = int.from_bytes(raw[32 * index : 32 * index + 32], "big", signed=True)
    if value >> (bits - 1) not in (0, -1):
        raise Unfit(f"word {index} does not fit int{bits}")
    return value


def address(raw: bytes, index: int = 0) -> str:
    """Return word `index` as an address."""
    start = 32 * index
    if raw[start : start + 12] != PADDING:
        raise Unfit(f"word {index} is no address")
    return "0x" + raw[start + 12 : start + 32].hex()


def flag(raw: bytes, index: int) -> bool:
    """Return word `index` as a bool."""
    return unsigned(raw, index, 1) == 1


def packed(raw: bytes) -> tuple[str, int]:
    """Return assetAndSubId as (asset, subId)."""
    return "0x" + raw[:20].hex(), int.from_bytes(raw[20:], "big")


# u, i: a number; a: an address; b: a flag; i64, u64: a number of so many bits.
WORD: Final[dict[str, Callable[[bytes, int], Value]]] = {
    "u": unsigned,
    "i": signed,
    "a": address,
    "b": flag,
    "i64": lambda raw, index: signed(raw, index, 64),
    "u64": lambda raw, index: unsigned(raw, index, 64),
}


def values(raw: bytes, shape: str) -> list[Value]:
    """Return the words of `raw` by a shape such as "u a b"."""
    return [WORD[kind](raw, index) for index, kind in enumerate(shape.split())]
