"""PMRM_2's price ladder: what one unit of each listed option is worth under each shock.

Instruments only, no accounts. Two scenarios that shock alike share a column, so the mark and
the basis shocks are priced once. Formulae: Derive v2's portfolio manager PMRM_2; section numbers
here are those of the venue's specification (2.2 to 2.6).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Kind, Market
from keeper.margin.kernel.pricing import Pricing, price_table
from keeper.margin.methods.pmrm2_parameters import (
    MarginFactors,
    Pmrm2Parameters,
    SkewShock,
    VolShock,
    VolShockRange,
)
from keeper.margin.netting import Places
from keeper.margin.pricing import YEAR_S


SHORT_TERM_S: Final = 30.0 * 86_400.0
WEI: Final = 1e-18
MARK, UP, DOWN = 0, 1, 2  # the first three columns


@dataclass(frozen=True, slots=True)
class PriceLadder:
    """Values of one unit and what the netting needs of each expiry.

    value           (column, instrument) USD; 0.0 for what is not an option or not asked for
    column          for each scenario its column
    valid           (instrument,) False where there is no number: an account that holds one is
                    undefined
    long_discount   (expiry,) factor on a leaf worth >= 0
    short_discount  (expiry,) factor on a leaf worth < 0
    basis_weight    (expiry,) share of the worse basis shock that is charged
    table           (instrument, width) the same values by instrument, padded, where the compiled
                    kernel priced them; then `value` is a view of it
    """

    value: Floats
    column: tuple[int, ...]
    valid: Flags
    long_discount: Floats
    short_discount: Floats
    basis_weight: Floats
    table: Floats | None = None


def price_ladder(
    parameters: Pmrm2Parameters, market: Market, held: Flags | None, threads: int = 0
) -> PriceLadder:
    """Return the ladder of all listed options that are `held`, (instrument,); None: of all.

    threads  of the compiled kernel, 0 to price in numpy
    """
    shocks, column = _columns(parameters)
    valid = _usable(market, parameters.underlying)
    wanted = valid & (market.listing.kind <= Kind.PUT)
    options = np.flatnonzero(wanted if held is None else wanted & held)
    table = None
    with np.errstate(all="ignore"):  # what has no number is found below and marked
        work = _work(parameters, market, options, shocks)
        compiled = price_table(work, options, len(valid), threads) if threads else None
        if compiled is None:
            value = np.zeros((len(shocks), len(valid)))
            value[:, options] = priced = work.price()
            sound = np.isfinite(priced).all(axis=0)
        else:
            table, sound = compiled
            value = table[:, : len(shocks)].T
        long_discount, short_discount = static_discounts(parameters.margin, market)
    whole = np.isfinite(long_discount) & np.isfinite(short_discount)
    sound &= whole[market.listing.expiry[options]]
    valid[options] = sound
    value[:, options[~sound]] = 0.0
    years = market.seconds / YEAR_S
    return PriceLadder(
        value=value,
        column=column,
        valid=valid,
        long_discount=long_discount,
        short_discount=short_discount,
        basis_weight=parameters.basis.add_factor + parameters.basis.mult_factor * years,
        table=table,
    )


def held_instruments(book: Book, instruments: int) -> Flags:
    """Return which instruments anybody holds, (instrument,)."""
    rows = book.instrument[book.quantity != 0.0]
    return np.bincount(rows, minlength=instruments) > 0


def vol_shock_factors(shock: VolShockRange, seconds: Floats) -> tuple[Floats, Floats]:
    """Return (up, down) factors on volatility of each expiry (section 2.4)."""
    power = np.where(seconds <= SHORT_TERM_S, shock.short_term_power, shock.long_term_power)
    reach = (SHORT_TERM_S / np.maximum(seconds, shock.dte_floor_s)) ** power
    return 1.0 + shock.range_up * reach, np.maximum(0.0, 1.0 - shock.range_down * reach)


def static_discounts(margin: MarginFactors, market: Market) -> tuple[Floats, Floats]:
    """Return (long, short) factors on option values of each expiry (section 2.4)."""
    years, rate = market.seconds / YEAR_S, market.rate
    long_decay = np.exp(-years * (rate * margin.long_rate_mult + margin.long_rate_add))
    short_decay = np.exp(-years * (rate * margin.short_rate_mult + margin.short_rate_add))
    discount = np.exp(-rate * years)
    long = margin.long_base_discount * long_decay
    return long, np.minimum(1.0 / discount, margin.short_base_discount / short_decay)


def skew_factor(
    skew: SkewShock, seconds: Floats, strike: Floats, forward: Floats, shock: VolShock
) -> Floats:
    """Return the factor on volatility under Linear or Abs (section 2.6), (instrument,).

    NaN where strike / forward is below one wei: the chain cannot take its logarithm.
    """
    root = np.sqrt(seconds / YEAR_S)
    if shock is VolShock.LINEAR:
        cap = skew.linear_base_cap + skew.linear_c_base * root
    else:
        cap = skew.abs_base_cap + skew.abs_c_base * root
    width = root * skew.width_scale * (skew.vol_param_static + root * skew.vol_param_scale)
    k_star = np.maximum(skew.min_k_star, width)
    ratio = strike / forward
    moneyness = np.where((ratio >= WEI) & np.isfinite(ratio), np.log(ratio), np.nan)
    if shock is VolShock.ABS:
        moneyness = np.abs(moneyness)
    slope = moneyness * cap / k_star
    tilt = np.where(moneyness >= 0.0, np.minimum(cap, slope), np.maximum(-cap, slope))
    return np.maximum(0.0, 1.0 + tilt)


def _columns(
    parameters: Pmrm2Parameters,
) -> tuple[list[tuple[float, VolShock]], tuple[int, ...]]:
    """Return the distinct shocks, mark and basis first, and each scenario's column."""
    basis = parameters.basis
    place: dict[tuple[float, VolShock], int] = {}
    shocks = [
        (1.0, VolShock.NONE),
        (basis.spot_up, VolShock.NONE),
        (basis.spot_down, VolShock.NONE),
    ]
    for index, shock in enumerate(shocks):
        place.setdefault(shock, index)
    column = []
    for scenario in parameters.scenarios:
        skewed = scenario.vol_shock in (VolShock.LINEAR, VolShock.ABS)
        shock = (1.0 if skewed else scenario.spot_shock, scenario.vol_shock)
        if shock not in place:
            place[shock] = len(shocks)
            shocks.append(shock)
        column.append(place[shock])
    return shocks, tuple(column)


