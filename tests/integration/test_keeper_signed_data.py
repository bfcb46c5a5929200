"""A keeper that holds signed feed data: what it decides on them, what it brings to the chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.quotes import Quotes
from deploy.devnet.venue.signing import FeedSigner
from deploy.executor.standing import deploy
from tests.integration.executor_world import permission
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.signed_page import SignedPage, signed_page


pytestmark = pytest.mark.node

SPOT_STALE_S = 180
SIGNER = FeedSigner(31_337, 7)
FREE = {"risk_rate": 0.0, "profit_min_usd": 0.0}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        for book in standing.venue.books:
            standing.sender.send(book.spot_feed, "addSigner", SIGNER.address, True)
        standing.mine()
        yield standing


@pytest.fixture
def page() -> Iterator[SignedPage]:
    with signed_page() as served:
        yield served


def executor_of(rig: Rig) -> Contract:
    """An executor that the rig's lane may have bring data, start and bid."""
    core = rig.core
    permissions = [
        permission(core.data_submitter, "submitData"),
        permission(core.auction, "startAuction"),
        permission(core.auction, "bid"),
    ]
    made = deploy(rig.sender, rig.stranger(4).address, [rig.lane()], permissions)
    rig.mine()
    return made


def keeper_with(
    rig: Rig, page: SignedPage, executor: Contract | None, **more: Any
) -> KeeperProcess:
    document = rig.document(**more)
    document["oracles"] = [page.settings]
    document["halt"] = {"gap_s": 0}  # a quote grows old in one block here, and that is no halt
    if executor is not None:
        document["venues"]["derive"]["executor"] = executor.address
    return rig.follow(rig.process(document))


def priced(rig: Rig, usd: int, deadline_s: int = 600) -> Quotes:
    """The first book's spot, signed now."""
    quotes = Quotes(rig.now, signer=SIGNER, deadline_s=deadline_s)
    quotes.spot(rig.book.spot_feed, wad(str(usd)))
    return quotes


def heard(keeper: KeeperProcess, page: SignedPage) -> None:
    count = len(page.items)
    keeper.wait("the signed data", lambda: len(keeper.events("PayloadReceived")) >= count)


def gone_silent(rig: Rig, page: SignedPage) -> tuple[int, KeeperProcess]:
    """An account near its line, and a keeper that has decided on it before its feed went silent."""
    account = rig.open_with("500", rig.perp("10"))
    keeper = keeper_with(rig, page, executor_of(rig))
    rig.play(keeper)
    rig.silent.add("ETH.spot")
    return account, keeper


def bids_with_data(rig: Rig, keeper: KeeperProcess, page: SignedPage, account: int) -> None:
    """Play until there is a bid: none on stale feeds, one on signed data, which it brings."""
    line = rig.play(keeper, after_s=SPOT_STALE_S + 60)
    assert (line["undecided"], line["commands"]) == (2, 0)
    page.show(priced(rig, 2_400))
    heard(keeper, page)
    rig.play_until(keeper, lambda: bool(rig.happened("Bid", account)))
    assert rig.view(rig.book.spot_feed, "getSpot")[0] == wad("2400")
    assert keeper.events("TransactionReverted") == []


def test_where_the_feed_is_stale_a_start_brings_the_signed_data_it_was_decided_on(
    rig: Rig, page: SignedPage
) -> None:
    account, keeper = gone_silent(rig, page)
    line = rig.play(keeper, after_s=SPOT_STALE_S + 1)
    assert (line["undecided"], line["commands"]) == (1, 0)
    page.show(priced(rig, 2_900))
    heard(keeper, page)
    line = rig.play(keeper)
    assert (line["undecided"], line["breaches"], line["commands"]) == (0, 1, 1)
    assert rig.refusal(rig.book.manager, "getMargin", account, False) == "BLF_DataTooOld"
    rig.play(keeper)
    assert rig.live(account), keeper.tail()
    assert rig.view(rig.book.spot_feed, "getSpot")[0] == wad("2900")
    (told,) = keeper.lines("payloads_bundled")
    assert (told["account"], told["payloads"], told["policy"]) == (account, 1, "best_valid")
    assert keeper.events("TransactionReverted") == []
    assert rig.apart(keeper) == []


