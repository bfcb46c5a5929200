"""Binance, Gate, OKX and Bybit liquidation prices."""

from typing import Any

from keeper.margin import tiers
from tests.golden.vectors import Family, Vector, fields


POSITION = fields("pair ep q mark mmr cum")


def holding(raw: dict[str, Any]) -> tiers.Holding:
    return tiers.Holding(raw["q"], raw["ep"], raw["mark"], raw["mmr"], raw["cum"])


def isolated(vector: Vector) -> dict[str, Any]:
    target = holding(vector.inputs["position"])
    return {"liquidation_price": tiers.tiered_price(vector.inputs["wallet"], target)}


def cross(vector: Vector) -> dict[str, Any]:
    wanted, all_ = vector.inputs["target"], vector.inputs["positions"]
    target = next(each for each in all_ if each["pair"] == wanted)
    others = tuple(holding(each) for each in all_ if each["pair"] != wanted)
    return {
        "liquidation_price": tiers.tiered_price(vector.inputs["wallet"], holding(target), others)
    }


def by_side(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    side = tiers.side_of(inputs["side"])
    held = tiers.Holding(
        side * inputs["amount"], inputs["entry"], inputs["entry"], inputs["mmr"], inputs["cum"]
    )
    return {"liquidation_price": tiers.tiered_price(inputs["wallet"], held)}


def with_fee(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    price = tiers.isolated_with_fee(
        inputs["entry"],
        tiers.side_of(inputs["side"]),
        inputs["wallet"],
        inputs["amount"],
        inputs["mmr"] + inputs["taker_fee"],
    )
    return {"liquidation_price": price}


def bybit(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    side = tiers.side_of(inputs["side"])
    price = tiers.isolated_bybit(inputs["entry"], side, inputs["leverage"], inputs["mmr"])
    return {"liquidation_price": price}


SIDED = "side leverage entry amount mmr"
FAMILIES = (
    Family(("isolated_*",), fields("wallet", position=POSITION), isolated),
    Family(("cross_*",), fields("wallet target", positions=[POSITION]), cross),
    Family(("binance_iso_*",), fields(f"{SIDED} cum wallet"), by_side),
    Family(("okx_gate_iso_*",), fields(f"{SIDED} taker_fee wallet"), with_fee),
    Family(("bybit_iso_*",), fields(SIDED), bybit),
)
