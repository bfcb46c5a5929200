"""The market driver: lists options, seeds accounts near the line, and plays a path block by block.

It joins the pure plans (scene, market, portfolios) with the deployed venue; it must not know the
keeper. Chain time moves `step_s` a block, whatever the wall clock does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deploy.devnet.chain.contract import Contract, Sender, TransactionFailed
from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import Book, SeedAccount, Venue, deploy_venue, seed
from deploy.devnet.venue.market import Moment, UnderlyingQuote, crash_plan, play
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.portfolios import AccountPlan, plan_accounts
from deploy.devnet.venue.quotes import Quotes
from deploy.devnet.venue.scene import (
    DYING_DAYS,
    FIRST_QUOTES_S,
    GENESIS_S,
    START_S,
    UNDERLYINGS,
    Scene,
    demo_parameters,
    dying_market,
    expiries,
    expiry,
    markets,
)
from deploy.devnet.venue.seeding import Seeded, book_of, cash_for, margins, seed_account, wad_of


# Quotes go first in their block: what is sent on the block before meets the new prices.
QUOTES_TIP_WEI = 20 * 10**9
QUOTES_CAP_WEI = 200 * 10**9
QUOTES_GAS = 60_000_000


class Driver:
    """A venue with a market on a node; `prepare` once, then `step` for each block.

    The node must stand at the scene's genesis and must not mine by itself.
    """

    def __init__(self, node: Node, scene: Scene) -> None:
        self.node = node
        self.scene = scene
        self.venue: Venue
        self.seeded: list[Seeded] = []
        self.moments: list[Moment] = []
        self.played = 0
        self._clock_s = 0

    def prepare(self) -> None:
        """Deploy, list, seed and publish the first quotes; nothing moves before `step`."""
        self.node.call("evm_setNextBlockTimestamp", GENESIS_S + 60)
        self.venue = deploy_venue(self.node, demo_parameters())
        scene = self.scene
        self.moments = play(
            scene.seed, UNDERLYINGS, expiries(), START_S, scene.step_s, scene.blocks
        )
        self._publish(self.moments[0], FIRST_QUOTES_S)
        self._seed_accounts()
        self.idle()

    def idle(self) -> None:
        """Make one block a second later, its quotes those of the market's start."""
        assert self._clock_s + 1 < START_S, "the market's start cannot be put off any longer"
        self._publish(self.moments[0], self._clock_s + 1)

    def catch_up(self) -> None:
        """Go on from the head's own time: blocks mined beside the market moved it."""
        head = self.node.call("eth_getBlockByNumber", "latest", False)
        self._clock_s = max(self._clock_s, int(head["timestamp"], 16))

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

    @property
    def head(self) -> int:
        """The number of the last block."""
        return int(self.node.call("eth_blockNumber"), 16)

    def book(self, underlying: str) -> Book:
        """Return the deployed book of an underlying."""
        return book_of(self.venue, underlying)

    # ── quotes ──

    def _publish(self, moment: Moment, timestamp: int) -> None:
        """Publish every quote of a moment in one transaction, in a block of that timestamp.

        Raises TransactionFailed when the feeds refuse them.
        """
        quotes = Quotes(timestamp)
        for quote in moment.underlyings:
            self._quote(quotes, self.book(quote.underlying), quote)
        quotes.spot(self.venue.core.stable_feed, wad("1"))
        for feed in self._alien_feeds():
            quotes.spot(feed, wad("1"))
        submitter = self.venue.core.data_submitter
        transaction = {
            "from": self.venue.sender.address,
            "to": submitter.address,
            "data": submitter.encode("submitData", quotes.packed()),
            "gas": hex(QUOTES_GAS),
            "maxPriorityFeePerGas": hex(QUOTES_TIP_WEI),
            "maxFeePerGas": hex(QUOTES_CAP_WEI),
        }
        calls: list[tuple[str, list[Any]]] = [
            ("evm_setNextBlockTimestamp", [timestamp]),
            ("eth_sendTransaction", [transaction]),
            ("evm_mine", []),
        ]
        sent = self.node.batch(calls)[1]
        receipt = self.node.call("eth_getTransactionReceipt", sent)
        if receipt is None or receipt["status"] != "0x1":
            raise TransactionFailed(f"the quotes of {timestamp} were not taken: {receipt}")
        self._clock_s = timestamp

    def _quote(self, quotes: Quotes, book: Book, quote: UnderlyingQuote) -> None:
        quotes.spot(book.spot_feed, wad_of(quote.spot))
        quotes.diff(book.perp_feed, wad_of(quote.perp_less_spot))
        quotes.diff(book.impact_ask_feed, wad_of(quote.ask_less_spot))
        quotes.diff(book.impact_bid_feed, wad_of(quote.bid_less_spot))
        for line in quote.expiries:
            smile = line.smile
            numbers = (smile.a, smile.b, smile.rho, smile.m, smile.sigma)
            a, b, rho, m, sigma = (wad_of(each) for each in numbers)
            quotes.forward(book.forward_feed, line.expiry, wad_of(line.forward_less_spot))
            quotes.rate(book.rate_feed, line.expiry, wad_of(line.rate))
            if not self.silent(line.expiry):
                forward, years = wad_of(smile.forward), wad_of(smile.years)
                quotes.vol(book.vol_feed, line.expiry, (a, b, rho, m, sigma), forward, years)

    def silent(self, line: int) -> bool:
        """Tell whether an expiry's volatility is quoted no more."""
        return line == expiry(DYING_DAYS) and self.played >= self.scene.silent_from

    def _alien_feeds(self) -> list[Contract]:
        """Return the feeds of collaterals that no book is written on: coins worth a dollar."""
        own = {book.spot_feed.address for book in self.venue.books}
        found = {
            collateral.feed.address: collateral.feed
            for book in self.venue.books
            for collateral in book.collaterals
            if collateral.feed.address not in own
        }
        return list(found.values())

    # ── accounts ──

    def _seed_accounts(self) -> None:
        """Seed every plan with the cash that puts it where it shall stand."""
        scene = self.scene
        listings = markets()
        plans = plan_accounts(scene.seed, scene.accounts, listings, dying_market())
        spots = {market.underlying: market.spot for market in listings}
        cash = [
            cash_for(plan, margin, spots[plan.underlying])
            for plan, margin in zip(plans, self._margins(plans), strict=True)
        ]
        ids = self.open_accounts(
            [seed_account(self.venue, plan, own) for plan, own in zip(plans, cash, strict=True)]
        )
        self.seeded = [
            Seeded(account, plan, amount)
            for account, plan, amount in zip(ids, plans, cash, strict=True)
        ]

    def _margins(self, plans: Sequence[AccountPlan]) -> list[int]:
        """Return each plan's margin without cash, now or before the gap, as the chain sees it."""
        snapshot = self.node.call("evm_snapshot")
        clock_s = self._clock_s
        ids = self.open_accounts([seed_account(self.venue, plan, 0) for plan in plans])
        now = margins(self.node, self.venue, ids, plans)
        eve = self.moments[crash_plan(self.scene.blocks).gap]
        self._publish(eve, eve.timestamp)
        doomed = [at for at, plan in enumerate(plans) if plan.at_gap]
        then = margins(
            self.node, self.venue, [ids[at] for at in doomed], [plans[at] for at in doomed]
        )
        for at, margin in zip(doomed, then, strict=True):
            now[at] = margin
        self.node.call("evm_revert", snapshot)
        self._clock_s = clock_s
        return now

    def open_accounts(self, accounts: Sequence[SeedAccount]) -> list[int]:
        """Seed accounts with their balances at the head; their ids in order."""
        # Quotes were sent beside it, and blocks taken back: the sender must read its nonce again.
        self.venue = replace(self.venue, sender=Sender(self.node.rpc, self.venue.sender.address))
        return list(seed(self.venue, accounts))
