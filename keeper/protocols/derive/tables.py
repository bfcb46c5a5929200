"""What we hold of one Derive v2 deployment: its tables and columns, exact integers, undoable.

Rows mirror chain storage in 18 decimals, seconds and lower-case addresses. This module knows no
event and computes nothing; `fold` and `snapshot` write the rows, the model reads them.
"""

from typing import Any, NamedTuple

from keeper.domain.units import AccountId, Address
from keeper.margin.book import Kind
from keeper.market.quotes import Quote
from keeper.portfolio.columns import Column
from keeper.portfolio.instruments import Instrument
from keeper.portfolio.state import Portfolio
from keeper.portfolio.tables import Table
from keeper.protocols.derive.wiring import DeriveConfig


# What stands behind a feed's address; a static feed has no heartbeat and never grows old.
SPOT, DIFF, FORWARD, VOL, RATE = "spot", "diff", "forward", "vol", "rate"
STATIC_SPOT, STATIC_DIFF, STATIC_RATE = "static_spot", "static_diff", "static_rate"

STRIKE_UNIT = 10**10  # a subId carries strikes in 8 decimals
KIND_RANK = {Kind.CALL: 0, Kind.PUT: 0, Kind.PERPETUAL: 1, Kind.BASE: 2}


class CashRow(NamedTuple):
    """CashAsset: totals, indexes and fees. `accrued_at` is 0 while nothing is borrowed."""

    supply: int  # totalSupply
    borrow: int  # totalBorrow
    borrow_index: int
    supply_index: int
    accrued_at: int  # lastTimestamp
    printed: int  # netSettledCash, signed
    fee: int  # smFeePercentage
    fee_before: int  # previousSmFeePercentage
    fee_forced: bool  # temporaryWithdrawFeeEnabled
    rate_model: Address


class RateModelRow(NamedTuple):
    """The borrow rate as a kinked line in utilisation; rates a year."""

    minimum: int
    slope: int  # rateMultiplier
    high_slope: int  # highRateMultiplier
    optimal: int  # optimalUtil


class ManagerRow(NamedTuple):
    """One PMRM_2(_1): what it holds and where it reads; NOWHERE for what it has not."""

    underlying: str
    option: Address
    perp: Address
    lib: Address
    spot_feed: Address
    stable_feed: Address
    forward_feed: Address
    rate_feed: Address  # interestRateFeed
    vol_feed: Address
    account_size_max: int
    expiries_max: int
    paused: bool


class BasisRow(NamedTuple):
    """Basis contingency of a lib, getter order."""

    spot_up: int
    spot_down: int
    add_factor: int
    mult_factor: int


class OtherRow(NamedTuple):
    """Other contingencies of a lib, getter order."""

    peg_loss_threshold: int
    peg_loss_factor: int
    confidence_threshold: int
    confidence_margin: int
    mm_perp: int
    im_perp: int
    mm_option: int
    im_option: int


class MarginRow(NamedTuple):
    """Margin factors and static discounts of a lib, getter order."""

    im_factor: int
    mm_factor: int
    short_rate_mult: int
    long_rate_mult: int
    short_rate_add: int
    long_rate_add: int
    short_base_discount: int
    long_base_discount: int


class VolShockRow(NamedTuple):
    """Volatility shocks of a lib, getter order; `dte_floor_s` is in plain seconds."""

    range_up: int
    range_down: int
    short_power: int
    long_power: int
    dte_floor_s: int
    vol_up_min: int


class SkewRow(NamedTuple):
    """Skew shocks of a lib, getter order."""

    linear_base_cap: int
    abs_base_cap: int
    linear_c_base: int
    abs_c_base: int
    k_star_min: int
    width_scale: int
    vol_param_static: int
    vol_param_scale: int


class ScenarioRow(NamedTuple):
    """One scenario: spot multiplier, vol shock (None 0, Up 1, Down 2, Linear 3, Abs 4), damping."""

    spot: int
    vol: int
    damp: int


class CollateralRow(NamedTuple):
    """How a lib treats one collateral."""

    enabled: bool
    risk_cancelling: bool
    mm_haircut: int
    im_haircut: int


class PerpRow(NamedTuple):
    """A PerpAsset's funding and feeds; rates an hour, `convergence` in hours."""

    aggregated: int  # aggregatedFunding
    paid_at: int  # lastFundingPaidAt
    convergence: int
    rate_max: int
    rate_min: int
    rate_static: int
    disabled: bool
    frozen_price: int
    spot_feed: Address
    perp_feed: Address
    ask_feed: Address
    bid_feed: Address


