"""What several endpoints say of one chain, held against one another. Pure.

It knows what was answered, and nothing of how it was asked or of what follows from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.chain.link.branch import Point
from keeper.domain.units import Hash


@dataclass(frozen=True, slots=True)
class View:
    """One endpoint's answers of one round: its head, and the block it calls final, if any."""

    endpoint: str
    head: Point
    final: Point | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two endpoints that have different blocks at one height."""

    number: int
    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.one} and {self.other} disagree at block {self.number}"


def behind(views: Sequence[View], lag_blocks_max: int) -> tuple[str, ...]:
    """Return the endpoints whose head is more than so many blocks below the highest one."""
    best = max((view.head.number for view in views), default=0)
    return tuple(view.endpoint for view in views if best - view.head.number > lag_blocks_max)


def common_height(views: Sequence[View]) -> int:
    """Return the highest number that every view has a block at."""
    return min(view.head.number for view in views)


def known_at(views: Sequence[View], number: int) -> dict[str, Hash]:
    """Return the hashes at a number that are known without asking again."""
    return {view.endpoint: view.head.hash for view in views if view.head.number == number}


def conflict_at(number: int, hashes: Mapping[str, Hash | None]) -> Conflict | None:
    """Return the first two that differ; who has no block there has no opinion."""
    said = [(endpoint, block) for endpoint, block in hashes.items() if block is not None]
    for endpoint, block in said[1:]:
        if block != said[0][1]:
            return Conflict(number, said[0][0], endpoint)
    return None


class Finality:
    """The final block that all endpoints have confirmed; it only ever goes up.

    A block that one of them calls final is a candidate until all that answer have it.
    """

    def __init__(self) -> None:
        self.confirmed: Point | None = None
        self.candidate: Point | None = None

    def propose(self, views: Sequence[View]) -> None:
        """Take the lowest new final block as candidate, where there is none yet."""
        floor = -1 if self.confirmed is None else self.confirmed.number
        news = [v.final for v in views if v.final is not None and v.final.number > floor]
        if self.candidate is None and news:
            self.candidate = min(news, key=lambda point: point.number)

    def asked(self) -> tuple[int, ...]:
        """Return the numbers that every endpoint is to be asked for."""
        return tuple(p.number for p in (self.confirmed, self.candidate) if p is not None)

    def deserters(self, hashes: Mapping[int, Mapping[str, Hash | None]]) -> tuple[str, ...]:
        """Return who has another block than the confirmed one."""
        if self.confirmed is None:
            return ()
        said = hashes.get(self.confirmed.number, {})
        return tuple(e for e, h in said.items() if h is not None and h != self.confirmed.hash)

    def judge(self, hashes: Mapping[int, Mapping[str, Hash | None]]) -> Conflict | None:
        """Confirm the candidate if all that answer have it, else return who differs.

        A candidate nobody has is given up: whoever called it final did so alone.
        """
        if self.candidate is None or self.candidate.number not in hashes:
            return None
        said = hashes[self.candidate.number]
        conflict = conflict_at(self.candidate.number, said)
        if conflict is not None:
            return conflict
        if self.candidate.hash in said.values():
            self.confirmed = self.candidate
        self.candidate = None
        return None
