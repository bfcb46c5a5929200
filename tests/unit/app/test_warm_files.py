"""State files on disk: written whole or not at all, and refused for the right reason."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from keeper.app.assembly import assemble, load_snapshot
from keeper.app.state import files as warm_files
from keeper.app.state.files import candidates, mark_of, open_state, put
from keeper.app.state.snapshots import STATES_KEPT, prune, restore
from keeper.domain.errors import EndpointError, MalformedRecord, StateRefused, StorageError
from keeper.ports import Header
from tests.unit.app.documents import configured
from tests.unit.app.warm_world import WarmWorld, hash_at
from tests.unit.protocols.derive.test_snapshot import HEAD


GAP = 1_024
SAVED = HEAD.number - 5


@pytest.fixture
def world(tmp_path: Path) -> WarmWorld:
    return WarmWorld(tmp_path)


async def refusal(world: WarmWorld, path: Path) -> str:
    with pytest.raises(StateRefused) as refused:
        await open_state(path, world.config, world.node, GAP)
    assert refused.value.source == path.name
    return refused.value.reason


async def test_a_file_of_a_block_of_this_chain_is_opened(world: WarmWorld) -> None:
    path = world.save(SAVED)
    image, digest, header = await open_state(path, world.config, world.node, GAP)
    assert (header.number, header.hash) == (SAVED, hash_at(SAVED))
    core = assemble(world.config)
    load_snapshot(core, image)
    assert core.portfolio.contents() == world.core(SAVED).portfolio.contents()
    assert restore(path, digest) is not image


async def test_a_damaged_file_is_refused_before_any_node_is_asked(world: WarmWorld) -> None:
    path = world.save(SAVED)
    whole = path.read_bytes()
    world.node.away = True
    for bad, reason in (
        (whole[:-1], "torn"),
        (whole[:100], "torn"),
        (whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], "damaged"),
        (b"{}", "not_ours"),
    ):
        path.write_bytes(bad)
        assert await refusal(world, path) == reason
    path.unlink()
    assert await refusal(world, path) == "unreadable"


async def test_a_file_of_another_edition_chain_or_venue_is_refused(
    world: WarmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.save(SAVED)
    with monkeypatch.context() as patch:
        patch.setattr(warm_files, "__version__", "9.9.9")
        assert await refusal(world, path) == "version"
    mine = world.config
    world.config = configured(chain={"chain_id": 5}, keeper={"data_dir": str(world.folder)})
    assert await refusal(world, path) == "foreign_chain"
    world.config = configured(keeper={"data_dir": str(world.folder)})
    assert await refusal(world, path) == "foreign_venues"
    world.config = mine
    await open_state(path, world.config, world.node, GAP)


async def test_a_block_that_left_the_chain_is_refused(world: WarmWorld) -> None:
    path = world.save(SAVED)
    world.node.gone = frozenset({SAVED})
    assert await refusal(world, path) == "left_chain"


async def test_a_chain_that_became_shorter_is_refused(world: WarmWorld) -> None:
    path = world.save(HEAD.number)
    head = world.node.head
    world.node.head = Header(SAVED, hash_at(SAVED), head.parent, head.timestamp, 0, 0)
    assert await refusal(world, path) == "left_chain"


async def test_a_gap_that_cannot_be_caught_up_with_is_refused(world: WarmWorld) -> None:
    await open_state(world.save(HEAD.number - GAP), world.config, world.node, GAP)
    assert await refusal(world, world.save(HEAD.number - GAP - 1)) == "too_far"


async def test_a_node_that_is_away_says_nothing_about_a_file(world: WarmWorld) -> None:
    path = world.save(SAVED)
    world.node.away = True
    with pytest.raises(EndpointError, match="nobody answers"):
        await open_state(path, world.config, world.node, GAP)


def test_the_highest_block_comes_first_and_what_was_wrong_never(world: WarmWorld) -> None:
    paths = [world.save(number) for number in (SAVED, HEAD.number, 99)]
    (world.places.snapshots / "notes.columns").write_text("not ours")
    order = [path.name for path in candidates(world.places)]
    assert order == [paths[1].name, paths[0].name, paths[2].name, "notes.columns"]
    mark_of(paths[1]).touch()
    assert candidates(world.places)[0] == paths[0]


def test_only_the_newest_are_kept_and_what_a_journal_names(world: WarmWorld) -> None:
    paths = [world.save(number) for number in range(1, STATES_KEPT + 4)]
    for path in paths:
        mark_of(path).touch()
    (world.places.snapshots / "7-aa.columns.part").write_text("half")
    world.places.journal.mkdir()
    named = f'{{"entry": {{"seq": 1, "with": {{"snapshot_file": "{paths[1].name}"}}}}}}'
    (world.places.journal / "1-1.0001.jsonl").write_text("{}\n" + named + "\n")
    prune(world.places)
    kept = sorted(path.name for path in world.places.snapshots.iterdir())
    wanted = [paths[1], *paths[-STATES_KEPT:]]
    assert kept == sorted([each.name for each in (*wanted, *map(mark_of, wanted))])


def test_the_bytes_are_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def forced(handle: int) -> None:
        done.append("fsync")
        fsync(handle)

    def renamed(path: Path, to: Path) -> Path:
        done.append("rename")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", forced)
    monkeypatch.setattr(Path, "replace", renamed)
    put(tmp_path / "new" / "file", [b"a", b"b"])
    assert done == ["fsync", "rename", "fsync"], "bytes, name, and the folder that holds it"
    assert (tmp_path / "new" / "file").read_bytes() == b"ab"


def killed_before_its_name(path: str) -> None:
    Path.replace = lambda *_: os._exit(9)  # type: ignore[method-assign]
    put(Path(path), [b"half of it"])


def test_a_kill_between_write_and_rename_leaves_the_last_file_as_it_was(world: WarmWorld) -> None:
    path = world.save(SAVED)
    whole = path.read_bytes()
    child = get_context("fork").Process(target=killed_before_its_name, args=(str(path),))
    child.start()
    child.join()
    assert child.exitcode == 9
    assert path.read_bytes() == whole
    assert candidates(world.places) == [path], "what was written aside is no file yet"
    prune(world.places)
    assert list(world.places.snapshots.iterdir()) == [path]


def test_a_replay_takes_only_the_very_file_that_the_journal_names(world: WarmWorld) -> None:
    path = world.save(SAVED)
    with pytest.raises(MalformedRecord, match="the journal names"):
        restore(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StateRefused, match="torn"):
        restore(path, "0" * 64)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        put(tmp_path / "file" / "state", [b""])
