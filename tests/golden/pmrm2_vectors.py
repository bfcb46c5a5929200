"""The published PMRM_2 portfolio cases, as the scalar reference's shapes and as arrays.

Found through KEEPER_VECTORS, else beside the repository. A field that is neither known nor known
to be no input is an error, so that another set of cases is never half read.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.reference import pmrm2_scalar as scalar


SETTLEMENT_S = 1800
VOL_SHOCKS = {"Up": "Up", "Down": "Down", "None": "None", "LINEAR": "Linear", "ABS": "Abs"}
SCENARIO_FIELDS = {
    *("Cash", "Collaterals", "SpotPrice", "SpotConfidence", "NumPerps", "PerpPrice"),
    *("PerpConfidence", "UnrealisedPerpPNL", "UnrealisedFunding", "StablePrice", "Options"),
    *("OptionFeeds", "StableConfidence", "LastEntryPrice", "FundingIndex", "SystemFundingIndex"),
}
OPTION_FIELDS = {
    *("Expiry", "ExiryTs", "Strike", "IsCall", "Amount", "MarkVol", "MarkDiscount", "k", "k_star"),
    *("linear_mult_cap", "abs_mult_cap", "linear_multiplier", "abs_multiplier"),
}
FEED_FIELDS = {
    *("FeedExpiry", "Forward", "ForwardConfidence", "Rate", "RateConfidence", "SVIparam"),
    "OptionVolConfidences",
}


@dataclass(frozen=True)
class Case:
    """One portfolio: inputs as the scalar reference takes them, results as published.

    `svi` maps seconds to expiry to [a, b, rho, m, sigma, forward, tau] with the file's own
    strings where it has them; `raw` is the file.
    """

    name: str
    portfolio: scalar.Portfolio
    quotes: scalar.Quotes
    rules: scalar.Rules
    svi: dict[float, list[Any]]
    im: float
    mm: float
    raw: dict[str, Any]


def folder() -> Path:
    """Return where the vectors should be."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
    return Path(os.environ.get("KEEPER_VECTORS", beside)) / "derive_pmrm2"


def cases() -> list[Case]:
    """Return all cases by name; empty where the folder is absent."""
    return [read(path) for path in sorted(folder().glob("*.json"))]


def parametrized() -> list[Any]:
    """Return the cases as pytest parameters: one that skips and says why where there are none."""
    found = cases()
    if found:
        return [pytest.param(case, id=case.name) for case in found]
    skip = pytest.mark.skip(reason=f"no PMRM_2 vectors in {folder()}; set KEEPER_VECTORS")
    return [pytest.param(None, id="absent", marks=skip)]


def read(path: Path) -> Case:
    """Return one file's case."""
    raw = json.loads(path.read_text())
    inputs = raw["Scenario"]
    check(path, "Scenario", set(inputs), SCENARIO_FIELDS)
    options, svi, expiries = [], {}, {}
    for feed in inputs["OptionFeeds"]:
        check(path, "OptionFeeds", set(feed), FEED_FIELDS)
        expiries[float(feed["FeedExpiry"])] = expiry_quote(feed)
        svi[float(feed["FeedExpiry"])] = feed["SVIparam"]
    for option in inputs["Options"]:
        check(path, "Options", set(option), OPTION_FIELDS)
        expiry, strike = float(option["Expiry"]), float(option["Strike"])
        vol = scalar.svi_vol(strike, [float(each) for each in svi[expiry]])
        call, amount = bool(option["IsCall"]), float(option["Amount"])
        options.append(scalar.Option(expiry, strike, call, amount, vol))
    portfolio = scalar.Portfolio(
        cash=float(inputs["Cash"]),
        perps=float(inputs["NumPerps"]),
        perp_value=float(inputs["UnrealisedPerpPNL"]) + float(inputs["UnrealisedFunding"]),
        options=tuple(options),
        assets=tuple(asset(each) for each in inputs["Collaterals"]),
    )
    quotes = scalar.Quotes(
        spot=float(inputs["SpotPrice"]),
        spot_confidence=float(inputs["SpotConfidence"]),
        perp_price=float(inputs["PerpPrice"]),
        perp_confidence=float(inputs["PerpConfidence"]),
        stable=float(inputs["StablePrice"]),
        expiries=expiries,
    )
    result = raw["Result"]
    im, mm = float(result["IM"]), float(result["MM"])
    return Case(path.stem, portfolio, quotes, rules(raw["Parameters"]), svi, im, mm, raw)


