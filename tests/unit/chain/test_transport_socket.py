import asyncio

import pytest

from keeper.chain.link import websocket
from keeper.chain.link.subscription import Subscription
from keeper.chain.link.transport import TransportLimits
from keeper.chain.link.websocket import RpcSocket
from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
    RpcError,
)
from tests.unit.chain.scripted_node import (
    PATIENCE_S,
    HostClock,
    SocketSide,
    dialogue,
    for_ever,
    scripted,
    until,
)


async def _head(socket: RpcSocket, *, capacity: int = 8, lossy: bool = True) -> Subscription:
    return await socket.subscribe("newHeads", deadline_s=PATIENCE_S, capacity=capacity, lossy=lossy)


async def test_answers_in_any_order_reach_their_callers() -> None:
    async def script(node: SocketSide) -> None:
        heard = [await node.heard() for _ in range(3)]
        for request in reversed(heard):
            await node.answer(request, request["method"])
        await for_ever(node)

    async with dialogue(script) as socket:
        methods = ["a", "b", "c"]
        calls = [socket.call(method, [], deadline_s=PATIENCE_S) for method in methods]
        assert await asyncio.gather(*calls) == methods


async def test_concurrent_batches_not_crossed() -> None:
    async def script(node: SocketSide) -> None:
        batches = [await node.heard(), await node.heard()]
        ids = [part["id"] for batch in batches for part in batch]
        assert len(set(ids)) == 4
        for batch in reversed(batches):
            answers = [{"id": part["id"], "result": part["params"][0]} for part in batch]
            await node.say(answers[::-1])
        await for_ever(node)

    async with dialogue(script) as socket:
        one = socket.batch([("m", ["a1"]), ("m", ["a2"])], deadline_s=PATIENCE_S)
        two = socket.batch([("m", ["b1"]), ("m", ["b2"])], deadline_s=PATIENCE_S)
        assert list(await asyncio.gather(one, two)) == [["a1", "a2"], ["b1", "b2"]]


async def test_an_error_in_a_batch_is_a_value_in_its_place() -> None:
    async def script(node: SocketSide) -> None:
        first, second = await node.heard()
        error = {"code": 3, "message": "execution reverted", "data": "0x12"}
        await node.say([{"id": second["id"], "result": 2}, {"id": first["id"], "error": error}])
        await for_ever(node)

    async with dialogue(script) as socket:
        failed, second = await socket.batch([("a", []), ("b", [])], deadline_s=PATIENCE_S)
        assert isinstance(failed, RpcError)
        assert (failed.code, failed.data, second) == (3, "0x12", 2)


async def test_a_batch_answered_in_part_fails_at_once() -> None:
    async def script(node: SocketSide) -> None:
        first, _ = await node.heard()
        error = {"code": -32600, "message": "batch too large"}
        await node.say([{"id": first["id"], "error": error}])
        await for_ever(node)

    async with dialogue(script) as socket:
        with pytest.raises(MalformedReply, match="left out"):
            await socket.batch([("a", []), ("b", [])], deadline_s=60)


async def test_an_rpc_error_carries_code_message_and_data_but_no_control_characters() -> None:
    async def script(node: SocketSide) -> None:
        request = await node.heard()
        error = {"code": 3, "message": "reverted: \x1b[31m\n", "data": "0xAA"}
        await node.say({"id": request["id"], "error": error})
        await for_ever(node)

    async with dialogue(script) as socket:
        with pytest.raises(RpcError) as raised:
            await socket.call("eth_call", [], deadline_s=PATIENCE_S)
        assert raised.value.message == "reverted: ?[31m?"
        assert raised.value.data == "0xaa"
        assert str(raised.value).startswith("watch: ")


async def test_no_answer_in_time_is_deadline_exceeded_and_a_late_answer_is_counted() -> None:
    late = asyncio.Event()

    async def script(node: SocketSide) -> None:
        request = await node.heard()
        await late.wait()
        await node.answer(request, "late")
        await node.answer(await node.heard(), "in time")
        await for_ever(node)

    async with dialogue(script) as socket:
        with pytest.raises(DeadlineExceeded):
            await socket.call("slow", [], deadline_s=0.05)
        late.set()
        assert await socket.call("quick", [], deadline_s=PATIENCE_S) == "in time"
        assert socket.unserved.late == 1


