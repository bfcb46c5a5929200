"""A drill's report: stages timed, failures named, no pass without every path gone to its end."""

from __future__ import annotations

import pytest

from keeper.app.drill.stages import BID, START, DrillReport, DrillWitness, Stage, StageFailed
from keeper.domain.effects import NOTHING, Assessment, Call, Command, Effects
from keeper.domain.errors import ConfigError, EndpointError
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    Entry,
    Event,
    PreflightPassed,
    Ticked,
    TransactionIncluded,
    TransactionReverted,
)
from keeper.ports import Timing


HASH, LANE, EXECUTOR = "0x" + 64 * "1", "0x" + 40 * "a", "0x" + 40 * "e"
BLOCK = Effects(assessments=(Assessment("derive", 1, 1, 1, 0, 0, 0, 0, 0.0, 0.0, 0, 0, 0),))


class Clock:
    """A clock that a test winds."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


def command(number: int, account: int, kind: str, to: str = LANE) -> Command:
    return Command(number, "derive", account, kind, Call(to, "0x"), 1, 1, 1, 9, 0, None, 1, HASH)


def see(witness: DrillWitness, event: Event, at_ms: int, *commands: Command) -> None:
    effects = Effects(commands=commands, assessments=BLOCK.assessments) if commands else NOTHING
    at_ns = at_ms * 10**6
    witness.observe(Entry(1, 1, event), effects, Timing(at_ns, at_ns, at_ns, at_ns + 2 * 10**6))


def gone(witness: DrillWitness, number: int, at_ms: int) -> None:
    """A command's whole way, 10 ms a step."""
    steps = (
        PreflightPassed(number),
        CommandCommitted(number, LANE, 0, HASH),
        CommandSent(number, HASH, 1, 1),
        TransactionIncluded(number, HASH, 2, HASH, 21_000, 1),
    )
    for step, event in enumerate(steps, 1):
        see(witness, event, at_ms + 10 * step)


def test_a_stage_is_timed_and_a_failure_ends_the_drill_by_name() -> None:
    clock = Clock()
    report = DrillReport(clock)
    with report.stage("first") as told:
        clock.ns += 5_000_000
        told.append("well")
    with pytest.raises(StageFailed), report.stage("second"):
        raise EndpointError("fork", "gone")
    assert report.stages[0] == Stage("first", ok=True, ms=5.0, detail="well")
    assert (report.stages[1].ok, report.stages[1].detail) == (False, "fork: gone")
    assert not report.passed
    assert report.document()["passed"] is False
    assert any(line.startswith("FAILED  second") for line in report.table())
    assert report.table()[-1] == "the drill FAILED"


def test_a_refusal_to_run_is_no_failed_stage() -> None:
    report = DrillReport(Clock())
    with pytest.raises(ConfigError), report.stage("first"):
        raise ConfigError("--node-url", "there", "not here")
    assert report.stages == []
    assert not report.passed, "nothing was drilled"


def test_every_step_of_every_path_is_told_with_its_time() -> None:
    witness = DrillWitness({(7, START): "start of 7", (7, BID): "bid"}, 10)
    see(witness, Ticked(), 100, command(1, 7, START))
    gone(witness, 1, 100)
    assert not witness.done.is_set()
    see(witness, Ticked(), 200, command(2, 7, BID, EXECUTOR))
    gone(witness, 2, 200)
    assert witness.done.is_set()
    stages = witness.stages(EXECUTOR)
    assert all(each.ok for each in stages)
    names = ("decided", "preflight", "committed", "sent", "included")
    assert [each.name for each in stages[:5]] == [f"start of 7: {name}" for name in names]
    assert [each.ms for each in stages[:5]] == [2.0, 8.0, 10.0, 10.0, 10.0]
    assert [each.detail for each in stages[5:7]] == ["through the executor", ""]
    assert stages[0].detail == "", "a start is nobody's but its lane's"


def test_a_path_that_failed_is_told_with_its_reason_and_tried_again() -> None:
    witness = DrillWitness({(7, START): "start of 7"}, 10)
    assert witness.stages(None)[-1].detail == "nothing was decided"
    see(witness, Ticked(), 100, command(1, 7, START))
    see(witness, CommandRefused(1, "preflight", "EX_NotLane", ""), 110)
    assert witness.stages(None)[-1] == Stage(
        "start of 7: included", ok=False, ms=0.0, detail="refused: preflight EX_NotLane"
    )
    see(witness, Ticked(), 200, command(2, 7, START))
    see(witness, TransactionReverted(2, HASH, 2, HASH, 1, 1, "Overflow"), 210)
    assert "Overflow" in witness.stages(None)[-1].detail
    see(witness, Ticked(), 300, command(3, 7, START))
    gone(witness, 3, 300)
    assert all(each.ok for each in witness.stages(None))


def test_one_bid_of_several_is_enough_where_they_share_a_bidder() -> None:
    witness = DrillWitness({(7, BID): "bid", (8, BID): "bid"}, 10)
    see(witness, Ticked(), 100, command(1, 7, BID), command(2, 8, BID))
    see(witness, CommandRefused(2, "preflight", "unknown", ""), 105)
    gone(witness, 1, 100)
    assert witness.done.is_set()
    assert all(each.ok for each in witness.stages(None))


def test_a_drill_in_which_nothing_comes_is_over_after_its_blocks() -> None:
    witness = DrillWitness({(7, START): "start of 7"}, 2)
    for at_ms in (100, 200):
        assert not witness.done.is_set()
        witness.observe(Entry(1, 1, Ticked()), BLOCK, Timing(at_ms, at_ms, at_ms, at_ms))
    assert witness.done.is_set()
