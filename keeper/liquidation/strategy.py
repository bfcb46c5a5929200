"""The strategy socket: what a searcher's policy may see, and what it may want.

Strategies import this module and `keeper.domain`, nothing else of the keeper. They are pure: no
clock, no network, no chance; the same opportunities and stock give the same proposals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from keeper.domain.units import AccountId, Address
from keeper.liquidation.mechanisms.dutch_auction import Auction


class Service(StrEnum):
    """What can be done about an account, and, the last, for a venue's feeds: no strategy's."""

    START = "start"
    BID = "bid"
    TERMINATE = "terminate"
    CONVERT = "convert"
    UPDATE_SCENARIO = "update_scenario"
    SETTLE_OPTIONS = "settle_options"
    PUSH_FEEDS = "push_feeds"


@dataclass(frozen=True, slots=True)
class Greeks:
    """Net sensitivities of an account: coins, coins a USD, USD per 1.0 of vol, USD a year."""

    delta: float
    gamma: float
    vega: float
    theta: float


@dataclass(frozen=True, slots=True)
class Opportunity:
    """An account that something can be done about, with all a strategy may look at.

    Money is USD on accrued cash. `excess_usd` < 0 is a breach, `equity_usd` < 0 insolvent.
    `worst` is the worst scenario's index, `worst == scenarios` the add-on scenario without one;
    `scenario` is the index to hand to the chain. `ladder` is P&L by scenario, add-on last.
    `services` lists what the venue would accept now. `auction` is None where none is live.
    `gas` estimates each service's gas in the order of `services`.
    """

    venue: str
    account: AccountId
    underlying: str
    services: tuple[Service, ...]
    gas: tuple[int, ...]
    equity_usd: float
    excess_usd: float
    gross_usd: float
    worst: int
    scenario: int
    ladder: tuple[float, ...]
    greeks: Greeks
    positions: int
    auction: Auction | None
    suspect: bool  # a quote behind it is absurd: starts go on, bids stop
    at_s: int  # timestamp of the block it was seen on


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What serving an opportunity would save, earn, risk and use, USD and gas."""

    service: Service
    loss_saved_usd: float
    profit_usd: float
    risk_usd: float
    gas: int


@dataclass(frozen=True, slots=True)
class Bidder:
    """One of our own sub-accounts that may bid; only its owner can send for it.

    `ready` is False while it holds anything but cash (it cannot bid directly then).
    """

    account: AccountId
    owner: Address
    underlying: str
    cash_usd: float
    ready: bool


class Stock:
    """What is left to spend in this block: debited after each proposal, from the top."""

    def __init__(
        self, bidders: Sequence[Bidder], gas_price_wei: int, gas_token_usd: float, commands: int
    ) -> None:
        self._bidders = {bidder.account: bidder for bidder in bidders}
        self._cash = {bidder.account: bidder.cash_usd for bidder in bidders}
        self._used: dict[AccountId, None] = {}
        self.gas_price_wei = gas_price_wei
        self.gas_token_usd = gas_token_usd
        self.commands = commands

    def gas_usd(self, gas: int) -> float:
        """Return what this much gas costs at the block's price."""
        return gas * self.gas_price_wei / 10**18 * self.gas_token_usd

    def bidders(self, underlying: str) -> list[tuple[Bidder, float]]:
        """Return (bidder, cash left) under an underlying's manager, most cash first."""
        mine = [
            (bidder, self._cash[account])
            for account, bidder in self._bidders.items()
            if bidder.underlying == underlying
        ]
        return sorted(mine, key=lambda pair: (-pair[1], pair[0].account))

    def used(self, account: AccountId) -> bool:
        """Tell whether a bidder was already promised to a direct bid in this block."""
        return account in self._used

    def debit(self, proposal: "Proposal") -> None:
        """Take a proposal's cash and its bidder out of the stock."""
        self.commands -= 1
        if proposal.bidder is not None:
            self._cash[proposal.bidder] -= proposal.cash_usd
            self._used[proposal.bidder] = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a strategy wants done about one opportunity.

    For a bid: `fraction` of the account, `price_limit_usd` the most we pay (negative: the least
    we must receive), `bidder` the own account that pays, `cash_usd` what moves in with it, and
    `through_helper` to bid through the venue's helper that opens a fresh account in the bid.
    `hurried` asks to be sent while it is still being tried, which loses gas where it then reverts;
    granted only by `[preflight] mode = "parallel"`, within its budget.
    """

    service: Service
    fraction: float = 1.0
    price_limit_usd: float = 0.0
    bidder: AccountId | None = None
    cash_usd: float = 0.0
    through_helper: bool = False
    hurried: bool = False


class Strategy(Protocol):
    """An operator's or a searcher's policy: appraise all, then propose from the top."""

    @property
    def name(self) -> str:
        """Return the name for logs and metrics."""

    def appraise(self, opportunity: Opportunity, stock: Stock) -> Appraisal | None:
        """Return what serving it is worth, None to leave it alone."""

    def propose(
        self, opportunity: Opportunity, appraisal: Appraisal, stock: Stock
    ) -> Proposal | None:
        """Return what to do with the stock that is left, None to wait."""
