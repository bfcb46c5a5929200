"""Every methodology by name: how exact it is, where it comes from, and how it is made.

`keeper margin --list` prints this table. A row without `make` is a set of rules for a venue's own
state, reached through its module: liquidation amounts, strategy matching, prices of one position.
Not imported by the methods themselves, so that a keeper loads only the one it runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from keeper.margin.addons import Charges
from keeper.margin.book import Kind, Market, Method
from keeper.margin.errors import BadShape, UnknownName
from keeper.margin.methods import (
    aevo,
    bybit,
    dederi,
    deribit,
    finra,
    kraken,
    okx,
    paradex,
    pmrm1,
    span,
    span2,
    srm,
)
from keeper.margin.methods.custom import build, known
from keeper.margin.methods.defaults import pmrm2_mainnet
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.methods.pmrm2_parameters import Collateral
from keeper.margin.methods.tiered import Tiered
from keeper.margin.shocks import Shock, VolRule, historical
from keeper.margin.tiers import tiers_from_leverage


EXACT, OUTLINE = "exact", "outline"
Options = Mapping[str, Any]
Make = Callable[[Options, Market], Method]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: make(options, market) → method; `options` names what may be set."""

    exactness: str
    source: str
    module: str
    make: Make | None = None
    options: tuple[str, ...] = ()


def names() -> tuple[str, ...]:
    """Return all names in the table's order."""
    return tuple(TABLE)


def make(name: str, options: Options, market: Market) -> Method:
    """Return a method by name for a market's listing; errors name the option and the cure."""
    known(name, names(), "method")
    entry = TABLE[name]
    if entry.make is None:
        cure = f"call keeper.margin.{entry.module}; it has no book of positions"
        raise UnknownName("method", name, cure)
    for key in options:
        if not entry.options:
            raise UnknownName(f"options.{key}", key, f"{name} has no options")
        known(key, entry.options, f"options.{key}")
    try:
        return entry.make(options, market)
    except TypeError as error:
        cure = f"give every option {name} needs, each of its type: {', '.join(entry.options)}"
        raise BadShape("options", dict(options), cure) from error
    except KeyError as error:
        cure = f"one of {', '.join(entry.options)} is missing or has no such value"
        raise UnknownName("options", error.args[0], cure) from error


def _pmrm2(options: Options, market: Market) -> Method:
    bases = int(np.count_nonzero(market.listing.kind == Kind.BASE))
    parameters = pmrm2_mainnet(bases)
    if "collateral" in options:
        own = _built(Collateral, options, "collateral", bases)
        parameters = replace(parameters, collateral=own)
    return Pmrm2(parameters)


def _srm(options: Options, market: Market) -> Method:
    coins = len(market.spot)
    if "rules" in options:
        return srm.Srm(_built(srm.SrmRules, options, "rules", coins))
    return srm.Srm((srm.SrmRules(),) * max(coins, 1))


def _built(kind: type[Any], options: Options, key: str, count: int | None = None) -> Any:
    """Return a tuple of parts from an option that lists them."""
    rows = options[key]
    if not isinstance(rows, list) or count not in (None, len(rows)):
        many = "" if count is None else f" of {count}"
        raise BadShape(f"options.{key}", rows, f"pass a list{many}")
    return tuple(build(kind, row, f"options.{key}[{n}]") for n, row in enumerate(rows))


def _shocks(options: Options, key: str) -> tuple[Shock, ...]:
    shocks: tuple[Shock, ...] = _built(Shock, options, key)
    return shocks


def _charges(options: Options) -> Charges:
    charges: Charges = build(Charges, options.get("charges", {}), "options.charges")
    return charges


def _deribit(coin: str) -> Make:
    reach, vol_up, offset, move = DERIBIT[coin]
    rules = deribit.Rules(reach, 4, offset, move, 0.8, 20e6)
    return lambda _, __: deribit.method(rules, vol_up, 0.25)


def _span2(options: Options, _: Market) -> Method:
    history = historical(np.asarray(options["history"], np.float64).reshape(-1, 2))
    stress = _shocks(options, "stress")
    return span2.method(history, stress, options["blend"], options["confidence"], _charges(options))


def _bybit(options: Options, _: Market) -> Method:
    vol = build(VolRule, options.get("vol", {}), "options.vol")
    return bybit.method(_shocks(options, "shocks"), vol, _charges(options), options["initial"])


def _kraken(options: Options, _: Market) -> Method:
    return kraken.method(options["vol"], options["cover"], options["net_delta"], _charges(options))


def _tiered(options: Options, _: Market) -> Method:
    steps = [(float(low), float(leverage)) for low, leverage in options["tiers"]]
    return Tiered("tiers", tiers_from_leverage(steps))


