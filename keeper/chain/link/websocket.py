"""JSON-RPC over one WebSocket connection, with subscriptions.

One reader task owns the incoming side: it matches answers to calls by id, so that concurrent
batches cannot cross, and registers a subscription in the very turn its reply is read, so that the
first notifications cannot be lost. It knows nothing of reconnecting: `endpoints` does.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp

from keeper.chain.link import frames
from keeper.chain.link.subscription import Arrival, Subscription
from keeper.chain.link.transport import (
    LIMITS,
    Request,
    TransportLimits,
    Unserved,
    raise_unanswered,
    settle,
)
from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointError,
    EndpointUnreachable,
    MalformedReply,
    RpcError,
)
from keeper.ports import Clock


_FRAMES_PER_TURN: Final = 32
CLOSE_S_MAX: Final = 2.0


class RpcSocket:
    """One WebSocket connection. Any number of tasks may call at once; ids keep them apart.

    `async with` opens it (EndpointUnreachable or DeadlineExceeded if it cannot) and ends it;
    inside, a reader task answers calls and fills subscriptions. Once broken it stays broken: every
    outstanding and later call raises EndpointUnreachable.
    """

    def __init__(
        self,
        name: str,
        url: str,
        clock: Clock,
        limits: TransportLimits = LIMITS,
        connect_s: float = 5.0,
        unserved: Unserved | None = None,
    ) -> None:
        self.unserved = unserved or Unserved()
        self._name = name
        self._url = url
        self._clock = clock
        self._limits = limits
        self._connect_s = connect_s
        self._next_id = 1
        self._slots = asyncio.Semaphore(limits.requests_max)
        self._waiting: dict[int, _Waiting] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._early: list[tuple[str, Arrival]] = []
        self._malformed_run = 0
        self._ended: EndpointUnreachable | None = None
        self._closed = asyncio.Event()

    @property
    def name(self) -> str:
        """Return the endpoint's configured name."""
        return self._name

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(self._connect_s):
                self._socket = await self._session.ws_connect(
                    self._url,
                    heartbeat=self._limits.heartbeat_s,
                    max_msg_size=self._limits.message_bytes_max,
                    timeout=aiohttp.ClientWSTimeout(ws_close=self._limits.close_s),
                )
        except TimeoutError:
            await self._session.close()
            problem = f"no connection in {self._connect_s} s"
            raise DeadlineExceeded(self._name, problem) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            await self._session.close()
            # The class alone: aiohttp puts the URL, and with it a secret, into its messages.
            problem = f"cannot connect ({type(error).__name__})"
            raise EndpointUnreachable(self._name, problem) from None
        except BaseException:
            await self._session.close()
            raise
        self._reader = asyncio.create_task(self._read(), name=f"rpc-reader:{self._name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.abort("closed by us")
        self._reader.cancel()
        try:
            await asyncio.wait([self._reader])
            # A peer that goes on talking would keep a polite goodbye waiting for ever.
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    await self._socket.close()
            if not self._reader.cancelled():
                self._reader.result()  # a bug in the reader must not end as a mere lost connection
        finally:
            await self._session.close()

    def abort(self, problem: str) -> None:
        """Break the connection at once: all outstanding calls and subscriptions end."""
        if self._ended is not None:
            return
        self._ended = EndpointUnreachable(self._name, problem)
        self._closed.set()
        for waiting in self._waiting.values():
            if not waiting.outcome.done():
                waiting.outcome.set_result(self._ended)
        self._waiting.clear()
        for subscription in self._subscriptions.values():
            subscription.end(self._ended)

    async def closed(self) -> EndpointUnreachable:
        """Wait for the connection to end, and return why it did."""
        await self._closed.wait()
        assert self._ended is not None
        return self._ended

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        """See `Rpc.call`."""
        (outcome,) = await self._exchange([(method, params)], deadline_s, None, batch=False)
        if isinstance(outcome, EndpointError):
            raise outcome
        return outcome

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any | RpcError]:
        """See `Rpc.batch`."""
        if not calls:
            return []
        return raise_unanswered(await self._exchange(calls, deadline_s, None, batch=True))

    async def subscribe(
        self, topic: str, *, deadline_s: float, capacity: int, lossy: bool
    ) -> Subscription:
        """See `Subscriber.subscribe`."""
        subscription = Subscription(self._name, "", capacity, lossy=lossy)
        calls = [("eth_subscribe", [topic])]
        (outcome,) = await self._exchange(calls, deadline_s, subscription, batch=False)
        if isinstance(outcome, EndpointError):
            raise outcome
        return subscription

    async def _exchange(
        self,
        calls: Sequence[Request],
        deadline_s: float,
        opens: Subscription | None,
        *,
        batch: bool,
    ) -> list[Any | EndpointError]:
        """Send one request and wait for the outcome of each of its calls."""
        first = self._next_id
        self._next_id += len(calls)
        ids = range(first, first + len(calls))
        requests = [(i, method, params) for i, (method, params) in zip(ids, calls, strict=True)]
        payload = frames.encode_batch(requests) if batch else frames.encode(*requests[0])
        try:
            async with asyncio.timeout(deadline_s), self._slots:
                if self._ended is not None:
                    raise self._ended
                futures = [self._expect(i, method, first, opens) for i, method, _ in requests]
                await self._send(payload)
                return [await future for future in futures]
        except TimeoutError:
            problem = f"{calls[0][0]}: no answer in {deadline_s} s"
            raise DeadlineExceeded(self._name, problem) from None
        finally:
            for identifier in ids:
                self._waiting.pop(identifier, None)

    def _expect(
        self, identifier: int, method: str, group: int, opens: Subscription | None
    ) -> asyncio.Future[Any | EndpointError]:
        future: asyncio.Future[Any | EndpointError] = asyncio.get_running_loop().create_future()
        self._waiting[identifier] = _Waiting(method, group, future, opens)
        return future

    async def _send(self, payload: bytes) -> None:
        try:
            await self._socket.send_str(payload.decode())
        except (aiohttp.ClientError, OSError) as error:
            self.abort(f"broke while sending ({type(error).__name__})")
            assert self._ended is not None
            raise self._ended from None

    async def _read(self) -> None:
        """Read until the connection ends, and then end everything that waits on it."""
        problem = "the reader stopped"
        count = 0
        try:
            while self._ended is None:
                message = await self._socket.receive()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    problem = _ending(message, self._socket)
                    break
                self._take(message.data)
                count += 1
                if count % _FRAMES_PER_TURN == 0:
                    # A flood of buffered frames must not hold the loop from everybody else.
                    await asyncio.sleep(0)
        finally:
            self.abort(problem)

    def _take(self, raw: bytes | str) -> None:
        frame = frames.parse(raw)
        received_ns = self._clock.monotonic_ns()
        groups: list[int] = []
        for item in frame.items:
            if isinstance(item, frames.Notification):
                self._notify(item, Arrival(received_ns, item.result))
            else:
                self._answer(item, groups)
        if frame.batch:
            self._end_groups(groups)
        if frame.unattributed:
            self._fail_outstanding(frame.unattributed[0])
        if frame.problems:
            self.unserved.malformed += 1
            self._malformed_run += 1
            if self._malformed_run >= self._limits.malformed_frames_max:
                self.abort(f"too many malformed frames, last: {frame.problems[0]}")
        else:
            self._malformed_run = 0

    def _answer(self, reply: frames.Reply, groups: list[int]) -> None:
        waiting = self._waiting.pop(reply.id, None)
        if waiting is None or waiting.outcome.done():
            self.unserved.late += 1
            return
        groups.append(waiting.group)
        outcome = settle(self._name, waiting.method, reply)
        if waiting.opens is not None and not isinstance(outcome, EndpointError):
            outcome = self._open(waiting.opens, outcome)
        waiting.outcome.set_result(outcome)

    def _open(self, subscription: Subscription, identifier: Any) -> Any | EndpointError:
        """Register here and now, in the reader: the next frame may be its first notification."""
        if not isinstance(identifier, str):
            return MalformedReply(self._name, "eth_subscribe: the id is not a string")
        subscription.identifier = identifier
        self._subscriptions[identifier] = subscription
        for owner, arrival in self._early:
            if owner == identifier:
                subscription.deliver(arrival)
        self._early = [early for early in self._early if early[0] != identifier]
        return identifier

    def _notify(self, item: frames.Notification, arrival: Arrival) -> None:
        subscription = self._subscriptions.get(item.subscription)
        if subscription is not None:
            subscription.deliver(arrival)
        elif len(self._early) < self._limits.early_notifications_max:
            self._early.append((item.subscription, arrival))
        else:
            self.unserved.unclaimed += 1

    def _end_groups(self, groups: Sequence[int]) -> None:
        """End what a batch's answer left out: the answer to a batch is one array (JSON-RPC 6)."""
        for identifier, waiting in list(self._waiting.items()):
            if waiting.group in groups:
                del self._waiting[identifier]
                problem = f"{waiting.method}: left out of the answer to its batch"
                waiting.outcome.set_result(MalformedReply(self._name, problem))

    def _fail_outstanding(self, fault: frames.Fault) -> None:
        """End all calls: the node could not read a request and cannot say which one."""
        problem = f"an error without an id: {fault.code} {fault.message[:256]}"
        for waiting in self._waiting.values():
            if not waiting.outcome.done():
                waiting.outcome.set_result(MalformedReply(self._name, problem))
        self._waiting.clear()


@dataclass(slots=True)
class _Waiting:
    """One call that is out: `group` is its request, so that a batch ends as a whole."""

    method: str
    group: int
    outcome: asyncio.Future[Any | EndpointError]
    opens: Subscription | None


def _ending(message: aiohttp.WSMessage, socket: aiohttp.ClientWebSocketResponse) -> str:
    """Say how a connection ended, without its URL."""
    if message.type is aiohttp.WSMsgType.ERROR:
        return f"broke ({type(message.data).__name__})"
    return f"closed by the other side (code {socket.close_code})"
