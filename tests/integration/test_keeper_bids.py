"""What the keeper buys: where the discount pays, sized by what is on sale, by both ways in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.venue.parameters import wad
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, WHOLE, Rig, rig_in


pytestmark = pytest.mark.node

# No gas costs and no risk: what is left of the decision is the discount.
FREE = {"risk_rate": 0.0, "profit_min_usd": 0.0}
STEPS_MAX = 90


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def breach(rig: Rig) -> int:
    """Ten perpetuals with 5,000 USD of equity, 220 USD short of the maintenance margin."""
    return rig.open(rig.cash("5000"), rig.perp("10"))


def until_bid(rig: Rig, keeper: KeeperProcess, account: int) -> dict[str, Any]:
    """Play until an account's slice is sold; the Bid."""
    rig.play_until(keeper, lambda: bool(rig.happened("Bid", account)), STEPS_MAX)
    return rig.happened("Bid", account)[0]


def left_with_no_buffer(rig: Rig, account: int, scenario: int) -> bool:
    """Tell whether what is left stands where its buffered margin is nothing, to a USD."""
    auction = rig.core.auction
    _, buffered, _ = rig.view(auction, "getMarginAndMarkToMarket", account, scenario)
    return abs(buffered) < WHOLE


def test_a_direct_bid_takes_the_largest_slice_and_ends_the_auction(rig: Rig) -> None:
    account, bidder = breach(rig), rig.bidder("50000")
    keeper = rig.keeper(strategy="dutch_auction", bidders=[bidder], **FREE)
    bid = until_bid(rig, keeper, account)
    assert bid["bidderId"] == bidder
    assert 0 < bid["finalPercentage"] < WHOLE // 2, "a solvent sale takes what restores, not all"
    assert left_with_no_buffer(rig, account, rig.starts(account)[0]["scenarioId"])
    assert not rig.live(account)
    assert rig.stored(bidder, rig.book.perp) == wad("10") * bid["finalPercentage"] // WHOLE
    rig.play(keeper)
    rig.play(keeper)
    assert len(rig.happened("Bid")) == 1
    assert rig.apart(keeper) == []


def test_a_bid_through_the_helper_lands_in_a_fresh_account(rig: Rig) -> None:
    account, bidder = breach(rig), rig.bidder("50000")
    rig.trust_helper()
    keeper = rig.keeper(strategy="dutch_auction", bidders=[bidder], through_helper=True, **FREE)
    bid = until_bid(rig, keeper, account)
    assert bid["bidderId"] > max(account, bidder), "a fresh account"
    owner = rig.view(rig.core.sub_accounts, "ownerOf", bid["bidderId"])
    assert owner == rig.lane().lower()
    assert left_with_no_buffer(rig, account, rig.starts(account)[0]["scenarioId"])
    assert not rig.live(account)
    assert rig.stored(bidder, rig.book.perp) == 0, "the payer itself stays clean"
    line = rig.play(keeper)
    assert line["commands"] == 0
    assert rig.apart(keeper) == []


def test_a_bid_waits_until_the_discount_beats_its_cost(rig: Rig) -> None:
    account, bidder = breach(rig), rig.bidder("50000")
    least_usd = 100.0
    document = rig.document(
        strategy="dutch_auction", bidders=[bidder], risk_rate=0.0, profit_min_usd=least_usd
    )
    document["limits"] = {"gas_token_usd": 0.0}
    keeper = rig.follow(rig.process(document))
    bid = until_bid(rig, keeper, account)
    (start,) = rig.starts(account)
    decided = bid["number"] - 1
    assert decided > start["number"] + 1, "it would have bid at once"
    assert on_sale_at(rig, account, decided) >= least_usd
    assert on_sale_at(rig, account, decided - 1) < least_usd


def on_sale_at(rig: Rig, account: int, number: int) -> float:
    """Return what the largest slice was worth above its price at a block, USD, by the chain."""

    def asked(name: str, *arguments: int) -> Any:
        auction, block = rig.core.auction, hex(number)
        return auction.call(rig.node.rpc, name, account, *arguments, block=block)

    scenario = asked("getAuction")[1]
    worth = asked("getMarginAndMarkToMarket", scenario)[2]
    share = asked("getMaxProportion", scenario)
    return float(share * (worth - asked("getCurrentBidPrice")) / WHOLE / WHOLE)


def test_an_insolvent_account_is_bid_for_its_payout(rig: Rig) -> None:
    account, bidder = breach(rig), rig.bidder("50000")
    keeper = rig.keeper(strategy="dutch_auction", bidders=[bidder], **FREE)
    rig.play(keeper, spot=2_400)
    bid = until_bid(rig, keeper, account)
    (started,) = rig.happened("InsolventAuctionStarted", account)
    assert started["number"] < bid["number"]
    assert bid["finalPercentage"] == WHOLE
    assert bid["cashFromBidder"] == 0
    assert bid["cashToBidder"] > 0
    assert rig.view(rig.core.sub_accounts, "getAccountBalances", account) == ()
    assert rig.margin(bidder)[1] > wad("50000"), "the payout covers what was taken over"
    assert rig.view(rig.core.auction, "totalInsolventMM") == 0


def test_dust_keeps_an_account_from_bidding_and_the_next_one_bids(rig: Rig) -> None:
    account, spoilt, clean = breach(rig), rig.bidder("90000"), rig.bidder("50000")
    dust(rig, spoilt)
    keeper = rig.keeper(strategy="dutch_auction", bidders=[spoilt, clean], **FREE)
    bid = until_bid(rig, keeper, account)
    assert bid["bidderId"] == clean


def test_dust_that_comes_while_the_keeper_runs_stops_direct_bids_only(rig: Rig) -> None:
    account, bidder = breach(rig), rig.bidder("50000")
    rig.trust_helper()
    keeper = rig.keeper(strategy="dutch_auction", bidders=[bidder], **FREE)
    dust(rig, bidder)
    rig.play(keeper)
    for _ in range(8):
        rig.play(keeper, after_s=60)
    assert rig.live(account)
    assert rig.happened("Bid") == []
    assert [each for each in keeper.events("CommandRefused") if each["stage"] != "observe"] == []
    assert keeper.stop() == 0
    second = rig.keeper(strategy="dutch_auction", bidders=[bidder], through_helper=True, **FREE)
    bid = until_bid(rig, second, account)
    assert bid["bidderId"] not in (bidder, account)


def dust(rig: Rig, account: int) -> None:
    """A stranger deposits one unit of a collateral into somebody's account."""
    griefer, token = rig.stranger(), rig.venue.tokens["WETH"]
    asset = rig.book.collaterals[0].asset
    griefer.send(token, "mint", griefer.address, 1)
    griefer.send(token, "approve", asset.address, 1)
    rig.do(asset, "deposit", account, 1, sender=griefer)
    assert rig.stored(account, asset) == 1
