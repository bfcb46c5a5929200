"""Lane states row by row, the forbidden rows too, and which lane a command goes to."""

import pytest

from keeper.chain.ledger.rows import Slot
from keeper.chain.sending.lanes import MOVES, PAUSED, QUARANTINE, READY, STARVED, Lane, Lanes, move
from keeper.domain.errors import InvariantViolation
from tests.unit.chain.lane_bench import attempt, intent, signer


STATES = (READY, STARVED, QUARANTINE, PAUSED)
SIGNALS = ("short", "funded", "foreign", "delegated", "pause", "resume", "acknowledge")
ROWS = [
    # signal        READY       STARVED     QUARANTINE  PAUSED
    ("short", STARVED, STARVED, QUARANTINE, PAUSED),
    ("funded", READY, READY, QUARANTINE, PAUSED),
    ("foreign", QUARANTINE, QUARANTINE, QUARANTINE, QUARANTINE),
    ("delegated", QUARANTINE, QUARANTINE, QUARANTINE, QUARANTINE),
    ("pause", PAUSED, PAUSED, None, None),
    ("resume", None, None, None, READY),
    ("acknowledge", None, None, READY, None),
]
CELLS = [
    (state, row[0], after) for row in ROWS for state, after in zip(STATES, row[1:], strict=True)
]


@pytest.mark.parametrize(("state", "signal", "after"), CELLS)
def test_each_signal_moves_a_lane_as_the_table_says(state, signal, after):
    if after is None:
        with pytest.raises(InvariantViolation, match="cannot take"):
            move(state, signal)
    else:
        assert move(state, signal) == after


def test_the_table_has_no_other_rows():
    assert set(MOVES) == {(state, signal) for state, signal, after in CELLS if after is not None}


@pytest.mark.parametrize("state", STATES)
def test_an_unknown_signal_is_forbidden(state):
    with pytest.raises(InvariantViolation):
        move(state, "reset")


def lane(number=1, state=READY, live=0, balance=10**18, in_flight_max=4) -> Lane:
    made = Lane(signer(number), 1, state, 0, in_flight_max, balance)
    for nonce in range(live):
        made.put(slot(made.address, nonce))
    return made


def slot(address, nonce, state="LIVE", **changes) -> Slot:
    won = None if state == "LIVE" else attempt(nonce).hash
    bytes_of = (attempt(nonce, lane=address, **changes),)
    return Slot(address, nonce, nonce + 1, state, won, intent(), bytes_of)


def test_only_live_slots_take_room_and_only_a_ready_lane_has_any():
    busy = lane(live=3)
    busy.put(slot(busy.address, 3, state="INCLUDED"))
    assert (busy.free, busy.next_nonce) == (1, 4)
    busy.state = STARVED
    assert busy.free == 0


def test_what_live_slots_reserve_cannot_be_spent_twice():
    assert lane(live=2).spendable_wei == 10**18 - 2 * 10**14


def test_a_slot_reserves_for_its_dearest_bytes_only():
    two = Slot("0x", 0, 1, "LIVE", None, intent(), (attempt(cap_wei=5), attempt(seq=1, cap_wei=9)))
    assert two.reserved_wei == 900_000


def test_the_lane_with_most_room_is_picked_and_of_equals_the_first():
    one, two, three = lane(1, live=2), lane(2, live=1), lane(3, live=1)
    first = min(two, three, key=lambda each: each.address)
    assert Lanes([one, two, three]).pick(None, 1) is first


def test_a_named_sender_is_its_own_lane_or_none():
    one, two = lane(1, live=3), lane(2)
    lanes = Lanes([one, two])
    assert lanes.pick(one.address, 1) is one
    assert lanes.pick("0x" + "99" * 20, 1) == "unknown_sender"


@pytest.mark.parametrize(
    ("lanes", "reason"),
    [
        ([lane(1, state=QUARANTINE), lane(2, state=PAUSED)], "lane_not_ready"),
        ([lane(1, live=4), lane(2, state=STARVED)], "no_free_slot"),
        ([lane(1, balance=9), lane(2, live=4)], "insufficient_balance"),
    ],
)
def test_why_no_lane_can_take_a_command_is_said(lanes, reason):
    assert Lanes(lanes).pick(None, 10) == reason


def test_two_lanes_of_one_address_are_a_bug():
    with pytest.raises(InvariantViolation):
        Lanes([lane(1), lane(1)])
