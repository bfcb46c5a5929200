import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from keeper.chain.link.hedge import HedgeConfig, HedgedRpc
from keeper.chain.link.transport import Request
from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointUnreachable,
    InvariantViolation,
    RateLimited,
    RpcError,
)
from tests.simulation.virtual_loop import VirtualLoop


REVERT = RpcError("x", 3, "execution reverted", "0x12")
BEHIND = RpcError("x", -32000, "header not found")


class Node:
    """An Rpc that answers after a while with its own name, or fails."""

    def __init__(self, name: str, delay_s: float = 0.0, error: Exception | None = None) -> None:
        self.name = name
        self.asked = 0
        self.cancelled = 0
        self._delay_s = delay_s
        self._error = error

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        self.asked += 1
        try:
            await asyncio.sleep(self._delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error is not None:
            raise self._error
        return self.name

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any]:
        answers = []
        for method, params in calls:
            try:
                answers.append(await self.call(method, params, deadline_s=deadline_s))
            except RpcError as error:
                answers.append(error)
        return answers


def hedged(*nodes: Node, after_ms: int = 20) -> HedgedRpc:
    return HedgedRpc("read", lambda: nodes, HedgeConfig(hedge_after_ms=after_ms))


async def test_a_quick_first_endpoint_is_the_only_one_asked() -> None:
    one, two = Node("one"), Node("two")
    assert await hedged(one, two).call("eth_call", [], deadline_s=60) == "one"
    assert (one.asked, two.asked) == (1, 0)


async def test_a_slow_endpoint_is_overtaken_by_the_second_and_given_up() -> None:
    one, two = Node("one", delay_s=5), Node("two")
    rpc = hedged(one, two)
    assert await rpc.call("eth_call", [], deadline_s=60) == "two"
    assert (rpc.hedged, rpc.failed_over, one.cancelled) == (1, 0, 1)


def test_the_first_may_still_win_after_the_second_was_asked() -> None:
    async def race() -> None:
        one, two = Node("one", delay_s=0.05), Node("two", delay_s=5)
        assert await hedged(one, two).call("eth_call", [], deadline_s=60) == "one"
        assert two.cancelled == 1

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(race())


@pytest.mark.parametrize(
    "error", [EndpointUnreachable("x", "gone"), RateLimited("x", 9), BEHIND], ids=str
)
async def test_what_is_no_answer_leads_to_the_next_endpoint_at_once(error: Exception) -> None:
    one, two = Node("one", error=error), Node("two")
    rpc = hedged(one, two, after_ms=10_000)
    assert await rpc.call("eth_call", [], deadline_s=60) == "two"
    assert await rpc.batch([("eth_call", []), ("eth_call", [])], deadline_s=60) == ["two", "two"]
    assert rpc.failed_over == 2


async def test_a_revert_is_an_answer_and_nobody_else_is_asked() -> None:
    one, two = Node("one", error=REVERT), Node("two")
    rpc = hedged(one, two)
    with pytest.raises(RpcError, match="reverted"):
        await rpc.call("eth_call", [], deadline_s=60)
    assert await rpc.batch([("eth_call", [])], deadline_s=60) == [REVERT]
    assert two.asked == 0


async def test_a_batch_that_nobody_has_whole_comes_back_as_values() -> None:
    gone = EndpointUnreachable("x", "gone")
    rpc = hedged(Node("one", error=BEHIND), Node("two", error=gone))
    assert await rpc.batch([("eth_call", [])], deadline_s=60) == [BEHIND]


async def test_when_all_fail_the_last_error_is_raised_and_silence_is_a_deadline() -> None:
    gone = EndpointUnreachable("x", "gone")
    with pytest.raises(EndpointUnreachable, match="gone"):
        await hedged(Node("one", error=BEHIND), Node("two", error=gone)).call(
            "m", [], deadline_s=60
        )
    with pytest.raises(DeadlineExceeded):
        await hedged(Node("one", delay_s=5), Node("two", delay_s=5)).call("m", [], deadline_s=0.1)
    with pytest.raises(EndpointUnreachable, match="no endpoint"):
        await hedged().call("m", [], deadline_s=60)


async def test_at_most_the_named_number_is_asked_and_signed_bytes_never_are() -> None:
    nodes = [Node(str(index), error=BEHIND) for index in range(5)]
    with pytest.raises(RpcError):
        await hedged(*nodes).call("eth_call", [], deadline_s=60)
    assert [node.asked for node in nodes] == [1, 1, 1, 0, 0]
    with pytest.raises(InvariantViolation):
        await hedged(*nodes).call("eth_sendRawTransaction", ["0x"], deadline_s=60)
