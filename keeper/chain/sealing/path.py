"""The way from our own branch to a head: which block of ours it builds on, and what lies between.

It asks a node for headers and changes nothing: whether the way is taken is the follower's business.
"""

from typing import Final

from keeper.chain.link.branch import Branch, GapTooDeep, Point
from keeper.chain.sealing.arrivals import Arrivals
from keeper.chain.sealing.blocks import BlockReader
from keeper.domain.errors import FinalityViolated, MalformedReply
from keeper.domain.units import Hash
from keeper.ports import Header


_HEADERS_PER_BATCH: Final = 64


class Path:
    """Walks from a head along its parents down to `branch`."""

    def __init__(
        self, endpoint: str, blocks: BlockReader, branch: Branch, gap_blocks_max: int
    ) -> None:
        self._endpoint = endpoint
        self._blocks = blocks
        self._branch = branch
        self._gap_blocks_max = gap_blocks_max

    async def to(self, head: Header, arrivals: Arrivals) -> tuple[Point, list[Header]] | None:
        """Return our block that `head` builds on and the headers from there to it, in order.

        No header at all where the head itself is ours. None when the node does not know one of
        them any more. Raises GapTooDeep, FinalityViolated, EndpointError.
        """
        ours = self._branch.find(head.hash)
        if ours is not None:
            return ours, []
        tip, oldest = self._branch.tip, self._branch.oldest
        if head.number > tip.number + self._gap_blocks_max:
            raise GapTooDeep(tip.number, head.number, self._gap_blocks_max)
        between = await self._between(tip.number + 1, head.number - 1)
        path = [head]
        while (ancestor := self._branch.find(path[-1].parent)) is None:
            child = path[-1]
            self._check_final(child)
            if child.number <= oldest.number + 1:
                raise GapTooDeep(tip.number, head.number, self._branch.window_blocks)
            told = arrivals.remembered(child.parent)
            parent = between.get(child.parent) or (told.header if told else None)
            parent = parent or await self._blocks.header(child.parent)
            if parent is None:
                return None
            check_link(self._endpoint, parent.number, child)
            path.append(parent)
        check_link(self._endpoint, ancestor.number, path[-1])
        return ancestor, path[::-1]

    def _check_final(self, child: Header) -> None:
        """Raise FinalityViolated where the parent of `child` stands in place of a final block."""
        ours = self._branch.at(child.number - 1)
        if ours is not None and ours.number <= self._branch.final_number:
            raise FinalityViolated(ours.number, ours.hash, child.parent)

    async def _between(self, first: int, last: int) -> dict[Hash, Header]:
        """Return the node's headers of a gap by hash; a shortcut, so that no answer is wrong."""
        found: dict[Hash, Header] = {}
        if last <= first:
            return found  # a gap of one or none: the walk along the parents is as quick
        for start in range(first, last + 1, _HEADERS_PER_BATCH):
            end = min(last, start + _HEADERS_PER_BATCH - 1)
            found.update((h.hash, h) for h in await self._blocks.headers(start, end))
        return found


def check_link(endpoint: str, parent_number: int, child: Header) -> None:
    """Raise MalformedReply where a block's number does not follow its parent's."""
    if child.number != parent_number + 1:
        raise MalformedReply(endpoint, f"block {child.hash} has a wrong number")
