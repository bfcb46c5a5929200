"""A drill changes a throwaway node of this host and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from keeper.chain.throwaway.fork import READS, READS_AT_ONCE, Gate
from keeper.chain.throwaway.node import ThrowawayNode
from keeper.domain.errors import ConfigError, DeadlineExceeded, EndpointError, RpcError


LOCAL = "http://127.0.0.1:8545"
TO, SLOT = "0x" + 40 * "1", "0x" + 64 * "2"


class Node:
    """A client that answers what it is told to, and remembers what it was asked."""

    name = "node"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.slots: dict[str, int] = {}

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        self.asked.append(method)
        if method == "eth_getStorageAt":
            return f"0x{self.slots[params[1]]:064x}"
        if method == "anvil_setStorageAt":
            self.slots[params[1]] = int(params[2], 16)
            return True
        answer = self.answers.get(method, RpcError("node", -32601, "no such method"))
        if isinstance(answer, Exception):
            raise answer
        return answer(self) if callable(answer) else answer


ANVIL = {"web3_clientVersion": "anvil/v1.7.1", "anvil_nodeInfo": {}}


def node(**answers: Any) -> Any:
    return Node(**answers)


@pytest.mark.parametrize(
    ("url", "answers"),
    [
        ("https://rpc.example", ANVIL),
        ("http://10.0.0.7:8545", ANVIL),
        ("http://127.0.0.1.example:8545", ANVIL),
        (LOCAL, {**ANVIL, "web3_clientVersion": "Geth/v1.16"}),
        (LOCAL, {**ANVIL, "web3_clientVersion": "notanvil/1"}),
        (LOCAL, {"web3_clientVersion": "anvil/v1.7.1"}),
        (LOCAL, {**ANVIL, "anvil_nodeInfo": None}),
    ],
)
async def test_anything_but_a_development_node_of_this_host_is_refused_and_not_touched(
    url: str, answers: dict[str, Any]
) -> None:
    asked = node(**answers)
    with pytest.raises(ConfigError, match="a drill changes balances") as refused:
        await ThrowawayNode.proved(asked, url)
    assert refused.value.exit_code == 64
    assert set(asked.asked) <= {"web3_clientVersion", "anvil_nodeInfo"}


async def test_a_url_is_never_repeated_for_it_may_hold_a_secret() -> None:
    with pytest.raises(ConfigError) as refused:
        await ThrowawayNode.proved(node(**ANVIL), "https://rpc.example/v2/a-secret")
    assert "a-secret" not in str(refused.value)


def stored(low: int, bits: int) -> Any:
    """A view of a signed field in a slot that holds other fields too."""

    def view(here: Node) -> str:
        value = here.slots[SLOT] >> low & (1 << bits) - 1
        return f"0x{(value - (value >> (bits - 1) << bits)) % 2**256:064x}"

    return view


@pytest.mark.parametrize(("low", "bits"), [(0, 256), (0, 240), (96, 128), (0, 96), (160, 96)])
@pytest.mark.parametrize("before", [5_000, 0, -7])
async def test_a_stored_number_is_found_wherever_it_is_packed_and_nothing_else_is_moved(
    low: int, bits: int, before: int
) -> None:
    listed = {"accessList": [{"address": TO, "storageKeys": [SLOT]}]}
    asked = node(**ANVIL, eth_call=stored(low, bits), eth_createAccessList=listed)
    mask = (1 << bits) - 1
    around = (int("5a" * 32, 16) & ~(mask << low)) % 2**256
    asked.slots[SLOT] = around | (before & mask) << low
    chosen = await ThrowawayNode.proved(asked, LOCAL)
    await chosen.rewrite(TO, "0x01", -123)
    assert await chosen.view(TO, "0x01") == -123
    assert asked.slots[SLOT] == around | (-123 & mask) << low


async def test_a_number_that_is_not_stored_is_an_error_and_leaves_the_slot_as_it_was() -> None:
    listed = {"accessList": [{"address": TO, "storageKeys": [SLOT]}]}
    asked = node(**ANVIL, eth_call=f"0x{9:064x}", eth_createAccessList=listed)
    asked.slots[SLOT] = 9
    chosen = await ThrowawayNode.proved(asked, LOCAL)
    with pytest.raises(EndpointError, match="no stored number"):
        await chosen.rewrite(TO, "0x01", 10)
    assert asked.slots[SLOT] == 9


async def test_a_transaction_that_fails_and_a_state_not_given_back_are_errors() -> None:
    header = {
        "number": "0x1", "hash": "0x" + 64 * "3", "parentHash": "0x" + 64 * "2",
        "timestamp": "0x10", "baseFeePerGas": "0x1", "gasLimit": "0x10", "logsBloom": "0x00",
    }  # fmt: skip
    well = {
        "anvil_setBalance": True, "anvil_impersonateAccount": True, "evm_mine": "0x0",
        "anvil_stopImpersonatingAccount": True, "evm_setNextBlockTimestamp": True,
        "eth_sendTransaction": "0x" + 64 * "4", "eth_getBlockByNumber": header,
    }  # fmt: skip
    failed = node(**ANVIL, **well, eth_getTransactionReceipt={"status": "0x0"}, evm_revert=False)
    chosen = await ThrowawayNode.proved(failed, LOCAL)
    with pytest.raises(EndpointError, match="was refused"):
        await chosen.act(TO, TO, "0x12345678")
    with pytest.raises(EndpointError, match="did not go back"):
        await chosen.give_back("0x1")


# ── the gate of a fork ──


async def through(gate: Gate, asked: Any) -> dict[str, Any]:
    return await gate._one(asked)


@pytest.mark.parametrize(
    "method",
    [
        "eth_sendRawTransaction",
        "eth_sendTransaction",
        "eth_sendBundle",
        "eth_sign",
        "personal_sign",
        "anvil_setBalance",
        "evm_revert",
        "debug_setHead",
        "ETH_CALL",
        "",
    ],
)
async def test_nothing_but_reads_passes_the_gate_to_the_real_chain(method: str) -> None:
    source = node(**{method: True})
    gate = Gate(source, READS, READS_AT_ONCE)
    answer = await through(gate, {"id": 1, "method": method, "params": []})
    assert answer["error"]["code"] == -32601
    assert source.asked == []
    assert gate.refused == [method]


async def test_reads_pass_with_their_answers_and_their_errors() -> None:
    reverted = RpcError("node", 3, "execution reverted", "0xabcd")
    source = node(eth_chainId="0x1", eth_call=reverted, eth_getCode=DeadlineExceeded("n", "late"))
    gate = Gate(source, READS, READS_AT_ONCE)
    told = {"jsonrpc": "2.0", "id": 7}
    assert await through(gate, {"id": 7, "method": "eth_chainId"}) == {**told, "result": "0x1"}
    answer = await through(gate, {"id": 7, "method": "eth_call", "params": [{}]})
    assert answer["error"] == {"code": 3, "message": "execution reverted", "data": "0xabcd"}
    answer = await through(gate, {"id": 7, "method": "eth_getCode", "params": []})
    assert answer["error"]["message"] == "late"
    assert (await through(gate, "nonsense"))["error"]["code"] == -32601


def test_no_method_that_writes_is_among_the_reads() -> None:
    assert not [each for each in READS if "send" in each.lower() or "sign" in each.lower()]
    assert all(each.startswith(("eth_", "net_", "web3_")) for each in READS)
