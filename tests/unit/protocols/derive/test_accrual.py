"""Interest and funding at a timestamp: by hand, in exact integers, and against upstream numbers."""

import json
import math
from decimal import Decimal, getcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import YEAR_S
from keeper.margin.book import Kind
from keeper.protocols.derive.margins.accrual import (
    Accrual,
    accrued,
    aggregated_funding,
    borrow_rate,
    funding_rate,
    growth,
    quotient,
    with_interest,
)
from keeper.protocols.derive.tables import CashRow, PerpRow, RateModelRow
from keeper.protocols.derive.wiring import NOWHERE
from tests.unit.protocols.derive.deployment import ASK_FEED, BID_FEED, CASH, NOW, PERP, WAD, wad
from tests.unit.protocols.derive.scene import Scene


MODEL = RateModelRow(wad(0.02), wad(0.08), wad(0.9), wad(0.85))
CASH_ROW = CashRow(wad(1e6), wad(5e5), WAD, WAD, 1_000, 0, wad(0.2), 0, False, NOWHERE)
PERP_ROW = PerpRow(
    wad(7.0), 1_000, 8 * WAD, wad(0.004), -wad(0.004), wad(0.0000125), False, 0, *[NOWHERE] * 4
)


@pytest.mark.parametrize(
    ("use", "rate"),
    [(0.0, 0.02), (0.5, 0.06), (0.85, 0.088), (0.95, 0.178), (1.0, 0.223), (2.0, 0.223)],
)
def test_the_borrow_rate_is_a_line_with_a_kink_and_an_end(use: float, rate: float) -> None:
    row = CASH_ROW._replace(borrow=wad(1e6 * use))
    assert borrow_rate(row, MODEL) == wad(rate)


def test_printed_cash_below_zero_counts_as_supply_and_above_does_not() -> None:
    assert borrow_rate(CASH_ROW._replace(printed=wad(9e6)), MODEL) == wad(0.06)
    assert borrow_rate(CASH_ROW._replace(printed=-wad(1e6)), MODEL) == wad(0.04)
    assert borrow_rate(CASH_ROW._replace(supply=0), MODEL) == wad(0.02)


@pytest.mark.parametrize("exponent", [0, 1, 10**9, wad(0.001), wad(0.2), wad(1.0), wad(5.5)])
def test_growth_is_the_exponential_to_a_wei(exponent: int) -> None:
    getcontext().prec = 60
    expected = int((Decimal(exponent) / WAD).exp() * WAD) - WAD
    assert growth(exponent) in (expected, expected - 1)


def test_an_exponent_that_no_interest_reaches_is_a_bug() -> None:
    for exponent in (-1, 101 * WAD):
        with pytest.raises(InvariantViolation):
            growth(exponent)


def test_a_year_of_interest_by_hand() -> None:
    row = accrued(CASH_ROW, MODEL, 1_000 + YEAR_S)
    interest = 5e5 * math.expm1(0.06)
    assert row.borrow / WAD == pytest.approx(5e5 + interest, rel=1e-15)
    assert row.supply / WAD == pytest.approx(1e6 + 0.8 * interest, rel=1e-15)
    assert row.borrow_index / WAD == pytest.approx(math.exp(0.06), rel=1e-15)
    assert row.supply_index / WAD == pytest.approx(1 + 0.8 * interest / 1e6, rel=1e-15)
    assert row.accrued_at == 1_000 + YEAR_S


@pytest.mark.parametrize(
    "row",
    [
        CASH_ROW._replace(borrow=0),
        CASH_ROW._replace(accrued_at=5_000),
        CASH_ROW._replace(accrued_at=9_000),
    ],
    ids=["nothing borrowed", "same second", "later"],
)
def test_nothing_accrues(row: CashRow) -> None:
    assert accrued(row, MODEL, 5_000) == row


def test_without_a_read_rate_model_nothing_accrues() -> None:
    assert accrued(CASH_ROW, None, 5_000) == CASH_ROW


def test_with_no_supply_the_supply_index_stands() -> None:
    row = accrued(CASH_ROW._replace(supply=0), MODEL, 1_000 + YEAR_S)
    assert (row.supply, row.supply_index) == (0, WAD)
    assert row.borrow > CASH_ROW.borrow


