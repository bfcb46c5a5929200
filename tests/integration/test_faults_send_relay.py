"""Row 26 of the fault matrix, and providers that fork: relays that reject, lie, dawdle or vanish.

The relay believes nothing and checks every byte (`tests.world.relay`); what is private goes public
only when the operator's policy says so. Where a guard can be taken away, a row is tried without it
too, and must fail then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from keeper.chain.link.http import RpcHttp
from keeper.chain.routes.book import RouteBook, RoutePolicy
from keeper.chain.routes.relay import (
    BundleRoute,
    PrivateTransactionRoute,
    RelayClient,
    RelayIdentity,
)
from keeper.chain.routes.routing import PublicRoute
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    TransactionDropped,
    TransactionIncluded,
)
from tests.integration.lane_world import counted, executor, prepare
from tests.integration.link_world import POOL, pool_linked
from tests.integration.send_world import (
    STILL,
    SendWorld,
    decided,
    fees,
    send_world,
    slots_of,
    submitted,
)
from tests.unit.chain.scripted_node import PATIENCE_S, until
from tests.world.geth_pool import read
from tests.world.relay import Manners, Relay, relay
from tests.world.twins import twins


pytestmark = pytest.mark.node

IDENTITY = RelayIdentity(bytes(range(1, 33)))
MANNERS = {
    "rejects": Manners(reject="bundle simulation failed"),
    "rejects without JSON-RPC": Manners(reject="no", conformant=False),
    "says yes and forgets": Manners(lie=True),
    "names other bytes": Manners(lie=True, wrong_hash=True),
    "talks nonsense": Manners(garbage=b"<html>502</html>", status=502),
    "is silent": Manners(delay_s=3_600.0),
}
BLAMED = {name for name in MANNERS if name != "says yes and forgets"}


class Private(NamedTuple):
    """A world whose lanes have a relay before the public pool."""

    world: SendWorld
    relay: Relay
    book: RouteBook


@asynccontextmanager
async def private(
    policy: RoutePolicy, *, bundle: bool = False, deadline_s: float = PATIENCE_S
) -> AsyncIterator[Private]:
    """Run a relay, and routes to it first and to the public pool by the policy."""
    async with (
        send_world() as world,
        relay() as at,
        RelayClient("relay", at.url, IDENTITY) as client,
        RpcHttp("public", world.url) as rpc,
    ):
        route = (
            BundleRoute(client, deadline_s)
            if bundle
            else PrivateTransactionRoute(client, 25, deadline_s)
        )
        yield Private(world, at, RouteBook([PublicRoute(rpc, PATIENCE_S)], [route], policy))


async def build(world: SendWorld, at: Relay) -> None:
    """Be a builder: give the node what the relay has for its next block."""
    at.head = int(await world.ask("eth_blockNumber"), 16)
    for raw in dict.fromkeys(at.due(at.head + 1)):
        await asyncio.to_thread(world.call, "eth_sendRawTransaction", raw)


@pytest.mark.parametrize("bundle", [True, False])
async def test_row_26_an_honest_relay_is_all_that_sees_the_bytes(
    tmp_path: Path, bundle: bool
) -> None:
    async with (
        private(RoutePolicy(), bundle=bundle) as (world, at, book),
        executor(world, tmp_path / "ledger", parameters=STILL, routes=book) as (executing, told),
    ):
        (committed,) = await submitted(world, executing, told, 1)
        assert {each.signer for each in at.taken} == {IDENTITY.address}
        await build(world, at)
        await world.block(executing)
        assert [each.transaction for each in told.of(TransactionIncluded)] == [
            committed.transaction
        ]
        assert not world.sent


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("bundle", [True, False])
@pytest.mark.parametrize("manners", MANNERS.values(), ids=MANNERS)
async def test_row_26_a_relay_that_fails_is_overtaken_in_public_after_the_policys_blocks(
    tmp_path: Path, manners: Manners, bundle: bool, guarded: bool
) -> None:
    policy = RoutePolicy(public_after_blocks=2, public_ever=guarded)
    deadline_s = 0.2 if manners.delay_s else PATIENCE_S
    async with (
        private(policy, bundle=bundle, deadline_s=deadline_s) as (world, at, book),
        executor(world, tmp_path / "ledger", parameters=STILL, routes=book) as (executing, told),
    ):
        at.manners = manners
        await submitted(world, executing, told, 1)
        for _ in range(2):
            await build(world, at)
            await world.block(executing)
            assert not world.sent or len(world.sent) == 1
        assert counted(world, 1) == 0
        for _ in range(2):
            await build(world, at)
            await world.block(executing)
        # One relay may be broken, never the keeper's word that each account is acted on once.
        assert counted(world, 1) == int(guarded)
        assert len(fees(world.sent)) == int(guarded), "the very bytes the relay had"
        blamed = manners in [MANNERS[name] for name in BLAMED]
        assert (book.scores["relay"].success < 1.0) is blamed
        assert book.scores["public"].success == 1.0


async def test_row_26_what_may_never_go_public_is_taken_back_after_its_deadline(
    tmp_path: Path,
) -> None:
    policy = RoutePolicy(public_ever=False)
    async with (
        private(policy) as (world, at, book),
        executor(world, tmp_path / "ledger", parameters=STILL, routes=book) as (executing, told),
    ):
        at.manners = Manners(lie=True)
        (committed,) = await submitted(world, executing, told, 1, blocks=2)
        for _ in range(8):
            await build(world, at)
            await world.block(executing)
        (dropped,) = told.of(TransactionDropped)
        assert (dropped.command_id, dropped.reason) == (1, "cancelled")
        assert counted(world, 1) == 0
        # The cancel alone was public: it has nothing to hide, and the lane goes on behind it.
        assert [read(raw).gas for raw in dict.fromkeys(world.sent)] == [21_000]
        assert int(world.call("eth_getTransactionCount", committed.lane, "latest"), 16) == 1
        assert [each.state for each in slots_of(executing)] == ["INCLUDED"]


@pytest.mark.parametrize("guarded", [True, False])
async def test_2_providers_fork_no_send_until_they_agree(tmp_path: Path, guarded: bool) -> None:
    with twins() as pair:
        for node in (pair.one, pair.other):
            await asyncio.to_thread(prepare, node, 0)
        urls = [pair.one.ws_url, pair.other.ws_url]
        await asyncio.to_thread(prepare, pair.one, 1)
        await asyncio.to_thread(prepare, pair.other, 1)
        await asyncio.to_thread(pair.meet)
        async with pool_linked(pair.one, urls, config=POOL) as link:
            await until(lambda: link.pool.refusal() is None)
            doubts = {"head_disagreement": lambda: link.pool.conflict is not None}
            async with executor(
                pair.one,
                tmp_path / "ledger",
                parameters=STILL,
                doubts=doubts if guarded else {},
            ) as (executing, told):
                await asyncio.to_thread(pair.part)
                await until(lambda: link.pool.conflict is not None)
                executing.submit([decided(pair.one, 1)])
                await told.until(lambda: bool(told.of(CommandRefused) or told.of(CommandSent)))
                pending = pair.one.call("txpool_status")["pending"]
                if not guarded:
                    assert pending == "0x1"
                    return
                assert pending == "0x0"
                refused = told.of(CommandRefused)[0]
                assert (refused.stage, refused.reason) == ("breaker", "head_disagreement")
                assert not told.of(CommandCommitted)
                await asyncio.to_thread(pair.meet)
                await until(lambda: link.pool.conflict is None)
                executing.submit([decided(pair.one, 2)])
                await told.until(lambda: bool(told.of(CommandSent)))
