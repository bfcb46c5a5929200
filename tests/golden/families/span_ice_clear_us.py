"""CME SPAN as ICE Clear US runs it."""

from typing import Any

import numpy as np

from keeper.margin.methods import span
from tests.golden.vectors import LEAF, LIST, Family, Vector, fields


def scan(vector: Vector) -> dict[str, Any]:
    arrays, held = vector.inputs["risk_arrays"], vector.inputs["positions"]
    found = span.scan_risk(
        np.array([arrays[name] for name in held], float), np.array(list(held.values()), float)
    )
    return {
        "summary_array": found.summary,
        "scan_risk": found.risk,
        "active_scenario": found.active,
    }


def method2(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    spreads = span.month_spreads(inputs["long_delta"], inputs["short_delta"])
    charge = span.spread_charge(np.array([spreads]), np.array([inputs["rate"]]))
    return {"spreads": spreads, "charge": charge}


def method3(vector: Vector) -> dict[str, Any]:
    spreads, rates = vector.inputs["spreads"], vector.inputs["rates"]
    assert set(spreads) == set(rates)
    count = np.array(list(spreads.values()), float)
    return {"charge": span.spread_charge(count, np.array([rates[name] for name in spreads]))}


def delivery(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    found = {}
    for name, count, rate in (
        ("spread_charge", "spreads", "spread_rate"),
        ("delivery_charge", "outrights", "delivery_rate"),
    ):
        found[name] = span.spread_charge(np.array([inputs[count]]), np.array([inputs[rate]]))
    return found


def minimum(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    return {"som": span.short_option_minimum(inputs["short_options"], inputs["rate"])}


def initial(vector: Vector) -> dict[str, Any]:
    return {"initial": span.initial_margin(vector.inputs["maintenance"], vector.inputs["ratio"])}


def future(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    extreme = span.Extreme(inputs["extreme_multiple"], inputs["extreme_cover"])
    return {"array": span.futures_array(inputs["price_scan_range"], extreme)}


def reprice(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    assert inputs["model"] == "Black-76"
    assert inputs["vol_shift_kind"] in ("absolute", "relative")
    assert ("put" in vector.id) != ("call" in vector.id)
    shift = inputs["vol_shift"]
    if inputs["vol_shift_kind"] == "relative":
        shift *= inputs["sigma"]
    option = span.OptionModel(
        futures=inputs["F"],
        strike=inputs["K"],
        vol=inputs["sigma"],
        price=inputs["price"],
        years=inputs["T_years"],
        call="call" in vector.id,
    )
    scanned = span.ScanRange(
        points=inputs["price_scan_range_points"],
        vol=shift,
        decay_years=inputs["decay_years"],
        point_value=inputs["contract_multiplier_per_point"],
        extreme=span.Extreme(inputs["extreme_multiple"], inputs["extreme_cover"]),
    )
    return {"array": span.option_array(option, scanned)}


def inter_commodity(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    raw = inputs.get("legs", {name: each for name, each in inputs.items() if name != "credit_pct"})
    named = raw if isinstance(raw, dict) else dict(enumerate(raw))
    legs = {
        name: span.Leg(
            np.array(each["array"], float),
            each["delta"],
            each["ratio"],
            each.get("credit_pct", inputs.get("credit_pct")),
        )
        for name, each in named.items()
    }
    spreads, credits_ = span.inter_commodity(tuple(legs.values()))
    found: dict[Any, Any] = {"spreads": spreads, "n": spreads}
    parts = []
    for (name, leg), credit in zip(legs.items(), credits_, strict=True):
        part = {
            "scan": leg.scan,
            "paired": leg.paired,
            "time_risk": leg.time_risk,
            "futures_price_risk": leg.futures_price_risk,
            "wfpr": leg.price_risk,
            "credit": credit,
            "margin": leg.scan - credit,
        }
        parts.append(part)
        found[name] = part
        found.update({f"{name}_{key}": value for key, value in part.items()})
    found["total"] = sum(part["margin"] for part in parts)
    found.update({key: [part[key] for part in parts] for key in parts[0]})
    return found


LEG = {**fields("delta ratio credit_pct?"), "array": LIST}
FAMILIES = (
    Family(("scan_*",), {"risk_arrays": {"*": LIST}, "positions": {"*": LEAF}}, scan),
    Family(("intermonth_method2*",), fields("long_delta short_delta rate"), method2),
    Family(("intermonth_method3*",), {"spreads": {"*": LEAF}, "rates": {"*": LEAF}}, method3),
    Family(("delivery_method2*",), fields("spreads outrights spread_rate delivery_rate"), delivery),
    Family(("short_option_minimum*",), fields("short_options rate"), minimum),
    Family(("initial_over_maintenance*",), fields("maintenance ratio"), initial),
    Family(("future_array*",), fields("price_scan_range extreme_multiple extreme_cover"), future),
    Family(
        ("reprice_*",),
        fields(
            "model F K sigma price T_years vol_shift vol_shift_kind decay_years "
            "price_scan_range_points contract_multiplier_per_point extreme_multiple extreme_cover"
        ),
        reprice,
    ),
    Family(("intercommodity_*",), {"legs": [LEG], "credit_pct?": LEAF}, inter_commodity),
    Family(("intercommodity_*",), {"legs": {"*": LEG}, "credit_pct?": LEAF}, inter_commodity),
    Family(("intercommodity_*",), {"*": LEG, "credit_pct?": LEAF}, inter_commodity),
)
