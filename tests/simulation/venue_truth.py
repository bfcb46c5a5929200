"""The simulated venue as its contracts would hold it: exact integers, and the logs of each change.

This is the world's own copy, written from the venue's rules and not from the keeper's folding: the
two are compared after every block. It must not know the keeper's tables.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from tests.simulation import places as on
from tests.simulation.places import WAD
from tests.simulation.venue_logs import Emitted, balance_adjusted, emitted, scenarios_updated


YEAR_S = 31_536_000
HOUR_S = 3_600
WINDOW_S = 1_800


class Reverts(Exception):
    """The venue refuses the call; nothing of it happened."""


def quotient(numerator: int, denominator: int) -> int:
    """Return the quotient truncated toward zero."""
    whole = abs(numerator) // abs(denominator)
    return whole if (numerator < 0) == (denominator < 0) else -whole


@dataclass
class Truth:
    """One state of the venue. Rows are tuples and never changed in place, so a fork is shallow."""

    now: int = on.GENESIS_S
    last_account: int = 0
    trades: int = 0
    managers: dict[int, str] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    cash: dict[int, int] = field(default_factory=dict)
    index: dict[int, int] = field(default_factory=dict)
    held: dict[tuple[int, str, int], int] = field(default_factory=dict)
    marks: dict[int, tuple[int, int, int, int]] = field(
        default_factory=dict
    )  # mark, fund, pnl, agg
    bank: dict[str, Any] = field(default_factory=dict)
    perp: dict[str, Any] = field(default_factory=dict)
    manager: dict[str, Any] = field(default_factory=dict)
    overrides: dict[int, str] = field(default_factory=dict)
    libs: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    coin: dict[str, tuple[bool, bool, int, int]] = field(default_factory=dict)
    scenarios: tuple[tuple[int, int, int], ...] = on.SCENARIOS
    rules: tuple[int, ...] = on.AUCTION_RULES
    listed: bool = True
    spots: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    diffs: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    forwards: dict[int, tuple[int, int, int, int, int]] = field(default_factory=dict)
    settled: dict[int, int] = field(default_factory=dict)
    vols: dict[int, tuple[int, ...]] = field(default_factory=dict)
    rates: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    auctions: dict[int, tuple[int, bool, int, int, int]] = field(default_factory=dict)
    logs: list[Emitted] = field(default_factory=list)

    def fork(self) -> "Truth":
        """Return an equal state that can go its own way, with no logs yet."""
        copies = {
            each.name: value.copy() if isinstance(value, dict) else value
            for each in fields(self)
            if (value := getattr(self, each.name)) is not None
        }
        return Truth(**{**copies, "logs": []})

    def emit(self, name: str, source: str, indexed: Iterable[Any], *data: Any) -> None:
        self.logs.append(emitted(name, source, tuple(indexed), *data))

    # ── accounts ──

    def create(self, owner: str, manager: str = on.MANAGER) -> int:
        """Open an account; its token is minted first."""
        self.last_account += 1
        account = self.last_account
        self.emit("Transfer", on.SUB_ACCOUNTS, (on.NOWHERE, owner, account))
        self.managers[account], self.owners[account] = manager, owner
        self.emit("AccountCreated", on.SUB_ACCOUNTS, (owner, account, manager))
        return account

    def hand_over(self, account: int, owner: str) -> None:
        """Give an account to another owner."""
        self.emit("Transfer", on.SUB_ACCOUNTS, (self.owners[account], owner, account))
        self.owners[account] = owner

    # ── cash ──

    def accrue(self) -> None:
        """Bring interest up to now (CashAsset._accrue)."""
        bank, elapsed = self.bank, self.now - self.bank["at"]
        if elapsed == 0:
            return
        bank["at"] = self.now
        borrow, supply = bank["borrow"], bank["supply"]
        if borrow == 0:
            return
        use = min(1.0, borrow / (supply + max(0, -bank["printed"]))) if supply else 0.0
        low, slope, high, kink = (each / WAD for each in on.RATES)
        rate = low + min(use, kink) * slope + max(0.0, use - kink) * high
        interest = borrow * int(math.expm1(rate * elapsed / YEAR_S) * WAD) // WAD
        fee = interest * bank["fee"] // WAD
        bank["borrow"] = borrow + interest
        bank["borrow_index"] = bank["borrow_index"] * ((borrow + interest) * WAD // borrow) // WAD
        if supply > 0:
            grown = supply + interest - fee
            bank["supply"] = grown
            bank["supply_index"] = bank["supply_index"] * (grown * WAD // supply) // WAD
        state = (bank["borrow_index"], bank["supply_index"], bank["supply"], bank["borrow"])
        self.emit("InterestAccrued", on.CASH, (), interest, *state)

    def with_interest(self, account: int) -> int:
        """Return an account's balance with interest up to the last accrual."""
        stored, index = self.cash.get(account, 0), self.index.get(account, 0)
        if stored == 0 or index == 0:
            return stored
        current = self.bank["borrow_index"] if stored < 0 else self.bank["supply_index"]
        return quotient(stored * current, index)

    def move_cash(self, account: int, amount: int) -> None:
        """Adjust an account's cash, its interest settled first."""
        self.accrue()
        stored, before = self.cash.get(account, 0), self.with_interest(account)
        after, bank = before + amount, self.bank
        index = bank["borrow_index"] if after < 0 else bank["supply_index"] if after > 0 else 0
        self.index[account] = index
        self.emit("InterestAccruedOnAccount", on.CASH, (account,), stored, before - stored, index)
        bank["supply"] = max(0, bank["supply"] + max(0, after) - max(0, before))
        bank["borrow"] = max(0, bank["borrow"] + max(0, -after) - max(0, -before))
        self.cash[account] = after
        self._adjusted((account, self.managers[account], on.CASH, 0), after - stored, stored)

    def print_cash(self, amount: int) -> None:
        """Note cash that a settlement made or burnt."""
        self.bank["printed"] += amount
        self.emit("SettledCashUpdated", on.CASH, (), amount, self.bank["printed"])

    def _adjusted(self, key: tuple[int, str, str, int], amount: int, pre: int) -> None:
        self.trades += 1
        self.logs.append(balance_adjusted(on.SUB_ACCOUNTS, key, amount, pre, self.trades))

    # ── positions ──

    def trade(self, account: int, asset: str, sub_id: int, amount: int) -> None:
        """Adjust a position; a perpetual's profit and funding go into cash first."""
        key = (account, asset, sub_id)
        pre = self.held.get(key, 0)
        if asset == on.PERP:
            self.settle_perp(account)
        self.held[key] = pre + amount
        if not self.held[key]:
            del self.held[key]
        self._adjusted((account, self.managers[account], asset, sub_id), amount, pre)

    def positions(self, account: int) -> list[tuple[str, int, int]]:
        """Return (asset, subId, quantity) of an account."""
        return [(a, sub, q) for (owner, a, sub), q in self.held.items() if owner == account]

    def realize(self, account: int) -> None:
        """Mark an account's perpetual to the price and book its funding (PerpAsset._realize)."""
        price = self.diff(on.PERP_FEED)[0]
        mark, funding, pnl, aggregated = self.marks.get(account, (0, 0, 0, 0))
        size = self.held.get((account, on.PERP, 0), 0)
        change = quotient((price - mark) * size, WAD) if size else 0
        self.emit("PositionSettled", on.PERP, (account,), change, pnl + change, price)
        self._fund()
        now = self.perp["aggregated"]
        due = -quotient(size * (now - aggregated), WAD) if size else 0
        self.emit("FundingAppliedOnAccount", on.PERP, (), account, due, now)
        self.marks[account] = (price, funding + due, pnl + change, now)

    def _fund(self) -> None:
        if self.now == self.perp["paid_at"]:
            return
        self.perp["aggregated"] = self.funding_due()
        self.perp["paid_at"] = self.now
        rate = self.funding_rate()
        self.emit("AggregatedFundingUpdated", on.PERP, (), self.perp["aggregated"], rate, self.now)

    def funding_rate(self) -> int:
        """Return the funding rate an hour."""
        spot, ask, bid = self.spot(on.SPOT)[0], self.diff(on.ASK)[0], self.diff(on.BID)[0]
        if ask < bid:
            raise Reverts("PA_InvalidImpactPrices")
        premium = quotient((max(bid - spot, 0) - max(spot - ask, 0)) * WAD, spot)
        tenfold = quotient(premium * WAD * 10, self.perp["convergence"])
        rate = quotient(tenfold + (-5 if tenfold < 0 else 5), 10) + self.perp["static"]
        return max(-self.perp["bound"], min(self.perp["bound"], rate))

    def funding_due(self) -> int:
        """Return the funding index as of now."""
        elapsed = self.now - self.perp["paid_at"]
        moved = quotient(self.funding_rate() * elapsed, HOUR_S)
        return int(self.perp["aggregated"]) + quotient(moved * self.spot(on.SPOT)[0], WAD)

    def settle_perp(self, account: int) -> None:
        """Move an account's profit and funding into its cash."""
        self.realize(account)
        mark, funding, pnl, aggregated = self.marks[account]
        self.marks[account] = (mark, 0, 0, aggregated)
        self.emit("PositionCleared", on.PERP, (account,))
        if funding + pnl:
            self.move_cash(account, funding + pnl)
            self.print_cash(funding + pnl)

    # ── quotes: what a read gives, or Reverts ──

    def _fresh(self, feed: str, timestamp: int) -> None:
        if timestamp + on.FEEDS[feed][1] < self.now:
            raise Reverts("BLF_DataTooOld")

    def spot(self, feed: str) -> tuple[int, int]:
        """Return (price, confidence)."""
        price, confidence, timestamp = self.spots[feed]
        self._fresh(feed, timestamp)
        return price, confidence

    def diff(self, feed: str) -> tuple[int, int]:
        """Return (price, confidence) of a difference feed."""
        base, trust = self.spot(on.FEEDS[feed][3])
        diff, confidence, timestamp = self.diffs[feed]
        self._fresh(feed, timestamp)
        cap = base * on.FEEDS[feed][4] // WAD
        return max(0, base + max(-cap, min(cap, diff))), min(trust, confidence)

    def forward(self, expiry: int) -> tuple[int, int, int]:
        """Return (fixed, variable, confidence)."""
        spot, trust = self.spot(on.SPOT)
        diff, confidence, timestamp, start, current = self.forwards[expiry]
        if timestamp != expiry:
            self._fresh(on.FORWARD, timestamp)
            late = timestamp + on.FEEDS[on.FORWARD][2] < self.now
            if self.now + WINDOW_S > expiry and late:
                raise Reverts("LFF_SettlementDataTooOld")
        fixed, variable = 0, max(0, spot + diff)
        if timestamp + WINDOW_S > expiry:
            fixed = (current - start) // WINDOW_S
            variable = variable * (expiry - timestamp) // WINDOW_S
        return fixed, variable, min(trust, confidence)

    def smile(self, expiry: int) -> tuple[int, ...]:
        """Return the smile's row."""
        self._fresh(on.VOL, self.vols[expiry][-1])
        return self.vols[expiry]

    def rate(self, expiry: int) -> tuple[int, int]:
        """Return (rate, confidence)."""
        rate, confidence, timestamp = self.rates[expiry]
        self._fresh(on.RATE, timestamp)
        return rate, confidence

    # ── quotes: what a post writes ──

    def post_spot(self, feed: str, price: int, confidence: int = WAD) -> None:
        self.spots[feed] = (price, confidence, self.now)
        self.emit("SpotPriceUpdated", feed, (), price, confidence, self.now)

    def post_diff(self, feed: str, diff: int, confidence: int = WAD) -> None:
        self.diffs[feed] = (diff, confidence, self.now)
        self.emit("SpotDiffUpdated", feed, (), diff, confidence, self.now)

    def post_forward(self, expiry: int, diff: int, confidence: int, spot: int) -> None:
        """Post a forward; in its last half hour with aggregates, at the end its settlement."""
        at = min(self.now, expiry)
        start = current = 0
        if at + WINDOW_S > expiry:
            start = spot * 7
            current = start + spot * (WINDOW_S - (expiry - at))
        old = self.forwards.get(expiry)
        kept = (start, current) if current or old is None else (old[3], old[4])
        self.forwards[expiry] = (diff, confidence, at, *kept)
        if at == expiry:
            self.settled[expiry] = (current - start) // WINDOW_S
        self.emit("ForwardDataUpdated", on.FORWARD, (expiry,), diff, confidence, at, start, current)

    def post_vol(self, expiry: int, smile: tuple[int, ...]) -> None:
        """Post a smile, up to its confidence; nobody can after the expiry."""
        self.vols[expiry] = (*smile, self.now)
        self.emit("VolDataUpdated", on.VOL, (expiry,), *smile, self.now)

    def post_rate(self, expiry: int, rate: int, confidence: int = WAD) -> None:
        self.rates[expiry] = (rate, confidence, self.now)
        self.emit("RateUpdated", on.RATE, (expiry,), rate, confidence, self.now)

    # ── rules ──

    def set_group(self, lib: str, group: str, row: tuple[int, ...]) -> None:
        """Write one group of a lib's parameters."""
        names = {
            "basis": "BasisContingencyParamsUpdated",
            "other": "OtherContingencyParamsUpdated",
            "margin": "MarginParamsUpdated",
            "vol_shock": "VolShockParamsUpdated",
            "skew": "SkewShockParamsUpdated",
        }
        self.libs[lib, group] = row
        self.emit(names[group], lib, (), *row)

    def set_scenarios(self, rows: tuple[tuple[int, int, int], ...]) -> None:
        self.scenarios = rows
        self.logs.append(scenarios_updated(on.MANAGER, rows))

    def override(self, account: int, lib: str) -> None:
        """Margin an account by another lib; NOWHERE takes it back."""
        if lib == on.NOWHERE:
            self.overrides.pop(account, None)
        else:
            self.overrides[account] = lib
        self.emit("LibOverrideUpdated", on.MANAGER, (account,), lib)

    def rewire_stable(self, feed: str) -> None:
        self.manager["stable"] = feed
        self.emit("StableFeedUpdated", on.MANAGER, (), feed)
