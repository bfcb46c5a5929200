"""A named endpoint that is kept connected, checked to be on our chain, and rated.

It owns one transport at a time and reconnects with a bounded, jitter-free backoff; whoever calls
while it is down gets EndpointUnreachable at once. It knows nothing of blocks: the follower tells it
whether heads come.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from keeper.chain.link import wire
from keeper.chain.link.budget import Budget, BudgetConfig
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.rating import TRANSITIONS, EndpointState, Signal, next_state
from keeper.chain.link.subscription import Subscription
from keeper.chain.link.transport import LIMITS, Request, Rpc, TransportLimits, Unserved
from keeper.chain.link.websocket import RpcSocket
from keeper.domain.errors import (
    ChainMismatch,
    ConfigError,
    EndpointError,
    EndpointUnreachable,
    MalformedReply,
    RateLimited,
    RpcError,
)
from keeper.domain.units import NS_PER_MS, Hash
from keeper.ports import Clock


# The table lives in its own file; this is where callers have always found it.
__all__ = [
    "TRANSITIONS",
    "Endpoint",
    "EndpointConfig",
    "EndpointState",
    "Genesis",
    "Role",
    "Signal",
    "next_state",
]


class Role(Enum):
    """What an endpoint is there for; one may have several."""

    WATCH = "watch"
    READ = "read"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """One endpoint. URLs may hold a secret and are never printed; ws(s) or http(s).

    `polling_url` (http or https) is used while the socket of `url` cannot be kept; it must be the
    same node's or provider's.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    url: str = field(repr=False)
    chain_id: int
    genesis_hash: Hash | None = None  # None: learned at the first connection, kept from then on
    connect_deadline_ms: int = 5_000
    probe_interval_ms: int = 15_000
    backoff_first_ms: int = 100
    backoff_max_ms: int = 5_000
    roles: tuple[Role, ...] = (Role.WATCH, Role.READ, Role.SEND)
    polling_url: str | None = field(default=None, repr=False)
    socket_failures_max: int = 3  # in a row; then the polling URL serves
    probes_stable_min: int = 3  # good probes or heads in a row after a failure, before it is ALIVE
    faults_max: int = 6  # a bad probe counts two, a good one takes one back; then it is dropped
    budget: BudgetConfig = field(default_factory=BudgetConfig)

    def __post_init__(self) -> None:
        if not self.url.startswith(("ws://", "wss://", "http://", "https://")):
            key = f"endpoint {self.name}.url"
            raise ConfigError(key, "(hidden)", "use a ws, wss, http or https URL")
        if self.polling_url is not None and not self.polling_url.startswith("http"):
            key = f"endpoint {self.name}.polling_url"
            raise ConfigError(key, "(hidden)", "use an http or https URL")
        for key in (
            "connect_deadline_ms",
            "probe_interval_ms",
            "backoff_first_ms",
            "socket_failures_max",
            "probes_stable_min",
            "faults_max",
        ):
            if getattr(self, key) <= 0:
                name = f"endpoint {self.name}.{key}"
                raise ConfigError(name, getattr(self, key), "use a positive number")


@dataclass(slots=True)
class Genesis:
    """Block 0 as configured, or as the first endpoint told it: shared by those of one chain."""

    hash: Hash | None = None


