"""Dederi."""

from typing import Any

from keeper.margin.methods import dederi
from tests.golden.vectors import LIST, Family, Vector, fields


def future(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    price = dederi.forward(inputs["index"], inputs["annualised_basis"], inputs["days"])
    return {
        "forward": price,
        "contingency": dederi.contingency(
            inputs["qty"], inputs["index"], inputs["contingency_factor"]
        ),
        "pnl": dederi.future_pnl(inputs["qty"], price, inputs["shocks"]),
    }


FAMILIES = (
    Family(
        ("future_*",),
        fields("index annualised_basis days qty contingency_factor", shocks=LIST),
        future,
    ),
)
