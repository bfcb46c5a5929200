"""Generalised Black-Scholes."""

from dataclasses import asdict
from typing import Any

from keeper.margin.blackscholes import SpotOption, spot_greeks
from tests.golden.vectors import Family, Vector, fields


def priced(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    assert inputs["type"] in ("call", "put")
    found = asdict(
        spot_greeks(
            SpotOption(
                spot=inputs["S"],
                strike=inputs["K"],
                rate=inputs["r"],
                yield_=inputs["q"],
                years=inputs.get("T_used", inputs["T"]),
                vol=inputs["sigma"],
                call=inputs["type"] == "call",
            )
        )
    )
    if "greek" not in inputs:
        return {"price": found["price"]}
    found["theta_per_day_365"] = found["theta"] / 365.0
    return {"value": found[inputs["greek"]]}


OPTION = "type K S q r T T_used? sigma"
FAMILIES = (
    Family(("value_*", "bs_*"), fields(OPTION), priced),
    Family(("greek_*",), fields(f"greek {OPTION}"), priced),
)
