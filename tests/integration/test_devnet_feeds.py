"""The development venue's feeds: who may speak, what counts, when it is stale, how one settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.quotes import Quotes
from deploy.devnet.venue.signing import FeedSigner, feed_data


pytestmark = pytest.mark.node

HEARTBEAT_S = 100
SETTLEMENT_HEARTBEAT_S = 60
WINDOW_S = 1_800
START = 2_000_000_000
SMILE = (wad("0.01"), wad("0.08"), wad("-0.3"), wad("-0.05"), wad("0.2"))


@dataclass
class Feeds:
    """One feed of each kind on a fresh chain; `stranger` is nobody's publisher."""

    node: Node
    sender: Sender
    stranger: Sender
    spot: Contract
    diff: Contract
    forward: Contract
    vol: Contract
    rate: Contract
    submitter: Contract

    def at(self, moment: int) -> None:
        """Mine a block at `moment`."""
        self.node.call("evm_mine", moment)

    def publish(self, quotes: Quotes, moment: int) -> list[dict[str, Any]]:
        """Submit a batch in a block at `moment`; the receipts."""
        quotes.queue(self.sender, self.submitter)
        self.node.call("evm_setNextBlockTimestamp", moment)
        return self.sender.flush()

    def read(self, feed: Contract, name: str, *arguments: Any) -> Any:
        return feed.call(self.node.rpc, name, *arguments)

    def refusal(self, feed: Contract, name: str, *arguments: Any) -> str:
        """Selector of the error with which a call is refused."""
        with pytest.raises(RpcError) as refused:
            feed.call(self.node.rpc, name, *arguments, sender=self.sender.address)
        return str(refused.value.data)


def selector(error: str) -> str:
    return "0x" + keccak(text=f"{error}()")[:4].hex()


@pytest.fixture
def feeds(node: Node) -> Feeds:
    accounts = node.call("eth_accounts")
    sender, stranger = Sender(node.rpc, accounts[0]), Sender(node.rpc, accounts[1])
    spot = sender.deploy("LyraSpotFeed")
    made = Feeds(
        node,
        sender,
        stranger,
        spot,
        sender.deploy("LyraSpotDiffFeed", spot.address),
        sender.deploy("LyraForwardFeed", spot.address),
        sender.deploy("LyraVolFeed"),
        sender.deploy("LyraRateFeed"),
        sender.deploy("OracleDataSubmitter"),
    )
    for feed in (made.spot, made.diff, made.forward, made.vol, made.rate):
        sender.send(feed, "setHeartbeat", HEARTBEAT_S)
        sender.send(feed, "setPublisher", sender.address, True)
    sender.send(made.forward, "setSettlementHeartbeat", SETTLEMENT_HEARTBEAT_S)
    sender.flush()
    return made


@pytest.fixture
def now(node: Node) -> int:
    """A moment well after all earlier tests' blocks."""
    latest = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    return max(START, latest + 10_000)


def spot_data(price: int, deadline: int, timestamp: int, confidence: int = 10**18) -> bytes:
    content = encode(["uint96", "uint64"], [price, confidence])
    return feed_data(content, deadline, timestamp, [], [])


def signed(node: Node, feed: Contract, price: int, timestamp: int) -> bytes:
    """Spot data with a signature by EIP-712, valid for a minute."""
    content = encode(["uint96", "uint64"], [price, 10**18])
    return signer(node).signed(feed, content, timestamp, timestamp + 60)


def signer(node: Node) -> FeedSigner:
    return FeedSigner(int(node.call("eth_chainId"), 16), 7)


