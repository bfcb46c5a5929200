"""Compiled loops of the screen: what changed, how far it can reach, whom that clears.

Imported only where numba is, through `keeper.margin.kernel`. Each has a numpy twin where it is
called from, which says what it computes. Must not know methods.
"""

from typing import Final

import numpy as np
from numba import njit

from keeper.margin.kernel.vectors import bare


SOUND: Final = 0  # what a loop returns when it could read every row
MISPLACED: Final = 1  # a row out of the listing: the numpy path decides


@njit(nogil=True)
def _unlike(before, now, low, high, shift):
    """Return how many rows low..high-1 are not those `shift` further in `before`."""
    count = 0
    for row in range(low, high):
        count += before.quantity[row + shift] != now.quantity[row]
        count += before.instrument[row + shift] != now.instrument[row]
    return count


@njit(nogil=True, cache=True)
def differing(first, last, before, now, out):
    # The loop of `screen_rows.differing`. Eight accounts are looked at together where they stand
    # together in both books: long runs of rows are compared a register at a time.
    before, now, out = bare(before), bare(now), bare(out)
    for block in range(first, last, 8):
        end = min(block + 8, last)
        together = True
        shift = before.start[block] - now.start[block]
        for account in range(block, end + 1):
            low = now.start[account]
            if not (0 <= now.start[block] <= low <= now.size):
                return MISPLACED
            if not (0 <= before.start[block] <= before.start[account] <= before.size):
                return MISPLACED
            together &= before.start[account] - low == shift
        if together and _unlike(before, now, now.start[block], now.start[end], shift) == 0:
            continue
        for account in range(block, end):
            low, high = now.start[account], now.start[account + 1]
            shift = before.start[account] - low
            apart = before.start[account + 1] != high + shift
            unlike = apart or _unlike(before, now, low, high, shift) > 0
            out.found[account] = np.uint8(unlike)
    return SOUND


@njit(nogil=True, cache=True)
def falls(first, last, rows, asked):
    # The loop of `screen_rows.gross_fall`, over places in `asked`.
    rows, asked = bare(rows), bare(asked)
    for place in range(first, last):
        account = asked.account[place]
        low, high = rows.start[account], rows.start[account + 1]
        if not 0 <= low <= high <= rows.size:
            return MISPLACED
        total = 0.0
        for row in range(low, high):
            i = rows.instrument[row]
            if i < 0 or i >= asked.size:
                return MISPLACED
            total += abs(rows.quantity[row]) * asked.fall[i]
        asked.found[place] = total
    return SOUND


@njit(nogil=True, cache=True)
def bounds(first, last, then, now, out):
    # The loop of `screen.lower_bounds`.
    then, now, out = bare(then), bare(now), bare(out)
    for account in range(first, last):
        cash, before, extra = now.cash[account], then.cash[account], now.extra[account]
        carried, earlier = now.carried[account], then.carried[account]
        equity, mm, gross = then.equity[account], then.mm[account], then.gross[account]
        shifted = equity + (cash - before) + min(carried - earlier, 0.0)
        added = abs(equity) + abs(cash) + abs(before) + abs(extra)
        added += abs(carried) + abs(earlier) + mm
        safe = shifted - mm + extra - now.rounding * added
        notional = max(gross - abs(before), 0.0) + now.rounding * gross
        out.safe[account], out.low[account] = safe, safe - notional * now.steepest
        out.equity[account] = shifted if then.defined[account] else 0.0
        out.mm[account], out.im[account], out.gross[account] = mm, then.im[account], gross
        out.worst[account], out.defined[account] = then.worst[account], then.defined[account]
    return SOUND


@njit(nogil=True, cache=True)
def steps(first, last, steps, factors, tables):
    # The loop of `methods.pmrm2_fall._options`; what it computes stands in `_largest` there.
    steps, factors, tables = bare(steps), bare(factors), bare(tables)
    steepest = 0.0
    for index in range(steps.size):
        steepest = max(steepest, abs(steps.k[index]))
    for place in range(first, last):
        row, expiry = tables.option[place] * tables.width, tables.expiry[place]
        before, after = tables.before, tables.after
        mark, up = abs(after[row] - before[row]), abs(after[row + 1] - before[row + 1])
        worse = max(up, abs(after[row + 2] - before[row + 2])) + mark
        size = max(abs(before[row + 1]), abs(before[row + 2])) + abs(before[row])
        drift = factors.weight[expiry] * worse + factors.weight_drift[expiry] * size
        largest, magnitude = mark + steps.mm_factor * drift, 0.0
        old = new = 0.0
        for index in range(steps.columns):
            old, new = max(old, abs(before[row + index])), max(new, abs(after[row + index]))
        for index in range(steps.size):
            at, k = row + steps.column[index], abs(steps.k[index])
            moved = factors.factor[expiry] * abs(after[at] - before[at])
            moved += factors.drift[expiry] * abs(before[at])
            share = 1.0 + k if steps.skewed[index] else abs(1.0 - steps.k[index])
            largest = max(largest, k * moved + share * mark)
        magnitude = old + new
        reach = (1.0 + steepest) * (1.0 + factors.factor[expiry])
        reach += 2.0 * steps.mm_factor * factors.weight[expiry]
        tables.found[place] = largest + steps.rounding * reach * magnitude
    return SOUND