class FeedRow(NamedTuple):
    """A feed's rules: kind, age it may reach, the spot it is a difference to, the cap on that."""

    kind: str
    heartbeat_s: int
    settlement_heartbeat_s: int
    spot_feed: Address
    diff_cap: int  # share of spot


class SpotRow(NamedTuple):
    """The last spot of a feed; `timestamp` is 0 for a static feed."""

    price: int
    confidence: int
    timestamp: int


class DiffRow(NamedTuple):
    """The last difference to spot of a feed; `timestamp` is 0 for a static feed."""

    diff: int
    confidence: int
    timestamp: int


class ForwardRow(NamedTuple):
    """The last forward of an expiry; aggregates are 0 before the settlement window."""

    diff: int  # to spot
    confidence: int
    timestamp: int
    start_aggregate: int
    current_aggregate: int


class VolRow(NamedTuple):
    """The last SVI smile of an expiry."""

    a: int
    b: int
    rho: int
    m: int
    sigma: int
    forward: int
    tau: int
    confidence: int
    timestamp: int


class RateRow(NamedTuple):
    """The last interest rate of an expiry; a static feed has one, at expiry 0."""

    rate: int
    confidence: int
    timestamp: int


class AuctionRow(NamedTuple):
    """One live auction."""

    scenario: int
    insolvent: bool
    started_at: int
    cached_mm: int  # -MM at the insolvent start, 0 while solvent
    reserved: int  # reservedCash


class AuctionRulesRow(NamedTuple):
    """DutchAuction's parameters in getter order, then the cutoff and the security module."""

    starting_mtm: int
    fast_cutoff: int
    fast_s: int
    slow_s: int
    insolvent_s: int
    fee_rate: int
    buffer: int
    mtm_cutoff: int
    security_account: AccountId


