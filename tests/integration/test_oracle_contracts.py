"""Chainlink's own contracts and Pyth's own mock on a node, read and served by our code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node
from deploy.devnet.chain.outside import aggregator, chainlink, move_proxy, proxy
from deploy.devnet.chain.rpc import RpcError
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.domain.effects import Notice
from keeper.domain.errors import MalformedReply
from keeper.domain.events import Event, RoundObserved
from keeper.domain.units import WAD
from keeper.market import chainlink as feeds
from keeper.market import pyth
from keeper.market.payloads import Payload, PayloadRule, Payloads
from keeper.market.quotes import Evidence, JudgeRule, QuoteRule, QuoteState, judge
from keeper.oracle.chainlink import ChainlinkWatch
from keeper.oracle.settings import OracleSettings
from tests.integration.pyth_stand import FEED_ID, PythStand, block_time, logs_of, update


pytestmark = pytest.mark.node

JUMPS = QuoteRule()
USD = 10**8


@pytest.fixture
def sender(node: Node) -> Sender:
    return Sender(node.rpc, node.call("eth_accounts")[0])


# ── Chainlink ──


class Watched:
    """A watch on a feed, looking when it is told to."""

    def __init__(self, node: Node, feed: Contract, **changes: Any) -> None:
        self.events: list[Event] = []
        self.told: list[Notice] = []
        self._node = node
        fields = {"name": "eth_usd", "kind": "chainlink", "underlying": "ETH", "reread_blocks": 1}
        self._settings = OracleSettings(**{**fields, "feed": feed.address, **changes})

    def looks(self, *between: Callable[[], Awaitable[None]]) -> list[RoundObserved]:
        """Look, then once more after each of `between`; what was posted."""
        asyncio.run(self._looks(between))
        return [each for each in self.events if isinstance(each, RoundObserved)]

    async def _looks(self, between: tuple[Callable[[], Awaitable[None]], ...]) -> None:
        async with RpcHttp("node", self._node.url) as rpc:
            watch = ChainlinkWatch(
                self._settings, NodeReader(rpc, ReaderConfig()), self.told.append
            )
            await watch.look(self.events.append)
            for happen in between:
                await happen()
                await watch.look(self.events.append)


def test_rounds_of_the_real_aggregator_fold_to_what_its_proxy_answers(
    node: Node, sender: Sender
) -> None:
    behind = aggregator(sender, 8)
    front = proxy(sender, behind)
    sender.flush()
    sender.transact(behind, "submit", 1, 2_000 * USD)
    (seen,) = Watched(node, front).looks()
    row = feeds.observed(None, seen, JUMPS)
    assert (seen.aggregator, seen.phase, seen.decimals) == (behind.address.lower(), 1, 8)
    assert row.quote.value == 2_000 * WAD
    for number, usd in ((2, 2_010), (3, 1_990)):
        receipt = sender.transact(behind, "submit", number, usd * USD)
        logs = logs_of(node, int(receipt["blockNumber"], 16))
        assert len(logs) > 1, "others than the answer are emitted too"
        for log in logs:
            update = feeds.decode(log)
            row = row if update is None else feeds.answered(row, update, JUMPS)
        _, answer, _, updated, _ = front.call(node.rpc, "latestRoundData")
        assert (row.quote.value, row.quote.timestamp) == (answer * 10**10, updated)
    assert feeds.verdict(row, block_time(node), JudgeRule()).state is QuoteState.OK


def test_a_proxy_that_moves_silently_is_followed_and_the_old_aggregator_is_left(
    node: Node, sender: Sender
) -> None:
    old, new = aggregator(sender, 8), aggregator(sender, 8)
    front = proxy(sender, old)
    sender.flush()
    for behind, usd in ((old, 2_000), (new, 2_100)):
        sender.transact(behind, "submit", 1, usd * USD)

    async def move() -> None:
        move_proxy(sender, front, new)
        logs = [log for receipt in sender.flush() for log in receipt["logs"]]
        assert logs == [], "moving a proxy says nothing"

    first, second = Watched(node, front).looks(move)
    assert (second.aggregator, second.phase) == (new.address.lower(), 2)
    row = feeds.observed(feeds.observed(None, first, JUMPS), second, JUMPS)
    assert (row.quote.value, row.aggregator) == (2_100 * WAD, new.address.lower())
    receipt = sender.transact(old, "submit", 2, 1_000 * USD)
    for log in logs_of(node, int(receipt["blockNumber"], 16)):
        update = feeds.decode(log)
        assert update is None or feeds.answered(row, update, JUMPS) == row


def test_decimals_that_change_behind_a_proxy_halt_the_quote(node: Node, sender: Sender) -> None:
    old, new = aggregator(sender, 8), aggregator(sender, 18)
    front = proxy(sender, old)
    sender.flush()
    sender.transact(old, "submit", 1, 2_000 * USD)
    sender.transact(new, "submit", 1, 2_000 * WAD)

    async def move() -> None:
        move_proxy(sender, front, new)
        sender.flush()

    first, second = Watched(node, front).looks(move)
    row = feeds.observed(feeds.observed(None, first, JUMPS), second, JUMPS)
    verdict = feeds.verdict(row, block_time(node), JudgeRule())
    assert verdict == (QuoteState.HALTED, "decimals")


def test_an_aggregator_that_refuses_readers_is_malformed_and_posts_nothing(
    node: Node, sender: Sender
) -> None:
    arguments = (sender.address, 0, 0, sender.address, 0, 2**100, 8, "closed")
    closed = sender.create(chainlink("AccessControlledAggregator"), *arguments)
    front = proxy(sender, closed)
    sender.flush()
    watched = Watched(node, front)
    with pytest.raises(MalformedReply, match="reverts"):
        watched.looks()
    assert watched.events == []


def test_nothing_is_posted_while_nothing_changes(node: Node, sender: Sender) -> None:
    mock = sender.create(chainlink("tests/MockV3Aggregator"), 8, 2_000 * USD)
    sender.flush()

    async def mine() -> None:
        node.call("evm_mine")

    (seen,) = Watched(node, mock).looks(mine, mine)
    assert (seen.aggregator, seen.phase) == (mock.address.lower(), 0), "it is its own aggregator"


# ── Pyth ──


def test_the_best_update_that_still_counts_is_brought_with_its_fee(
    node: Node, sender: Sender
) -> None:
    stand, now = PythStand(node, sender), block_time(node)
    held: Payloads[str] = Payloads(PayloadRule("best_valid", margin_s=5))
    fee = stand.fee([Payload(update(1, now), now, now)])
    assert fee == 1
    for price, age_s in ((1_900, 90), (2_000, 20), (2_100, -30)):
        found = pyth.payload(update(price * USD, now - age_s), 60, fee)
        assert found is not None
        held.keep(*found)
    best = held.chosen("0x" + FEED_ID.hex(), now, 0)
    assert best is not None
    (log,) = stand.send(pyth.update_call(stand.pyth.address, [best]))
    assert stand.price()[0] == 2_000 * USD
    told = pyth.decode(log, -8)
    assert told == pyth.opened(best.data)
    assert told is not None
    assert pyth.quote(None, told, JUMPS).value == 2_000 * WAD


def test_without_its_fee_an_update_is_refused(node: Node, sender: Sender) -> None:
    stand, now = PythStand(node, sender), block_time(node)
    call = pyth.update_call(stand.pyth.address, [Payload(update(USD, now), now, now, 0)])
    with pytest.raises(RpcError):
        stand.send(call)


def test_a_pyth_price_that_is_too_old_is_stale_to_us_when_it_is_to_the_contract(
    node: Node, sender: Sender
) -> None:
    stand, now = PythStand(node, sender), block_time(node)
    data = update(2_000 * USD, now, confidence=20 * USD)
    stand.send(pyth.update_call(stand.pyth.address, [Payload(data, now, now + 60, 1)]))
    price = pyth.opened(data)
    assert price is not None
    row = pyth.quote(None, price, JUMPS)
    assert row.confidence == WAD - WAD // 100
    assert stand.price()[0] == price.price
    node.call("evm_mine", now + 61)
    with pytest.raises(RpcError):
        stand.price()
    evidence = Evidence(row, now + 61, 60)
    assert judge(evidence, JudgeRule()).state is QuoteState.STALE
