"""Commands that were just decided are bound first; what is booked waits, and not for ever."""

import asyncio

import pytest

from keeper.chain.sending import precedence
from keeper.chain.sending.precedence import Precedence
from keeper.domain.events import CommandCommitted, CommandSent, TransactionIncluded
from tests.unit.chain.fake_node import FakeNode
from tests.unit.chain.lane_bench import command, follow, running
from tests.unit.chain.scripted_node import PATIENCE_S


async def turned(first: Precedence) -> bool:
    """Return whether it is the booking's turn already."""
    waiting = asyncio.ensure_future(first.turn())
    for _ in range(3):
        await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return done


async def test_booking_waits_until_every_batch_is_bound() -> None:
    first = Precedence()
    assert await turned(first)
    first.begin()
    first.begin()
    first.end()
    assert not await turned(first)
    first.end()
    assert await turned(first)


async def test_a_batch_that_needs_the_booking_lets_it_go_first() -> None:
    first = Precedence()
    first.begin()
    first.waive()
    assert await turned(first)
    first.begin()
    assert not await turned(first)


async def test_booking_does_not_wait_for_a_slow_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "WAIT_S_MAX", 0.0)
    first = Precedence()
    first.begin()
    await asyncio.wait_for(first.turn(), PATIENCE_S)


async def test_a_batch_is_committed_before_the_receipts_of_its_block_are_booked(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precedence, "WAIT_S_MAX", 60.0)  # whatever the disk takes
    node = FakeNode()
    node.mine(3)
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: told.of(CommandSent))
        node.mine(1)
        head = node.head
        executor.on_block(head.number, head.hash)
        executor.submit([command(node, 2)])
        await told.until(lambda: told.of(TransactionIncluded))
        kinds = [type(each) for each in told.events]
        first, second = (at for at, kind in enumerate(kinds) if kind is CommandCommitted)
        assert first < second < kinds.index(TransactionIncluded)


async def test_a_batch_that_waits_for_receipts_is_not_waited_for(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precedence, "WAIT_S_MAX", 60.0)
    node = FakeNode()
    node.mine(3)
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: told.of(CommandSent))
        await follow(node, executor, 1)
        await told.until(lambda: told.of(TransactionIncluded))
        node.mine(1)
        executor.on_block(node.head.number, node.head.hash)
        executor.submit([command(node, 2, account=1)])  # may have been orphaned by this head
        await told.until(lambda: len(told.of(CommandCommitted)) == 2)
