"""Logs as a node would give them, encoded by eth-abi: an oracle independent of our slicing."""

from typing import Any

from eth_abi.abi import encode

from keeper.domain.events import Log
from keeper.protocols.derive.abi import EVENTS, TOPIC


SOURCE = "0x" + "ab" * 20
TRANSACTION = "0x" + "cd" * 32

# How many of an event's first arguments are indexed, where any are; Derive's ABI.
INDEXED = {
    "AccountCreated": 3,
    "BalanceAdjusted": 3,
    "Transfer": 3,
    "InterestAccruedOnAccount": 1,
    "PositionSettled": 1,
    "PositionCleared": 1,
    "ForwardDataUpdated": 1,
    "VolDataUpdated": 1,
    "RateUpdated": 1,
    "LibOverrideUpdated": 1,
}


def types_of(signature: str) -> list[str]:
    """Return the argument types of a signature, tuples whole."""
    inner = signature[signature.index("(") + 1 : -1]
    types, depth, start = [], 0, 0
    for at, letter in enumerate(inner + ","):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            types.append(inner[start:at])
            start = at + 1
    return [each for each in types if each]


def log_of(name: str, *arguments: Any, source: str = SOURCE, index: int = 3) -> Log:
    """Return the log of an event with these arguments, in the order of its signature."""
    types, count = types_of(EVENTS[name]), INDEXED.get(name, 0)
    assert len(types) == len(arguments), f"{name} has {types}"
    topics = [
        "0x" + encode([kind], [value]).hex() for kind, value in zip(types, arguments, strict=True)
    ]
    data = "0x" + encode(types[count:], arguments[count:]).hex()
    return Log(source, (TOPIC[name], *topics[:count]), data, index, TRANSACTION)
