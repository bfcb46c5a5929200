"""The inbox: one order, a limit that is told, and no decision on a head already overtaken."""

import asyncio
from dataclasses import replace

import pytest

from keeper.domain.errors import OperatorError
from keeper.domain.events import ChainRewound, Ticked
from keeper.runtime.inbox import Inbox, InboxOverflow
from tests.unit.runtime.shell_fakes import SteppingClock, head


def test_entries_are_numbered_and_stamped_in_the_order_posted() -> None:
    inbox = Inbox(SteppingClock(), first_seq=41)
    inbox.post(Ticked())
    inbox.post(head(1))

    first, second = inbox.take_waiting(), inbox.take_waiting()

    assert first is not None
    assert second is not None
    assert (first.entry.seq, second.entry.seq) == (41, 42)
    assert first.entry.at_ns < first.posted_ns < second.entry.at_ns
    assert inbox.take_waiting() is None


async def test_take_waits_until_something_is_posted() -> None:
    inbox = Inbox(SteppingClock())
    taker = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    assert not taker.done()

    inbox.post(Ticked())

    assert (await taker).entry.event == Ticked()


async def test_a_cancelled_take_loses_no_entry() -> None:
    inbox = Inbox(SteppingClock())
    taker = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    inbox.post(Ticked())
    taker.cancel()
    await asyncio.gather(taker, return_exceptions=True)

    assert inbox.waiting == 1


async def test_an_overflow_ends_the_run_even_when_the_source_swallows_it() -> None:
    inbox = Inbox(SteppingClock(), waiting_max=2)
    inbox.post(Ticked())
    inbox.post(Ticked())
    with pytest.raises(InboxOverflow, match="2 events wait and BlockSealed came"):
        inbox.post(head(1))
    inbox.take_waiting()

    with pytest.raises(OperatorError):
        inbox.post(head(2))
    with pytest.raises(InboxOverflow):
        await inbox.take()


def test_only_the_last_of_several_waiting_heads_is_decided_on() -> None:
    inbox = Inbox(SteppingClock())
    events = [head(1), Ticked(), head(2), ChainRewound(957, 1, "0x1"), head(3), Ticked()]
    for event in events:
        inbox.post(event)

    taken = [posted.entry.event for posted in iter(inbox.take_waiting, None)]

    expected = list(events)
    expected[0] = replace(head(1), at_tip=False)
    expected[2] = replace(head(2), at_tip=False)
    assert taken == expected


def test_heads_of_another_chain_overtake_nothing() -> None:
    inbox = Inbox(SteppingClock())
    events = [head(1), head(7, chain_id=1)]
    for event in events:
        inbox.post(event)

    assert [posted.entry.event for posted in iter(inbox.take_waiting, None)] == events


def test_a_block_of_the_past_overtakes_no_head() -> None:
    inbox = Inbox(SteppingClock())
    events = [head(1), head(2, at_tip=False)]
    for event in events:
        inbox.post(event)

    assert [posted.entry.event for posted in iter(inbox.take_waiting, None)] == events
