"""The engine: on record before the machine, sealed before the executor, stopped by any doubt."""

import asyncio

import pytest

from keeper.domain.effects import Effects
from keeper.domain.errors import InvariantViolation, StorageError
from keeper.domain.events import Entry, Ticked
from keeper.runtime.engine import Applied, Engine
from keeper.runtime.inbox import Inbox
from tests.unit.runtime.shell_fakes import (
    CountingMachine,
    ListExecutor,
    ListJournal,
    ListObserver,
    SteppingClock,
    head,
)


class Rig:
    def __init__(self, fail_at: str = "") -> None:
        self.steps: list[str] = []
        self.clock = SteppingClock()
        self.inbox = Inbox(self.clock)
        self.machine = CountingMachine(self.steps)
        self.executor = ListExecutor(self.steps)
        self.observer = ListObserver(self.steps)
        journal = ListJournal(self.steps, fail_at)
        self.engine = Engine(
            self.inbox, self.machine, journal, self.executor, self.observer, self.clock
        )


async def test_an_entry_is_recorded_first_and_sealed_before_it_is_submitted() -> None:
    rig = Rig()
    rig.inbox.post(head(5))
    await run_until_idle(rig)

    assert rig.steps == ["record 1", "fold 1", "decide 1", "seal 1", "submit 5", "observe 1"]


async def test_the_stages_of_an_entry_are_timed_in_order() -> None:
    rig = Rig()
    rig.inbox.post(head(5))
    await run_until_idle(rig)

    (timing,) = rig.observer.timings
    assert timing.posted_ns < timing.started_ns < timing.folded_ns < timing.decided_ns


@pytest.mark.parametrize(
    ("fail_at", "done"),
    [
        ("record 2", ["record 1", "fold 1", "decide 1", "seal 1", "observe 1"]),
        ("seal 1", ["record 1", "fold 1", "decide 1"]),
    ],
)
async def test_a_journal_that_cannot_be_written_stops_deciding_and_sending(
    fail_at: str, done: list[str]
) -> None:
    rig = Rig(fail_at)
    rig.inbox.post(Ticked())
    rig.inbox.post(head(5))

    with pytest.raises(StorageError):
        await asyncio.wait_for(rig.engine.run(), 60)

    assert rig.steps == done
    assert rig.executor.commands == []


async def test_a_broken_promise_of_the_machine_ends_the_run_unsealed() -> None:
    rig = Rig()

    class Broken(CountingMachine):
        def decide(self, entry: Entry) -> Effects:
            raise InvariantViolation("two lanes for one account")

    rig.engine._machine = Broken(rig.steps)
    rig.inbox.post(head(5))

    with pytest.raises(InvariantViolation):
        await asyncio.wait_for(rig.engine.run(), 60)

    assert rig.steps == ["record 1", "fold 1"]


async def test_waiting_heads_are_all_folded_and_the_last_alone_is_decided_on() -> None:
    rig = Rig()
    for number in (5, 6, 7):
        rig.inbox.post(head(number))
    await run_until_idle(rig)

    assert [event.number for event in rig.machine.folded] == [5, 6, 7]  # type: ignore[union-attr]
    assert [each.id for each in rig.executor.commands] == [7]


async def test_a_retired_engine_records_but_submits_nothing() -> None:
    rig = Rig()
    rig.inbox.post(head(5))
    rig.engine.retire()

    assert await rig.engine.drain() == 1

    assert rig.executor.commands == []
    assert "seal 1" in rig.steps
    assert rig.engine.applied == Applied(seq=1, entries=1, commands=0, retired_commands=1)


async def test_others_get_the_loop_between_two_entries() -> None:
    rig = Rig()
    for _ in range(3):
        rig.inbox.post(Ticked())
    task = asyncio.create_task(rig.engine.run())
    await asyncio.sleep(0)

    assert rig.inbox.waiting == 2
    task.cancel()


async def run_until_idle(rig: Rig) -> None:
    task = asyncio.create_task(rig.engine.run())
    while rig.inbox.waiting or not rig.steps:  # noqa: ASYNC110 - the engine has no idle event
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