def test_a_balance_grows_by_the_index_of_its_side_truncated_toward_zero() -> None:
    cash = CASH_ROW._replace(borrow_index=3 * WAD, supply_index=2 * WAD)
    assert with_interest(-100, WAD, cash) == -300
    assert with_interest(100, WAD, cash) == 200
    assert with_interest(-100, 7 * WAD, cash) == -42
    assert with_interest(100, 0, cash) == 100
    assert with_interest(0, WAD, cash) == 0


def test_columns_of_interest_equal_the_exact_scalar() -> None:
    scene = Scene()
    state = scene.tables.cash_state
    state.set(CASH, state[CASH]._replace(borrow_index=wad(1.25), supply_index=wad(1.1)))
    rows = []
    for account, (cash, index) in enumerate([(-25_000, 1.2), (1e9, 1.05), (0, 1.0), (50, 0)], 10):
        row = scene.open(account, cash)
        scene.tables.cash_index.set(row, wad(index))
        rows.append(row)
    accrual = Accrual(scene.tables, NOW + 5 * 86_400)
    got = accrual.interest(np.array(rows, np.int64))
    for row, interest in zip(rows, got, strict=True):
        stored, index = scene.tables.cash.get(row), scene.tables.cash_index.get(row)
        exact = with_interest(stored, index, accrual.cash) - stored
        assert interest == pytest.approx(exact / WAD, rel=1e-14, abs=1e-15)
    assert got[0] < 0 < got[1]
    assert list(got[2:]) == [0.0, 0.0]


# ── funding ──


def test_the_funding_rate_by_hand() -> None:
    index = wad(2_000.0)
    # The bid is 20 USD above the index: a premium of 1 % over 8 hours, and the static part.
    assert funding_rate(PERP_ROW, index, wad(2_030.0), wad(2_020.0)) == wad(0.0012625)
    assert funding_rate(PERP_ROW, index, wad(1_980.0), wad(1_970.0)) == -wad(0.0012375)
    assert funding_rate(PERP_ROW, index, wad(2_001.0), wad(1_999.0)) == wad(0.0000125)


def test_the_funding_rate_is_clamped() -> None:
    index = wad(2_000.0)
    assert funding_rate(PERP_ROW, index, wad(2_200.0), wad(2_200.0)) == wad(0.004)
    assert funding_rate(PERP_ROW, index, wad(1_800.0), wad(1_800.0)) == -wad(0.004)


def test_the_division_by_the_convergence_period_is_rounded_half_away_from_zero() -> None:
    row = PERP_ROW._replace(convergence=8 * WAD, rate_static=0)
    index = 1_000 * WAD
    # A premium of 12 wei over 8 hours is 1.5 wei an hour; of 11 wei, 1.375.
    assert funding_rate(row, index, index + 10**9, index + 12 * 1_000) == 2
    assert funding_rate(row, index, index + 10**9, index + 11 * 1_000) == 1
    assert funding_rate(row, index, index - 12 * 1_000, index - 10**9) == -2


def test_funding_accrues_by_the_second_truncated_before_the_index() -> None:
    assert aggregated_funding(PERP_ROW, wad(0.001), wad(2_000.0), 1_000 + 1_800) == wad(8.0)
    assert aggregated_funding(PERP_ROW, -wad(0.001), wad(2_000.0), 1_000 + 1_800) == wad(6.0)
    assert aggregated_funding(PERP_ROW, 1, wad(2_000.0), 1_000 + 3_599) == wad(7.0)
    assert aggregated_funding(PERP_ROW, -1, wad(2_000.0), 1_000 + 3_599) == wad(7.0)


