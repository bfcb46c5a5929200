"""OKX."""

from typing import Any

from keeper.margin.methods import okx
from tests.golden.vectors import LEAF, LIST, Family, Vector, fields


def unit(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    risks = okx.Risks(
        mr1=okx.scenario_loss(inputs["scenario_pnl"]),
        mr2=inputs.get("mr2", 0.0),
        mr3=inputs.get("mr3", 0.0),
        mr4=inputs["mr4"],
        mr5=inputs.get("mr5", 0.0),
        mr6=okx.scenario_loss([inputs["mr6_pnl"]], okx.MR6_COVER),
        mr7=inputs["mr7"],
    )
    return {"mr1": risks.mr1, "mr6": risks.mr6, "mmr": risks.mmr, "imr": risks.imr}


def conversion(vector: Vector) -> dict[str, Any]:
    rate, found = vector.inputs["usdt_usd"], {}
    for coin, leg in vector.inputs.items():
        if coin != "usdt_usd":
            found[f"{coin}_delta"] = okx.in_usd(leg["amt"] * leg["ct"] * leg["mark"], rate)
            found[f"{coin}_upl"] = okx.in_usd(leg["float_pnl"], rate)
    return found


def totals(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    owed = (inputs["borrow_mmr"], inputs["borrow_imr"])
    derivatives, mmr, imr = okx.account_totals(inputs["unit_mmr"], inputs["unit_imr"], owed)
    return {"derivMmr": derivatives, "totalMmr": mmr, "totalImr": imr}


def stable(vector: Vector) -> dict[str, Any]:
    amounts, rates = zip(*vector.inputs["tiers"], strict=True)
    return {"mr9": okx.stable_charge(amounts, rates)}


def linearity(vector: Vector) -> dict[str, Any]:
    ends = {name.removesuffix("_end"): value for name, value in vector.inputs.items()}
    found: dict[str, Any] = {coin: okx.linear_steps(end) for coin, end in ends.items()}
    return {**found, "mr6": [okx.linear_extreme(end) for end in ends.values()]}


def borrow(vector: Vector) -> dict[str, Any]:
    mmr, imr = okx.borrow(vector.inputs["eq_usd"])
    return {"borrow_mmr": mmr, "borrow_imr": imr}


FAMILIES = (
    Family(
        ("*_swap_*",),
        fields("mr6_pnl mr4 mr7 mr2? mr3? mr5?", scenario_pnl=LIST),
        unit,
    ),
    Family(
        ("usdt_conversion*",), {"usdt_usd": LEAF, "*": fields("amt ct mark float_pnl")}, conversion
    ),
    Family(
        ("account_totals*",),
        fields("borrow_mmr borrow_imr", unit_mmr=LIST, unit_imr=LIST),
        totals,
    ),
    Family(("mr9_*",), {"tiers": [[LEAF]]}, stable),
    Family(("scenario_linearity*",), fields("btc_end? ltc_end? eth_end?"), linearity),
    Family(("borrow_rates*",), fields("eq_usd"), borrow),
)
