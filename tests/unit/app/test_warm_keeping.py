"""A run's state: nothing is decided on one that was not compared, and one in doubt is not saved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keeper.app.assembly import Places, assemble, load_snapshot
from keeper.app.state import keeping as warm_keeping
from keeper.app.state.files import candidates, mark_of, read_state, write_state
from keeper.app.state.keeping import Keeping, Telling
from keeper.app.state.warm import Begun, begin
from keeper.domain.errors import StorageError, UndecodableLog
from keeper.domain.events import BlockSealed, Entry, StateAudited, Ticked
from keeper.portfolio.image import Cut, Label, cut
from keeper.portfolio.state import Portfolio
from keeper.runtime.clock import SystemClock
from keeper.runtime.supervisor import Ended
from keeper.telemetry.health import Health, HealthLimits
from tests.unit.app.warm_world import WarmWorld, hash_at
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.unit.protocols.derive.deployment import MANAGER, NOW
from tests.unit.protocols.derive.test_snapshot import HEAD


SAVE_BLOCKS = 8
WELL = Ended(0, ())


def block(number: int, *, at_tip: bool = True) -> BlockSealed:
    head, parent = hash_at(number), hash_at(number - 1)
    return BlockSealed(31_337, number, head, parent, NOW, 0, 0, at_tip, 0, ())


class Run:
    """A run as far as its state goes: blocks folded, heard of, and what came of it."""

    def __init__(self, world: WarmWorld, begun: Begun) -> None:
        self.world = world
        self.begun = begun
        self.health = Health(SystemClock(), HealthLimits(60_000))
        self.renewed: list[str] = []
        self.entries: list[int] = []  # how many wait at each look; then none
        telling = Telling(world.lines, self.health, self.renewed.append, lambda: bool(self.renewed))
        self.keeping = Keeping(world.config, begun, world.node, telling, self.waiting)

    service: asyncio.Task[None]

    def waiting(self) -> int:
        return self.entries.pop(0) if self.entries else 0

    def fold(self, number: int) -> BlockSealed:
        """Fold a block at the tip as the run would, and let it be heard of."""
        seen = self.keeping.admitted(block(number))
        assert isinstance(seen, BlockSealed)
        undo = self.begun.core.portfolio.undo
        assert undo.tip is not None
        for each in range(undo.tip[0] + 1, number + 1):
            undo.begin(each, hash_at(each))
        self.keeping.heard(Entry(number, number, seen))
        return seen

    async def until(self, done: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                assert not self.service.done(), self.service.exception()
                await asyncio.sleep(0.001)

    @property
    def unready(self) -> bool:
        return any(reason.startswith("state:") for reason in self.health.not_ready())


@asynccontextmanager
async def running(world: WarmWorld, *, warm: bool) -> AsyncIterator[Run]:
    """Begin a run one block below the head, from a file where `warm`, and let its service run."""
    if warm:
        world.save(HEAD.number - 1)
    begun = await begin(world.config, world.node, world.places, world.lines, 1_024, cold=not warm)
    assert begun is not None
    run = Run(world, begun)
    run.service = asyncio.create_task(run.keeping.run())
    try:
        yield run
    finally:
        run.service.cancel()
        await asyncio.gather(run.service, return_exceptions=True)


@pytest.fixture
def world(tmp_path: Path) -> WarmWorld:
    return WarmWorld(tmp_path, save_blocks=SAVE_BLOCKS)


async def test_no_block_is_decided_on_before_a_warm_state_agrees(world: WarmWorld) -> None:
    async with running(world, warm=True) as run:
        assert run.unready
        assert run.keeping.admitted(Ticked()) == Ticked()
        assert not run.fold(HEAD.number).at_tip
        await run.until(lambda: run.keeping.agreed)
        assert not run.unready
        assert run.fold(HEAD.number + 1).at_tip
        (told,) = world.told("state_agrees")
        assert (told["number"], told["accounts"]) == (HEAD.number, 8)


async def test_after_a_compared_snapshot_every_block_is_decided_on(world: WarmWorld) -> None:
    async with running(world, warm=False) as run:
        assert run.fold(HEAD.number + 1).at_tip
        assert not run.unready


async def test_a_warm_state_that_disagrees_is_marked_and_begun_without(world: WarmWorld) -> None:
    async with running(world, warm=True) as run:
        tables = run.begun.core.venues[0].tables
        tables.cash.set(tables.row(5), tables.cash.get(tables.row(5)) + 1)
        run.fold(HEAD.number)
        await run.until(lambda: run.renewed)
        assert not run.keeping.agreed
        assert run.unready
        assert candidates(world.places) == []
        assert mark_of(world.places.snapshots / run.begun.file).exists()
        (told,) = world.told("state_refused")
        assert (told["reason"], told["number"]) == ("disagrees", HEAD.number)
        assert "account 5 cash" in str(told["problem"])
        await run.keeping.end(WELL)
        assert world.told("state_not_saved"), "what disagreed is not saved on the way out"


async def test_a_node_that_is_away_is_asked_again_at_the_next_head(world: WarmWorld) -> None:
    async with running(world, warm=True) as run:
        world.node.calls_left = 0
        run.fold(HEAD.number)
        await run.until(lambda: world.told("state_unchecked"))
        assert not run.keeping.agreed
        world.node.calls_left = None
        run.fold(HEAD.number)
        await run.until(lambda: run.keeping.agreed)


async def test_the_state_is_saved_every_so_many_blocks_at_the_tip(world: WarmWorld) -> None:
    async with running(world, warm=False) as run:
        first = HEAD.number + 1
        run.fold(first)
        await run.until(lambda: world.told("state_saved"))
        for number in range(first + 1, first + SAVE_BLOCKS):
            run.fold(number)
        behind = block(first + SAVE_BLOCKS, at_tip=False)
        run.keeping.heard(Entry(1, 1, behind))
        assert not run.keeping.due, "a state that is catching up is not worth a file"
        run.fold(first + SAVE_BLOCKS)
        await run.until(lambda: len(world.told("state_saved")) == 2)
        saved = [each["number"] for each in world.told("state_saved")]
        assert saved == [first, first + SAVE_BLOCKS]
        path = candidates(world.places)[0]
        image, _ = read_state(path)
        core = assemble(world.config)
        assert load_snapshot(core, image) == (first + SAVE_BLOCKS, hash_at(first + SAVE_BLOCKS))
        assert core.portfolio.contents() == world.core().portfolio.contents()


async def test_it_is_copied_while_no_entry_waits(
    world: WarmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def copied(portfolio: Portfolio) -> Cut:
        looked.append(len(run.entries))
        return cut(portfolio)

    monkeypatch.setattr(warm_keeping, "cut", copied)
    async with running(world, warm=False) as run:
        run.entries = [3, 2, 1]
        run.fold(HEAD.number + 1)
        await run.until(lambda: world.told("state_saved"))
        monkeypatch.setattr(warm_keeping, "IDLE_LOOKS_MAX", 2)
        run.entries = [1] * 9
        run.fold(HEAD.number + 1 + SAVE_BLOCKS)
        await run.until(lambda: len(world.told("state_saved")) == 2)
        assert looked == [0, 7], "a keeper that is always busy saves all the same"


async def test_a_run_that_ends_in_order_saves_where_it_stands(world: WarmWorld) -> None:
    async with running(world, warm=True) as run:
        run.fold(HEAD.number)
        await run.until(lambda: run.keeping.agreed)
        run.begun.core.portfolio.undo.begin(HEAD.number + 1, hash_at(HEAD.number + 1))
        await run.keeping.end(WELL)
        await run.keeping.end(WELL)
        assert [each["number"] for each in world.told("state_saved")] == [HEAD.number + 1]


async def test_a_state_that_nobody_compared_is_not_saved(world: WarmWorld) -> None:
    async with running(world, warm=True) as run:
        before = candidates(world.places)
        run.begun.core.portfolio.undo.begin(HEAD.number, HEAD.hash)
        await run.keeping.end(WELL)
        assert candidates(world.places) == before
        assert "not compared" in str(world.told("state_not_saved")[0]["problem"])


@pytest.mark.parametrize("ended", [Ended(70, ()), Ended(0, ("engine",))])
async def test_a_run_that_failed_saves_nothing(world: WarmWorld, ended: Ended) -> None:
    async with running(world, warm=False) as run:
        await run.keeping.end(ended)
    assert candidates(world.places) == []


async def test_without_saving_there_is_no_file(world: WarmWorld) -> None:
    world.config = world.configured(save_blocks=0)
    async with running(world, warm=False) as run:
        run.fold(HEAD.number + 1)
        await run.keeping.end(WELL)
    assert candidates(world.places) == []


def halted(run: Run) -> None:
    error = UndecodableLog("0xaa", "0xbb", 0, "too short")
    run.begun.core.machine.gates.halt("derive", block(HEAD.number), error)


def doubted(run: Run) -> None:
    run.begun.core.machine.gates.doubt("derive", "drift", HEAD.number)


def unread(run: Run) -> None:
    run.begun.core.venues[0].tables.unread.set(MANAGER, 1)


def renewed(run: Run) -> None:
    run.renewed.append("rewired")


@pytest.mark.parametrize("spoil", [halted, doubted, unread, renewed])
async def test_a_state_in_doubt_is_never_saved(
    world: WarmWorld, spoil: Callable[[Run], None]
) -> None:
    async with running(world, warm=False) as run:
        spoil(run)
        run.fold(HEAD.number + 1)
        await run.until(lambda: world.told("state_not_saved"))
        await run.keeping.end(WELL)
    assert candidates(world.places) == []


def drifted(run: Run) -> None:
    audited = StateAudited("derive", HEAD.number, HEAD.hash, 8, False, "account 5: cash")
    run.keeping.heard(Entry(1, 1, audited))


def halted_in_a_block(run: Run) -> None:
    halted(run)
    run.fold(HEAD.number + 1)


@pytest.mark.parametrize("find", [drifted, halted_in_a_block])
async def test_what_was_saved_before_a_drift_or_a_halt_is_not_begun_from_again(
    world: WarmWorld, find: Callable[[Run], None]
) -> None:
    async with running(world, warm=True) as run:
        world.save(HEAD.number - 9)
        find(run)
        await run.until(lambda: not candidates(world.places))
    reasons = [each["reason"] for each in world.told("state_refused")]
    assert reasons == ["distrusted", "distrusted"]


async def test_an_audit_that_agrees_leaves_the_files_alone(world: WarmWorld) -> None:
    async with running(world, warm=True) as run:
        agreed = StateAudited("derive", HEAD.number, HEAD.hash, 8, True, "")
        run.keeping.heard(Entry(1, 1, agreed))
        run.fold(HEAD.number)
        await run.until(lambda: run.keeping.agreed)
        assert candidates(world.places)


@pytest.mark.parametrize("ending", [True, False])
async def test_a_file_being_written_when_a_drift_is_found_is_not_begun_from(
    world: WarmWorld, monkeypatch: pytest.MonkeyPatch, *, ending: bool
) -> None:
    async with running(world, warm=False) as run:
        loop, found = asyncio.get_running_loop(), threading.Event()

        def slowly(places: Places, taken: Cut, label: Label) -> tuple[Path, str]:
            loop.call_soon_threadsafe(drifted, run)
            loop.call_soon_threadsafe(found.set)
            assert found.wait(PATIENCE_S)
            return write_state(places, taken, label)

        monkeypatch.setattr(warm_keeping, "write_state", slowly)
        run.fold(HEAD.number + 1)
        if ending:
            await run.until(found.is_set)
            run.service.cancel()
            await asyncio.gather(run.service, return_exceptions=True)
            await run.keeping.end(WELL)
        else:
            await run.until(lambda: world.told("state_refused"))
    assert candidates(world.places) == []


async def test_a_disk_that_is_full_is_told_and_the_run_goes_on(
    world: WarmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("data/snapshots", "no space left")

    async with running(world, warm=False) as run:
        with monkeypatch.context() as patch:
            patch.setattr(warm_keeping, "write_state", full)
            run.fold(HEAD.number + 1)
            await run.until(lambda: world.told("state_not_saved"))
        run.fold(HEAD.number + 1 + SAVE_BLOCKS)
        await run.until(lambda: world.told("state_saved"))
