"""Frames that no node should send, by seed: the same seed gives the same frames.

They start from frames that a node does send, so that they get past the first check, and are then
bent: bytes, types, ids, numbers, depth, repetition. It knows nothing of who reads them.
"""

import json
import random
from collections.abc import Iterator
from typing import Any


HASH = "0x" + "ab" * 32
LOG: dict[str, Any] = {
    "address": "0x" + "aa" * 20,
    "topics": [HASH, HASH],
    "data": "0x" + "00" * 64,
    "logIndex": "0x0",
    "transactionHash": HASH,
    "blockNumber": "0x10",
    "blockHash": HASH,
}
BLOCK: dict[str, Any] = {
    "number": "0x10",
    "hash": HASH,
    "parentHash": HASH,
    "timestamp": "0x6553f100",
    "baseFeePerGas": "0x7",
    "gasLimit": "0x1c9c380",
    "gasUsed": "0x0",
    "logsBloom": "0x" + "00" * 256,
}
RECEIPT: dict[str, Any] = {
    "transactionHash": HASH,
    "blockNumber": "0x10",
    "blockHash": HASH,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x7",
    "logs": [LOG],
}
ERROR = {"code": -32000, "message": "header not found", "data": "0x12345678"}
GOOD: list[Any] = [
    {"jsonrpc": "2.0", "id": 1, "result": "0x10"},
    {"jsonrpc": "2.0", "id": 2, "result": BLOCK},
    {"jsonrpc": "2.0", "id": 3, "result": [LOG, LOG]},
    {"jsonrpc": "2.0", "id": 4, "result": [RECEIPT]},
    {"jsonrpc": "2.0", "id": 5, "error": ERROR},
    [{"jsonrpc": "2.0", "id": 6, "result": BLOCK}, {"jsonrpc": "2.0", "id": 7, "result": [LOG]}],
    {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": "0x1", "result": BLOCK},
    },
]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    2**64,
    10**40,
    1.5,
    1e308,
    "",
    "0x",
    "0xz",
    "0x123",
    "0x" + "f" * 65,
    "0X10",
    "\x00\x1b[31m",
    "\ud800",
    [],
    {},
    [[]],
    {"": None},
    "x" * 5_000,
]
# What JSON cannot be made of by a serialiser, put in as text.
RAW: list[bytes] = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 400,
    b"[" * 2_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b'"\\ud800"',
    b"\xff\xfe",
    b'{"id":1,"id":2,"result":1,"result":2}',
    b"",
    b"\x00",
]


def hostile(seed: int, count: int) -> Iterator[bytes]:
    """Yield `count` frames."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _frame(chance)


def _frame(chance: random.Random) -> bytes:
    kind = chance.randrange(10)
    if kind == 0:
        return chance.choice(RAW)
    if kind == 1:
        return chance.randbytes(chance.randrange(200))
    frame = json.loads(json.dumps(chance.choice(GOOD)))
    for _ in range(chance.randrange(1, 4)):
        frame = bent(frame, chance)
    raw = json.dumps(frame).encode()
    if kind == 2:
        return raw[: chance.randrange(len(raw) + 1)]
    if kind == 3:
        place = chance.randrange(len(raw))
        return raw[:place] + chance.choice(RAW) + raw[place:]
    if kind == 4:
        place = chance.randrange(len(raw))
        return raw[:place] + chance.randbytes(1) + raw[place + 1 :]
    return raw


def bent(value: Any, chance: random.Random) -> Any:
    """Return a JSON value with one part, anywhere in it, odd, missing or repeated."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        fate = chance.randrange(8)
        if fate == 0:
            return {each: value[each] for each in value if each != key}
        if fate == 1:
            return {**value, chance.choice(["id", "result", "error", "method"]): chance.choice(ODD)}
        return {**value, key: bent(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        if chance.randrange(6) == 0:
            return value + value[place:] * chance.randrange(1, 5)
        return [*value[:place], bent(value[place], chance), *value[place + 1 :]]
    return chance.choice(ODD)
