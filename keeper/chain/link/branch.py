"""The last blocks we sealed, and where a new branch leaves them. Pure; it asks no node anything."""

from collections import deque
from dataclasses import dataclass

from keeper.domain.errors import DataError, InvariantViolation
from keeper.domain.units import Hash


class GapTooDeep(DataError):
    """The chain left our blocks further back than we can undo, or ran too far ahead.

    Only a new snapshot helps: the caller takes one and starts a new follower from it.
    """

    def __init__(self, tip: int, head: int, window_blocks: int) -> None:
        self.tip = tip
        self.head = head
        self.window_blocks = window_blocks
        super().__init__(f"head {head} cannot be joined to tip {tip} within {window_blocks} blocks")


@dataclass(frozen=True, slots=True)
class Point:
    """A block by its place: what is needed to build on it."""

    number: int
    hash: Hash


class Branch:
    """Our own branch: the tip and at most `window_blocks` blocks below it, parent by parent.

    A block is final once `finality_blocks` others were sealed above it, whatever came later.
    """

    def __init__(self, start: Point, window_blocks: int, finality_blocks: int) -> None:
        self.window_blocks = window_blocks
        self._finality_blocks = finality_blocks
        self._highest = start.number
        self._points: deque[Point] = deque([start], maxlen=window_blocks + 1)
        self._known: dict[Hash, Point] = {start.hash: start}

    @property
    def tip(self) -> Point:
        """Return the last block sealed."""
        return self._points[-1]

    @property
    def oldest(self) -> Point:
        """Return the deepest block we can go back to."""
        return self._points[0]

    @property
    def final_number(self) -> int:
        """Return the number of the last final block; it never goes down."""
        return self._highest - self._finality_blocks

    def at(self, number: int) -> Point | None:
        """Return our block of this number, if it is within the window."""
        place = number - self.oldest.number
        return self._points[place] if 0 <= place < len(self._points) else None

    def find(self, block: Hash) -> Point | None:
        """Return the block if it is ours and within the window."""
        return self._known.get(block)

    def extend(self, point: Point) -> None:
        """Add a block on the tip."""
        if point.number != self.tip.number + 1:
            raise InvariantViolation(f"block {point.number} sealed on tip {self.tip.number}")
        if len(self._points) == self._points.maxlen:
            del self._known[self._points[0].hash]
        self._points.append(point)
        self._known[point.hash] = point
        self._highest = max(self._highest, point.number)

    def rewind(self, ancestor: Point) -> None:
        """Forget all blocks above `ancestor`, which must be ours."""
        if self.find(ancestor.hash) != ancestor:
            raise InvariantViolation(f"rewind to {ancestor.number}, which is not ours")
        while self.tip != ancestor:
            del self._known[self._points.pop().hash]
