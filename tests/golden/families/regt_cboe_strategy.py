"""Reg T and Cboe strategies."""

from typing import Any

from keeper.margin.methods import regt
from tests.golden.vectors import Family, Vector, fields


BROAD = {None: False, "narrow-based": False, "broad-based": True}


def strategy(vector: Vector) -> dict[str, Any]:
    raw = vector.inputs["underlying"]
    assert raw["kind"] == "Underlying"
    underlying = regt.Underlying(raw["price"], BROAD[raw["etf_type"]], raw["leverage_factor"])
    shares, options = None, []
    for leg in vector.inputs["legs"]:
        if leg["kind"] == "Shares":
            assert shares is None
            shares = regt.SharesLeg(leg["quantity"], leg["price"])
            continue
        assert leg["kind"] == "Option"
        call = {"C": True, "P": False}[leg["type"]]
        options.append(
            regt.OptionLeg(call, leg["strike"], leg["expiration"], leg["price"], leg["quantity"])
        )
    found = regt.require(tuple(options), shares, underlying)
    return {"margin": found.margin, "cash": found.cash}


def short_put(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    call = {"C": True, "P": False}[inputs["type"]]
    leg = regt.OptionLeg(call, inputs["K"], 0.0, inputs["price"], inputs["quantity"])
    margin = regt.require((leg,), None, regt.Underlying(inputs["S"])).margin
    return {"margin": margin, "call": margin - leg.premium}


def put_spread(vector: Vector) -> dict[str, Any]:
    """The broker counts the long's premium, and the short's only against the call."""
    long, short = vector.inputs["long"], vector.inputs["short"]
    bought = regt.OptionLeg(False, long["K"], 0.0, long["price"], 1.0)
    sold = regt.OptionLeg(False, short["K"], 0.0, short["price"], -1.0)
    margin = regt.defined_risk((bought, sold)) + sold.premium
    return {"margin": margin, "call": margin - sold.premium}


OPTION = {
    **fields("price quantity kind"),
    **fields("expiration? strike? type?"),
}
FAMILIES = (
    Family(("edelta_short_put*",), fields("S K price type quantity"), short_put),
    Family(
        ("edelta_put_spread*",),
        {"long": fields("K price"), "short": fields("K price")},
        put_spread,
    ),
    Family(
        ("*",),
        {"legs": [OPTION], "underlying": fields("etf_type leverage_factor price kind")},
        strategy,
    ),
)
