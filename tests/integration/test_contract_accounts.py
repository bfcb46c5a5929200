"""Accounts on chain: seeding leaves no trace, approvals hold, one-transaction bids work."""

from __future__ import annotations

import pytest

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import SeedAccount, keeper_config, seed
from deploy.devnet.venue.parameters import wad
from tests.integration.desk import Desk


pytestmark = pytest.mark.node

WHOLE = wad("1")


@pytest.fixture
def desk(node: Node) -> Desk:
    return Desk(node)


def test_seeded_balances_leave_cash_as_transfers_would(desk: Desk) -> None:
    cash, rpc = desk.core.cash, desk.node.rpc
    before = cash.call(rpc, "totalSupply")
    rich = desk.open(desk.cash("5000"), desk.perp("2"))
    poor = desk.open(desk.cash("-700"), desk.coin("3"))
    assert cash.call(rpc, "totalSupply") - before == 5000 * WHOLE
    assert cash.call(rpc, "totalBorrow") == 700 * WHOLE
    for account, index in ((rich, "supplyIndex"), (poor, "borrowIndex")):
        assert cash.call(rpc, "accountIdIndex", account) == cash.call(rpc, index)
    assert cash.call(rpc, "getCashToStableExchangeRate") >= WHOLE
    mark, funding, pnl, _, _ = desk.view(desk.book.perp, "positions", rich)
    assert (mark, funding, pnl) == (3000 * WHOLE, 0, 0)


def test_seeding_speaks_in_the_normal_events(desk: Desk) -> None:
    owner, manager = desk.stranger().address, desk.book.manager.address
    balances = [(desk.core.cash.address, 0, WHOLE), (desk.book.perp.address, 0, -WHOLE)]
    events = desk.do(desk.core.sub_accounts, "seed", [(owner, manager, balances)])
    assert [name for name, _ in events if name != "AggregatedFundingUpdated"] == [
        "Transfer",
        "AccountCreated",
        "InterestAccruedOnAccount",
        "BalanceAdjusted",
        "PositionSettled",
        "FundingAppliedOnAccount",
        "BalanceAdjusted",
    ]
    created = next(fields for name, fields in events if name == "AccountCreated")
    assert (created["owner"], created["manager"]) == (owner.lower(), manager.lower())
    adjusted = events[-1][1]
    packed = int(desk.book.perp.address, 16) << 96
    assert int.from_bytes(adjusted["assetAndSubId"]) == packed
    assert (adjusted["preBalance"], adjusted["postBalance"]) == (0, -WHOLE)
    last = desk.view(desk.core.sub_accounts, "lastAccountTradeId", created["accountId"])
    assert last == adjusted["tradeId"]


def test_only_the_owner_may_seed(desk: Desk) -> None:
    stranger = desk.stranger().address
    with pytest.raises(Exception, match="0x82b42900"):
        desk.core.sub_accounts.call(desk.node.rpc, "seed", [], sender=stranger)


def test_many_accounts_are_seeded_in_bulk_with_consecutive_ids(desk: Desk) -> None:
    balances = (
        (desk.core.cash.address, 0, WHOLE),
        *(
            (desk.book.option.address, desk.option(strike, True, "0")[1], WHOLE)
            for strike in (2, 3)
        ),
    )
    account = SeedAccount(desk.sender.address, desk.book.manager.address, balances)
    ids = seed(desk.venue, [account] * 300)
    assert len(ids) == 300
    assert desk.view(desk.core.sub_accounts, "lastAccountId") == ids[-1]
    held = desk.view(desk.core.sub_accounts, "getAccountBalances", ids[-1])
    assert [(asset, sub_id) for asset, sub_id, _ in held] == [
        (asset.lower(), sub_id) for asset, sub_id, _ in balances
    ]


def test_a_released_balance_is_replaced_by_the_last(desk: Desk) -> None:
    held = [desk.option(strike, True, "1") for strike in (2800, 2900, 3000)]
    account, other = desk.open(desk.cash("90000"), *held), desk.open(desk.cash("90000"))
    asset, sub_id, amount = held[0]
    leg = (account, other, asset.address, sub_id, amount, bytes(32))
    desk.do(desk.core.sub_accounts, "submitTransfer", leg, b"")
    balances = desk.view(desk.core.sub_accounts, "getAccountBalances", account)
    assert [each[1] for each in balances] == [0, held[2][1], held[1][1]]


