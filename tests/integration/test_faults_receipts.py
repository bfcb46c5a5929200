"""Rows 43 and 44 of the fault matrix: receipts that say nothing, and receipts that say too much."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.domain.events import CommandSent, TransactionDropped, TransactionIncluded
from tests.integration.lane_world import Behind, command, counted, executor, followed, prepare
from tests.world.rpc_proxy import Call, Onward, Reply, rpc_proxy
from tests.world.rpc_rules import refusing, rewriting


pytestmark = pytest.mark.node


@pytest.mark.parametrize(
    "rule",
    [
        refusing("eth_getTransactionReceipt", -32000, "transaction indexing is in progress"),
        rewriting("eth_getTransactionReceipt", lambda _: None),
    ],
    ids=["indexing", "null"],
)
async def test_row_43_a_receipt_that_is_not_there_yet_is_unknown_and_never_a_loss(
    tmp_path: Path, rule: Any
) -> None:
    with Node(NodeOptions(mining=False)) as node:
        await asyncio.to_thread(prepare, node, 1)
        async with rpc_proxy(node.url) as proxy:
            world = Behind(node, proxy.ws_url)
            async with executor(world, tmp_path / "ledger") as (executing, told):
                executing.submit([command(node, 1)])
                await told.until(lambda: bool(told.of(CommandSent)))
                proxy.rules = [rule]
                number = await followed(node, executing)
                assert not told.of(TransactionIncluded)
                assert not told.of(TransactionDropped)
                proxy.rules = []
                await followed(node, executing)
                assert told.of(TransactionIncluded)[0].number == number
                assert counted(node, 1) == 1


async def test_row_44_a_preconfirmation_is_no_inclusion(tmp_path: Path) -> None:
    # A sequencer shows receipts of the block it is building: not on any branch, and may be gone.
    promised: dict[str, Any] = {}

    async def preconfirm(call: Call, onward: Onward) -> Reply:
        if call.method == "eth_getTransactionReceipt" and promised:
            return {"result": promised | {"transactionHash": call.params[0]}}
        return await onward(call)

    with Node(NodeOptions(mining=False)) as node:
        await asyncio.to_thread(prepare, node, 1)
        async with rpc_proxy(node.url) as proxy:
            proxy.rules = [preconfirm]
            world = Behind(node, proxy.ws_url)
            async with executor(world, tmp_path / "ledger") as (executing, told):
                executing.submit([command(node, 1)])
                await told.until(lambda: bool(told.of(CommandSent)))
                transaction = told.of(CommandSent)[0].transaction
                await asyncio.to_thread(node.call, "anvil_dropTransaction", transaction)
                head = int(node.call("eth_blockNumber"), 16)
                promised |= {"blockHash": "0x" + "77" * 32, "blockNumber": hex(head + 1)}
                promised |= {"status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x1"}
                promised |= {"transactionIndex": "0x0"}
                await followed(node, executing)
                assert not told.of(TransactionIncluded)
                promised.clear()
                # Never believed, so never given up: its bytes were sent again, and landed.
                for _ in range(5):
                    await followed(node, executing)
                assert told.of(TransactionIncluded)
                assert counted(node, 1) == 1
