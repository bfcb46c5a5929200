"""Compound III."""

from typing import Any

from keeper.margin.methods import compound_v3
from tests.golden.vectors import LIST, Family, Vector, fields


def liquidatable(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    counted = inputs["collateral"] * inputs["price"] * inputs["liquidate_cf"]
    return {"liquidatable": compound_v3.liquidatable(inputs["debt"], counted)}


def quote(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    names = ("base_amount", "price", "store_front_price_factor", "liquidation_factor")
    return {"collateral": compound_v3.quote_collateral(*(inputs[name] for name in names))}


def absorb(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    debts = tuple(inputs["debts"])
    nothing = (0.0,) * len(debts)
    borrow, reserves = compound_v3.absorb(
        inputs["total_borrow"], inputs["reserves"], debts, nothing
    )
    return {"total_borrow_after": borrow, "reserves_after": reserves}


FAMILIES = (
    Family(("is_liquidatable_*",), fields("debt collateral liquidate_cf price"), liquidatable),
    Family(
        ("quote_collateral_*",),
        fields("base_amount price store_front_price_factor liquidation_factor"),
        quote,
    ),
    Family(("absorb_no_collateral*",), fields("total_borrow reserves", debts=LIST), absorb),
)
