import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from keeper.chain.endpoints import (
    TRANSITIONS,
    Endpoint,
    EndpointConfig,
    EndpointState,
    Signal,
    next_state,
)
from keeper.domain.errors import (
    ChainMismatch,
    ConfigError,
    EndpointUnreachable,
    InvariantViolation,
)
from tests.unit.chain.scripted_node import HostClock, SocketSide, for_ever, scripted, until


GENESIS = "0x" + "12" * 32
ALIVE, LAGGING = EndpointState.ALIVE, EndpointState.LAGGING
UNREACHABLE, WRONG_CHAIN = EndpointState.UNREACHABLE, EndpointState.WRONG_CHAIN
ROWS = [
    (UNREACHABLE, Signal.VERIFIED, ALIVE),
    (UNREACHABLE, Signal.MISMATCHED, WRONG_CHAIN),
    (UNREACHABLE, Signal.LOST, UNREACHABLE),
    (UNREACHABLE, Signal.HEAD, None),
    (UNREACHABLE, Signal.STALLED, None),
    (ALIVE, Signal.VERIFIED, None),
    (ALIVE, Signal.MISMATCHED, WRONG_CHAIN),
    (ALIVE, Signal.LOST, UNREACHABLE),
    (ALIVE, Signal.HEAD, ALIVE),
    (ALIVE, Signal.STALLED, LAGGING),
    (LAGGING, Signal.VERIFIED, None),
    (LAGGING, Signal.MISMATCHED, WRONG_CHAIN),
    (LAGGING, Signal.LOST, UNREACHABLE),
    (LAGGING, Signal.HEAD, ALIVE),
    (LAGGING, Signal.STALLED, LAGGING),
    (WRONG_CHAIN, Signal.VERIFIED, ALIVE),
    (WRONG_CHAIN, Signal.MISMATCHED, WRONG_CHAIN),
    (WRONG_CHAIN, Signal.LOST, WRONG_CHAIN),
    (WRONG_CHAIN, Signal.HEAD, None),
    (WRONG_CHAIN, Signal.STALLED, None),
]


@pytest.mark.parametrize(("state", "signal", "expected"), ROWS)
def test_every_row_of_the_table(
    state: EndpointState, signal: Signal, expected: EndpointState | None
) -> None:
    if expected is None:
        with pytest.raises(InvariantViolation):
            next_state(state, signal)
    else:
        assert next_state(state, signal) is expected


def test_the_rows_above_are_all_there_are() -> None:
    assert {row[:2] for row in ROWS} == set(itertools.product(EndpointState, Signal))
    assert len(TRANSITIONS) == sum(1 for row in ROWS if row[2])


class Node:
    """A scripted node whose chain a test can change under way."""

    def __init__(self, chain: str = "0x1", genesis: object = None) -> None:
        self.chain = chain
        self.genesis = genesis if genesis is not None else {"hash": GENESIS}
        self.connections: list[SocketSide] = []

    async def script(self, node: SocketSide) -> None:
        self.connections.append(node)
        while not node.socket.closed:
            request = await node.heard()
            if isinstance(request, list):
                ids = [part["id"] for part in request]
                answers = zip(ids, [self.chain, self.genesis], strict=True)
                await node.say([{"id": i, "result": result} for i, result in answers])
            else:
                await node.answer(request, request["method"])


def config(url: str, **changes: Any) -> EndpointConfig:
    given: dict[str, Any] = {
        "name": "watch",
        "url": url,
        "chain_id": 1,
        "backoff_first_ms": 10,
    } | changes
    return EndpointConfig(**given)


@asynccontextmanager
async def running(settings: EndpointConfig) -> AsyncIterator[tuple[Endpoint, asyncio.Task[None]]]:
    endpoint = Endpoint(settings, HostClock())
    task = asyncio.create_task(endpoint.run())
    try:
        yield endpoint, task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_connected_and_verified_endpoint_answers() -> None:
    async with scripted(Node().script) as url, running(config(url)) as (endpoint, _):
        with pytest.raises(EndpointUnreachable, match="not connected"):
            await endpoint.call("early", [], deadline_s=5)
        await asyncio.wait_for(endpoint.up(), 5)
        assert endpoint.state is ALIVE
        assert await endpoint.call("eth_gasPrice", [], deadline_s=5) == "eth_gasPrice"
        endpoint.head_late()
        assert endpoint.state is LAGGING
        endpoint.head_seen()
        assert endpoint.state is ALIVE


