"""EMIR anti-procyclicality."""

from typing import Any

from keeper.margin import procyclicality as apc
from tests.golden.vectors import LIST, Family, Vector, fields


def options(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    return {
        "a_buffered": apc.buffered(inputs["current"], inputs["buffer"]),
        "b_weighted": apc.stress_weighted(inputs["current"], inputs["stressed"], inputs["weight"]),
        "c_floor": apc.floored(inputs["current"], inputs["ten_year"]),
    }


def path(vector: Vector) -> dict[str, Any]:
    series = vector.inputs["series"]
    return {
        "peak_to_trough": apc.peak_to_trough(series),
        "n_day_max_call": apc.largest_call(series, vector.inputs["n"]),
    }


FAMILIES = (
    Family(("options*",), fields("current stressed ten_year weight buffer"), options),
    Family(("peak_to_trough*",), fields("n", series=LIST), path),
)
