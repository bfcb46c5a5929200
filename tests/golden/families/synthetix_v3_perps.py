"""Synthetix v3."""

from typing import Any

import numpy as np

from keeper.margin.methods import synthetix
from tests.golden.vectors import LIST, Family, Vector, fields


def account(vector: Vector) -> dict[str, Any]:
    inputs, markets = vector.inputs, vector.inputs["markets"]
    fills = [
        synthetix.fill_price(each["entry_index"], 0.0, each["size"], each["skew_scale"])
        for each in markets
    ]
    sizes = np.array([each["size"] for each in markets], float)
    profit = synthetix.profits(sizes, np.array(fills), np.array(inputs["prices"], float))
    return {
        "pnl": profit,
        "available_margin": synthetix.available_margin(inputs["collateral"], profit),
    }


MARKET = fields("name entry_index skew_scale size")
FAMILIES = (Family(("*",), {"collateral": None, "markets": [MARKET], "prices": LIST}, account),)