# price range, vol up, share of gains that offsets, roll rate; `simulate`'s two recorded answers.
DERIBIT: Final = {"btc": (0.16, 0.5, 0.0, 0.01), "eth": (0.18, 0.4, 0.6, 0.005)}
DERIVE: Final = "Derive v2 managers and libraries, as specified from the deployed contracts"
TABLE: Final[dict[str, Entry]] = {
    "derive-pmrm2": Entry(EXACT, DERIVE, "methods.pmrm2", _pmrm2, ("collateral",)),
    "derive-pmrm1": Entry(
        EXACT, DERIVE, "methods.pmrm1", lambda _, __: pmrm1.Pmrm1(pmrm1.mainnet())
    ),
    "derive-srm": Entry(EXACT, DERIVE, "methods.srm", _srm, ("rules",)),
    "span": Entry(
        EXACT,
        "ICE Clear US, SPAN margining (2015); scan ranges are the operator's",
        "methods.span",
        lambda options, _: span.method(**options),
        ("scan", "vol", "initial"),
    ),
    "paradex": Entry(
        EXACT,
        "paradex-py and docs.paradex.trade, weights of 2026-04-22",
        "methods.paradex",
        lambda options, _: paradex.method(**options),
        ("mm_factor", "fee"),
    ),
    "okx": Entry(
        OUTLINE,
        "OKX API v5 position builder; aggregation exact, vol grid not published",
        "methods.okx",
        lambda options, _: okx.method(**options),
        ("coin_class", "vol"),
    ),
    "deribit-btc": Entry(
        OUTLINE,
        "docs.deribit.com simulate; exact for linear books",
        "methods.deribit",
        _deribit("btc"),
    ),
    "deribit-eth": Entry(
        OUTLINE,
        "docs.deribit.com simulate; exact for linear books",
        "methods.deribit",
        _deribit("eth"),
    ),
    "aevo": Entry(
        OUTLINE,
        "docs.aevo.xyz; scenarios exact, floor not published",
        "methods.aevo",
        lambda options, _: aevo.method(**options),
        ("up", "down", "vol_up", "vol_down"),
    ),
    "dederi": Entry(
        OUTLINE,
        "wiki.dederi.io; exact for futures, vol ranges not printed",
        "methods.dederi",
        lambda options, _: dederi.method(**options),
        ("vol_up", "vol_down"),
    ),
    "tims": Entry(
        OUTLINE,
        "FINRA 4210(g), OCC; ranges from general knowledge",
        "methods.finra",
        lambda options, _: finra.method(**options),
        ("product", "house", "group_offset"),
    ),
    "span2": Entry(
        OUTLINE,
        "cmegroup.com SPAN 2; only the blend is published",
        "methods.span2",
        _span2,
        ("history", "stress", "blend", "confidence", "charges"),
    ),
    "bybit": Entry(
        OUTLINE,
        "Bybit help centre; grid and rates not stored",
        "methods.bybit",
        _bybit,
        ("shocks", "vol", "charges", "initial"),
    ),
    "kraken": Entry(
        OUTLINE,
        "Kraken demo document; rates not printed",
        "methods.kraken",
        _kraken,
        ("vol", "cover", "net_delta", "charges"),
    ),
    "tiers": Entry(
        EXACT,
        "Hyperliquid and Binance margin tiers",
        "methods.tiered",
        _tiered,
        ("tiers",),
    ),
    "regt": Entry(EXACT, "Cboe margin manual, Regulation T", "methods.regt"),
    "hyperliquid": Entry(EXACT, "hyperliquid.gitbook.io", "methods.hyperliquid"),
    "binance": Entry(OUTLINE, "binance.com, unified maintenance margin", "methods.binance"),
    "aave-v3": Entry(EXACT, "aave-v3-origin 3.3", "methods.aave_v3"),
    "compound-v3": Entry(EXACT, "compound-finance/comet", "methods.compound_v3"),
    "morpho-blue": Entry(EXACT, "morpho-blue; no published number", "methods.morpho_blue"),
    "lp-lending": Entry(EXACT, "Panoptic, Revert; no published number", "methods.lp_lending"),
    "uniswap-v3-lp": Entry(EXACT, "Liquidity Math in Uniswap v3", "lp"),
    "drift": Entry(EXACT, "drift-labs/protocol-v2", "methods.drift"),
    "dydx-v4": Entry(EXACT, "dydxprotocol/v4-chain", "methods.dydx"),
    "synthetix-v3": Entry(EXACT, "Synthetixio/synthetix-v3", "methods.synthetix"),
    "vega": Entry(EXACT, "vegaprotocol/specs 0019-MCAL", "methods.vega"),
    "reya": Entry(EXACT, "Reya docs; no published number", "methods.reya"),
    "var": Entry(EXACT, "RiskMetrics, PerformanceAnalytics, Hull", "var"),
    "emir-apc": Entry(EXACT, "EMIR RTS 153/2013, Article 28", "procyclicality"),
}
