"""Why nothing is decided for a venue, and what lets decisions go on.

Must not know how a state is compared with the chain's: an audit's outcome arrives as an event.
"""

from typing import NamedTuple

from keeper.domain.effects import Notice
from keeper.domain.errors import UndecodableLog
from keeper.domain.events import BlockSealed, RulesObserved, StateAudited


class Doubt(NamedTuple):
    """What stopped a venue, and the first block whose full audit may end it."""

    reason: str
    number: int


class Gates:
    """One gate a venue.

    Halted: a log did not decode, our state is not the chain's any more, and only a new snapshot
    mends that. Doubted: an audit found drift or a rule changed; accounts are still margined, so
    that they can be compared, but nothing is served until every account agrees at a later block.
    """

    def __init__(self) -> None:
        self._halted: dict[str, str] = {}
        self._doubts: dict[str, Doubt] = {}
        self._notices: list[Notice] = []

    def halted(self, venue: str) -> bool:
        """Return whether the venue's state can no longer be vouched for."""
        return venue in self._halted

    def doubted(self, venue: str) -> str | None:
        """Return why nothing is served for a venue whose state is still followed."""
        doubt = self._doubts.get(venue)
        return None if doubt is None else doubt.reason

    def since(self, venue: str) -> int | None:
        """Return the first block whose full audit ends the venue's doubt, None without one."""
        doubt = self._doubts.get(venue)
        return None if doubt is None else doubt.number

    def halt(self, venue: str, block: BlockSealed, error: UndecodableLog) -> None:
        """Stop a venue for the rest of the run."""
        self._halted[venue] = str(error)
        fields = (
            ("venue", venue),
            ("block", block.number),
            ("address", error.address),
            ("topic", error.topic),
            ("log", error.log_index),
            ("problem", error.problem),
        )
        self._notices.append(Notice("venue_halted", "error", fields))

    def doubt(self, venue: str, reason: str, number: int) -> None:
        """Stop serving until a full audit at block `number` or later agrees."""
        before = self._doubts.get(venue)
        self._doubts[venue] = Doubt(
            reason, number if before is None else max(number, before.number)
        )
        if before is None or before.reason != reason:
            fields = (("venue", venue), ("number", number), ("reason", reason))
            self._notices.append(Notice("decisions_stopped", "error", fields))

    def observe(self, observed: RulesObserved, tip: int) -> None:
        """Take note of a rule that changed without a log."""
        self.doubt(observed.venue, f"{observed.subject}: {observed.change}", tip)

    def audit(self, audited: StateAudited, *, standing: bool) -> None:
        """Take note of a comparison with the chain: drift stops, a full agreement lets go on.

        An agreement at a block that is not `standing` on our branch proves nothing of this state.
        """
        if audited.drift:
            self.doubt(audited.venue, audited.drift, audited.number)
            return
        doubt = self._doubts.get(audited.venue)
        if doubt is None or not audited.full or not standing or audited.number < doubt.number:
            return
        del self._doubts[audited.venue]
        fields = (
            ("venue", audited.venue),
            ("number", audited.number),
            ("accounts", audited.accounts),
        )
        self._notices.append(Notice("decisions_resumed", "info", fields))

    def rewind(self, number: int) -> None:
        """Let the next block's audit end what was doubted on blocks that left the chain."""
        for venue, doubt in self._doubts.items():
            self._doubts[venue] = doubt._replace(number=min(doubt.number, number + 1))

    def notices(self) -> list[Notice]:
        """Return and forget what is to be told."""
        told, self._notices = self._notices, []
        return told
