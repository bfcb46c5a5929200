"""What the auction does with the real margin contract behind it: starts, bids and ends."""

from __future__ import annotations

import pytest

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.parameters import VenueParameters, wad
from tests.integration.desk import Desk


pytestmark = pytest.mark.node

WHOLE = wad("1")
FAST_S, SLOW_S, INSOLVENT_S = 900, 43_200, 3_600


@pytest.fixture
def desk(node: Node) -> Desk:
    return Desk(node)


def solvent(desk: Desk) -> int:
    """Ten perpetuals with 5,000 USD of equity, 220 USD short of the maintenance margin."""
    return desk.open(desk.cash("5000"), desk.perp("10"))


def insolvent(desk: Desk) -> int:
    """The same account after a fall of 600 USD: equity of -1,000 USD."""
    account = solvent(desk)
    desk.at(60, spot=2400)
    return account


def names(events: list[tuple[str, dict[str, object]]]) -> list[str]:
    return [name for name, _ in events]


def test_a_healthy_account_cannot_be_started(desk: Desk) -> None:
    account = desk.open(desk.cash("6000"), desk.perp("10"))
    refusal = desk.refusal(desk.core.auction, "startAuction", account, 0)
    assert refusal == "DA_AccountIsAboveMaintenanceMargin"


def test_an_account_of_an_unknown_manager_cannot_be_started(desk: Desk) -> None:
    assert desk.refusal(desk.core.auction, "startAuction", 1, 0) == "DA_NotWhitelistedManager"


def test_a_start_pays_the_fee_to_the_security_module_and_cannot_be_repeated(desk: Desk) -> None:
    account = solvent(desk)
    before = desk.stored(1, desk.core.cash)
    most = desk.view(desk.core.auction, "getMaxProportion", account, desk.margin(account)[2])
    mtm = desk.margin(account)[1]
    name, started = desk.start_auction(account)[-1]
    assert name == "SolventAuctionStarted"
    assert started["markToMarket"] == mtm
    assert started["fee"] == most * mtm // WHOLE // 10 > 0
    assert desk.stored(1, desk.core.cash) - before == started["fee"]
    refusal = desk.refusal(desk.core.auction, "startAuction", account, started["scenarioId"])
    assert refusal == "DA_AuctionAlreadyStarted"


def test_the_length_of_the_scenarios_is_no_scenario(desk: Desk) -> None:
    account = solvent(desk)
    count = len(desk.view(desk.book.manager, "getScenarios"))
    with pytest.raises(Exception, match=r"0x4e487b71.*32"):
        desk.view(desk.core.auction, "startAuction", account, count)


def test_a_live_auction_refuses_deposits_and_transfers(desk: Desk) -> None:
    account, other = solvent(desk), desk.open(desk.cash("10"))
    desk.start_auction(account)
    refused = "BM_AccountUnderLiquidation"
    assert desk.refusal(desk.core.cash, "deposit", account, 0) == refused
    leg = (other, account, desk.core.cash.address, 0, 1, bytes(32))
    assert desk.refusal(desk.core.sub_accounts, "submitTransfer", leg, b"") == refused


def test_a_bidder_with_dust_is_refused(desk: Desk) -> None:
    account, bidder = solvent(desk), desk.open(desk.cash("100000"))
    desk.start_auction(account)
    bid = (account, bidder, WHOLE, 0, 0)
    assert desk.refusal(desk.core.auction, "bid", *bid) is None
    griefer, token = desk.stranger(), desk.venue.tokens["WETH"]
    asset = desk.book.collaterals[0].asset
    griefer.send(token, "mint", griefer.address, 1)
    griefer.send(token, "approve", asset.address, 1)
    desk.do(asset, "deposit", bidder, 1, sender=griefer)
    assert desk.refusal(desk.core.auction, "bid", *bid) == "DA_InvalidBidderPortfolio"


