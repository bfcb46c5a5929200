"""The quick reader of many logs agrees with the slow one, or leaves the answer to it."""

import json
import random
from typing import Any

import pytest

from keeper.chain.link import wire
from keeper.chain.link.columns import read_logs
from keeper.domain.errors import MalformedReply
from tests.world.hostile_frames import LOG, ODD, bent


def slowly(raw: list[Any]) -> Any:
    """Return what the reader of single logs makes of each, or "refused"."""
    try:
        return [wire._log("node", each) for each in raw]
    except MalformedReply:
        return "refused"


def logs(count: int) -> list[dict[str, Any]]:
    return [
        {
            **LOG,
            "logIndex": hex(index),
            "data": "0x" + "ab" * (index % 70),
            "topics": [f"0x{index:064x}"] * (index % 5),
            "removed": False,
        }
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_canonical_logs_are_read_at_once(count: int) -> None:
    raw = logs(count)
    assert read_logs(raw) == slowly(raw)
    assert len(read_logs(raw) or []) == count


@pytest.mark.parametrize("field", list(LOG))
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_a_field_that_is_odd_is_never_let_through(field: str, odd: Any) -> None:
    raw = [*logs(2), {**LOG, field: odd}]
    quick = read_logs(raw)
    assert quick is None or quick == slowly(raw)


@pytest.mark.parametrize(
    "value",
    [
        "0x" + "AB" * 32,
        "0x" + "ab" * 31 + "0x",
        "0x0x" + "ab" * 31,
        "x0" + "ab" * 32,
        "ab" * 33,
        "0x" + "ab" * 31 + "a ",
        "0x" + "ab" * 31 + "a_",
        "0x" + "\u0661" * 64,  # a digit to Python's int, and to nobody else
    ],
)
def test_what_only_looks_like_a_hash_goes_the_slow_way(value: str) -> None:
    for field in ("transactionHash", "blockHash"):
        assert read_logs([LOG, {**LOG, field: value}]) is None
    assert read_logs([LOG, {**LOG, "topics": [value]}]) is None


@pytest.mark.parametrize("value", ["0x", "0x1_0", "0x 1", "-0x1", "0x+1", "1", "0x" + "1" * 65])
def test_what_only_python_calls_a_number_goes_the_slow_way(value: str) -> None:
    for field in ("logIndex", "blockNumber"):
        raw = [LOG, {**LOG, field: value}]
        assert read_logs(raw) is None
        assert slowly(raw) == "refused"


def test_logs_that_were_taken_back_go_the_slow_way_and_are_refused() -> None:
    raw = [LOG, {**LOG, "removed": True}]
    assert read_logs(raw) is None
    assert slowly(raw) == "refused"


def test_bent_logs_are_read_as_the_slow_way_reads_them_or_not_at_all() -> None:
    chance = random.Random(5)
    read = left = 0
    for _ in range(20_000):
        raw = json.loads(json.dumps(logs(3)))
        raw[chance.randrange(3)] = bent(raw[0], chance)
        quick = read_logs(raw)
        if quick is None:
            left += 1
        else:
            read += 1
            assert quick == slowly(raw)
    assert read > 500
    assert left > 5_000
