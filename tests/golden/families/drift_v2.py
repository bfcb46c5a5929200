"""Drift v2."""

from typing import Any

from keeper.margin.methods import drift
from tests.golden.vectors import LIST, Family, Vector, fields


# What `same: true` stands for, by the file's own `how`.
SAME = {
    "usdc_deposit": 20_000,
    "sol_borrow": 100,
    "sol_price": 100,
    "liab_weight_initial": 1.2,
    "isolated": {
        "base": 100,
        "quote": -11_000,
        "oracle": 100,
        "collateral": 100,
        "ratio_initial": 0.1,
    },
}


def asset(vector: Vector) -> dict[str, Any]:
    size = drift.size_of(vector.inputs["tokens"])
    factor, weight = vector.inputs["imf_factor"], vector.inputs["base_weight"]
    return {"weight": drift.asset_weight(size, factor, weight)}


def profit(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    weight = drift.profit_weight(inputs["upnl_usd"], inputs["imf_factor"], inputs["base_weight"])
    return {"weight": weight}


def liability(vector: Vector) -> dict[str, Any]:
    size = drift.size_of(vector.inputs["tokens"])
    factor, weight = vector.inputs["imf_factor"], vector.inputs["base_weight"]
    return {"weight": drift.liability_weight(size, factor, weight)}


def perpetual(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    size = drift.size_of(abs(inputs["base"]))
    ratio = drift.liability_weight(
        size, round(inputs["imf"] * 10**6), round(inputs["margin_ratio_initial"] * 10**4)
    )
    oracle = round(inputs["oracle"] * 10**6)
    return {"ratio": ratio, "requirement_usd_1e6": drift.perpetual_requirement(size, oracle, ratio)}


def scaled(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    weights = [
        drift.scaled_weight(each, inputs["price"], inputs["weight"], inputs["scale_start_usd"])
        for each in inputs["deposits"]
    ]
    return {"weights": weights}


def cross_and_isolated(vector: Vector) -> dict[str, Any]:
    inputs = {**SAME, **vector.inputs} if vector.inputs.get("same") else vector.inputs
    own, buffer = inputs["isolated"], inputs.get("buffer", 0.0)
    owed = inputs["sol_borrow"] * inputs["sol_price"]
    position = (own["base"], own["quote"], own["oracle"])
    found: dict[str, Any] = {"cross_collateral": inputs["usdc_deposit"]}
    for suffix, extra in (("", 0.0), ("_plus_buffer", buffer)):
        needed, held = drift.isolated_account(
            position, own["collateral"], own["ratio_initial"], extra
        )
        found[f"isolated_requirement{suffix}"] = needed
        found[f"isolated_collateral{suffix}"] = held
        weight = inputs["liab_weight_initial"]
        found[f"cross_requirement{suffix}"] = drift.cross_requirement(owed, weight, extra)
    return found


def quote_borrow(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    owed, weight = inputs["borrow"], inputs["liab_weight"]
    return {
        "requirement": drift.cross_requirement(owed, weight),
        "plus_buffer": drift.buffered_weighted(owed, weight, inputs["buffer"]),
    }


def off_peg(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    notional = inputs["perp_notional_quote"] * inputs["usdc"]
    return {
        "requirement": drift.cross_requirement(notional, inputs["ratio"]),
        "collateral": inputs["usdc_deposit"] * inputs["usdc"],
    }


SIZED = fields("tokens imf_factor base_weight")
ISOLATED = fields("base quote oracle collateral ratio_initial")
FAMILIES = (
    Family(("asset_weight_*",), SIZED, asset),
    Family(("upnl_weight_*",), fields("upnl_usd imf_factor base_weight"), profit),
    Family(("liability_weight_*",), SIZED, liability),
    Family(("perp_initial_*",), fields("base oracle margin_ratio_initial imf"), perpetual),
    Family(
        ("scaled_asset_weight*",),
        fields("price weight scale_start_usd", deposits=LIST),
        scaled,
    ),
    Family(
        ("cross_plus_isolated*",),
        {
            **fields("same? buffer? usdc_deposit? sol_borrow? sol_price? liab_weight_initial?"),
            "isolated?": ISOLATED,
        },
        cross_and_isolated,
    ),
    Family(("quote_borrow_buffer*",), fields("borrow buffer liab_weight"), quote_borrow),
    Family(
        ("usdc_off_peg_perp*",),
        fields("perp_notional_quote ratio usdc usdc_deposit"),
        off_peg,
    ),
)
