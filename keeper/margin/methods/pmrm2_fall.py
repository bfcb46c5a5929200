"""PMRM_2: how far an account's excess can fall for one unit of an instrument it holds.

The proof. Between two markets, then and now, with the same positions q, the excess is

    E = min over s of E_s,   E_s = sum over instruments, leaves of terms,

s running over the scenarios and the basis contingency (a minimum times mm_factor >= 0 is the
minimum of the multiples). If every |E_s(now) - E_s(then)| <= sum_i |q_i| b[i, s], then
E(now) >= E(then) - sum_i |q_i| max_s b[i, s]; that maximum is what `fall` returns. Term by term:

* A leaf is worth X = sum q L, so |X now - X then| <= sum |q| d, d = |L now - L then|.
* Discounting, h(X) = X long where X >= 0, else X short, is continuous and piecewise linear:
  |h_now(X_now) - h_then(X_then)| <= F sum |q| d + dF sum |q| |L then|, F the larger factor now,
  dF the larger change of one.
* Scenario s adds m + k (h(X) - m) for a mark m and k = mm_factor x damping:
  b = |1 - k| d_mark + |k| (F d + dF |L then|). Under a skew shock it adds m - |k (h(X) - m)|:
  b = d_mark + |k| (F d + dF |L then| + d_mark).
* The basis contingency adds m + mm_factor w min(up - m, down - m, 0), w its weight, and
  |min(a, b) - min(a', b')| <= max(|a - a'|, |b - b'|).
* Naked shorts are at most sum |q|: they take mm_option x the move of spot. A perpetual takes
  mm_perp x that, and its P&L k |shock - 1| x the move of its price; its profit at mark is
  `carried`, which the screen takes as it is. Collateral moves by its unit value.
* Float sums err by far less than `ROUNDING` of the magnitudes added, then and now: it is added.

An instrument that could be valued in one of the markets only gets infinity. Must not know accounts.
"""

from typing import Final

import numpy as np

from keeper.margin.book import Floats, Indices, Kind, Market
from keeper.margin.kernel.front import compiled, share
from keeper.margin.kernel.shapes import Bytes, Factors, Steps, Tables
from keeper.margin.methods.pmrm2_exposure import Terms, readable
from keeper.margin.methods.pmrm2_ladder import DOWN, MARK, UP, PriceLadder
from keeper.margin.methods.pmrm2_parameters import Pmrm2Parameters, VolShock
from keeper.margin.netting import Places
from keeper.margin.screen_rows import same_listing


ROUNDING: Final = 1e-11
BLOCK: Final = 256  # options at once: temporaries stay in the cache

Valued = tuple[Market, tuple[PriceLadder, Terms]]


def fall(parameters: Pmrm2Parameters, then: Valued, now: Valued) -> Floats | None:
    """Return USD of excess that one unit of each instrument can cost, (instrument,), >= 0.

    None where no bound holds: a market that cannot be read, a listing that changed, a negative
    mm_factor.
    """
    (market_then, (ladder_then, terms_then)), (market, (ladder, terms)) = then, now
    row = parameters.underlying
    if parameters.margin.mm_factor < 0.0 or not same_listing(market_then, market):
        return None
    if not readable(market_then, row) or not readable(market, row):
        return None
    kind = market.listing.kind
    options = np.flatnonzero((kind <= Kind.PUT) & (ladder.valid | ladder_then.valid))
    spot = abs(market.spot[row] - market_then.spot[row])
    found = np.zeros(len(kind))
    found[options] = _options(parameters, ladder_then, ladder, options, market.listing.expiry)
    found[options] += abs(parameters.other.mm_option) * spot
    factors = np.array([(s.spot_shock - 1.0) * s.damping for s in parameters.scenarios])
    factors *= parameters.margin.mm_factor
    perp = abs(market.perp_price[row] - market_then.perp_price[row])
    perps = kind == Kind.PERPETUAL
    found[perps] = abs(parameters.other.mm_perp) * spot + np.abs(factors).max() * perp
    keep, stressed = 1.0 - terms.mm_haircut, terms.cancelling != 0.0
    swing = np.maximum(np.abs(keep + factors.max()), np.abs(keep + factors.min()))
    share = np.maximum(np.abs(keep), np.where(stressed, swing, 0.0))
    bases = kind == Kind.BASE
    found[bases] = (share * np.abs(terms.unit_value - terms_then.unit_value))[bases]
    reach = 1.0 + np.abs(factors).max()
    found += ROUNDING * reach * (terms.notional + terms_then.notional)
    found += ROUNDING * reach * (terms.unit_value + terms_then.unit_value)
    found[perps] += ROUNDING * reach * (market.perp_price[row] + market_then.perp_price[row])
    found[ladder.valid != ladder_then.valid] = np.inf
    return found


