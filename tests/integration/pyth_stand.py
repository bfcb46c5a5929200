"""Pyth's own mock on a node: a contract that holds prices and takes updates for a fee.

What a keeper makes of either it must not know.
"""

from __future__ import annotations

from eth_abi.abi import encode

from deploy.devnet.chain.contract import Sender
from deploy.devnet.chain.node import Node
from keeper.domain.effects import Call
from keeper.domain.events import Log
from keeper.market import pyth
from keeper.market.payloads import Payload
from tests.integration.keeper_process import wait_for


USD = 10**8
FEED_ID = b"\x11" * 32


def block_time(node: Node) -> int:
    return int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def logs_of(node: Node, number: int) -> list[Log]:
    found = node.call("eth_getLogs", {"fromBlock": hex(number), "toBlock": hex(number)})
    return [
        Log(
            each["address"].lower(),
            tuple(each["topics"]),
            each["data"],
            int(each["logIndex"], 16),
            each["transactionHash"],
        )
        for each in found
    ]


def update(price: int, published: int, confidence: int = 0, exponent: int = -8) -> bytes:
    """An update as MockPyth takes it."""
    one = (price, confidence, exponent, published)
    kind = "(bytes32,(int64,uint64,int32,uint256),(int64,uint64,int32,uint256))"
    return bytes(encode([kind, "uint64"], [(FEED_ID, one, one), published - 1]))


class PythStand:
    """Pyth's mock that takes prices for a minute and a wei an update."""

    def __init__(self, node: Node, sender: Sender) -> None:
        self.node = node
        self.sender = sender
        self.pyth = sender.deploy("PythWorld", 60, 1)
        sender.flush()

    def fee(self, payloads: list[Payload]) -> int:
        request = {"to": self.pyth.address, "data": pyth.fee_call(payloads)}
        return int(self.node.call("eth_call", request, "latest"), 16)

    def send(self, call: Call) -> list[Log]:
        """Have a call mined; its logs."""
        request = {"from": self.sender.address, "to": call.to, "data": call.data}
        request |= {"value": hex(call.value_wei), "gas": hex(1_000_000)}
        self.node.call("eth_call", request, "latest")
        sent = self.node.call("eth_sendTransaction", request)
        # The node mines it at once, but not before it answers.
        receipt = wait_for("it", lambda: self.node.call("eth_getTransactionReceipt", sent))
        self.sender.__post_init__()
        return logs_of(self.node, int(receipt["blockNumber"], 16))

    def price(self) -> tuple[int, int, int, int]:
        answer: tuple[int, int, int, int] = self.pyth.call(
            self.node.rpc, "getPriceNoOlderThan", FEED_ID, 60
        )
        return answer
