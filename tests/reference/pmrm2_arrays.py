"""The scalar reference's shapes as the keeper's arrays, for tests that hold one to the other."""

from collections.abc import Sequence

import numpy as np

from keeper.margin.book import Book, Kind, Listing, Market
from keeper.margin.methods.pmrm2 import (
    BasisContingency,
    Collateral,
    MarginFactors,
    OtherContingencies,
    Pmrm2Parameters,
    Scenario,
    SkewShock,
    VolShock,
    VolShockRange,
)
from tests.reference import pmrm2_scalar as scalar


def parameters(rules: scalar.Rules, assets: Sequence[scalar.Asset]) -> Pmrm2Parameters:
    """Return the manager's parameters; `assets` are the listing's BASE instruments."""
    r = rules
    return Pmrm2Parameters(
        scenarios=tuple(
            Scenario(each.spot, VolShock[each.vol.upper()], each.damping) for each in r.scenarios
        ),
        basis=BasisContingency(r.basis_up, r.basis_down, r.basis_add, r.basis_mult),
        margin=MarginFactors(
            im_factor=r.im_factor,
            mm_factor=r.mm_factor,
            short_rate_mult=r.short_rate_mult,
            long_rate_mult=r.long_rate_mult,
            short_rate_add=r.short_rate_add,
            long_rate_add=r.long_rate_add,
            short_base_discount=r.short_base,
            long_base_discount=r.long_base,
        ),
        other=OtherContingencies(
            peg_loss_threshold=r.peg_threshold,
            peg_loss_factor=r.peg_factor,
            confidence_threshold=r.conf_threshold,
            confidence_margin=r.conf_margin,
            mm_perp=r.mm_perp,
            im_perp=r.im_perp,
            mm_option=r.mm_option,
            im_option=r.im_option,
        ),
        vol=VolShockRange(
            range_up=r.vol_range_up,
            range_down=r.vol_range_down,
            short_term_power=r.short_term_power,
            long_term_power=r.long_term_power,
            dte_floor_s=r.dte_floor_seconds,
            min_vol_up=r.min_vol_up,
        ),
        skew=SkewShock(
            linear_base_cap=r.linear_base_cap,
            abs_base_cap=r.abs_base_cap,
            linear_c_base=r.linear_c_base,
            abs_c_base=r.abs_c_base,
            min_k_star=r.min_k_star,
            width_scale=r.width_scale,
            vol_param_static=r.vol_param_static,
            vol_param_scale=r.vol_param_scale,
        ),
        collateral=tuple(
            Collateral(each.risk_cancelling, each.mm_haircut, each.im_haircut) for each in assets
        ),
    )


def market(
    quotes: scalar.Quotes, options: Sequence[scalar.Option], assets: Sequence[scalar.Asset]
) -> Market:
    """Return a market that lists these options, then one perpetual, then these assets."""
    expiries = list(quotes.expiries)
    feeds = list(quotes.expiries.values())
    count = len(options) + 1 + len(assets)
    kind = [Kind.CALL if each.is_call else Kind.PUT for each in options]
    kind += [Kind.PERPETUAL] + [Kind.BASE] * len(assets)
    rest = 1 + len(assets)
    return Market(
        listing=Listing(
            kind=np.array(kind, np.int8),
            underlying=np.zeros(count, np.int32),
            expiry=np.array([expiries.index(o.expiry) for o in options] + [-1] * rest, np.int32),
            strike=np.array([each.strike for each in options] + [0.0] * rest),
        ),
        seconds=np.array([each.seconds for each in feeds], float),
        forward_fixed=np.array([each.forward_fixed for each in feeds], float),
        forward_variable=np.array([each.forward_variable for each in feeds], float),
        rate=np.array([each.rate for each in feeds], float),
        expiry_confidence=np.array([each.confidence for each in feeds], float),
        spot=np.array([quotes.spot]),
        spot_confidence=np.array([quotes.spot_confidence]),
        perp_price=np.array([quotes.perp_price]),
        perp_confidence=np.array([quotes.perp_confidence]),
        stable=quotes.stable,
        vol=np.array([each.vol for each in options] + [0.0] * rest),
        price=np.array([0.0] * (len(options) + 1) + [each.price for each in assets]),
        confidence=np.array([1.0] * (len(options) + 1) + [each.confidence for each in assets]),
        usable=np.ones(count, np.bool_),
    )


def book(rows: Sequence[dict[int, float]], cash: Sequence[float], carried: Sequence[float]) -> Book:
    """Return a book of {instrument: quantity} an account."""
    ordered = [sorted(each.items()) for each in rows]
    counts = np.array([0] + [len(each) for each in ordered], np.int64)
    return Book(
        start=np.cumsum(counts),
        instrument=np.array([row for each in ordered for row, _ in each], np.int32),
        quantity=np.array([quantity for each in ordered for _, quantity in each], float),
        cash=np.array(cash, float),
        carried=np.array(carried, float),
    )


def single(portfolio: scalar.Portfolio) -> Book:
    """Return one account that holds what a market made of the same portfolio lists."""
    rows = {index: each.amount for index, each in enumerate(portfolio.options)}
    rows[len(portfolio.options)] = portfolio.perps
    for index, each in enumerate(portfolio.assets):
        rows[len(portfolio.options) + 1 + index] = each.amount
    return book([rows], [portfolio.cash], [portfolio.perp_value])
