"""VaR and ES estimators; mind the signs: see the file's `how`."""

from typing import Any

import numpy as np

from keeper.margin import var
from tests.golden.vectors import LEAF, LIST, Family, Vector, fields


def one_asset(vector: Vector) -> dict[str, Any]:
    returns, confidence = np.array(vector.inputs["returns"]), vector.inputs["p"]
    normal, empirical = var.gaussian(returns, confidence), var.historical(returns, confidence)
    return {
        "var_gaussian": -normal.var,
        "es_gaussian": -normal.es,
        "var_historical": -empirical.var,
        "es_historical": -empirical.es,
        "var_modified": -var.cornish_fisher(returns, confidence),
    }


def portfolio(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    weights = np.array(inputs.get("weights", inputs.get("w")))
    found = var.component_gaussian(np.array(inputs["returns"]), weights, inputs["p"])
    return {"var": found.var, "component": found.component, "marginal": found.marginal}


def single(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    deviation = var.horizon_deviation(inputs["position"], inputs["daily_vol"], inputs["days"])
    return {"sd10": deviation, "var": inputs["z"] * deviation}


def joint(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    deviation = var.joint_deviation(inputs["sd"], inputs["rho"])
    apart, together = (
        inputs["z"] * var.horizon_deviation(each, 1.0, inputs["days"])
        for each in (sum(inputs["sd"]), deviation)
    )
    return {"sd1": deviation, "var": together, "diversification": apart - together}


def joint_rounded(vector: Vector) -> dict[str, Any]:
    """The source rounds the deviation to whole money before it multiplies."""
    inputs = vector.inputs
    deviation = round(var.joint_deviation(inputs["sd10"], inputs["rho"]))
    return {"sd": deviation, "var": inputs["z"] * deviation}


FAMILIES = (
    Family(("edhec_ca_*",), fields("p", returns=LIST), one_asset),
    Family(
        ("edhec_component_*",),
        {"p": LEAF, "returns": [[LEAF]], "w?": LIST, "weights?": LIST},
        portfolio,
    ),
    Family(("hull_microsoft*", "hull_att*"), fields("position daily_vol z days"), single),
    Family(("hull_portfolio_4e*",), fields("rho z", sd10=LIST), joint_rounded),
    Family(("hull_portfolio*",), fields("rho z days", sd=LIST), joint),
)
