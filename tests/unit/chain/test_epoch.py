"""The fence (row 36): who was taken over may say again what it has said, and nothing new."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.chain.ledger import schema
from keeper.chain.ledger.bookkeeping import Books
from keeper.chain.ledger.rows import Binding, CapParameters, LaneRow
from keeper.domain.events import CommandCommitted, CommandRefused, CommandSent
from tests.unit.chain.fake_node import CHAIN_ID, GWEI, FakeNode
from tests.unit.chain.lane_bench import (
    LANE,
    QUICK,
    attempt,
    catch_up,
    command,
    intent,
    running,
)


async def test_row_36_ex_leader_after_pause_only_resends(tmp_path: Path) -> None:
    """It slept, another took its lane over; awake again it decides, bumps, cancels: all in vain."""
    node = FakeNode()
    node.mine(3)
    parameters = replace(QUICK, follow=replace(QUICK.follow, bump_blocks=1))
    async with running(node, tmp_path / "ledger", parameters=parameters) as (executor, told):
        executor.submit([command(node, 1, deadline_block=node.head.number + 6)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        # The next leader's first step, on the database that both would share.
        (row,) = await executor._ledger.take_over([(LANE, 0)])
        assert row.epoch == 2
        given = len(node.sent)
        executor.submit([command(node, 2)])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        refused = told.of(CommandRefused)[0]
        assert (refused.stage, refused.reason) == ("ledger", "epoch_lost")
        node.base_fee = 50 * GWEI  # what is live pays too little: a leader would raise it
        for _ in range(9):  # past its deadline, where a leader would cancel it
            node.mine(empty=True)
            await catch_up(node, executor)
        assert len(node.sent) > given, "the same bytes are said again"
        assert set(node.sent) == {told.of(CommandCommitted)[0].transaction}
        assert await executor._ledger._do(lambda: attempts(executor._ledger._db)) == 1


def attempts(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM attempt").fetchone()[0])


@pytest.fixture
def shared(tmp_path: Path):
    """Two leaders' books on one database, as a server would hold it: no file is locked."""
    connections = []
    for _ in range(2):
        db = sqlite3.connect(tmp_path / "shared", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("PRAGMA foreign_keys = ON")
        connections.append(db)
    for statement in schema.TABLES:
        connections[0].execute(statement)
    yield [Books(db, CHAIN_ID, CapParameters()) for db in connections]
    for db in connections:
        db.close()


def test_the_epoch_fences_between_processes_in_the_signing_transaction(shared) -> None:
    first, second = shared
    (before,) = first.take_over([(LANE, 0)])
    assert first.bind([Binding(intent(1, 1), attempt(0), before.epoch)]) == [1]
    (after,) = second.take_over([(LANE, 0)])
    assert after.epoch == before.epoch + 1
    # Whatever the one before still wants to make durable is refused, and leaves no trace.
    assert first.bind([Binding(intent(2, 2), attempt(1), before.epoch)]) == ["epoch_lost"]
    assert first.replace(attempt(0, seq=1, cap_wei=3 * GWEI), before.epoch) == "epoch_lost"
    assert first.set_lane(LaneRow(LANE, before.epoch, "READY", 9)) == "epoch_lost"
    assert second.bind([Binding(intent(2, 2), attempt(1), after.epoch)]) == [2]
    assert second.replace(attempt(0, seq=1, cap_wei=3 * GWEI), after.epoch) is None


def test_one_live_action_an_account_holds_between_leaders_too(shared) -> None:
    first, second = shared
    other = "0x" + "0b" * 20
    first.take_over([(LANE, 0)])
    second.take_over([(other, 0)])
    assert first.bind([Binding(intent(1, 7), attempt(0), 1)]) == [1]
    theirs = attempt(0, number=77, lane=other)
    assert second.bind([Binding(intent(2, 7), theirs, 1)]) == ["live_action"]
