import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from keeper.chain.link.endpoints import Endpoint, EndpointConfig, EndpointState, Role
from keeper.domain.errors import ChainMismatch, ConfigError, EndpointUnreachable, RateLimited
from keeper.ports import Clock
from tests.unit.chain.lane_bench import CountingClock
from tests.unit.chain.scripted_node import (
    PATIENCE_S,
    HostClock,
    SocketSide,
    for_ever,
    scripted,
    serving,
    until,
)


GENESIS = "0x" + "12" * 32
ALIVE, LAGGING = EndpointState.ALIVE, EndpointState.LAGGING
PROBING, OUT_OF_SYNC = EndpointState.PROBING, EndpointState.OUT_OF_SYNC
UNREACHABLE, WRONG_CHAIN = EndpointState.UNREACHABLE, EndpointState.WRONG_CHAIN


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
async def running(
    settings: EndpointConfig, clock: Clock | None = None
) -> AsyncIterator[tuple[Endpoint, asyncio.Task[None]]]:
    endpoint = Endpoint(settings, clock or HostClock())
    task = asyncio.create_task(endpoint.run())
    try:
        yield endpoint, task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_frames_that_served_nobody_are_counted_over_connections() -> None:
    node = Node()
    async with scripted(node.script) as url, running(config(url)) as (endpoint, _):
        for connections in (1, 2):
            await asyncio.wait_for(endpoint.up(), PATIENCE_S)
            await node.connections[-1].say({"jsonrpc": "2.0", "id": 10**9, "result": "whose?"})
            await until(lambda wanted=connections: endpoint.unserved.late == wanted)
            await node.connections[-1].close()
            await until(lambda made=connections: endpoint.connections > made)


async def test_a_connected_and_verified_endpoint_answers() -> None:
    async with scripted(Node().script) as url, running(config(url)) as (endpoint, _):
        with pytest.raises(EndpointUnreachable, match="not connected"):
            await endpoint.call("early", [], deadline_s=PATIENCE_S)
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        assert endpoint.state is ALIVE
        assert await endpoint.call("eth_gasPrice", [], deadline_s=PATIENCE_S) == "eth_gasPrice"
        endpoint.head_late()
        assert endpoint.state is LAGGING
        endpoint.head_seen()
        assert endpoint.state is PROBING
        endpoint.head_seen()
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
            await asyncio.wait_for(task, PATIENCE_S)
        assert endpoint.state is WRONG_CHAIN


async def test_a_chain_that_changes_at_run_time_ends_the_run() -> None:
    node = Node()
    async with (
        scripted(node.script) as url,
        running(config(url, probe_interval_ms=20)) as (endpoint, task),
    ):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        node.chain = "0x5"
        with pytest.raises(ChainMismatch, match="expected 1, was 5"):
            await asyncio.wait_for(task, PATIENCE_S)


async def test_the_genesis_learned_at_first_holds_for_every_later_connection() -> None:
    node = Node()
    async with scripted(node.script) as url, running(config(url)) as (endpoint, task):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        node.genesis = {"hash": "0x" + "56" * 32}
        await node.connections[0].close()
        with pytest.raises(ChainMismatch, match="genesis"):
            await asyncio.wait_for(task, PATIENCE_S)


async def test_a_lost_connection_is_made_anew() -> None:
    node = Node()
    async with scripted(node.script) as url, running(config(url)) as (endpoint, _):
        for count in (1, 2, 3):
            await asyncio.wait_for(endpoint.up(), PATIENCE_S)
            assert endpoint.connections == count
            endpoint.head_seen()
            endpoint.drop("test")
            await until(lambda: endpoint.state is UNREACHABLE)
            assert endpoint.last_problem == "test"


async def test_the_backoff_doubles_to_its_bound_without_chance() -> None:
    async with scripted(for_ever) as url:
        pass
    settings, waits = config(url, backoff_first_ms=1, backoff_max_ms=8), list[float]()
    # By a clock that stands still no attempt lasts long, however busy the machine.
    async with running(settings, CountingClock()) as (endpoint, _):
        backoff_s = endpoint._backoff_s
        endpoint._backoff_s = lambda: waits.append(backoff_s()) or waits[-1]  # type: ignore[func-returns-value]
        await until(lambda: len(waits) >= 6)
    assert waits[:6] == [0.001, 0.002, 0.004, 0.008, 0.008, 0.008]


@pytest.mark.parametrize("genesis", [{"hash": "0x12"}, {"no": 1}, [], "words"])
async def test_a_node_that_answers_nonsense_is_unreachable_not_trusted(genesis: object) -> None:
    node = Node(genesis=genesis)
    async with scripted(node.script) as url, running(config(url)) as (endpoint, task):
        await until(lambda: endpoint.failures == 2)
        assert endpoint.state is UNREACHABLE
        assert not task.done()


async def test_an_endpoint_that_came_back_must_prove_itself() -> None:
    async with scripted(Node().script) as url, running(config(url)) as (endpoint, _):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        endpoint.drop("test")
        await until(lambda: endpoint.connections == 2)
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        assert endpoint.state is PROBING
        for good in (True, True, False, True, True):
            endpoint.probed(good=good)
            assert endpoint.state is PROBING
        endpoint.probed(good=True)
        assert endpoint.state is ALIVE


