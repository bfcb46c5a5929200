"""dYdX v4."""

from typing import Any

from keeper.margin.methods import dydx
from tests.golden.vectors import Family, Vector, fields


def whole(value: float) -> int:
    assert value == int(value)
    return int(value)


def initial(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    names = ("open_interest", "lower_cap", "upper_cap")
    base = round(inputs["base_imf"] * dydx.PPM)
    fraction = dydx.scaled_fraction(base, *(whole(inputs[name]) for name in names))
    return {"initial_margin": dydx.initial_margin(whole(inputs["quote_quantums"]), fraction)}


def ppm(vector: Vector) -> dict[str, Any]:
    names = ("base_ppm", "open_interest", "lower", "upper")
    return {"ppm": dydx.scaled_ppm(*(whole(vector.inputs[name]) for name in names))}


FAMILIES = (
    Family(("im_*",), fields("base_imf quote_quantums open_interest lower_cap upper_cap"), initial),
    Family(("imf_ppm_*",), fields("base_ppm open_interest lower upper"), ppm),
)
