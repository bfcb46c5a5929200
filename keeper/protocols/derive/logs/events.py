"""What happened on the venue: one class an event that moves state of ours, past tense.

`source` is the contract that spoke; the same event of another contract means another thing, and
it is `fold` that knows which contract is what. Numbers are as on chain.
"""

from typing import NamedTuple

from keeper.domain.units import AccountId, Address
from keeper.protocols.derive.tables import (
    BasisRow,
    CollateralRow,
    ForwardRow,
    MarginRow,
    OtherRow,
    ScenarioRow,
    SkewRow,
    VolRow,
    VolShockRow,
)


# ── SubAccounts ──


class AccountCreated(NamedTuple):
    """An account was opened under a manager, for good."""

    source: Address
    owner: Address
    account: AccountId
    manager: Address


class OwnerChanged(NamedTuple):
    """An account's token moved (also at its creation)."""

    source: Address
    account: AccountId
    owner: Address


class BalanceAdjusted(NamedTuple):
    """A balance was written."""

    source: Address
    account: AccountId
    manager: Address
    asset: Address
    sub_id: int
    after: int


# ── CashAsset ──


class InterestAccrued(NamedTuple):
    """Totals and indexes moved with time."""

    source: Address
    borrow_index: int
    supply_index: int
    supply: int
    borrow: int


class AccountInterestAccrued(NamedTuple):
    """An account's interest was settled; its BalanceAdjusted follows."""

    source: Address
    account: AccountId
    before: int
    interest: int
    account_index: int


class CashPrinted(NamedTuple):
    """The net cash that managers printed changed."""

    source: Address
    total: int


class FeeSet(NamedTuple):
    """The security module's share of interest was set."""

    source: Address
    fee: int


class RateModelChanged(NamedTuple):
    """Another contract computes the borrow rate."""

    source: Address
    model: Address


class WithdrawFeeEnabled(NamedTuple):
    """Cash is worth less than its token after a socialised loss."""

    source: Address
    rate: int


class WithdrawFeeDisabled(NamedTuple):
    """Somebody asked to end the withdraw fee; told also when nothing changed."""

    source: Address
    rate: int


# ── PerpAsset ──


class PositionSettled(NamedTuple):
    """An account's profit was marked to a price."""

    source: Address
    account: AccountId
    pnl: int
    price: int


class FundingApplied(NamedTuple):
    """An account's funding was booked up to an index."""

    source: Address
    account: AccountId
    funding: int
    aggregated: int


class PositionCleared(NamedTuple):
    """An account's profit and funding went into cash."""

    source: Address
    account: AccountId


class FundingAggregated(NamedTuple):
    """The funding index moved."""

    source: Address
    aggregated: int
    paid_at: int


class RateBoundsSet(NamedTuple):
    """The funding rate is clamped to +- this, an hour."""

    source: Address
    rate: int


class StaticRateSet(NamedTuple):
    """The constant part of the funding rate was set, an hour."""

    source: Address
    rate: int


class ConvergenceSet(NamedTuple):
    """The hours over which the premium is paid were set."""

    source: Address
    period: int


class PerpDisabled(NamedTuple):
    """The perpetual was stopped at a price."""

    source: Address
    price: int
    aggregated: int


# ── wiring of managers, perpetuals and feeds ──


class FeedRewired(NamedTuple):
    """`role` (spot, stable, forward, vol, rate, perp) is now read from another contract."""

    source: Address
    role: str
    feed: Address


class ImpactFeedsRewired(NamedTuple):
    """Impact prices are now read from other contracts."""

    source: Address
    ask: Address
    bid: Address


class CollateralFeedSet(NamedTuple):
    """A collateral's price is now read from this contract."""

    source: Address
    asset: Address
    feed: Address


# ── feeds ──


class SpotPosted(NamedTuple):
    """A spot; timestamp 0 where the feed is static."""

    source: Address
    price: int
    confidence: int
    timestamp: int


class DiffPosted(NamedTuple):
    """A difference to spot; timestamp 0 where the feed is static."""

    source: Address
    diff: int
    confidence: int
    timestamp: int


class DiffCapSet(NamedTuple):
    """A difference is clamped to +- this share of spot."""

    source: Address
    cap: int


class SettlementHeartbeatSet(NamedTuple):
    """How old a forward may be in the half hour before its expiry."""

    source: Address
    seconds: int


class ForwardPosted(NamedTuple):
    """A forward of an expiry; its aggregates are 0 outside the settlement window."""

    source: Address
    expiry: int
    row: ForwardRow


class VolPosted(NamedTuple):
    """A smile of an expiry."""

    source: Address
    expiry: int
    row: VolRow


class RatePosted(NamedTuple):
    """An interest rate of an expiry; expiry and timestamp 0 where the feed is static."""

    source: Address
    expiry: int
    rate: int
    confidence: int
    timestamp: int


# ── managers and libs ──


class ScenariosSet(NamedTuple):
    """The whole list of scenarios was replaced."""

    source: Address
    scenarios: tuple[ScenarioRow, ...]


class LibOverridden(NamedTuple):
    """An account is margined by another lib; the zero address takes it back."""

    source: Address
    account: AccountId
    lib: Address


class AccountSizeMaxSet(NamedTuple):
    """The most assets an account may hold."""

    source: Address
    most: int


class ExpiriesMaxSet(NamedTuple):
    """The most expiries an account may hold."""

    source: Address
    most: int


class AdjustmentsPausedSet(NamedTuple):
    """Trading under a manager was stopped or resumed."""

    source: Address
    paused: bool


class ParametersSet(NamedTuple):
    """One group of a lib's parameters; its row's class says which."""

    source: Address
    row: BasisRow | OtherRow | MarginRow | VolShockRow | SkewRow


class CollateralSet(NamedTuple):
    """How a lib treats a collateral."""

    source: Address
    asset: Address
    row: CollateralRow


# ── DutchAuction ──


class SolventAuctionStarted(NamedTuple):
    """An account in breach is for sale."""

    source: Address
    account: AccountId
    scenario: int


class InsolventAuctionStarted(NamedTuple):
    """Bidders are paid to take an account: a start, or the conversion of a solvent auction."""

    source: Address
    account: AccountId
    scenario: int
    mm: int


class BidWon(NamedTuple):
    """Part of an account was sold; in the bid that ends an auction AuctionEnded came first."""

    source: Address
    account: AccountId
    paid: int


class AuctionEnded(NamedTuple):
    """An auction is over."""

    source: Address
    account: AccountId


class ScenarioUpdated(NamedTuple):
    """An auction runs under another scenario."""

    source: Address
    account: AccountId
    scenario: int


class AuctionRulesSet(NamedTuple):
    """The auction's seven parameters, getter order."""

    source: Address
    rules: tuple[int, ...]


class MtmCutoffSet(NamedTuple):
    """Below this equity a bid may take everything."""

    source: Address
    cutoff: int


class ManagerWhitelisted(NamedTuple):
    """A manager's accounts may, or may no longer, be auctioned."""

    source: Address
    manager: Address
    allowed: bool


class SecurityAccountSet(NamedTuple):
    """The security module's account."""

    source: Address
    account: AccountId
