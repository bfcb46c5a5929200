"""The link to the chain on a real node: what is posted always adds up to the node's branch."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.devnet.chain.node import HOST, Node, NodeOptions
from keeper.chain.link.endpoints import EndpointState
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.chain.sealing.completeness import Watchlist
from keeper.chain.sealing.heads import HeadsConfig
from keeper.ports import CallFailed
from tests.integration.keeper_process import wait_for
from tests.integration.link_world import (
    BRISK,
    EMITTER,
    HEADS,
    REVERTER,
    REVERTER_CODE,
    EndpointLink,
    equip,
    linked,
    mine,
)
from tests.unit.chain.scripted_node import until
from tests.world.fault_proxy import FaultProxy, fault_proxy


pytestmark = pytest.mark.node


@pytest.fixture
def chain() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as node:
        equip(node)
        yield node


async def test_fifty_blocks_are_followed_with_all_their_logs(chain: Node) -> None:
    async with linked(chain) as link:
        for _ in range(50):
            await asyncio.to_thread(mine, chain)
        await link.caught_up(chain)
        assert len(link.branch) == 50
        assert all(len(logs) == 2 for _, logs in link.branch)
        assert link.events[-1].at_tip  # type: ignore[union-attr]
        assert link.follower.status.sessions == 1
        assert link.follower.blocks.doubts == 0


@pytest.mark.parametrize("depth", [1, 3, 8])
async def test_a_reorg_is_followed(chain: Node, depth: int) -> None:
    async with linked(chain) as link:
        await asyncio.to_thread(mine, chain, 10)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "anvil_reorg", depth, [])
        await link.caught_up(chain)
        await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        assert link.rewinds == [link.start + 10 - depth]
        assert len(link.branch) == 12


async def test_a_silent_rewind_with_new_blocks_is_followed(chain: Node) -> None:
    async with linked(chain) as link:
        await asyncio.to_thread(mine, chain, 6)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "anvil_rollback", 4)
        await asyncio.to_thread(mine, chain, 2, 1)
        await link.caught_up(chain)
        assert link.rewinds == [link.start + 2]


async def test_a_silent_rewind_alone_is_found_by_the_poll(chain: Node) -> None:
    async with linked(chain) as link:
        await asyncio.to_thread(mine, chain, 6)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "anvil_rollback", 3)
        await link.caught_up(chain)
        assert link.rewinds == [link.start + 3]


async def test_a_reverted_snapshot_is_a_silent_rewind_too(chain: Node) -> None:
    async with linked(chain) as link:
        await asyncio.to_thread(mine, chain, 2)
        snapshot = await asyncio.to_thread(chain.call, "evm_snapshot")
        await asyncio.to_thread(mine, chain, 3)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "evm_revert", snapshot)
        await asyncio.to_thread(mine, chain, 5, 1)
        await link.caught_up(chain)
        # The new branch is longer: only the parents tell that the old one is gone.
        assert link.rewinds == [link.start + 2]


async def test_a_node_killed_and_back_at_an_older_dump_is_followed(tmp_path: Path) -> None:
    state_file = tmp_path / "state.json"
    node = Node(NodeOptions(mining=False, state_file=state_file, state_interval_s=1))
    try:
        await asyncio.to_thread(node.start)
        await asyncio.to_thread(equip, node)
        async with linked(node) as link:
            await asyncio.to_thread(mine, node, 5)
            dump = await asyncio.to_thread(_dumped, node, state_file)
            await asyncio.to_thread(mine, node, 4)
            await link.caught_up(node)
            await asyncio.to_thread(node.kill)
            # Back to the dump of before, whether or not the node found time for another.
            state_file.write_bytes(dump)
            await until(lambda: link.endpoint.state is not EndpointState.ALIVE)
            await asyncio.to_thread(node.restart)
            await asyncio.to_thread(mine, node, 2, 1)
            await link.caught_up(node)
            assert link.rewinds
            assert link.endpoint.connections >= 2
    finally:
        await asyncio.to_thread(node.kill)


def _dumped(node: Node, path: Path) -> bytes:
    """Return a whole dump that holds the node's present head."""
    head = node.call("eth_blockNumber")

    def dumped() -> bytes:
        try:
            dump = path.read_bytes()
            return dump if json.loads(dump)["best_block_number"] == int(head, 16) else b""
        except (OSError, ValueError):
            return b""  # not there yet, or caught while it is written

    return wait_for("a dump of this head", dumped)


