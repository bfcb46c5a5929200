"""Routes over real HTTP to a relay that checks every byte, and real bytes of a real lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from keeper.chain.link.http import RpcHttp
from keeper.chain.routes.book import RouteBook, RoutePolicy
from keeper.chain.routes.nodes import MevBlockerRoute
from keeper.chain.routes.relay import (
    BundleRoute,
    PrivateTransactionRoute,
    RelayClient,
    RelayIdentity,
)
from keeper.chain.routes.routing import Answer, broadcast, hash_of
from tests.unit.chain.lane_bench import CountingClock, attempt
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.world.relay import Manners, Relay, relay


IDENTITY = RelayIdentity(bytes(range(1, 33)))


@pytest.fixture
async def at() -> AsyncIterator[Relay]:
    async with relay() as running:
        running.head = 41
        yield running


@pytest.fixture
async def client(at: Relay) -> AsyncIterator[RelayClient]:
    async with RelayClient("relay", at.url, IDENTITY) as made:
        yield made


async def test_the_relay_takes_our_signature_and_knows_us_by_it(
    at: Relay, client: RelayClient
) -> None:
    raw = attempt().raw
    private = PrivateTransactionRoute(client, 5, PATIENCE_S)
    bundle = BundleRoute(client, PATIENCE_S)
    for route in (private, bundle):
        route.see(41)
        assert await route.send(raw) == Answer("accepted")
    assert [each.kind for each in at.taken] == ["private", "bundle"]
    assert {each.signer for each in at.taken} == {IDENTITY.address}
    assert at.refused == []
    assert len(at.due(42)) == 2
    assert at.due(46) == ["0x" + raw.hex()]
    assert at.due(47) == []


async def test_a_bundle_is_sent_again_for_each_block(at: Relay, client: RelayClient) -> None:
    route, raw = BundleRoute(client, PATIENCE_S), attempt().raw
    for head in (41, 42, 43):
        at.head = head
        route.see(head)
        assert await route.send(raw) == Answer("accepted")
    assert [each.first for each in at.taken] == [42, 43, 44]
    at.head = 99
    assert await route.send(raw) == Answer("refused", -32600)


@pytest.mark.parametrize(
    ("manners", "outcome"),
    [
        (Manners(reject="busy"), "refused"),
        (Manners(reject="busy", conformant=False), "refused"),
        (Manners(wrong_hash=True), "lied"),
        (Manners(garbage=b"<html>"), "no_answer"),
        (Manners(garbage=b"x" * 70_000), "no_answer"),
        (Manners(garbage=b"{}", status=429), "rate_limited"),
        (Manners(delay_s=3_600.0), "no_answer"),
    ],
)
async def test_a_relay_that_rejects_delays_or_lies_is_only_a_worse_route(
    at: Relay, client: RelayClient, manners: Manners, outcome: str
) -> None:
    at.manners = manners
    deadline_s = 0.2 if manners.delay_s else PATIENCE_S
    for route in (
        PrivateTransactionRoute(client, deadline_s=deadline_s),
        BundleRoute(client, deadline_s=deadline_s),
    ):
        route.see(41)
        assert (await route.send(attempt().raw)).outcome == outcome
        book = RouteBook([], [route])
        sent = await broadcast(book.choose(attempt()), attempt(), CountingClock())
        book.score(sent.deliveries)
        assert book.scores["relay"].success < 1.0


async def test_a_relay_that_is_gone_is_no_answer() -> None:
    async with relay() as gone:
        url = gone.url
    async with RelayClient("relay", url, IDENTITY) as client:
        answer = await PrivateTransactionRoute(client, deadline_s=1).send(attempt().raw)
    assert answer == Answer("no_answer")


async def test_a_relay_that_says_yes_and_forgets_is_overtaken_by_the_public(
    at: Relay, client: RelayClient
) -> None:
    # A lie nobody can see in the answer: only the policy's blocks help.
    at.manners = Manners(lie=True)
    shown: list[bytes] = []

    class Public:
        name = "public"

        async def send(self, raw: bytes) -> Answer:
            shown.append(raw)
            return Answer("accepted")

    private = PrivateTransactionRoute(client, deadline_s=PATIENCE_S)
    book = RouteBook([Public()], [private], RoutePolicy(public_after_blocks=2))
    for head in (41, 42, 43):
        book.see(head)
        sent = await broadcast(book.choose(attempt()), attempt(), CountingClock())
        assert sent.outcome == "accepted"
        assert bool(shown) == (head == 43)
    assert at.due(42) == []
    assert shown == [attempt().raw]


async def test_the_same_bytes_go_to_many_at_once_under_one_hash(
    at: Relay, client: RelayClient
) -> None:
    route = PrivateTransactionRoute(client, deadline_s=PATIENCE_S)
    second = await asyncio.gather(*(route.send(attempt().raw) for _ in range(3)))
    assert second == [Answer("accepted")] * 3
    assert {each.raws for each in at.taken} == {("0x" + attempt().raw.hex(),)}


async def test_a_redirect_is_not_followed_with_our_bytes(client: RelayClient, at: Relay) -> None:
    at.manners = Manners(garbage=b"", status=307)
    answer = await PrivateTransactionRoute(client).send(attempt().raw)
    assert answer == Answer("no_answer")
    assert len(at.requests) == 1


async def test_errors_name_the_route_and_hold_neither_url_nor_body(
    at: Relay, client: RelayClient
) -> None:
    at.manners = Manners(garbage=b"nonsense")
    with pytest.raises(Exception) as caught:
        await client.call("eth_sendBundle", {"txs": ["0xc0ffee"]}, PATIENCE_S)
    words = repr(caught.value) + str(caught.value)
    assert "relay" in words
    assert "c0ffee" not in words
    assert "127.0.0.1" not in words


async def test_a_blocker_over_http_is_held_to_the_hash() -> None:
    garbage = b'{"jsonrpc":"2.0","id":1,"result":"0x12"}'
    async with relay(Manners(garbage=garbage)) as other, RpcHttp("blocker", other.url) as rpc:
        assert await MevBlockerRoute(rpc, PATIENCE_S).send(attempt().raw) == Answer("lied")
    assert hash_of(attempt().raw) != "0x12"