async def test_a_closed_socket_fails_every_outstanding_and_later_call() -> None:
    async def script(node: SocketSide) -> None:
        await node.heard()
        await node.heard()
        await node.close()

    async with dialogue(script) as socket:
        calls = [socket.call("a", [], deadline_s=60), socket.batch([("b", [])], deadline_s=60)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [EndpointUnreachable] * 2
        with pytest.raises(EndpointUnreachable):
            await socket.call("c", [], deadline_s=60)
        assert isinstance(await socket.closed(), EndpointUnreachable)


async def test_notifications_right_after_the_subscribe_reply_are_not_lost() -> None:
    async def script(node: SocketSide) -> None:
        request = await node.heard()
        await node.answer(request, "0x1")
        for number in range(6):
            await node.notify("0x1", number)
        await for_ever(node)

    async with dialogue(script) as socket:
        subscription = await _head(socket)
        assert [(await subscription.get()).result for _ in range(6)] == list(range(6))


async def test_notifications_before_the_subscribe_reply_are_not_lost() -> None:
    async def script(node: SocketSide) -> None:
        request = await node.heard()
        await node.notify("0x1", "early")
        await node.notify("0x2", "of another")
        await node.answer(request, "0x1")
        await node.notify("0x1", "later")
        await for_ever(node)

    async with dialogue(script) as socket:
        subscription = await _head(socket)
        assert [(await subscription.get()).result for _ in range(2)] == ["early", "later"]


async def test_a_lossy_subscription_drops_its_oldest_and_says_so() -> None:
    async def script(node: SocketSide) -> None:
        await node.answer(await node.heard(), "0x1")
        for number in range(10):
            await node.notify("0x1", number)
        await node.answer(await node.heard(), "done")
        await for_ever(node)

    async with dialogue(script) as socket:
        subscription = await _head(socket, capacity=3)
        assert await socket.call("sync", [], deadline_s=PATIENCE_S) == "done"
        assert [(await subscription.get()).result for _ in range(3)] == [7, 8, 9]
        assert subscription.dropped == 7


async def test_a_subscription_that_may_not_lose_ends_on_overflow_and_calls_go_on() -> None:
    async def script(node: SocketSide) -> None:
        await node.answer(await node.heard(), "0x1")
        for number in range(10):
            await node.notify("0x1", number)
        await node.answer(await node.heard(), "done")
        await for_ever(node)

    async with dialogue(script) as socket:
        subscription = await _head(socket, capacity=3, lossy=False)
        assert await socket.call("sync", [], deadline_s=PATIENCE_S) == "done"
        assert [(await subscription.get()).result for _ in range(3)] == [0, 1, 2]
        with pytest.raises(MalformedReply, match="resync"):
            await subscription.get()


async def test_a_subscription_ends_with_its_connection_after_what_is_queued() -> None:
    async def script(node: SocketSide) -> None:
        await node.answer(await node.heard(), "0x1")
        await node.notify("0x1", 1)
        await node.close()

    async with dialogue(script) as socket:
        subscription = await _head(socket)
        assert (await subscription.get()).result == 1
        with pytest.raises(EndpointUnreachable):
            await subscription.get()


@pytest.mark.parametrize(
    "frame",
    ["", "{", "[]", "[1]", "null", '{"id":99,"result":1}', '{"id":true}', '{"method":"x"}'],
)
async def test_a_stray_or_malformed_frame_harms_no_call(frame: str) -> None:
    async def script(node: SocketSide) -> None:
        request = await node.heard()
        await node.say(frame)
        await node.answer(request, "fine")
        await for_ever(node)

    async with dialogue(script) as socket:
        assert await socket.call("a", [], deadline_s=PATIENCE_S) == "fine"
        assert socket.unserved.malformed + socket.unserved.late == 1


async def test_an_error_without_an_id_ends_every_outstanding_call() -> None:
    async def script(node: SocketSide) -> None:
        await node.heard()
        await node.say({"id": None, "error": {"code": -32600, "message": "Invalid request"}})
        await for_ever(node)

    async with dialogue(script) as socket:
        with pytest.raises(MalformedReply, match="Invalid request"):
            await socket.call("a", [], deadline_s=60)


async def test_a_flood_of_malformed_frames_ends_the_connection() -> None:
    async def script(node: SocketSide) -> None:
        for _ in range(10):
            await node.say("nonsense")
        await for_ever(node)

    async with dialogue(script, TransportLimits(malformed_frames_max=10)) as socket:
        ended = await asyncio.wait_for(socket.closed(), PATIENCE_S)
        assert "malformed" in ended.problem


async def test_a_message_over_the_limit_ends_the_connection() -> None:
    async def script(node: SocketSide) -> None:
        request = await node.heard()
        await node.answer(request, "x" * 5000)
        await for_ever(node)

    async with dialogue(script, TransportLimits(message_bytes_max=4096)) as socket:
        with pytest.raises(EndpointUnreachable):
            await socket.call("a", [], deadline_s=PATIENCE_S)


async def test_a_message_of_several_megabytes_is_read() -> None:
    async def script(node: SocketSide) -> None:
        request = await node.heard()
        await node.answer(request, "x" * 5_000_000)
        await for_ever(node)

    async with dialogue(script) as socket:
        assert len(await socket.call("a", [], deadline_s=10)) == 5_000_000


async def test_a_rate_limit_is_told_from_an_error_and_from_too_many_results() -> None:
    async def script(node: SocketSide) -> None:
        for code, words in [(429, "slow down"), (-32005, "query returned more than 10000 results")]:
            request = await node.heard()
            await node.say({"id": request["id"], "error": {"code": code, "message": words}})
        await for_ever(node)

    async with dialogue(script) as socket:
        with pytest.raises(RateLimited):
            await socket.call("a", [], deadline_s=PATIENCE_S)
        with pytest.raises(RpcError, match="10000"):
            await socket.call("a", [], deadline_s=PATIENCE_S)


async def test_a_peer_that_never_answers_pings_is_noticed() -> None:
    # The node's side reads nothing, so that no pong is ever sent: a half-open connection.
    async with dialogue(for_ever, TransportLimits(heartbeat_s=0.2)) as socket:
        ended = await asyncio.wait_for(socket.closed(), PATIENCE_S)
        assert isinstance(ended, EndpointUnreachable)


async def test_no_connection_is_unreachable_and_never_tells_the_url() -> None:
    async with scripted(for_ever) as url:
        pass
    with pytest.raises(EndpointUnreachable) as raised:
        async with RpcSocket("watch", url + "/secret-key", HostClock()):
            pass
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)


