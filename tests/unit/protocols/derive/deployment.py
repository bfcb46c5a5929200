"""A deployment written straight into the tables: one ETH manager, fresh quotes, a few accounts.

Numbers are plain (1.0 = 1e18 on chain); each test changes the one row it is about.
"""

from typing import Any

from keeper.margin.book import Kind
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.tables import (
    DIFF,
    FORWARD,
    RATE,
    SPOT,
    VOL,
    AuctionRow,
    AuctionRulesRow,
    BasisRow,
    CashRow,
    CollateralRow,
    DeriveTables,
    DiffRow,
    FeedRow,
    ForwardRow,
    ManagerRow,
    MarginRow,
    OtherRow,
    PerpRow,
    RateModelRow,
    RateRow,
    ScenarioRow,
    SkewRow,
    SpotRow,
    VolRow,
    VolShockRow,
)
from keeper.protocols.derive.wiring import NOWHERE, DeriveConfig


def at(number: int) -> str:
    return f"0x{number:040x}"


SUB_ACCOUNTS, CASH, AUCTION, UTILS, MANAGER = at(1), at(2), at(3), at(4), at(5)
OPTION, PERP, COIN, LIB, OTHER_LIB, RATE_MODEL = at(6), at(7), at(8), at(9), at(10), at(11)
SPOT_FEED, STABLE_FEED, FORWARD_FEED, RATE_FEED, VOL_FEED = at(20), at(21), at(22), at(23), at(24)
PERP_FEED, ASK_FEED, BID_FEED, COIN_FEED = at(25), at(26), at(27), at(28)
ALICE, KEEPER = at(100), at(101)
NOW = 1_800_000_000
SOON, LATER = NOW + 7 * 86_400, NOW + 30 * 86_400
WAD = 10**18
UNDERLYING = "ETH"


def wad(value: float) -> int:
    return round(value * 10**9) * 10**9


def option_id(expiry: int, strike: float, call: bool) -> int:
    return expiry | (round(strike * 10**8) << 32) | (int(call) << 95)


def config(**changes: Any) -> DeriveConfig:
    fields: dict[str, Any] = {
        "sub_accounts": SUB_ACCOUNTS,
        "cash": CASH,
        "auction": AUCTION,
        "managers": (MANAGER,),
        "start_block": 1,
        "auction_utils": UTILS,
        "underlyings": (UNDERLYING,),
        "bidders": (90, 91),
    }
    return DeriveConfig(**{**fields, **changes})


