"""Uniswap v3 positions."""

from typing import Any

import numpy as np

from keeper.margin import lp
from tests.golden.vectors import LIST, Family, Vector, fields, wei


# The Q64.96 roots of book_liquidity, which book_amounts does not repeat: (lower, price, upper).
BOOK_ROOTS = (
    5341294542274603406682713227264,
    5602277097478614198912276234240,
    5875717789736564987741329162240,
)


def at(liquidity: float, span: lp.Range, price: float) -> tuple[float, float]:
    x, y = lp.amounts(liquidity, span, np.array([float(price)]))
    return float(x[0]), float(y[0])


def other_side(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    liquidity = lp.liquidity_of_x(inputs["x"], inputs["P"], inputs["Pb"])
    return {"y": at(liquidity, lp.Range(inputs["Pa"], inputs["Pb"]), inputs["P"])[1]}


def lower_end(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    liquidity = lp.liquidity_of_x(inputs["x"], inputs["P"], inputs["Pb"])
    return {"Pa": lp.lower_price(inputs["y"], liquidity, inputs["P"])}


def moved(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    span = lp.Range(inputs["Pa"], inputs["Pb"])
    x0, y0 = (inputs.get(name, inputs.get(f"{name}0")) for name in ("x", "y"))
    start = inputs.get("P0", inputs.get("P"))
    liquidity = lp.liquidity_of_amounts(x0, y0, start, span)
    x, y = at(liquidity, span, inputs["P1"])
    return {"L": liquidity, "x": x, "y": y, "dx": x - x0, "dy": y - y0}


def taken_up(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    span = lp.Range(inputs["Pa"], inputs["Pb"])
    liquidity = lp.liquidity_of_amounts(inputs["x"], inputs["y"], inputs["P"], span)
    x, y = at(liquidity, span, inputs["P"])
    return {"L": liquidity, "x": x, "y": y}


def book_liquidity(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    roots = tuple(wei(inputs[name]) for name in ("sqrtPl", "sqrtP", "sqrtPu"))
    low, here, high = roots
    from0, from1 = lp.wei_liquidity(
        wei(inputs["amount0"]), wei(inputs["amount1"]), (low, here, high)
    )
    return {
        "L0": from0,
        "L1": from1,
        "tick_c": lp.tick_of_root(here),
        "tick_l": lp.tick_of_root(low),
        "tick_u": lp.tick_of_root(high),
    }


def book_amounts(vector: Vector) -> dict[str, Any]:
    amount0, amount1 = lp.wei_amounts(float(vector.inputs["L"]), BOOK_ROOTS)
    return {"amount0": amount0, "amount1": amount1}


def reserves(vector: Vector) -> dict[str, Any]:
    pairs = [lp.reserves(vector.inputs["L"], price) for price in vector.inputs["P"]]
    return {"x": [x for x, _ in pairs], "y": [y for _, y in pairs]}


def loss(vector: Vector) -> dict[str, Any]:
    return {"il": lp.full_range_loss(vector.inputs["price_ratio"])}


FAMILIES = (
    Family(("note_example_1*",), fields("P Pa Pb x"), other_side),
    Family(("note_example_2*",), fields("P Pb x y"), lower_end),
    Family(("note_example_3*",), fields("P0? P? P1 Pa Pb x? y? x0? y0?"), moved),
    Family(("ui_test_*",), fields("P Pa Pb x y"), taken_up),
    Family(("book_liquidity*",), fields("sqrtP sqrtPl sqrtPu amount0 amount1"), book_liquidity),
    Family(("book_amounts*",), fields("L"), book_amounts),
    Family(("v2_reserves*",), fields("L", P=LIST), reserves),
    Family(("v2_il_*",), fields("price_ratio"), loss),
)
