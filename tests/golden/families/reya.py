"""Reya."""

from typing import Any

from keeper.margin.methods import reya
from tests.golden.vectors import LEAF, LIST, Family, Vector, fields


def exposure(vector: Vector) -> dict[str, Any]:
    return {"exposure": reya.exposure(vector.inputs["units"], vector.inputs["price"])}


def two_asset(vector: Vector) -> dict[str, Any]:
    return {"lmr": reya.liquidation_margin(vector.inputs["E"], vector.inputs["A"])}


FAMILIES = (
    Family(("exposure*",), fields("units price"), exposure),
    Family(("two_asset*",), {"E": LIST, "A": [[LEAF]]}, two_asset),
)
