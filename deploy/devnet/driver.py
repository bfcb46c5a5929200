"""The market driver: lists options, seeds accounts near the line, and plays a path block by block.

It joins the pure plans (market, portfolios) with the deployed venue; it must not know the keeper.
Chain time moves `step_s` a block, whatever the wall clock does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploy.devnet.contract import Sender
from deploy.devnet.market import Moment, UnderlyingPlan, UnderlyingQuote, play
from deploy.devnet.node import Node
from deploy.devnet.parameters import CollateralParameters, VenueParameters, two_books, wad
from deploy.devnet.portfolios import (
    CALL,
    COIN,
    PERPETUAL,
    PUT,
    STABLE,
    AccountPlan,
    Leg,
    Listed,
    listed,
    plan_accounts,
)
from deploy.devnet.quotes import Quotes
from deploy.devnet.venue import Book, SeedAccount, Venue, deploy_venue, seed


DAY_S = 86_400
EXPIRY_DAYS = (2, 9, 30, 90)
EXPIRY_HOUR_S = 8 * 3_600
SETTLE_IN_S = 300  # chain seconds between the first quotes and the first played moment
OWNER = "0x00000000000000000000000000000000000a11ce"
UNDERLYINGS = (
    UnderlyingPlan("ETH", 3_000.0, 0.62),
    UnderlyingPlan("BTC", 90_000.0, 0.48, beta=0.8),
)
TICKS = {"ETH": 50.0, "BTC": 1_000.0}
CASH_QUANTUM = 10**12  # the token has six decimals
MARGIN_GAS = 500_000_000
VIEWS_PER_BATCH = 200


def wad_of(value: float) -> int:
    """Return a float as an 18-decimal integer, rounded to eight decimals as markets quote."""
    return round(value * 1e8) * 10**10


def demo_parameters() -> VenueParameters:
    """Return two books, ETH with a stable coin as a third, haircut-only collateral."""
    eth, btc = two_books()
    stable = CollateralParameters(
        "USDT", "USDT", 6, wad("0.02"), wad("0.03"), risk_cancelling=False
    )
    eth = replace(eth, collaterals=(*eth.collaterals, stable))
    return VenueParameters(books=(eth, btc))


@dataclass(frozen=True)
class Scene:
    """What to play: everything a run depends on besides the node."""

    seed: int = 1
    accounts: int = 300
    blocks: int = 120
    step_s: int = 30


@dataclass(frozen=True)
class Seeded:
    """One account that stands: its id on the venue and the plan it came from."""

    account: int
    plan: AccountPlan
    cash: int


class Driver:
    """A venue with a market on a node; `prepare` once, then `step` for each block."""

    def __init__(self, node: Node, scene: Scene) -> None:
        self.node = node
        self.scene = scene
        self.venue: Venue
        self.seeded: list[Seeded] = []
        self.moments: list[Moment] = []
        self.played = 0

    def prepare(self) -> None:
        """Deploy, list, seed and publish the first quotes; nothing moves before `step`."""
        self.venue = deploy_venue(self.node, demo_parameters())
        head = self.node.call("eth_getBlockByNumber", "latest", False)
        first = int(head["timestamp"], 16) + SETTLE_IN_S
        midnight = first - first % DAY_S
        expiries = tuple(midnight + days * DAY_S + EXPIRY_HOUR_S for days in EXPIRY_DAYS)
        scene = self.scene
        start = first + SETTLE_IN_S
        self.moments = play(scene.seed, UNDERLYINGS, expiries, start, scene.step_s, scene.blocks)
        self._publish(self.moments[0], first)
        markets = [
            listed(each.underlying, each.spot, expiries, TICKS[each.underlying])
            for each in UNDERLYINGS
        ]
        self._seed_accounts(markets)
        self._publish(self.moments[0], start)

    def step(self) -> Moment:
        """Play the next moment into one new block, with whatever waits in the node's pool."""
        self.played += 1
        moment = self.moments[self.played]
        self._publish(moment, moment.timestamp)
        return moment

    @property
    def done(self) -> bool:
        """Tell whether the path has been played to its end."""
        return self.played >= self.scene.blocks

    def book(self, underlying: str) -> Book:
        """Return the deployed book of an underlying."""
        return next(book for book in self.venue.books if book.underlying == underlying)

    # ── quotes ──

    def _publish(self, moment: Moment, timestamp: int) -> None:
        """Publish every quote of a moment in one transaction, in a block of that timestamp."""
        quotes = Quotes(timestamp)
        for quote in moment.underlyings:
            self._quote(quotes, self.book(quote.underlying), quote)
        quotes.spot(self.venue.core.stable_feed, wad("1"))
        for feed in self._stable_coin_feeds():
            quotes.spot(feed, wad("1"))
        sender = self.venue.sender
        self.node.call("evm_setNextBlockTimestamp", timestamp)
        quotes.queue(sender, self.venue.core.data_submitter)
        sender.flush()

    def _quote(self, quotes: Quotes, book: Book, quote: UnderlyingQuote) -> None:
        quotes.spot(book.spot_feed, wad_of(quote.spot))
        quotes.diff(book.perp_feed, wad_of(quote.perp_less_spot))
        quotes.diff(book.impact_ask_feed, wad_of(quote.ask_less_spot))
        quotes.diff(book.impact_bid_feed, wad_of(quote.bid_less_spot))
        for line in quote.expiries:
            smile = line.smile
            svi = (
                wad_of(smile.a),
                wad_of(smile.b),
                wad_of(smile.rho),
                wad_of(smile.m),
                wad_of(smile.sigma),
            )
            forward, years = wad_of(smile.forward), wad_of(smile.years)
            quotes.forward(book.forward_feed, line.expiry, wad_of(line.forward_less_spot))
            quotes.vol(book.vol_feed, line.expiry, svi, forward, years)
            quotes.rate(book.rate_feed, line.expiry, wad_of(line.rate))

    def _stable_coin_feeds(self) -> list[Any]:
        return [
            collateral.feed
            for book in self.venue.books
            for collateral in book.collaterals
            if collateral.symbol == "USDT"
        ]

    # ── accounts ──

    def _seed_accounts(self, markets: Sequence[Listed]) -> None:
        """Seed every plan with the cash that puts it where it shall stand.

        The chain is asked: seeded without cash in a block that is then taken back, each account's
        margin tells the cash that is missing.
        """
        scene = self.scene
        plans = plan_accounts(scene.seed, scene.accounts, markets)
        snapshot = self.node.call("evm_snapshot")
        ids = seed(self.venue, [self._seed_account(plan, 0) for plan in plans])
        margins = self._margins(list(ids), plans)
        self.node.call("evm_revert", snapshot)
        # The node's nonce went back with the block: the sender has to read it again.
        sender = Sender(self.node.rpc, self.venue.sender.address)
        self.venue = replace(self.venue, sender=sender)
        spots = {market.underlying: market.spot for market in markets}
        cash = [
            self._cash(plan, margin, spots[plan.underlying])
            for plan, margin in zip(plans, margins, strict=True)
        ]
        accounts = [
            self._seed_account(plan, amount) for plan, amount in zip(plans, cash, strict=True)
        ]
        ids = seed(self.venue, accounts)
        self.seeded = [
            Seeded(account, plan, amount)
            for account, plan, amount in zip(ids, plans, cash, strict=True)
        ]

    def _cash(self, plan: AccountPlan, margin: int, spot: float) -> int:
        gross = sum(abs(leg.amount) * (1.0 if leg.kind == STABLE else spot) for leg in plan.legs)
        excess = plan.excess_usd if plan.excess_usd is not None else plan.excess_share * gross
        amount = wad_of(excess) - margin
        return amount - amount % CASH_QUANTUM

    def _margins(self, ids: Sequence[int], plans: Sequence[AccountPlan]) -> list[int]:
        calls = []
        for account, plan in zip(ids, plans, strict=True):
            manager = self.book(plan.underlying).manager
            data = manager.encode("getMargin", account, False)
            request = {"to": manager.address, "data": data, "gas": hex(MARGIN_GAS)}
            calls.append(("eth_call", [request, "latest"]))
        answers: list[str] = []
        for at in range(0, len(calls), VIEWS_PER_BATCH):
            answers += self.node.batch(calls[at : at + VIEWS_PER_BATCH])
        return [_signed(answer) for answer in answers]

    def _seed_account(self, plan: AccountPlan, cash: int) -> SeedAccount:
        book = self.book(plan.underlying)
        balances = [self._balance(book, leg) for leg in _merged(plan.legs)]
        if cash:
            balances.append((self.venue.core.cash.address, 0, cash))
        return SeedAccount(OWNER, book.manager.address, tuple(balances))

    def _balance(self, book: Book, leg: Leg) -> tuple[str, int, int]:
        amount = wad_of(leg.amount)
        if leg.kind in (CALL, PUT):
            return (book.option.address, option_id(leg), amount)
        if leg.kind == PERPETUAL:
            return (book.perp.address, 0, amount)
        symbol = "USDT" if leg.kind == STABLE else f"W{book.underlying}"
        asset = next(each.asset for each in book.collaterals if each.symbol == symbol)
        return (asset.address, 0, amount - amount % CASH_QUANTUM)


def option_id(leg: Leg) -> int:
    """Return the option's subId: expiry, strike in eight decimals, and the call bit."""
    strike = round(leg.strike * 10**8)
    return leg.expiry | strike << 32 | int(leg.kind == CALL) << 95


def _merged(legs: Sequence[Leg]) -> list[Leg]:
    """Return the legs with those of one instrument added up, zeros left out."""
    merged: dict[tuple[str, int, float], float] = {}
    for leg in legs:
        key = (leg.kind, leg.expiry, leg.strike)
        merged[key] = merged.get(key, 0.0) + leg.amount
    return [
        Leg(kind, amount, expiry, strike)
        for (kind, expiry, strike), amount in merged.items()
        if wad_of(amount) and (kind != COIN or amount > 0)
    ]


def _signed(word: str) -> int:
    value = int(word, 16)
    return value - 2**256 if value >= 2**255 else value
