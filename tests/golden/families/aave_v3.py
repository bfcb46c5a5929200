"""Aave v3.3+."""

from typing import Any

from keeper.margin.methods import aave_v3
from tests.golden.vectors import LEAF, LIST, Family, Vector, fields


def close_factor(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    debts = inputs.get("debts") or [inputs["debt"]]
    rules = aave_v3.AaveRules(bonus=1.0, small=inputs["threshold"])
    repaid = debts[inputs.get("reserve", 0)]
    limit = aave_v3.largest_repayment(rules, repaid, sum(debts), inputs["collateral"], inputs["hf"])
    return {"max_liquidatable": limit}


def seize(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    rules = aave_v3.AaveRules(bonus=inputs["bonus"], protocol_fee=inputs["protocol_fee"])
    repaid, gross, fee = aave_v3.seize(
        rules,
        inputs["debt_to_cover"],
        inputs["debt_price"],
        inputs["coll_price"],
        inputs["coll_balance"],
    )
    return {
        "collateral_gross": gross,
        "fee": fee,
        "liquidator_gets": gross - fee,
        "debt_repaid": repaid,
    }


def leftover(vector: Vector) -> dict[str, Any]:
    rules = aave_v3.AaveRules(bonus=1.0, leftover=vector.inputs["min_leftover"])
    return {
        f"{side}_{reserve}_partial_allowed_up_to": aave_v3.partial_limit(rules, value)
        for side in ("debt", "collateral")
        for reserve, value in vector.inputs[side].items()
    }


FAMILIES = (
    Family(
        ("close_factor_*",),
        {**fields("collateral hf threshold debt? reserve?"), "debts?": LIST},
        close_factor,
    ),
    Family(
        ("seize_*",),
        fields("debt_to_cover debt_price coll_price bonus protocol_fee coll_balance"),
        seize,
    ),
    Family(
        ("leftover*",),
        {"collateral": {"*": LEAF}, "debt": {"*": LEAF}, "min_leftover": LEAF},
        leftover,
    ),
)
