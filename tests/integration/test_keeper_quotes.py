"""What the keeper does on quotes it should not act on, and on logs it cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.quotes import Quotes
from keeper.protocols.derive.abi import TOPIC
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node

SPOT_STALE_S, VOL_STALE_S = 180, 1_200
FREE = {"risk_rate": 0.0, "profit_min_usd": 0.0}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def test_nothing_is_decided_on_a_stale_quote_and_the_rest_goes_on(rig: Rig) -> None:
    btc = rig.venue.books[1]
    eth_account = rig.open_with("500", rig.perp("10"))
    btc_account = rig.open_with("500", (btc.perp, 0, wad("10")), book=btc)
    keeper = rig.keeper()
    rig.play(keeper)
    keeper.ready()
    rig.silent.add("ETH.spot")
    line = rig.play(keeper, after_s=SPOT_STALE_S + 1)
    assert (line["undecided"], line["quotes_not_ok"]) == (1, ["ETH.spot=STALE"])
    keeper.wait("red", lambda: any("ETH.spot" in why for why in keeper.readiness()))
    line = rig.play(keeper, spot=2_900)
    assert (line["undecided"], line["breaches"], line["commands"]) == (1, 1, 1)
    rig.play(keeper)
    assert rig.live(btc_account)
    assert rig.starts(eth_account) == []
    assert rig.refusal(rig.book.manager, "getMargin", eth_account, False) == "BLF_DataTooOld"
    rig.silent.clear()
    line = rig.play(keeper)
    assert (line["undecided"], line["commands"], line["quotes_not_ok"]) == (0, 1, [])
    keeper.ready()
    rig.play(keeper)
    assert rig.live(eth_account)


def test_on_an_absurd_quote_bids_stop_and_starts_go_on(rig: Rig) -> None:
    first = rig.open(rig.cash("5000"), rig.perp("10"))
    second = rig.open_with("3000", rig.perp("-10"))
    bidder = rig.bidder("90000")
    document = rig.document(strategy="dutch_auction", bidders=[bidder], **FREE)
    document["venues"]["derive"]["quote_doubt_s"] = 120
    keeper = rig.follow(rig.process(document))
    rig.play(keeper)
    # A third more in one block: the chain margins on it at once, whoever believes it or not.
    line = rig.play(keeper, spot=4_000)
    assert line["quotes_not_ok"] == ["ETH.spot=SUSPECT", "BTC.spot=SUSPECT"]
    rig.play(keeper)
    assert rig.live(second)
    # At this price the first is healthy: it is let go.
    rig.play_until(keeper, lambda: not rig.live(first))
    for _ in range(5):
        rig.play(keeper)
    assert rig.happened("Bid") == []
    assert any("SUSPECT" in why for why in keeper.readiness())
    for _ in range(12):
        rig.play(keeper)
    assert [bid["accountId"] for bid in rig.happened("Bid")] == [second]
    keeper.ready()


def test_expired_options_are_settled_and_the_account_is_decided_again(rig: Rig) -> None:
    account = rig.open_with("9000", rig.option(3000, False, "-5"), rig.perp("10"))
    rig.at(rig.expiry - rig.start - 3_000)
    keeper = rig.keeper()
    line = rig.play(keeper)
    assert (line["accounts"], line["undecided"]) == (1, 0)
    line = rig.play(keeper, after_s=3_000 + VOL_STALE_S)
    assert (line["undecided"], line["commands"]) == (1, 0), "no settlement price yet"
    assert rig.refusal(rig.book.manager, "getMargin", account, False) is not None
    rig.settle_price(2_800)
    line = keeper.block(rig.head["hash"])
    assert (line["undecided"], line["commands"]) == (1, 1)
    line = rig.play(keeper)
    assert (line["undecided"], line["commands"]) == (0, 0)
    assert rig.stored(account, *rig.option(3000, False, "-5")[:2]) == 0
    assert rig.margin(account)[0] > 0
    # Decided again: it can be found in breach.
    line = rig.play(keeper, spot=1_200)
    assert (line["breaches"], line["commands"]) == (1, 1)
    rig.play(keeper)
    assert rig.live(account)
    assert rig.apart(keeper) == []


def test_a_known_log_that_cannot_be_read_stops_deciding_and_is_named(rig: Rig) -> None:
    account = rig.open_with("500", rig.perp("10"))
    keeper = rig.keeper()
    rig.play(keeper)
    keeper.ready()
    feed = rig.venue.books[1].impact_ask_feed.address
    topic = TOPIC["SpotDiffUpdated"]
    emit(rig, feed, topic)
    keeper.wait("the halt", lambda: keeper.lines("venue_halted"))
    (told,) = keeper.lines("venue_halted")
    assert (told["address"], told["topic"]) == (feed.lower(), topic)
    keeper.wait("red", lambda: any("venue" in why for why in keeper.readiness()))
    rig.silent.add("BTC.perp")
    number = rig.number
    rig.at(rig.now - rig.start + 12, 2_900)

    def sealed() -> bool:
        return any(each["number"] > number for each in keeper.events("BlockSealed"))

    keeper.wait("the next block", sealed)
    assert rig.margin(account)[0] < 0
    assert rig.starts(account) == []
    assert [line for line in keeper.lines("block") if line["number"] > number] == []
    assert keeper.stop() == 0


def emit(rig: Rig, address: str, topic: str) -> None:
    """Have a contract emit a log of this topic with nothing in it, and give it its code back."""
    before = rig.node.call("eth_getCode", address, "latest")
    # PUSH32 topic, PUSH1 0, PUSH1 0, LOG1, STOP
    rig.node.call("anvil_setCode", address, f"0x7f{topic[2:]}60006000a100")
    request = {"from": rig.stranger().address, "to": address, "gas": hex(100_000)}
    sent = rig.node.call("eth_sendTransaction", request)
    rig.mine_empty()
    receipt = rig.node.call("eth_getTransactionReceipt", sent)
    assert len(receipt["logs"]) == 1
    rig.node.call("anvil_setCode", address, before)


def test_a_feed_rewired_to_one_never_read_leads_to_a_new_snapshot(rig: Rig) -> None:
    account = rig.open_with("500", rig.perp("10"))
    keeper = rig.keeper()
    rig.play(keeper)
    keeper.ready()
    old, sender = rig.book, rig.sender
    feed = sender.deploy("LyraSpotFeed")
    sender.send(feed, "setHeartbeat", SPOT_STALE_S)
    sender.send(feed, "setPublisher", sender.address, True)
    sender.send(old.manager, "setSpotFeed", feed.address)
    books = tuple(
        replace(book, spot_feed=feed) if book is old else book for book in rig.venue.books
    )
    rig.venue = replace(rig.venue, books=books)

    def quotes_of_both() -> Quotes:
        # The perpetual still reads its price off the old feed.
        quotes = Rig.quotes(rig)
        quotes.spot(old.spot_feed, wad(str(rig.spot)))
        return quotes

    rig.quotes = quotes_of_both  # type: ignore[method-assign]
    rig.step()
    keeper.wait("new snapshot", lambda: keeper.lines("new_snapshot_needed"))
    keeper.wait("snapshot taken", lambda: len(keeper.lines("snapshot_taken")) == 2)
    # A new snapshot is no audit: nothing is served until everybody agreed on the new feed.
    rig.play(keeper)
    keeper.wait("the audit of everybody", lambda: keeper.lines("decisions_resumed"))
    keeper.ready()
    assert keeper.lines("decisions_stopped")
    line = rig.play(keeper, spot=2_900)
    assert (line["undecided"], line["breaches"], line["commands"]) == (0, 1, 1)
    rig.play(keeper)
    assert rig.live(account)
    assert rig.apart(keeper) == []