class Deployment:
    """A venue with its tables open for writing."""

    def __init__(self, **changes: Any) -> None:
        self.portfolio = Portfolio()
        self.portfolio.undo.begin(1, "0x" + "11" * 32)
        self.venue = Derive(config(**changes), self.portfolio)
        self.tables: DeriveTables = self.venue.tables
        self._contracts()
        self._parameters()
        self.quotes(NOW)

    def account(
        self,
        account: int,
        cash: float = 0.0,
        *legs: tuple[Kind, int, float, float],
        owner: str = ALICE,
    ) -> int:
        """Open an account; a leg is (kind, expiry, strike, quantity)."""
        tables = self.tables
        tables.accounts.set(account, MANAGER)
        tables.owners.set(account, owner)
        row = tables.row(account)
        tables.cash.set(row, wad(cash))
        tables.cash_index.set(row, WAD)
        for kind, expiry, strike, quantity in legs:
            asset, sub_id = {Kind.PERPETUAL: PERP, Kind.BASE: COIN}.get(kind, OPTION), 0
            if asset == OPTION:
                sub_id = option_id(expiry, strike, kind == Kind.CALL)
            instrument = tables.instrument(MANAGER, asset, sub_id)
            self.portfolio.positions.set(row, instrument, wad(quantity))
        return row

    def auction(
        self, account: int, *, insolvent: bool = False, started_at: int = NOW, scenario: int = 0
    ) -> None:
        self.tables.auctions.set(account, AuctionRow(scenario, insolvent, started_at, 0, 0))

    def quotes(self, now: int, spot: float = 2_000.0) -> None:
        """Post every feed at `now`."""
        tables = self.tables
        tables.spots.set(SPOT_FEED, SpotRow(wad(spot), WAD, now))
        tables.spots.set(COIN_FEED, SpotRow(wad(spot), wad(0.9), now))
        tables.spots.set(STABLE_FEED, SpotRow(WAD, WAD, now))
        for feed, diff in ((PERP_FEED, 1.0), (ASK_FEED, 2.0), (BID_FEED, 1.0)):
            tables.diffs.set(feed, DiffRow(wad(diff), wad(0.95), now))
        for expiry in (SOON, LATER):
            self.expiry(expiry, now)

    def expiry(self, expiry: int, now: int) -> None:
        tables = self.tables
        forward = ForwardRow(wad(5.0), wad(0.98), now, 0, 0)
        tables.forwards.set((FORWARD_FEED, expiry), forward)
        tables.rates.set((RATE_FEED, expiry), RateRow(wad(0.04), wad(0.97), now))
        smile = map(wad, (0.01, 0.05, -0.1, 0.0, 0.1, 2_000.0, 0.08, 0.96))
        tables.vols.set((VOL_FEED, expiry), VolRow._make((*smile, now)))

    def _contracts(self) -> None:
        tables = self.tables
        row = (SPOT_FEED, STABLE_FEED, FORWARD_FEED, RATE_FEED, VOL_FEED)
        tables.managers.set(
            MANAGER, ManagerRow(UNDERLYING, OPTION, PERP, LIB, *row, 128, 11, False)
        )
        tables.whitelist.set(MANAGER, True)
        for feed in (SPOT_FEED, STABLE_FEED, COIN_FEED):
            tables.feeds.set(feed, FeedRow(SPOT, 180, 0, NOWHERE, 0))
        for feed in (PERP_FEED, ASK_FEED, BID_FEED):
            tables.feeds.set(feed, FeedRow(DIFF, 900, 0, SPOT_FEED, wad(0.06)))
        tables.feeds.set(FORWARD_FEED, FeedRow(FORWARD, 3_600, 180, SPOT_FEED, 0))
        tables.feeds.set(RATE_FEED, FeedRow(RATE, 43_200, 0, NOWHERE, 0))
        tables.feeds.set(VOL_FEED, FeedRow(VOL, 1_200, 0, NOWHERE, 0))
        tables.collateral_feeds.set((MANAGER, COIN), COIN_FEED)
        funding = (0, NOW, 8 * WAD, wad(0.004), -wad(0.004), wad(0.0000125))
        feeds = (SPOT_FEED, PERP_FEED, ASK_FEED, BID_FEED)
        tables.perps.set(PERP, PerpRow(*funding, False, 0, *feeds))
        indexes = (wad(1e6), wad(5e5), WAD, WAD, NOW, 0, wad(0.2), 0, False)
        tables.cash_state.set(CASH, CashRow(*indexes, RATE_MODEL))
        tables.rate_models.set(RATE_MODEL, RateModelRow(*map(wad, (0.02, 0.08, 0.9, 0.85))))
        rules = (*map(wad, (0.95, 0.7)), 900, 43_200, 3_600, *map(wad, (0.1, 0.15, 0.0)), 1)
        tables.auction_rules.set(AUCTION, AuctionRulesRow(*rules))

    def _parameters(self) -> None:
        self.lib(LIB)
        shocks = ((1.15, 1), (1.0, 0), (0.85, 1), (0.85, 0))
        for index, (spot, vol) in enumerate(shocks):
            self.tables.scenarios.set((MANAGER, index), ScenarioRow(wad(spot), vol, WAD))

    def lib(self, lib: str) -> None:
        """Write a lib's parameters."""
        tables = self.tables
        tables.basis.set(lib, BasisRow(*map(wad, (1.045, 0.955, 0.5, 2.0))))
        other = (0.99, 4.0, 0.55, 1.0, 0.03, 0.01, 0.003, 0.002)
        tables.other.set(lib, OtherRow(*map(wad, other)))
        margin = (1.0, 0.8, 0.0, 0.0, 0.16, 0.16, 1.05, 0.95)
        tables.margin.set(lib, MarginRow(*map(wad, margin)))
        shock = (*map(wad, (0.5, 0.3, 0.3, 0.13)), 86_400, wad(0.4))
        tables.vol_shock.set(lib, VolShockRow(*shock))
        skew = (0.25, 0.25, -0.1, -0.1, 0.01, 4.0, 0.6, 0.0)
        tables.skew.set(lib, SkewRow(*map(wad, skew)))
        tables.collaterals.set((lib, COIN), CollateralRow(True, True, wad(0.02), wad(0.01)))
