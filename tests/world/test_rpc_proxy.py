import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.world.rpc_proxy import RateLimit, RpcProxy, rpc_proxy
from tests.world.rpc_rules import (
    delaying,
    dropping_nth,
    duplicating,
    refusing,
    reordering,
    rewriting,
    truncating,
)
from tests.world.twins import Twins, twins


pytestmark = pytest.mark.node
SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe"}


@pytest.fixture(scope="module")
def chain() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as node:
        yield node


async def post(proxy: RpcProxy, method: str, *params: Any) -> tuple[int, str]:
    body = {"jsonrpc": "2.0", "id": 5, "method": method, "params": list(params)}
    async with aiohttp.ClientSession() as session, session.post(proxy.url, json=body) as response:
        return response.status, await response.text()


async def told(proxy: RpcProxy, node: Node, blocks: int, expect: int) -> list[int]:
    """Subscribe to heads, mine, and return the numbers that were told."""
    async with aiohttp.ClientSession() as session, session.ws_connect(proxy.ws_url) as socket:
        await socket.send_json(SUBSCRIBE | {"params": ["newHeads"]})
        await socket.receive()
        for _ in range(blocks):
            await asyncio.to_thread(node.call, "evm_mine")
        messages = [
            json.loads((await socket.receive(timeout=PATIENCE_S)).data) for _ in range(expect)
        ]
        numbers = [int(each["params"]["result"]["number"], 16) for each in messages]
        return [number - min(numbers) for number in numbers]


async def test_calls_pass_and_rules_rewrite_refuse_and_delay(chain: Node) -> None:
    async with rpc_proxy(chain.url) as proxy:
        assert json.loads((await post(proxy, "eth_chainId"))[1])["result"] == hex(31337)
        proxy.rules = [rewriting("eth_chainId", lambda _: "0x1"), delaying(lambda _: 0.05)]
        began = asyncio.get_running_loop().time()
        assert json.loads((await post(proxy, "eth_chainId"))[1])["result"] == "0x1"
        assert asyncio.get_running_loop().time() - began >= 0.05
        proxy.rules = [refusing("eth_chainId", -32000, "no", times=1)]
        assert "error" in (await post(proxy, "eth_chainId"))[1]
        assert "result" in (await post(proxy, "eth_chainId"))[1]


async def test_it_truncates_and_limits(chain: Node) -> None:
    async with rpc_proxy(chain.url) as proxy:
        proxy.mangle = truncating(every=1)
        cut = (await post(proxy, "eth_chainId"))[1]
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut)
        proxy.mangle = None
        proxy.limit = RateLimit(calls_left=1, retry_after="7")
        assert [(await post(proxy, "eth_chainId"))[0] for _ in range(3)] == [200, 429, 429]


@pytest.mark.parametrize(
    ("rule", "blocks", "told_numbers"),
    [
        (dropping_nth(3), 4, [0, 1, 3]),
        (duplicating, 2, [0, 0, 1, 1]),
        (reordering(3), 3, [2, 1, 0]),
    ],
)
async def test_notifications_are_dropped_doubled_and_turned(
    chain: Node, rule: Any, blocks: int, told_numbers: list[int]
) -> None:
    async with rpc_proxy(chain.url) as proxy:
        proxy.notes = [rule]
        assert await told(proxy, chain, blocks, len(told_numbers)) == told_numbers


async def test_logs_that_were_told_are_taken_back_as_geth_does(chain: Node) -> None:
    emitter = "0x" + "e1" * 20
    await asyncio.to_thread(chain.call, "anvil_setCode", emitter, "0x43600052604260206000a100")
    async with (
        rpc_proxy(chain.url) as proxy,
        aiohttp.ClientSession() as session,
        session.ws_connect(proxy.ws_url) as socket,
    ):
        await socket.send_json(SUBSCRIBE | {"params": ["logs", {}]})
        await socket.receive()
        sender = (await asyncio.to_thread(chain.call, "eth_accounts"))[0]
        transaction = {"from": sender, "to": emitter, "gas": "0x186a0"}
        await asyncio.to_thread(chain.call, "eth_sendTransaction", transaction)
        await asyncio.to_thread(chain.call, "evm_mine")
        log = json.loads((await socket.receive(timeout=PATIENCE_S)).data)["params"]["result"]
        assert await proxy.take_back(log["blockHash"]) == 1
        removed = json.loads((await socket.receive(timeout=PATIENCE_S)).data)["params"]["result"]
        assert removed == log | {"removed": True}


@pytest.fixture(scope="module")
def pair() -> Iterator[Twins]:
    with twins() as running:
        yield running


async def test_calls_go_to_the_nodes_in_turn(pair: Twins) -> None:
    pair.mine()
    pair.mine(on=pair.one)
    async with rpc_proxy(pair.one.url, pair.other.url) as proxy:
        answers = [json.loads((await post(proxy, "eth_blockNumber"))[1])["result"] for _ in "abcd"]
        assert len(set(answers)) == 2
        assert answers[:2] == answers[2:]
    pair.catch_up()


def test_twins_are_equal_until_they_part_and_equal_again_when_they_meet(pair: Twins) -> None:
    pair.mine(3)
    height = int(pair.one.call("eth_blockNumber"), 16)
    assert pair.hash_at(pair.one, height) == pair.hash_at(pair.other, height)
    pair.part(2)
    assert pair.hash_at(pair.one, height + 1) != pair.hash_at(pair.other, height + 1)
    pair.meet()
    assert pair.hash_at(pair.one, height + 3) == pair.hash_at(pair.other, height + 3)
