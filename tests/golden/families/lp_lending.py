"""Panoptic and Revert Lend."""

from typing import Any

from keeper.margin.methods import lp_lending
from tests.golden.vectors import Family, Vector, fields


def panoptic(vector: Vector) -> dict[str, Any]:
    names = ("utilization", "seller", "buyer", "target", "saturated")
    sell, buy = lp_lending.panoptic_ratios(*(vector.inputs[name] for name in names))
    return {"sell": sell, "buy": buy}


def revert(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    found = lp_lending.revert_liquidation(
        inputs["debt"],
        inputs["full_value"],
        inputs["collateral_value"],
        (inputs["min_penalty"], inputs["max_penalty"]),
    )
    return {"liq_value": found.liq_value, "cost": found.cost, "reserve": found.reserve}


FAMILIES = (
    Family(("panoptic_ratio_*",), fields("utilization seller buyer target saturated"), panoptic),
    Family(
        ("revert_liq_*",),
        fields("debt full_value collateral_value min_penalty max_penalty"),
        revert,
    ),
)
