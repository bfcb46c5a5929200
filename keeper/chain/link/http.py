"""JSON-RPC over HTTP keep-alive: the same calls as the WebSocket, with silent subscriptions.

It knows nothing of what is asked. Redirects are refused (a body may hold signed bytes), and a
reply is read only up to the named limit.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import aiohttp

from keeper.chain.link import frames
from keeper.chain.link.subscription import Subscription
from keeper.chain.link.transport import (
    LIMITS,
    RETRY_AFTER_DEFAULT_S,
    Request,
    TransportLimits,
    raise_unanswered,
    rpc_error,
    settle,
)
from keeper.domain.errors import (
    DeadlineExceeded,
    EndpointError,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
    RpcError,
)


class RpcHttp:
    """An `Rpc` over HTTP; `async with` opens and closes its connections."""

    def __init__(self, name: str, url: str, limits: TransportLimits = LIMITS) -> None:
        self._name = name
        self._url = url
        self._limits = limits
        self._next_id = 1
        self._broken = asyncio.Event()
        self._problem = ""
        self._subscriptions: list[Subscription] = []

    @property
    def name(self) -> str:
        """Return the endpoint's configured name."""
        return self._name

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._limits.requests_max),
            headers={"Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.abort("closed by us")
        await self._session.close()

    def abort(self, problem: str) -> None:
        """Refuse every later call; `closed` returns."""
        if not self._broken.is_set():
            self._problem = problem
            self._broken.set()
            for subscription in self._subscriptions:
                subscription.end(EndpointUnreachable(self._name, problem))

    async def closed(self) -> EndpointUnreachable:
        """Wait until aborted, and return why: HTTP has no connection whose end could be seen."""
        await self._broken.wait()
        return EndpointUnreachable(self._name, self._problem)

    async def subscribe(
        self,
        topic: str,
        *,
        deadline_s: float,  # noqa: ARG002 - nothing is asked, so nothing can be late
        capacity: int,
        lossy: bool,
    ) -> Subscription:
        """Return a subscription that never delivers, and ends when aborted.

        Nothing can be pushed over HTTP. Whoever follows heads asks for the newest after a poll
        interval of silence anyway, so that silence is all that polling needs.
        """
        subscription = Subscription(self._name, topic, capacity, lossy=lossy)
        self._subscriptions.append(subscription)
        if self._broken.is_set():
            subscription.end(EndpointUnreachable(self._name, self._problem))
        return subscription

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        """See `Rpc.call`."""
        identifier = self._take_ids(1)
        body = frames.encode(identifier, method, params)
        (outcome,) = await self._exchange(body, [method], identifier, deadline_s)
        if isinstance(outcome, EndpointError):
            raise outcome
        return outcome

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any | RpcError]:
        """See `Rpc.batch`."""
        if not calls:
            return []
        first = self._take_ids(len(calls))
        body = frames.encode_batch([(first + i, *call) for i, call in enumerate(calls)])
        methods = [method for method, _ in calls]
        return raise_unanswered(await self._exchange(body, methods, first, deadline_s))

    def _take_ids(self, count: int) -> int:
        first = self._next_id
        self._next_id += count
        return first

    async def _exchange(
        self, body: bytes, methods: Sequence[str], first: int, deadline_s: float
    ) -> list[Any | EndpointError]:
        """Post one body and return the outcome of each of its calls, in order."""
        if self._broken.is_set():
            raise EndpointUnreachable(self._name, self._problem)
        try:
            async with asyncio.timeout(deadline_s):
                raw = await self._post(body)
        except TimeoutError:
            problem = f"{methods[0]}: no answer in {deadline_s} s"
            raise DeadlineExceeded(self._name, problem) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The class alone: aiohttp puts the URL, and with it a secret, into its messages.
            raise EndpointUnreachable(self._name, f"broke ({type(error).__name__})") from None
        frame = frames.parse(raw)
        if frame.unattributed:
            # Over HTTP the error can only be about this one request.
            raise rpc_error(self._name, frame.unattributed[0])
        replies = {item.id: item for item in frame.items if isinstance(item, frames.Reply)}
        outcomes: list[Any | EndpointError] = []
        for identifier, method in enumerate(methods, first):
            reply = replies.get(identifier)
            if reply is None:
                problem = frame.problems[0] if frame.problems else "no answer with its id"
                outcomes.append(MalformedReply(self._name, f"{method}: {problem}"))
            else:
                outcomes.append(settle(self._name, method, reply))
        return outcomes

    async def _post(self, body: bytes) -> bytes:
        async with self._session.post(
            self._url, data=body, allow_redirects=False, timeout=aiohttp.ClientTimeout()
        ) as response:
            if response.status == 429:
                raise RateLimited(self._name, _retry_after_s(response.headers.get("Retry-After")))
            raw = await self._read(response)
            # Some nodes answer a JSON-RPC error with 4xx or 5xx: the body then says more.
            if response.status != 200 and frames.parse(raw).problems:
                raise EndpointUnreachable(self._name, f"HTTP status {response.status}")
            return raw

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._limits.message_bytes_max:
                limit = self._limits.message_bytes_max
                raise MalformedReply(self._name, f"a reply of more than {limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def _retry_after_s(header: str | None) -> float:
    """Return the seconds asked for; a date or nonsense counts as the default."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 6:
        return RETRY_AFTER_DEFAULT_S
    return float(header)