def test_what_a_perpetual_carries_by_hand() -> None:
    scene = Scene()
    long, none = scene.open(7, 0.0, (Kind.PERPETUAL, 0, 0.0, 3.0)), scene.open(8)
    tables = scene.tables
    for row in (long, none):
        tables.perp_mark.set(row, wad(1_990.0))
        tables.perp_funding.set(row, wad(4.0))
        tables.perp_pnl.set(row, wad(-6.0))
        tables.perp_aggregated.set(row, wad(-1.0))
    at = NOW + 60
    accrual = Accrual(tables, at)
    perp = accrual.perp(PERP)
    assert perp is not None
    assert (perp.price, perp.confidence) == (wad(2_001.0), wad(0.95))
    # Impact bid 1 USD above the index of 2,000: 0.05 % over 8 hours, and the static part.
    rate = 0.0005 / 8 + 0.0000125
    assert perp.aggregated / WAD == pytest.approx(rate * 60 / 3_600 * 2_000, abs=1e-12)
    carried = accrual.carried(PERP, np.array([long, none]), np.array([3.0, 0.0]))
    assert carried is not None
    funding = 3.0 * (perp.aggregated / WAD + 1.0)
    assert carried[0] == pytest.approx(3.0 * 11.0 - funding + 4.0 - 6.0, rel=1e-14)
    assert carried[1] == 0.0


def test_a_stopped_perpetual_has_its_frozen_price_and_no_more_funding() -> None:
    scene = Scene()
    tables = scene.tables
    tables.perps.set(PERP, tables.perps[PERP]._replace(disabled=True, frozen_price=5, aggregated=6))
    assert Accrual(tables, NOW + 10**6).perp(PERP) == (5, WAD, 6)


@pytest.mark.parametrize("spoil", ["stale", "crossed", "unknown"])
def test_a_perpetual_whose_reading_reverts_carries_nothing_known(spoil: str) -> None:
    scene = Scene()
    tables, now = scene.tables, NOW
    if spoil == "stale":
        now += 181
    elif spoil == "crossed":
        row = tables.perps[PERP]
        tables.perps.set(PERP, row._replace(ask_feed=BID_FEED, bid_feed=ASK_FEED))
    else:
        tables.perps.delete(PERP)
    accrual = Accrual(tables, now)
    assert accrual.perp(PERP) is None
    assert accrual.carried(PERP, np.array([0]), np.array([1.0])) is None


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (0, -5, 0), (-1, 3, 0)],
)
def test_division_truncates_toward_zero(numerator: int, denominator: int, expected: int) -> None:
    assert quotient(numerator, denominator) == expected


# ── upstream numbers ──

UPSTREAM = RateModelRow(wad(0.05), wad(0.3), wad(0.9), wad(0.85))


@pytest.fixture(name="sequence")
def upstream_sequence(vectors_dir: Path) -> dict[str, Any]:
    path = vectors_dir / "derive_auction" / "cash_interest_sequence.json"
    if not path.exists():
        pytest.skip(f"no {path.name} among the vectors")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_borrow_rates_of_upstreams_interest_sequence(sequence: dict[str, Any]) -> None:
    for use, rate in zip(sequence["utilizations"], sequence["borrowRates"], strict=True):
        row = CASH_ROW._replace(supply=WAD, borrow=use)
        assert borrow_rate(row, UPSTREAM) == pytest.approx(rate, rel=1e-15)


def test_the_first_step_of_upstreams_interest_sequence(sequence: dict[str, Any]) -> None:
    """Four days pass, then a borrower of 10,000 receives 20,000 from a borrower of 20,000."""
    supply, borrow = sequence["totalSupplys"][0], sequence["totalBorrows"][0]
    alice, bob = sequence["StartingBalances"][:2]
    start = CASH_ROW._replace(supply=supply, borrow=borrow, accrued_at=0)
    row = accrued(start, UPSTREAM, 4 * 86_400)
    before = [with_interest(each, WAD, row) for each in (alice, bob)]
    after = [before[0] + 20_000 * WAD, before[1] - 20_000 * WAD]
    supply_now = row.supply + sum(max(0, each) for each in after)
    borrow_now = row.borrow + sum(before) - sum(min(0, each) for each in after)
    fee = (row.borrow - borrow) - (row.supply - supply)
    assert borrow_now == pytest.approx(sequence["totalBorrows"][1], rel=1e-15)
    # Upstream counts the module's fee as supply; it hands it over at each event.
    assert supply_now + fee == pytest.approx(sequence["totalSupplys"][1], rel=1e-15)