@asynccontextmanager
async def proxied(
    node: Node, heads: HeadsConfig = HEADS
) -> AsyncIterator[tuple[EndpointLink, FaultProxy]]:
    async with (
        fault_proxy(HOST, node.port) as proxy,
        linked(node, proxy.ws_url, heads=heads) as link,
    ):
        await asyncio.to_thread(mine, node, 2)
        await link.caught_up(node)
        yield link, proxy


async def test_after_a_half_open_socket_the_node_is_followed_on_a_new_one(chain: Node) -> None:
    async with proxied(chain, BRISK) as (link, proxy):
        made = proxy.connections
        proxy.freeze()
        await until(lambda: link.endpoint.state is not EndpointState.ALIVE)
        await asyncio.to_thread(mine, chain, 5)
        await link.caught_up(chain)
        assert proxy.connections > made


async def test_a_frozen_node_is_followed_again_once_it_thaws(chain: Node) -> None:
    async with proxied(chain, BRISK) as (link, proxy):
        proxy.freeze(new_ones_too=True)
        await asyncio.to_thread(mine, chain, 5)
        await until(lambda: link.endpoint.state is not EndpointState.ALIVE)
        proxy.thaw()
        await link.caught_up(chain)


@pytest.mark.parametrize("fault", ["close", "reset"])
async def test_a_broken_connection_is_made_anew_and_the_gap_filled(chain: Node, fault: str) -> None:
    async with proxied(chain) as (link, proxy):
        for _ in range(3):
            getattr(proxy, fault)()
            await asyncio.to_thread(mine, chain, 4)
            await link.caught_up(chain)
        assert link.endpoint.connections >= 2
        assert not link.rewinds


async def test_a_node_that_refuses_is_retried_until_it_accepts(chain: Node) -> None:
    async with proxied(chain) as (link, proxy):
        proxy.refusing = True
        proxy.reset()
        await asyncio.to_thread(mine, chain, 3)
        await until(lambda: link.endpoint.state is EndpointState.UNREACHABLE)
        proxy.refusing = False
        await link.caught_up(chain)


async def test_a_slow_connection_loses_nothing(chain: Node) -> None:
    async with proxied(chain) as (link, proxy):
        proxy.delay_s = 0.05
        await asyncio.to_thread(mine, chain, 20)
        await link.caught_up(chain)
        assert link.follower.status.sessions == 1


async def test_calls_at_a_block_hash_see_that_block_and_reverts_are_answers(chain: Node) -> None:
    async with RpcHttp("read", chain.url) as rpc:
        reader = NodeReader(rpc, ReaderConfig(batch_calls_max=3))
        header = await reader.header("latest")
        await asyncio.to_thread(mine, chain, 1)
        calls = [(EMITTER, "0x"), (REVERTER, "0x")] * 5
        answers = await reader.call_many(calls, header.hash, gas=1_000_000)
        assert answers == ["0x", CallFailed("0x12345678")] * 5
        assert await reader.code(REVERTER, header.hash) == REVERTER_CODE
        assert await reader.code("0x" + "77" * 20, header.hash) == "0x"


async def test_logs_of_a_range_are_all_there_and_the_bloom_knows_of_them(chain: Node) -> None:
    await asyncio.to_thread(mine, chain, 7)
    async with RpcHttp("read", chain.url) as rpc:
        reader = NodeReader(rpc, ReaderConfig(logs_range_blocks_max=2))
        last = (await reader.header("latest")).number
        found = await reader.logs([EMITTER], [f"0x{0x42:064x}"], 1, last)
        assert [(number, int(log.data, 16)) for number, _, log in found] == [
            (number, number) for number in range(1, last + 1) for _ in range(2)
        ]
        raw = await rpc.call("eth_getBlockByNumber", [hex(last), False], deadline_s=5)
        bloom = int(raw["logsBloom"], 16)
        assert Watchlist([EMITTER]).unheard(bloom, [])
        assert not Watchlist([REVERTER]).unheard(bloom, [])