def check(path: Path, where: str, got: set[str], known: set[str]) -> None:
    """Refuse a field nobody has thought about."""
    if got - known:
        raise ValueError(f"{path.name}: {where} has unknown fields {sorted(got - known)}")


def expiry_quote(feed: dict[str, Any]) -> scalar.ExpiryQuote:
    """Return an expiry's quote; in the last half hour part of the forward is settled."""
    seconds, forward = max(0.0, float(feed["FeedExpiry"])), float(feed["Forward"])
    settled = max(0.0, SETTLEMENT_S - seconds) / SETTLEMENT_S
    variable = min(seconds, SETTLEMENT_S) / SETTLEMENT_S
    names = ("ForwardConfidence", "RateConfidence", "OptionVolConfidences")
    return scalar.ExpiryQuote(
        seconds=seconds,
        forward_fixed=forward * settled,
        forward_variable=forward * variable,
        rate=float(feed["Rate"]),
        confidence=min(float(feed[name]) for name in names),
    )


def asset(raw: dict[str, Any]) -> scalar.Asset:
    """Return one collateral."""
    return scalar.Asset(
        amount=float(raw["Amount"]),
        price=float(raw["Price"]),
        confidence=float(raw["Confidence"]),
        risk_cancelling=bool(raw["IsRiskCancelling"]),
        mm_haircut=float(raw["MMHaircut"]),
        im_haircut=float(raw["IMHaircut"]),
    )


def rules(raw: dict[str, Any]) -> scalar.Rules:
    """Return the parameter set under the specification's names."""
    shocks = tuple(
        scalar.Shock(
            float(each["SpotShock"]),
            VOL_SHOCKS[each["VolShockDirection"]],
            float(each["DampeningFactor"]),
        )
        for each in raw["Scenarios"]
    )
    names = {
        "BasisContingency": {
            "basis_up": "SCENARIO_SPOT_UP",
            "basis_down": "SCENARIO_SPOT_DOWN",
            "basis_add": "BASIS_CONT_ADD_FACTOR",
            "basis_mult": "BASIS_CONT_MULT_FACTOR",
        },
        "Margin": {
            "im_factor": "IM_LOSS_FACTOR",
            "mm_factor": "MM_LOSS_FACTOR",
            "short_rate_mult": "SHORT_RATE_MULTSCALE",
            "long_rate_mult": "LONG_RATE_MULTSCALE",
            "short_rate_add": "SHORT_RATE_ADDSCALE",
            "long_rate_add": "LONG_RATE_ADDSCALE",
            "short_base": "BASE_STATIC_DISCOUNT_NEG",
            "long_base": "BASE_STATIC_DISCOUNT",
        },
        "OtherContingency": {
            "peg_threshold": "PEG_LOSS_THRESHOLD",
            "peg_factor": "PEG_LOSS_FACTOR",
            "conf_threshold": "CONF_THRESHOLD",
            "conf_margin": "CONF_MARGIN",
            "mm_perp": "MM_PERP_PERCENT",
            "im_perp": "IM_PERP_PERCENT",
            "mm_option": "MM_OPTION_PERCENT",
            "im_option": "IM_OPTION_PERCENT",
        },
        "VolShock": {
            "vol_range_up": "VOLRANGEUP",
            "vol_range_down": "VOLRANGEDOWN",
            "short_term_power": "SHORTTERMPOWER",
            "long_term_power": "LONGTERMPOWER",
            "dte_floor_seconds": "DTE_FLOOR",
            "min_vol_up": "MIN_VOL_EVAL_SHOCKED",
        },
        "SkewShock": {
            "linear_base_cap": "LINEAR_SCALE_CAP",
            "abs_base_cap": "ABS_SCALE_CAP",
            "linear_c_base": "LINEAR_CBASE",
            "abs_c_base": "ABS_CBASE",
            "min_k_star": "MIN_K_STAR",
            "width_scale": "MIN_WIDTH_SCALE",
            "vol_param_static": "VOL_PARAM_STATIC",
            "vol_param_scale": "VOL_PARAM_SCALE",
        },
    }
    values = {
        ours: float(raw[group][theirs])
        for group, fields in names.items()
        for ours, theirs in fields.items()
    }
    values["dte_floor_seconds"] *= 86_400.0
    return scalar.Rules(scenarios=shocks, **values)
