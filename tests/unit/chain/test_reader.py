from collections.abc import Callable, Sequence
from typing import Any

import pytest

from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.chain.link.transport import Request
from keeper.chain.link.wire import Receipt
from keeper.domain.errors import (
    ConfigError,
    DeadlineExceeded,
    EndpointError,
    MalformedReply,
    RpcError,
)
from keeper.domain.events import Log
from keeper.ports import CallFailed, Header


BLOCK = "0x" + "11" * 32
TX = "0x" + "22" * 32
TO = "0x" + "aa" * 20
PINNED = {"blockHash": BLOCK, "requireCanonical": True}
Answer = Callable[[str, Sequence[Any]], Any]


class FakeRpc:
    """Answers by a function; an EndpointError that is no RpcError is raised."""

    name = "read"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.batches: list[list[Request]] = []

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        (answer,) = await self.batch([(method, params)], deadline_s=deadline_s)
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any]:
        self.batches.append(list(calls))
        answers = [self.answer(method, params) for method, params in calls]
        for answer in answers:
            if isinstance(answer, EndpointError) and not isinstance(answer, RpcError):
                raise answer
        return answers


def reading(answer: Answer, **config: int) -> tuple[NodeReader, FakeRpc]:
    rpc = FakeRpc(answer)
    return NodeReader(rpc, ReaderConfig(**config)), rpc


def raw_log(number: int, index: int) -> dict[str, Any]:
    return {
        "address": TO.upper().replace("0X", "0x"),
        "topics": ["0x" + "cc" * 32],
        "data": "0xAB",
        "logIndex": hex(index),
        "transactionHash": TX,
        "blockNumber": hex(number),
        "blockHash": f"0x{number:064x}",
    }


RAW_HEADER = {
    "number": "0x5",
    "hash": BLOCK,
    "parentHash": TX,
    "timestamp": "0x64",
    "baseFeePerGas": "0x7",
    "gasLimit": "0x1c9c380",
}


async def test_a_header_is_read_by_number_and_by_tag() -> None:
    reader, rpc = reading(lambda _, __: RAW_HEADER)
    expected = Header(5, BLOCK, TX, 100, 7, 30_000_000)
    assert await reader.header(5) == expected
    assert await reader.header("finalized") == expected
    asked = [params[0] for batch in rpc.batches for _, params in batch]
    assert asked == ["0x5", "finalized"]


async def test_a_header_that_is_not_there_is_an_error() -> None:
    reader, _ = reading(lambda _, __: None)
    with pytest.raises(RpcError, match="no block 0x5"):
        await reader.header(5)


@pytest.mark.parametrize("key", ["number", "hash", "parentHash", "timestamp", "gasLimit"])
@pytest.mark.parametrize("value", [None, 5, "5", "0x", "0xzz", "0x" + "1" * 100, [], True])
async def test_a_malformed_header_is_refused(key: str, value: object) -> None:
    reader, _ = reading(lambda _, __: RAW_HEADER | {key: value})
    with pytest.raises(MalformedReply):
        await reader.header(5)


async def test_calls_are_pinned_batched_and_answered_in_order() -> None:
    reader, rpc = reading(lambda _, params: params[0]["data"], batch_calls_max=3)
    calls = [(TO, f"0x{i:02x}") for i in range(8)]
    assert await reader.call_many(calls, BLOCK, gas=500) == [data for _, data in calls]
    assert [len(batch) for batch in rpc.batches] == [3, 3, 2]
    method, params = rpc.batches[0][0]
    assert method == "eth_call"
    assert params == [{"to": TO, "data": "0x00", "gas": "0x1f4"}, PINNED]
    assert await reader.call_many([], BLOCK) == []


async def test_no_gas_is_sent_where_none_is_given() -> None:
    reader, rpc = reading(lambda _, __: "0x")
    await reader.call_many([(TO, "0x")], BLOCK)
    assert rpc.batches == [[("eth_call", [{"to": TO, "data": "0x"}, PINNED])]]


@pytest.mark.parametrize(
    ("error", "data"),
    [
        (RpcError("read", 3, "execution reverted", "0x1234"), "0x1234"),
        (RpcError("read", 3, "execution reverted", "0x"), "0x"),
        (RpcError("read", 3, "execution reverted: words"), "0x"),
        (RpcError("read", -32000, "execution reverted"), "0x"),
        (RpcError("read", -32015, "VM execution error", "0xab"), "0xab"),
        (RpcError("read", -32000, "invalid opcode: INVALID"), "0x"),
        (RpcError("read", -32603, "EVM error InvalidFEOpcode"), "0x"),
    ],
)
async def test_a_revert_is_an_answer_in_its_place(error: RpcError, data: str) -> None:
    reader, _ = reading(lambda _, params: error if params[0]["data"] == "0x01" else "0xff")
    answers = await reader.call_many([(TO, "0x00"), (TO, "0x01"), (TO, "0x02")], BLOCK)
    assert answers == ["0xff", CallFailed(data), "0xff"]


