"""Rows 18 to 21, 24 and 25 of the fault matrix: what nodes say to bytes, in the words of each.

Whatever is said, the slot and its bytes stay: only the chain frees a nonce. Where a guard can be
taken away, a row is tried without it too, and must fail then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.chain.link.http import RpcHttp
from keeper.chain.routes import routing as route_words
from keeper.chain.routes.book import RouteBook, RouteUnfit
from keeper.chain.routes.routing import PublicRoute
from keeper.chain.sending.sender import LaneExecutor
from keeper.domain.events import (
    CommandRefused,
    CommandSent,
    LaneObserved,
    TransactionDropped,
    TransactionIncluded,
)
from tests.integration.lane_world import FAST, SPEND_WEI, Told, counted, executor
from tests.integration.send_world import (
    GWEI,
    STILL,
    SendWorld,
    decided,
    fees,
    send_world,
    slots_of,
    submitted,
)
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.world.geth_pool import Pooled, PoolLimits, gapless
from tests.world.rpc_proxy import Call, Onward, Reply, Rule, rpc_proxy
from tests.world.rpc_rules import refusing


pytestmark = pytest.mark.node

SEND = "eth_sendRawTransaction"


@asynccontextmanager
async def sending(
    world: SendWorld, folder: Path, **changes: Any
) -> AsyncIterator[tuple[LaneExecutor, Told]]:
    """Run an executor whose bytes are not moved but by the fault, or as `changes` say."""
    settings = {"parameters": STILL} | changes
    async with executor(world, folder / "ledger", **settings) as (executing, told):
        yield executing, told


def saying_after(code: int, message: str) -> Rule:
    """Take the bytes, and say that they were not taken."""

    async def rule(call: Call, onward: Onward) -> Reply:
        reply = await onward(call)
        error = {"error": {"code": code, "message": message}}
        return error if call.method == SEND else reply

    return rule


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32000, "transaction underpriced"),
        (-32003, "replacement transaction underpriced"),
        (-32010, "FeeTooLow, MaxFeePerGas too low"),
    ],
)
async def test_row_18_underpriced_bytes_are_priced_anew_once_in_both_fields(
    tmp_path: Path, code: int, words: str, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        monkeypatch.setattr(route_words, "WORDS", ())
    async with send_world() as world:
        world.fault(refusing(SEND, code, words))
        async with sending(world, tmp_path) as (executing, told):
            await submitted(world, executing, told, 1)
            await world.blocks(executing, 2)
            offers = fees(world.sent)
            assert len(offers) == (2 if guarded else 1), "once, however often it is said"
            if guarded:
                (_, tip, cap), (_, more_tip, more_cap) = offers
                assert more_tip * 10 >= tip * 11
                assert more_cap * 10 >= cap * 11
            world.fault()
            await world.blocks(executing, 2)
            assert counted(world, 1) == 1
            (included,) = told.of(TransactionIncluded)
            assert included.transaction == slots_of(executing)[0].last.hash


async def test_row_18_a_price_beyond_the_spend_is_not_paid_and_the_bytes_stay(
    tmp_path: Path,
) -> None:
    async with send_world() as world:
        world.fault(refusing(SEND, -32000, "transaction underpriced"))
        async with sending(world, tmp_path) as (executing, told):
            # What it may spend pays the first offer and no eighth more.
            await submitted(world, executing, told, 1, spend_max_wei=100_000 * 2 * GWEI)
            await world.blocks(executing, 2)
            assert len(fees(world.sent)) == 1
            assert len(world.sent) >= 2, "still rebroadcast"
            (slot,) = slots_of(executing)
            assert slot.reserved_wei <= 100_000 * 2 * GWEI
            world.fault()
            await world.blocks(executing, 2)
            assert counted(world, 1) == 1


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32000, "already known"),
        (-32003, "transaction already imported"),
        (-32010, "AlreadyKnown"),
    ],
)
async def test_row_19_already_known_is_a_yes(
    tmp_path: Path, code: int, words: str, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        monkeypatch.setattr(route_words, "WORDS", ())
    async with send_world() as world, RpcHttp("node", world.url) as rpc:
        world.fault(saying_after(code, words))
        book = RouteBook([PublicRoute(rpc, PATIENCE_S)])
        async with sending(world, tmp_path, routes=book) as (executing, told):
            await submitted(world, executing, told, 1)
            assert [each.accepted for each in told.of(CommandSent)] == [int(guarded)]
            assert (book.scores["node"].success == 1.0) is guarded
            await world.block(executing)
            assert len(fees(world.sent)) == 1
            assert counted(world, 1) == 1


async def test_row_20_nonce_too_low_of_bytes_that_are_in_a_block_is_no_failure(
    tmp_path: Path,
) -> None:
    async with send_world() as world:
        # The bytes are taken and mined before the answer comes, which then can only be this.
        async def overtaken(call: Call, onward: Onward) -> Reply:
            reply = await onward(call)
            if call.method != SEND:
                return reply
            await world.ask("evm_mine")
            return {"error": {"code": -32000, "message": "nonce too low: next nonce 1, tx nonce 0"}}

        world.fault(overtaken)
        async with sending(world, tmp_path) as (executing, told):
            (committed,) = await submitted(world, executing, told, 1)
            assert [each.state for each in slots_of(executing)] == ["LIVE"]
            await world.follow(executing)
            (included,) = told.of(TransactionIncluded)
            assert included.transaction == committed.transaction
            assert len(fees(world.sent)) == 1
            assert counted(world, 1) == 1


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32000, "nonce too low: next nonce 9, tx nonce 0"),
        (-32003, "nonce too low"),
        (-32010, "OldNonce, Current nonce: 9, nonce of rejected tx: 0"),
        (-32602, "invalid transaction: fatal"),
    ],
)
async def test_row_20_lying_rpc_fatal_does_not_free_nonce(
    tmp_path: Path, code: int, words: str, guarded: bool
) -> None:
    async with send_world() as world:
        world.fault(refusing(SEND, code, words))
        async with sending(world, tmp_path) as (executing, told):
            first, second = await submitted(world, executing, told, 1, 2)
            assert (first.nonce, second.nonce) == (0, 1)
            if not guarded:
                # What some senders do: take the word for it, and let go of the bytes.
                for slot in slots_of(executing):
                    executing._dispatch.lanes[slot.lane]._live.pop(slot.nonce)
            await world.blocks(executing, 2)
            assert [each.state for each in slots_of(executing)] == ["LIVE", "LIVE"]
            assert len(fees(world.sent)) == 2, "the same bytes, whatever was said"
            assert told.of(LaneObserved)[-1].state == "READY"
            # One live action an account, also while a node calls the first one impossible.
            executing.submit([decided(world, 3, account=1)])
            await told.until(lambda: bool(told.of(CommandRefused)))
            assert told.of(CommandRefused)[0].reason == "live_action"
            world.fault()
            await world.blocks(executing, 3)
            assert [counted(world, account) for account in (1, 2)] == [int(guarded)] * 2


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        "nonce too high: address 0x00, tx: {tx} state: {state}",  # Arbitrum's sequencer
        "NonceGap, Future nonce. Expected nonce: {state}",  # Nethermind
    ],
)
async def test_row_21_a_node_without_a_queue_gets_the_bytes_again_when_it_is_their_turn(
    tmp_path: Path, words: str, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        rows = tuple(row for row in route_words.WORDS if row[1] != route_words.NONCE_TOO_HIGH)
        monkeypatch.setattr(route_words, "WORDS", rows)
    async with send_world() as world, RpcHttp("node", world.url) as rpc:
        # The lowest nonce is lost on its way: all that follow it are too high.
        world.fault(saying_lost_once(), gapless(world.rules.reach, words))
        book = RouteBook([PublicRoute(rpc, PATIENCE_S)])
        async with sending(world, tmp_path, routes=book) as (executing, told):
            every = await submitted(world, executing, told, 1, 2, 3)
            assert [each.accepted for each in told.of(CommandSent)] == [0, 0, 0]
            success = book.scores["node"].success
            assert (success > 0.7) is guarded, "it is no fault of the route's"
            for _ in range(6):
                await world.block(executing)
            assert [each.transaction for each in told.of(TransactionIncluded)] == [
                each.transaction for each in every
            ]
            assert len(fees(world.sent)) == 3
            assert [counted(world, account) for account in (1, 2, 3)] == [1, 1, 1]


def saying_lost_once() -> Rule:
    """Lose the first raw transaction, and say nothing telling."""
    return refusing(SEND, -32603, "internal error", times=1)


async def test_row_21_geth_queues_beyond_a_gap_and_so_do_we(tmp_path: Path) -> None:
    async with send_world() as world:
        world.fault(saying_lost_once())
        async with sending(world, tmp_path) as (executing, told):
            await submitted(world, executing, told, 1, 2, 3)
            await world.block(executing)
            assert counted(world, 2) == 0, "two are queued behind the gap"
            await world.blocks(executing, 2)
            assert [counted(world, account) for account in (1, 2, 3)] == [1, 1, 1]
            assert len(fees(world.sent)) == 3


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_24_a_full_pool_is_passed_by_over_another_route_with_the_same_bytes(
    tmp_path: Path, guarded: bool
) -> None:
    async with (
        send_world() as world,
        rpc_proxy(world.url) as full,
        RpcHttp("full", full.url) as first,
        RpcHttp("roomy", world.url) as second,
    ):
        full.rules = [refusing(SEND, -32000, "txpool is full")]
        book = RouteBook(
            [PublicRoute(first, PATIENCE_S), PublicRoute(second, PATIENCE_S)][: 2 if guarded else 1]
        )
        async with sending(world, tmp_path, routes=book) as (executing, told):
            (committed,) = await submitted(world, executing, told, 1)
            await world.blocks(executing, 3)
            included = [each.transaction for each in told.of(TransactionIncluded)]
            assert included == [committed.transaction] * guarded
            assert book.scores["full"].success == 1.0, "it is no fault of the route's"
            (slot,) = slots_of(executing)
            assert slot.state == ("INCLUDED" if guarded else "LIVE")


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_24_where_every_pool_is_full_the_tip_rises_within_the_cap(
    tmp_path: Path, guarded: bool
) -> None:
    # The pool holds two, and strangers offer 4 gwei for their places; others get into the blocks.
    follow = replace(FAST.follow, bump_blocks=1 if guarded else 10**9)
    parameters = replace(FAST, follow=follow)
    async with send_world(limits=PoolLimits(pool_max=2)) as world:
        crowd(world, 4 * GWEI)
        async with sending(world, tmp_path, parameters=parameters) as (executing, told):
            await submitted(world, executing, told, 1)
            for _ in range(8):
                await asyncio.to_thread(world.call, "eth_sendTransaction", outbidding(world))
                await world.block(executing, GWEI)
            assert counted(world, 1) == int(guarded)
            offers = fees(world.sent)
            assert all(cap * 100_000 <= SPEND_WEI for _, _, cap in offers)
            assert offers == sorted(offers)
            if not guarded:
                assert len(offers) <= 2
                assert len(world.sent) > 6, "the same bytes are still sent again"


def outbidding(world: SendWorld) -> dict[str, str]:
    """Return a stranger's transaction that pays more for its place than we do."""
    sender = world.call("eth_accounts")[0]
    fee = {"maxPriorityFeePerGas": hex(9 * GWEI), "maxFeePerGas": hex(90 * GWEI)}
    return {"from": sender, "to": sender, "gas": hex(21_000)} | fee