@pytest.mark.parametrize(
    ("node", "what"),
    [(Node(chain="0x2"), "chain id"), (Node(genesis={"hash": "0x" + "34" * 32}), "genesis hash")],
)
async def test_another_chain_ends_the_run(node: Node, what: str) -> None:
    settings = {"genesis_hash": GENESIS}
    async with scripted(node.script) as url, running(config(url, **settings)) as (endpoint, task):
        with pytest.raises(ChainMismatch, match=what):
            await asyncio.wait_for(task, 5)
        assert endpoint.state is WRONG_CHAIN


async def test_a_chain_that_changes_at_run_time_ends_the_run() -> None:
    node = Node()
    async with (
        scripted(node.script) as url,
        running(config(url, probe_interval_ms=20)) as (endpoint, task),
    ):
        await asyncio.wait_for(endpoint.up(), 5)
        node.chain = "0x5"
        with pytest.raises(ChainMismatch, match="expected 1, was 5"):
            await asyncio.wait_for(task, 5)


async def test_the_genesis_learned_at_first_holds_for_every_later_connection() -> None:
    node = Node()
    async with scripted(node.script) as url, running(config(url)) as (endpoint, task):
        await asyncio.wait_for(endpoint.up(), 5)
        node.genesis = {"hash": "0x" + "56" * 32}
        await node.connections[0].close()
        with pytest.raises(ChainMismatch, match="genesis"):
            await asyncio.wait_for(task, 5)


async def test_a_lost_connection_is_made_anew() -> None:
    node = Node()
    async with scripted(node.script) as url, running(config(url)) as (endpoint, _):
        for count in (1, 2, 3):
            await asyncio.wait_for(endpoint.up(), 5)
            assert endpoint.connections == count
            endpoint.head_seen()
            endpoint.drop("test")
            await until(lambda: endpoint.state is not ALIVE)
            assert endpoint.state is UNREACHABLE
            assert endpoint.last_problem == "test"


async def test_the_backoff_doubles_to_its_bound_without_chance() -> None:
    async with scripted(for_ever) as url:
        pass
    settings = config(url, backoff_first_ms=1, backoff_max_ms=8)
    async with running(settings) as (endpoint, _):
        waits: list[float] = []
        while endpoint.failures < 6:
            await asyncio.sleep(0.001)
            if len(waits) < endpoint.failures:
                waits.append(endpoint._backoff_s())
    assert waits == [0.001, 0.002, 0.004, 0.008, 0.008, 0.008]


@pytest.mark.parametrize("genesis", [{"hash": "0x12"}, {"no": 1}, [], "words"])
async def test_a_node_that_answers_nonsense_is_unreachable_not_trusted(genesis: object) -> None:
    node = Node(genesis=genesis)
    async with scripted(node.script) as url, running(config(url)) as (endpoint, task):
        await until(lambda: endpoint.failures == 2)
        assert endpoint.state is UNREACHABLE
        assert not task.done()


async def test_an_http_endpoint_cannot_be_watched() -> None:
    endpoint = Endpoint(config("http://127.0.0.1:1"), HostClock())
    endpoint._link = endpoint._open()
    with pytest.raises(ConfigError, match="only a ws"):
        await endpoint.subscribe("newHeads", deadline_s=1, capacity=1, lossy=True)


def test_the_url_is_never_printed() -> None:
    assert "secret" not in repr(config("wss://node.example/secret"))
    with pytest.raises(ConfigError) as raised:
        config("ftp://node.example/secret")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("key", ["connect_deadline_ms", "probe_interval_ms", "backoff_first_ms"])
def test_a_figure_that_is_not_positive_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        config("ws://127.0.0.1", **{key: 0})
