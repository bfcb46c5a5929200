"""Compiled loops over accounts: netting, the expiry rule and the worst case in one pass.

Imported only where numba is, through `keeper.margin.kernel`; the plain numpy path stays for other
machines, and these loops give its bits. A ladder row is one vector that stays in registers; there
is no accounts x scenarios matrix. Formulae: `methods.pmrm2_exposure` and `methods.pmrm2`.
"""

from typing import Final

import numpy as np
from numba import njit

from keeper.margin.kernel.vectors import (
    bare,
    columns,
    counted,
    first_three,
    index_of,
    least,
    load,
    long_or_short,
    signed_by,
)


PERPETUAL: Final = -1  # groups of what has no expiry
COLLATERAL: Final = -2
REFUSED: Final = -3
SOUND: Final = 0  # what a loop returns when it could read every row
MISPLACED: Final = 1  # a row out of order or out of the listing: the numpy path decides


@njit(nogil=True, cache=True)
def stress(first, last, rows, unit, blank, out):
    # The loop of `kernel.netted_worst`.
    nothing, rows, unit = columns(blank), bare(rows), bare(unit)
    for account in range(first, last):
        equity, loss, current, before = rows.cash[account], 0.0, -1, -1
        value = nothing
        low, high = rows.start[account], rows.start[account + 1]
        if not 0 <= low <= high <= rows.size:
            return MISPLACED
        for row in range(low, high):
            i = np.intp(rows.instrument[row])
            if i <= before or i >= unit.size:
                return MISPLACED
            before = i
            if unit.group[i] != current:
                loss += least(value)
                value, current = nothing, unit.group[i]
            held = rows.quantity[row]
            equity += held * unit.value[i]
            value = value + held * load(unit.table, i * len(blank), value)
        out[account] = equity + (loss + least(value))
    return SOUND


@njit(nogil=True)
def _doubt(level, confidence, notional):
    """Return the charge for a quote of low confidence, USD."""
    if confidence < level.confidence_threshold:
        return (1.0 - confidence) * level.confidence_margin * notional
    return 0.0


@njit(nogil=True)
def _lower(left, right):
    """Return the smaller one; a NaN wins, as in numpy."""
    return left if left < right or left != left else right


@njit(nogil=True)
def _leaf(row, high, rows, unit, level, nothing, gross):
    """Return one expiry's values, naked shorts, net, and where it ends; `gross` goes on."""
    group, rank, width = unit.group[rows.instrument[row]], -1, unit.width
    value, naked, rung, net, before = nothing, 0.0, 0.0, 0.0, -1
    while row < high:
        i, held = np.intp(rows.instrument[row]), rows.quantity[row]
        if i <= before or i >= unit.size:
            break  # the caller finds it misplaced
        if held != 0.0:
            if unit.group[i] != group:
                break
            if unit.rank[i] != rank:
                naked += max(0.0, -rung)
                rung, rank = 0.0, unit.rank[i]
            rung += held
            net += abs(held)
            gross += abs(held) * level.spot
            value = value + held * load(unit.table, i * width, value)
        before = i
        row += 1
    return value, naked + max(0.0, -rung), net, gross, row, before


@njit(nogil=True)
def _charges(perp, level, sums):
    """Return the maintenance contingency and what initial margin adds (section 2.4)."""
    leaf_mm, leaf_im, leaf_im_perp, base_mm, base_im = sums
    notional, confidence = abs(perp) * level.spot, level.spot_confidence
    if perp != 0.0:
        confidence, leaf_im = level.least_confidence, leaf_im_perp
    mm = notional * level.mm_perp + leaf_mm + base_mm
    im = notional * level.im_perp + _doubt(level, confidence, notional) + leaf_im + base_im
    return mm, im


@njit(nogil=True)
def _decide(account, pnl, basis, column, sums, level, out):
    """Write one account's requirement; what is not finite leaves it undefined."""
    equity, mm, im, gross = sums
    pnl = counted(pnl, load(column.barred, 0, pnl))
    span, worst, lowest = basis, level.scenarios, least(pnl)
    if lowest < span:
        span = lowest
        worst = np.int64(least(index_of(pnl, lowest, load(column.number, 0, pnl))))
    mm, im = mm - span * level.mm_factor, (mm + im) - span * level.im_factor
    for number in (equity, mm, im, gross):
        if number - number != 0.0:
            return
    out.equity[account], out.mm[account], out.im[account] = equity, mm, im
    out.gross[account], out.worst[account], out.defined[account] = gross, worst, 1


@njit(nogil=True)
def _account(account, rows, unit, dated, column, level, nothing, out):
    """Margin one account: walk its rows leaf by leaf, then take the worst case (section 2.7)."""
    total, low, high = nothing, rows.start[account], rows.start[account + 1]
    basis = marked = leaf_mm = leaf_im = leaf_im_perp = 0.0
    perp = value = base_mm = base_im = cancelling = gross = 0.0
    refused, before, row = False, -1, low
    if not 0 <= low <= high <= rows.size:
        return MISPLACED
    while row < high:
        i, held = np.intp(rows.instrument[row]), rows.quantity[row]
        if i <= before or i >= unit.size:
            return MISPLACED
        group = unit.group[i]
        if held != 0.0 and group >= 0:
            found = _leaf(row, high, rows, unit, level, nothing, gross)
            leaf, naked, net, gross, row, before = found
            mark, up, down = first_three(leaf)
            factor = long_or_short(leaf, dated.long[group], dated.short[group])
            gain = (leaf * factor - mark) * load(column.damping, 0, leaf)
            total = total + signed_by(gain, load(column.sign, 0, leaf))
            worse = _lower(_lower(up - mark, down - mark), 0.0)
            basis += worse * dated.weight[group]
            marked += mark
            naked, net = naked * level.spot, net * level.spot
            leaf_mm += naked * level.mm_option
            confidence = dated.confidence[group]
            doubt = _doubt(level, _lower(level.spot_confidence, confidence), net)
            leaf_im += naked * level.im_option + doubt
            doubt = _doubt(level, _lower(level.least_confidence, confidence), net)
            leaf_im_perp += naked * level.im_option + doubt
            continue
        before = i
        row += 1
        if held == 0.0:
            continue
        refused |= group == REFUSED
        gross += abs(held) * unit.notional[i]
        if group == PERPETUAL:
            perp += held
        elif group == COLLATERAL:
            worth = held * unit.value[i]
            value += worth
            cancelling += held * unit.cancelling[i]
            base_mm += worth * unit.mm_haircut[i]
            base_im += worth * unit.im_haircut[i] + _doubt(level, unit.confidence[i], worth)
    if refused:
        return SOUND
    mm, im = _charges(perp, level, (leaf_mm, leaf_im, leaf_im_perp, base_mm, base_im))
    cash, carried = rows.cash[account], rows.carried[account] if perp != 0.0 else 0.0
    equity = carried + marked + value + cash
    linear = (perp * level.perp_price if perp != 0.0 else 0.0) + cancelling
    total = total + linear * load(column.move, 0, total)
    sums = (equity, mm, im, gross + abs(cash))
    _decide(account, total, basis, column, sums, level, out)
    return SOUND


@njit(nogil=True, cache=True)
def requirement(first, last, rows, unit, dated, column, level, blank, out):
    # The loop of `methods.pmrm2_compiled` over accounts first..last-1.
    nothing, rows, unit, out = columns(blank), bare(rows), bare(unit), bare(out)
    dated, column = bare(dated), bare(column)
    for account in range(first, last):
        found = _account(account, rows, unit, dated, column, level, nothing, out)
        if found != SOUND:
            return found
    return SOUND
