"""The live executor on a fake node: order, refusals, at most once, and what routes may say."""

import asyncio

import pytest

from keeper.chain.ledger.rows import CapParameters
from keeper.chain.sending.modes import ObservingExecutor, SimulatingExecutor
from keeper.chain.sending.preflight import Preflight, PreflightParameters
from keeper.domain.errors import ConfigError, DeadlineExceeded, RpcError
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    LaneObserved,
    PreflightPassed,
    TransactionIncluded,
)
from tests.unit.chain.fake_node import read
from tests.unit.chain.lane_bench import LANE, command, follow, running
from tests.unit.chain.scripted_node import until


async def refused(told, count=1):
    await told.until(lambda: len(told.of(CommandRefused)) >= count)
    return [(each.command_id, each.stage, each.reason) for each in told.of(CommandRefused)]


async def test_priority_order_is_nonce_order_among_those_that_pass(node, tmp_path):
    node.reverts[f"0x{3:064x}"] = "0xdead"
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, number) for number in range(1, 7)])
        await told.until(lambda: len(told.of(CommandSent)) == 5)
        committed = told.of(CommandCommitted)
        assert [each.command_id for each in committed] == [1, 2, 4, 5, 6]
        assert [each.nonce for each in committed] == [0, 1, 2, 3, 4]
        assert await refused(told) == [(3, "preflight", "venue:0xdead")]


async def test_the_best_command_does_not_wait_for_the_trial_of_the_rest(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        held = asyncio.Event()
        batch = node.batch

        async def slow(calls, *, deadline_s):
            if len(calls) > 2:
                await held.wait()
            return await batch(calls, deadline_s=deadline_s)

        node.batch = slow
        executor.submit([command(node, number) for number in range(1, 6)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        assert told.of(CommandSent)[0].command_id == 1
        held.set()
        await told.until(lambda: len(told.of(CommandSent)) == 5)


async def test_nothing_is_sent_before_it_is_committed(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        seen_at_send = []
        node.script["eth_sendRawTransaction"] = lambda params: (
            seen_at_send.append([each.transaction for each in told.of(CommandCommitted)])
            or node._take(bytes.fromhex(params[0][2:]))
        )
        executor.submit([command(node, 1), command(node, 2)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        assert all(sent in known for sent, known in zip(node.sent, seen_at_send, strict=True)), (
            "bytes left that were not committed"
        )


async def test_a_command_submitted_twice_acts_once_and_is_not_called_refused(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        await follow(node, executor, 2)
        assert len(set(node.sent)) == 1
        assert told.of(CommandRefused) == []
        assert [what for what, _ in told.reports] == ["duplicate_command"]


async def test_a_command_of_a_run_before_acts_once_too(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1, account=5)])
        await told.until(lambda: told.reports != [])
        await follow(node, executor, 2)
        assert len(set(node.sent)) == 1
        assert told.of(CommandRefused) == []


async def test_a_second_live_action_of_one_account_is_refused_on_any_lane(node, tmp_path):
    async with running(node, tmp_path / "ledger", lanes=3) as (executor, told):
        executor.submit([command(node, 1, account=7), command(node, 2, account=7)])
        assert await refused(told) == [(2, "ledger", "live_action")]
        await follow(node, executor)
        executor.submit([command(node, 3, account=7)])
        await told.until(lambda: len(told.of(CommandCommitted)) == 2)


async def test_no_answer_to_the_trial_means_not_sent(node, tmp_path):
    node.script["eth_call"] = lambda _: DeadlineExceeded("node", "no answer in 1 s")
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1), command(node, 2)])
        assert await refused(told, 2) == [
            (1, "preflight", "no_answer"),
            (2, "preflight", "no_answer"),
        ]
        assert node.sent == []


async def test_a_decided_block_that_left_the_chain_means_not_sent(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        stale = command(node, 1)
        node.reorg(1)
        executor.submit([stale])
        assert await refused(told) == [(1, "preflight", "unknown_block")]


async def test_a_command_past_its_deadline_is_not_tried(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1, deadline_block=node.head.number)])
        assert await refused(told) == [(1, "expired", "deadline")]
        assert "eth_call" not in node.asked


async def test_a_deadline_that_passes_during_the_trial_means_not_sent(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        held = asyncio.Event()
        batch = node.batch

        async def slow(calls, *, deadline_s):
            if any(method == "eth_call" for method, _ in calls):
                await held.wait()
            return await batch(calls, deadline_s=deadline_s)

        node.batch = slow
        executor.submit([command(node, 1, deadline_block=node.head.number + 1)])
        await follow(node, executor)
        held.set()
        assert await refused(told) == [(1, "expired", "deadline")]
        assert node.sent == []


async def test_a_slot_that_changed_meanwhile_is_not_replaced(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        dispatch = executor._dispatch
        stale = dispatch.lanes[LANE].slots[0]
        await follow(node, executor)
        assert await dispatch.bump(dispatch.lanes[LANE], stale) == "slot_changed"
        assert len(await executor._ledger.open_slots()) == 1
        assert len((await executor._ledger.open_slots())[0].attempts) == 1


@pytest.mark.parametrize(
    ("changes", "stage", "reason"),
    [
        ({"spend_max_wei": 100_000 * 10**8}, "cap", "fee_beyond_spend"),
        ({"sender": "0x" + "99" * 20}, "lane", "unknown_sender"),
    ],
)
async def test_what_no_lane_can_carry_is_refused(node, tmp_path, changes, stage, reason):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1, **changes)])
        assert await refused(told) == [(1, stage, reason)]


