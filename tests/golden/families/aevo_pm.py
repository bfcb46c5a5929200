"""Aevo."""

from typing import Any

from keeper.margin.methods import aevo
from tests.golden.vectors import Family, Vector, fields


def ends(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    up, down = aevo.spot_ends(inputs["spot"], inputs["max_up"], inputs["max_down"])
    return {"up": up, "down": down}


FAMILIES = (Family(("spot_scenario*",), fields("spot max_up max_down"), ends),)
