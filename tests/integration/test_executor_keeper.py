"""A keeper whose bidder an executor contract owns: its bids go through it, under the guard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.treasury import Treasury, unwrapped
from deploy.executor.standing import deploy, permission
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, WHOLE, Rig, rig_in


pytestmark = pytest.mark.node

FREE = {"risk_rate": 0.0, "profit_min_usd": 0.0}
# A bid decided on a receipt may come blocks later: the market here does not wait for it.
GUARD = {"profit_least_usd": 1.0, "blocks_max": 100, "seconds_max": 1_300}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def executor_of(rig: Rig) -> Contract:
    """An executor whose owner is a cold account of the node, for the rig's two lanes."""
    core = rig.core
    permissions = [permission(core.auction, "bid"), permission(core.auction_utils, "advancedBid")]
    lanes = [rig.lane(0), rig.lane(1)]
    made = deploy(rig.sender, rig.stranger(4).address, lanes, permissions)
    rig.mine()
    return made


def keeper_with(rig: Rig, executor: Contract, bidder: int, **more: Any) -> KeeperProcess:
    document = rig.document(strategy="dutch_auction", lanes=2, bidders=[bidder], **FREE, **more)
    document["venues"]["derive"] |= {
        "executor": executor.address,
        "guard": GUARD,
    }
    return rig.follow(rig.process(document))


def test_a_bid_of_the_executors_account_goes_through_it_by_any_lane(rig: Rig) -> None:
    executor = executor_of(rig)
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    bidder = rig.open_for(executor.address, rig.cash("50000"))
    keeper = keeper_with(rig, executor, bidder)
    rig.play_until(keeper, lambda: bool(rig.happened("Bid", account)), 90)
    (bid,) = rig.happened("Bid", account)
    assert bid["bidderId"] == bidder
    assert rig.stored(bidder, rig.book.perp) == wad("10") * bid["finalPercentage"] // WHOLE
    rig.play(keeper)
    assert keeper.events("TransactionReverted") == [], keeper.tail()
    assert rig.apart(keeper) == []
    assert_guarded(rig, keeper, executor)


# What a keeper's bid asks of the chain in its own block, by view and word.
LOOKED_AT = [
    ("getSpot", 0),
    ("spotDiffDetails", 2),
    ("getAuction", 1),
    ("getAuction", 2),
    ("getAuction", 3),
    ("getAuction", 6),
    ("getMarginAndMarkToMarket", 0),
    ("getMarginAndMarkToMarket", 2),
]


def assert_guarded(rig: Rig, keeper: KeeperProcess, executor: Contract) -> None:
    """The bid that was included carried every condition, both deadlines and what it must gain."""
    bid = keeper.events("TransactionIncluded")[-1]
    sent = rig.node.call("eth_getTransactionByHash", bid["transaction"])
    found = unwrapped(Treasury(executor, ""), sent["to"], sent["input"])
    assert found is not None
    contracts = (rig.core.auction, rig.book.spot_feed, rig.book.perp_feed)
    names = {
        "0x" + code: name.split("(")[0]
        for contract in contracts
        for name, code in contract.artifact.selectors.items()
    }
    looks = [(names[each.data[:10]], each.word) for each in found.conditions]
    assert looks == LOOKED_AT
    told = keeper.lines("transaction_included")[-1]
    assert told["transaction"] == bid["transaction"]
    # The block it was decided on, which need not be the one before its own.
    block = rig.node.call("eth_getBlockByNumber", hex(told["decided_number"]), False)
    assert (found.block_max, found.timestamp_max_s) == (
        int(block["number"], 16) + GUARD["blocks_max"],
        int(block["timestamp"], 16) + GUARD["seconds_max"],
    )
    assert len(found.gains) == 1


def test_through_the_helper_the_slice_lands_with_the_executor(rig: Rig) -> None:
    executor, core = executor_of(rig), rig.core
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    bidder = rig.open_for(executor.address, rig.cash("50000"))
    helper = core.auction_utils.address
    leave = bytes.fromhex(core.sub_accounts.encode("setApprovalForAll", helper, True)[2:])
    owner = rig.stranger(4)
    rig.do(executor, "administer", core.sub_accounts.address, 0, leave, sender=owner)
    keeper = keeper_with(rig, executor, bidder, through_helper=True)
    rig.play_until(keeper, lambda: bool(rig.happened("Bid", account)), 90)
    (bid,) = rig.happened("Bid", account)
    fresh = bid["bidderId"]
    assert fresh not in (bidder, account)
    held_by = rig.view(core.sub_accounts, "ownerOf", fresh)
    assert held_by.lower() == executor.address.lower()
    assert rig.stored(bidder, rig.book.perp) == 0


def test_what_an_own_key_owns_is_bid_for_by_that_key(rig: Rig) -> None:
    executor = executor_of(rig)
    account, bidder = rig.open(rig.cash("5000"), rig.perp("10")), rig.bidder("50000")
    keeper = keeper_with(rig, executor, bidder)
    rig.play_until(keeper, lambda: bool(rig.happened("Bid", account)), 90)
    (bid,) = rig.happened("Bid", account)
    assert bid["bidderId"] == bidder


def test_a_paused_executor_costs_no_gas_and_is_named(rig: Rig) -> None:
    executor = executor_of(rig)
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    bidder = rig.open_for(executor.address, rig.cash("50000"))
    rig.do(executor, "pause", sender=rig.stranger(4))
    keeper = keeper_with(rig, executor, bidder)

    def refused() -> list[dict[str, Any]]:
        return [each for each in keeper.events("CommandRefused") if each["reason"] == "EX_Paused"]

    rig.play_until(keeper, lambda: bool(refused()), 90)
    assert rig.happened("Bid", account) == []
    assert keeper.events("TransactionReverted") == [], keeper.tail()
