"""After a chain stood still: feeds pushed, what expired settled, the book read anew, then bids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.quotes import Quotes
from deploy.devnet.venue.signing import FeedSigner
from tests.integration.desk import HALF_HOUR_S
from tests.integration.keeper_process import KeeperProcess, recorded
from tests.integration.keeper_rig import SHORT_VENUE, STEP_S, WHOLE, Rig, rig_in
from tests.integration.signed_page import SignedPage, signed_page


pytestmark = pytest.mark.node

SIGNER = FeedSigner(31_337, 7)
SPOT_STALE_S = 180
BEFORE_S, AFTER_S = 2_400, 1_500  # of the expiry: when the chain stops, and when it goes on
FREE = {"risk_rate": 0.0, "profit_min_usd": 0.0}
PRICE_USD, SETTLED_USD = 2_400, 2_800
HOLD_BLOCKS, BLOCKS_MAX = 3, 5


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        for feed in feeds(standing):
            standing.sender.send(feed, "addSigner", SIGNER.address, True)
        standing.mine()
        yield standing


@pytest.fixture
def page() -> Iterator[SignedPage]:
    with signed_page() as served:
        yield served


def feeds(rig: Rig) -> list[Contract]:
    found = [rig.core.stable_feed, rig.book.forward_feed]
    for book in rig.venue.books:
        found += [book.spot_feed, book.perp_feed, book.impact_ask_feed, book.impact_bid_feed]
    return found


def publish(rig: Rig, page: SignedPage) -> None:
    """Sign every feed's data of now, and the settlement price of the expiry."""
    settled = Quotes(rig.expiry, signer=SIGNER)
    sums = (0, wad(str(SETTLED_USD)) * HALF_HOUR_S)
    settled.forward(rig.book.forward_feed, rig.expiry, 0, aggregates=sums)
    quotes = Quotes(rig.now, signer=SIGNER)
    quotes.spot(rig.core.stable_feed, WHOLE)
    for book in rig.venue.books:
        quotes.spot(book.spot_feed, wad(str(PRICE_USD)))
        quotes.diff(book.perp_feed, 0)
        quotes.diff(book.impact_ask_feed, WHOLE)
        quotes.diff(book.impact_bid_feed, -WHOLE)
    page.show(settled)
    page.show(quotes)


def quiet(rig: Rig, keeper: KeeperProcess, after_s: int = STEP_S) -> dict[str, Any]:
    """Mine a block in which nobody posts a quote; its line."""
    rig.now += after_s
    rig.mine_empty()
    return keeper.block(rig.head["hash"])


def decided(keeper: KeeperProcess) -> list[tuple[str, int | None, int]]:
    """What was decided: (kind, account, block)."""
    return [
        (line["kind"], line["account"], line["decided_number"])
        for line in keeper.lines("command_decided")
    ]


def test_feeds_are_pushed_expired_options_settled_and_the_book_read_before_a_bid(
    rig: Rig, page: SignedPage
) -> None:
    put = rig.option(3_000, False, "-5")
    expiring = rig.open_with("9000", put, rig.perp("10"))
    sold = rig.open(rig.cash("5000"), rig.perp("10"))
    rig.at(rig.expiry - rig.start - BEFORE_S - SPOT_STALE_S - 2 * STEP_S, PRICE_USD)
    rig.start_auction(sold)
    assert rig.view(rig.core.auction, "getAuction", sold)[2], "insolvent: it waits for a bid"
    bidder = rig.bidder("90000")
    document = rig.document(strategy="dutch_auction", bidders=[bidder], **FREE)
    document["oracles"] = [page.settings]
    document["halt"] = {"gap_s": BEFORE_S, "hold_blocks": HOLD_BLOCKS}
    document["preflight"] = {"deadline_ms_max": 20_000}  # a slow machine is not what this is about
    keeper = rig.follow(rig.process(document))
    # The spots are stale already, so that nothing is done before the chain stands still.
    line = quiet(rig, keeper, after_s=SPOT_STALE_S + STEP_S)
    assert (line["undecided"], line["commands"]) == (3, 0)

    rig.now = rig.expiry + AFTER_S - STEP_S
    publish(rig, page)
    keeper.wait("the data", lambda: len(keeper.events("PayloadReceived")) >= len(page.items))
    line = quiet(rig, keeper)
    first = rig.number
    assert line["commands"] == 1
    assert decided(keeper) == [("push_feeds", None, first)]
    (told,) = keeper.lines("feeds_push_decided")
    assert (told["payloads"], told["left"]) == (len(page.items), 0)

    line = quiet(rig, keeper)
    for book in rig.venue.books:
        assert rig.view(book.spot_feed, "getSpot")[0] == wad(str(PRICE_USD))
    settled = rig.view(rig.book.forward_feed, "getSettlementPrice", rig.expiry)
    assert settled == (True, wad(str(SETTLED_USD)))
    assert decided(keeper)[1:] == [("settle_options", expiring, first + 1)]

    quiet(rig, keeper)
    assert rig.stored(expiring, *put[:2]) == 0
    keeper.wait("a new beginning", lambda: len(keeper.journals()) == 2)
    keeper.wait("its lanes", lambda: recorded(keeper.journals()[1:], ("LaneObserved",)))
    assert len(keeper.lines("new_snapshot_needed")) == 1
    assert rig.happened("Bid") == []

    for _ in range(BLOCKS_MAX):
        quiet(rig, keeper)
        if rig.happened("Bid"):
            break
    assert [bid["accountId"] for bid in rig.happened("Bid")] == [sold]
    (bid,) = decided(keeper)[2:]
    assert bid[0] == "bid"
    assert bid[2] >= first + HOLD_BLOCKS
    assert keeper.events("TransactionReverted", "CommandRefused") == []
    assert rig.apart(keeper) == []
