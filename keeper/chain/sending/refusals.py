"""Why a command provably was not sent: the stage it ended at, and one word.

Knows words only; who says them decides them.
"""

from typing import Final, NamedTuple


# The follower has not yet seen what became of the account's last action.
NOT_FOLLOWED: Final = "not_followed"

# Where the ledger's refusals of a command end it; the rest are the lane's.
_STAGES: Final[dict[str, str]] = {
    "live_action": "ledger",
    "duplicate_command": "ledger",
    "epoch_lost": "ledger",
    "cap_transaction": "cap",
    "cap_intent": "cap",
    "cap_lane_day": "cap",
    "cap_hour": "cap",
    "cap_day": "cap",
    "cap_total": "cap",
}


class Refused(NamedTuple):
    """A command that provably was not sent: the stage, the classified reason, and what was said."""

    stage: str
    reason: str
    detail: str = ""


def of_ledger(word: str) -> Refused:
    """Return the refusal that a word of the ledger's is."""
    return Refused(_STAGES.get(word, "lane"), word)