async def test_cancelling_a_call_leaves_nothing_behind() -> None:
    async def script(node: SocketSide) -> None:
        await node.heard()
        request = await node.heard()
        await node.answer(request, "after")
        await for_ever(node)

    async with dialogue(script) as socket:
        task = asyncio.create_task(socket.call("a", [], deadline_s=60))
        await asyncio.sleep(0.05)
        task.cancel()
        assert await socket.call("b", [], deadline_s=PATIENCE_S) == "after"
        assert task.cancelled()
        assert not socket._waiting


async def test_at_most_the_named_number_of_requests_is_out() -> None:
    heard: list[str] = []

    async def script(node: SocketSide) -> None:
        while True:
            heard.append((await node.heard())["method"])

    async with dialogue(script, TransportLimits(requests_max=2)) as socket:
        calls = [
            asyncio.create_task(socket.call(str(i), [], deadline_s=PATIENCE_S)) for i in range(5)
        ]
        await until(lambda: len(heard) >= 2)
        await asyncio.sleep(0.05)
        assert heard == ["0", "1"]
        calls[0].cancel()  # one place is free again
        await until(lambda: len(heard) >= 3)
        assert heard == ["0", "1", "2"]
        for each in calls:
            each.cancel()
        await asyncio.wait(calls)


async def test_a_peer_that_goes_on_talking_cannot_keep_a_close_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def script(node: SocketSide) -> None:
        while True:  # never reads, so it never answers a goodbye
            await node.say({"method": "noise"})
            await asyncio.sleep(0.01)

    monkeypatch.setattr(websocket, "CLOSE_S_MAX", 0.2)
    # Without a bound of our own each message it sends begins the wait anew: for ever.
    async with (
        asyncio.timeout(30),
        scripted(script) as url,
        RpcSocket("watch", url, HostClock()),
    ):
        pass