def test_bids_are_refused_for_the_first_reason_that_holds(desk: Desk) -> None:
    account, bidder, poor = solvent(desk), desk.open(desk.cash("100000")), desk.open(desk.cash("1"))
    other = desk.open(desk.cash("100000"), book=desk.venue.books[1])
    auction = desk.core.auction
    assert desk.refusal(auction, "bid", account, bidder, WHOLE, 0, 0) == "DA_AuctionNotStarted"
    desk.start_auction(account)
    last = desk.view(desk.core.sub_accounts, "lastAccountTradeId", account)
    cases = {
        (bidder, 0, 0, 1): "DA_InvalidPercentage",
        (bidder, WHOLE + 1, 0, 0): "DA_InvalidPercentage",
        (other, WHOLE, 0, last + 1): "DA_InvalidLastTradeId",
        (other, WHOLE, 0, last): "DA_CannotBidWithDifferentManager",
        (poor, WHOLE, 1, 0): "DA_InsufficientCash",
        (bidder, WHOLE, 1, 0): "DA_PriceLimitExceeded",
        (bidder, WHOLE, 0, last): None,
    }
    for case, refused in cases.items():
        assert desk.refusal(auction, "bid", account, *case) == refused, case
    bid = (account, bidder, WHOLE, 0, 0)
    stranger = desk.stranger().address
    assert desk.refusal(auction, "bid", *bid, sender=stranger) == "DA_SenderNotOwner"


def test_partial_bids_leave_the_rest_live_and_the_largest_fraction_ends_it(desk: Desk) -> None:
    account = solvent(desk)
    first, second = desk.open(desk.cash("50000")), desk.open(desk.cash("50000"))
    scenario = desk.start_auction(account)[-1][1]["scenarioId"]
    desk.at(450)
    events = desk.do(desk.core.auction, "bid", account, first, wad("0.1"), 0, 0)
    name, bid = events[-1]
    assert name == "Bid"
    assert "AuctionEnded" not in names(events)
    assert bid["finalPercentage"] == wad("0.1")
    assert desk.stored(first, desk.book.perp) == WHOLE
    auction = desk.view(desk.core.auction, "getAuction", account)
    assert auction[6] == bid["cashFromBidder"] > 0
    most = desk.view(desk.core.auction, "getMaxProportion", account, scenario)
    events = desk.do(desk.core.auction, "bid", account, second, WHOLE, 0, 0)
    assert names(events)[-2:] == ["AuctionEnded", "Bid"]
    assert events[-1][1]["finalPercentage"] == most
    _, buffer_margin, _ = desk.view(
        desk.core.auction, "getMarginAndMarkToMarket", account, scenario
    )
    assert abs(buffer_margin) < wad("0.000001")
    assert desk.refusal(desk.core.auction, "terminateAuction", account) == "DA_NotOngoingAuction"


