"""Compiled loop of the forward grid: netting and worst case of every account, cell after cell.

Imported only where numba is, through `keeper.margin.kernel`. What the cells of one spot share
(charges, collateral, whose options net) comes in ready; what is left is one pass over the legs a
cell, with the additions of `accounts` in their order: the bits are the same.
"""

from typing import Final

from numba import njit

from keeper.margin.kernel.vectors import (
    bare,
    columns,
    counted,
    first_three,
    least,
    load,
    long_or_short,
    signed_by,
)


SOUND: Final = 0


@njit(nogil=True)
def _lower(left, right):
    """Return the smaller one; a NaN wins, as in numpy."""
    return left if left < right or left != left else right


@njit(nogil=True)
def _netted(value, expiry, dated, damping, sign):
    """Return what one leaf adds to P&L, basis contingency and value at mark."""
    mark, up, down = first_three(value)
    factor = long_or_short(value, dated.long[expiry], dated.short[expiry])
    pnl = signed_by((value * factor - mark) * damping, sign)
    return pnl, _lower(_lower(up - mark, down - mark), 0.0) * dated.weight[expiry], mark


@njit(nogil=True)
def _decide(account, cell, sums, plan, side, column, out):
    """Write one account's figures in one cell; what is not finite stays 0.0."""
    total, basis, marked = sums
    total = total + side.linear[account] * load(column.move, 0, total)
    lowest = least(counted(total, load(column.barred, 0, total)))
    span = _lower(basis, lowest)
    equity = side.carried[account] + marked + side.value[account] + plan.cash[account]
    excess = equity - (side.charged[account] - span * side.mm_factor)
    if plan.refused[account] or excess - excess != 0.0:
        equity = excess = 0.0
    place = cell * plan.accounts + account
    out.equity[place], out.excess[place] = equity, excess


@njit(nogil=True, cache=True)
def cells(first, last, plan, side, dated, column, blank, out):
    # The loop of `methods.pmrm2_cells` over cells first..last-1, which differ in volatility; two at
    # a time, because a leaf's end is a branch mispredicted, and costs as much as its arithmetic.
    nothing, width, plan, side = columns(blank), len(blank), bare(plan), bare(side)
    dated, column, out = bare(dated), bare(column), bare(out)
    damping, sign = load(column.damping, 0, nothing), load(column.sign, 0, nothing)
    for cell in range(first, last, 2):
        other = min(cell + 1, last - 1)  # the last one of an odd number is its own partner
        begin, further = cell * side.size * width, (other - cell) * side.size * width
        for account in range(plan.accounts):
            total = total_other = nothing
            basis = basis_other = marked = marked_other = 0.0
            for leaf in range(plan.leaves[account], plan.leaves[account + 1]):
                value = value_other = nothing
                for leg in range(plan.legs[leaf], plan.legs[leaf + 1]):
                    row, held = begin + plan.instrument[leg] * width, plan.quantity[leg]
                    value = value + held * load(side.ladder, row, nothing)
                    value_other = value_other + held * load(side.ladder, row + further, nothing)
                expiry = plan.expiry[leaf]
                pnl, worse, mark = _netted(value, expiry, dated, damping, sign)
                total, basis, marked = total + pnl, basis + worse, marked + mark
                pnl, worse, mark = _netted(value_other, expiry, dated, damping, sign)
                total_other = total_other + pnl
                basis_other, marked_other = basis_other + worse, marked_other + mark
            _decide(account, cell, (total, basis, marked), plan, side, column, out)
            sums = total_other, basis_other, marked_other
            _decide(account, other, sums, plan, side, column, out)
    return SOUND
