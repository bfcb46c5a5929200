"""A small venue whose quotes, accounts and clock a test chooses, with keepers on it.

`Rig` is a desk that also runs keepers: it mines blocks for them and waits until each was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.venue.deployment import Book, SeedAccount, seed
from deploy.devnet.venue.parameters import AuctionParameters, VenueParameters, wad
from deploy.devnet.venue.quotes import Quotes
from tests.integration.desk import VARIANCE, YEAR_S, Desk
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_stand import KeeperStand


STEP_S = 12
OUTCOMES = ("transaction_included", "transaction_reverted", "transaction_dropped")
WHOLE = wad("1")

# Auctions that are over within the minutes a test plays.
SHORT = AuctionParameters(fast_length_s=300, slow_length_s=600, insolvent_length_s=300)
SHORT_VENUE = VenueParameters(auction=SHORT)


class Rig(Desk, KeeperStand):
    """One venue, one folder, any number of keepers one after another."""

    def __init__(self, node: Node, folder: Path, parameters: VenueParameters | None = None) -> None:
        self.spots: dict[str, int] = {}  # by underlying, where it is not `spot`
        self.silent: set[str] = set()  # "<underlying>.<quote>" that nobody posts now
        self.folder = folder
        self.keepers: list[KeeperProcess] = []
        super().__init__(node, parameters)

    # ── the market ──

    def quotes(self) -> Quotes:
        """Return all feeds' quotes now, as the desk's, but each book with its own spot."""
        quotes = Quotes(self.now)
        if "stable" not in self.silent:
            quotes.spot(self.core.stable_feed, WHOLE)
        for book in self.venue.books:
            self._quote(quotes, book, wad(str(self.spots.get(book.underlying, self.spot))))
        return quotes

    def _quote(self, quotes: Quotes, book: Book, price: int) -> None:
        def posted(quote: str) -> bool:
            return f"{book.underlying}.{quote}" not in self.silent

        if posted("spot"):
            quotes.spot(book.spot_feed, price)
        if posted("perp"):
            quotes.diff(book.perp_feed, 0)
        quotes.diff(book.impact_ask_feed, wad("1"))
        quotes.diff(book.impact_bid_feed, -wad("1"))
        if self.now >= self.expiry:
            return
        tau = (self.expiry - self.now) * WHOLE // YEAR_S
        quotes.forward(book.forward_feed, self.expiry, 0)
        quotes.rate(book.rate_feed, self.expiry, wad("0.05"))
        if posted("vol"):
            svi = (VARIANCE * tau // WHOLE, 0, 0, 0, 0)
            quotes.vol(book.vol_feed, self.expiry, svi, price, tau)

    def step(self, spot: int | None = None, after_s: int = STEP_S) -> str:
        """Post the next quotes in a new block, with all that waits in the pool; its hash."""
        self.at(self.now - self.start + after_s, spot)
        return self.head["hash"]

    def resume(self) -> None:
        """Go on after the node went back: on its clock, with its nonces."""
        self.now = int(self.head["timestamp"], 16) + 1
        self.sender.rpc = self.node.rpc
        self.sender.__post_init__()

    # ── accounts ──

    def open_for(
        self, owner: str, *balances: tuple[Contract, int, int], book: Book | None = None
    ) -> int:
        """Open an account that somebody else owns."""
        held = tuple((asset.address, sub_id, amount) for asset, sub_id, amount in balances)
        self.node.call("evm_setNextBlockTimestamp", self.now)
        plan = SeedAccount(owner, (book or self.book).manager.address, held)
        return seed(self.venue, [plan])[0]

    def bidder(self, usd: str, lane: int = 0, book: Book | None = None) -> int:
        """Open one of our own accounts, with cash alone, that the lane may bid for."""
        return self.open_for(self.lane(lane), self.cash(usd), book=book)

    def trust_helper(self, lane: int = 0) -> None:
        """Let the auction helper move what the lane's accounts hold, as an operator would."""
        address = self.lane(lane)
        self.node.call("anvil_impersonateAccount", address)
        owner = Sender(self.node.rpc, address)
        helper = self.core.auction_utils.address
        self.do(self.core.sub_accounts, "setApprovalForAll", helper, True, sender=owner)
        self.node.call("anvil_stopImpersonatingAccount", address)

    def open_with(
        self, excess_usd: str, *balances: tuple[Contract, int, int], book: Book | None = None
    ) -> int:
        """Open an account with the cash that gives it this excess on the chain's own view."""
        place = self.node.call("evm_snapshot")
        margin = self.margin(self.open(*balances, book=book), book)[0]
        self.node.call("evm_revert", place)
        self.sender.__post_init__()  # the node took the nonce back with the block
        cash = wad(excess_usd) - margin
        return self.open((self.core.cash, 0, cash - cash % 10**12), *balances, book=book)

    def margin(self, account: int, book: Book | None = None) -> tuple[int, int, int]:
        """Return (mm, mtm, worst scenario) by the view of the account's manager."""
        manager = (book or self.book).manager
        seen: tuple[int, int, int] = self.view(manager, "getMarginAndMtM", account, False)
        return seen

    def play(
        self, keeper: KeeperProcess, spot: int | None = None, after_s: int = STEP_S
    ) -> dict[str, Any]:
        """Mine a block of new quotes, wait until it was decided on; its line of the log.

        And until the outcomes of what it includes are told, on which more may be decided.
        """
        line = keeper.block(self.step(spot, after_s))
        keeper.wait("the outcomes of what was included", lambda: self._outcomes_told(keeper))
        keeper.wait("what was decided on them", keeper.all_told)
        return line

    def _outcomes_told(self, keeper: KeeperProcess) -> bool:
        known = {each["command_id"] for each in keeper.lines() if each["event"] in OUTCOMES}
        return all(
            self.node.call("eth_getTransactionReceipt", each["transaction"]) is None
            for each in keeper.lines("command_sent")
            if each["command_id"] not in known
        )

    def play_until(
        self, keeper: KeeperProcess, done: Callable[[], bool], blocks_max: int = 8
    ) -> int:
        """Play blocks until something is so on chain; how many it took."""
        for count in range(1, blocks_max + 1):
            self.play(keeper)
            if done():
                return count
        raise AssertionError(f"not so within {blocks_max} blocks: {keeper.tail()}")


@contextmanager
def rig_in(
    folder: Path, parameters: VenueParameters | None = None, options: NodeOptions | None = None
) -> Iterator[Rig]:
    """Stand a node and a rig on it; keepers and node are gone afterwards, whatever happened."""
    chosen = options if options is not None else NodeOptions(mining=False)
    with Node(chosen) as node:
        rig = Rig(node, folder, parameters)
        try:
            yield rig
        finally:
            for keeper in rig.keepers:
                keeper.kill()
