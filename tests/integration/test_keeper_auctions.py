"""What keeps auctions moving: ended, begun again, converted, handed the worse scenario."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.devnet.venue.parameters import wad
from tests.integration.keeper_rig import SHORT, SHORT_VENUE, WHOLE, Rig, rig_in


pytestmark = pytest.mark.node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def test_an_insolvent_account_is_started_as_insolvent(rig: Rig) -> None:
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    keeper = rig.keeper()
    line = rig.play(keeper, spot=2_400)
    assert (line["breaches"], line["insolvent"]) == (1, 1)
    rig.play(keeper)
    (start,) = rig.happened("InsolventAuctionStarted", account)
    assert start["maintenanceMargin"] < 0
    assert rig.happened("SolventAuctionStarted", account) == []


def test_a_solvent_auction_gone_under_is_ended_and_started_as_insolvent(rig: Rig) -> None:
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    keeper = rig.keeper()
    rig.play(keeper)
    rig.play(keeper)
    assert rig.happened("SolventAuctionStarted", account)
    rig.play(keeper, spot=2_400)
    rig.play_until(keeper, lambda: bool(rig.happened("InsolventAuctionStarted", account)))
    assert len(rig.happened("AuctionEnded", account)) == 1
    assert len(rig.starts(account)) == 2
    assert rig.view(rig.core.auction, "getAuction", account)[2], "insolvent"
    line = rig.play(keeper)
    assert line["commands"] == 0, "nothing more to do but to bid"


def test_a_recovered_account_is_let_go(rig: Rig) -> None:
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    keeper = rig.keeper()
    rig.play(keeper)
    rig.play(keeper)
    assert rig.live(account)
    line = rig.play(keeper, spot=3_300)
    assert line["breaches"] == 0
    rig.play_until(keeper, lambda: not rig.live(account))
    assert len(rig.happened("AuctionEnded", account)) == 1
    assert rig.apart(keeper) == []


def test_a_solvent_auction_that_nobody_wants_is_converted(rig: Rig) -> None:
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    keeper = rig.keeper()
    rig.play(keeper)
    rig.play(keeper)
    length = SHORT.fast_length_s + SHORT.slow_length_s
    line = rig.play(keeper, after_s=length - 60)
    assert line["commands"] == 0, "it is not over yet"
    line = rig.play(keeper, after_s=120)
    assert line["commands"] == 1
    rig.play_until(keeper, lambda: bool(rig.happened("InsolventAuctionStarted", account)))
    assert rig.happened("AuctionEnded", account) == []
    _, _, insolvent, ongoing, *_ = rig.view(rig.core.auction, "getAuction", account)
    assert insolvent
    assert ongoing
    assert rig.apart(keeper) == []


def test_a_live_auction_is_handed_the_worse_scenario(rig: Rig) -> None:
    account = rig.open(rig.cash("100"), rig.perp("10"))
    worst, auction = rig.margin(account)[2], rig.core.auction
    count = len(rig.view(rig.book.manager, "getScenarios"))
    milder = next(
        at
        for at in range(count)
        if at != worst and rig.view(auction, "getMarginAndMarkToMarket", account, at)[0] < 0
    )
    rig.do(auction, "startAuction", account, milder)
    keeper = rig.keeper()
    line = rig.play(keeper)
    assert line["commands"] == 1
    rig.play(keeper)
    (updated,) = rig.happened("ScenarioIdUpdated", account)
    assert rig.view(auction, "getAuction", account)[1] == worst == rig.margin(account)[2]
    assert updated["number"] == rig.number
    line = rig.play(keeper)
    assert line["commands"] == 0


def test_what_a_live_auction_refuses_leaves_our_state_the_chains(rig: Rig) -> None:
    account, other = rig.open(rig.cash("5000"), rig.perp("10")), rig.open(rig.cash("500"))
    keeper = rig.keeper()
    rig.play(keeper)
    rig.play(keeper)
    assert rig.live(account)
    cash, accounts = rig.core.cash, rig.core.sub_accounts
    leg = (other, account, cash.address, 0, int(WHOLE), bytes(32))
    refused = "BM_AccountUnderLiquidation"
    assert rig.refusal(cash, "deposit", account, 0) == refused
    assert rig.refusal(accounts, "submitTransfer", leg, b"") == refused
    before = rig.stored(account, cash)
    stranger = rig.stranger()
    for contract, name, arguments in (
        (cash, "deposit", (account, 0)),
        (accounts, "submitTransfer", (leg, b"")),
    ):
        included = send_anyway(rig, stranger.address, contract.address,
                               contract.encode(name, *arguments))  # fmt: skip
        assert included["status"] == "0x0"
    rig.play(keeper)
    assert rig.stored(account, cash) == before
    assert rig.live(account)
    assert rig.apart(keeper) == []


def send_anyway(rig: Rig, sender: str, to: str, data: str) -> dict[str, str]:
    """Have a transaction included whatever becomes of it; its receipt."""
    request = {"from": sender, "to": to, "data": data, "gas": hex(2_000_000)}
    sent = rig.node.call("eth_sendTransaction", request)
    rig.mine_empty()
    return dict(rig.node.call("eth_getTransactionReceipt", sent))


def test_a_bid_on_what_was_started_by_another_leaves_the_rest_for_sale(rig: Rig) -> None:
    # Two partial sales: a rival's first, then ours takes what is still to be sold.
    account, bidder = rig.open(rig.cash("5000"), rig.perp("10")), rig.bidder("50000")
    rival = rig.open(rig.cash("50000"))
    auction = rig.core.auction
    rig.start_auction(account)
    rig.at(150)
    rig.do(auction, "bid", account, rival, wad("0.1"), 0, 0)
    assert rig.live(account)
    keeper = rig.keeper(
        strategy="dutch_auction", bidders=[bidder], risk_rate=0.0, profit_min_usd=0.0
    )
    rig.play(keeper)
    rig.play(keeper)
    taken = {bid["bidderId"]: bid for bid in rig.happened("Bid", account)}
    assert set(taken) == {rival, bidder}
    assert not rig.live(account)
    scenario = rig.view(auction, "getAuction", account)[1]
    buffered = rig.view(auction, "getMarginAndMarkToMarket", account, scenario)[1]
    assert abs(buffered) < WHOLE
    assert rig.apart(keeper) == []
