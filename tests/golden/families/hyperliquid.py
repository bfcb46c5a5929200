"""Hyperliquid."""

import re
from typing import Any

from keeper.margin import tiers
from keeper.margin.methods import hyperliquid
from tests.golden.vectors import LEAF, LIST, Family, Vector, fields


def price(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    found = tiers.isolated_by_leverage(
        inputs["entry"],
        tiers.side_of(inputs["side"]),
        inputs["size"],
        inputs["isolated_margin"],
        inputs["max_leverage"],
    )
    return {"liquidation_price": found}


def carry(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    borrowed = hyperliquid.auto_borrow(inputs["perp_btc"], inputs["price"], inputs["entry"])
    return {"auto_borrow_usdc": borrowed}


def threshold(vector: Vector) -> dict[str, Any]:
    return {"liquidation_threshold": hyperliquid.liquidation_threshold(vector.inputs["ltv"])}


def rate(vector: Vector) -> dict[str, Any]:
    return {"apy": [hyperliquid.borrow_rate(each) for each in vector.inputs["utilization"]]}


def tiered(vector: Vector) -> dict[str, Any]:
    steps = tiers.tiers_from_leverage([(float(a), float(b)) for a, b in vector.inputs["tiers"]])
    found: dict[str, Any] = {
        "deductions": [each.deduction for each in steps],
        "rates": [each.rate for each in steps],
    }
    for key in vector.expected:
        asked = re.fullmatch(r"mm_at_([0-9.]+(?:[eE][+-]?[0-9]+)?)(?:_.*)?", key)
        if asked:
            found[key] = tiers.tier_maintenance(steps, float(asked[1]))
    return found


FAMILIES = (
    Family(
        ("liq_*",), fields("symbol entry side size isolated_margin leverage max_leverage"), price
    ),
    Family(("pm_carry_*",), fields("spot_btc perp_btc entry price"), carry),
    Family(("pm_liq_threshold*",), fields("ltv"), threshold),
    Family(("pm_borrow_rate*",), {"utilization": LIST}, rate),
    Family(("tier_*",), {"tiers": [[LEAF]]}, tiered),
)
