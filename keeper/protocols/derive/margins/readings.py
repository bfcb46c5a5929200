"""What a feed would answer in a block with this timestamp: a value, or a revert (None).

As the feeds stand, or as signed data that an action brings would leave them. Exact integers in 18
decimals, as the chain computes them. Knows the tables of feeds; must not know accounts or margin.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from keeper.domain.units import WAD, Address
from keeper.protocols.derive.tables import (
    STATIC_DIFF,
    STATIC_RATE,
    STATIC_SPOT,
    DeriveTables,
    DiffRow,
    FeedRow,
    ForwardRow,
    PerpRow,
    RateRow,
    SpotRow,
    VolRow,
)


SETTLEMENT_WINDOW_S = 1_800

Row = SpotRow | DiffRow | ForwardRow | VolRow | RateRow


class Reading(NamedTuple):
    """A value and the confidence in it."""

    value: int
    confidence: int


class Forward(NamedTuple):
    """A forward in two parts: what spot can no longer move, and what it still moves."""

    fixed: int
    variable: int
    confidence: int


class Readings:
    """The feeds of one deployment as a block at `now` would read them."""

    def __init__(
        self,
        tables: DeriveTables,
        now: int,
        ahead: Mapping[tuple[Address, int], Any] | None = None,
    ) -> None:
        self._tables = tables
        self._ahead = ahead or {}  # rows by (feed, expiry) in the place of what the tables hold
        self.now = now

    def spot(self, feed: Address) -> Reading | None:
        """Return a spot feed's price, None where reading it reverts."""
        rules, row = self._tables.feeds.get(feed), self.spot_row(feed)
        if rules is None or row is None:
            return None
        if rules.kind != STATIC_SPOT and not self._fresh(row.timestamp, rules):
            return None
        return Reading(row.price, row.confidence)

    def diff(self, feed: Address) -> Reading | None:
        """Return spot plus a feed's capped difference to it, None where reading it reverts."""
        rules, row = self._tables.feeds.get(feed), self.diff_row(feed)
        spot = None if rules is None else self.spot(rules.spot_feed)
        if rules is None or row is None or spot is None:
            return None
        confidence = min(spot.confidence, row.confidence)
        if rules.kind == STATIC_DIFF:
            return Reading(spot.value + row.diff, confidence)
        if not self._fresh(row.timestamp, rules):
            return None
        cap = spot.value * rules.diff_cap // WAD
        moved = spot.value + max(-cap, min(cap, row.diff))
        return Reading(max(0, moved), confidence)

    def perp(self, row: PerpRow) -> Reading | None:
        """Return a perpetual's price, None where reading it reverts."""
        if row.disabled:
            return Reading(row.frozen_price, WAD)
        return self.diff(row.perp_feed)

    def forward(self, feed: Address, expiry: int) -> Forward | None:
        """Return an expiry's forward, None where reading it reverts.

        In the half hour before the expiry the data must be younger than usual, and the share of
        the window that they cover is fixed: by the time of the data, not of the block.
        """
        rules, row = self._tables.feeds.get(feed), self.forward_row(feed, expiry)
        spot = None if rules is None else self.spot(rules.spot_feed)
        if rules is None or row is None or spot is None:
            return None
        if row.timestamp != expiry:
            settling = self.now + SETTLEMENT_WINDOW_S > expiry
            late = row.timestamp + rules.settlement_heartbeat_s < self.now
            if not self._fresh(row.timestamp, rules) or (settling and late):
                return None
        fixed, variable = 0, max(0, spot.value + row.diff)
        if row.timestamp + SETTLEMENT_WINDOW_S > expiry:
            fixed = (row.current_aggregate - row.start_aggregate) // SETTLEMENT_WINDOW_S
            variable = variable * (expiry - row.timestamp) // SETTLEMENT_WINDOW_S
        return Forward(fixed, variable, min(spot.confidence, row.confidence))

    def smile(self, feed: Address, expiry: int) -> VolRow | None:
        """Return an expiry's smile, None where reading it reverts."""
        rules, row = self._tables.feeds.get(feed), self.vol_row(feed, expiry)
        if rules is None or row is None or not self._fresh(row.timestamp, rules):
            return None
        return row

    def rate(self, feed: Address, expiry: int) -> Reading | None:
        """Return an expiry's interest rate, signed, None where reading it reverts."""
        rules = self._tables.feeds.get(feed)
        if rules is None:
            return None
        static = rules.kind == STATIC_RATE
        row = self.rate_row(feed, 0 if static else expiry)
        if row is None or not (static or self._fresh(row.timestamp, rules)):
            return None
        return Reading(row.rate, row.confidence)

    def row(self, kind: str, feed: Address, expiry: int) -> Row | None:
        """Return what a feed of a kind holds; `expiry` is 0 for one that has none."""
        match kind:
            case "spot" | "static_spot":
                return self.spot_row(feed)
            case "diff" | "static_diff":
                return self.diff_row(feed)
            case "forward":
                return self.forward_row(feed, expiry)
            case "vol":
                return self.vol_row(feed, expiry)
        return self.rate_row(feed, 0 if kind == STATIC_RATE else expiry)

    def spot_row(self, feed: Address) -> SpotRow | None:
        """Return what a spot feed holds."""
        return self._ahead.get((feed, 0)) or self._tables.spots.get(feed)

    def diff_row(self, feed: Address) -> DiffRow | None:
        """Return what a feed of differences to spot holds."""
        return self._ahead.get((feed, 0)) or self._tables.diffs.get(feed)

    def forward_row(self, feed: Address, expiry: int) -> ForwardRow | None:
        """Return what a forward feed holds of an expiry."""
        return self._ahead.get((feed, expiry)) or self._tables.forwards.get((feed, expiry))

    def vol_row(self, feed: Address, expiry: int) -> VolRow | None:
        """Return what a volatility feed holds of an expiry."""
        return self._ahead.get((feed, expiry)) or self._tables.vols.get((feed, expiry))

    def rate_row(self, feed: Address, expiry: int) -> RateRow | None:
        """Return what a rate feed holds of an expiry."""
        return self._ahead.get((feed, expiry)) or self._tables.rates.get((feed, expiry))

    def _fresh(self, timestamp: int, rules: FeedRow) -> bool:
        return timestamp > 0 and timestamp + rules.heartbeat_s >= self.now
