"""Fees as tables: the next base fee, the cap, the tip and the bump."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.sending.base_fee import Ahead, next_base_fee
from keeper.chain.sending.fees import (
    Fee,
    FeeParameters,
    Offer,
    base_fee_ahead,
    bumped,
    cancel_pays,
    first_fee,
    outbidding_fee,
    replacement_fee,
)


GWEI = 10**9


@pytest.mark.parametrize(
    ("base", "used", "limit", "after"),
    [
        # The vectors of go-ethereum's CalcBaseFee test: at, below and above the target.
        (1_000_000_000, 10_000_000, 20_000_000, 1_000_000_000),
        (1_000_000_000, 9_000_000, 20_000_000, 987_500_000),
        (1_000_000_000, 11_000_000, 20_000_000, 1_012_500_000),
        (1_000_000_000, 0, 30_000_000, 875_000_000),
        (1_000_000_000, 30_000_000, 30_000_000, 1_125_000_000),
        # A rise is at least one wei, a fall may round to none.
        (7, 15_000_001, 30_000_000, 8),
        (7, 14_999_999, 30_000_000, 7),
        (7, 0, 30_000_000, 7),
        (8, 0, 30_000_000, 7),
        (0, 30_000_000, 30_000_000, 1),
        (5, 0, 1, 5),
    ],
)
def test_the_next_base_fee_follows_eip_1559(base, used, limit, after):
    assert next_base_fee(base, used, limit) == after


@pytest.mark.parametrize(
    ("base", "blocks", "most"),
    [(800, 0, 800), (800, 1, 900), (800, 2, 1013), (1, 6, 3), (10**18, 3, 1423828125 * 10**9)],
)
def test_the_base_fee_ahead_is_an_eighth_more_a_block_rounded_up(base, blocks, most):
    assert base_fee_ahead(Ahead(base), blocks) == most


@given(st.integers(0, 10**14), st.integers(0, 8))
def test_no_run_of_full_blocks_outgrows_the_cap(base, blocks):
    real = base
    for _ in range(blocks):
        real = next_base_fee(real, 30_000_000, 30_000_000)
    # The protocol's own step is at least one wei: tiny fees may exceed the ratio by that much.
    assert real <= base_fee_ahead(Ahead(base), blocks) + blocks


def offer(**changes) -> Offer:
    fields = {
        "gas": 100_000,
        "value_wei": 0,
        "spend_wei_max": 10**18,
        "tip_budget_wei": 100_000 * 2 * GWEI,
        "blocks_left": 2,
        "rank": 0,
    }
    return Offer(**{**fields, **changes})


LIMITS = FeeParameters(tip_wei_min=1, tip_wei_max=5 * GWEI, cap_wei_max=500 * GWEI)


@pytest.mark.parametrize(
    ("changes", "base", "fee"),
    [
        ({}, 8 * GWEI, Fee(2 * GWEI, 2 * GWEI + 10_125_000_000)),
        ({"blocks_left": 0}, 8 * GWEI, Fee(2 * GWEI, 10 * GWEI)),
        ({"blocks_left": -4}, 8 * GWEI, Fee(2 * GWEI, 10 * GWEI)),
        ({"tip_budget_wei": 10**18, "blocks_left": 0}, GWEI, Fee(5 * GWEI, 6 * GWEI)),
        ({"tip_budget_wei": 0, "blocks_left": 0}, GWEI, Fee(1, GWEI + 1)),
        ({"rank": 7, "blocks_left": 0}, GWEI, Fee(2 * GWEI - 7, 3 * GWEI - 7)),
        ({"rank": 7, "tip_budget_wei": 0, "blocks_left": 0}, GWEI, Fee(1, GWEI + 1)),
        ({"spend_wei_max": 100_000 * 9 * GWEI}, 8 * GWEI, Fee(2 * GWEI, 9 * GWEI)),
        ({"spend_wei_max": 100_000 * (8 * GWEI + 1)}, 8 * GWEI, Fee(2 * GWEI, 8 * GWEI + 1)),
        ({"spend_wei_max": 100_000 * (8 * GWEI + 1) - 1}, 8 * GWEI, None),
        ({"value_wei": 10**18}, GWEI, None),
        ({"value_wei": 2 * 10**18}, GWEI, None),
        ({}, 500 * GWEI, None),
    ],
)
def test_a_first_offer_is_the_budgets_tip_and_a_cap_that_lasts_to_the_deadline(changes, base, fee):
    assert first_fee(offer(**changes), Ahead(base), LIMITS) == fee


@pytest.mark.parametrize(
    ("old", "new"), [(0, 1), (1, 3), (8, 10), (80, 91), (1000, 1126), (1001, 1128)]
)
def test_a_bump_is_an_eighth_rounded_up_and_one_wei(old, new):
    assert bumped(old) == new


@given(st.integers(1, 10**15), st.integers(1, 10**15), st.integers(0, 10**12))
def test_every_replacement_satisfies_geth_and_the_spend(tip, more, base):
    old = Fee(tip, tip + more)
    fee = replacement_fee(old, offer(), Ahead(base), FeeParameters(1, 10**16, 10**17))
    if fee is not None:
        # legacypool list.Add: strictly greater, and at least 110 % of the old, in both fields.
        assert fee.tip_wei > old.tip_wei
        assert fee.cap_wei > old.cap_wei
        assert fee.tip_wei >= old.tip_wei * 110 // 100
        assert fee.cap_wei >= old.cap_wei * 110 // 100
        assert fee.tip_wei <= fee.cap_wei
        assert fee.cap_wei * 100_000 <= 10**18


@pytest.mark.parametrize(
    ("changes", "base", "fee"),
    [
        ({"blocks_left": 0}, GWEI, Fee(bumped(GWEI), bumped(3 * GWEI))),
        ({"blocks_left": 0}, 8 * GWEI, Fee(bumped(GWEI), bumped(GWEI) + 8 * GWEI)),
        ({"spend_wei_max": 100_000 * (bumped(3 * GWEI) - 1)}, GWEI, None),
        ({"spend_wei_max": 100_000 * bumped(3 * GWEI)}, GWEI, Fee(bumped(GWEI), bumped(3 * GWEI))),
        # More cannot be paid, and what can be paid buys no block: the old bytes stay.
        ({"spend_wei_max": 100_000 * 4 * GWEI}, 8 * GWEI, None),
    ],
)
def test_a_replacement_raises_both_within_budget_or_is_none(changes, base, fee):
    assert replacement_fee(Fee(GWEI, 3 * GWEI), offer(**changes), Ahead(base), LIMITS) == fee


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        # Its own offer where that is the higher one, the bump of the old bytes where it is not.
        ({"tip_budget_wei": 100_000 * 4 * GWEI}, (Fee(4 * GWEI, 5_265_625_000), 0)),
        ({}, (Fee(2_250_000_001, 3_375_000_001), 100_000 * 250_000_001)),
        ({"spend_wei_max": 100_000 * 3_375_000_000}, None),
        (
            {"spend_wei_max": 100_000 * 3_375_000_001},
            (Fee(2_250_000_001, 3_375_000_001), 100_000 * 250_000_001),
        ),
        ({"spend_wei_max": 0}, None),
    ],
)
def test_who_takes_a_place_pays_its_own_offer_or_the_bump_of_the_old_one(changes, found):
    old = Fee(2 * GWEI, 3 * GWEI)
    assert outbidding_fee(old, offer(**changes), Ahead(GWEI), LIMITS) == found


def test_no_place_is_taken_above_the_tip_that_anything_may_offer():
    old = Fee(5 * GWEI, 6 * GWEI)
    assert outbidding_fee(old, offer(), Ahead(GWEI), LIMITS) is None


@pytest.mark.parametrize(
    ("gas", "tip", "base", "pays"),
    [
        # 21,000 at 1 + 1.125 gwei against a quarter of the gas at 2 gwei.
        (100_000, GWEI, GWEI, True),
        (80_000, GWEI, GWEI, False),
        (89_252, GWEI, GWEI, True),
        (89_251, GWEI, GWEI, False),
        (84_004, 1, 100 * GWEI, True),
        (84_000, 1, 100 * GWEI, False),
    ],
)
def test_a_cancel_pays_where_it_costs_less_than_the_revert(gas, tip, base, pays):
    assert cancel_pays(Fee(tip, base + tip), gas, 21_000, Ahead(base), LIMITS) is pays
