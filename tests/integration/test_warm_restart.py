"""A keeper begun from its own state file: the chain's state again, or the file is not used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keeper.app.assembly import Places, assemble
from keeper.app.state.files import candidates, read_state, write_state
from keeper.config import load
from keeper.portfolio.image import cut, fill
from tests.integration.keeper_process import KeeperProcess, recorded
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node

SAVE_BLOCKS = 4
DECIDES = ("state_agrees", "block")


def kept(rig: Rig, **changes: Any) -> KeeperProcess:
    """Return a keeper that saves its state, not started yet."""
    document = rig.document("observe")
    document["keeper"] |= {"save_blocks": SAVE_BLOCKS, **changes}
    return rig.process(document)


def begun(rig: Rig, keeper: KeeperProcess) -> KeeperProcess:
    """Start a keeper and play until it decides: a state of a file is compared at a head first."""
    keeper.start()
    keeper.wait("the first entry", lambda: keeper.events("Started"))
    keeper.wait("a line of the beginning", lambda: beginnings(keeper))
    if keeper.lines("state_loaded"):
        rig.step()
        keeper.wait(
            "the comparison",
            lambda: keeper.lines("state_agrees") or "disagrees" in discarded(keeper),
        )
    return keeper


def beginnings(keeper: KeeperProcess) -> list[str]:
    """Return how each run of this start began, in order."""
    words = ("snapshot_taken", "state_loaded")
    return [line["event"] for line in keeper.lines() if line["event"] in words]


def discarded(keeper: KeeperProcess) -> list[str]:
    return [line["reason"] for line in keeper.lines("state_refused")]


def ended(keeper: KeeperProcess) -> int:
    """Stop a keeper in order; the block its state was saved at."""
    assert keeper.stop() == 0
    return int(keeper.lines("state_saved")[-1]["number"])


def market(rig: Rig) -> list[int]:
    """Open a few accounts of each kind."""
    return [
        rig.open(rig.cash("500"), rig.perp("1")),
        rig.open(rig.cash("-200"), rig.option(3_000, True, "2"), rig.coin("1")),
        rig.open(rig.cash("1000"), rig.option(2_900, False, "-1")),
    ]


@contextmanager
def saved(folder: Path, blocks: int) -> Iterator[tuple[Rig, KeeperProcess, list[int]]]:
    """Yield a rig, a keeper that saved its state after so many blocks and ended, the accounts."""
    with rig_in(folder, SHORT_VENUE) as rig:
        accounts = market(rig)
        keeper = begun(rig, kept(rig))
        for _ in range(blocks):
            rig.play(keeper)
        ended(keeper)
        yield rig, keeper, accounts


def test_a_restart_goes_on_from_the_last_block_before_the_stop(tmp_path: Path) -> None:
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        market(rig)
        keeper = begun(rig, kept(rig))
        rig.play(keeper)
        rig.play(keeper, spot=2_980)
        assert ended(keeper) == rig.number
        for spot in (2_990, 2_950):
            rig.step(spot)
        rig.open(rig.cash("70"), rig.perp("-0.5"))
        begun(rig, keeper)
        assert beginnings(keeper) == ["state_loaded"]
        words = [line["event"] for line in keeper.lines() if line["event"] in DECIDES]
        assert words[0] == "state_agrees", "nothing was decided before the state was compared"
        rig.play(keeper, spot=2_940)
        assert keeper.lines("block")[-1]["accounts"] == 4
        assert rig.apart(keeper) == []
        assert keeper.stop() == 0
        counts, core = rig.replayed(keeper)
        assert counts.entries > 4
        assert core.portfolio.tip == (rig.number, rig.head["hash"])


def test_a_state_is_saved_while_the_run_goes_on_and_outlives_a_kill(tmp_path: Path) -> None:
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        market(rig)
        keeper = begun(rig, kept(rig))
        for _ in range(SAVE_BLOCKS + 2):
            rig.play(keeper)
        keeper.wait("a state file", lambda: keeper.lines("state_saved"))
        keeper.kill()
        rig.step(2_960)
        begun(rig, keeper)
        assert beginnings(keeper) == ["state_loaded"]
        rig.play(keeper)
        assert rig.apart(keeper) == []


def test_a_saved_block_that_left_the_chain_is_left_for_an_older_one(tmp_path: Path) -> None:
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        market(rig)
        keeper = begun(rig, kept(rig))
        for _ in range(SAVE_BLOCKS):
            rig.play(keeper)
        keeper.wait("a state file", lambda: keeper.lines("state_saved"))
        for spot in (2_990, 2_980, 2_970):
            rig.play(keeper, spot=spot)
        newest = ended(keeper)
        older, *gone = [line["number"] for line in keeper.lines("state_saved")]
        assert newest - older >= 2
        rig.node.call("anvil_reorg", newest - older - 1, [])
        rig.resume()
        begun(rig, keeper)
        assert discarded(keeper) == ["left_chain"] * len(
            [each for each in gone if each > older + 1]
        )
        (loaded,) = keeper.lines("state_loaded")
        assert loaded["number"] == older
        rig.play(keeper)
        assert rig.apart(keeper) == []


def test_without_a_file_of_this_chain_a_snapshot_is_taken(tmp_path: Path) -> None:
    with saved(tmp_path, 2) as (rig, keeper, _):
        rig.node.call("anvil_reorg", 3, [])
        rig.resume()
        begun(rig, keeper)
        assert set(discarded(keeper)) == {"left_chain"}
        assert beginnings(keeper) == ["snapshot_taken"]
        rig.play(keeper)
        assert rig.apart(keeper) == []


def test_a_reorg_below_the_block_of_the_file_begins_anew(tmp_path: Path) -> None:
    with saved(tmp_path, 2) as (rig, keeper, _):
        begun(rig, keeper)
        rig.play(keeper)
        rig.node.call("anvil_reorg", 3, [])
        rig.resume()
        rig.step()
        keeper.wait("the next run", lambda: len(beginnings(keeper)) > 1)
        assert beginnings(keeper) == ["state_loaded", "state_loaded"], "an older file will do"
        assert set(discarded(keeper)) == {"left_chain"}
        keeper.wait("the comparison", lambda: len(keeper.lines("state_agrees")) > 1)
        rig.play(keeper)
        assert rig.apart(keeper) == []


def test_a_state_that_disagrees_with_the_chain_decides_nothing_and_is_never_used_again(
    tmp_path: Path,
) -> None:
    with saved(tmp_path, 1) as (rig, keeper, accounts):
        wrong = falsified(keeper, accounts[-1])
        begun(rig, keeper)
        keeper.wait("a snapshot", lambda: beginnings(keeper) == ["state_loaded", "snapshot_taken"])
        (refused,) = keeper.lines("state_refused")
        assert refused["reason"] == "disagrees"
        assert f"account {accounts[-1]} cash" in refused["problem"]
        followed = recorded(keeper.journals()[:1], ("BlockSealed",))
        assert followed
        assert not any(block["at_tip"] for block in followed), "none of these was decided on"
        keeper.wait("its first entry", lambda: len(keeper.events("Started")) > 1)
        rig.play(keeper)
        assert rig.apart(keeper) == []
        keeper.kill()
        begun(rig, keeper)
        assert all(line["file"] != wrong for line in keeper.lines("state_loaded"))


def falsified(keeper: KeeperProcess, account: int) -> str:
    """Write the newest state anew, whole and well labelled, with one cash balance off by a wei."""
    config = load(keeper.config)
    places = Places(Path(config.keeper.data_dir))
    path = candidates(places)[0]
    image, _ = read_state(path)
    core = assemble(config)
    fill(core.portfolio, image)
    tables = core.venues[0].tables
    row = tables.row(account)
    tables.cash.set(row, tables.cash.get(row) + 1)
    write_state(places, cut(core.portfolio), image.label)
    return path.name