class Endpoint:
    """A `Subscriber` that `run` keeps connected; over HTTP its subscriptions are silent.

    Plain attributes for telemetry: `state`, `connections` made, `failures` in a row,
    `last_problem`, the reason the last connection ended, the `budget` with its counts, and the
    frames `unserved`.
    """

    def __init__(
        self,
        config: EndpointConfig,
        clock: Clock,
        limits: TransportLimits = LIMITS,
        genesis: Genesis | None = None,
    ) -> None:
        self.config = config
        self.state = EndpointState.UNREACHABLE
        self.connections = 0
        self.failures = 0
        self.last_problem = ""
        self.unserved = Unserved()
        self.budget = Budget(config.name, config.budget, clock)
        self._clock = clock
        self._limits = limits
        self._genesis = genesis or Genesis()
        self._genesis.hash = self._genesis.hash or config.genesis_hash
        self._link: RpcSocket | RpcHttp | None = None
        self._up = asyncio.Event()
        self._proofs = config.probes_stable_min  # nothing speaks against it before it first fails
        self._faults = 0
        self._rest_s = 0.0

    @property
    def connected(self) -> bool:
        """Whether calls go anywhere: connected and verified."""
        return self._link is not None

    @property
    def polling(self) -> bool:
        """Whether heads are polled for, because there is no socket."""
        return isinstance(self._link, RpcHttp)

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
                self._rest_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
            self._signal(Signal.LOST)
            self._proofs = 0
            self._faults = 0
            self._count_failure(began_ns)
            rest_s = min(self._rest_s, self.config.budget.pause_ms_max / 1000)
            await asyncio.sleep(max(rest_s, self._backoff_s()))

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
            self._prove()

    def head_late(self) -> None:
        """Note that no head came for too long."""
        self._disprove(Signal.STALLED)

    def behind(self) -> None:
        """Note that the other endpoints are too far ahead of it."""
        self._disprove(Signal.BEHIND)

    def probed(self, *, good: bool) -> None:
        """Count a probe that the others bear out, or one without a usable answer.

        Bad ones weigh double and are worked off one by one: an endpoint that answers every other
        time does not stay.
        """
        if self._link is None:
            return
        self._faults = max(0, self._faults - 1) if good else self._faults + 2
        if good:
            self._signal(Signal.CAUGHT_UP)
            self._prove()
            return
        self._proofs = 0
        if self._faults >= self.config.faults_max:
            self.drop("too many probes failed")

    def mismatched(self, problem: str) -> None:
        """Note that it is on another chain than the others: it is dropped, and checked anew."""
        if self._link is not None:
            self._signal(Signal.MISMATCHED)
            self.drop(problem)

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        """See `Rpc.call`; EndpointUnreachable at once while not connected."""
        link, methods = self._required(), [method]
        left_s = await self.budget.admit(methods, deadline_s)
        try:
            return await link.call(method, params, deadline_s=left_s)
        except RateLimited as error:
            self.budget.limited(methods, error)
            raise

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any | RpcError]:
        """See `Rpc.batch`; EndpointUnreachable at once while not connected."""
        link, methods = self._required(), [method for method, _ in calls]
        left_s = await self.budget.admit(methods, deadline_s)
        try:
            return await link.batch(calls, deadline_s=left_s)
        except RateLimited as error:
            self.budget.limited(methods, error)
            raise

    async def subscribe(
        self, topic: str, *, deadline_s: float, capacity: int, lossy: bool
    ) -> Subscription:
        """See `Subscriber.subscribe`; over HTTP it never delivers."""
        return await self._required().subscribe(
            topic, deadline_s=deadline_s, capacity=capacity, lossy=lossy
        )

    def _required(self) -> RpcSocket | RpcHttp:
        if self._link is None:
            raise EndpointUnreachable(self.name, "not connected")
        return self._link

    def _open(self) -> RpcSocket | RpcHttp:
        """Return the next connection to try: the socket, unless it failed too often to wait for."""
        polling_url = self.config.polling_url
        if not self.config.url.startswith("ws"):
            return RpcHttp(self.name, self.config.url, self._limits)
        if polling_url is not None and self.failures >= self.config.socket_failures_max:
            return RpcHttp(self.name, polling_url, self._limits)
        return self._socket()

    def _socket(self) -> RpcSocket:
        connect_s = self.config.connect_deadline_ms / 1000
        url, limits = self.config.url, self._limits
        return RpcSocket(self.name, url, self._clock, limits, connect_s, self.unserved)

    async def _serve(self) -> None:
        """Hold one connection for as long as it lasts; raises why it ended."""
        async with self._open() as link:
            await self._verify(link)
            self._signal(Signal.VERIFIED)
            self._prove(0)
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
                await self._look_for_socket(link)

    async def _look_for_socket(self, link: RpcSocket | RpcHttp) -> None:
        """While polling in its place, leave for the socket as soon as it can be had again."""
        if isinstance(link, RpcSocket) or not self.config.url.startswith("ws"):
            return
        try:
            async with self._socket() as socket:
                await self._verify(socket)
        except EndpointError as error:
            self.last_problem = error.problem
            return
        self.failures = 0
        link.abort("the socket is back")

    async def _verify(self, link: Rpc) -> None:
        """Compare chain id and genesis with ours; raises ChainMismatch or EndpointError.

        What is only sent to (a sequencer, a relay) need not serve blocks: its chain id must do.
        """
        calls: list[Request] = [("eth_chainId", [])]
        if self.config.roles != (Role.SEND,):
            calls.append(("eth_getBlockByNumber", ["0x0", False]))
        deadline_s = self.config.connect_deadline_ms / 1000
        chain, *blocks = await link.batch(calls, deadline_s=deadline_s)
        for answer in (chain, *blocks):
            if isinstance(answer, RpcError):
                raise answer
        chain_id = wire.quantity(self.name, chain, "chain id")
        self._compare("chain id", self.config.chain_id, chain_id)
        for genesis in blocks:
            if not isinstance(genesis, dict):
                raise MalformedReply(self.name, "no genesis block")
            genesis_hash = wire.block_hash(self.name, genesis.get("hash"), "genesis hash")
            self._compare("genesis hash", self._genesis.hash or genesis_hash, genesis_hash)
            self._genesis.hash = genesis_hash

    def _compare(self, what: str, expected: object, actual: object) -> None:
        if expected != actual:
            self._signal(Signal.MISMATCHED)
            cure = "point the endpoint at the configured chain, or correct the configuration"
            raise ChainMismatch(f"{what} of endpoint {self.name}", expected, actual, cure)

    def _signal(self, signal: Signal) -> None:
        self.state = next_state(self.state, signal)

    def _prove(self, proofs: int = 1) -> None:
        self._proofs += proofs
        proven = self._proofs >= self.config.probes_stable_min
        if proven and self.state is EndpointState.PROBING:
            self._signal(Signal.STABLE)

    def _disprove(self, signal: Signal) -> None:
        if self._link is not None:
            self._proofs = 0
            self._signal(signal)

    def _count_failure(self, began_ns: int) -> None:
        lasted_ms = (self._clock.monotonic_ns() - began_ns) // NS_PER_MS
        # A connection that held for long was a good one: its end is the first failure of a new row.
        self.failures = 1 if lasted_ms > self.config.backoff_max_ms else self.failures + 1

    def _backoff_s(self) -> float:
        doublings = min(self.failures - 1, 16)
        backoff_ms = self.config.backoff_first_ms << doublings
        return min(backoff_ms, self.config.backoff_max_ms) / 1000
