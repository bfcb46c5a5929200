"""What the link demands of a node before it is believed: a time near ours, headers with a hash."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.chain.link.endpoints import EndpointState
from keeper.cli import main
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.link_world import HEADS, equip, linked, mine
from tests.unit.chain.scripted_node import until
from tests.world.rpc_proxy import rpc_proxy
from tests.world.rpc_rules import rewriting


pytestmark = pytest.mark.node

HASHED = replace(HEADS, header_hashes=True)


@pytest.fixture
def chain() -> Iterator[Node]:
    with Node(NodeOptions(mining=False)) as node:
        equip(node)
        yield node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def test_row_30_a_clock_far_from_the_chain_s_ends_check_and_start_with_66(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    document = rig.document(mode="observe")
    document["chain"]["clock_skew_s_max"] = 3_600
    head = rig.node.call("eth_getBlockByNumber", "latest", False)
    rig.node.call("evm_setNextBlockTimestamp", int(head["timestamp"], 16) + 10_000)
    rig.node.call("evm_mine")
    keeper = rig.process(document)
    assert main(["check", "-c", str(keeper.config)]) == 66
    assert "time of head" in capsys.readouterr().out
    assert keeper.start().exited() == 66
    assert "time of head" in keeper.tail()


def test_a_running_keeper_shows_its_link_by_configured_names_and_sees_no_forged_header(
    rig: Rig,
) -> None:
    rig.open_with("-100", rig.perp("10"))
    keeper = rig.keeper("observe")
    rig.play(keeper)
    text = keeper.metrics()
    assert 'keeper_endpoint_state{endpoint="watch",state="unreachable"} 0.0' in text
    assert "keeper_endpoints_wrong_chain 0.0" in text
    assert "keeper_headers_denied 0.0" in text
    assert "keeper_logs_refuted 0.0" in text
    assert "keeper_endpoint_connections" in text
    assert rig.node.ws_url not in text


async def test_headers_of_a_real_node_have_their_hash_also_after_a_reorg(chain: Node) -> None:
    async with linked(chain, heads=HASHED) as link:
        await asyncio.to_thread(mine, chain, 6)
        await link.caught_up(chain)
        await asyncio.to_thread(chain.call, "anvil_reorg", 3, [])
        await asyncio.to_thread(mine, chain, 2)
        await link.caught_up(chain)
        assert link.rewinds
        assert link.follower.status.sessions == 1
        assert link.follower.blocks.denied == 0


@pytest.mark.parametrize("field", ["timestamp", "logsBloom", "baseFeePerGas"])
async def test_a_forged_header_is_an_endpoint_fault_and_nothing_is_sealed_from_it(
    chain: Node, field: str
) -> None:
    left = [3]

    def forge(truth: Any) -> Any:
        left[0] -= 1
        return {**truth, field: "0x" + "1" * (len(truth[field]) - 2)} if left[0] >= 0 else truth

    async with rpc_proxy(chain.url) as proxy, linked(chain, proxy.ws_url, heads=HASHED) as link:
        proxy.rules = [rewriting("eth_getBlockByHash", forge)]
        await asyncio.to_thread(mine, chain, 2)
        await until(lambda: link.follower.blocks.denied > 0)
        await link.caught_up(chain)
        assert link.endpoint.state is not EndpointState.UNREACHABLE
        times = {event.timestamp for event in link.events}
        assert max(times) < 2**33