def _work(
    parameters: Pmrm2Parameters,
    market: Market,
    options: Places,
    shocks: list[tuple[float, VolShock]],
) -> Pricing:
    """Return what is to be priced: these options under every shock."""
    listing = market.listing
    expiry, strike, vol = listing.expiry[options], listing.strike[options], market.vol[options]
    seconds = market.seconds[expiry]
    up, down = vol_shock_factors(parameters.vol, seconds)
    shocked = {
        VolShock.NONE: vol,
        VolShock.UP: np.maximum(parameters.vol.min_vol_up, vol * up),
        VolShock.DOWN: vol * down,
    }
    for shock in (VolShock.LINEAR, VolShock.ABS):
        if any(used is shock for _, used in shocks):
            forward = market.forward_variable[expiry] + market.forward_fixed[expiry]
            factor = skew_factor(parameters.skew, seconds, strike, forward, shock)
            shocked[shock] = vol * factor
    kinds = list(shocked)
    spot = np.array([shock for shock, _ in shocks])
    return Pricing(
        expiry=expiry,
        strike=strike,
        call=listing.kind[options] == Kind.CALL,
        seconds=market.seconds,
        forward=market.forward_variable[:, None] * spot + market.forward_fixed[:, None],
        discount=np.exp(-market.rate * (market.seconds / YEAR_S)),
        vol=np.stack(list(shocked.values())),
        kind=np.array([kinds.index(used) for _, used in shocks]),
    )


def _usable(market: Market, underlying: int) -> Flags:
    """Return which instruments this manager can value at all, (instrument,)."""
    listing, kind = market.listing, market.listing.kind
    option, base = kind <= Kind.PUT, kind == Kind.BASE
    perpetual = kind == Kind.PERPETUAL
    dated = np.ones(len(market.seconds) + 1, np.bool_)  # the last one answers for expiry -1
    for factor in (
        market.seconds,
        market.forward_fixed,
        market.forward_variable,
        market.rate,
        market.expiry_confidence,
    ):
        dated[:-1] &= _sound(factor)
    sound_option = dated[listing.expiry] & _sound(market.vol) & _sound(listing.strike)
    sound_option &= listing.expiry >= 0
    sound_base = _sound(market.price) & _sound(market.confidence)
    perp = market.perp_price[underlying], market.perp_confidence[underlying]
    usable: Flags = market.usable & ((option & sound_option) | (base & sound_base) | perpetual)
    usable &= base | (listing.underlying == underlying)
    if not _sound(np.array(perp)).all():
        usable &= ~perpetual
    return usable


def _sound(values: Floats) -> Flags:
    """Return where a number is finite and not negative."""
    return (values >= 0.0) & np.isfinite(values)
