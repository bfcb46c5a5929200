"""Gas of the margin views on the real venue, against what the real contracts were measured to use.

A double that is slower than the original would flatter the keeper that is raced against it, so each
figure may exceed the original's by three tenths at most. Gas is deterministic: no clock is read.
"""

from __future__ import annotations

import pytest

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import Book, SeedAccount, Venue, deploy_venue, seed
from deploy.devnet.venue.parameters import VenueParameters, two_books, wad
from deploy.devnet.venue.quotes import Quotes


pytestmark = pytest.mark.node

SLACK = 1.3
DAY_S = 86_400
GAS_MAX = 1_000_000_000
# Options in the book → gas of the full view and of the single-scenario view, with 31 scenarios and
# the 21,000 of a transaction, as measured on the original.
ORIGINAL = {
    1: (910_000, 290_000),
    8: (3_700_000, 960_000),
    16: (6_100_000, 1_420_000),
    32: (11_000_000, 2_360_000),
    64: (20_800_000, 4_300_000),
    100: (32_100_000, 6_500_000),
    126: (40_500_000, 8_100_000),
}


@pytest.fixture(scope="module")
def venue(node: Node) -> Venue:
    """A venue with one book and fresh quotes for eight expiries."""
    venue = deploy_venue(node, VenueParameters(books=two_books()[:1]))
    book = venue.books[0]
    now = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 5
    quotes = Quotes(now)
    quotes.spot(book.spot_feed, wad("3000"))
    quotes.spot(venue.core.stable_feed, wad("1"))
    smile = (wad("0.01"), wad("0.08"), wad("-0.3"), wad("-0.05"), wad("0.2"))
    for expiry in expiries(now):
        quotes.forward(book.forward_feed, expiry, wad("10"))
        quotes.rate(book.rate_feed, expiry, wad("0.05"))
        quotes.vol(book.vol_feed, expiry, smile, wad("3010"), wad("0.1"))
    quotes.queue(venue.sender, venue.core.data_submitter)
    node.call("evm_setNextBlockTimestamp", now)
    venue.sender.flush()
    return venue


def expiries(now: int) -> list[int]:
    """Eight expiries, a week to nine months away."""
    return [now + days * DAY_S for days in (7, 14, 30, 60, 90, 120, 180, 270)]


def a_book_of(count: int, venue: Venue, book: Book, now: int) -> SeedAccount:
    """Long and short calls and puts, paired at strikes, over more expiries the bigger the book."""
    used = expiries(now)[: min(8, max(1, count // 4))]
    balances = [(venue.core.cash.address, 0, wad("100000"))]
    for at in range(count):
        strike = 2000 + 50 * (at // 2)
        sub_id = used[at % len(used)] | strike * 10**8 << 32 | (at % 2) << 95
        amount = wad("1") if at % 3 else -wad("1")
        balances.append((book.option.address, sub_id, amount))
    return SeedAccount(venue.sender.address, book.manager.address, tuple(balances))


def estimate(node: Node, book: Book, name: str, *arguments: object) -> int:
    data = book.manager.encode(name, *arguments)
    request = {"to": book.manager.address, "data": data, "gas": hex(GAS_MAX)}
    return int(node.call("eth_estimateGas", request), 16)


def test_views_use_at_most_a_third_more_gas_than_the_original(node: Node, venue: Venue) -> None:
    book = venue.books[0]
    now = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    ids = seed(venue, [a_book_of(count, venue, book, now) for count in ORIGINAL])
    used = {
        count: (
            estimate(node, book, "getMarginAndMtM", account, True),
            estimate(node, book, "getMarginAndMarkToMarket", account, True, 0),
        )
        for count, account in zip(ORIGINAL, ids, strict=True)
    }
    print(used)
    assert {
        count: gas
        for count, gas in used.items()
        if any(g > SLACK * o for g, o in zip(gas, ORIGINAL[count], strict=True))
    } == {}
