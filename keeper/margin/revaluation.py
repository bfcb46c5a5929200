"""What one unit of each instrument gains under each shock: full reprice, given array or LP curve.

Instruments only, no accounts. Linear settlement pays the price move in USD; inverse settlement
pays it in the coin, whose own price has moved too (Deribit: Q s / (1 + s) coins).
"""

from dataclasses import dataclass

import numpy as np

from keeper.margin.book import Flags, Floats, Kind, Market
from keeper.margin.errors import BadShape, finite_array
from keeper.margin.lp import Range, amounts
from keeper.margin.pricing import YEAR_S, black76, black76_sensitivities
from keeper.margin.shocks import DAY_S, Shock, VolRule


@dataclass(frozen=True, slots=True)
class Observed:
    """What a venue itself publishes of each instrument, in place of our own model's number.

    mark     (instrument,) USD, the value that P&L is measured from
    delta    (instrument,) coins a unit
    funding  (instrument,) rate of the perpetuals' next payment, a fraction
    pnl      (shock, instrument) a given risk array, USD a unit; None = reprice
    """

    mark: Floats
    delta: Floats
    funding: Floats
    pnl: Floats | None = None


@dataclass(frozen=True, slots=True)
class Revaluation:
    """One unit of each instrument, USD.

    worth    (instrument,) counted in equity; 0.0 for perpetuals and futures: theirs is carried
    pnl      (shock, instrument) gain positive, unweighted
    greeks   (4, instrument) delta in coins, gamma, vega, theta
    funding  (instrument,) USD a unit owed for a long
    valid    (instrument,) False where there is no number
    """

    worth: Floats
    pnl: Floats
    greeks: Floats
    funding: Floats
    valid: Flags


@np.errstate(all="ignore")  # no number is no error: it becomes `valid` False
def revalue(
    shocks: tuple[Shock, ...],
    rule: VolRule,
    market: Market,
    observed: Observed | None = None,
    *,
    inverse: bool = False,
    ranges: tuple[Range, ...] = (),
) -> Revaluation:
    """Return the ladder of all instruments; `ranges` one for each LP of the listing."""
    worth, greeks = _today(market, ranges)
    funding = np.zeros(len(worth))
    if observed is not None:
        option = market.listing.kind <= Kind.PUT
        worth = np.where(option, _row("mark", observed.mark, worth), worth)
        greeks[0] = _row("delta", observed.delta, worth)
        spot = market.spot[market.listing.underlying]
        funding = _row("funding", observed.funding, worth) * spot
    if observed is not None and observed.pnl is not None:
        pnl = finite_array("pnl", observed.pnl)
        if pnl.shape != (len(shocks), len(worth)):
            raise BadShape("pnl", pnl.shape, "pass one row a shock, one column an instrument")
    else:
        rows = [_gain(shock, rule, market, worth, inverse, ranges) for shock in shocks]
        pnl = np.array(rows).reshape(len(shocks), len(worth))
    valid = market.usable & _sound(market) & np.isfinite(worth) & np.isfinite(pnl).all(axis=0)
    valid &= np.isfinite(greeks).all(axis=0) & np.isfinite(funding)
    clean = np.where(valid, pnl, 0.0)
    return Revaluation(
        np.where(valid, worth, 0.0),
        clean,
        np.where(valid, greeks, 0.0),
        np.where(valid, funding, 0.0),
        valid,
    )


def _gain(
    shock: Shock,
    rule: VolRule,
    market: Market,
    worth: Floats,
    inverse: bool,
    ranges: tuple[Range, ...],
) -> Floats:
    """Return the P&L of one unit of each instrument, (instrument,)."""
    kind, spot = market.listing.kind, market.spot[market.listing.underlying]
    moved = 1.0 + shock.spot + shock.spot_usd / spot
    gain = np.zeros(len(kind))
    perpetual = kind == Kind.PERPETUAL
    perp = market.perp_price[market.listing.underlying]
    gain[perpetual] = (perp * (moved - 1.0))[perpetual]
    dated = np.flatnonzero(kind == Kind.FUTURE)
    gain[dated] = _forward(shock, market, dated, moved) - _forward(Shock(), market, dated, None)
    options = np.flatnonzero(kind <= Kind.PUT)
    gain[options] = _stressed_options(shock, rule, market, options, moved) - worth[options]
    lps = np.flatnonzero(kind == Kind.LP)
    gain[lps] = _lp_worth(market, lps, ranges, moved[lps]) - worth[lps]
    bases = kind == Kind.BASE
    gain[bases] = (worth * (moved / (1.0 + shock.peg) - 1.0))[bases]
    if inverse:
        coin = kind <= Kind.FUTURE
        value = np.where(kind <= Kind.PUT, worth, 0.0)
        gain = np.where(coin, (value + gain) / moved - value, gain)
    return gain


