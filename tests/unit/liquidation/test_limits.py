"""What a command bids for its place, and what all that is ever bid for it may cost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.units import WAD
from keeper.liquidation.limits import LimitParameters, earned_wei, spend_cap_wei, tip_bid_wei


PARAMETERS = LimitParameters(
    spend_max_wei=1_000_000, tip_max_wei=2, base_fee_headroom_ppm=4_000_000
)
GWEI = 10**9
BIDDING = LimitParameters(
    tip_floor_wei=GWEI,
    tip_max_wei=50 * GWEI,
    tip_profit_share_ppm=200_000,
    gas_token_usd=2_000.0,
    spend_max_wei=WAD,
)


@pytest.mark.parametrize(
    ("gas", "value", "base_fee", "expected"),
    [
        (100, 0, 10, 100 * (40 + 2)),
        (100, 50, 10, 100 * (40 + 2) + 50),
        (10_000, 0, 90, 1_000_000),
        (10_000, 0, 99, None),
        (1, 2_000_000, 1, None),
    ],
)
def test_spend_cap(gas: int, value: int, base_fee: int, expected: int | None) -> None:
    assert spend_cap_wei(gas, value, (base_fee, 2), PARAMETERS) == expected


@pytest.mark.parametrize(
    ("earned", "value", "expected"),
    [
        (None, 0, 100 * (40 + 2)),
        (3_000, 0, 3_000),  # no bump may cost more than what serving earns
        (3_000, 50, 3_050),  # the value is not a cost of it
        (10**9, 0, 100 * (40 + 2)),
        (1_199, 0, None),  # not even its first bytes
        (1_200, 0, 1_200),
    ],
)
def test_what_earns_something_never_costs_more_than_it_earns(
    earned: int | None, value: int, expected: int | None
) -> None:
    assert spend_cap_wei(100, value, (10, 2), PARAMETERS, earned) == expected


@pytest.mark.parametrize(
    ("profit", "tip"),
    [
        (-5.0, GWEI),  # a start earns nothing
        (0.0, GWEI),
        (math.nan, GWEI),
        # 20 % of 100 USD at 2,000 USD a coin is 0.01 coin: 10 gwei for each of a million gas.
        (100.0, 10 * GWEI),
        (1.0, GWEI),  # a fifth of a dollar would be 0.1 gwei: the floor
        (10_000.0, 50 * GWEI),  # 1,000 gwei: the ceiling
        (math.inf, 50 * GWEI),
    ],
)
def test_a_bid_is_a_share_of_the_profit_between_floor_and_ceiling(profit: float, tip: int) -> None:
    assert tip_bid_wei(profit, 1_000_000, BIDDING) == tip


def test_a_ceiling_below_the_floor_wins() -> None:
    low = LimitParameters(tip_floor_wei=2 * GWEI, tip_max_wei=GWEI)
    assert tip_bid_wei(-1.0, 21_000, low) == tip_bid_wei(10**6, 21_000, low) == GWEI
    assert low.tip_least_wei == GWEI


def test_what_is_earned_is_the_profit_and_the_gas_it_was_reckoned_after() -> None:
    assert earned_wei(90.0, 10.0, BIDDING) == WAD // 20
    assert earned_wei(-1.0, 10.0, BIDDING) is None
    assert earned_wei(math.nan, 10.0, BIDDING) is None
    assert earned_wei(math.inf, 10.0, BIDDING) is None


@given(st.floats(0.01, 10**6), st.integers(21_000, 10**7), st.integers(1, 500 * GWEI))
def test_a_first_bid_fits_the_budget_or_there_is_no_command(
    profit: float, gas: int, base_fee: int
) -> None:
    gas_usd = gas * (base_fee + BIDDING.tip_least_wei) / WAD * BIDDING.gas_token_usd
    earned = earned_wei(profit, gas_usd, BIDDING)
    tip = tip_bid_wei(profit, gas, BIDDING)
    spend = spend_cap_wei(gas, 0, (base_fee, tip), BIDDING, earned)
    assert earned is not None
    if spend is not None:
        assert gas * (base_fee + tip) <= spend <= min(earned, WAD)


def test_a_gas_token_without_a_price_is_not_weighed_against_profit() -> None:
    free = LimitParameters(tip_floor_wei=GWEI, tip_max_wei=50 * GWEI, gas_token_usd=0.0)
    assert tip_bid_wei(1_000.0, 100_000, free) == GWEI
    assert earned_wei(1_000.0, 0.0, free) is None
