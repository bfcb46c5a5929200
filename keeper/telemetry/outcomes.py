"""What became of a command, in one word an operator can count: won, lost_race, healed, and so on.

A projection of events. What a venue's word for a revert means to us is handed in, by word; it must
not know venues, and a word nobody explained is counted as what happened, never guessed at.
"""

from collections.abc import Mapping
from typing import Final

from keeper.domain.events import (
    CommandRefused,
    Event,
    TransactionDropped,
    TransactionIncluded,
    TransactionReverted,
)


WON: Final = "won"  # in a block, and it did what it was for
LOST_RACE: Final = "lost_race"  # somebody else had served the account
HEALED: Final = "healed"  # the account stood again
REVERTED: Final = "reverted"  # in a block and failed for another reason: its line names it
REFUSED: Final = "refused"  # its trial failed for another reason: it was never sent
DROPPED: Final = "dropped"  # its nonce was used without it: cancelled, displaced, or a stranger
UNPROFITABLE: Final = "unprofitable"  # it would have cost more than it was worth
BREAKER: Final = "breaker"  # a breaker or a cap of ours stood in the way
EXPIRED: Final = "expired"  # too late: a deadline, or no head for too long
NOT_SENT: Final = "not_sent"  # no lane, no ledger, or a mode that sends nothing
OUTCOMES: Final = (
    WON, LOST_RACE, HEALED, REVERTED, REFUSED, DROPPED, UNPROFITABLE, BREAKER, EXPIRED, NOT_SENT,
)  # fmt: skip

# Where a command ended that provably was not sent; what is not here is NOT_SENT.
_STAGES: Final[dict[str, str]] = {"breaker": BREAKER, "cap": BREAKER, "expired": EXPIRED}
_NOT_WORTH_IT: Final = "fee_beyond_spend"

# A venue's words for reverts, each with one of OUTCOMES.
Meanings = Mapping[str, str]


def outcome(event: Event, meanings: Meanings) -> str | None:
    """Return what an event says of its command's end, None where it is not the end of one."""
    match event:
        case TransactionIncluded():
            return WON
        case TransactionReverted():
            return meanings.get(event.reason, REVERTED)
        case TransactionDropped():
            return DROPPED
        case CommandRefused() if event.stage == "preflight":
            return meanings.get(event.reason, REFUSED)
        case CommandRefused():
            worth_it = event.reason != _NOT_WORTH_IT
            return _STAGES.get(event.stage, NOT_SENT) if worth_it else UNPROFITABLE
        case _:
            return None
