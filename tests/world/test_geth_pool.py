"""The pool's rules, pure first and then in front of a node."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from deploy.devnet.chain.node import Node, NodeOptions
from tests.world.geth_pool import GethPool, GethRules, Holder, Pooled, PoolLimits, PoolRefused
from tests.world.rpc_proxy import Call, RpcProxy, rpc_proxy


GWEI = 10**9
RICH = Holder(nonce=0, balance=10**24)
KEY = "0x" + "11" * 32
SENDER = Account.from_key(KEY).address


def pooled(nonce: int = 0, tip: int = 100, cap: int = 1000, sender: str = "0xa") -> Pooled:
    name = f"{sender}/{nonce}/{tip}/{cap}"
    return Pooled(name, "0x02", sender, nonce, tip, cap, gas=21_000, value=0)


def filled(*transactions: Pooled, limits: PoolLimits | None = None) -> GethPool:
    pool = GethPool(limits or PoolLimits())
    for each in transactions:
        pool.add(each, RICH)
    return pool


@pytest.mark.parametrize(
    ("tip", "cap", "taken"),
    [
        (110, 1100, True),
        (109, 1100, False),
        (110, 1099, False),
        (100, 5000, False),
        (5000, 1000, False),
        (1000, 5000, True),
    ],
)
def test_a_replacement_needs_both_fields_ten_percent_higher(
    tip: int, cap: int, taken: bool
) -> None:
    pool = filled(pooled())
    if taken:
        pool.add(pooled(tip=tip, cap=cap), RICH)
        assert [each.cap for each in pool.executable("0xa", 0)] == [cap]
    else:
        words = "higher than max fee" if tip > cap else "replacement transaction underpriced"
        with pytest.raises(PoolRefused, match=words):
            pool.add(pooled(tip=tip, cap=cap), RICH)


@pytest.mark.parametrize(
    ("fresh", "sender", "words"),
    [
        (pooled(), RICH, "already known"),
        (pooled(nonce=1), replace(RICH, nonce=2), "nonce too low: next nonce 2, tx nonce 1"),
        (pooled(nonce=1), replace(RICH, balance=1), "insufficient funds for gas"),
        (pooled(nonce=1, tip=0), RICH, "transaction underpriced"),
        (pooled(nonce=1, cap=10**14), RICH, r"tx fee \(2.10 ether\) exceeds the configured cap"),
        (replace(pooled(nonce=1), raw="0x" + "00" * 131_073), RICH, "oversized data"),
        (replace(pooled(nonce=1), gas=2**24 + 1), RICH, r"gas limit too high \(cap: 16777216, "),
        (pooled(nonce=2), replace(RICH, delegated=True), "gapped-nonce tx from delegated"),
    ],
)
def test_what_geth_refuses_is_refused_in_its_words(
    fresh: Pooled, sender: Holder, words: str
) -> None:
    with pytest.raises(PoolRefused, match=words):
        filled(pooled()).add(fresh, sender)


def test_sixty_four_transactions_beyond_a_gap_are_kept_and_the_latest_are_dropped() -> None:
    pool = filled(*[pooled(nonce) for nonce in range(2, 72)])
    assert sorted(pool.by_sender["0xa"]) == list(range(2, 66))
    assert not pool.executable("0xa", 0)


def test_an_over_full_pool_keeps_sixteen_slots_of_a_sender() -> None:
    limits = PoolLimits(global_slots=20)
    pool = filled(*[pooled(nonce) for nonce in range(16)], limits=limits)
    pool = filled(*[pooled(nonce) for nonce in range(30)], limits=limits)
    assert len(pool.executable("0xa", 0)) == 20
    for nonce in range(10):
        pool.add(pooled(nonce, sender="0xb"), RICH)
    pool.settle("0xa", RICH)
    assert len(pool.executable("0xa", 0)) == 16


def test_a_full_pool_takes_only_what_pays_more_than_its_cheapest() -> None:
    pool = filled(pooled(0), pooled(1), limits=PoolLimits(pool_max=2))
    with pytest.raises(PoolRefused, match="transaction underpriced"):
        pool.add(pooled(0, sender="0xb"), RICH)
    with pytest.raises(PoolRefused, match="txpool is full"):
        pool.add(pooled(2, cap=2000), RICH)
    pool.add(pooled(0, cap=2000, sender="0xb"), RICH)
    assert pool.dropped == [pooled(1).hash]


def test_a_reorg_brings_included_transactions_back() -> None:
    pool = filled(pooled(0), pooled(1))
    pool.settle("0xa", replace(RICH, nonce=2))
    assert not pool.executable("0xa", 2)
    pool.settle("0xa", replace(RICH, nonce=1))
    assert [each.nonce for each in pool.executable("0xa", 1)] == [1]


@pytest.fixture
def chain() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as node:
        node.call("anvil_setBalance", SENDER, hex(10**20))
        yield node


async def ask(proxy: RpcProxy, method: str, *params: Any) -> Any:
    return await proxy.ask(Call(method, list(params)))


def signed(nonce: int, tip: int, cap: int) -> str:
    fields = {"type": 2, "chainId": 31337, "nonce": nonce, "to": "0x" + "22" * 20, "value": 1}
    fees = {"gas": 21_000, "maxPriorityFeePerGas": tip, "maxFeePerGas": cap, "data": b""}
    return "0x" + Account.sign_transaction(fields | fees, KEY).raw_transaction.hex()


async def included(proxy: RpcProxy, reply: dict[str, Any]) -> bool:
    receipt = await ask(proxy, "eth_getTransactionReceipt", reply["result"])
    return receipt["result"] is not None


@pytest.mark.node
async def test_a_cap_below_the_base_fee_is_kept_until_it_can_pay(chain: Node) -> None:
    async with rpc_proxy(chain.url) as proxy:
        proxy.rules = [GethRules(proxy.forward)]
        await asyncio.to_thread(chain.call, "anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
        low = await ask(proxy, "eth_sendRawTransaction", signed(0, 1, 2 * GWEI))
        again = await ask(proxy, "eth_sendRawTransaction", signed(0, 1, 2 * GWEI))
        assert again["error"] == {"code": -32000, "message": "already known"}
        await ask(proxy, "evm_mine")
        assert not await included(proxy, low)
        seen = await ask(proxy, "eth_getTransactionByHash", low["result"])
        assert seen["result"]["blockHash"] is None
        assert (await ask(proxy, "eth_getTransactionCount", SENDER, "pending"))["result"] == "0x1"
        await asyncio.to_thread(chain.call, "anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        await ask(proxy, "evm_mine")
        assert await included(proxy, low)


@pytest.mark.node
async def test_what_a_spike_makes_anvil_forget_is_given_to_it_again(chain: Node) -> None:
    async with rpc_proxy(chain.url) as proxy:
        proxy.rules = [GethRules(proxy.forward)]
        sent = await ask(proxy, "eth_sendRawTransaction", signed(0, GWEI, 3 * GWEI))
        for fee in (100, 100):
            spike = ("anvil_setNextBlockBaseFeePerGas", hex(fee * GWEI))
            await asyncio.to_thread(chain.call, *spike)
            await asyncio.to_thread(chain.call, "evm_mine")
        assert (
            await asyncio.to_thread(chain.call, "eth_getTransactionByHash", sent["result"]) is None
        )
        await asyncio.to_thread(chain.call, "anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        await ask(proxy, "evm_mine")
        assert await included(proxy, sent)


@pytest.mark.node
async def test_a_replacement_follows_geth_and_not_anvil(chain: Node) -> None:
    async with rpc_proxy(chain.url) as proxy:
        proxy.rules = [GethRules(proxy.forward)]
        await ask(proxy, "eth_sendRawTransaction", signed(0, GWEI, 10 * GWEI))
        # anvil alone would take this one: a higher cap is enough for it.
        reply = await ask(proxy, "eth_sendRawTransaction", signed(0, GWEI, 11 * GWEI))
        assert reply["error"]["message"] == "replacement transaction underpriced"
        bump = await ask(proxy, "eth_sendRawTransaction", signed(0, 2 * GWEI, 11 * GWEI))
        await ask(proxy, "evm_mine")
        assert await included(proxy, bump)
