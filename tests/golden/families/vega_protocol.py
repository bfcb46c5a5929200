"""Vega."""

from typing import Any

from keeper.margin.methods import vega
from tests.golden.vectors import Family, Vector, fields


def factors(inputs: dict[str, Any]) -> vega.RiskFactors:
    return vega.RiskFactors(
        inputs["linear_slippage"], inputs.get("rf_long", 0.0), inputs.get("rf_short", 0.0)
    )


def maintenance(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    assert ("rf_short" if inputs["position"] < 0 else "rf_long") in inputs
    found = vega.maintenance(inputs["position"], inputs["mark"], factors(inputs))
    return {"maintenance": found}


def orders(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    held, buys, sells = inputs["open_volume"], inputs.get("buys", 0), inputs.get("sells", 0)
    found = vega.with_orders(held, buys, sells, inputs["mark"], factors(inputs))
    return {
        "riskiest_long": max(0, held + buys),
        "riskiest_short": min(0, held - sells),
        "maintenance_with_orders": found,
    }


def funding(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    interest = inputs.get("delta_t", 0.0) * inputs.get("interest", 0.0)
    clamps = (inputs.get("clamp_lower"), inputs.get("clamp_upper"))
    payment = vega.funding_payment(inputs["s_twap"], inputs["f_twap"], interest, clamps)
    total = vega.with_funding(
        inputs["base_margin"], inputs["funding_factor"], inputs["position"], payment
    )
    return {"funding_payment": payment, "total": total}


def isolated(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    margin = vega.isolated_margin(inputs["position"], inputs["entry"], inputs["margin_factor"])
    return {"margin": margin}


def order(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    margin = vega.isolated_order_margin(
        inputs["size"], inputs["limit"], inputs["margin_factor"], inputs.get("position", 0.0)
    )
    return {"order_margin": margin}


def collateralised(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    book = {"buy": [], "sell": []}
    for each in inputs.get("orders", []):
        book[each["side"]].append((each["size"], each["price"]))
    top = inputs["max_price"]
    held = vega.full_collateral(inputs["position"], inputs["entry"], top)
    asked = vega.full_collateral_orders(book["buy"], book["sell"], top)
    return {"position_margin": held, "order_margin": asked, "maintenance_total": held + asked}


ORDER = fields("limit size margin_factor position?")
FAMILIES = (
    Family(
        ("0019-MCAL-02*",),
        fields(
            "s_twap f_twap delta_t? interest? clamp_lower? clamp_upper? "
            "funding_factor position base_margin"
        ),
        funding,
    ),
    Family(
        ("0019-MCAL-21*",),
        fields("position mark linear_slippage rf_short? rf_long?"),
        maintenance,
    ),
    Family(
        ("worked_example_*",),
        fields("open_volume buys? sells? mark linear_slippage rf_long rf_short"),
        orders,
    ),
    Family(("isolated_0019-*",), fields("entry position margin_factor"), isolated),
    Family(("isolated_order_*", "isolated_offset_*"), ORDER, order),
    Family(
        ("fully_collateralised_*",),
        {**fields("max_price position entry"), "orders?": [fields("side size price")]},
        collateralised,
    ),
)
