"""Rows 28 to 30 and 40 of the fault matrix: frames that are no frames, clocks, a blocked loop."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.devnet.chain.node import HOST, Node, NodeOptions
from keeper.chain.link.endpoints import EndpointState
from keeper.chain.link.skew import check_skew
from keeper.domain.errors import ChainMismatch
from keeper.domain.events import BlockSealed
from keeper.ports import Header
from keeper.runtime.clock import SystemClock
from tests.integration.link_world import BRISK, UNHURRIED, equip, linked, mine
from tests.world.fault_proxy import fault_proxy
from tests.world.rpc_proxy import rpc_proxy
from tests.world.rpc_rules import rewriting, truncating


pytestmark = pytest.mark.node


@pytest.fixture
def chain() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as node:
        equip(node)
        yield node


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
async def test_row_28_frames_cut_off_are_an_endpoint_fault_and_nothing_is_lost(
    chain: Node, keep: float
) -> None:
    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url, heads=BRISK) as link:
        proxy.mangle = truncating(every=4, keep=keep)
        for _ in range(10):
            await asyncio.to_thread(mine, chain)
            await asyncio.sleep(0.05)
        proxy.mangle = None
        await link.caught_up(chain)
        assert not link.rewinds


@pytest.mark.parametrize("odd", [None, 17, "0x", [], {"number": "0x1"}, "x" * 100_000])
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_getBlockByHash"])
async def test_row_28_answers_of_the_wrong_type_change_no_state(
    chain: Node, method: str, odd: object
) -> None:
    left = [4]

    def spoil(truth: Any) -> Any:
        left[0] -= 1
        return odd if left[0] >= 0 else truth

    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url) as link:
        proxy.rules = [rewriting(method, spoil)]
        await asyncio.to_thread(mine, chain, 3)
        await link.caught_up(chain)
        assert left[0] < 2


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_row_29_an_answer_over_the_limit_is_asked_for_in_parts(
    chain: Node, scheme: str
) -> None:
    limits = replace(UNHURRIED, message_bytes_max=300_000)
    async with fault_proxy(HOST, chain.port) as proxy:
        url = f"{scheme}://{HOST}:{proxy.port}"
        async with linked(chain, url, limits=limits) as link:
            await asyncio.to_thread(mine, chain, 1)
            await link.caught_up(chain)
            proxy.refusing = True
            proxy.reset()
            await asyncio.to_thread(mine, chain, 90, 8)
            proxy.refusing = False
            await link.caught_up(chain)
            assert link.follower.status.gap_blocks_filled == 89
            # 64 blocks at once are too much: over a socket that costs the connection.
            assert link.follower.status.sessions > 2 if scheme == "ws" else link.halvings
            assert link.endpoint.state is not EndpointState.UNREACHABLE


async def test_row_30_a_clock_far_from_the_chain_s_refuses_to_start() -> None:
    clock = SystemClock()
    now_s = clock.now_ns() // 10**9
    head = Header(1, "0x1", "0x0", now_s, 0, 0)
    for seconds in (-59, 0, 59):
        check_skew(clock, replace(head, timestamp=now_s + seconds), 60)
    for seconds in (-62, 3600):
        with pytest.raises(ChainMismatch, match="clock"):
            check_skew(clock, replace(head, timestamp=now_s + seconds), 60)


async def test_row_30_a_chain_whose_time_jumps_is_followed_all_the_same(chain: Node) -> None:
    async with linked(chain) as link:
        for shift in (3_600, -3_000, 5):
            now_s = int(time.time())
            await asyncio.to_thread(chain.call, "evm_setTime", now_s + shift)
            await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        times = [event.timestamp for event in link.events if isinstance(event, BlockSealed)]
        assert max(times) - min(times) > 3_000
        assert link.follower.status.sessions == 1


async def test_row_40_a_blocked_loop_costs_time_and_no_state(chain: Node) -> None:
    async with linked(chain, heads=BRISK) as link:
        await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        for _ in range(3):
            await asyncio.to_thread(mine, chain, 2)
            time.sleep(2 * BRISK.block_time_ms / 1000)  # noqa: ASYNC251 - that is the fault
        await link.caught_up(chain)
        assert not link.rewinds
