"""Many logs at once, checked column by column: an answer of 10,000 of them must cost no block time.

Pure, and no second opinion: what is not exactly in canonical form (lower case, nothing missing,
nothing odd) is left to `keeper.chain.wire`, which reads it log by log and says what is wrong.
"""

from collections.abc import Sequence
from typing import Any, Final

from keeper.domain.events import Log
from keeper.domain.units import Hash


_HASH_LENGTH: Final = 66
_ADDRESS_LENGTH: Final = 42
_QUANTITY_LENGTH_MAX: Final = 66
_DIGITS: Final = b"0123456789abcdef"


def read_logs(raw: Sequence[Any]) -> list[tuple[int, Hash, Log]] | None:
    """Return (number, block hash, log) of each, or None where one of them needs a closer look."""
    try:
        removed = [log.get("removed") for log in raw]
        if removed.count(False) + removed.count(None) != len(raw):
            return None
        addresses = [log["address"] for log in raw]
        topics = [log["topics"] for log in raw]
        data = [log["data"] for log in raw]
        transactions = [log["transactionHash"] for log in raw]
        indexes = _quantities([log["logIndex"] for log in raw])
        numbers = _quantities([log["blockNumber"] for log in raw])
        blocks = [log["blockHash"] for log in raw]
        lists = all(type(some) is list and len(some) <= 4 for some in topics)
        sound = (
            lists
            and _are_hex(addresses, _ADDRESS_LENGTH)
            and _are_hex([topic for some in topics for topic in some], _HASH_LENGTH)
            and _are_hex(transactions, _HASH_LENGTH)
            and _are_hex([*dict.fromkeys(blocks)], _HASH_LENGTH)
            and _are_data(data)
        )
    except (TypeError, KeyError, AttributeError):
        return None  # not objects, a field is missing, or it is no text
    if not sound or indexes is None or numbers is None:
        return None
    rows = zip(addresses, map(tuple, topics), data, indexes, transactions, strict=True)
    return [*zip(numbers, blocks, map(Log._make, rows), strict=True)]


def _are_hex(values: Sequence[str], length: int) -> bool:
    """Whether each is "0x" and lower-case hex digits, `length` characters in all; else TypeError.

    Joined, they are checked in one pass: with all of one length, the prefixes stand at known
    places, and no other "x" may be left once the digits are taken away.
    """
    if not values:
        return True
    joined, count = "".join(values), len(values)
    return (
        set(map(len, values)) == {length}
        and joined[::length].count("0") == count
        and joined[1::length].count("x") == count
        and _only_digits(joined, count)
    )


def _are_data(values: Sequence[str]) -> bool:
    """Whether each is "0x" and an even number of lower-case hex digits; else TypeError."""
    joined, count = "".join(values), len(values)
    even = not any(length % 2 for length in set(map(len, values)))
    return even and [v[:2] for v in values].count("0x") == count and _only_digits(joined, count)


def _only_digits(joined: str, count: int) -> bool:
    return joined.isascii() and joined.encode().translate(None, _DIGITS) == b"x" * count


def _quantities(values: Sequence[str]) -> list[int] | None:
    """Return lower-case hex quantities as ints, or None where one is not that; else TypeError."""
    distinct = [*dict.fromkeys(values)]
    joined, count = "".join(distinct), len(distinct)
    lengths = set(map(len, distinct))
    sound = (
        all(3 <= length <= _QUANTITY_LENGTH_MAX for length in lengths)
        and [v[:2] for v in distinct].count("0x") == count
        and _only_digits(joined, count)
    )
    if not sound:
        return None
    read = {value: int(value, 16) for value in distinct}
    return [read[value] for value in values]
