"""Expiry day and socialised losses: folding equals a fresh snapshot on the rare days, too."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import keeper_config
from deploy.devnet.venue.parameters import VenueParameters, wad
from deploy.devnet.venue.quotes import Quotes
from keeper.protocols.derive.margins.readings import Readings
from keeper.protocols.derive.wiring import DeriveConfig
from tests.integration.desk import DAY_S, Desk
from tests.integration.history import History, reading, snapshot_of


pytestmark = pytest.mark.node

MONTH_S = 30 * DAY_S


def config_of(desk: Desk) -> DeriveConfig:
    fields = keeper_config(desk.venue)
    return DeriveConfig(**fields | {"managers": tuple(fields["managers"])})


async def checked(desk: Desk, *steps: Callable[[], object]) -> History:
    """Do each step, and hold the history against the chain after it."""
    config = config_of(desk)
    async with reading(desk.node) as reader:
        history = History(config, await snapshot_of(reader, config))
        for step in steps:
            step()
            assert await history.against_the_chain(reader, config) == []
    return history


def window(desk: Desk, seconds_left: int, average_usd: int) -> None:
    """Quotes inside the settlement window, with the running sums of the spot."""
    desk.now = desk.expiry - seconds_left
    quotes = Quotes(desk.now)
    passed = 1_800 - seconds_left
    for book in desk.venue.books:
        quotes.spot(book.spot_feed, wad(str(desk.spot)))
        sums = (wad("5"), wad("5") + wad(str(average_usd)) * passed)
        quotes.forward(book.forward_feed, desk.expiry, wad("3"), aggregates=sums)
    quotes.spot(desk.core.stable_feed, wad("1"))
    quotes.queue(desk.sender, desk.core.data_submitter)
    desk.mine()


def expire(desk: Desk, usd: int) -> None:
    """The second of the expiry, with its settlement price."""
    desk.now = desk.expiry
    desk.settle_price(usd)


async def test_an_expiry_is_folded_from_the_window_to_the_last_settlement(node: Node) -> None:
    desk = Desk(node)
    held = [desk.option(3_000, True, "1"), desk.option(2_900, False, "-2")]
    accounts = [desk.open(desk.cash("9000"), each) for each in held]
    settle = desk.book.manager, "settleOptions", desk.book.option.address
    history = await checked(
        desk,
        lambda: desk.at(MONTH_S - 3_600),
        lambda: window(desk, 900, 3_050),
        lambda: expire(desk, 3_100),
        lambda: desk.do(*settle, accounts[0]),
        lambda: desk.do(*settle, accounts[1]),
    )
    feed = desk.book.forward_feed.address.lower()
    assert history.tables.settled[feed, desk.expiry] == wad("3100")
    rows = [history.tables.row(account) for account in accounts]
    assert [history.tables.portfolio.positions.held(row) for row in rows] == [[], []]


async def test_a_forward_inside_the_window_reads_as_the_chain_reads_it(node: Node) -> None:
    desk = Desk(node)
    history = await checked(
        desk, lambda: desk.at(MONTH_S - 3_600), lambda: window(desk, 900, 3_050)
    )
    forward = Readings(history.tables, history.timestamp).forward(
        desk.book.forward_feed.address.lower(), desk.expiry
    )
    seen = desk.view(desk.book.forward_feed, "getForwardPricePortions", desk.expiry)
    assert forward == tuple(seen)
    assert forward is not None
    assert forward.fixed == wad("3050") // 2


async def test_a_socialised_loss_and_its_cure_are_folded(node: Node) -> None:
    desk = Desk(node, replace(VenueParameters(), security_module_usdc=0))
    loser = desk.open(desk.cash("5000"), desk.perp("10"))
    desk.open(desk.cash("-700"), desk.coin("5"))
    bidder = desk.open(desk.cash("900000"))
    auction, cash = desk.core.auction, desk.core.cash

    def bid() -> None:
        desk.at(2_000, spot=2_400)
        desk.do(auction, "bid", loser, bidder, wad("1"), 0, 0)

    def cure() -> None:
        desk.do(desk.core.usdc, "mint", cash.address, 10**12)
        desk.do(cash, "disableWithdrawFee")

    history = await checked(
        desk,
        lambda: desk.at(60, spot=2_400),
        lambda: desk.start_auction(loser),
        bid,
    )
    state = history.tables.cash_state[cash.address.lower()]
    assert state.fee_forced
    assert state.fee == wad("1")
    history = await checked(desk, lambda: desk.do(cash, "disableWithdrawFee"), cure)
    state = history.tables.cash_state[cash.address.lower()]
    assert not state.fee_forced
    assert state.fee < wad("1")
