"""A named endpoint that is kept connected, checked to be on our chain, and rated.

It owns one transport at a time and reconnects with a bounded, jitter-free backoff; whoever calls
while it is down gets EndpointUnreachable at once. It knows nothing of blocks: the follower tells it
whether heads come.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final

from keeper.chain import wire
from keeper.chain.http import RpcHttp
from keeper.chain.subscription import Subscription
from keeper.chain.transport import LIMITS, Request, Rpc, TransportLimits
from keeper.chain.websocket import RpcSocket
from keeper.domain.errors import (
    ChainMismatch,
    ConfigError,
    EndpointError,
    EndpointUnreachable,
    InvariantViolation,
    MalformedReply,
    RpcError,
)
from keeper.domain.units import NS_PER_MS, Hash
from keeper.ports import Clock


class EndpointState(Enum):
    """What an endpoint is good for now."""

    ALIVE = "alive"  # connected, on our chain, heads come
    LAGGING = "lagging"  # connected, on our chain, no head for too long
    UNREACHABLE = "unreachable"  # not connected, or not verified yet
    WRONG_CHAIN = "wrong_chain"  # another chain id or genesis: never used


class Signal(Enum):
    """What moves an endpoint from state to state."""

    VERIFIED = "verified"  # connected; chain id and genesis are ours
    MISMATCHED = "mismatched"  # connected; chain id or genesis is not ours
    LOST = "lost"  # the connection ended or could not be made
    HEAD = "head"  # a new head came
    STALLED = "stalled"  # no new head for too long


_S = EndpointState
# What is not in the table cannot happen, and raises InvariantViolation if it does.
TRANSITIONS: Final[dict[tuple[EndpointState, Signal], EndpointState]] = {
    (_S.UNREACHABLE, Signal.VERIFIED): _S.ALIVE,
    (_S.UNREACHABLE, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.UNREACHABLE, Signal.LOST): _S.UNREACHABLE,
    (_S.ALIVE, Signal.HEAD): _S.ALIVE,
    (_S.ALIVE, Signal.STALLED): _S.LAGGING,
    (_S.ALIVE, Signal.LOST): _S.UNREACHABLE,
    (_S.ALIVE, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.LAGGING, Signal.HEAD): _S.ALIVE,
    (_S.LAGGING, Signal.STALLED): _S.LAGGING,
    (_S.LAGGING, Signal.LOST): _S.UNREACHABLE,
    (_S.LAGGING, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.WRONG_CHAIN, Signal.VERIFIED): _S.ALIVE,
    (_S.WRONG_CHAIN, Signal.MISMATCHED): _S.WRONG_CHAIN,
    (_S.WRONG_CHAIN, Signal.LOST): _S.WRONG_CHAIN,
}


def next_state(state: EndpointState, signal: Signal) -> EndpointState:
    """Return the row of the table; raises InvariantViolation where there is none."""
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise InvariantViolation(f"endpoint {state.value} got {signal.value}") from None


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """One endpoint. `url` may hold a secret and is never printed; ws(s) or http(s)."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    url: str = field(repr=False)
    chain_id: int
    genesis_hash: Hash | None = None  # None: learned at the first connection, kept from then on
    connect_deadline_ms: int = 5_000
    probe_interval_ms: int = 15_000
    backoff_first_ms: int = 100
    backoff_max_ms: int = 5_000

    def __post_init__(self) -> None:
        if not self.url.startswith(("ws://", "wss://", "http://", "https://")):
            key = f"endpoint {self.name}.url"
            raise ConfigError(key, "(hidden)", "use a ws, wss, http or https URL")
        for key in ("connect_deadline_ms", "probe_interval_ms", "backoff_first_ms"):
            if getattr(self, key) <= 0:
                name = f"endpoint {self.name}.{key}"
                raise ConfigError(name, getattr(self, key), "use a positive number")


