import itertools

import pytest

from keeper.chain.link.rating import TRANSITIONS, EndpointState, Signal, next_state
from keeper.domain.errors import InvariantViolation


ALIVE, PROBING = EndpointState.ALIVE, EndpointState.PROBING
LAGGING, OUT_OF_SYNC = EndpointState.LAGGING, EndpointState.OUT_OF_SYNC
UNREACHABLE, WRONG_CHAIN = EndpointState.UNREACHABLE, EndpointState.WRONG_CHAIN
# In the order of the signals: verified, mismatched, lost, head, stalled, behind, caught up, stable.
ROWS = {
    UNREACHABLE: (PROBING, WRONG_CHAIN, UNREACHABLE, None, None, None, None, None),
    PROBING: (None, WRONG_CHAIN, UNREACHABLE, PROBING, LAGGING, OUT_OF_SYNC, PROBING, ALIVE),
    ALIVE: (None, WRONG_CHAIN, UNREACHABLE, ALIVE, LAGGING, OUT_OF_SYNC, ALIVE, None),
    LAGGING: (None, WRONG_CHAIN, UNREACHABLE, PROBING, LAGGING, OUT_OF_SYNC, LAGGING, None),
    OUT_OF_SYNC: (
        None,
        WRONG_CHAIN,
        UNREACHABLE,
        OUT_OF_SYNC,
        OUT_OF_SYNC,
        OUT_OF_SYNC,
        PROBING,
        None,
    ),
    WRONG_CHAIN: (PROBING, WRONG_CHAIN, WRONG_CHAIN, None, None, None, None, None),
}


@pytest.mark.parametrize(("state", "signal"), [*itertools.product(EndpointState, Signal)])
def test_every_row_of_the_table(state: EndpointState, signal: Signal) -> None:
    expected = ROWS[state][list(Signal).index(signal)]
    if expected is None:
        with pytest.raises(InvariantViolation, match=f"{state.value} got {signal.value}"):
            next_state(state, signal)
    else:
        assert next_state(state, signal) is expected


def test_the_rows_above_are_all_there_are() -> None:
    assert len(TRANSITIONS) == sum(each is not None for row in ROWS.values() for each in row)


def test_only_a_proof_makes_an_endpoint_alive() -> None:
    ways = [key for key, after in TRANSITIONS.items() if after is ALIVE and key[0] is not ALIVE]
    assert ways == [(PROBING, Signal.STABLE)]
