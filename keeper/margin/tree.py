"""The netting tree: leg -> expiry -> underlying -> account, and how a node's P&L becomes a loss.

A node's requirement is the sum of its parts' requirements less offset x what netting the parts
against each other saves: (sum of the parts' losses - loss of the parts together). Offset 1 nets
in full, 0 not at all, level by level. What the P&L comes from is not known here.
"""

from dataclasses import dataclass

import numpy as np

from keeper.margin.book import Book, Flags, Floats, Indices
from keeper.margin.errors import BadShape, within
from keeper.margin.netting import Places, sums


@dataclass(frozen=True, slots=True)
class Offsets:
    """How far parts net inside a node, 0..1, and what a gain counts.

    expiry       legs of different expiries of one underlying
    underlying   different underlyings of one group
    group        different product groups of one account; `groups` names each underlying's
    gain_share   share of a positive P&L of one underlying that may offset another
    correlation  (underlying, underlying); when given, an account's requirement is the quadratic
                 form sqrt(R' C R) of its underlyings' requirements and `underlying`, `group` are
                 not used; where only ranges are known the worst case is each pair's upper end,
                 because requirements are never negative
    """

    expiry: float = 1.0
    underlying: float = 1.0
    group: float = 1.0
    groups: tuple[int, ...] = ()
    gain_share: float = 1.0
    correlation: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        for field in ("expiry", "underlying", "group", "gain_share"):
            within(f"offsets.{field}", getattr(self, field), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Reduction:
    """How a row of scenario P&L becomes one loss >= 0.

    level  None: the worst case of all. A confidence: value at risk, or expected shortfall with
           `shortfall`, of the shocks marked `history`; then blend x that + (1 - blend) x the
           worst case of the others
    """

    level: float | None = None
    shortfall: bool = False
    blend: float = 1.0

    def __post_init__(self) -> None:
        if self.level is not None:
            within("reduction.level", self.level, 0.0, 1.0)
        within("reduction.blend", self.blend, 0.0, 1.0)

    def loss(self, pnl: Floats, history: Flags) -> Floats:
        """Return losses >= 0, (node,); pnl (node, shock), history (shock,)."""
        if self.level is None:
            return _worst(pnl)
        past, rest = pnl[:, history], pnl[:, ~history]
        if not past.shape[1]:
            raise BadShape("shocks", 0, "give shocks marked history, or set no level")
        quantile = np.quantile(past, 1.0 - self.level, axis=1)
        if self.shortfall:
            beyond = past <= quantile[:, None]
            quantile = np.where(beyond, past, 0.0).sum(axis=1) / beyond.sum(axis=1)
        tail = np.maximum(0.0, -quantile)
        return self.blend * tail + (1.0 - self.blend) * _worst(rest)


@dataclass(frozen=True, slots=True)
class Netted:
    """What the tree found, (account,) and (account, shock)."""

    pnl: Floats
    loss: Floats


def net(
    book: Book,
    place: tuple[Indices, Indices],
    unit: Floats,
    rules: tuple[Offsets, Reduction],
    history: Flags,
) -> Netted:
    """Return joint P&L and requirement of each account.

    place  (expiry, underlying) of each instrument; unit (shock, instrument), weighted P&L
    """
    offsets, reduction = rules
    expiry, underlying = place
    account = np.repeat(np.arange(book.accounts), np.diff(book.start))
    instrument = book.instrument.astype(np.intp)
    width = int(underlying.max(initial=0)) + 1
    dates = int(expiry.max(initial=-1)) + 2
    owner = account * width + underlying[instrument]
    leaf_of, leaf_key = _nodes(owner * dates + expiry[instrument] + 1)
    leaf = (
        np.stack(
            [sums(leaf_of, book.quantity * row[instrument], len(leaf_key)) for row in unit], axis=1
        )
        if len(unit)
        else np.zeros((len(leaf_key), 0))
    )
    parts = _Parts.of(reduction.loss(leaf, history))
    node, node_key = _nodes(leaf_key // dates)
    joint = _gathered(node, leaf, len(node_key))
    joint = np.where(joint > 0.0, joint * offsets.gain_share, joint)
    parts = parts.under(node, reduction.loss(joint, history), offsets.expiry)
    if offsets.correlation:
        total = _gathered(node_key // width, joint, book.accounts)
        needed = parts.required
        return Netted(total, _quadratic(needed, node_key, width, book.accounts, offsets))
    group = np.array(offsets.groups or [0] * width, np.intp)
    if len(group) < width:
        raise BadShape("offsets.groups", len(group), f"name the group of {width} underlyings")
    many = int(group.max()) + 1
    node, group_key = _nodes((node_key // width) * many + group[node_key % width])
    joint = _gathered(node, joint, len(group_key))
    parts = parts.under(node, reduction.loss(joint, history), offsets.underlying)
    total = _gathered(group_key // many, joint, book.accounts)
    parts = parts.under(group_key // many, reduction.loss(total, history), offsets.group)
    return Netted(total, parts.required)


@dataclass(frozen=True, slots=True)
class _Parts:
    """One level of the tree: what each node needs, and what it loses on its own, (node,)."""

    required: Floats
    loss: Floats
    whole: bool  # netted in full so far: then a requirement IS the loss, to the last bit

    @staticmethod
    def of(loss: Floats) -> "_Parts":
        return _Parts(loss, loss, whole=True)

    def under(self, node: Places, loss: Floats, offset: float) -> "_Parts":
        """Return the parents' level; node = the parent of each part."""
        if self.whole and offset == 1.0:
            return _Parts.of(loss)
        kept = sums(node, self.required - offset * self.loss, len(loss))
        return _Parts(kept + offset * loss, loss, whole=False)


def _worst(pnl: Floats) -> Floats:
    loss: Floats = np.maximum(0.0, -pnl.min(axis=1, initial=0.0))
    return loss


def _gathered(node: Places, pnl: Floats, count: int) -> Floats:
    """Return the sum of rows in each parent, (parent, shock), added in row order."""
    total = np.zeros((count, pnl.shape[1]))
    for shock in range(pnl.shape[1]):
        total[:, shock] = sums(node, pnl[:, shock], count)
    return total


def _nodes(key: Places) -> tuple[Places, Places]:
    """Return (node of each row, key of each node), nodes in rising order of their keys."""
    keys, node = np.unique(key, return_inverse=True)
    return node.astype(np.intp), keys


def _quadratic(
    required: Floats, key: Places, width: int, accounts: int, offsets: Offsets
) -> Floats:
    matrix = np.array(offsets.correlation, np.float64)
    if matrix.shape != (width, width):
        raise BadShape("offsets.correlation", matrix.shape, f"pass {width} rows of {width}")
    dense = np.zeros((accounts, width))
    dense[key // width, key % width] = required
    square = (dense[:, :, None] * matrix * dense[:, None, :]).sum(axis=(1, 2))
    loss: Floats = np.sqrt(np.maximum(square, 0.0))
    return loss