def test_what_can_hurt_an_account_needs_its_owners_leave(desk: Desk) -> None:
    mine, owner = desk.open(desk.cash("100")), desk.sender
    stranger = desk.stranger()
    accounts, cash = desk.core.sub_accounts, desk.core.cash.address
    theirs = desk.view(accounts, "lastAccountId") + 1
    desk.do(accounts, "createAccount", stranger.address, desk.book.manager.address)
    take = (mine, theirs, cash, 0, WHOLE, bytes(32))
    refused = desk.refusal(accounts, "submitTransfer", take, b"", sender=stranger.address)
    assert refused == "AC_NotOwnerOrApproved"
    assert desk.refusal(accounts, "submitTransfer", take, b"", sender=owner.address) is None
    desk.do(accounts, "setApprovalForAll", stranger.address, True)
    assert desk.refusal(accounts, "submitTransfer", take, b"", sender=stranger.address) is None


def test_a_batch_touches_at_most_a_hundred_balances_of_an_account(desk: Desk) -> None:
    strikes = range(1000, 1101)
    held = [desk.option(strike, True, "1") for strike in strikes]
    account, other = desk.open(desk.cash("10"), *held), desk.open(desk.cash("10"))
    legs = [
        (account, other, asset.address, sub_id, amount, bytes(32)) for asset, sub_id, amount in held
    ]
    accounts = desk.core.sub_accounts
    assert desk.refusal(accounts, "submitTransfers", legs, b"") == "DL_DeltasTooLong"
    assert desk.refusal(accounts, "submitTransfers", legs[:100], b"") is None


@pytest.mark.parametrize("merge", [False, True])
def test_an_advanced_bid_starts_funds_bids_and_hands_over(desk: Desk, merge: bool) -> None:
    account = desk.open(desk.cash("5000"), desk.perp("10"))
    bidder = desk.open(desk.cash("90000"))
    worst = desk.margin(account)[2]
    core, tools = desk.core, desk.core.auction_utils
    desk.do(core.sub_accounts, "setApprovalForAll", tools.address, True)
    request = (worst, account, bidder, WHOLE, 0, 0, wad("20000"), merge, b"")
    assert desk.refusal(tools, "advancedBid", *request, sender=desk.stranger().address) == (
        "LAU_NotOwner"
    )
    events = desk.do(tools, "advancedBid", *request)
    order = [name for name, _ in events]
    assert order.index("SolventAuctionStarted") < order.index("AccountCreated") < order.index("Bid")
    bid = next(fields for name, fields in events if name == "Bid")
    fresh = bid["bidderId"]
    assert desk.view(core.sub_accounts, "ownerOf", fresh) == desk.sender.address.lower()
    holder = bidder if merge else fresh
    assert desk.stored(holder, desk.book.perp) == 10 * bid["finalPercentage"]
    assert (desk.stored(fresh, core.cash) == 0) == merge


def test_feed_data_ride_on_a_transfer_to_receivers_the_manager_knows(desk: Desk) -> None:
    source, target = desk.open(desk.cash("100")), desk.open(desk.cash("100"))
    leg = (source, target, desk.core.cash.address, 0, WHOLE, bytes(32))
    desk.now += 30
    desk.spot = 3210
    quotes = desk.quotes()
    own = {each.address for each in (desk.book.spot_feed, desk.core.stable_feed)}
    foreign = quotes.packed()
    transfer = (desk.core.sub_accounts, "submitTransfer", leg)
    quotes.batch = [each for each in quotes.batch if each[0] in own]
    desk.do(*transfer, quotes.packed())
    assert desk.view(desk.book.spot_feed, "getSpot")[0] == 3210 * WHOLE
    assert desk.refusal(*transfer, foreign) == "BM_UnauthorizedCall"


def test_the_margin_service_agrees_with_the_manager(desk: Desk) -> None:
    account = desk.open(desk.cash("5000"), desk.perp("10"), desk.option(3000, True, "-2"))
    manager, *margin = desk.view(desk.core.auction_utils, "getMM", account)
    assert manager == desk.book.manager.address.lower()
    assert tuple(margin) == desk.margin(account)


def test_a_keepers_configuration_names_every_address_it_needs(desk: Desk) -> None:
    config = keeper_config(desk.venue)
    assert sorted(config) == [
        "auction",
        "auction_utils",
        "cash",
        "data_submitter",
        "managers",
        "start_block",
        "sub_accounts",
    ]
    assert len(config["managers"]) == 2
    for address in (each for each in config.values() if isinstance(each, str)):
        assert desk.node.call("eth_getCode", address, "latest") != "0x"
