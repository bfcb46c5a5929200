"""Morpho Blue."""

from typing import Any

from keeper.margin.methods.morpho_blue import incentive
from tests.golden.vectors import Family, Vector, fields


def factor(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    return {"lif": incentive(inputs["lltv"], inputs["cursor"], inputs["max_lif"])}


FAMILIES = (Family(("lif_*",), fields("lltv cursor max_lif"), factor),)
