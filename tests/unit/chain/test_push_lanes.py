"""A command of no account goes through lanes and ledger as any other: one live a venue."""

from dataclasses import replace

import pytest

from keeper.chain.sending.lane_report import lane_lines
from keeper.domain.effects import Command
from keeper.domain.events import CommandCommitted, CommandRefused, CommandSent
from tests.unit.chain.fake_node import CHAIN_ID, FakeNode
from tests.unit.chain.lane_bench import QUICK, command, follow, running


@pytest.fixture
def node() -> FakeNode:
    made = FakeNode()
    made.mine(3)
    return made


def push(node: FakeNode, identifier: int, venue: str = "venue") -> Command:
    return replace(command(node, identifier), account=None, kind="push_feeds", venue=venue)


async def test_one_push_a_venue_lives_at_a_time_beside_any_account(node, tmp_path):
    async with running(node, tmp_path / "ledger", lanes=2) as (executor, told):
        executor.submit([push(node, 1), command(node, 2), push(node, 3), push(node, 4, "other")])
        await told.until(lambda: len(told.of(CommandSent)) == 3)
        assert [each.command_id for each in told.of(CommandCommitted)] == [1, 2, 4]
        refused = [(each.command_id, each.reason) for each in told.of(CommandRefused)]
        assert refused == [(3, "live_action")]


async def test_a_push_decided_before_the_last_one_was_included_is_refused(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        stale = push(node, 2)
        executor.submit([push(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor)
        executor.submit([stale])
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "not_followed"
        executor.submit([push(node, 3)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 2)


async def test_a_push_on_a_new_branch_waits_until_the_orphaned_one_is_known(node, tmp_path):
    patient = replace(QUICK, catch_up_ms_max=60_000)
    async with running(node, tmp_path / "ledger", parameters=patient) as (executor, told):
        executor.submit([push(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor)
        node.reorg(1)
        executor.submit([push(node, 2)])
        executor.on_block(node.head.number, node.head.hash)
        await told.until(lambda: len(told.of(CommandRefused)) == 1)
        assert told.of(CommandRefused)[0].reason == "live_action", "its bytes live again"


async def test_the_operator_sees_whose_it_is(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([push(node, 1), command(node, 2)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        shown = "\n".join(lane_lines(tmp_path / "ledger", CHAIN_ID))
    assert "LIVE: push_feeds 1 of venue feeds, deadline" in shown
    assert "LIVE: bid 2 of venue account 2, deadline" in shown
