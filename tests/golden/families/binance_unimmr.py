"""Binance unified maintenance margin ratio."""

from typing import Any

from keeper.margin.methods import binance
from tests.golden.vectors import LEAF, Family, Vector, fields


LEG = fields("q entry mark")


def profit(vector: Vector) -> dict[str, Any]:
    return {
        name: binance.profit(leg["q"], leg["entry"], leg["mark"], 1.0 if name == "long" else -1.0)
        for name, leg in vector.inputs.items()
    }


def loan(vector: Vector) -> dict[str, Any]:
    rate = vector.inputs["mmr"]
    loans = vector.inputs["loans"].items()
    return {coin: binance.loan_maintenance(amount, rate) for coin, amount in loans}


FAMILIES = (
    Family(("upnl*",), {"short?": LEG, "long?": LEG}, profit),
    Family(("loan_mm*",), {"loans": {"*": LEAF}, "mmr": LEAF}, loan),
)
