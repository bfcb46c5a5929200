"""Row 35: memory that grows is told, then history is shed, then the run ends by itself."""

import asyncio

import pytest

from keeper.domain.effects import Effects, Notice
from keeper.domain.errors import OperatorError
from keeper.domain.events import CommandCommitted
from keeper.telemetry.commands import CommandTrail
from keeper.telemetry.memory import (
    SHED_EVERY_LOOKS,
    MemoryExceeded,
    MemoryLimits,
    MemoryWatch,
    give_back,
    resident_bytes,
)
from keeper.telemetry.stages import Stages
from tests.unit.telemetry.entries import HASH, LANE, command, entry, timing


class Rig:
    def __init__(self, soft: int = 100, hard: int = 200) -> None:
        self.resident = 0
        self.shed = 0
        self.told: list[Notice] = []
        self.watch = MemoryWatch(
            MemoryLimits(soft, hard), self.told.append, {"history": self.let_go}, self.held
        )

    def let_go(self) -> None:
        self.shed += 1

    def held(self) -> int:
        return self.resident

    def look(self, resident: int, times: int = 1) -> None:
        self.resident = resident
        for _ in range(times):
            self.watch.look()


def test_row_35_above_the_soft_limit_history_is_shed_once_and_told() -> None:
    rig = Rig()
    rig.look(99, 3)
    assert (rig.shed, rig.told) == (0, [])
    rig.look(100, 5)
    assert rig.shed == 1
    (notice,) = rig.told
    assert (notice.kind, notice.severity) == ("memory_soft_limit", "warning")
    assert dict(notice.fields)["resident_bytes"] == 100
    assert dict(notice.fields)["shed"] == "history"


def test_row_35_it_is_shed_again_when_memory_came_back_or_stays_too_long() -> None:
    rig = Rig()
    rig.look(150)
    rig.look(50)
    rig.look(150)
    assert rig.shed == 2
    rig.look(150, SHED_EVERY_LOOKS)
    assert rig.shed == 3


def test_row_35_at_the_hard_limit_the_run_ends_with_70_and_says_what_to_do() -> None:
    rig = Rig()
    rig.look(199)
    with pytest.raises(MemoryExceeded, match=r"200 bytes resident.*memory_hard_bytes") as caught:
        rig.look(200)
    assert isinstance(caught.value, OperatorError)
    assert caught.value.exit_code == 70


def test_a_limit_of_zero_is_none() -> None:
    rig = Rig(0, 0)
    rig.look(10**15)
    assert rig.told == []


async def test_the_service_looks_at_once_and_goes_on_until_the_limit() -> None:
    rig = Rig()
    task = asyncio.create_task(rig.watch.run())
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    rig.resident = 1_000
    with pytest.raises(MemoryExceeded):
        await rig.watch.run()


def test_what_is_resident_is_measured() -> None:
    give_back()  # else what other tests left behind may go in between
    before = resident_bytes()
    held = bytearray(b"x" * 128 * 1024**2)
    assert resident_bytes() - before > 64 * 1024**2
    assert held


def test_row_35_what_is_shed_of_telemetry_is_history_and_no_more() -> None:
    committed = entry(CommandCommitted(1, LANE, 0, HASH), seq=2)
    decided = entry(), Effects(commands=(command(1),)), timing(10**12)
    trail, stages = CommandTrail(), Stages()
    list(trail.observe(*decided))
    list(stages.observe(*decided))
    trail.shed()
    stages.shed()
    ((word, fields),) = trail.observe(committed, Effects(), timing(10**12))
    assert (word, fields["command_id"], "account" in fields) == ("command_committed", 1, False)
    assert list(stages.observe(committed, Effects(), timing(10**12))) == []
    assert stages.take_untracked() == 1