def test_an_insolvent_account_pays_its_bidder_from_the_security_module(desk: Desk) -> None:
    account, bidder = insolvent(desk), desk.open(desk.cash("2088.01"))
    name, started = desk.start_auction(account)[-1]
    assert name == "InsolventAuctionStarted"
    mm = started["maintenanceMargin"]
    auction = desk.core.auction
    assert desk.view(auction, "totalInsolventMM") == -mm
    desk.at(60 + INSOLVENT_S // 2)
    owed = -desk.view(auction, "getCurrentBidPrice", account)
    bid = (account, bidder, WHOLE)
    limit = -owed
    assert desk.refusal(auction, "bid", *bid, limit - wad("1"), 0) == "DA_PriceLimitExceeded"
    events = desk.do(auction, "bid", *bid, limit + wad("1"), 0)
    assert names(events)[-2:] == ["AuctionEnded", "Bid"]
    paid = next(fields for each, fields in events if each == "SecurityModulePaidOut")
    result = events[-1][1]
    assert paid["cashAmountPaid"] == result["cashToBidder"] == pytest.approx(owed, rel=1e-6)
    assert result["cashFromBidder"] == 0
    assert desk.view(auction, "totalInsolventMM") == 0
    assert desk.view(desk.core.sub_accounts, "getAccountBalances", account) == ()
    assert desk.margin(bidder)[0] >= 0, "the bidder's cash and the payout cover what it took"


def test_what_the_security_module_lacks_is_printed_and_borne_by_all(node: Node) -> None:
    desk = Desk(node, VenueParameters(security_module_usdc=1_000))
    account, bidder = insolvent(desk), desk.open(desk.cash("3000"))
    saver = desk.open(desk.cash("9000"))
    desk.start_auction(account)
    cash, me = desk.core.cash, desk.sender.address
    blocked = desk.refusal(cash, "withdraw", saver, 10**6, me)
    assert blocked == "CA_WithdrawBlockedByOngoingAuction"
    desk.at(60 + INSOLVENT_S)
    events = desk.do(desk.core.auction, "bid", account, bidder, WHOLE, 0, 0)
    assert "WithdrawFeeEnabled" in names(events)
    assert desk.stored(1, cash) == 0
    assert desk.view(cash, "smFeePercentage") == WHOLE
    rate = desk.view(cash, "getCashToStableExchangeRate")
    assert rate < WHOLE
    before = desk.view(cash, "calculateBalanceWithInterest", saver)
    desk.do(cash, "withdraw", saver, 100 * 10**6, me)
    burned = before - desk.stored(saver, cash)
    assert burned == pytest.approx(wad("100") * WHOLE / rate, rel=1e-9)


def test_a_solvent_auction_that_nobody_wants_is_converted(desk: Desk) -> None:
    account, bidder = solvent(desk), desk.open(desk.cash("50000"))
    auction = desk.core.auction
    assert desk.refusal(auction, "convertToInsolventAuction", account) == "DA_AuctionNotStarted"
    desk.start_auction(account)
    desk.at(FAST_S + SLOW_S - 60)
    refused = desk.refusal(auction, "convertToInsolventAuction", account)
    assert refused == "DA_OngoingSolventAuction"
    desk.at(FAST_S + SLOW_S + 60)
    bid = (account, bidder, WHOLE, 0, 0)
    assert desk.refusal(auction, "bid", *bid) == "DA_SolventAuctionEnded"
    events = desk.do(auction, "convertToInsolventAuction", account)
    assert names(events) == ["InsolventAuctionStarted"]
    _, _, is_insolvent, ongoing, _, start, reserved = desk.view(auction, "getAuction", account)
    assert (is_insolvent, ongoing, start, reserved) == (True, True, desk.now, 0)
    refused = desk.refusal(auction, "convertToInsolventAuction", account)
    assert refused == "DA_AuctionAlreadyInInsolvencyMode"
    desk.at(FAST_S + SLOW_S + 60 + INSOLVENT_S)
    assert desk.margin(account)[1] > 0
    taken = desk.do(auction, "bid", *bid)[-1][1]
    assert taken["cashToBidder"] > 0, "the bidder is paid although the book it takes is positive"


def test_an_auction_ends_by_recovery_and_only_then_by_anyone(desk: Desk) -> None:
    account, bidder = solvent(desk), desk.open(desk.cash("50000"))
    auction, stranger = desk.core.auction, desk.stranger()
    desk.start_auction(account)
    desk.at(60)
    assert desk.refusal(auction, "terminateAuction", account) == "DA_AuctionCannotTerminate"
    desk.at(120, spot=3300)
    assert desk.view(auction, "getAuctionStatus", account)[0]
    refused = desk.refusal(auction, "bid", account, bidder, WHOLE, 0, 0)
    assert refused == "DA_AuctionShouldBeTerminated"
    events = desk.do(auction, "terminateAuction", account, sender=stranger)
    assert names(events) == ["AuctionEnded"]
    assert not desk.view(auction, "isAuctionLive", account)


def test_a_solvent_auction_gone_under_is_ended_and_started_again_as_insolvent(desk: Desk) -> None:
    account = solvent(desk)
    desk.start_auction(account)
    desk.at(60, spot=2400)
    worst = desk.margin(account)[2]
    events = desk.do(desk.core.auction_utils, "startInsolventAuction", account, worst)
    assert [each for each in names(events) if "Auction" in each] == [
        "AuctionEnded",
        "InsolventAuctionStarted",
    ]


def test_only_a_worse_scenario_replaces_the_one_in_force(desk: Desk) -> None:
    account = desk.open(desk.cash("100"), desk.perp("10"))
    worst = desk.margin(account)[2]
    auction = desk.core.auction
    assert desk.refusal(auction, "updateScenarioId", account, worst) == "DA_NotOngoingAuction"
    milder = next(
        at
        for at in range(31)
        if at != worst and desk.view(auction, "getMarginAndMarkToMarket", account, at)[0] < 0
    )
    desk.do(auction, "startAuction", account, milder)
    assert names(desk.do(auction, "updateScenarioId", account, worst)) == ["ScenarioIdUpdated"]
    assert desk.view(auction, "getAuction", account)[1] == worst
    assert desk.refusal(auction, "updateScenarioId", account, milder) == "DA_ScenarioIdNotWorse"
