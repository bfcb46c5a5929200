"""Deribit."""

from typing import Any

import numpy as np

from keeper.margin.methods import deribit
from tests.golden.vectors import LEAF, LIST, Family, Vector, fields


def simulated(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    rules = deribit.Rules(
        price_range=inputs["price_range"],
        buckets_each_side=inputs["buckets_each_side"],
        pnl_offset=inputs["pnl_offset"],
        min_annualised_move=inputs["min_annualised_move"],
        mm_factor=inputs["mm_factor"],
        delta_threshold_usd=inputs["delta_total_liq_shock_threshold_usd"],
    )
    found = deribit.simulate(
        rules,
        np.array(list(inputs["positions"].values())),
        inputs["index"],
        inputs.get("mmp_margin", 0.0),
        inputs.get("open_orders_margin", 0.0),
    )
    return {name: getattr(found, name) for name in found.__slots__}


def extended(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    found = deribit.extended(inputs["extended_raw"], inputs["dampener_usd"], inputs["index"])
    return {"extended_aggregated": found}


UNUSED = (
    "volatility_range_up? volatility_range_down? short_term_vega_power? long_term_vega_power? "
    "min_volatility_for_shock_up? extended_dampener_usd? extended_table_factor? "
    "max_offsetable_pnl? annualised_move_risk? max_delta_shock? m_inc?"
)
USED = (
    "index price_range buckets_each_side pnl_offset min_annualised_move "
    "delta_total_liq_shock_threshold_usd mm_factor mmp_margin? open_orders_margin?"
)
FAMILIES = (
    Family(
        ("btc_*", "eth_*"),
        {**fields(f"{USED} {UNUSED}"), "positions": {"*": LEAF}, "mark?": {"*": LEAF}},
        simulated,
    ),
    Family(("extended_*",), fields("dampener_usd index", extended_raw=LIST), extended),
)
