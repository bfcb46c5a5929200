"""A long answer read out of its bytes says what the whole says, or is read as a whole."""

import json
import random
from typing import Any

import orjson
import pytest

from keeper.chain.link import frames, wire
from keeper.chain.link.columns import LogRows
from keeper.chain.link.frames import Notification, Reply, _frame, parse
from keeper.chain.link.pattern import BlockRows
from keeper.chain.link.pieces import carve
from tests.world.hostile_frames import LOG, bent


WORDS = "keeper:logs"  # what stands in for the logs


def logs(count: int) -> list[dict[str, Any]]:
    return [
        {**LOG, "logIndex": hex(index), "data": "0x" + "ab" * 300, "removed": False}
        for index in range(count)
    ]


def reply(result: Any, identifier: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "result": result}


def compact(message: Any) -> bytes:
    return orjson.dumps(message)


def plainly(frame: frames.Frame) -> Any:
    """Return a frame with its logs read, whichever way."""

    def read(item: Reply | Notification) -> Any:
        result = item.result
        if isinstance(result, BlockRows):
            result = list(result)
        elif isinstance(result, list) and result and isinstance(result[0], dict):
            try:
                result = wire.logs("node", result)
            except wire.MalformedReply as error:
                result = str(error)
        return item._replace(result=result)

    return frame._replace(items=tuple(map(read, frame.items)))


LONG = logs(160)


@pytest.mark.parametrize(
    "message",
    [
        reply(LONG),
        [reply({"number": "0x1", "withdrawals": [{"index": "0x1"}]}), reply(LONG, 2)],
        [reply(LONG, 2), reply(None)],
        {"result": LONG, "id": 7},
    ],
)
def test_a_long_answer_of_logs_is_read_out_of_the_bytes_and_is_the_same(message: Any) -> None:
    raw = compact(message)
    found = [item.result for item in parse(raw).items if isinstance(item.result, BlockRows)]
    assert len(found) == 1
    assert plainly(parse(raw)) == plainly(_frame(raw))
    assert plainly(parse(raw.decode())) == plainly(_frame(raw))


@pytest.mark.parametrize(
    "change",
    [
        {"blockHash": "0x" + "cd" * 32},
        {"logIndex": "0x" + "0" * 20 + "7"},
        {"another": "key"},
    ],
)
def test_logs_that_are_not_written_alike_are_read_in_pieces_and_are_the_same(
    change: dict[str, Any],
) -> None:
    raw = compact(reply([*LONG, {**LONG[0], **change}]))
    found = [item.result for item in parse(raw).items if isinstance(item.result, LogRows)]
    assert len(found) == 1
    assert plainly(parse(raw)) == plainly(_frame(raw))
    assert plainly(parse(raw.decode())) == plainly(_frame(raw))


@pytest.mark.parametrize(
    "raw",
    [
        compact(reply(logs(3))),  # short
        compact(reply([*LONG, {**LOG, "removed": True}])),
        compact(reply([*LONG, {**LOG, "data": "0xA"}])),
        compact(reply([*LONG, 5])),
        compact(reply(LONG))[:-1],
        compact(reply(LONG)).replace(b"},{", b"},,{", 1),
        compact(reply(LONG)).replace(b"},{", b"}{", 1),
        compact(reply(LONG))[:-2] + b",]}",
        compact(reply("x")) + compact(reply(LONG)),
        compact({"result": LONG, "id": 1, "extra": "\\"}),
        compact([reply(LONG), reply([WORDS], 2)]),
        compact([reply(LONG), reply(WORDS, 2)]),
        compact({"method": "m", "params": {"subscription": "0x1", "result": LONG}}),
        compact(reply({"result": LONG})),
        compact(reply(LONG))[:-1] + b',"result":0}',
        b'{"id":1,"x":"' + compact(reply(LONG)) + b'"}',
        b'{"id":1,"x":"\\' + compact(reply(LONG)) + b'"}',
        compact(reply(LONG)) + b"\xff",
        b'"' + compact(reply(LONG)),
    ],
)
def test_what_is_not_surely_the_same_is_read_as_a_whole(raw: bytes) -> None:
    assert not any(isinstance(item.result, BlockRows | LogRows) for item in parse(raw).items)
    assert parse(raw) == _frame(raw)


def test_an_escaped_stand_in_does_not_get_the_logs_of_another() -> None:
    # Its own array is overridden by a duplicate key, and another answer spells the stand-in out.
    first = compact(reply(LONG))[:-1] + b',"result":0}'
    raw = b"[" + first + b',{"id":2,"result":["keeper\\u003alogs"]}]'
    assert parse(raw) == _frame(raw)
    assert parse(raw).items[1].result == [WORDS]


def test_text_that_is_not_unicode_is_no_frame() -> None:
    raw = compact(reply(LONG)).decode() + "\ud800"
    assert carve(raw) is None
    assert parse(raw).problems == ("not JSON",)


def test_bent_long_answers_are_read_as_the_whole_is() -> None:
    chance = random.Random(11)
    pieces = whole = 0
    for _ in range(200):
        some = json.loads(json.dumps(LONG))
        some[chance.randrange(len(some))] = bent(some[0], chance)
        raw = bytearray(json.dumps(reply(some), separators=(",", ":")).encode())
        if chance.random() < 0.3:
            raw[chance.randrange(len(raw))] = chance.choice(b'{}[]",:0aZ\\')
        read, expected = parse(bytes(raw)), _frame(bytes(raw))
        carved = any(isinstance(item.result, BlockRows | LogRows) for item in read.items)
        pieces += carved
        whole += not carved
        assert plainly(read) == plainly(expected)
    assert pieces > 5
    assert whole > 50
