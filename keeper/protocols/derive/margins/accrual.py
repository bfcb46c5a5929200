"""What time alone moves: interest on cash, funding on perpetuals. Derived, never written.

Source: docs/margin.md, "Accrual" (CashAsset and PerpAsset of Derive v2): cash as
A = B (exp(dt r / year) - 1) over two indexes, funding as a premium to the index an hour. Scalars
are integers, truncated as the chain truncates; columns are float64. Knows tables and readings;
must not know margin.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD, YEAR_S, Address
from keeper.protocols.derive.margins.readings import Readings
from keeper.protocols.derive.tables import CashRow, DeriveTables, PerpRow, RateModelRow


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_S = 3_600
EXP_SCALE = 10**36
EXP_MAX = 100 * WAD  # beyond e^100 a borrow rate is not one


class PerpAt(NamedTuple):
    """A perpetual at one instant: its price and the funding index due by then."""

    price: int
    confidence: int
    aggregated: int


class Accrual:
    """One deployment at one timestamp, as a call in a block of that time would see it."""

    def __init__(
        self,
        tables: DeriveTables,
        now: int,
        ahead: Mapping[tuple[Address, int], Any] | None = None,
    ) -> None:
        self.now = now
        self.readings = Readings(tables, now, ahead)
        self._tables = tables
        self._perps: dict[Address, PerpAt | None] = {}
        self._cash: CashRow | None = None

    @property
    def cash(self) -> CashRow:
        """Return the cash asset's state with interest; KeyError before a snapshot is loaded."""
        if self._cash is None:
            row = self._tables.cash_state[self._tables.config.cash]
            model = self._tables.rate_models.get(row.rate_model)
            self._cash = accrued(row, model, self.now)
        return self._cash

    def interest(self, rows: Ints) -> Floats:
        """Return the cash that accrued and is not stored, USD; `rows` and result (account,)."""
        stored = self._tables.cash.floats(rows)
        index = self._tables.cash_index.floats(rows)
        current = np.where(stored < 0, self.cash.borrow_index / WAD, self.cash.supply_index / WAD)
        known = index > 0.0
        # The growth alone, so that a small interest on a large balance keeps its digits.
        return np.where(known, stored * (current - index) / np.where(known, index, 1.0), 0.0)

    def perp(self, address: Address) -> PerpAt | None:
        """Return a perpetual's price and funding index, None where reading either reverts."""
        if address not in self._perps:
            self._perps[address] = self._perp(address)
        return self._perps[address]

    def carried(self, address: Address, rows: Ints, quantity: Floats) -> Floats | None:
        """Return unsettled profit and funding, USD, None where reading the perpetual reverts.

        rows      (account,) of the portfolio
        quantity  (account,) of this perpetual; who holds none carries nothing that counts
        """
        at = self.perp(address)
        if at is None:
            return None
        tables = self._tables
        profit = (at.price / WAD - tables.perp_mark.floats(rows)) * quantity
        due = (at.aggregated / WAD - tables.perp_aggregated.floats(rows)) * quantity
        whole = profit - due + tables.perp_funding.floats(rows) + tables.perp_pnl.floats(rows)
        return np.where(quantity != 0.0, whole, 0.0)

    def _perp(self, address: Address) -> PerpAt | None:
        row = self._tables.perps.get(address)
        price = None if row is None else self.readings.perp(row)
        if row is None or price is None:
            return None
        if row.disabled:
            return PerpAt(price.value, price.confidence, row.aggregated)
        rate = self._funding_rate(row)
        index = self.readings.spot(row.spot_feed)
        if rate is None or index is None:
            return None
        aggregated = aggregated_funding(row, rate, index.value, self.now)
        return PerpAt(price.value, price.confidence, aggregated)

    def _funding_rate(self, row: PerpRow) -> int | None:
        index = self.readings.spot(row.spot_feed)
        ask, bid = self.readings.diff(row.ask_feed), self.readings.diff(row.bid_feed)
        if index is None or ask is None or bid is None or ask.value < bid.value:
            return None
        if index.value == 0 or row.convergence == 0:
            return None  # the chain divides by both, and reverts
        return funding_rate(row, index.value, ask.value, bid.value)


def accrued(row: CashRow, model: RateModelRow | None, now: int) -> CashRow:
    """Return the cash asset's state after an accrual at `now`; raises InvariantViolation.

    An unread rate model gives no interest: its underlyings are undecided until it is read.
    """
    if row.borrow == 0 or model is None or now <= row.accrued_at:
        return row
    rate = borrow_rate(row, model)
    interest = row.borrow * growth((now - row.accrued_at) * rate // YEAR_S) // WAD
    borrow = row.borrow + interest
    supply, supply_index = row.supply, row.supply_index
    if supply > 0:
        supply += interest - interest * row.fee // WAD
        supply_index = supply_index * (supply * WAD // row.supply) // WAD
    return row._replace(
        supply=supply,
        borrow=borrow,
        borrow_index=row.borrow_index * (borrow * WAD // row.borrow) // WAD,
        supply_index=supply_index,
        accrued_at=now,
    )


def borrow_rate(row: CashRow, model: RateModelRow) -> int:
    """Return the rate a year at the present utilisation: a line with one kink."""
    real_supply = row.supply + max(0, -row.printed)
    use = 0
    if real_supply > 0 and row.borrow > 0:
        use = min(row.borrow * WAD // real_supply, WAD)
    if use <= model.optimal:
        return model.minimum + use * model.slope // WAD
    kink = model.minimum + model.optimal * model.slope // WAD
    return kink + (use - model.optimal) * model.high_slope // WAD


def growth(exponent: int) -> int:
    """Return exp(x) - 1 for x >= 0 in 18 decimals, rounded down.

    By its series in 36 decimals: no term is lost, so the last digit is the chain's or one off.
    Raises InvariantViolation for an exponent that no interest reaches.
    """
    if not 0 <= exponent <= EXP_MAX:
        raise InvariantViolation(f"interest with an exponent of {exponent} wei")
    x = exponent * (EXP_SCALE // WAD)
    term, total, n = EXP_SCALE, 0, 0
    while term:
        n += 1
        term = term * x // (n * EXP_SCALE)
        total += term
    return total * WAD // EXP_SCALE


def with_interest(stored: int, index: int, cash: CashRow) -> int:
    """Return a stored balance with interest up to `cash`, exactly as the chain truncates it."""
    if stored == 0 or index == 0:
        return stored
    current = cash.borrow_index if stored < 0 else cash.supply_index
    return quotient(quotient(stored * current, WAD) * WAD, index)


def funding_rate(row: PerpRow, index: int, ask: int, bid: int) -> int:
    """Return the funding rate an hour: premium over the convergence time, plus the static part."""
    premium = quotient((max(bid - index, 0) - max(index - ask, 0)) * WAD, index)
    tenfold = quotient(premium * WAD * 10, row.convergence)
    rounded = quotient(tenfold + (-5 if tenfold < 0 else 5), 10)
    return max(row.rate_min, min(row.rate_max, rounded + row.rate_static))


def aggregated_funding(row: PerpRow, rate: int, index: int, now: int) -> int:
    """Return the funding index due at `now`, USD a contract."""
    due = quotient(rate * max(0, now - row.paid_at), HOUR_S)
    return row.aggregated + quotient(due * index, WAD)


def quotient(numerator: int, denominator: int) -> int:
    """Return the quotient truncated toward zero, as Solidity divides."""
    whole = abs(numerator) // abs(denominator)
    return whole if (numerator < 0) == (denominator < 0) else -whole