def _stressed_options(
    shock: Shock, rule: VolRule, market: Market, options: np.ndarray, moved: Floats
) -> Floats:
    listing = market.listing
    expiry = listing.expiry[options]
    seconds = market.seconds[expiry]
    left = np.maximum(0.0, seconds - shock.days * DAY_S)
    rate = np.maximum(0.0, market.rate[expiry] + shock.rate)
    stressed: Floats = black76(
        _forward(shock, market, options, moved),
        listing.strike[options],
        left,
        rule.shocked(market.vol[options], seconds, shock.vol),
        np.exp(-rate * left / YEAR_S),
        listing.kind[options] == Kind.CALL,
    )
    return stressed


def _forward(shock: Shock, market: Market, rows: np.ndarray, moved: Floats | None) -> Floats:
    """Return the forwards after a shock; the settled part does not move."""
    expiry = market.listing.expiry[rows]
    share = 1.0 if moved is None else moved[rows]
    basis = 1.0 + shock.basis * market.seconds[expiry] / YEAR_S
    forward: Floats = market.forward_variable[expiry] * share * basis
    forward += market.forward_fixed[expiry]
    return forward


def _today(market: Market, ranges: tuple[Range, ...]) -> tuple[Floats, Floats]:
    """Return (worth, greeks) of one unit of each instrument."""
    listing, kind = market.listing, market.listing.kind
    spot = market.spot[listing.underlying]
    worth, greeks = np.zeros(len(kind)), np.zeros((4, len(kind)))
    options = np.flatnonzero(kind <= Kind.PUT)
    expiry = listing.expiry[options]
    forward = market.forward_fixed[expiry] + market.forward_variable[expiry]
    seconds, rate = market.seconds[expiry], market.rate[expiry]
    strike, vol, call = listing.strike[options], market.vol[options], kind[options] == Kind.CALL
    worth[options] = black76(forward, strike, seconds, vol, np.exp(-rate * seconds / YEAR_S), call)
    moves = black76_sensitivities(forward, strike, seconds, vol, rate, call)
    share = market.forward_variable[expiry] / spot[options]
    greeks[0, options], greeks[1, options] = moves.delta * share, moves.gamma * share * share
    greeks[2, options], greeks[3, options] = moves.vega, moves.theta
    perpetual, dated = kind == Kind.PERPETUAL, np.flatnonzero(kind == Kind.FUTURE)
    greeks[0, perpetual] = (market.perp_price[listing.underlying] / spot)[perpetual]
    dates = listing.expiry[dated]
    greeks[0, dated] = market.forward_variable[dates] / spot[dated]
    bases = kind == Kind.BASE
    worth[bases] = market.price[bases] / market.stable
    greeks[0, bases] = (worth / spot)[bases]
    lps = np.flatnonzero(kind == Kind.LP)
    worth[lps] = _lp_worth(market, lps, ranges, np.ones(len(lps)))
    if len(lps):
        greeks[0, lps] = [
            float(amounts(1.0, ranges[row], spot[lps[row : row + 1]])[0][0])
            for row in range(len(lps))
        ]
    return worth, greeks


def _lp_worth(market: Market, lps: np.ndarray, ranges: tuple[Range, ...], moved: Floats) -> Floats:
    """Return the value of one unit of liquidity in USD at the moved spots, (lp,)."""
    if len(lps) != len(ranges):
        raise BadShape("ranges", len(ranges), f"pass one for each of {len(lps)} LP instruments")
    spot = market.spot[market.listing.underlying[lps]] * moved
    worth = np.zeros(len(lps))
    for row, span in enumerate(ranges):
        x, y = amounts(1.0, span, spot[row : row + 1])
        worth[row] = float(x[0]) * float(spot[row]) + float(y[0])
    return worth


def _sound(market: Market) -> Flags:
    """Return which instruments have every factor they need: finite, and positive where due."""
    listing, kind = market.listing, market.listing.kind
    spot = market.spot[listing.underlying]
    sound: Flags = np.isfinite(spot) & (spot > 0.0) & (market.stable > 0.0)
    sound &= bool(np.isfinite(market.stable))
    dated = np.ones(len(market.seconds) + 1, np.bool_)  # the last one answers for expiry -1
    for factor in (market.seconds, market.rate, market.forward_fixed, market.forward_variable):
        dated[:-1] &= np.isfinite(factor) & (factor >= 0.0)
    dated[:-1] &= market.forward_fixed + market.forward_variable > 0.0
    dated[-1] = False
    needs_date = (kind <= Kind.PUT) | (kind == Kind.FUTURE)
    sound &= ~needs_date | dated[listing.expiry]
    priced = np.isfinite(market.vol) & (market.vol >= 0.0) & np.isfinite(listing.strike)
    sound &= (kind > Kind.PUT) | (priced & (listing.strike >= 0.0))
    perp = market.perp_price[listing.underlying]
    sound &= (kind != Kind.PERPETUAL) | (np.isfinite(perp) & (perp > 0.0))
    based = np.isfinite(market.price) & (market.price >= 0.0)
    sound &= (kind != Kind.BASE) | based
    return sound


def _row(field: str, values: Floats, like: Floats) -> Floats:
    row = finite_array(field, values)
    if row.shape != like.shape:
        raise BadShape(field, row.shape, f"pass one for each of {len(like)} instruments")
    return row