def test_a_breach_that_only_signed_data_show_is_started_with_them(
    rig: Rig, page: SignedPage
) -> None:
    account = rig.open_with("500", rig.perp("10"))
    healthy = rig.open_with("5000", rig.perp("10"))
    keeper = keeper_with(rig, page, executor_of(rig))
    line = rig.play(keeper)
    assert line["breaches"] == 0
    rig.silent.add("ETH.spot")
    rig.play(keeper)
    page.show(priced(rig, 2_900))
    heard(keeper, page)
    assert rig.play(keeper)["commands"] == 1
    assert rig.margin(account)[0] > 0, "on the chain's own quotes it is healthy"
    rig.play(keeper)
    assert rig.live(account), keeper.tail()
    assert not rig.live(healthy)


def test_expired_signed_data_are_not_used(rig: Rig, page: SignedPage) -> None:
    account, keeper = gone_silent(rig, page)
    rig.play(keeper, after_s=SPOT_STALE_S + 1)
    page.show(priced(rig, 2_900, deadline_s=20))
    heard(keeper, page)
    # Eight seconds are left: the block an action would be in may be later than that.
    for _ in range(2):
        line = rig.play(keeper)
        assert (line["undecided"], line["commands"]) == (1, 0)
    assert rig.starts(account) == []


def test_data_that_were_tampered_with_are_refused_in_the_trial_and_nothing_is_sent(
    rig: Rig, page: SignedPage
) -> None:
    account, keeper = gone_silent(rig, page)
    rig.play(keeper, after_s=SPOT_STALE_S + 1)
    word = wad("2950").to_bytes(32, "big"), wad("2900").to_bytes(32, "big")
    page.show(priced(rig, 2_950), word)
    heard(keeper, page)
    assert rig.play(keeper)["commands"] == 1
    keeper.wait("the refusal", lambda: keeper.events("CommandRefused"))
    (refused,) = keeper.events("CommandRefused")
    assert (refused["stage"], refused["reason"]) == ("preflight", "BLF_InvalidSignature")
    for _ in range(3):
        assert rig.play(keeper)["commands"] == 0, "what the chain refused is not tried again"
    assert keeper.events("CommandCommitted") == []
    page.show(priced(rig, 2_900))
    heard(keeper, page)
    rig.play_until(keeper, lambda: rig.live(account))
    assert keeper.events("TransactionReverted") == []


def test_false_data_do_not_hide_a_breach_that_the_chain_shows(rig: Rig, page: SignedPage) -> None:
    account, keeper = gone_silent(rig, page)
    chained, false = Quotes(rig.now + 5), Quotes(rig.now + 8, signer=SIGNER)
    chained.spot(rig.book.spot_feed, wad("2900"))
    false.spot(rig.book.spot_feed, wad("2950"))
    page.show(false, (wad("2950").to_bytes(32, "big"), wad("3500").to_bytes(32, "big")))
    heard(keeper, page)
    chained.queue(rig.sender, rig.core.data_submitter)
    line = rig.play(keeper)
    assert (line["breaches"], line["commands"]) == (1, 1)
    rig.play(keeper)
    assert rig.live(account), keeper.tail()
    assert keeper.events("CommandRefused") == []
    assert keeper.lines("payloads_bundled") == []


def test_a_bid_through_the_helper_brings_data_with_its_cash(rig: Rig, page: SignedPage) -> None:
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    rig.at(12, 2_400)
    assert rig.margin(account)[0] < 0
    rig.start_auction(account)
    bidder = rig.bidder("90000")
    rig.trust_helper()
    rig.silent.add("ETH.spot")
    strategy = {"strategy": "dutch_auction", "bidders": [bidder], "through_helper": True}
    keeper = keeper_with(rig, page, None, **strategy, **FREE)
    bids_with_data(rig, keeper, page, account)


def test_a_bid_by_the_executors_account_brings_data_before_it(rig: Rig, page: SignedPage) -> None:
    executor = executor_of(rig)
    account = rig.open(rig.cash("5000"), rig.perp("10"))
    rig.at(12, 2_400)
    rig.start_auction(account)
    bidder = rig.open_for(executor.address, rig.cash("90000"))
    rig.silent.add("ETH.spot")
    strategy = {"strategy": "dutch_auction", "bidders": [bidder]}
    keeper = keeper_with(rig, page, executor, **strategy, **FREE)
    bids_with_data(rig, keeper, page, account)
    assert [bid["bidderId"] for bid in rig.happened("Bid", account)] == [bidder]
    assert keeper.events("CommandRefused") == []
