"""The trial before the send: what it asks, and that only a clean success passes."""

import pytest
import rlp

from keeper.chain.sending.base_fee import next_base_fee
from keeper.chain.sending.fees import FeeParameters
from keeper.chain.sending.preflight import Preflight, PreflightParameters
from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
    RpcError,
)
from tests.unit.chain.fake_node import GWEI, TARGET, FakeNode
from tests.unit.chain.lane_bench import LANE, command


@pytest.fixture
def node() -> FakeNode:
    made = FakeNode()
    made.mine(2)
    return made


def preflight(node, **changes) -> Preflight:
    return Preflight(node, lambda venue, data: f"{venue}/{data}", PreflightParameters(**changes))


async def test_the_exact_call_is_tried_at_the_decided_block_from_its_sender(node):
    asked = []
    node.script["eth_call"] = lambda params: asked.append(params) or "0x"
    (verdict,) = await preflight(node).check([command(node, 1)], [LANE])
    assert verdict.reason is None
    assert verdict.ahead.base_next_wei == next_base_fee(GWEI, 15_000_000, 30_000_000)
    assert asked == [
        [
            {
                "from": LANE,
                "to": TARGET,
                "data": f"0x{1:064x}",
                "value": "0x0",
                "gas": hex(100_000),
            },
            {"blockHash": node.head.hash, "requireCanonical": True},
        ]
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RpcError("node", 3, "execution reverted", "0xdead"), "venue/0xdead"),
        (RpcError("node", 3, "execution reverted"), "venue/0x"),
        (RpcError("node", -32001, "Resource not found"), "unknown_block"),
        (RpcError("node", -32000, "header not found"), "unknown_block"),
        (RpcError("node", -32000, "out of gas"), "halted"),
        (RpcError("node", -32603, "EVM error InvalidFEOpcode"), "halted"),
        (RpcError("node", -32000, "insufficient funds for transfer"), "insufficient_funds"),
        (RpcError("node", -32000, "server busy"), "no_answer"),
    ],
)
async def test_an_error_is_refused_by_its_class(node, answer, reason):
    node.script["eth_call"] = lambda _: answer
    (verdict,) = await preflight(node).check([command(node, 1)], [LANE])
    assert verdict.reason == reason


@pytest.mark.parametrize(
    "error",
    [
        DeadlineExceeded("node", "1 s"),
        EndpointUnreachable("node", "gone"),
        RateLimited("node", 1.0),
        MalformedReply("node", "no JSON"),
    ],
)
async def test_no_answer_refuses_every_command_of_the_request(node, error):
    node.script["eth_call"] = lambda _: error
    verdicts = await preflight(node).check([command(node, 1), command(node, 2)], [LANE, LANE])
    assert [each.reason for each in verdicts] == ["no_answer", "no_answer"]


async def test_a_block_without_a_header_is_no_ground_to_send_on(node):
    node.script["eth_getBlockByHash"] = lambda _: None
    (verdict,) = await preflight(node).check([command(node, 1)], [LANE])
    assert verdict.reason == "unknown_block"


async def test_a_malformed_header_is_no_answer(node):
    node.script["eth_getBlockByHash"] = lambda _: {"number": 5}
    (verdict,) = await preflight(node).check([command(node, 1)], [LANE])
    assert verdict.reason == "no_answer"


async def test_a_strangers_text_cannot_break_a_line(node):
    node.script["eth_call"] = lambda _: RpcError("node", 3, "reverted\n\x1b[31mSUCCESS", "0x")
    (verdict,) = await preflight(node).check([command(node, 1)], [LANE])
    assert verdict.detail == "reverted??[31mSUCCESS"


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (4, [1, 3]), (9, [1, 3, 3, 2])])
def test_the_best_command_is_tried_alone_and_the_rest_in_requests(node, count, sizes):
    commands = [command(node, number) for number in range(1, count + 1)]
    portions = preflight(node, batch_commands_max=3).portions(commands)
    assert [len(each) for each in portions] == sizes
    assert [each.id for portion in portions for each in portion] == [each.id for each in commands]


ORACLE = "0x420000000000000000000000000000000000000f"


async def test_an_op_stack_chain_is_asked_what_the_data_costs_at_the_decided_block(node):
    asked = []
    node.script["eth_call"] = lambda params: (
        f"0x{10**13:064x}" if params[0]["to"] == ORACLE and not asked.append(params) else "0x"
    )
    fees = FeeParameters(base_fee_rule="op_stack", data_fee_headroom_ppm=1_500_000)
    made = Preflight(node, lambda venue, data: venue, PreflightParameters(), fees)
    (verdict,) = await made.check([command(node, 1)], [LANE])
    assert (verdict.reason, verdict.l1_fee_max_wei) == (None, 15 * 10**12)
    # getL1FeeUpperBound(uint256) of 32 bytes of calldata and 150 around them.
    assert asked == [
        [
            {"to": ORACLE, "data": f"0xf1c7a58b{182:064x}"},
            {"blockHash": node.head.hash, "requireCanonical": True},
        ]
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(RpcError("node", 3, "execution reverted"), "no_data_fee"), ("0x", "no_answer")],
)
async def test_without_a_data_fee_nothing_is_sent_on_an_op_stack_chain(node, answer, reason):
    node.script["eth_call"] = lambda params: answer if params[0]["to"] == ORACLE else "0x"
    fees = FeeParameters(base_fee_rule="op_stack")
    made = Preflight(node, lambda venue, data: venue, PreflightParameters(), fees)
    (verdict,) = await made.check([command(node, 1)], [LANE])
    assert verdict.reason == reason


def test_the_envelope_around_calldata_is_never_longer_than_reckoned():
    """Every field of the unsigned transaction at its longest, by other code than ours."""
    data = b"\x01" * 70_000
    longest = [2**64 - 1, 2**64 - 1, 2**128 - 1, 2**128 - 1, 2**64 - 1, b"\xff" * 20, 2**96 - 1]
    unsigned = b"\x02" + rlp.encode([*longest, data, []])
    assert len(unsigned) - len(data) <= 150
