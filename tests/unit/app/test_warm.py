"""Where a run begins: the newest file that will do, else a snapshot that agrees with the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keeper.app import patience
from keeper.app.state.warm import Begun, begin
from keeper.domain.errors import EndpointError, StateMismatch
from tests.unit.app.warm_world import ChainNode, WarmWorld, hash_at
from tests.unit.protocols.derive.test_snapshot import HEAD


OLDER, NEWER = HEAD.number - 9, HEAD.number - 3
READS_OF_A_SNAPSHOT = 3  # headers: the head, one for the age of quotes, the block once more


@pytest.fixture
def world(tmp_path: Path) -> WarmWorld:
    return WarmWorld(tmp_path)


async def begun(world: WarmWorld, *, cold: bool = False) -> Begun:
    found = await begin(world.config, world.node, world.places, world.lines, 1_024, cold=cold)
    assert found is not None
    return found


async def test_a_run_begins_from_the_newest_file_unvouched_for(world: WarmWorld) -> None:
    world.save(OLDER)
    path = world.save(NEWER)
    found = await begun(world)
    assert (found.warm, found.agreed, found.file) == (True, False, path.name)
    assert found.core.portfolio.tip == (NEWER, hash_at(NEWER))
    assert found.header.hash == hash_at(NEWER)
    (told,) = world.told("state_loaded")
    assert (told["number"], told["unsupported"]) == (NEWER, 0)


async def test_what_will_not_do_is_told_with_its_reason_and_an_older_one_is_taken(
    world: WarmWorld,
) -> None:
    older, newer, torn = world.save(OLDER), world.save(NEWER), world.save(HEAD.number)
    torn.write_bytes(torn.read_bytes()[:-9])
    world.node.gone = frozenset({NEWER})
    assert (await begun(world)).file == older.name
    told = [(each["file"], each["reason"]) for each in world.told("state_refused")]
    assert told == [(torn.name, "torn"), (newer.name, "left_chain")]


async def test_without_a_file_that_will_do_the_state_is_read_and_compared(
    world: WarmWorld,
) -> None:
    world.save(NEWER)
    world.node.gone = frozenset({NEWER})
    found = await begun(world)
    assert (found.warm, found.agreed, found.file.endswith(".json")) == (False, True, True)
    assert found.core.portfolio.tip == (HEAD.number, HEAD.hash)
    assert [each["reason"] for each in world.told("state_refused")] == ["left_chain"]


async def test_a_cold_start_looks_at_no_file(world: WarmWorld) -> None:
    world.save(NEWER)
    assert not (await begun(world, cold=True)).warm
    world.config = world.configured(save_blocks=0)
    assert not (await begun(world)).warm


def one_wei_more(node: ChainNode) -> None:
    for account in range(1, 9):
        row = node.tables.row(account)
        node.tables.cash.set(row, node.tables.cash.get(row) + 1)


def one_account_more(node: ChainNode) -> None:
    node.tables.accounts.set(9, node.tables.accounts[1])
    node.tables.owners.set(9, node.tables.owners[1])


@pytest.mark.parametrize(
    ("change", "difference"),
    [(one_wei_more, "cash: ours"), (one_account_more, "accounts: ours 8, the chain's 9")],
)
async def test_a_fresh_snapshot_that_the_chain_gainsays_ends_the_start_with_its_own_code(
    world: WarmWorld, change: Any, difference: str
) -> None:
    world.node.change, world.node.changed_after = change, READS_OF_A_SNAPSHOT
    with pytest.raises(StateMismatch, match=difference) as refused:
        await begun(world)
    assert refused.value.exit_code == 68
    assert refused.value.venue == "derive"


async def test_a_node_that_goes_away_before_the_comparison_means_to_begin_again(
    world: WarmWorld,
) -> None:
    def leave(node: ChainNode) -> None:
        node.calls_left = 0

    world.node.change, world.node.changed_after = leave, READS_OF_A_SNAPSHOT
    found = await begin(world.config, world.node, world.places, world.lines, 1_024, cold=True)
    assert found is None
    assert world.told("new_snapshot_needed")


async def test_a_node_that_is_away_leaves_files_for_later(
    world: WarmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_MS", 1)
    world.save(NEWER)
    world.node.away = True
    with pytest.raises(EndpointError):
        await begun(world)
    assert [each["reason"] for each in world.told("state_refused")] == ["unchecked"]