def test_data_no_newer_than_what_stands_are_ignored_without_an_error(
    feeds: Feeds, now: int
) -> None:
    for price, timestamp in (("100", now), ("200", now), ("300", now - 5)):
        quotes = Quotes(timestamp)
        quotes.spot(feeds.spot, wad(price))
        quotes.queue(feeds.sender, feeds.submitter)
    feeds.node.call("evm_setNextBlockTimestamp", now)
    logs = [each for receipt in feeds.sender.flush() for each in receipt["logs"]]
    assert feeds.read(feeds.spot, "getSpot")[0] == wad("100")
    assert [e["timestamp"] for e in feeds.spot.events("SpotPriceUpdated", logs)] == [now]


@pytest.mark.parametrize(
    ("ahead_s", "deadline_s", "confidence", "error"),
    [
        (1, 60, 10**18, "BLF_InvalidTimestamp"),
        (-20, -1, 10**18, "BLF_DataExpired"),
        (0, 60, 10**18 + 1, "BLF_InvalidConfidence"),
    ],
)
def test_data_from_the_future_or_past_their_deadline_or_too_sure_are_refused(
    feeds: Feeds, now: int, ahead_s: int, deadline_s: int, confidence: int, error: str
) -> None:
    feeds.at(now)
    data = spot_data(wad("100"), now + deadline_s, now + ahead_s, confidence)
    assert feeds.refusal(feeds.spot, "acceptData", data) == selector(error)


def test_stranger_needs_a_whitelisted_signature_and_nothing_else(feeds: Feeds, now: int) -> None:
    feeds.at(now)
    data = signed(feeds.node, feeds.spot, wad("123"), now)
    feeds.sender.transact(feeds.spot, "setPublisher", feeds.sender.address, False)
    bare = spot_data(wad("123"), now + 60, now)
    assert feeds.refusal(feeds.spot, "acceptData", bare) == selector("BLF_NotEnoughSigners")
    assert feeds.refusal(feeds.spot, "acceptData", data) == selector("BLF_InvalidSigner")
    feeds.sender.transact(feeds.spot, "addSigner", signer(feeds.node).address, True)
    forged = data.replace(bytes.fromhex(f"{wad('123'):064x}"), bytes.fromhex(f"{wad('124'):064x}"))
    assert feeds.refusal(feeds.spot, "acceptData", forged) == selector("BLF_InvalidSignature")
    feeds.stranger.transact(feeds.spot, "acceptData", data)
    assert feeds.read(feeds.spot, "getSpot") == (wad("123"), 10**18)


def test_read_is_refused_from_the_second_after_the_heartbeat(feeds: Feeds, now: int) -> None:
    quotes = Quotes(now)
    quotes.spot(feeds.spot, wad("100"))
    feeds.publish(quotes, now)
    feeds.at(now + HEARTBEAT_S)
    assert feeds.read(feeds.spot, "getSpot")[0] == wad("100")
    feeds.at(now + HEARTBEAT_S + 1)
    assert feeds.refusal(feeds.spot, "getSpot") == selector("BLF_DataTooOld")


def test_difference_moves_with_spot_and_is_held_within_its_cap(feeds: Feeds, now: int) -> None:
    feeds.sender.transact(feeds.diff, "setSpotDiffCap", wad("0.06"))
    quotes = Quotes(now)
    quotes.spot(feeds.spot, wad("100"), wad("0.9"))
    quotes.diff(feeds.diff, wad("-5"), wad("0.95"))
    feeds.publish(quotes, now)
    assert feeds.read(feeds.diff, "getResult") == (wad("95"), wad("0.9"))
    lower = Quotes(now + 1)
    lower.spot(feeds.spot, wad("50"))
    feeds.publish(lower, now + 1)
    assert feeds.read(feeds.diff, "getResult") == (wad("47"), wad("0.95"))


def test_expiry_without_data_is_named_as_missing(feeds: Feeds, now: int) -> None:
    feeds.at(now)
    forward = feeds.refusal(feeds.forward, "getForwardPricePortions", now + 10)
    assert forward == selector("LFF_MissingExpiryData")
    assert feeds.refusal(feeds.vol, "getVol", wad("1"), now) == selector("LVF_MissingExpiryData")


