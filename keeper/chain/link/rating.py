"""What an endpoint is good for: the table that every signal about it goes through. Pure.

It knows signals and states, and nothing of connections or blocks: who signals is another's matter.
"""

from enum import Enum
from typing import Final

from keeper.domain.errors import InvariantViolation


class EndpointState(Enum):
    """What an endpoint is good for now."""

    ALIVE = "alive"  # connected, on our chain, with the others, proven: good for everything
    PROBING = "probing"  # the same, but it failed lately and has not proven itself since
    LAGGING = "lagging"  # connected, on our chain, no head for too long
    OUT_OF_SYNC = "out_of_sync"  # connected, on our chain, behind the other endpoints
    UNREACHABLE = "unreachable"  # not connected, or not verified yet
    WRONG_CHAIN = "wrong_chain"  # another chain id, genesis or final block: never used


class Signal(Enum):
    """What moves an endpoint from state to state."""

    VERIFIED = "verified"  # connected; chain id and genesis are ours
    MISMATCHED = "mismatched"  # chain id, genesis or a final block is not ours
    LOST = "lost"  # the connection ended or could not be made
    HEAD = "head"  # a new head came
    STALLED = "stalled"  # no new head for too long
    BEHIND = "behind"  # too many blocks below the best endpoint
    CAUGHT_UP = "caught_up"  # with the best endpoint again
    STABLE = "stable"  # enough good probes in a row


_S = EndpointState
# What is not in the table cannot happen, and raises InvariantViolation if it does.
TRANSITIONS: Final[dict[tuple[EndpointState, Signal], EndpointState]] = {
    (_S.UNREACHABLE, Signal.VERIFIED): _S.PROBING,
    (_S.UNREACHABLE, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.UNREACHABLE, Signal.LOST): _S.UNREACHABLE,
    (_S.PROBING, Signal.STABLE): _S.ALIVE,
    (_S.PROBING, Signal.HEAD): _S.PROBING,
    (_S.PROBING, Signal.CAUGHT_UP): _S.PROBING,
    (_S.PROBING, Signal.STALLED): _S.LAGGING,
    (_S.PROBING, Signal.BEHIND): _S.OUT_OF_SYNC,
    (_S.PROBING, Signal.LOST): _S.UNREACHABLE,
    (_S.PROBING, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.ALIVE, Signal.HEAD): _S.ALIVE,
    (_S.ALIVE, Signal.CAUGHT_UP): _S.ALIVE,
    (_S.ALIVE, Signal.STALLED): _S.LAGGING,
    (_S.ALIVE, Signal.BEHIND): _S.OUT_OF_SYNC,
    (_S.ALIVE, Signal.LOST): _S.UNREACHABLE,
    (_S.ALIVE, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.LAGGING, Signal.HEAD): _S.PROBING,
    (_S.LAGGING, Signal.CAUGHT_UP): _S.LAGGING,
    (_S.LAGGING, Signal.STALLED): _S.LAGGING,
    (_S.LAGGING, Signal.BEHIND): _S.OUT_OF_SYNC,
    (_S.LAGGING, Signal.LOST): _S.UNREACHABLE,
    (_S.LAGGING, Signal.MISMATCHED): _S.WRONG_CHAIN,
    # Its own heads say nothing: only the others tell when it is with them again.
    (_S.OUT_OF_SYNC, Signal.HEAD): _S.OUT_OF_SYNC,
    (_S.OUT_OF_SYNC, Signal.CAUGHT_UP): _S.PROBING,
    (_S.OUT_OF_SYNC, Signal.STALLED): _S.OUT_OF_SYNC,
    (_S.OUT_OF_SYNC, Signal.BEHIND): _S.OUT_OF_SYNC,
    (_S.OUT_OF_SYNC, Signal.LOST): _S.UNREACHABLE,
    (_S.OUT_OF_SYNC, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.WRONG_CHAIN, Signal.VERIFIED): _S.PROBING,
    (_S.WRONG_CHAIN, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.WRONG_CHAIN, Signal.LOST): _S.WRONG_CHAIN,
}
# Whom to follow when there is a choice: the best first. A wrong chain is not even a last resort.
WATCH_ORDER: Final = (_S.ALIVE, _S.PROBING, _S.LAGGING, _S.OUT_OF_SYNC)


def next_state(state: EndpointState, signal: Signal) -> EndpointState:
    """Return the row of the table; raises InvariantViolation where there is none."""
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise InvariantViolation(f"endpoint {state.value} got {signal.value}") from None