# Of no gas, so that senders without a balance can pay for it.
PLACE = Pooled("", "0x", "", 7, GWEI, 0, 0, 0)


def crowd(world: SendWorld, cap_wei: int) -> None:
    """Fill the pool with what strangers wait with: bytes that no block of the test takes."""
    pool = world.rules.pool
    for name in ("0x" + "aa" * 20, "0x" + "bb" * 20):
        pool.by_sender[name] = {7: replace(PLACE, sender=name, hash=name, cap=cap_wei)}


@pytest.mark.parametrize("guarded", [True, False])
async def test_row_25_a_fee_cap_of_one_node_is_told_once_and_passed_by_over_another(
    tmp_path: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        monkeypatch.setattr(RouteBook, "_complain", lambda *_: None)
    words = "tx fee (1.10 ether) exceeds the configured cap (1.00 ether)"
    async with (
        send_world() as world,
        rpc_proxy(world.url) as strict,
        RpcHttp("strict", strict.url) as first,
        RpcHttp("other", world.url) as second,
    ):
        strict.rules = [refusing(SEND, -32000, words)]
        told_of: list[tuple[str, Exception]] = []
        book = RouteBook(
            [PublicRoute(first, PATIENCE_S), PublicRoute(second, PATIENCE_S)],
            report=lambda what, error: told_of.append((what, error)),
        )
        async with sending(world, tmp_path, routes=book) as (executing, told):
            await submitted(world, executing, told, 1, 2)
            await world.blocks(executing, 2)
            assert [counted(world, account) for account in (1, 2)] == [1, 1]
            assert len(told_of) == int(guarded)
            for what, error in told_of:
                assert isinstance(error, RouteUnfit)
                assert (what, error.route, error.outcome) == ("route", "strict", "fee_capped")
                assert "txfeecap" in str(error)


async def test_row_25_gas_that_no_block_takes_is_told_and_its_nonce_taken_back(
    tmp_path: Path,
) -> None:
    told_of: list[Exception] = []
    async with send_world() as world, RpcHttp("node", world.url) as rpc:
        book = RouteBook(
            [PublicRoute(rpc, PATIENCE_S)], report=lambda _, error: told_of.append(error)
        )
        async with sending(world, tmp_path, routes=book) as (executing, told):
            # EIP-7825: 2^24 gas a transaction. anvil knows no such limit, the rules before it do.
            much = {"gas": 2**24 + 1, "blocks": 2, "tip_wei": 1}
            await submitted(world, executing, told, 1, **much)
            await submitted(world, executing, told, 2)
            for _ in range(8):
                await world.block(executing)
            (unfit,) = told_of
            assert isinstance(unfit, RouteUnfit)
            assert unfit.outcome == "gas_capped"
            dropped = [(each.command_id, each.reason) for each in told.of(TransactionDropped)]
            assert dropped == [(1, "cancelled")]
            assert [counted(world, account) for account in (1, 2)] == [0, 1]
            assert told.of(LaneObserved)[-1].slots_free == 16
