"""Logs read by the pattern of the first are what JSON says they are, or are not read so at all."""

import random
import tracemalloc
from typing import Any

import orjson
import pytest

from keeper.chain.link import pattern, wire
from keeper.chain.link.pattern import read_block
from keeper.domain.errors import MalformedReply
from tests.world.hostile_frames import ODD


BLOCK = {"blockNumber": "0x1b4", "blockHash": "0x" + "5c" * 32, "removed": False}
# How clients order a log's keys: geth, reth and anvil, the simulation's own, and one without more.
ORDERS: dict[str, str] = {
    "geth": "address topics data blockNumber transactionHash transactionIndex blockHash "
    "blockTimestamp logIndex removed",
    "reth": "address topics data blockHash blockNumber blockTimestamp transactionHash "
    "transactionIndex logIndex removed",
    "data last": "removed blockHash blockNumber logIndex transactionHash address topics data",
    "topics last": "blockHash blockNumber logIndex transactionHash address data topics",
}


def drawn(chance: random.Random, count: int, order: str = ORDERS["geth"]) -> list[dict[str, Any]]:
    """Return logs of one block with topics, data and numbers of every length."""
    words = [f"0x{chance.getrandbits(256):064x}" for _ in range(12)]
    addresses = [f"0x{chance.getrandbits(160):040x}" for _ in range(3)]
    logs, index = [], 0
    for _ in range(count):
        index += chance.choice([1, 1, 1, 300])
        size = chance.choice([0, 32, 32, 96, 128, 512, 7, 36])
        fields = {
            **BLOCK,
            "blockTimestamp": "0x6553f100",
            "address": chance.choice(addresses),
            "topics": chance.choices(words, k=chance.randrange(5)),
            "data": "0x" + chance.randbytes(size).hex(),
            "transactionHash": chance.choice(words),
            "transactionIndex": hex(index // 7),
            "logIndex": hex(index),
        }
        logs.append({key: fields[key] for key in order.split()})
    return logs


def read(raw: bytes) -> Any:
    """Return the logs of an array by their pattern, None where they are not alike."""
    found = read_block(raw, 1, len(raw) - 1)
    return None if found is None else list(found)


def slowly(raw: bytes) -> Any:
    """Return the logs of an array as JSON and the reader of single logs have them."""
    try:
        return [wire._log("node", each) for each in orjson.loads(raw)]
    except (orjson.JSONDecodeError, MalformedReply):
        return "refused"


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("count", [1, 2, 300])
def test_logs_of_one_block_are_read_whatever_the_order_of_their_keys(
    order: str, count: int
) -> None:
    raw = orjson.dumps(drawn(random.Random(count), count, order))
    assert read(raw) == slowly(raw)
    assert len(read(raw)) == count


def test_equal_data_of_odd_lengths_are_read() -> None:
    # As many bytes as make the next log's end look like this one's, were rows not kept apart.
    for size in range(1, 200):
        logs = drawn(random.Random(size), 6)
        raw = orjson.dumps([{**each, "data": "0x" + "ab" * size} for each in logs])
        assert read(raw) == slowly(raw)


def test_half_bytes_do_not_make_whole_ones_together() -> None:
    first, *others = drawn(random.Random(8), 3)
    assert read(orjson.dumps([first, *[{**each, "data": "0xabc"} for each in others]])) is None


FIELDS = [*drawn(random.Random(1), 1)[0]]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("place", [0, 3])
def test_a_field_that_is_odd_is_never_let_through(field: str, odd: Any, place: int) -> None:
    logs = drawn(random.Random(2), 5)
    logs[place][field] = odd
    try:
        raw = orjson.dumps(logs)
    except TypeError:
        return  # no JSON can hold it
    found = read(raw)
    assert found is None or found == slowly(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "0x" + "AB" * 20),
        ("transactionHash", "0x" + "ab" * 31 + "aG"),
        ("transactionHash", "0x" + "ab" * 31),
        ("topics", ["0x" + "ab" * 31 + "AB"]),
        ("topics", ["0x" + "ab" * 31 + "a "]),
        ("topics", ["0x" + "ab" * 32] * 5),
        ("topics", [["0x" + "ab" * 32]]),
        ("data", "0xabc"),
        ("data", "0xAB"),
        ("data", "0x" + "ab" * 31 + "0x"),
        ("logIndex", "0x"),
        ("logIndex", "0xA"),
        ("logIndex", "0x" + "1" * 13),
        ("removed", True),
        ("blockNumber", "0x1b5"),
        ("blockHash", "0x" + "5d" * 32),
    ],
)
@pytest.mark.parametrize("place", [1, 4])
def test_what_is_not_exactly_alike_is_left_to_the_other_readers(
    field: str, value: Any, place: int
) -> None:
    logs = drawn(random.Random(3), 5)
    assert read(orjson.dumps(logs)) is not None
    logs[place][field] = value
    assert read(orjson.dumps(logs)) is None


@pytest.mark.parametrize(
    "twist",
    [
        lambda raw: raw.replace(b"},{", b"};{", 1),
        lambda raw: raw.replace(b"},{", b"} ,{", 1),
        lambda raw: raw.replace(b"},{", b"}{", 1),
        lambda raw: raw.replace(b'"removed"', b'"address":"0x00","removed"', 1),
        lambda raw: raw.replace(b'"removed":', b'"removed": '),
        lambda raw: raw.replace(b'"topics":["', b'"topics":[ "', 1),
        lambda raw: raw.replace(b'","', b'"."', 1),
        lambda raw: raw.replace(b"}]", b"}}]"),
    ],
)
def test_a_byte_that_is_out_of_place_is_seen(twist: Any) -> None:
    raw = orjson.dumps(drawn(random.Random(4), 5))
    assert twist(raw) != raw
    assert read(twist(raw)) is None


def test_a_bent_byte_is_never_read_as_something_else() -> None:
    chance = random.Random(5)
    as_it_was = left = 0
    for _ in range(3_000):
        raw = bytearray(orjson.dumps(drawn(chance, 4, chance.choice([*ORDERS.values()]))))
        place = chance.randrange(1, len(raw) - 1)
        raw[place] = chance.choice([chance.randrange(256), *b'0a9f{}[]",:\\'])
        found = read(bytes(raw))
        if found is None:
            left += 1
        else:
            as_it_was += 1
            assert found == slowly(bytes(raw))
    assert as_it_was > 300
    assert left > 300


def peak_bytes(raw: bytes) -> int:
    """Return how much memory reading takes at most, where nothing is read in the end."""
    tracemalloc.start()
    try:
        assert read(raw) is None
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_braces_alone_are_not_given_memory_each() -> None:
    raw = b'[{"' + b"{" * 1_000_000 + b"}]"
    assert peak_bytes(raw) < 8 * len(raw)


def test_a_long_first_log_is_not_held_against_every_other() -> None:
    logs = drawn(random.Random(7), 1_000)
    logs[0] = {"extra": "x" * 200_000, **logs[0]}
    raw = orjson.dumps(logs)
    assert peak_bytes(raw) < 8 * len(raw)


def test_words_that_are_mixed_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = orjson.dumps(drawn(random.Random(6), 20))
    monkeypatch.setattr(pattern, "_MIX", [0] * 8)  # as if somebody had found such words
    assert read(raw) is None
