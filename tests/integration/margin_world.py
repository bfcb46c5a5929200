"""A venue whose quotes, clock and books a test chooses, and our state of it, two ways.

`Follower` folds logs only, from a snapshot taken before the first account; `snapshot_of` reads the
whole state at one block. What is right is the chain's own answer, asked by `views`.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.devnet.chain.node import Node
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import (
    Book,
    SeedAccount,
    Venue,
    deploy_venue,
    keeper_config,
    seed,
)
from deploy.devnet.venue.parameters import VenueParameters
from deploy.devnet.venue.quotes import Quotes
from keeper.domain.events import BlockSealed, Log
from keeper.domain.units import WAD, Address, Hash
from keeper.portfolio.state import Portfolio
from keeper.ports import CallFailed, Header
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.snapshot import take
from keeper.protocols.derive.wiring import DeriveConfig
from keeper.runtime.clock import SystemClock
from keeper.venue import Margined


HOUR_S, DAY_S, YEAR_S = 3_600, 86_400, 31_536_000
WINDOW_S = 1_800
GAS = hex(500_000_000)
OWNER = "0x00000000000000000000000000000000000a11ce"
SPOTS = {"ETH": 3_000.0, "BTC": 90_000.0}


def fixed(value: float) -> int:
    """Return a float in 18 decimals, rounded to eight, as markets quote."""
    return round(value * 10**8) * 10**10


class Reads:
    """A `ChainReader` over the development node's plain JSON-RPC."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def header(self, number: int | str) -> Header:
        place = hex(number) if isinstance(number, int) else number
        raw = self._node.call("eth_getBlockByNumber", place, False)
        return Header(
            number=int(raw["number"], 16),
            hash=raw["hash"],
            parent=raw["parentHash"],
            timestamp=int(raw["timestamp"], 16),
            base_fee_wei=int(raw["baseFeePerGas"], 16),
            gas_limit=int(raw["gasLimit"], 16),
        )

    async def call_many(
        self, calls: Sequence[tuple[Address, str]], block: Hash, gas: int | None = None
    ) -> list[str | CallFailed]:
        place = {"blockHash": block}
        limit = GAS if gas is None else hex(gas)
        asked = [
            ("eth_call", [{"to": to, "data": data, "gas": limit}, place]) for to, data in calls
        ]
        return [
            CallFailed(str(answer.data or "0x")) if isinstance(answer, RpcError) else str(answer)
            for answer in self._node.rpc.try_batch(asked)
        ]

    async def logs(
        self, addresses: Sequence[Address], topics: Sequence[str], first: int, last: int
    ) -> list[tuple[int, Hash, Log]]:
        query: dict[str, Any] = {
            "address": list(addresses),
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        if topics:
            query["topics"] = [list(topics)]
        return [
            (int(raw["blockNumber"], 16), raw["blockHash"], _log(raw))
            for raw in self._node.call("eth_getLogs", query)
        ]

    async def code(self, address: Address, block: Hash) -> str:
        return str(self._node.call("eth_getCode", address, {"blockHash": block}))


def _log(raw: dict[str, Any]) -> Log:
    return Log(
        raw["address"].lower(),
        tuple(raw["topics"]),
        raw["data"],
        int(raw["logIndex"], 16),
        raw["transactionHash"],
    )


def snapshot_of(reads: Reads, config: DeriveConfig, number: int | str = "latest") -> Derive:
    """Return a venue loaded from a snapshot of one block."""
    block = asyncio.run(reads.header(number))
    snapshot = asyncio.run(take(reads, config, block, SystemClock()))
    portfolio = Portfolio()
    portfolio.undo.begin(block.number, block.hash)
    venue = Derive(config, portfolio)
    venue.load(snapshot)
    return venue


class Follower:
    """A venue that starts from a snapshot and then sees logs only."""

    def __init__(self, reads: Reads, config: DeriveConfig) -> None:
        self._reads = reads
        self.venue = snapshot_of(reads, config)

    def follow(self) -> None:
        """Fold every block up to the latest."""
        portfolio = self.venue.tables.portfolio
        assert portfolio.tip is not None
        latest = asyncio.run(self._reads.header("latest")).number
        for number in range(portfolio.tip[0] + 1, latest + 1):
            self._fold(asyncio.run(self._reads.header(number)))

    def _fold(self, header: Header) -> None:
        watched = self.venue.watch()
        found = asyncio.run(self._reads.logs(watched, (), header.number, header.number))
        logs = tuple(log for _, _, log in found)
        block = BlockSealed(
            chain_id=31_337,
            number=header.number,
            hash=header.hash,
            parent=header.parent,
            timestamp=header.timestamp,
            base_fee_wei=header.base_fee_wei,
            gas_limit=header.gas_limit,
            at_tip=True,
            received_ns=0,
            logs=logs,
        )
        self.venue.tables.portfolio.undo.begin(header.number, header.hash)
        for log in logs:
            event = self.venue.decode(log)
            if event is not None:
                self.venue.fold(event, block)


def margins(venue: Derive, now: int) -> list[Margined]:
    """Return every book with its margin at a timestamp, as the machine computes it."""
    venue.accrue(now)
    results = []
    for book in venue.books():
        stored = book.method.require(book.book, book.market)
        results.append(Margined(book, stored, stored.with_cash(book.accrued)))
    return results


@dataclass(frozen=True)
class View:
    """What the chain answers of one account, USD; None where its margin view reverts."""

    margins: tuple[float, float, float, int] | None  # mm, im, mtm, worst scenario
    cash_now: float  # with interest


@dataclass
class Market:
    """What is posted next; a test changes what it is about. Confidences are drawn below."""

    spots: dict[str, float] = field(default_factory=lambda: dict(SPOTS))
    stable: float = 1.0
    confidence_least: float = 1.0
    rate: float = 0.05
    skip: frozenset[str] = frozenset()  # kinds not posted: vol, forward, rate, perp, impact
    books: tuple[str, ...] = ("ETH", "BTC")


class World:
    """A venue on a node with random books; every draw comes from the seed."""

    def __init__(self, node: Node, parameters: VenueParameters, chance_seed: int) -> None:
        self.node = node
        self.chance = random.Random(chance_seed)
        self.venue: Venue = deploy_venue(node, parameters)
        self.reads = Reads(node)
        plain = keeper_config(self.venue)
        plain["managers"] = tuple(plain["managers"])
        names = tuple(book.underlying for book in self.venue.books)
        self.config = DeriveConfig(**plain, underlyings=names)
        self.follower = Follower(self.reads, self.config)
        self.start = asyncio.run(self.reads.header("latest")).timestamp + 60
        self.expiries = (self.start + DAY_S, self.start + 8 * DAY_S, self.start + 60 * DAY_S)
        self.accounts: dict[int, Book] = {}

    def post(self, at: int, market: Market) -> None:
        """Post a market's quotes in one block of that timestamp."""
        quotes = Quotes(at)
        quotes.spot(self.venue.core.stable_feed, fixed(market.stable))
        for book in self.venue.books:
            if book.underlying in market.books:
                self._quote(quotes, book, market, at)
        self.node.call("evm_setNextBlockTimestamp", at)
        quotes.queue(self.venue.sender, self.venue.core.data_submitter)
        self.venue.sender.flush()

    def post_average(self, at: int, data_at: int) -> None:
        """Post the first expiry's running average as of `data_at`; at its end, the settlement."""
        quotes, expiry = Quotes(data_at), self.expiries[0]
        for book in self.venue.books:
            covered = max(1, data_at - (expiry - WINDOW_S))
            begun = fixed(SPOTS[book.underlying] * 12_345)
            sums = (begun, begun + fixed(SPOTS[book.underlying] * 0.97) * covered)
            quotes.forward(book.forward_feed, expiry, fixed(1.5), self._sure(0.9), sums)
        self.node.call("evm_setNextBlockTimestamp", at)
        quotes.queue(self.venue.sender, self.venue.core.data_submitter)
        self.venue.sender.flush()

    def open_books(self, count: int) -> None:
        """Open random books, the same kinds under each manager, and remember whose they are."""
        for book in self.venue.books:
            books = [self._book(book, index) for index in range(count)]
            self.node.call("evm_setNextBlockTimestamp", self.start + 1)
            for account in seed(self.venue, books):
                self.accounts[account] = book
            self.start += 2

    def views(self) -> dict[int, View]:
        """Ask the chain about every account at the latest block."""
        cash, asked = self.venue.core.cash, []
        for account, book in self.accounts.items():
            for initial in (False, True):
                data = book.manager.encode("getMarginAndMtM", account, initial)
                asked.append((book.manager.address, data))
            asked.append((cash.address, cash.encode("calculateBalanceWithInterest", account)))
        calls = [
            ("eth_call", [{"to": to, "data": data, "gas": GAS}, "latest"]) for to, data in asked
        ]
        answers = [answer for at in range(0, len(calls), 60)
                   for answer in self.node.rpc.try_batch(calls[at : at + 60])]  # fmt: skip
        return {
            account: _view(answers[3 * index : 3 * index + 3])
            for index, account in enumerate(self.accounts)
        }

    def _quote(self, quotes: Quotes, book: Book, market: Market, at: int) -> None:
        spot, sure = market.spots[book.underlying], market.confidence_least
        draw = self.chance.uniform
        quotes.spot(book.spot_feed, fixed(spot), self._sure(sure))
        if "perp" not in market.skip:
            quotes.diff(book.perp_feed, fixed(spot * draw(-0.08, 0.08)), self._sure(sure))
        if "impact" not in market.skip:
            width = spot * draw(0.0, 0.004)
            middle = spot * draw(-0.004, 0.004)
            quotes.diff(book.impact_ask_feed, fixed(middle + width), self._sure(sure))
            quotes.diff(book.impact_bid_feed, fixed(middle - width), self._sure(sure))
        for expiry in self.expiries:
            if expiry > at:
                self._quote_expiry(quotes, book, market, expiry, at)

    def _quote_expiry(
        self, quotes: Quotes, book: Book, market: Market, expiry: int, at: int
    ) -> None:
        spot, sure, draw = (
            market.spots[book.underlying],
            market.confidence_least,
            self.chance.uniform,
        )
        if "rate" not in market.skip:
            rate = fixed(market.rate * draw(0.5, 1.5))
            quotes.rate(book.rate_feed, expiry, rate, self._sure(sure))
        if "forward" not in market.skip and at + WINDOW_S <= expiry:
            lead = fixed(spot * draw(-0.002, 0.01))
            quotes.forward(book.forward_feed, expiry, lead, self._sure(sure))
        if "vol" not in market.skip:
            tau = max(1e-4, (expiry - at) / YEAR_S)
            total = draw(0.3, 1.2) ** 2 * tau
            svi = (total * 0.6, total * draw(0.2, 0.6), draw(-0.6, 0.3), draw(-0.1, 0.1), 0.4)
            a, b, rho, m, sigma = map(fixed, svi)
            smile = (a, b, rho, m, sigma)
            quotes.vol(book.vol_feed, expiry, smile, fixed(spot), fixed(tau), self._sure(sure))

    def _sure(self, least: float) -> int:
        return WAD if least >= 1.0 else fixed(self.chance.uniform(least, 1.0))

    def _book(self, book: Book, index: int) -> SeedAccount:
        """Return one random book; the first few are the edges that chance would miss."""
        spot, chance = SPOTS[book.underlying], self.chance
        held: dict[tuple[str, int], int] = {}

        def hold(asset: str, sub_id: int, amount: float) -> None:
            held[asset, sub_id] = held.get((asset, sub_id), 0) + fixed(amount)

        def option(expiry: int, strike: float, size: float) -> None:
            bits = expiry | (round(strike * 10**8) << 32) | (chance.randrange(2) << 95)
            hold(book.option.address, bits, size)

        edges = {
            1: (0.0, 1.0),  # a strike of nothing
            2: (1e-8, -1.0),
            3: (spot * 10_000.0, -0.5),
            4: (spot * 0.01, 2.0),
        }
        if index in edges:
            option(self.expiries[-1], *edges[index])
        elif index > 4:
            for _ in range(chance.choice((0, 1, 2, 4, 12, 30))):
                strike = round(spot * chance.uniform(0.5, 1.7) / 50.0) * 50.0
                option(chance.choice(self.expiries), strike, chance.uniform(-4.0, 4.0))
            if chance.random() < 0.5:
                hold(book.perp.address, 0, chance.uniform(-5.0, 5.0))
            for collateral in book.collaterals:
                if chance.random() < 0.4:
                    amount = round(chance.uniform(0.1, 6.0), 6)
                    hold(collateral.asset.address, 0, amount)
        debt = chance.uniform(-3.0, 0.0) if index % 4 == 0 else chance.uniform(0.0, 6.0)
        hold(self.venue.core.cash.address, 0, round(spot * debt, 6))
        balances = tuple((asset, sub, size) for (asset, sub), size in held.items() if size)
        return SeedAccount(OWNER, book.manager.address, balances)


def _view(answers: list[Any]) -> View:
    maintenance, initial, cash = answers
    assert not isinstance(cash, RpcError), cash
    now = _signed(str(cash), 0) / WAD
    assert isinstance(maintenance, RpcError) == isinstance(initial, RpcError)
    if isinstance(maintenance, RpcError):
        return View(None, now)
    mm, mtm = _signed(str(maintenance), 0) / WAD, _signed(str(maintenance), 1) / WAD
    return View((mm, _signed(str(initial), 0) / WAD, mtm, _signed(str(maintenance), 2)), now)


def _signed(answer: str, word: int) -> int:
    value = int(answer[2 + 64 * word : 66 + 64 * word], 16)
    return value - 2**256 if value >= 2**255 else value