async def test_an_endpoint_behind_the_others_comes_back_by_their_word_alone() -> None:
    async with scripted(Node().script) as url, running(config(url)) as (endpoint, _):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        endpoint.behind()
        for _ in range(9):
            endpoint.head_seen()
        assert endpoint.state is OUT_OF_SYNC
        for _ in range(3):
            endpoint.probed(good=True)
        assert endpoint.state is ALIVE


async def test_an_endpoint_that_fails_every_other_probe_does_not_stay() -> None:
    async with scripted(Node().script) as url, running(config(url)) as (endpoint, _):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        for _ in range(9):
            endpoint.probed(good=False)
            endpoint.probed(good=True)
        assert endpoint.state is UNREACHABLE or not endpoint.connected
        await until(lambda: endpoint.last_problem == "too many probes failed")


async def test_an_endpoint_on_another_final_block_is_dropped_and_marked() -> None:
    async with scripted(Node().script) as url, running(config(url)) as (endpoint, task):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        endpoint.mismatched("another final block 9")
        assert endpoint.state is WRONG_CHAIN
        await until(lambda: endpoint.connections == 2)
        assert not task.done()


async def test_what_is_only_sent_to_need_not_serve_blocks() -> None:
    page = Page()
    page.answers = ["0x1"]
    async with serving(page.serve) as place:
        settings = config(f"http://{place}", roles=(Role.SEND,))
        async with running(settings) as (endpoint, _):
            await asyncio.wait_for(endpoint.up(), PATIENCE_S)
            assert endpoint.state is ALIVE


class Page:
    """A scripted node over HTTP; `answers` to a batch of the verification."""

    def __init__(self) -> None:
        self.answers: list[Any] = ["0x1", {"hash": GENESIS}]
        self.status = 200
        self.retry_after = "1"
        self.asked = 0

    async def serve(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.status != 200:
            return web.Response(status=self.status, headers={"Retry-After": self.retry_after})
        parts = await request.json()
        if isinstance(parts, dict):
            return web.json_response({"id": parts["id"], "result": "polled"})
        answers = zip(parts, self.answers, strict=True)
        return web.json_response([{"id": part["id"], "result": a} for part, a in answers])


async def test_an_http_endpoint_is_subscribed_to_in_silence_until_it_breaks() -> None:
    async with serving(Page().serve) as place, running(config(f"http://{place}")) as (endpoint, _):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        assert endpoint.polling
        topic = await endpoint.subscribe("newHeads", deadline_s=PATIENCE_S, capacity=1, lossy=True)
        getting = asyncio.create_task(topic.get())
        await asyncio.sleep(0.02)
        assert not getting.done()
        endpoint.drop("test")
        with pytest.raises(EndpointUnreachable, match="test"):
            await getting


async def test_polling_serves_while_there_is_no_socket_and_ends_when_it_is_back() -> None:
    node = Node()
    async with serving(Page().serve) as place, scripted(node.script) as url:
        settings = config(
            "ws://127.0.0.1:1",
            polling_url=f"http://{place}",
            socket_failures_max=2,
            probe_interval_ms=30,
        )
        async with running(settings) as (endpoint, _):
            await asyncio.wait_for(endpoint.up(), PATIENCE_S)
            assert endpoint.polling
            assert await endpoint.call("eth_any", [], deadline_s=PATIENCE_S) == "polled"
            object.__setattr__(endpoint.config, "url", url)  # as if the node served sockets again
            await until(lambda: endpoint.connected and not endpoint.polling)
            assert await endpoint.call("eth_any", [], deadline_s=PATIENCE_S) == "eth_any"


@pytest.mark.parametrize("rest_s", [1, 60])
async def test_a_rate_limit_at_the_door_is_waited_out(rest_s: int) -> None:
    page = Page()
    page.status, page.retry_after = 429, str(rest_s)
    async with serving(page.serve) as place, running(config(f"http://{place}")) as (endpoint, _):
        await until(lambda: endpoint.failures == 1)
        page.status = 200
        if rest_s == 1:
            await asyncio.wait_for(endpoint.up(), PATIENCE_S)
            return
        await asyncio.sleep(0.3)
        assert (page.asked, endpoint.connected) == (1, False)


async def test_a_rate_limit_holds_back_later_calls_but_no_sends() -> None:
    page = Page()
    async with serving(page.serve) as place, running(config(f"http://{place}")) as (endpoint, _):
        await asyncio.wait_for(endpoint.up(), PATIENCE_S)
        page.status, page.retry_after, asked = 429, "60", page.asked
        for _ in range(5):
            with pytest.raises(RateLimited):
                await endpoint.call("eth_getLogs", [], deadline_s=30)
        assert page.asked == asked + 1
        page.status = 200
        assert await endpoint.call("eth_sendRawTransaction", [], deadline_s=30) == "polled"


def test_the_url_is_never_printed() -> None:
    assert "secret" not in repr(config("wss://node.example/secret"))
    with pytest.raises(ConfigError) as raised:
        config("ftp://node.example/secret")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("key", ["connect_deadline_ms", "probe_interval_ms", "backoff_first_ms"])
def test_a_figure_that_is_not_positive_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        config("ws://127.0.0.1", **{key: 0})
