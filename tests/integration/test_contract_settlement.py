"""What time does to accounts on chain: interest, funding, expiry and quotes that grow old."""

from __future__ import annotations

import pytest

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.parameters import wad
from tests.integration.desk import DAY_S, Desk, option_id


pytestmark = pytest.mark.node

WHOLE = wad("1")
VOL_HEARTBEAT_S = 1_200


@pytest.fixture
def desk(node: Node) -> Desk:
    return Desk(node)


def test_a_borrower_breaches_by_interest_that_the_view_does_not_show(desk: Desk) -> None:
    """Ten coins against 25,229.90 USD: ten cents above the line on the first day."""
    account = desk.open(desk.coin("10"), desk.cash("-25229.9"))
    mm, _, worst = desk.margin(account)
    assert 0 < mm < wad("0.2")
    refused = desk.refusal(desk.core.auction, "startAuction", account, worst)
    assert refused == "DA_AccountIsAboveMaintenanceMargin"
    desk.at(DAY_S)
    assert desk.margin(account)[0] == mm, "the view forgets the day's interest"
    true = desk.view(desk.core.cash, "calculateBalanceWithInterest", account)
    assert true < desk.stored(account, desk.core.cash) - mm
    events = desk.do(desk.core.auction, "startAuction", account, worst)
    assert events[-1][0] == "SolventAuctionStarted"


def test_stale_quotes_stop_margin_starts_and_bids(desk: Desk) -> None:
    account = desk.open(desk.cash("5000"), desk.perp("10"))
    live, bidder = desk.open(desk.cash("5000"), desk.perp("10")), desk.open(desk.cash("50000"))
    desk.start_auction(live)
    calls = (
        (desk.book.manager, "getMarginAndMtM", account, False),
        (desk.core.auction, "startAuction", account, desk.margin(account)[2]),
        (desk.core.auction, "bid", live, bidder, WHOLE, 0, 0),
    )
    assert [desk.refusal(*each) for each in calls] == [None] * 3
    desk.now += 181
    desk.mine_empty()
    assert [desk.refusal(*each) for each in calls] == ["BLF_DataTooOld"] * 3


def test_expired_options_block_their_account_until_somebody_settles_them(desk: Desk) -> None:
    option = desk.option(2900, True, "-10")
    account = desk.open(desk.cash("20000"), option)
    desk.now = desk.expiry
    desk.settle_price(3100)
    value, settled = desk.view(desk.book.option, "calcSettlementValue", option[1], -10 * WHOLE)
    assert (value, settled) == (-2000 * WHOLE, True)
    desk.at(desk.expiry - desk.start + VOL_HEARTBEAT_S + 60)
    start = (desk.core.auction, "startAuction", account, 0)
    assert desk.refusal(*start) == "BLF_DataTooOld"
    events = desk.do(
        desk.book.manager,
        "settleOptions",
        desk.book.option.address,
        account,
        sender=desk.stranger(),
    )
    assert "OptionSettled" in [name for name, _ in events]
    assert desk.stored(account, desk.core.cash) == 18_000 * WHOLE
    assert desk.margin(account)[:2] == (18_000 * WHOLE,) * 2
    assert desk.refusal(*start) == "DA_AccountIsAboveMaintenanceMargin"
    assert desk.view(desk.core.cash, "netSettledCash") == -2000 * WHOLE


def test_nothing_is_settled_before_the_settlement_price_is_known(desk: Desk) -> None:
    option = desk.option(2900, True, "-10")
    account = desk.open(desk.cash("20000"), option)
    assert desk.view(desk.book.option, "calcSettlementValue", option[1], -WHOLE) == (0, False)
    desk.do(desk.book.manager, "settleOptions", desk.book.option.address, account)
    assert desk.stored(account, option[0], option[1]) == -10 * WHOLE


def test_an_option_id_holds_strike_expiry_and_side(desk: Desk) -> None:
    details = desk.view(desk.book.option, "getOptionDetails", option_id(desk.expiry, 2950, True))
    assert details == (desk.expiry, 2950 * WHOLE, True)
    sub_id = desk.view(desk.book.option, "getSubId", desk.expiry, 2950 * WHOLE, False)
    assert sub_id == option_id(desk.expiry, 2950, False)


def test_profit_and_funding_come_before_the_new_balance_in_the_logs(desk: Desk) -> None:
    long, short = (desk.open(desk.cash("50000"), desk.perp(size)) for size in ("10", "-10"))
    desk.at(DAY_S, spot=3030)
    perp = desk.book.perp
    leg = (long, short, perp.address, 0, WHOLE, bytes(32))
    events = desk.do(desk.core.sub_accounts, "submitTransfer", leg, b"")
    order = [
        name if name != "BalanceAdjusted" else f"Balance {fields['accountId']}"
        for name, fields in events
    ]
    at = order.index(f"Balance {long}")
    expected = ["PositionSettled", "AggregatedFundingUpdated", "FundingAppliedOnAccount"]
    assert order[:at] == expected
    assert events[0][1]["pnlChange"] == 300 * WHOLE
    funding = desk.view(perp, "getFundingRate") * DAY_S // 3600 * 3030
    assert events[1][1]["aggregatedFunding"] == pytest.approx(funding, rel=1e-3)
    assert events[2][1]["funding"] == pytest.approx(-10 * funding, rel=1e-3)
    assert desk.stored(long, perp) == 9 * WHOLE


def test_a_perpetuals_value_is_margin_before_and_cash_after_settlement(desk: Desk) -> None:
    account = desk.open(desk.cash("50000"), desk.perp("10"))
    desk.at(DAY_S, spot=3100)
    value = desk.view(desk.book.perp, "getUnsettledAndUnrealizedCash", account)
    assert 990 * WHOLE < value < 1000 * WHOLE, "a thousand of profit less a day's funding"
    before = desk.margin(account)
    desk.do(desk.book.manager, "settlePerpsWithIndex", account, sender=desk.stranger())
    assert desk.stored(account, desk.core.cash) == 50_000 * WHOLE + value
    assert desk.view(desk.book.perp, "getUnsettledAndUnrealizedCash", account) == 0
    assert desk.margin(account) == before


def test_a_disabled_perpetual_keeps_its_price_and_pays_no_funding(desk: Desk) -> None:
    account = desk.open(desk.cash("50000"), desk.perp("10"))
    assert desk.do(desk.book.perp, "disable")[-1][0] == "Disabled"
    desk.at(DAY_S, spot=2000)
    assert desk.view(desk.book.perp, "getPerpPrice") == (3000 * WHOLE, WHOLE)
    assert desk.view(desk.book.perp, "getFundingRate") == 0
    assert desk.view(desk.book.perp, "getUnsettledAndUnrealizedCash", account) == 0


def test_crossed_impact_prices_stop_the_perpetual(desk: Desk) -> None:
    account = desk.open(desk.cash("50000"), desk.perp("10"))
    desk.now += 1
    quotes = desk.quotes()
    quotes.batch = [each for each in quotes.batch if each[0] != desk.book.impact_ask_feed.address]
    quotes.diff(desk.book.impact_ask_feed, -2 * WHOLE)
    quotes.queue(desk.sender, desk.core.data_submitter)
    desk.mine()
    refused = desk.refusal(desk.book.perp, "getUnsettledAndUnrealizedCash", account)
    assert refused == "PA_InvalidImpactPrices"
