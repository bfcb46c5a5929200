"""A backup with keys of its own: silent while the primary serves, and there when it is frozen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node

AFTER_BLOCKS = 3
BACKUP_LANE = 1


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def backup(rig: Rig) -> KeeperProcess:
    """A keeper in the role of a backup, with its own lane, folder and configuration."""
    document = rig.document(lanes=2)
    document["keeper"] |= {
        "role": "backup",
        "act_after_blocks": AFTER_BLOCKS,
        "data_dir": str(rig.folder / "backup"),
    }
    document["lanes"] = document["lanes"][BACKUP_LANE:]
    return rig.follow(rig.process(document))


def freeze(keeper: KeeperProcess, how: signal.Signals) -> None:
    """Stop a keeper's process where it stands, or let it go on: it is not dead, it is not there."""
    assert keeper._process is not None
    assert keeper._process.pid is not None
    os.kill(keeper._process.pid, how)


def breaches(rig: Rig, count: int) -> list[int]:
    """Accounts that a fall to 2,900 puts in breach."""
    return [rig.open_with("300", rig.option(2800, False, "-10")) for _ in range(count)]


def sent(keeper: KeeperProcess) -> list[dict[str, Any]]:
    return keeper.events("CommandCommitted")


def test_a_backup_leaves_to_the_primary_what_the_primary_serves(rig: Rig) -> None:
    accounts = breaches(rig, 2)
    primary = rig.keeper()
    second = backup(rig)
    rig.play(primary)
    for spot in (2_900, None, None, None, None, None):
        head = rig.step(spot)
        primary.block(head)
        second.block(head)
    assert [len(rig.starts(account)) for account in accounts] == [1, 1]
    assert len(sent(primary)) == 2
    assert sent(second) == []


def test_a_backup_serves_a_crash_whose_primary_is_frozen_and_both_together_do_no_harm(
    rig: Rig,
) -> None:
    accounts = breaches(rig, 3)
    primary = rig.keeper()
    second = backup(rig)
    rig.play(primary)
    freeze(primary, signal.SIGSTOP)
    try:
        rig.play(second, spot=2_900)
        breached = rig.number
        for _ in range(AFTER_BLOCKS - 1):
            rig.play(second)
        assert sent(second) == [], "it waits out its blocks"
        rig.play(second)
        assert rig.number == breached + AFTER_BLOCKS
        rig.play(second)
        starts = [rig.starts(account) for account in accounts]
        assert [len(each) for each in starts] == [1, 1, 1]
        assert {each[0]["number"] for each in starts} == {breached + AFTER_BLOCKS + 1}
        lanes = {each["lane"] for each in sent(second)}
        assert lanes == {rig.lane(BACKUP_LANE).lower()}
    finally:
        freeze(primary, signal.SIGCONT)
    # The primary wakes up in the middle of it and catches up: nothing is done twice.
    for _ in range(4):
        head = rig.step()
        primary.block(head)
        second.block(head)
    assert [len(rig.starts(account)) for account in accounts] == [1, 1, 1]
    for keeper in (primary, second):
        assert keeper.events("TransactionReverted") == []
        assert rig.apart(keeper) == []