async def test_a_target_off_the_list_is_never_signed(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        bad = command(node, 1)
        call = type(bad.call)("0x" + "ee" * 20, bad.call.data)
        executor.submit([command(node, 1, call=call)])
        assert await refused(told) == [(1, "lane", "target_not_allowed")]
        assert node.sent == []


async def test_a_cap_refuses_in_the_signing_transaction(node, tmp_path):
    caps = CapParameters(10**18, 10**18, 10**15)
    async with running(node, tmp_path / "ledger", caps=caps) as (executor, told):
        executor.submit([command(node, number) for number in range(1, 9)])
        outcomes = await refused(told, 2)
        assert {each[1:] for each in outcomes} == {("cap", "cap_day")}
        assert 1 <= len(node.sent) < 8


async def test_a_poor_lane_is_not_picked(node, tmp_path):
    node.balances[LANE] = 1
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, 1)])
        assert await refused(told) == [(1, "lane", "insufficient_balance")]


async def test_unknown_rpc_error_keeps_slot_and_the_bytes_are_sent_again(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, "whatever")
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        assert told.of(CommandSent)[0].accepted == 0
        del node.script["eth_sendRawTransaction"]
        await follow(node, executor, 4)
        assert told.of(TransactionIncluded)[0].command_id == 1
        assert len(set(node.sent)) == 1


@pytest.mark.parametrize("lie", ["nonce too low", "invalid sender", "exceeds block gas limit"])
async def test_a_lying_route_never_frees_a_nonce(node, tmp_path, lie):
    async with running(node, tmp_path / "ledger") as (executor, told):
        node.script["eth_sendRawTransaction"] = lambda _: RpcError("node", -32000, lie)
        executor.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        executor.submit([command(node, 2)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        assert [each.nonce for each in told.of(CommandCommitted)] == [0, 1]


async def test_underpriced_is_repriced_once_within_the_budget(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        raws = []
        node.script["eth_sendRawTransaction"] = lambda params: (
            raws.append(read(bytes.fromhex(params[0][2:])))
            or RpcError("node", -32000, "transaction underpriced")
        )
        executor.submit([command(node, 1)])
        await told.until(lambda: len(raws) == 2)
        await asyncio.sleep(0.02)
        first, second = raws
        assert len(raws) == 2
        assert (first.nonce, second.nonce) == (0, 0)
        assert second.tip * 8 >= first.tip * 9
        assert second.cap * 8 >= first.cap * 9
        assert second.cap * second.gas <= 10**17


async def test_out_of_funds_starves_the_lane_and_the_bytes_stay(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        node.script["eth_sendRawTransaction"] = lambda _: RpcError(
            "node", -32003, "Insufficient funds for gas * price + value"
        )
        executor.submit([command(node, 1)])
        await told.until(lambda: told.of(LaneObserved)[-1].state == "STARVED")
        del node.script["eth_sendRawTransaction"]
        await follow(node, executor, 3)
        assert told.of(LaneObserved)[-1].state == "READY"
        assert len(told.of(TransactionIncluded)) == 1


async def test_row_31_a_ledger_that_cannot_be_written_sends_nothing_and_stays_read_only(
    node, tmp_path
):
    async with running(node, tmp_path / "ledger") as (executor, told):
        ledger = executor._ledger
        pages = await ledger._do(lambda: ledger._db.execute("PRAGMA page_count").fetchone()[0])
        await ledger._do(lambda: ledger._db.execute(f"PRAGMA max_page_count = {pages}").fetchall())
        executor.submit(
            [
                command(
                    node,
                    1,
                    call=type(command(node, 1).call)("0x" + "c0" * 20, "0x" + "00" * 30_000),
                )
            ]
        )
        assert await refused(told) == [(1, "ledger", "storage")]
        executor.submit([command(node, 2)])
        assert await refused(told, 2) == [(1, "ledger", "storage"), (2, "ledger", "read_only")]
        assert node.sent == []
        assert told.of(LaneObserved)[-1].state == "PAUSED"


async def test_more_commands_than_may_wait_are_refused_never_dropped(node, tmp_path):
    async with running(node, tmp_path / "ledger") as (executor, told):
        executor.submit([command(node, number) for number in range(1, 1_030)])
        outcomes = await refused(told, 6)
        full = [each for each in outcomes if each[2] == "queue_full"]
        assert [each[0] for each in full] == list(range(1_025, 1_030))


async def test_an_executor_without_a_lane_is_refused_at_once(node, tmp_path):
    with pytest.raises(ConfigError, match="name at least one key file"):
        async with running(node, tmp_path / "ledger", lanes=0):
            pass


async def test_observe_mode_refuses_every_command(node):
    events = []
    executor = ObservingExecutor()
    task = asyncio.create_task(executor.run(events.append))
    executor.submit([command(node, 1), command(node, 2)])
    await until(lambda: len(events) >= 2)
    task.cancel()
    assert [(each.stage, each.reason) for each in events] == [("observe", "observe_mode")] * 2


async def test_simulate_mode_tries_and_sends_nothing(node):
    node.reverts[f"0x{2:064x}"] = "0x01"
    events = []
    preflight = Preflight(node, lambda venue, data: f"{venue}:{data}", PreflightParameters())
    executor = SimulatingExecutor(preflight, LANE)
    task = asyncio.create_task(executor.run(events.append))
    executor.submit([command(node, 1), command(node, 2)])
    await until(lambda: len(events) >= 3)
    task.cancel()
    assert isinstance(events[0], PreflightPassed)
    assert [(e.command_id, e.stage, e.reason) for e in events[1:]] == [
        (1, "simulate", "would_send"),
        (2, "preflight", "venue:0x01"),
    ]
    assert node.sent == []
