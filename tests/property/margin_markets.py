"""Random markets, books and parameters for PMRM_2, in the scalar reference's shapes.

Strategies draw whole worlds from one seed: numbers spread over many magnitudes shrink badly, a
seed and a few switches are enough to name a failure.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from keeper.margin.book import Book, Market
from keeper.margin.methods.pmrm2 import Pmrm2
from tests.reference import pmrm2_arrays as arrays
from tests.reference import pmrm2_scalar as scalar


DAY = 86_400.0
SECONDS = (0.0, 1.0, 900.0, 0.9 * DAY, 3 * DAY, 30 * DAY, 30 * DAY + 1, 90 * DAY, 400 * DAY)


@dataclass(frozen=True)
class World:
    """One market with several accounts, both as arrays and for the scalar reference."""

    method: Pmrm2
    market: Market
    book: Book
    portfolios: tuple[scalar.Portfolio, ...]
    quotes: scalar.Quotes
    rules: scalar.Rules


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return a world; the switches choose what is out of the ordinary in it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    doubtful, depegged, extreme = (draw(st.booleans()) for _ in range(3))
    expiries = draw(st.lists(st.sampled_from(SECONDS), max_size=4, unique=True))
    spot = float(np.exp(rng.uniform(0, 11)))
    low = 0.0 if doubtful else 0.9
    quotes = scalar.Quotes(
        spot=spot,
        spot_confidence=float(rng.uniform(low, 1)),
        perp_price=spot * float(rng.uniform(0.95, 1.05)),
        perp_confidence=float(rng.uniform(low, 1)),
        stable=float(rng.uniform(0.8, 0.97)) if depegged else float(rng.uniform(0.98, 1.02)),
        expiries={e: expiry_quote(rng, e, spot, low) for e in expiries},
    )
    options = listed(rng, expiries, spot, extreme)
    assets = listed_assets(rng, spot, low)
    rules = random_rules(rng)
    accounts = draw(st.integers(0, 6))
    held = [holding(rng, options, assets) for _ in range(accounts)]
    cash = [float(x) for x in rng.normal(0, spot, accounts)]
    carried = [float(x) for x in rng.normal(0, spot / 10, accounts)]
    return World(
        method=Pmrm2(arrays.parameters(rules, assets)),
        market=arrays.market(quotes, options, assets),
        book=arrays.book(held, cash, carried),
        portfolios=tuple(
            portfolio(rows, options, assets, *money)
            for rows, *money in zip(held, cash, carried, strict=True)
        ),
        quotes=quotes,
        rules=rules,
    )


def expiry_quote(
    rng: np.random.Generator, seconds: float, spot: float, low: float
) -> scalar.ExpiryQuote:
    forward = spot * float(rng.uniform(0.9, 1.1))
    share = min(1.0, seconds / 1800)
    return scalar.ExpiryQuote(
        seconds=seconds,
        forward_fixed=forward * (1.0 - share),
        forward_variable=forward * share,
        rate=float(rng.choice([0.0, 0.04, 0.3])),
        confidence=float(rng.uniform(low, 1)),
    )


def listed(
    rng: np.random.Generator, expiries: list[float], spot: float, extreme: bool
) -> list[scalar.Option]:
    options = []
    for expiry in expiries:
        ratios = [float(x) for x in np.sort(np.exp(rng.normal(0, 0.25, 4)))]
        ratios += [1e-7, 1e3, 1e6] if extreme else []
        for ratio in ratios:
            vol = float(rng.choice([0.0, 0.05, 0.6, 1.5, 40.0]))
            options += [
                scalar.Option(expiry, spot * ratio, call, 0.0, vol) for call in (True, False)
            ]
    return options


def listed_assets(rng: np.random.Generator, spot: float, low: float) -> list[scalar.Asset]:
    return [
        scalar.Asset(
            amount=0.0,
            price=spot * float(rng.uniform(0.01, 1.1)),
            confidence=float(rng.uniform(low, 1)),
            risk_cancelling=cancelling,
            mm_haircut=float(rng.uniform(0, 0.3)),
            im_haircut=float(rng.uniform(0, 0.1)),
        )
        for cancelling in (True, True, False)
    ]


def holding(
    rng: np.random.Generator, options: list[scalar.Option], assets: list[scalar.Asset]
) -> dict[int, float]:
    """Return {instrument: quantity}: options, the perpetual, assets; often few, or nothing."""
    count = len(options) + 1 + len(assets)
    rows = np.flatnonzero(rng.random(count) < rng.choice([0.0, 0.1, 0.5, 1.0]))
    held = {}
    for row in rows:
        quantity = float(rng.normal(0, 3)) if rng.random() < 0.9 else 0.0
        held[int(row)] = abs(quantity) if row > len(options) else quantity
    return held


def portfolio(
    rows: dict[int, float],
    options: list[scalar.Option],
    assets: list[scalar.Asset],
    cash: float,
    carried: float,
) -> scalar.Portfolio:
    first = len(options) + 1
    return scalar.Portfolio(
        cash=cash,
        perps=rows.get(len(options), 0.0),
        perp_value=carried,
        options=tuple(
            scalar.Option(o.expiry, o.strike, o.is_call, rows[row], o.vol)
            for row, o in enumerate(options)
            if row in rows
        ),
        assets=tuple(
            scalar.Asset(
                rows[first + i],
                a.price,
                a.confidence,
                a.risk_cancelling,
                a.mm_haircut,
                a.im_haircut,
            )
            for i, a in enumerate(assets)
            if first + i in rows
        ),
    )


def random_rules(rng: np.random.Generator) -> scalar.Rules:
    """Return parameters around the deployed ones, the odd corners of the specification included."""

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    basis_up, basis_down = uniform(1.0, 1.2), uniform(0.8, 1.0)
    spots = [1.0, 1.0, basis_up, basis_down, uniform(0.2, 1.0), uniform(1.0, 6.0)]
    shocks = [
        scalar.Shock(spot, vol, float(rng.choice([1.0, uniform(0.02, 1.0)])))
        for spot in spots
        for vol in ("Up", "None", "Down")
        if rng.random() < 0.7
    ]
    shocks += [scalar.Shock(1.0, vol, 1.0) for vol in ("Linear", "Abs") if rng.random() < 0.8]
    return scalar.Rules(
        scenarios=tuple(shocks) or (scalar.Shock(1.0, "None", 1.0),),
        basis_up=basis_up,
        basis_down=basis_down,
        basis_add=uniform(0, 1),
        basis_mult=uniform(0, 3),
        im_factor=uniform(1, 1.4),
        mm_factor=uniform(0.6, 1),
        short_rate_mult=uniform(0, 1),
        long_rate_mult=uniform(0, 1),
        short_rate_add=uniform(0, 0.2),
        long_rate_add=uniform(0, 0.2),
        short_base=uniform(0.9, 1.1),
        long_base=uniform(0.9, 1.1),
        peg_threshold=0.98,
        peg_factor=uniform(0, 4),
        conf_threshold=0.55,
        conf_margin=uniform(0, 1.5),
        mm_perp=uniform(0, 0.05),
        im_perp=uniform(0, 0.05),
        mm_option=uniform(0, 0.02),
        im_option=uniform(0, 0.02),
        vol_range_up=uniform(0, 1),
        vol_range_down=uniform(0, 1),
        short_term_power=uniform(0, 0.5),
        long_term_power=uniform(0, 0.5),
        dte_floor_seconds=DAY,
        min_vol_up=uniform(0, 0.6),
        linear_base_cap=uniform(-0.2, 1.5),
        abs_base_cap=uniform(-0.2, 1.5),
        linear_c_base=uniform(-0.2, 0.1),
        abs_c_base=uniform(-0.2, 0.1),
        min_k_star=0.01,
        width_scale=uniform(1, 5),
        vol_param_static=uniform(0.3, 0.8),
        vol_param_scale=uniform(-0.3, 0.1),
    )
