"""The supervisor: ends in order, in time, with the code that says who must act."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest

from keeper.domain.effects import Command, Notice
from keeper.domain.errors import (
    FinalityViolated,
    KeeperError,
    MalformedRecord,
    OperatorError,
    StorageError,
)
from keeper.domain.events import PreflightPassed, Ticked
from keeper.ports import Post
from keeper.runtime.clock import SystemClock, Ticker
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox
from keeper.runtime.supervisor import Ended, Parts, Service, StopLimits, Supervisor, leaf
from tests.simulation.virtual_loop import virtually
from tests.unit.chain.scripted_node import PATIENCE_S, until
from tests.unit.runtime.shell_fakes import (
    CountingMachine,
    ListJournal,
    ListObserver,
    forever,
    head,
)


LIMITS = StopLimits(sources_ms=500, executor_ms=500, engine_ms=500, services_ms=500)


class ScriptedSource:
    """Posts heads, then raises, returns, hangs or waits."""

    def __init__(self, heads: Sequence[int] = (), error: Exception | None = None) -> None:
        self.heads = heads
        self.error = error
        self.steps: list[str] = []

    async def run(self, post: Post) -> None:
        for number in self.heads:
            post(head(number))
        await asyncio.sleep(0.02)
        if self.error is not None:
            raise self.error
        try:
            await forever()
        finally:
            self.steps.append("source stopped")


class FinishingExecutor:
    """On cancellation finishes the send it is in: posts the outcome, then ends."""

    def __init__(self, steps: list[str], *, stubborn: bool = False) -> None:
        self.steps = steps
        self.stubborn = stubborn
        self.commands: list[Command] = []

    def submit(self, commands: Sequence[Command]) -> None:
        self.commands.extend(commands)

    async def run(self, post: Post) -> None:
        while True:
            try:
                await forever()
            except asyncio.CancelledError:
                self.steps.append("executor finished")
                post(PreflightPassed(1))
                if not self.stubborn:
                    raise


class Rig:
    def __init__(
        self,
        source: ScriptedSource,
        *,
        journal_fails_at: str = "",
        stubborn: bool = False,
        services: dict[str, Service] | None = None,
        limits: StopLimits = LIMITS,
    ) -> None:
        clock = SystemClock()
        self.steps: list[str] = source.steps
        self.told: list[Notice] = []
        self.inbox = Inbox(clock)
        self.machine = CountingMachine()
        self.journal = ListJournal(self.steps, journal_fails_at)
        self.executor = FinishingExecutor(self.steps, stubborn=stubborn)
        observer = ListObserver()
        engine = Engine(self.inbox, self.machine, self.journal, self.executor, observer, clock)
        parts = Parts(
            self.inbox,
            engine,
            self.journal,
            self.executor,
            {"heads": source},
            services or {},
            self.told.append,
        )
        self.supervisor = Supervisor(parts, limits)

    def run(self, *stops_after_s: float) -> Ended:
        """Run to the end on virtual time, where no part is ever late for want of a processor."""
        return virtually(self.play(*stops_after_s))

    async def play(self, *stops_after_s: float) -> Ended:
        for after_s in stops_after_s:
            asyncio.get_running_loop().call_later(after_s, self.supervisor.stop)
        try:
            return await asyncio.wait_for(self.supervisor.run(), PATIENCE_S)
        finally:
            self.executor.stubborn = False  # else the loop itself could not be closed

    def told_kinds(self) -> list[str]:
        return [notice.kind for notice in self.told]


def test_a_graceful_stop_ends_sources_first_then_executor_then_journal() -> None:
    rig = Rig(ScriptedSource([1]))

    ended = rig.run(0.15)

    assert ended == Ended(0, ())
    assert rig.steps == [
        "record 1",
        "seal 1",
        "source stopped",
        "executor finished",
        "record 2",
        "seal 2",
        "close",
    ]
    assert PreflightPassed(1) in rig.machine.folded


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (FinalityViolated(9, "0xa", "0xb"), 67, "run_ended_for_operator"),
        (ExceptionGroup("g", [ValueError("x"), StorageError("f", "full")]), 74,
         "run_ended_for_operator"),
        (MalformedRecord("snapshot", 1, "cut off"), 70, "run_ended_by_data"),
        (ValueError("of all things"), 70, "run_crashed"),
    ],
)  # fmt: skip
def test_a_part_that_fails_ends_the_run_with_its_code(
    error: Exception, code: int, kind: str
) -> None:
    rig = Rig(ScriptedSource([1], error))

    ended = rig.run()

    assert ended == Ended(code, ())
    assert rig.told_kinds() == [kind]
    assert rig.journal.closed


def test_a_failure_is_told_with_its_part_its_class_and_our_lines() -> None:
    rig = Rig(ScriptedSource([], ValueError("of all things")))

    rig.run()

    fields = dict(rig.told[0].fields)
    assert fields["part"] == "heads"
    assert fields["error"] == "ValueError"
    assert fields["problem"] == "of all things"
    assert "test_supervisor.py" in str(fields["where"])


def test_a_source_that_returns_is_a_bug_not_a_quiet_end() -> None:
    class Short(ScriptedSource):
        async def run(self, post: Post) -> None:
            post(Ticked())

    rig = Rig(Short())

    ended = rig.run()

    assert ended.exit_code == 70
    assert dict(rig.told[0].fields)["problem"] == "heads ended by itself"


def test_a_journal_that_fails_ends_with_74_and_nothing_is_sent() -> None:
    rig = Rig(ScriptedSource([1]), journal_fails_at="seal 1")

    ended = rig.run()

    assert ended.exit_code == 74
    assert rig.executor.commands == []
    # The failed engine journals no more, not even what the executor posted at its end.
    assert rig.steps == ["record 1", "executor finished", "close"]


def test_a_part_that_will_not_stop_is_named_and_left_behind() -> None:
    rig = Rig(ScriptedSource([1]), stubborn=True)

    ended = rig.run(0.15)

    assert ended.stuck == ("executor",)
    assert "stop_limit_reached" in rig.told_kinds()


def test_a_second_stop_does_not_wait_for_the_limits() -> None:
    slow = StopLimits(sources_ms=60_000, executor_ms=60_000, engine_ms=60_000)
    rig = Rig(ScriptedSource([1]), stubborn=True, limits=slow)

    ended = rig.run(0.15, 0.2)

    assert ended.stuck == ("executor",)


def test_services_outlive_the_executor_so_that_its_end_is_seen() -> None:
    class Watching:
        async def run(self) -> None:
            try:
                await forever()
            finally:
                rig.steps.append("service stopped")

    rig = Rig(ScriptedSource(), services={"health": Watching()})

    rig.run(0.15)

    assert rig.steps[-2:] == ["close", "service stopped"]


async def test_sigterm_asks_for_a_graceful_stop() -> None:
    rig = Rig(ScriptedSource([1]))
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)

    ended = await rig.play()

    assert ended.exit_code == 0
    assert rig.told[0].fields == (("signal", "SIGTERM"), ("again", False))


async def test_the_ticker_makes_time_pass_until_cancelled() -> None:
    posted: list[object] = []
    task = asyncio.create_task(Ticker(period_ms=1).run(posted.append))
    await until(lambda: len(posted) >= 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert posted[:3] == [Ticked()] * 3


def test_an_operators_error_inside_a_group_decides() -> None:
    operator = OperatorError("mend me")
    group = ExceptionGroup("a", [KeeperError("x"), ExceptionGroup("b", [operator])])

    assert leaf(group) is operator


@pytest.mark.parametrize("stuck", ["()", "('executor',)"])
def test_the_process_ends_whatever_hangs(stuck: str) -> None:
    program = f"""
        import asyncio, sys, threading
        from keeper.runtime import supervisor
        supervisor.LEAVE_MS = 200
        async def main():
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, threading.Event().wait)
            await asyncio.sleep(0.05)
            return supervisor.Ended(66, {stuck})
        sys.exit(supervisor.run_to_end(main))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], timeout=PATIENCE_S, check=False
    )

    assert done.returncode == 66
