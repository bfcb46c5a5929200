"""FINRA 4210(g) and TIMS."""

from typing import Any

from keeper.margin.methods import finra, regt
from tests.golden.vectors import Family, Vector, fields


def stock(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    shares, price = inputs["shares"], inputs["price"]
    return {
        "pm": finra.stock_requirement(shares, price, inputs["range"]),
        "regt": regt.stock_initial(shares, price),
    }


def points(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    moves = finra.valuation_points(inputs["low"], inputs["high"], inputs["n"])
    return {"points_pct_spacing_both_ways_excl_0": moves}


FAMILIES = (
    Family(("schwab_long_stock*",), fields("shares price range points?"), stock),
    Family(("ten_points_*",), fields("low high n"), points),
)
