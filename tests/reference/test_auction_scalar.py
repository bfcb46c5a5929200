"""The auction reference against the published solvent bid steps and its own rules."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.reference import auction_scalar as auction


RULES = auction.AuctionRules(0.98, 0.8, 100.0, 14_400.0, 600.0, 0.02, 0.2)
BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
FILE = Path(os.environ.get("KEEPER_VECTORS", BESIDE)) / "derive_auction" / "liquidationTests.json"


def simulations() -> list[Any]:
    if not FILE.exists():
        skip = pytest.mark.skip(reason=f"no auction vectors at {FILE}; set KEEPER_VECTORS")
        return [pytest.param({}, id="absent", marks=skip)]
    found = json.loads(FILE.read_text())
    return [pytest.param(each, id=name) for name, each in found.items() if name.startswith("Test")]


def usd(value: int) -> float:
    return value / 1e18


@pytest.mark.parametrize("simulation", simulations())
def test_solvent_steps_have_the_published_buffer_fraction_and_price(
    simulation: dict[str, Any],
) -> None:
    reserved = 0.0
    for action in simulation["Actions"]:
        expected, time = action["Results"], float(action["Time"])
        mtm, mm = usd(expected["PreMtM"]), usd(expected["PreMM"])
        bm = auction.buffer_margin(mm, mtm, RULES)
        fraction = auction.max_fraction(mtm, bm, auction.discount(time, RULES), reserved, RULES)
        assert bm == pytest.approx(usd(expected["PreBM"]), rel=1e-12)
        assert fraction == pytest.approx(usd(expected["PreFMax"]), rel=1e-12)
        pct = min(usd(action["Liquidator"]["PercentWant"]), fraction)
        paid = auction.bid_price(mtm, reserved, time, RULES) * pct
        assert paid == pytest.approx(usd(expected["ExpectedBidPrice"]), rel=1e-12)
        reserved += paid


@pytest.mark.parametrize("simulation", simulations())
def test_start_fee_is_the_published_one(simulation: dict[str, Any]) -> None:
    fee, first = simulation["LiquidationFee"], simulation["Actions"][0]
    cash = usd(simulation["InitialPortfolio"]["Cash"])
    assert cash - usd(first["PortfolioAndFeeds"]["Cash"]) == pytest.approx(fee, rel=1e-9)
    if first["Time"] == 0:  # else the market has moved since, and the start is not recorded
        mtm, mm = usd(first["Results"]["PreMtM"]) + fee, usd(first["Results"]["PreMM"]) + fee
        assert auction.start_fee(mm, mtm, RULES) == pytest.approx(fee, rel=1e-12)


def test_buying_the_largest_fraction_restores_the_buffer_exactly() -> None:
    mtm, mm, reserved, time = 120.0, -80.0, 15.0, 700.0
    bm = auction.buffer_margin(mm, mtm, RULES)
    fraction = auction.max_fraction(mtm, bm, auction.discount(time, RULES), reserved, RULES)
    paid = auction.bid_price(mtm, reserved, time, RULES) * fraction
    # Cash reserved and paid in carries no margin requirement: it counts in full.
    rest = (bm - reserved) * (1.0 - fraction) + reserved + paid
    assert rest == pytest.approx(0.0, abs=1e-12)


def test_discount_falls_in_two_legs_to_zero() -> None:
    times = (0.0, 50.0, 100.0, 7300.0, 14_500.0, 99_999.0)
    expected = (0.98, 0.89, 0.8, 0.4, 0.0, 0.0)
    assert [auction.discount(t, RULES) for t in times] == pytest.approx(expected)


def test_insolvent_price_runs_from_the_debt_to_the_whole_margin() -> None:
    assert auction.insolvent_price(-200.0, -30.0, 0.0, RULES) == -30.0
    assert auction.insolvent_price(-200.0, -30.0, 300.0, RULES) == pytest.approx(-115.0)
    assert auction.insolvent_price(-200.0, -30.0, 600.0, RULES) == -200.0
    assert auction.insolvent_price(-200.0, 40.0, 0.0, RULES) == 0.0  # converted, still worth some
    assert auction.insolvent_price(1.0, 40.0, 0.0, RULES) == 0.0


@pytest.mark.parametrize(
    ("mm", "mtm", "reserved", "elapsed", "insolvent", "ends"),
    [
        (-1.0, 100.0, 0.0, 0.0, False, False),  # in breach
        (1.0, 100.0, 0.0, 0.0, False, False),  # over maintenance, not over the buffer
        (30.0, 100.0, 0.0, 0.0, False, True),  # over the buffer
        (-1.0, -1.0, 0.0, 0.0, False, True),  # turned insolvent: end, then start again
        (-1.0, 50.0, 50.0, 0.0, False, True),  # bidders have paid in all it is worth
        (-1.0, 100.0, 0.0, 14_501.0, False, False),  # ran out in breach: convert instead
        (1.0, 100.0, 0.0, 14_501.0, False, True),
        (-1.0, -5.0, 0.0, 0.0, True, False),
        (0.0, 5.0, 0.0, 0.0, True, True),
    ],
)
def test_who_may_end_an_auction(
    mm: float, mtm: float, reserved: float, elapsed: float, insolvent: bool, ends: bool
) -> None:
    assert auction.can_terminate(mm, mtm, reserved, elapsed, insolvent, RULES) is ends


def test_cutoff_lets_a_small_account_be_bought_whole() -> None:
    rules = auction.AuctionRules(0.98, 0.8, 100.0, 14_400.0, 600.0, 0.02, 0.2, mtm_cutoff=150.0)
    assert auction.max_fraction(120.0, -80.0, 0.9, 0.0, rules) == 1.0
    assert auction.max_fraction(150.0, -80.0, 0.9, 0.0, rules) < 1.0
    assert auction.max_fraction(150.0, 5.0, 0.9, 0.0, rules) == 0.0


def test_more_reserved_than_worth_has_no_price() -> None:
    with pytest.raises(ValueError, match="reserved"):
        auction.bid_price(10.0, 11.0, 0.0, RULES)


def test_cash_needed_covers_the_price_and_the_slice() -> None:
    bm = auction.buffer_margin(-80.0, 120.0, RULES)
    assert auction.cash_needed(-80.0, 120.0, 5.0, 0.5, 90.0, False, RULES) == pytest.approx(
        45.0 + abs(bm - 5.0) * 0.5
    )
    assert auction.cash_needed(-80.0, -20.0, 0.0, 0.5, -30.0, True, RULES) == pytest.approx(25.0)