class Endpoint:
    """An `Rpc` (and, over WebSocket, a `Subscriber`) that `run` keeps connected.

    Plain attributes for telemetry: `state`, `connections` made, `failures` in a row, and
    `last_problem`, the reason the last connection ended.
    """

    def __init__(
        self, config: EndpointConfig, clock: Clock, limits: TransportLimits = LIMITS
    ) -> None:
        self.config = config
        self.state = EndpointState.UNREACHABLE
        self.connections = 0
        self.failures = 0
        self.last_problem = ""
        self._clock = clock
        self._limits = limits
        self._genesis = config.genesis_hash
        self._link: RpcSocket | RpcHttp | None = None
        self._up = asyncio.Event()

    @property
    def name(self) -> str:
        """Return the configured name."""
        return self.config.name

    async def run(self) -> None:
        """Connect, verify, watch and reconnect until cancelled; raises ChainMismatch."""
        while True:
            began_ns = self._clock.monotonic_ns()
            try:
                await self._serve()
            except EndpointError as error:
                self.last_problem = error.problem
            self._signal(Signal.LOST)
            self._count_failure(began_ns)
            await asyncio.sleep(self._backoff_s())

    async def up(self) -> None:
        """Wait until the endpoint is connected and verified."""
        await self._up.wait()

    def drop(self, problem: str) -> None:
        """Break the connection at once, because the caller found it useless."""
        if self._link is not None:
            self._link.abort(problem)
            self._release()

    def head_seen(self) -> None:
        """Note a new head: the endpoint is worth its connection."""
        if self._link is not None:
            self.failures = 0
            self._signal(Signal.HEAD)

    def head_late(self) -> None:
        """Note that no head came for too long."""
        if self._link is not None:
            self._signal(Signal.STALLED)

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        """See `Rpc.call`; EndpointUnreachable at once while not connected."""
        return await self._required().call(method, params, deadline_s=deadline_s)

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any | RpcError]:
        """See `Rpc.batch`; EndpointUnreachable at once while not connected."""
        return await self._required().batch(calls, deadline_s=deadline_s)

    async def subscribe(
        self, topic: str, *, deadline_s: float, capacity: int, lossy: bool
    ) -> Subscription:
        """See `Subscriber.subscribe`; ConfigError where the endpoint is HTTP."""
        link = self._required()
        if not isinstance(link, RpcSocket):
            key = f"endpoint {self.name}.url"
            raise ConfigError(key, "(hidden)", "only a ws or wss endpoint can be watched")
        return await link.subscribe(topic, deadline_s=deadline_s, capacity=capacity, lossy=lossy)

    def _required(self) -> RpcSocket | RpcHttp:
        if self._link is None:
            raise EndpointUnreachable(self.name, "not connected")
        return self._link

    def _open(self) -> RpcSocket | RpcHttp:
        if self.config.url.startswith("ws"):
            connect_s = self.config.connect_deadline_ms / 1000
            return RpcSocket(self.name, self.config.url, self._clock, self._limits, connect_s)
        return RpcHttp(self.name, self.config.url, self._limits)

    async def _serve(self) -> None:
        """Hold one connection for as long as it lasts; raises why it ended."""
        async with self._open() as link:
            await self._verify(link)
            self._signal(Signal.VERIFIED)
            self.connections += 1
            self._link = link
            self._up.set()
            try:
                raise await self._watch(link)
            finally:
                self._release()

    def _release(self) -> None:
        """Let nobody use or wait on the connection that ends."""
        self._link = None
        self._up.clear()

    async def _watch(self, link: RpcSocket | RpcHttp) -> EndpointUnreachable:
        """Wait for the end of the connection; meanwhile ask again which chain it is on."""
        while True:
            try:
                async with asyncio.timeout(self.config.probe_interval_ms / 1000):
                    return await link.closed()
            except TimeoutError:
                await self._verify(link)

    async def _verify(self, link: Rpc) -> None:
        """Compare chain id and genesis with ours; raises ChainMismatch or EndpointError."""
        calls = [("eth_chainId", []), ("eth_getBlockByNumber", ["0x0", False])]
        deadline_s = self.config.connect_deadline_ms / 1000
        chain, genesis = await link.batch(calls, deadline_s=deadline_s)
        for answer in (chain, genesis):
            if isinstance(answer, RpcError):
                raise answer
        chain_id = wire.quantity(self.name, chain, "chain id")
        self._compare("chain id", self.config.chain_id, chain_id)
        if not isinstance(genesis, dict):
            raise MalformedReply(self.name, "no genesis block")
        genesis_hash = wire.block_hash(self.name, genesis.get("hash"), "genesis hash")
        self._compare("genesis hash", self._genesis or genesis_hash, genesis_hash)
        self._genesis = genesis_hash

    def _compare(self, what: str, expected: object, actual: object) -> None:
        if expected != actual:
            self._signal(Signal.MISMATCHED)
            cure = "point the endpoint at the configured chain, or correct the configuration"
            raise ChainMismatch(f"{what} of endpoint {self.name}", expected, actual, cure)

    def _signal(self, signal: Signal) -> None:
        self.state = next_state(self.state, signal)

    def _count_failure(self, began_ns: int) -> None:
        lasted_ms = (self._clock.monotonic_ns() - began_ns) // NS_PER_MS
        # A connection that held for long was a good one: its end is the first failure of a new row.
        self.failures = 1 if lasted_ms > self.config.backoff_max_ms else self.failures + 1

    def _backoff_s(self) -> float:
        doublings = min(self.failures - 1, 16)
        backoff_ms = self.config.backoff_first_ms << doublings
        return min(backoff_ms, self.config.backoff_max_ms) / 1000
