"""Compiled Black-76: every option under every shock, in arithmetic a vectoriser can take.

Imported only where numba is, through `keeper.margin.kernel`. For regular options only (see
`pricing.Pricing.regular`); the limits are `keeper.margin.pricing`'s business. No library
function is called and no fast-math flag set, so the bits are those of the formulas on any machine.

With h = ln(F / K), v the total volatility, d1 = h/v + v/2, d2 = d1 - v: exp(-d2^2/2) K/F equals
exp(-d1^2/2) = g, so that one exponential serves both tails: N(-|d1|) = g M(|d1|) and
(K/F) N(-|d2|) = g M(|d2|), where M(x) = exp(x^2/2) N(-x) is smooth. As in M. M. Shepherd and
J. G. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc(x) in 0 <= x < inf",
Math. Comp. 36 (1981) 249-253, (x + C) M(x) is one polynomial in t = (x - C) / (x + C) for all
x >= 0; ours has C = 4.5 and degree 20, and is off by at most 1e-15.
"""

import math
from typing import Final

from numba import njit

from keeper.margin.kernel.vectors import (
    bare,
    columns,
    doubled,
    higher,
    load,
    lower,
    spread,
    store,
    where_positive,
)


CENTRE: Final = 4.5
MILLS: Final = (
    -5.5091541044569974e-09,
    -4.7731729176479965e-09,
    5.6964549429132996e-08,
    6.290725902476393e-08,
    -3.609576531026155e-07,
    -4.997848114040333e-07,
    2.1274234247983383e-06,
    3.189005838051229e-06,
    -1.422754776303447e-05,
    -1.5932238901909017e-05,
    0.00011203980060974177,
    6.380840220616266e-06,
    -0.0009177458759287087,
    0.0017488306315910547,
    0.004223613301623179,
    -0.03387132618405072,
    0.11138259657525122,
    -0.25314179995063396,
    0.4464525170555528,
    -0.6402577602526218,
    0.7632305289702036,
)  # highest power first
LOG2_E: Final = 1.0 / math.log(2.0)
LN2_HIGH: Final = float.fromhex("0x1.62e42fefa0000p-1")  # 35 bits of ln 2: times n stays exact
LN2_LOW: Final = float.fromhex("0x1.cf79abc9e3b39p-40")  # and the rest of it
ROUNDER: Final = 6755399441055744.0  # 1.5 x 2^52: adding it rounds to a whole number
DEEPEST: Final = -708.0  # exp of less is no normal number
EXP: Final = tuple(1.0 / math.factorial(power) for power in range(12, -1, -1))


@njit(nogil=True)
def _exp(x):
    """Return exp(x), x <= 0, to an ulp or two; 3e-308 from -708 down."""
    x = higher(x, spread(DEEPEST, x))
    rounded = x * LOG2_E + ROUNDER
    n = rounded - ROUNDER
    rest = (x - n * LN2_HIGH) - n * LN2_LOW
    total = rest * EXP[0] + EXP[1]
    for place in range(2, len(EXP)):
        total = total * rest + EXP[place]
    return doubled(total, rounded)


@njit(nogil=True)
def _tails(g, one, other):
    """Return g M(|one|) and g M(|other|)."""
    one, other = higher(one, 0.0 - one), higher(other, 0.0 - other)
    share, share_other = 1.0 / (one + CENTRE), 1.0 / (other + CENTRE)
    t, t_other = 1.0 - (2.0 * CENTRE) * share, 1.0 - (2.0 * CENTRE) * share_other
    total, total_other = t * MILLS[0] + MILLS[1], t_other * MILLS[0] + MILLS[1]
    for place in range(2, len(MILLS)):
        total = total * t + MILLS[place]
        total_other = total_other * t_other + MILLS[place]
    return g * (total * share), g * (total_other * share_other)


@njit(nogil=True)
def _values(moneyness, v, forward, strike, discount, call):
    """Return one option's values; moneyness = ln(forward / strike), v = total volatility."""
    d1 = moneyness / v + 0.5 * v
    d2 = d1 - v
    tail, tail_strike = _tails(_exp(-0.5 * d1 * d1), d1, d2)
    ratio, none, whole = strike / forward, spread(0.0, v), spread(1.0, v)
    share = where_positive(d1, 1.0 - tail, tail)
    share = higher(share - where_positive(d2, ratio - tail_strike, tail_strike), none)
    present = forward * discount
    if call:
        return lower(share, whole) * present
    return lower(higher(share + ratio - 1.0, none) * present, spread(strike * discount, v))


@njit(nogil=True, cache=True)
def values(first, last, option, dated, spreads, blank, table):
    # The loop of `pricing.price_table`: options first..last-1 under every shock.
    nothing, width = columns(blank), len(blank)
    option, dated, spreads, table = bare(option), bare(dated), bare(spreads), bare(table)
    for index in range(first, last):
        expiry, strike = option.expiry[index], option.strike[index]
        v = nothing
        for kind in range(spreads.kinds):
            v = v + spreads.total[kind * spreads.options + index] * load(
                spreads.used, kind * width, v
            )
        forward = load(dated.forward, expiry * width, v)
        moneyness = load(dated.log_forward, expiry * width, v) - option.log_strike[index]
        found = _values(moneyness, v, forward, strike, dated.discount[expiry], option.call[index])
        store(table.table, option.row[index] * width, found)
    return 0
