"""Families that the files describe but this folder has no member of: their adapters work too.

The expected numbers are the ones the methodology notes print, or follow from `how` by hand.
"""

from typing import Any

import pytest

from tests.golden import families, vectors
from tests.golden.vectors import Vector


SCALAR = {"P": 2000, "Pa": 1500, "Pb": 2500}
LEG = {"array": [float(x) for x in range(-8, 8)], "delta": -4.0, "ratio": 2.0}
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "aave_v3",
        "leftover_1",
        {"collateral": {"a": 3000}, "debt": {"b": 1500, "c": 400}, "min_leftover": 500},
        {
            "collateral_a_partial_allowed_up_to": 2500,
            "debt_b_partial_allowed_up_to": 1000,
            "debt_c_partial_allowed_up_to": 0,
        },
    ),
    (
        "compound_v3",
        "absorb_no_collateral_2",
        {"debts": [100, 700], "total_borrow": 2000, "reserves": 50},
        {"total_borrow_after": 1200, "reserves_after": -750},
    ),
    (
        "drift_v2",
        "cross_plus_isolated_buffer10",
        {"same": True, "buffer": 0.1},
        {
            "cross_requirement_plus_buffer": 13000,
            "isolated_requirement_plus_buffer": 2000,
            "isolated_collateral_plus_buffer": -1000,
        },
    ),
    (
        "hyperliquid",
        "tier_docs",
        {"tiers": [[0, 40], [150000000, 20]]},
        {"deductions": [0, 1875000], "mm_at_200000000": 3125000, "mm_at_1000_single_tier": 12.5},
    ),
    ("hyperliquid", "pm_borrow_rate", {"utilization": [0.5, 0.9]}, {"apy": [0.05, 0.525]}),
    (
        "okx_pm",
        "borrow_rates",
        {"eq_usd": -78553.2188898},
        {"borrow_mmr": 1571.064377796, "borrow_imr": 7855.32188898},
    ),
    (
        "okx_pm",
        "scenario_linearity",
        {"btc_end": -1164.41092482, "ltc_end": 183.5067},
        {"btc": [776.27394988, 388.13697494], "mr6": [2328.82184964, 367.0134]},
    ),
    (
        "paradex_pm",
        "xm_long_call",
        {"spot": 100, "mark": 5, "size": 2, "premium_multiplier": 1, "long_itm": 0.03},
        {"imr": 6},
    ),
    (
        "paradex_pm",
        "xm_fixture_planted",
        {
            "positions": [
                {"market": "BTC-USD-PERP", "side": "SELL", "size": 0.5},
                {"market": "BTC-USD-8MAY26-110-C", "side": "SELL", "size": 2},
                {"market": "BTC-USD-8MAY26-90-P", "side": "BUY", "size": 1},
            ],
            "market_data": {
                "BTC-USD-PERP": {"mark_price": 100},
                "BTC-USD-8MAY26-110-C": {"mark_price": 2, "underlying_price": 100},
                "BTC-USD-8MAY26-90-P": {"mark_price": 1, "underlying_price": 100},
            },
            "imf_base": 0.02,
            "mmf_factor": 0.5,
            "imf": {
                "premium_multiplier": 1,
                "long_itm": 0.1,
                "short_itm": 0.15,
                "short_otm": 0.1,
            },
            "mmf": {
                "premium_multiplier": 0.5,
                "long_itm": 0.05,
                "short_itm": 0.07,
                "short_otm": 0.05,
            },
        },
        {"IMR": 22, "MMR": 11},
    ),
    (
        "span_ice_clear_us",
        "intermonth_method3",
        {
            "spreads": {"t1": 5, "t2": 0, "t1_t2": 5},
            "rates": {"t1": 100, "t2": 100, "t1_t2": 200},
        },
        {"charge": 1500},
    ),
    (
        "span_ice_clear_us",
        "intercommodity_planted",
        {"legs": [LEG, {**LEG, "delta": 8.0}], "credit_pct": 0.5},
        {"total": 7 - 0.5 * (14.5 / 4) * 4 + 7 - 0.5 * (14.5 / 8) * 4},
    ),
    (
        "uniswap_v3_lp",
        "note_example_3",
        {"P0": 2000, "P1": 2500, "Pa": 1333.33, "Pb": 3000, "x0": 2, "y0": 4000},
        {"x": 0.84936, "y": 6572.89, "dx": -1.15064, "dy": 2572.89},
    ),
    ("uniswap_v3_lp", "book_amounts", {"L": 1.5178823437515099e21}, {"amount1": 5e21}),
    ("var_backtests", "mathworks_normal95_cc", {}, {"lr_cc": 0.72013}),
    (
        "vega_protocol",
        "worked_example_1",
        {
            "open_volume": 10,
            "buys": 4,
            "sells": 8,
            "mark": 144,
            "linear_slippage": 0.25,
            "rf_long": 0.1,
            "rf_short": 0.1,
        },
        {"riskiest_long": 14, "riskiest_short": 0, "maintenance_with_orders": 705.6},
    ),
    (
        "vega_protocol",
        "isolated_offset_1",
        {"position": -5, "limit": 100, "size": 8, "margin_factor": 0.5},
        {"order_margin": 150},
    ),
]


@pytest.mark.parametrize(
    ("file", "name", "inputs", "expected"), CASES, ids=[f"{case[0]}/{case[1]}" for case in CASES]
)
def test_a_family_without_a_member_is_computed(
    file: str, name: str, inputs: dict[str, Any], expected: dict[str, Any]
) -> None:
    room = {
        key: 2e-5 * abs(leaf) if isinstance(leaf, float) else 1e-6 for key, leaf in expected.items()
    }
    vector = Vector(file, name, "derived", inputs, expected, room)
    vectors.judge(vector, families.families(file))
