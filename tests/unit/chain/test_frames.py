import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.link import frames
from keeper.chain.link.frames import Fault, Notification, Reply, parse


def test_request_ids_and_params_are_encoded_as_json_rpc() -> None:
    sent = orjson.loads(frames.encode(7, "eth_call", [{"to": "0x"}, "latest"]))
    assert sent == {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "eth_call",
        "params": [{"to": "0x"}, "latest"],
    }
    batch = orjson.loads(frames.encode_batch([(1, "a", []), (2, "b", ["x"])]))
    assert [part["id"] for part in batch] == [1, 2]


def test_an_answer_is_read() -> None:
    frame = parse('{"jsonrpc":"2.0","id":3,"result":null}')
    assert frame.items == (Reply(3, None, None, None),)
    assert not frame.problems
    assert not frame.batch


def test_a_batch_keeps_its_order_and_its_good_parts() -> None:
    frame = parse('[{"id":2,"result":"b"},5,{"id":1,"result":"a"}]')
    assert [item.id for item in frame.items if isinstance(item, Reply)] == [2, 1]
    assert frame.problems == ("a message that is not an object",)
    assert frame.batch


def test_a_notification_is_read() -> None:
    raw = '{"method":"eth_subscription","params":{"subscription":"0x1","result":{"number":"0x2"}}}'
    assert parse(raw).items == (Notification("0x1", {"number": "0x2"}),)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('"0xAB"', "0xab"),
        ('"Reverted 0x08c3"', "0x08c3"),
        ('{"data":"0x12"}', "0x12"),
        ('"some words 0x12"', None),
        ("null", None),
        ("[1]", None),
        ('{"message":"no"}', None),
    ],
)
def test_revert_data_is_found_in_every_known_shape(data: str, expected: str | None) -> None:
    raw = f'{{"id":1,"error":{{"code":3,"message":"execution reverted","data":{data}}}}}'
    assert parse(raw).items == (Reply(1, None, Fault(3, "execution reverted", expected), None),)


def test_an_error_without_an_id_is_nobodys_answer() -> None:
    frame = parse('{"id":null,"error":{"code":-32600,"message":"Invalid request"}}')
    assert frame.items == ()
    assert frame.unattributed == (Fault(-32600, "Invalid request", None),)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "nonsense",
        "NaN",
        '{"id":1,"result":NaN}',
        "null",
        "12",
        '"text"',
        "[]",
        "{}",
        '{"result":1}',
        '{"id":true,"result":1}',
        '{"id":"1","result":1}',
        '{"id":1.0,"result":1}',
        '{"id":{},"result":1}',
        '{"method":"eth_subscription"}',
        '{"method":"eth_subscription","params":[]}',
        '{"method":"eth_subscription","params":{"subscription":1,"result":1}}',
        '{"method":"eth_subscription","params":{"subscription":"0x1"}}',
        '{"method":"other","params":{"subscription":"0x1","result":1}}',
        '{"id":null,"error":"words"}',
        '{"id":99999999999999999999999999,"result":1}',
        "[" * 2000 + "]" * 2000,
        b"\xff\xfe\x00",
        b'{"id":1,"result":"\xc3"}',
    ],
)
def test_a_malformed_frame_is_a_problem_and_no_answer(raw: str | bytes) -> None:
    frame = parse(raw)
    assert frame.problems
    assert frame.items == ()


@pytest.mark.parametrize(
    "raw",
    [
        '{"id":1}',
        '{"id":1,"error":"words"}',
        '{"id":1,"error":{"code":"x","message":"m"}}',
        '{"id":1,"error":{"code":true,"message":"m"}}',
        '{"id":1,"error":{"code":1,"message":null}}',
        '{"id":1,"error":[]}',
    ],
)
def test_a_malformed_answer_still_ends_its_call(raw: str) -> None:
    (reply,) = parse(raw).items
    assert isinstance(reply, Reply)
    assert reply.id == 1
    assert reply.problem


def test_the_last_of_duplicate_keys_counts_and_nothing_breaks() -> None:
    assert parse('{"id":1,"id":2,"result":1}').items == (Reply(2, 1, None, None),)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "result", "error", "code", "message", "data", "method", "params", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_raise(raw: bytes) -> None:
    frame = parse(raw)
    assert frame.items or frame.unattributed or frame.problems


@given(_json)
def test_no_json_makes_the_parser_raise(value: object) -> None:
    frame = parse(orjson.dumps(value))
    assert frame.items or frame.unattributed or frame.problems
    for item in frame.items:
        if isinstance(item, Reply):
            assert type(item.id) is int