@pytest.mark.parametrize(
    "error",
    [
        RpcError("read", -32001, "Resource not found"),
        RpcError("read", -32000, "header for hash not found"),
        RpcError("read", -32000, "hash is not currently canonical"),
        RpcError("read", -32000, "out of gas"),
        RpcError("read", -32603, "EVM error OutOfGas"),
        DeadlineExceeded("read", "no answer"),
    ],
)
async def test_an_endpoint_error_is_never_a_revert(error: EndpointError) -> None:
    reader, _ = reading(lambda _, __: error)
    with pytest.raises(type(error)):
        await reader.call_many([(TO, "0x00")] * 250, BLOCK)


@pytest.mark.parametrize("answer", [None, 1, "12", "0x1", "0xzz", ["0x"]])
async def test_a_malformed_call_result_is_refused(answer: object) -> None:
    reader, _ = reading(lambda _, __: answer)
    with pytest.raises(MalformedReply):
        await reader.call_many([(TO, "0x00")], BLOCK)


async def test_logs_are_read_in_ranges_that_halve_on_too_many() -> None:
    ranges: list[tuple[int, int]] = []

    def answer(_: str, params: Sequence[Any]) -> Any:
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        ranges.append((first, last))
        if last - first >= 30:
            return RpcError("read", -32005, "query returned more than 10000 results")
        return [raw_log(n, i) for n in range(first, last + 1) for i in (1, 0)]

    reader, rpc = reading(answer, logs_range_blocks_max=100)
    found = await reader.logs([TO], ["0x01"], 1, 250)
    assert [(n, log.log_index) for n, _, log in found] == [
        (n, i) for n in range(1, 251) for i in (0, 1)
    ]
    assert found[0] == (1, f"0x{1:064x}", Log(TO, ("0x" + "cc" * 32,), "0xab", 0, TX))
    assert ranges[:3] == [(1, 100), (1, 50), (1, 25)]
    assert rpc.batches[0][0][1][0]["topics"] == [["0x01"]]
    assert rpc.batches[0][0][1][0]["address"] == [TO]


async def test_too_many_logs_in_one_block_is_an_error() -> None:
    reader, _ = reading(lambda _, __: RpcError("read", -32005, "too many results"))
    with pytest.raises(RpcError, match="too many"):
        await reader.logs([TO], [], 1, 50)


@pytest.mark.parametrize(
    "error", [RpcError("read", -32601, "method not found"), DeadlineExceeded("read", "slow")]
)
async def test_another_error_does_not_halve_the_range(error: EndpointError) -> None:
    reader, rpc = reading(lambda _, __: error)
    with pytest.raises(type(error)):
        await reader.logs([TO], [], 1, 50)
    assert len(rpc.batches) == 1


async def test_no_address_asks_for_no_logs() -> None:
    reader, rpc = reading(lambda _, __: [raw_log(1, 0)])
    assert await reader.logs([], [], 1, 50) == []
    assert not rpc.batches


async def test_any_topic_is_asked_for_without_a_topic_filter() -> None:
    reader, rpc = reading(lambda _, __: [])
    await reader.logs([TO], [], 1, 50)
    assert "topics" not in rpc.batches[0][0][1][0]


@pytest.mark.parametrize(
    "change",
    [
        {"blockNumber": "0x63"},
        {"address": "0x12"},
        {"topics": None},
        {"topics": ["0x12"]},
        {"topics": ["0x" + "cc" * 32] * 5},
        {"data": "0x123"},
        {"logIndex": 1},
        {"transactionHash": None},
        {"blockHash": "0x"},
    ],
)
async def test_a_malformed_log_is_refused(change: dict[str, Any]) -> None:
    reader, _ = reading(lambda _, __: [raw_log(5, 0) | change])
    with pytest.raises(MalformedReply):
        await reader.logs([TO], [], 1, 50)


async def test_state_of_an_address_is_read_at_the_block_hash() -> None:
    reader, rpc = reading(lambda _, __: "0x10")
    assert await reader.code(TO, BLOCK) == "0x10"
    assert await reader.balance(TO, BLOCK) == 16
    assert await reader.transaction_count(TO, BLOCK) == 16
    assert await reader.transaction_count(TO, "pending") == 16
    assert [batch[0] for batch in rpc.batches] == [
        ("eth_getCode", [TO, PINNED]),
        ("eth_getBalance", [TO, PINNED]),
        ("eth_getTransactionCount", [TO, PINNED]),
        ("eth_getTransactionCount", [TO, "pending"]),
    ]


RAW_RECEIPT = {
    "transactionHash": TX,
    "blockNumber": "0x9",
    "blockHash": BLOCK,
    "status": "0x0",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x3",
}


async def test_a_receipt_is_read_or_is_not_there() -> None:
    reader, _ = reading(lambda _, __: RAW_RECEIPT)
    assert await reader.receipt(TX) == Receipt(TX, 9, BLOCK, False, 21_000, 3)
    reader, _ = reading(lambda _, __: None)
    assert await reader.receipt(TX) is None


@pytest.mark.parametrize(
    "change", [{"status": "0x2"}, {"status": None}, {"transactionHash": BLOCK}, {"gasUsed": 1}]
)
async def test_a_receipt_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    reader, _ = reading(lambda _, __: RAW_RECEIPT | change)
    with pytest.raises(MalformedReply):
        await reader.receipt(TX)


def test_a_figure_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_calls_max"):
        ReaderConfig(batch_calls_max=0)
