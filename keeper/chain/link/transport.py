"""JSON-RPC to one node over a WebSocket or over HTTP: our own thin client.

It knows bytes, ids and deadlines, and nothing of blocks, lanes or retries: every failure is raised
as the EndpointError that says what is known, and the caller decides. Errors carry the endpoint's
configured name and never its URL, which may hold a secret.

    Rpc          call and batch: all that most of the room needs
    Subscriber   an Rpc that can also subscribe

The transports are `RpcSocket` (in `websocket`: one connection, from `async with` to its end) and
`RpcHttp` (in `http`); an `Endpoint` (in `endpoints`) keeps one of them up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from keeper.chain.link import frames
from keeper.chain.link.subscription import Subscription
from keeper.domain.errors import EndpointError, MalformedReply, RateLimited, RpcError


Request = tuple[str, Sequence[Any]]  # (method, params)


class Rpc(Protocol):
    """Calls to one endpoint. `name` is its configured name."""

    @property
    def name(self) -> str:
        """Return the endpoint's configured name."""

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        """Return the result.

        Raises RpcError (the node's own error), DeadlineExceeded (outcome unknown),
        EndpointUnreachable (outcome unknown if it broke while the call was out), RateLimited and
        MalformedReply.
        """

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any | RpcError]:
        """Return each call's result, or its RpcError as a value, in the order asked.

        Raises what `call` raises, bar RpcError, when there is no answer to a part of the batch.
        """


class Subscriber(Rpc, Protocol):
    """An Rpc over a connection that can push."""

    async def subscribe(
        self, topic: str, *, deadline_s: float, capacity: int, lossy: bool
    ) -> Subscription:
        """Return a live subscription (`eth_subscribe`); raises as `call` does."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What a node may cost us; every limit of the transport by name."""

    heartbeat_s: float = 5.0
    message_bytes_max: int = 32 * 1024 * 1024
    requests_max: int = 256  # requests out at once; more wait, within their deadline
    early_notifications_max: int = 256  # kept while a subscribe reply is still on its way
    malformed_frames_max: int = 64  # in a row; then the connection is given up
    close_s: float = 0.25


LIMITS: Final = TransportLimits()


@dataclass(slots=True)
class Unserved:
    """How many frames of an endpoint nobody could be served with; it outlives its connections."""

    malformed: int = 0
    late: int = 0  # answers to calls that had ended, or that nobody made
    unclaimed: int = 0  # notifications of no subscription of ours, beyond the limit


RETRY_AFTER_DEFAULT_S: Final = 1.0


def rpc_error(endpoint: str, fault: frames.Fault) -> RpcError | RateLimited:
    """Return what the node's error object means to a caller.

    -32005 alone is ambiguous: some providers use it for "too many results" too, so it counts as a
    rate limit only when the words say so.
    """
    words = fault.message.lower()
    # A revert string is a stranger's text: control characters would break lines and terminals.
    message = "".join(c if c.isprintable() else "?" for c in fault.message[:256])
    limited = "too many requests" in words or "rate limit" in words or "per second" in words
    if fault.code == 429 or (limited and fault.data is None):
        return RateLimited(endpoint, RETRY_AFTER_DEFAULT_S)
    return RpcError(endpoint, fault.code, message, fault.data)


def settle(endpoint: str, method: str, reply: frames.Reply) -> Any | EndpointError:
    """Return the result of a reply, or the error it stands for, as a value."""
    if reply.fault is not None:
        return rpc_error(endpoint, reply.fault)
    if reply.problem is not None:
        return MalformedReply(endpoint, f"{method}: {reply.problem}")
    return reply.result


def raise_unanswered(outcomes: Sequence[Any | EndpointError]) -> list[Any | RpcError]:
    """Return the outcomes of a batch; raises the first that is no answer to its own call."""
    for outcome in outcomes:
        if isinstance(outcome, EndpointError) and not isinstance(outcome, RpcError):
            raise outcome
    return list(outcomes)
