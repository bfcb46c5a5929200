"""SVI."""

from typing import Any

from keeper.margin.surface import RawSvi, log_moneyness, surface_vol
from tests.golden.vectors import Family, Vector, fields


def smile(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    fit = RawSvi(*(inputs[name] for name in ("a", "b", "rho", "m", "sigma")))
    moneyness = log_moneyness(inputs["strike"], inputs["forward"])
    return {
        "total_variance": fit.variance(moneyness),
        "vol": surface_vol(((inputs["T"], fit),), moneyness, inputs["T"]),
    }


FAMILIES = (Family(("svi_*",), fields("a b sigma rho m T forward strike"), smile),)