def test_forward_moves_with_spot_until_the_last_half_hour(feeds: Feeds, now: int) -> None:
    expiry = now + WINDOW_S
    quotes = Quotes(now)
    quotes.spot(feeds.spot, wad("100"))
    quotes.forward(feeds.forward, expiry, wad("2"))
    feeds.publish(quotes, now)
    assert feeds.read(feeds.forward, "getForwardPricePortions", expiry) == (0, wad("102"), 10**18)
    assert feeds.read(feeds.forward, "getForwardPrice", expiry) == (wad("102"), 10**18)


def test_in_the_last_half_hour_only_what_is_not_yet_averaged_moves(feeds: Feeds, now: int) -> None:
    expiry = now + WINDOW_S // 3
    quotes = Quotes(now)
    quotes.spot(feeds.spot, wad("100"))
    averaged = wad("90") * (WINDOW_S - WINDOW_S // 3)
    quotes.forward(feeds.forward, expiry, wad("2"), aggregates=(7, 7 + averaged))
    feeds.publish(quotes, now)
    # The share still open is that of the data's time, however much later one reads.
    feeds.at(now + 30)
    portions = feeds.read(feeds.forward, "getForwardPricePortions", expiry)
    assert portions == (wad("60"), wad("34"), 10**18)
    feeds.at(now + SETTLEMENT_HEARTBEAT_S + 1)
    refused = feeds.refusal(feeds.forward, "getForwardPricePortions", expiry)
    assert refused == selector("LFF_SettlementDataTooOld")
    assert feeds.read(feeds.forward, "getSettlementPrice", expiry) == (False, 0)


def test_data_of_the_expiry_itself_settle_it_for_good(feeds: Feeds, now: int) -> None:
    expiry = now
    quotes = Quotes(expiry)
    quotes.forward(feeds.forward, expiry, wad("2"), aggregates=(0, wad("95") * WINDOW_S))
    receipts = feeds.publish(quotes, now)
    logged = feeds.forward.events("ForwardDataUpdated", receipts[0]["logs"])
    assert logged[0]["settlementDetails"] == (0, wad("95") * WINDOW_S)
    late = Quotes(now + 50 * HEARTBEAT_S)
    late.spot(feeds.spot, wad("300"))
    feeds.publish(late, late.timestamp)
    assert feeds.read(feeds.forward, "getSettlementPrice", expiry) == (True, wad("95"))
    assert feeds.read(feeds.forward, "getForwardPricePortions", expiry)[:2] == (wad("95"), 0)


def test_aggregates_outside_the_last_half_hour_are_neither_kept_nor_shown(
    feeds: Feeds, now: int
) -> None:
    quotes = Quotes(now)
    quotes.forward(feeds.forward, now + WINDOW_S, wad("2"), aggregates=(5, 900))
    receipts = feeds.publish(quotes, now)
    logged = feeds.forward.events("ForwardDataUpdated", receipts[0]["logs"])
    assert logged[0]["settlementDetails"] == (0, 0)


def test_smile_cannot_be_updated_past_its_expiry(feeds: Feeds, now: int) -> None:
    feeds.at(now + 1)
    quotes = Quotes(now + 1)
    quotes.vol(feeds.vol, now, SMILE, wad("100"), wad("0.1"))
    refused = feeds.refusal(feeds.submitter, "submitData", quotes.packed())
    assert refused == selector("LVF_InvalidVolDataTimestamp")


def test_twenty_feeds_are_updated_in_one_transaction(feeds: Feeds, now: int) -> None:
    for moment in (now, now + 10):
        quotes = Quotes(moment)
        for at in range(20):
            quotes.rate(feeds.rate, now + 100 + at, wad("0.05"))
        receipt = feeds.publish(quotes, moment)[0]
    assert len(feeds.rate.events("RateUpdated", receipt["logs"])) == 20
    assert int(receipt["gasUsed"], 16) < 440_000
