"""margin.pmrm2.speedup_chain: the same accounts' margin by the devnet contract's own view.

A sample of the measured book is seeded on a local node with the development venue, its options and
expiries; `getMarginAndMtM` is asked by batched `eth_call`, many accounts to a request. What is
compared is time an account; that the numbers agree is `tests/integration/test_margin_equals_chain`.
"""

import time
from typing import Any

import numpy as np

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.venue.deployment import Book, SeedAccount, Venue, deploy_venue, seed
from deploy.devnet.venue.parameters import HeartbeatParameters, VenueParameters, wad
from deploy.devnet.venue.quotes import Quotes
from deploy.devnet.venue.seeding import VIEWS_PER_BATCH, wad_of
from keeper.margin.book import Kind
from tests.performance.market_book import DAY_S, DAYS, SPOT, Measured


SAMPLE = 200
GENESIS_S = 1_767_571_200
QUOTES_S = GENESIS_S + 600
OWNER = "0x00000000000000000000000000000000000a11ce"
GAS = hex(500_000_000)


def measure(found: Measured, repeats: int = 5) -> dict[str, Any]:
    """Return milliseconds an account by the chain's view, the median of the repeats."""
    heartbeats = HeartbeatParameters().stretched(30 * int(DAY_S))
    with Node(NodeOptions(mining=False, timestamp=GENESIS_S)) as node:
        node.call("evm_setNextBlockTimestamp", GENESIS_S + 60)
        venue = deploy_venue(node, VenueParameters(heartbeats=heartbeats))
        _publish(node, venue)
        ids = seed(venue, _accounts(venue, found))
        manager = venue.books[0].manager
        calls = []
        for account in ids:
            data = manager.encode("getMarginAndMtM", account, False)
            calls.append(
                ("eth_call", [{"to": manager.address, "data": data, "gas": GAS}, "latest"])
            )
        taken = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            for first in range(0, len(calls), VIEWS_PER_BATCH):
                node.batch(calls[first : first + VIEWS_PER_BATCH])
            taken.append(1e3 * (time.perf_counter() - began) / len(calls))
    taken = sorted(taken[1:])
    return {"ms_an_account": taken[len(taken) // 2], "ms_least": taken[0], "accounts": len(calls)}


def _publish(node: Node, venue: Venue) -> None:
    """Publish one moment's quotes of every expiry of the first book."""
    quotes, book = Quotes(QUOTES_S), venue.books[0]
    for each in venue.books:
        quotes.spot(each.spot_feed, wad(str(SPOT)))
        for feed in (each.perp_feed, each.impact_ask_feed, each.impact_bid_feed):
            quotes.diff(feed, 0)
    quotes.spot(venue.core.stable_feed, wad("1"))
    for day in DAYS:
        expiry, years = _expiry(day), day / 365.0
        quotes.forward(book.forward_feed, expiry, wad_of(SPOT * float(np.expm1(0.04 * years))))
        quotes.rate(book.rate_feed, expiry, wad("0.04"))
        smile = (wad_of(0.3 * years), wad_of(0.08 * years), wad("-0.3"), wad("-0.05"), wad("0.2"))
        quotes.vol(book.vol_feed, expiry, smile, wad(str(SPOT)), wad_of(years))
    quotes.queue(venue.sender, venue.core.data_submitter)
    node.call("evm_setNextBlockTimestamp", QUOTES_S)
    venue.sender.flush()


def _expiry(day: int) -> int:
    return QUOTES_S + day * int(DAY_S)


def _accounts(venue: Venue, found: Measured) -> list[SeedAccount]:
    """Return the book's first accounts as balances of the venue's first book."""
    book, chosen = found.book, venue.books[0]
    accounts = []
    for account in range(min(SAMPLE, book.accounts)):
        rows = range(book.start[account], book.start[account + 1])
        balances = [_balance(chosen, found, row) for row in rows]
        cash = wad_of(float(book.cash[account])) // 10**12 * 10**12
        if cash:
            balances.append((venue.core.cash.address, 0, cash))
        manager = chosen.manager.address
        accounts.append(SeedAccount(OWNER, manager, tuple(balances)))
    return accounts


def _balance(book: Book, found: Measured, row: int) -> tuple[str, int, int]:
    listing = found.market.listing
    i, amount = int(found.book.instrument[row]), wad_of(float(found.book.quantity[row]))
    kind = Kind(int(listing.kind[i]))
    if kind is Kind.PERPETUAL:
        return (book.perp.address, 0, amount)
    if kind is Kind.BASE:
        which = i - int(np.flatnonzero(listing.kind == Kind.BASE)[0])
        asset = book.collaterals[min(which, len(book.collaterals) - 1)].asset
        return (asset.address, 0, amount // 10**12 * 10**12)
    strike = round(float(listing.strike[i]) * 10**8)
    expiry = _expiry(DAYS[int(listing.expiry[i])])
    return (book.option.address, expiry | strike << 32 | int(kind is Kind.CALL) << 95, amount)
