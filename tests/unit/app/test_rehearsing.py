"""The dry run before going live: what it counts, when it is over, and what speaks against it."""

from __future__ import annotations

from typing import Any

import pytest

from keeper.app.leave.rehearsing import FOLDER, Rehearsal, dry
from keeper.domain.effects import NOTHING, Assessment, Call, Command, Effects
from keeper.domain.events import CommandRefused, Entry, Event, PreflightPassed, Ticked
from keeper.ports import Timing
from tests.unit.app.documents import configured


TIMING = Timing(1, 2, 3, 4)
HASH = "0x" + 64 * "1"


def command(number: int, kind: str = "start") -> Command:
    call = Call("0x" + 40 * "1", "0x")
    return Command(number, "derive", number, kind, call, 1, 1, 1, 9, 0, None, 1, HASH)


def block(*commands: Command) -> Effects:
    counts: Any = dict.fromkeys(
        ("number", "positions", "unsupported", "breaches", "insolvent", "auctions"), 0
    )
    told = Assessment(
        "derive", accounts=40, undecided=3, shortfall_usd=0.0, excess_min_usd=0.0,
        opportunities=0, proposals=0, **counts,
    )  # fmt: skip
    return Effects(commands=commands, assessments=(told,))


def see(rehearsal: Rehearsal, event: Event, effects: Effects = NOTHING) -> None:
    rehearsal.observe(Entry(1, 1, event), effects, TIMING)


def refuse(rehearsal: Rehearsal, number: int, reason: str, stage: str = "preflight") -> None:
    see(rehearsal, CommandRefused(number, stage, reason, ""))


def test_what_would_be_sent_is_counted_by_kind_and_the_rest_by_reason() -> None:
    rehearsal = Rehearsal(1)
    see(rehearsal, Ticked(), block(command(1), command(2, "bid")))
    see(rehearsal, PreflightPassed(1))
    refuse(rehearsal, 1, "would_send", "simulate")
    refuse(rehearsal, 2, "EX_GainTooSmall")
    assert rehearsal.summary() == {
        "blocks": 1,
        "accounts": 40,
        "undecided": 3,
        "would_send": {"start": 1},
        "refused": {"EX_GainTooSmall": 1},
    }
    assert rehearsal.complaint() == ""


def test_it_is_over_when_the_blocks_came_and_every_command_was_told_of() -> None:
    rehearsal = Rehearsal(2)
    see(rehearsal, Ticked(), block())
    assert not rehearsal.done.is_set()
    see(rehearsal, Ticked(), block(command(1)))
    assert not rehearsal.done.is_set(), "one command is still being tried"
    refuse(rehearsal, 1, "would_send", "simulate")
    assert rehearsal.done.is_set()


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("unknown", "unknown"),
        ("no_answer", "unknown"),
        ("unknown_block", "unknown"),
        ("empty", "unknown"),
        ("Panic_0x11", "unknown"),
        ("EX_NotLane", "set-up"),
        ("EX_NotPermitted", "set-up"),
        ("EX_Paused", "set-up"),
        ("DA_SenderNotOwner", "set-up"),
        ("insufficient_funds", "set-up"),
    ],
)
def test_a_failure_that_nobody_can_explain_or_that_refuses_all_speaks_against_it(
    reason: str, word: str
) -> None:
    rehearsal = Rehearsal(1)
    see(rehearsal, Ticked(), block(command(1)))
    refuse(rehearsal, 1, reason)
    assert word in rehearsal.complaint()
    assert f"1 x {reason}" in rehearsal.complaint()


def test_blocks_that_did_not_come_and_a_run_that_failed_speak_against_it() -> None:
    rehearsal = Rehearsal(2)
    see(rehearsal, Ticked(), block())
    assert rehearsal.complaint() == "only 1 of 2 blocks came"
    rehearsal.exit_code = 66
    assert "code 66" in rehearsal.complaint()


def test_a_dry_run_sends_nothing_and_touches_nothing_of_the_real_ones() -> None:
    config = configured(keeper={"mode": "observe", "data_dir": "data"})
    trial = dry(config)
    assert trial.keeper.mode == "simulate"
    assert trial.keeper.data_dir == f"data/{FOLDER}"
    assert trial.telemetry.listen_port == 0
