"""After a chain has stood still: for its first blocks, upkeep and starts, and no bid.

Prices moved while no block was made, feeds are old, options expired unsettled. So in the first
blocks feeds are pushed, before anything else, from signed data that we hold (keeper.machine.pushing
decides that); what expired is settled, and starts go on; on the last of them the book is asked for
anew; and only then come bids. It knows block numbers and timestamps only; a block deadline cannot
see a halt, because block numbers do not run in one.
"""

from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Final

from keeper.domain.effects import Notice
from keeper.liquidation.strategy import Service


BLOCKS_REMEMBERED_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class HaltRule:
    """What counts as a halt, and for how many blocks bids wait after one.

    gap_s        two blocks this far apart or farther; 0: nothing does
    hold_blocks  the block that ended the halt is the first of them
    push_spend_max_wei  the most that one push of feeds may cost, which earns nothing; 0: none is
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    gap_s: int = 120
    hold_blocks: int = 3
    push_spend_max_wei: int = 5 * 10**16


class Halt:
    """The gaps between a chain's last blocks."""

    def __init__(self, rule: HaltRule) -> None:
        self._rule = rule
        self._blocks: deque[tuple[int, int, bool]] = deque(maxlen=BLOCKS_REMEMBERED_MAX)

    def see(self, number: int, timestamp_s: int) -> bool:
        """Learn of the next block of our branch; tell whether it ended a halt."""
        gap = self._rule.gap_s
        ended = bool(self._blocks) and 0 < gap <= timestamp_s - self._blocks[-1][1]
        self._blocks.append((number, timestamp_s, ended))
        return ended

    def observe(self, number: int, timestamp_s: int) -> list[Notice]:
        """Learn of the next block as `see` does; return what is to be told of it.

        `look_anew` asks for the whole book from the chain before the first bid: what was missed
        while the chain stood still, nobody knows.
        """
        told = []
        if self.see(number, timestamp_s):
            fields = (("block", number), ("timestamp", timestamp_s))
            told.append(Notice("halt_ended", "warning", fields))
        if self.hold_ends(number):
            told.append(Notice("look_anew", "warning", (("block", number),)))
        return told

    def hold_ends(self, number: int) -> bool:
        """Tell whether block `number` is the last on which bids wait after a halt."""
        last = number - max(self._rule.hold_blocks, 1) + 1
        return any(ended and at == last for at, _, ended in self._blocks)

    def rewind(self, number: int) -> None:
        """Forget the blocks after `number`, the common ancestor."""
        while self._blocks and self._blocks[-1][0] > number:
            self._blocks.pop()

    def ended(self, number: int) -> int | None:
        """Return the block that ended the newest halt, None where `number` is not held by it."""
        first = number - self._rule.hold_blocks
        return max((at for at, _, ended in self._blocks if ended and at > first), default=None)

    def allows(self, service: Service, number: int) -> bool:
        """Tell whether a service may be decided at block `number`."""
        return service is not Service.BID or self.ended(number) is None
