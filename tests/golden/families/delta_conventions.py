"""Delta conventions."""

import math
from typing import Any

from keeper.margin.blackscholes import DeltaConvention, SpotOption, quoted_delta
from tests.golden.vectors import Family, Vector, fields


def delta(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    assert inputs["type"] in ("call", "put")
    option = SpotOption(
        spot=inputs["spot"],
        strike=inputs["strike"],
        rate=-math.log(inputs["domestic_df"]),
        yield_=-math.log(inputs["foreign_df"]),
        years=1.0,
        vol=inputs["std_dev"],
        call=inputs["type"] == "call",
    )
    return {"delta": quoted_delta(option, DeltaConvention(inputs["convention"]))}


FAMILIES = (
    Family(
        ("delta_*",),
        fields("type convention spot domestic_df foreign_df std_dev strike"),
        delta,
    ),
)
