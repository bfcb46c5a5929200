"""A venue on a node, quotes at a chosen second, the names of refusals: for contract tests.

It knows the venue's contracts; the keeper it must not know.
"""

from __future__ import annotations

from typing import Any

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.venue.deployment import Book, SeedAccount, Venue, deploy_venue, seed
from deploy.devnet.venue.parameters import VenueParameters, wad
from deploy.devnet.venue.quotes import Quotes


DAY_S = 86_400
YEAR_S = 365 * DAY_S
VARIANCE = wad("0.64")
HALF_HOUR_S = 1_800

Event = tuple[str, dict[str, Any]]


def option_id(expiry: int, strike_usd: int, is_call: bool) -> int:
    """subId: expiry in the low 32 bits, strike in 1e-8 USD above, the call bit on top."""
    return expiry | (strike_usd * 10**8) << 32 | int(is_call) << 95


class Desk:
    """One fresh venue whose clock stands at `now` until `at` moves it; all times in seconds."""

    def __init__(self, node: Node, parameters: VenueParameters | None = None) -> None:
        self.node = node
        self.venue: Venue = deploy_venue(node, parameters)
        self.core = self.venue.core
        self.sender = self.venue.sender
        self.book: Book = self.venue.books[0]
        self.start = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 1
        self.now = self.start
        self.expiry = self.start + 30 * DAY_S
        self.spot = 3000
        self.at(0)

    def stranger(self, index: int = 1) -> Sender:
        """Another account of the node."""
        return Sender(self.node.rpc, self.node.call("eth_accounts")[index])

    def at(self, seconds: int, spot: int | None = None) -> None:
        """Move to `seconds` after the start with fresh quotes for every book, one block."""
        self.now = self.start + seconds
        self.spot = self.spot if spot is None else spot
        self.quotes().queue(self.sender, self.core.data_submitter)
        self.mine()

    def quotes(self) -> Quotes:
        """All feeds of all books now: flat volatility of 80 %, no basis, 5 % interest."""
        quotes, price = Quotes(self.now), wad(str(self.spot))
        quotes.spot(self.core.stable_feed, wad("1"))
        for book in self.venue.books:
            quotes.spot(book.spot_feed, price)
            quotes.diff(book.perp_feed, 0)
            quotes.diff(book.impact_ask_feed, wad("1"))
            quotes.diff(book.impact_bid_feed, -wad("1"))
            if self.now >= self.expiry:
                continue
            tau = (self.expiry - self.now) * wad("1") // YEAR_S
            svi = (VARIANCE * tau // wad("1"), 0, 0, 0, 0)
            quotes.forward(book.forward_feed, self.expiry, 0)
            quotes.rate(book.rate_feed, self.expiry, wad("0.05"))
            quotes.vol(book.vol_feed, self.expiry, svi, price, tau)
        return quotes

    def settle_price(self, usd: int) -> None:
        """Post the settlement price of the expiry, whose second it must be."""
        quotes = Quotes(self.expiry)
        sums = (0, wad(str(usd)) * HALF_HOUR_S)
        quotes.forward(self.book.forward_feed, self.expiry, 0, aggregates=sums)
        quotes.queue(self.sender, self.core.data_submitter)
        self.mine()

    def mine(self, sender: Sender | None = None) -> list[dict[str, Any]]:
        """Everything queued in one block at the desk's time; its logs."""
        self.node.call("evm_setNextBlockTimestamp", self.now)
        receipts = (sender or self.sender).flush()
        return [log for receipt in receipts for log in receipt["logs"]]

    def mine_empty(self) -> None:
        """A block at the desk's time with no quotes in it."""
        self.node.call("evm_setNextBlockTimestamp", self.now)
        self.node.call("evm_mine")

    def do(
        self, contract: Contract, name: str, *arguments: Any, sender: Sender | None = None
    ) -> list[Event]:
        """One transaction, mined now; the venue's events of it, in order."""
        chosen = sender or self.sender
        chosen.send(contract, name, *arguments, gas=20_000_000)
        return [each for log in self.mine(chosen) for each in self._events(log)]

    def view(self, contract: Contract, name: str, *arguments: Any) -> Any:
        """A call at the latest block."""
        return contract.call(self.node.rpc, name, *arguments, sender=self.sender.address)

    def refusal(
        self, contract: Contract, name: str, *arguments: Any, sender: str | None = None
    ) -> str | None:
        """The name of the error that this call reverts with now; None when it succeeds."""
        try:
            origin = sender or self.sender.address
            contract.call(self.node.rpc, name, *arguments, sender=origin)
        except RpcError as refused:
            names = {
                code: error for each in self._contracts() for code, error in each.errors.items()
            }
            return names[str(refused.data)[:10]]
        return None

    def open(self, *balances: tuple[Contract, int, int], book: Book | None = None) -> int:
        """Seed one account of the desk's own with balances (asset, subId, amount); its id."""
        held = tuple((asset.address, sub_id, amount) for asset, sub_id, amount in balances)
        manager = (book or self.book).manager.address
        self.node.call("evm_setNextBlockTimestamp", self.now)
        return seed(self.venue, [SeedAccount(self.sender.address, manager, held)])[0]

    def cash(self, usd: str) -> tuple[Contract, int, int]:
        """A balance of cash."""
        return (self.core.cash, 0, wad(usd))

    def perp(self, size: str) -> tuple[Contract, int, int]:
        """A perpetual position of the first book."""
        return (self.book.perp, 0, wad(size))

    def option(self, strike_usd: int, is_call: bool, size: str) -> tuple[Contract, int, int]:
        """An option position of the first book."""
        return (self.book.option, option_id(self.expiry, strike_usd, is_call), wad(size))

    def coin(self, size: str) -> tuple[Contract, int, int]:
        """The first book's own collateral."""
        return (self.book.collaterals[0].asset, 0, wad(size))

    def margin(self, account: int) -> tuple[int, int, int]:
        """(mm, mtm, worst scenario) by the manager's view."""
        seen: tuple[int, int, int] = self.view(self.book.manager, "getMarginAndMtM", account, False)
        return seen

    def start_auction(self, account: int) -> list[Event]:
        """Start under the worst scenario."""
        return self.do(self.core.auction, "startAuction", account, self.margin(account)[2])

    def stored(self, account: int, asset: Contract, sub_id: int = 0) -> int:
        """The stored balance."""
        amount: int = self.view(
            self.core.sub_accounts, "getBalance", account, asset.address, sub_id
        )
        return amount

    def _events(self, log: dict[str, Any]) -> list[Event]:
        for contract in self._contracts():
            for name, topic in contract.topics.items():
                if topic == log["topics"][0] and contract.address.lower() == log["address"].lower():
                    return [(name, each) for each in contract.events(name, [log])]
        return []

    def _contracts(self) -> list[Contract]:
        core, book = self.core, self.book
        shared = [core.sub_accounts, core.cash, core.auction, core.security_module]
        own = [book.manager, book.lib, book.option, book.perp, book.spot_feed, book.vol_feed]
        coins = [each.asset for each in book.collaterals]
        return [*shared, core.auction_utils, *own, book.forward_feed, *coins]
