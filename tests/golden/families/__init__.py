"""One adapter a file of golden vectors: its families, through the keeper's public functions."""

from importlib import import_module

from tests.golden.vectors import Family


FILES = (
    "aave_v3",
    "aevo_pm",
    "binance_cross_isolated",
    "binance_unimmr",
    "black_scholes_haug",
    "closed_form_tail",
    "compound_v3",
    "dederi_pm",
    "delta_conventions",
    "deribit_pm",
    "drift_v2",
    "dydx_v4_oi_margin",
    "emir_apc",
    "finra_portfolio_margin",
    "hyperliquid",
    "lp_lending",
    "morpho_blue",
    "okx_pm",
    "paradex_pm",
    "regt_cboe_strategy",
    "reya",
    "span_ice_clear_us",
    "svi",
    "synthetix_v3_perps",
    "uniswap_v3_lp",
    "var_backtests",
    "var_es",
    "vega_protocol",
)


def families(file: str) -> tuple[Family, ...]:
    """Return a file's families, in the order they are tried."""
    found: tuple[Family, ...] = import_module(f"tests.golden.families.{file}").FAMILIES
    return found
