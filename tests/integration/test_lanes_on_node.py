"""Lanes, receipts, reorgs and recovery on a real node."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.chain.sending.sender import LaneExecutor
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    LaneObserved,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from tests.integration.keeper_process import wait_for
from tests.integration.lane_world import (
    COUNTER,
    Told,
    command,
    counted,
    executor,
    followed,
    mine,
    prepare,
    tell,
)


pytestmark = pytest.mark.node


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as running:
        yield running


async def settle(node: Node, executing: LaneExecutor, told: Told, count: int) -> None:
    """Mine until `count` commands are included."""
    for _ in range(20):
        await followed(node, executing)
        if len(told.of(TransactionIncluded)) >= count:
            return
    raise AssertionError(f"{len(told.of(TransactionIncluded))} of {count} included: {told.events}")


async def test_sixteen_breaches_of_one_block_land_in_the_next_from_one_lane(node, tmp_path):
    prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        commands = [command(node, number) for number in range(1, 17)]
        executing.submit(commands)
        await told.until(lambda: len(told.of(CommandSent)) == 16)
        number = mine(node, executing)
        await told.until(lambda: len(told.of(TransactionIncluded)) == 16)
        included = told.of(TransactionIncluded)
        assert {event.number for event in included} == {number}
        block = node.call("eth_getBlockByNumber", hex(number), False)
        by_hash = {event.transaction: event.command_id for event in told.of(CommandCommitted)}
        assert [by_hash[each] for each in block["transactions"]] == list(range(1, 17))
        assert [counted(node, account) for account in range(1, 17)] == [1] * 16


async def test_forty_commands_over_three_lanes_are_all_included_once(node, tmp_path):
    lanes = prepare(node, 3)
    async with executor(node, tmp_path / "ledger", lanes=3) as (executing, told):
        executing.submit([command(node, number) for number in range(1, 41)])
        await told.until(lambda: len(told.of(CommandSent)) == 40)
        await settle(node, executing, told, 40)
        assert [counted(node, account) for account in range(1, 41)] == [1] * 40
        assert {event.lane for event in told.of(CommandCommitted)} == set(lanes)


async def test_a_command_beyond_all_slots_is_refused_and_the_best_ranked_are_sent(node, tmp_path):
    prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        executing.submit([command(node, number) for number in range(1, 19)])
        await told.until(lambda: len(told.of(CommandRefused)) == 2)
        refused = told.of(CommandRefused)
        assert [(each.command_id, each.stage, each.reason) for each in refused] == [
            (17, "lane", "no_free_slot"),
            (18, "lane", "no_free_slot"),
        ]


async def test_a_command_that_reverts_in_the_trial_is_refused_with_the_venues_word(node, tmp_path):
    prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        executing.submit([command(node, 1), command(node, 2, fails=True), command(node, 3)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        (refused,) = told.of(CommandRefused)
        assert (refused.command_id, refused.stage) == (2, "preflight")
        assert refused.reason == "counter:0xdeadbeef"
        await settle(node, executing, told, 2)


async def test_a_transaction_that_fails_in_its_block_is_told_with_its_reason_and_cost(
    node, tmp_path
):
    (lane,) = prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        before = int(node.call("eth_getBalance", lane, "latest"), 16)
        executing.submit([command(node, 1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        # The world changes between the decision and the block: the contract now always reverts.
        node.call("anvil_setCode", COUNTER, "0x63deadbeef6000526004601cfd")
        mine(node, executing)
        await told.until(lambda: len(told.of(TransactionReverted)) == 1)
        (reverted,) = told.of(TransactionReverted)
        assert reverted.command_id == 1
        await told.until(lambda: told.of(LaneObserved)[-1].slots_free == 16)
        cost = before - told.of(LaneObserved)[-1].balance_wei
        assert cost == reverted.gas_used * reverted.price_wei > 0


async def test_dropped_bytes_are_rebroadcast_and_land_once(node, tmp_path):
    prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        executing.submit([command(node, 1), command(node, 2)])
        await told.until(lambda: len(told.of(CommandSent)) == 2)
        # The last first: a node drops with a transaction all that follow it.
        for event in reversed(told.of(CommandCommitted)):
            assert node.call("anvil_dropTransaction", event.transaction) == event.transaction
        await settle(node, executing, told, 2)
        assert {event.transaction for event in told.of(TransactionIncluded)} == {
            event.transaction for event in told.of(CommandCommitted)
        }
        assert [counted(node, 1), counted(node, 2)] == [1, 1]


async def test_a_reorg_orphans_and_the_same_bytes_are_included_again_exactly_once(node, tmp_path):
    prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        executing.submit([command(node, number) for number in range(1, 5)])
        await told.until(lambda: len(told.of(CommandSent)) == 4)
        await settle(node, executing, told, 4)
        node.call("anvil_reorg", 1, [])
        assert counted(node, 1) == 0
        tell(node, executing)
        await told.until(lambda: len(told.of(TransactionOrphaned)) == 4)
        await settle(node, executing, told, 8)
        included = told.of(TransactionIncluded)
        assert [each.transaction for each in included[:4]] == [
            each.transaction for each in included[4:]
        ]
        assert [counted(node, account) for account in range(1, 5)] == [1] * 4


async def test_a_silent_rewind_makes_included_slots_live_again(node, tmp_path):
    prepare(node, 2)
    async with executor(node, tmp_path / "ledger", lanes=2) as (executing, told):
        for first in (1, 5, 9):
            executing.submit([command(node, first + i) for i in range(4)])
            await told.until(lambda last=first: len(told.of(CommandSent)) == last + 3)
            await settle(node, executing, told, first + 3)
        node.call("anvil_rollback", 2)
        await settle(node, executing, told, 20)
        assert len(told.of(TransactionOrphaned)) == 8
        assert [counted(node, account) for account in range(1, 13)] == [1] * 12


async def test_a_node_restarted_from_an_older_state_ends_with_every_action_once(tmp_path):
    state = tmp_path / "state.json"
    options = NodeOptions(mining=False, state_file=state, state_interval_s=1)
    with Node(options) as node:
        prepare(node, 1)
        async with executor(node, tmp_path / "ledger") as (executing, told):
            executing.submit([command(node, 1)])
            await told.until(lambda: len(told.of(CommandSent)) == 1)
            await settle(node, executing, told, 1)
        await asyncio.to_thread(wait_for_dump, state)
        async with executor(node, tmp_path / "ledger") as (executing, told):
            executing.submit([command(node, number) for number in (2, 3)])
            await told.until(lambda: len(told.of(CommandSent)) == 2)
            await settle(node, executing, told, 2)
        node.kill()
        node.start()
        # The older state lacks what was included last, or all of it; the lanes must not care.
        async with executor(node, tmp_path / "ledger") as (executing, told):
            for _ in range(10):
                await followed(node, executing)
            assert [counted(node, account) for account in (1, 2, 3)] == [1, 1, 1]


def wait_for_dump(state: Path) -> None:
    began = state.stat().st_mtime if state.exists() else 0.0
    wait_for("a dump", lambda: state.exists() and state.stat().st_mtime > began)


async def test_a_base_fee_beyond_the_cap_is_answered_by_a_bump_that_lands(node, tmp_path):
    prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        executing.submit([command(node, 1, blocks=2)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        first = told.of(CommandCommitted)[0].transaction
        node.call("anvil_dropTransaction", first)
        node.call("anvil_setNextBlockBaseFeePerGas", hex(8 * 10**9))
        await settle(node, executing, told, 1)
        assert told.of(TransactionIncluded)[0].transaction != first
        assert counted(node, 1) == 1


async def test_a_slot_past_its_deadline_is_cancelled_and_its_command_dropped(node, tmp_path):
    (lane,) = prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        executing.submit([command(node, 1, blocks=1)])
        await told.until(lambda: len(told.of(CommandSent)) == 1)
        for _ in range(8):
            # Nobody mines the command: it is dropped before every block until it is cancelled.
            node.call("anvil_dropTransaction", told.of(CommandCommitted)[0].transaction)
            await followed(node, executing)
        assert len(told.of(TransactionDropped)) == 1
        assert told.of(TransactionDropped)[0].reason == "cancelled"
        assert counted(node, 1) == 0
        assert int(node.call("eth_getTransactionCount", lane, "latest"), 16) == 1


async def test_an_empty_lane_starves_and_works_again_when_funded(node, tmp_path):
    (lane,) = prepare(node, 1)
    async with executor(node, tmp_path / "ledger") as (executing, told):
        node.call("anvil_setBalance", lane, "0x0")
        executing.submit([command(node, 1)])
        await told.until(lambda: told.of(LaneObserved)[-1].state == "STARVED")
        node.call("anvil_setBalance", lane, hex(10**20))
        await settle(node, executing, told, 1)
        assert told.of(LaneObserved)[-1].state == "READY"


KILLS = [
    ("after_sign", 2),
    ("after_commit", 1),
    ("after_commit", 2),
    ("before_send", 3),
    ("after_send", 2),
    ("reconcile", 1),
]


async def test_kill9_at_named_points_acts_on_every_account_exactly_once(node, tmp_path):
    lanes = prepare(node, 2)
    ledger, accounts = tmp_path / "ledger", 0
    for number, (point, nth) in enumerate(KILLS):
        accounts += 4
        code = await asyncio.to_thread(live_and_die, node, ledger, accounts, (point, str(nth)))
        assert code == -signal.SIGKILL, f"{point}: ended with {code}, not by the knife"
        node.call("anvil_dropAllTransactions")
        node.call("evm_mine")
        if number % 2:
            node.call("anvil_reorg", 1 + number // 2, [])
    assert await asyncio.to_thread(live_and_die, node, ledger, accounts, ()) == 0
    assert [counted(node, account) for account in range(1, accounts + 1)] == [1] * accounts
    everything_on_chain_is_known(node, ledger, lanes)


def live_and_die(node: Node, ledger: Path, accounts: int, knife: tuple[str, ...]) -> int:
    """Run the keeper's process while blocks are mined; return its exit code."""
    words = [str(node.port), str(ledger), str(accounts), *knife]
    with subprocess.Popen([sys.executable, "-m", "tests.integration.lane_process", *words]) as run:
        for _ in range(600):  # a minute, far more than a life takes
            if run.poll() is not None:
                return run.returncode
            time.sleep(0.1)
            node.call("evm_mine")
        run.kill()
    raise AssertionError(f"the keeper did not end: {knife}")


def everything_on_chain_is_known(node: Node, file: Path, lanes: list[str]) -> None:
    """Every transaction of our lanes on the chain is an attempt of the ledger: no nonce strayed."""
    with closing(sqlite3.connect(file)) as db:
        # All that were ever signed: slots that are final are open no more.
        known = {row[0] for row in db.execute("SELECT hash FROM attempt")}
    head = int(node.call("eth_blockNumber"), 16)
    for number in range(1, head + 1):
        block = node.call("eth_getBlockByNumber", hex(number), True)
        for transaction in block["transactions"]:
            if transaction["from"] in lanes:
                assert transaction["hash"] in known, f"unknown bytes in block {number}"
