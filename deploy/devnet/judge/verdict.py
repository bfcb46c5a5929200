"""The verdict on a run: what was missed, what came late. Pure, from evidence gathered elsewhere.

It must not know nodes, contracts or the keeper: block by block who could be started, and who was.
A stretch is a row of blocks at whose ends one account was allowed to be started.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from deploy.devnet.judge.truth import BlockTruth


# Allowed for this many blocks running and not started: somebody should have.
MISSED_AFTER_BLOCKS = 2


@dataclass(frozen=True)
class Start:
    """An auction that began: in which block, solvent or not."""

    block: int
    account: int
    insolvent: bool


@dataclass(frozen=True)
class Stretch:
    """Blocks `first` to `last` at whose ends `account` was allowed, and the start that ended it."""

    account: int
    first: int
    last: int
    started: int | None

    @property
    def latency(self) -> int | None:
        """Blocks from the first at which it was allowed to its start; None without a start."""
        return None if self.started is None else self.started - self.first

    def missed(self) -> bool:
        """Tell whether it was left alone for too long."""
        return self.started is None and self.last - self.first + 1 >= MISSED_AFTER_BLOCKS


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a run.

    `latencies` are blocks, of every start of an account that was allowed; a start in the very block
    of the breach counts 0. `late` are the stretches over one block although in all their blocks the
    breaches, those under auction too, fitted the lanes; `own` are stretches of accounts whose owner
    would not auction himself.
    """

    stretches: tuple[Stretch, ...]
    missed: tuple[Stretch, ...]
    late: tuple[Stretch, ...]
    own: tuple[Stretch, ...]
    latencies: tuple[int, ...]
    fitting_latencies: tuple[int, ...]
    breaches_per_block_max: int
    started_unseen: tuple[Start, ...]


def judge(
    truths: Sequence[BlockTruth], starts: Sequence[Start], capacity: int, own: Collection[int]
) -> Verdict:
    """Return the verdict; `truths` are of consecutive blocks, in order."""
    found = list(_stretches(truths, starts))
    strangers = [each for each in found if each.account not in own]
    crowded = {each.number for each in truths if _breaches(each, own) > capacity}
    fitting = [
        each
        for each in strangers
        if not any(block in crowded for block in range(each.first, each.last + 1))
    ]
    begun: dict[int, int] = {}
    for each in strangers:
        begun[each.first] = begun.get(each.first, 0) + 1
    seen = {(each.account, each.started) for each in found}
    sudden = tuple(each for each in starts if (each.account, each.block) not in seen)
    return Verdict(
        stretches=tuple(strangers),
        missed=tuple(each for each in strangers if each.missed()),
        late=tuple(each for each in fitting if (each.latency or 0) > 1),
        own=tuple(each for each in found if each.account in own),
        latencies=(*_latencies(strangers), *(0 for _ in sudden)),
        fitting_latencies=(*_latencies(fitting), *(0 for _ in sudden)),
        breaches_per_block_max=max(begun.values(), default=0),
        started_unseen=sudden,
    )


def _breaches(truth: BlockTruth, own: Collection[int]) -> int:
    """Return how many accounts want a transaction: may be started, or are being auctioned."""
    return sum(1 for each in truth.allowed if each not in own) + truth.live


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least this share of all do not exceed; 0.0 of none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = -(-len(ordered) * share // 1)
    return ordered[max(0, int(place) - 1)]


def _latencies(stretches: Iterable[Stretch]) -> tuple[int, ...]:
    return tuple(each.latency for each in stretches if each.latency is not None)


def _stretches(truths: Sequence[BlockTruth], starts: Sequence[Start]) -> Iterable[Stretch]:
    """Yield every stretch, in the order of their ends."""
    started: dict[int, list[int]] = {}
    for start in starts:
        started.setdefault(start.account, []).append(start.block)
    running: dict[int, int] = {}
    for truth in truths:
        allowed = set(truth.allowed)
        for account in [each for each in running if each not in allowed]:
            yield _ended(account, running.pop(account), truth.number - 1, started)
        for account in truth.allowed:
            running.setdefault(account, truth.number)
    last = truths[-1].number if truths else 0
    for account, first in running.items():
        yield _ended(account, first, last, started)


def _ended(account: int, first: int, last: int, started: dict[int, list[int]]) -> Stretch:
    """Return a stretch with the start that came in it or in the block right after it."""
    within = [block for block in started.get(account, []) if first < block <= last + 1]
    return Stretch(account, first, last, within[0] if within else None)