def _options(
    parameters: Pmrm2Parameters,
    then: PriceLadder,
    now: PriceLadder,
    options: Places,
    expiries: Indices,
) -> Floats:
    """Return the largest b of each option over scenarios and basis, (option,)."""
    long = np.abs(now.long_discount - then.long_discount)
    steps = Steps(
        size=len(now.column),
        columns=len(now.value),
        column=np.array(now.column, np.int64),
        k=parameters.margin.mm_factor * np.array([each.damping for each in parameters.scenarios]),
        skewed=_skewed(parameters),
        mm_factor=parameters.margin.mm_factor,
        rounding=ROUNDING,
    )
    factors = Factors(
        factor=np.maximum(np.abs(now.long_discount), np.abs(now.short_discount)),
        drift=np.maximum(long, np.abs(now.short_discount - then.short_discount)),
        weight=np.abs(now.basis_weight),
        weight_drift=np.abs(now.basis_weight - then.basis_weight),
    )
    loop, found = compiled().steps, np.zeros(len(options))
    if loop is not None and then.table is not None and now.table is not None:
        width = now.table.shape[1]
        expiry = expiries[options].astype(np.int64)
        tables = Tables(
            width, then.table.reshape(-1), now.table.reshape(-1), options, expiry, found
        )
        if then.table.shape == now.table.shape and share(
            loop, len(options), (steps, factors, tables)
        ):
            return found
    for first in range(0, len(options), BLOCK):
        some = options[first : first + BLOCK]
        block = Factors(*(each[expiries[some], None] for each in factors))
        sides = then.value[:, some].T, now.value[:, some].T
        found[first : first + BLOCK] = _largest(steps, block, *sides)
    return found


def _largest(steps: Steps, factors: Factors, before: Floats, after: Floats) -> Floats:
    """Return the same by numpy; factors (option, 1), sides (option, column)."""
    k, skewed = np.abs(steps.k), steps.skewed != 0
    moved, size = np.abs(after - before), np.abs(before)
    mark = moved[:, [MARK]]
    discounted = factors.factor * moved + factors.drift * size
    scenario = k * discounted[:, steps.column]
    scenario += np.where(skewed, 1.0 + k, np.abs(1.0 - steps.k)) * mark
    worse = np.maximum(moved[:, UP], moved[:, DOWN]) + moved[:, MARK]
    worse_size = np.maximum(size[:, UP], size[:, DOWN]) + size[:, MARK]
    drift = factors.weight[:, 0] * worse + factors.weight_drift[:, 0] * worse_size
    largest: Floats = np.maximum(scenario.max(axis=1), moved[:, MARK] + steps.mm_factor * drift)
    reach = (1.0 + k.max()) * (1.0 + factors.factor[:, 0])
    reach += 2.0 * steps.mm_factor * factors.weight[:, 0]
    magnitude = size.max(axis=1) + np.abs(after).max(axis=1)
    found: Floats = largest + steps.rounding * reach * magnitude
    return found


def _skewed(parameters: Pmrm2Parameters) -> Bytes:
    skews = (VolShock.LINEAR, VolShock.ABS)
    return np.array([each.vol_shock in skews for each in parameters.scenarios], np.uint8)
