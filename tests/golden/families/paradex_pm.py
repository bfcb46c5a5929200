"""Paradex: portfolio margin through the keeper's own Form, cross margin by its rules."""

from datetime import datetime
from typing import Any

import numpy as np

from keeper.margin.addons import hedged_delta
from keeper.margin.book import Book, Kind, Listing, Market
from keeper.margin.methods import paradex
from keeper.margin.revaluation import Observed
from keeper.margin.shocks import Shock, VolRule
from tests.golden.vectors import Family, Vector, fields


def portfolio(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    names = sorted({each["market"] for each in inputs["positions"]})
    data = [inputs["market_data"][name] for name in names]
    market = as_market(names, data, seconds_left(inputs))
    quantity = np.zeros(len(names))
    for each in inputs["positions"]:
        side = {"BUY": 1.0, "SELL": -1.0}[each["side"]]
        quantity[names.index(each["market"])] += side * each["size"]
    zero = np.zeros(1)
    rows = np.arange(len(names), dtype=np.int32)
    book = Book(np.array([0, len(names)]), rows, quantity, zero, zero)
    columns = {
        ours: np.array([float(each[theirs]) for each in data])
        for ours, theirs in (
            ("mark", "mark_price"),
            ("delta", "delta"),
            ("funding", "funding_rate"),
        )
    }
    found = configured(inputs["pm_config"]).assess(book, market, Observed(**columns))
    fees = sum(
        abs(held) * each["fee_rate"] * each["underlying_price"]
        for held, each in zip(quantity, data, strict=True)
    )
    return {
        "IMR": found.result.im[0] + fees,
        "MMR": found.result.mm[0] + fees,
        "worst_loss": found.loss[0],
        "worst_idx": int(found.pnl[0].argmin()),
        "delta_min": found.charged.floor[0],
        "fund_p": found.charged.outside[0],
    }


def configured(raw: dict[str, Any]) -> Any:
    vol = raw["vol_shock_params"]
    return paradex.method(
        tuple(
            Shock(spot=each["spot_shock"], vol=each["vol_shock"], weight=each["weight"])
            for each in raw["scenarios"]
        ),
        VolRule(
            short_power=vol["vega_power_short_dte"],
            long_power=vol["vega_power_long_dte"],
            floor_days=vol["dte_floor_days"],
            floor_up=vol["min_vol_shock_up"],
        ),
        (raw["unhedged_margin_factor"], raw["hedged_margin_factor"]),
        raw["mmf_factor"],
    )


def seconds_left(inputs: dict[str, Any]) -> float:
    start, end = (datetime.fromisoformat(inputs[name]) for name in ("now", "expiry"))
    return (end - start).total_seconds()


def as_market(names: list[str], data: list[dict[str, Any]], seconds: float) -> Market:
    kinds, strikes = [], []
    for name in names:
        parts = name.split("-")
        option = parts[-1] in ("C", "P")
        kinds.append({"C": Kind.CALL, "P": Kind.PUT}[parts[-1]] if option else Kind.PERPETUAL)
        strikes.append(float(parts[-2]) if option else 0.0)
    kind = np.array(kinds, np.int8)
    expiry = np.where(kind <= Kind.PUT, 0, -1).astype(np.int32)
    listing = Listing(kind, np.zeros(len(names), np.int32), expiry, np.array(strikes))
    spot = np.array([data[0]["underlying_price"]])
    assert all(each["underlying_price"] == spot[0] for each in data), "one underlying is known"
    marks = [each["mark_price"] for each, k in zip(data, kinds, strict=True) if k == Kind.PERPETUAL]
    one, count = np.ones(1), len(names)
    return Market(
        listing=listing,
        seconds=np.array([seconds]),
        forward_fixed=np.zeros(1),
        forward_variable=spot,
        rate=np.zeros(1),
        expiry_confidence=one,
        spot=spot,
        spot_confidence=one,
        perp_price=np.array([marks[0] if marks else 0.0]),
        perp_confidence=one,
        stable=1.0,
        vol=np.array([float(each["mark_iv"] or 0.0) for each in data]),
        price=np.zeros(count),
        confidence=np.ones(count),
        usable=np.ones(count, np.bool_),
    )


def least_delta(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    deltas = np.array([leg["delta"] * leg["qty"] for leg in inputs["legs"]])
    net, gross, hedged = hedged_delta(deltas)
    factors = (inputs["net_factor"], inputs["hedged_factor"])
    return {
        "net_delta": net,
        "gross_delta": gross,
        "hedged_delta": hedged,
        "min_delta_requirement": paradex.least_delta(deltas, inputs["spot"], factors),
    }


def orders(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    buy, sell = paradex.open_sizes(inputs["position"], inputs["buy_orders"], inputs["sell_orders"])
    rates = (inputs["imf"], inputs["mmf"], inputs["fee"])
    net, fee, mmr = paradex.cross_perpetual(
        inputs["position"], max(buy, sell), inputs["mark"], rates
    )
    return {"buy_open": buy, "sell_open": sell, "net_imr": net, "fee_imr": fee, "mmr": mmr}


def short(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    call = inputs.get("type", "put" if "put" in vector.id else "call").lower() in ("call", "c")
    rates = (inputs["short_itm"], inputs["short_otm"])
    imr = paradex.cross_short(inputs["size"], inputs["spot"], inputs["strike"], call, rates)
    return {"imr": imr}


def long(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    rates = (inputs["premium_multiplier"], inputs["long_itm"])
    return {"imr": paradex.cross_long(inputs["size"], inputs["spot"], inputs["mark"], rates)}


def setting(name: str, row: dict[str, Any], inputs: dict[str, Any]) -> Any:
    """Return a rate or a block of rates: the market's own, else the vector's."""
    places = (row, inputs, inputs.get("xm_config", {}))
    return next(place[name] for place in places if name in place)


def fixture(vector: Vector) -> dict[str, Any]:
    """Sum the cross margins of perpetuals and options."""
    inputs, found = vector.inputs, {"IMR": 0.0, "MMR": 0.0}
    for each in inputs["positions"]:
        row, size = inputs["market_data"][each["market"]], each["size"]
        kind, mark = each["market"].split("-")[-1], row["mark_price"]
        if kind == "PERP":
            rates = tuple(setting(name, row, inputs) for name in ("imf_base", "mmf_factor"))
            net, _, maintenance = paradex.cross_perpetual(size, size, mark, (*rates, 0.0))
            found["IMR"] += net
            found["MMR"] += maintenance
            continue
        for key, name in (("IMR", "imf"), ("MMR", "mmf")):
            block, spot = setting(name, row, inputs), row["underlying_price"]
            if each["side"] == "BUY":
                pair = (block["premium_multiplier"], block["long_itm"])
                found[key] += paradex.cross_long(size, spot, mark, pair)
            else:
                strike = float(each["market"].split("-")[-2])
                pair = (block["short_itm"], block["short_otm"])
                found[key] += paradex.cross_short(size, spot, strike, kind == "C", pair)
    return found


POSITION = fields("market side size")
DATA = fields("mark_price delta mark_iv underlying_price funding_rate interest_rate? fee_rate")
CONFIG = fields(
    "base_asset? hedged_margin_factor unhedged_margin_factor mmf_factor",
    vol_shock_params=fields(
        "vega_power_short_dte vega_power_long_dte dte_floor_days min_vol_shock_up"
    ),
    scenarios=[fields("spot_shock vol_shock weight")],
)
RATES = fields("premium_multiplier? long_itm? short_itm? short_otm?")
CROSS = {**fields("imf_base? mmf_factor?"), "imf?": RATES, "mmf?": RATES}
FAMILIES = (
    Family(
        ("pm_*",),
        fields("now expiry", positions=[POSITION], market_data={"*": DATA}, pm_config=CONFIG),
        portfolio,
    ),
    Family(
        ("min_delta_*",),
        fields("spot net_factor hedged_factor", legs=[fields("delta qty")]),
        least_delta,
    ),
    Family(("xm_orders_*",), fields("position buy_orders sell_orders mark imf mmf fee"), orders),
    Family(("xm_short_*",), fields("spot strike size short_itm short_otm type?"), short),
    Family(("xm_long_*",), fields("spot mark size premium_multiplier long_itm strike?"), long),
    Family(
        ("xm_fixture_*",),
        {
            "positions": [POSITION],
            "market_data": {
                "*": {
                    **fields("mark_price underlying_price? delta? mark_iv? funding_rate?"),
                    **fields("interest_rate? fee_rate?"),
                    **CROSS,
                }
            },
            "xm_config?": CROSS,
            **CROSS,
        },
        fixture,
    ),
)