class DeriveTables:
    """All tables and columns of one deployment, made on a portfolio; holds no other state.

    Cash and its interest index are kept for every account, supported or not; positions and the
    perpetual's columns for accounts under a served manager only: each holds one perpetual at most.
    """

    def __init__(self, portfolio: Portfolio, config: DeriveConfig) -> None:
        self.portfolio = portfolio
        self.config = config
        self.name = name = config.name
        self._instrument: dict[tuple[Address, Address, int], int] = {}
        self._members: tuple[int, dict[Address, tuple[AccountId, ...]]] = (-1, {})
        self._accounts(portfolio, name)
        self._contracts(portfolio, name)
        self._parameters(portfolio, name)
        self._quotes(portfolio, name)

    def _accounts(self, portfolio: Portfolio, name: str) -> None:
        """Make what says who accounts are, and what they hold besides positions."""
        self.accounts: Table[AccountId, Address] = portfolio.table(f"{name}.accounts", str)
        self.owners: Table[AccountId, Address] = portfolio.table(f"{name}.owners", str)
        self.unsupported: Table[Address, int] = portfolio.table(f"{name}.unsupported", int)
        self.overrides: Table[AccountId, Address] = portfolio.table(f"{name}.overrides", str)
        self.auctions: Table[AccountId, AuctionRow] = portfolio.table(
            f"{name}.auctions", AuctionRow
        )
        self.cash: Column = portfolio.column(f"{name}.cash")  # as stored
        self.cash_index: Column = portfolio.column(f"{name}.cash_index")  # accountIdIndex
        self.perp_mark: Column = portfolio.column(f"{name}.perp_mark")  # lastMarkPrice
        self.perp_funding: Column = portfolio.column(f"{name}.perp_funding")
        self.perp_pnl: Column = portfolio.column(f"{name}.perp_pnl")
        self.perp_aggregated: Column = portfolio.column(f"{name}.perp_aggregated")

    def _contracts(self, portfolio: Portfolio, name: str) -> None:
        """Make the contracts' tables, by address."""
        self.cash_state: Table[Address, CashRow] = portfolio.table(f"{name}.cash_state", CashRow)
        self.rate_models: Table[Address, RateModelRow] = portfolio.table(
            f"{name}.rate_models", RateModelRow
        )
        self.managers: Table[Address, ManagerRow] = portfolio.table(f"{name}.managers", ManagerRow)
        self.whitelist: Table[Address, bool] = portfolio.table(f"{name}.whitelist", bool)
        self.perps: Table[Address, PerpRow] = portfolio.table(f"{name}.perps", PerpRow)
        self.auction_rules: Table[Address, AuctionRulesRow] = portfolio.table(
            f"{name}.auction_rules", AuctionRulesRow
        )
        # What changed on chain in a way that only a new snapshot can read: manager -> changes.
        self.unread: Table[Address, int] = portfolio.table(f"{name}.unread", int)

    def _parameters(self, portfolio: Portfolio, name: str) -> None:
        """Make margin's parameters: by lib, scenarios by (manager, index)."""
        self.basis: Table[Address, BasisRow] = portfolio.table(f"{name}.basis", BasisRow)
        self.other: Table[Address, OtherRow] = portfolio.table(f"{name}.other", OtherRow)
        self.margin: Table[Address, MarginRow] = portfolio.table(f"{name}.margin", MarginRow)
        self.vol_shock: Table[Address, VolShockRow] = portfolio.table(
            f"{name}.vol_shock", VolShockRow
        )
        self.skew: Table[Address, SkewRow] = portfolio.table(f"{name}.skew", SkewRow)
        self.scenarios: Table[tuple[Address, int], ScenarioRow] = portfolio.table(
            f"{name}.scenarios", ScenarioRow
        )
        self.collaterals: Table[tuple[Address, Address], CollateralRow] = portfolio.table(
            f"{name}.collaterals", CollateralRow
        )  # by (lib, asset)
        self.collateral_feeds: Table[tuple[Address, Address], Address] = portfolio.table(
            f"{name}.collateral_feeds", str
        )  # by (manager, asset)

    def _quotes(self, portfolio: Portfolio, name: str) -> None:
        """Make feeds by address, and what they last said: by address or (address, expiry)."""
        self.feeds: Table[Address, FeedRow] = portfolio.table(f"{name}.feeds", FeedRow)
        self.spots: Table[Address, SpotRow] = portfolio.table(f"{name}.spots", SpotRow)
        self.diffs: Table[Address, DiffRow] = portfolio.table(f"{name}.diffs", DiffRow)
        self.forwards: Table[tuple[Address, int], ForwardRow] = portfolio.table(
            f"{name}.forwards", ForwardRow
        )
        self.settled: Table[tuple[Address, int], int] = portfolio.table(f"{name}.settled", int)
        self.vols: Table[tuple[Address, int], VolRow] = portfolio.table(f"{name}.vols", VolRow)
        self.rates: Table[tuple[Address, int], RateRow] = portfolio.table(f"{name}.rates", RateRow)
        self.doubts: Table[Address, Quote] = portfolio.table(f"{name}.doubts_history", Quote)

    @property
    def lib_tables(self) -> tuple[Table[Any, Any], ...]:
        """The tables of what margin is computed by: parameters of libs, collaterals, scenarios."""
        return (
            self.basis,
            self.other,
            self.margin,
            self.vol_shock,
            self.skew,
            self.scenarios,
            self.collaterals,
        )

    def row(self, account: AccountId) -> int:
        """Return the account's row in positions and columns."""
        return self.portfolio.accounts.row(self.name, account)

    def manager_of(self, account: AccountId) -> ManagerRow | None:
        """Return the served manager the account stands under, None where it is not served."""
        address = self.accounts.get(account)
        return None if address is None else self.managers.get(address)

    def members(self, manager: Address) -> tuple[AccountId, ...]:
        """Return the accounts under a manager, ascending."""
        if self._members[0] != self.accounts.version:
            by_manager: dict[Address, list[AccountId]] = {}
            for account, address in self.accounts.items():
                by_manager.setdefault(address, []).append(account)
            frozen = {address: tuple(ids) for address, ids in by_manager.items()}
            self._members = (self.accounts.version, frozen)
        return self._members[1].get(manager, ())

    def lib_of(self, account: AccountId, manager: ManagerRow) -> Address:
        """Return the lib whose parameters margin the account."""
        return self.overrides.get(account) or manager.lib

    def instrument(self, manager: Address, asset: Address, sub_id: int) -> int:
        """Return the instrument row of what an account under a served manager holds.

        The asset is not cash. What is neither the manager's option nor its perpetual is a
        collateral. Raises KeyError where the manager is not served.
        """
        key = (manager, asset, sub_id)
        row = self._instrument.get(key)
        if row is None:
            held = listed(self.name, self.managers[manager], asset, sub_id)
            row = self._instrument[key] = self.portfolio.instruments.row(held)
        return row


def listed(venue: str, manager: ManagerRow, asset: Address, sub_id: int) -> Instrument:
    """Return (asset, subId) under a manager as an instrument."""
    expiry = strike = 0
    if asset == manager.option:
        kind = Kind.CALL if sub_id >> 95 else Kind.PUT
        expiry = sub_id & 0xFFFFFFFF
        strike = (sub_id >> 32 & (1 << 63) - 1) * STRIKE_UNIT
    elif asset == manager.perp:
        kind = Kind.PERPETUAL
    else:
        kind = Kind.BASE
    return Instrument(
        venue, manager.underlying, KIND_RANK[kind], expiry, strike, int(kind), asset, sub_id
    )
