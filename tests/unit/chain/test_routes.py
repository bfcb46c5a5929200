"""What routes say, and that no word of theirs is more than a word."""

import asyncio

import pytest

from keeper.chain.routes.routing import WORDS, Answer, PublicRoute, broadcast, classify, hash_of
from keeper.domain.errors import DeadlineExceeded, EndpointUnreachable, RateLimited, RpcError
from tests.unit.chain.fake_node import FakeNode
from tests.unit.chain.lane_bench import CountingClock, attempt
from tests.unit.chain.scripted_node import PATIENCE_S


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("already known", "known"),
        ("transaction already imported", "known"),
        ("nonce too low: next nonce 5, tx nonce 4", "nonce_too_low"),
        ("OldNonce", "nonce_too_low"),
        ("transaction underpriced", "underpriced"),
        ("replacement transaction underpriced", "underpriced"),
        ("max fee per gas less than block base fee", "underpriced"),
        ("Insufficient funds for gas * price + value", "insufficient_funds"),
        ("txpool is full", "pool_full"),
        ("tx fee (1.10 ether) exceeds the configured cap (1.00 ether)", "fee_capped"),
        ("something else", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_words_of_the_nodes_are_classified(message, outcome):
    assert classify(RpcError("node", -32000, message)) == Answer(outcome, -32000)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeadlineExceeded("node", "2 s"), "no_answer"),
        (EndpointUnreachable("node", "broke"), "no_answer"),
        (RateLimited("node", 1.0), "rate_limited"),
    ],
)
def test_no_answer_is_not_a_no(error, outcome):
    assert classify(error) == Answer(outcome)


def test_only_a_yes_and_a_known_count_as_accepted():
    outcomes = {outcome for _, outcome in WORDS} | {"accepted", "unknown", "no_answer"}
    assert {each for each in outcomes if Answer(each).accepted} == {"accepted", "known"}


class Said:
    """A route that gives one answer, after all routes have been asked."""

    def __init__(self, name: str, outcome: str, barrier: asyncio.Barrier) -> None:
        self.name = name
        self._outcome = outcome
        self._barrier = barrier

    async def send(self, raw: bytes) -> Answer:
        await self._barrier.wait()
        return Answer(self._outcome, None)


@pytest.mark.parametrize(
    ("outcomes", "outcome", "accepted"),
    [
        (["unknown", "accepted"], "accepted", 1),
        (["known", "accepted", "known"], "accepted", 3),
        (["no_answer", "nonce_too_low"], "nonce_too_low", 0),
        (["insufficient_funds", "underpriced"], "underpriced", 0),
        (["no_answer"], "no_answer", 0),
    ],
)
async def test_all_routes_are_asked_at_once_and_one_yes_is_a_yes(outcomes, outcome, accepted):
    barrier = asyncio.Barrier(len(outcomes))
    routes = [Said(f"route{i}", each, barrier) for i, each in enumerate(outcomes)]
    async with asyncio.timeout(PATIENCE_S):
        sent = await broadcast(routes, attempt(), CountingClock())
    assert (sent.outcome, sent.accepted) == (outcome, accepted)
    assert [each.outcome for each in sent.deliveries] == outcomes
    assert all(each.latency_us > 0 for each in sent.deliveries)


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (hash_of(b"\x02\xff"), "accepted"),
        (hash_of(b"\x02\xfe"), "lied"),
        (hash_of(b"\x02\xff").upper(), "lied"),
        (None, "lied"),
        ({}, "lied"),
    ],
)
async def test_a_node_is_given_the_bytes_as_hex_and_must_name_their_hash(told, outcome):
    node = FakeNode()
    given = []

    def take(params):
        given.append(params)
        return told

    node.script["eth_sendRawTransaction"] = take
    assert await PublicRoute(node).send(b"\x02\xff") == Answer(outcome)
    assert given == [["0x02ff"]]
