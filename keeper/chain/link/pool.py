"""All endpoints of one chain: kept up, held against one another, and handed out by role.

Whether anything may be sent is decided here and nowhere else (`refusal`): two endpoints that have
different blocks at one height, or none that is ALIVE, mean no. It knows heads and hashes, and
nothing of logs, lanes or what is sent.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from keeper.chain.link import wire
from keeper.chain.link.agreement import (
    Conflict,
    Finality,
    View,
    behind,
    common_height,
    conflict_at,
    known_at,
)
from keeper.chain.link.branch import Point
from keeper.chain.link.endpoints import Endpoint, EndpointConfig, Genesis, Role
from keeper.chain.link.hedge import HedgeConfig, HedgedRpc
from keeper.chain.link.rating import WATCH_ORDER, EndpointState
from keeper.chain.link.transport import LIMITS, Request, TransportLimits
from keeper.chain.link.watching import BestWatch
from keeper.domain.errors import (
    ChainMismatch,
    ConfigError,
    EndpointError,
    FinalityViolated,
    KeeperError,
    RpcError,
)
from keeper.domain.units import NS_PER_MS, Hash
from keeper.ports import Clock


Report = Callable[[str, KeeperError], None]

_FIT: Final = (EndpointState.ALIVE, EndpointState.PROBING)  # whose word counts


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """How endpoints are compared; all figures must be positive.

    `agreed_age_blocks_max` is how long, in block times, the last agreement lets us send.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    block_time_ms: int
    call_deadline_ms: int
    lag_blocks_max: int = 3
    stall_blocks: int = 3
    agreed_age_blocks_max: int = 5
    mismatch_retry_ms: int = 15_000

    def __post_init__(self) -> None:
        for key in self.__slots__:
            if key != "__pydantic_config__" and getattr(self, key) <= 0:
                raise ConfigError(f"pool.{key}", getattr(self, key), "use a positive number")


class EndpointPool:
    """The endpoints of a chain. `watch` and `reads` choose for themselves; `senders` are all.

    `run` keeps them up and compares them until cancelled; it raises ChainMismatch when a role has
    no endpoint on our chain left, FinalityViolated when all have left a block all had called final.
    """

    def __init__(
        self,
        endpoints: Sequence[EndpointConfig],
        config: PoolConfig,
        clock: Clock,
        report: Report | None = None,
        *,
        hedge: HedgeConfig | None = None,
        limits: TransportLimits = LIMITS,
    ) -> None:
        genesis = Genesis()
        self.endpoints = tuple(Endpoint(each, clock, limits, genesis) for each in endpoints)
        self.conflict: Conflict | None = None
        self.finality = Finality()
        self.rounds = 0
        self._config = config
        self._clock = clock
        self._report = report or (lambda _word, _error: None)
        self._judged = _with(self.endpoints, Role.WATCH, Role.READ)
        self._readers = _with(self.endpoints, Role.READ) or self._judged
        self._agreed_ns: int | None = None
        self._heads: dict[str, tuple[Hash, int]] = {}
        self._compared = asyncio.Event()
        self.senders = _with(self.endpoints, Role.SEND)
        self.watch = BestWatch("watch", _with(self.endpoints, Role.WATCH))
        self.reads = HedgedRpc("read", self.readers, hedge)
        names = [each.name for each in self.endpoints]
        if len(set(names)) < len(names) or not _with(self.endpoints, Role.WATCH):
            cure = "give each endpoint its own name, and one of them the role watch"
            raise ConfigError("chain.endpoints", names, cure)

    def readers(self) -> list[Endpoint]:
        """Return the connected endpoints to read from, best first; a lagging one comes last."""
        fit = [each for each in self._readers if each.connected and each.state in WATCH_ORDER]
        return sorted(fit, key=lambda each: WATCH_ORDER.index(each.state))

    def witnesses(self) -> list[Endpoint]:
        """Return who else can be asked about a block: all readers but the one that is followed."""
        return [each for each in self.readers() if each is not self.watch.picked]

    def refusal(self) -> str | None:
        """Return why nothing may be sent now, or None: ask before every signature.

        Silence is no agreement: without a recent round that found none in conflict, and an
        endpoint that is ALIVE, what we know may be stale, and we only watch.
        """
        if self.conflict is not None:
            return str(self.conflict)
        if not any(each.state is EndpointState.ALIVE for each in self._judged):
            return "no endpoint is alive"
        age_ms_max = self._config.agreed_age_blocks_max * self._config.block_time_ms
        now_ns = self._clock.monotonic_ns()
        if self._agreed_ns is None or now_ns - self._agreed_ns > age_ms_max * NS_PER_MS:
            return "the endpoints were not compared lately"
        return None

    async def up(self) -> None:
        """Wait until heads can be followed and state can be read, and both were compared once."""
        await self.watch.up()
        while not self.readers() or not self.rounds:
            self._compared.clear()
            await self._compared.wait()

    async def run(self) -> None:
        """Keep all endpoints up and compare them; see the class for what it raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in self.endpoints:
                    tasks.create_task(self._keep(each), name=f"endpoint {each.name}")
                tasks.create_task(self._compare_for_ever(), name="endpoints compared")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _keep(self, endpoint: Endpoint) -> None:
        """Keep one up. One on another chain is left alone for a while, and looked at again."""
        while True:
            try:
                await endpoint.run()
            except ChainMismatch as mismatch:
                self._report("endpoint", mismatch)
                for role in endpoint.config.roles:
                    fellows = _with(self.endpoints, role)
                    if all(each.state is EndpointState.WRONG_CHAIN for each in fellows):
                        raise
                await asyncio.sleep(self._config.mismatch_retry_ms / 1000)

    async def _compare_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await self.compare()
            # Twice a block time, so that a head is seen once at least in each.
            await asyncio.sleep(max(0.0, began_s + self._config.block_time_ms / 2000 - loop.time()))

    async def compare(self) -> None:
        """Ask all for head and final block, and judge; raises FinalityViolated."""
        numbers = self.finality.asked()
        asked = [each for each in self._judged if each.connected]
        answers = await asyncio.gather(*[self._look(each, numbers) for each in asked])
        views: list[View] = []
        hashes: dict[int, dict[str, Hash | None]] = {number: {} for number in numbers}
        for endpoint, answer in zip(asked, answers, strict=True):
            if answer is None:
                endpoint.probed(good=False)
                continue
            views.append(answer[0])
            for number, block in zip(numbers, answer[1], strict=True):
                hashes[number][endpoint.name] = block
        self._judge_finality(hashes)
        self._judge_lag(views)
        in_sync = self._in_sync(views)
        conflict = self.finality.judge(hashes) or await self._conflict(in_sync)
        self._conclude(conflict or self._unsettled(in_sync), in_sync)
        self.finality.propose(in_sync)
        self.watch.prefer_better()
        self.rounds += 1
        self._compared.set()

    def _conclude(self, conflict: Conflict | None, views: Sequence[View]) -> None:
        if conflict is not None and conflict != self.conflict:
            self._report("endpoints", EndpointError(conflict.one, str(conflict)))
        self.conflict = conflict
        if conflict is not None:
            self._agreed_ns = None  # what was agreed before is in doubt, too
        elif views:
            self._agreed_ns = self._clock.monotonic_ns()

    def _unsettled(self, views: Sequence[View]) -> Conflict | None:
        """Return the last conflict where one of its two is still there and said nothing now."""
        if self.conflict is None:
            return None
        heard = [view.endpoint for view in views]
        silent = [
            each
            for each in self._judged
            if each.name in (self.conflict.one, self.conflict.other)
            and each.connected
            and each.state in _FIT
            and each.name not in heard
        ]
        return self.conflict if silent else None

    async def _look(
        self, endpoint: Endpoint, numbers: Sequence[int]
    ) -> tuple[View, list[Hash | None]] | None:
        """Return an endpoint's view and its hashes at some numbers; None where it is no answer."""
        calls: list[Request] = [("eth_getBlockByNumber", [tag, False]) for tag in _TAGS]
        calls += [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        try:
            head, final, *rest = await endpoint.batch(
                calls, deadline_s=self._config.call_deadline_ms / 1000
            )
            if isinstance(head, RpcError):
                return None
            point = _point(endpoint.name, head)
            # Some chains have no final block: their endpoints say an error, or nothing.
            ends = None if final is None or isinstance(final, RpcError) else final
            view = View(endpoint.name, point, None if ends is None else _point(endpoint.name, ends))
            return view, [_hash(endpoint.name, raw) for raw in rest]
        except EndpointError as error:
            endpoint.last_problem = error.problem
            return None

    def _judge_finality(self, hashes: Mapping[int, Mapping[str, Hash | None]]) -> None:
        """Drop who left the confirmed final block; raises FinalityViolated where all did."""
        deserters = self.finality.deserters(hashes)
        confirmed = self.finality.confirmed
        if not deserters or confirmed is None:
            return
        said = hashes[confirmed.number]
        if len(deserters) == sum(block is not None for block in said.values()):
            raise FinalityViolated(confirmed.number, confirmed.hash, str(said[deserters[0]]))
        for endpoint in self._judged:
            if endpoint.name in deserters:
                problem = f"another final block {confirmed.number}"
                self._report("endpoint", EndpointError(endpoint.name, problem))
                endpoint.mismatched(problem)

    def _judge_lag(self, views: Sequence[View]) -> None:
        late = behind(views, self._config.lag_blocks_max)
        now_ns = self._clock.monotonic_ns()
        patience_ns = self._config.stall_blocks * self._config.block_time_ms * NS_PER_MS
        by_name = {view.endpoint: view for view in views}
        for endpoint in self._judged:
            view = by_name.get(endpoint.name)
            if view is None or not endpoint.connected:
                continue
            block, since_ns = self._heads.get(endpoint.name, ("", now_ns))
            if view.head.hash != block:
                self._heads[endpoint.name] = (view.head.hash, now_ns)
                endpoint.head_seen()
            elif now_ns - since_ns > patience_ns:
                endpoint.head_late()
            if endpoint.name in late:
                endpoint.behind()
            elif endpoint.state is not EndpointState.LAGGING:
                endpoint.probed(good=True)

    def _in_sync(self, views: Sequence[View]) -> list[View]:
        """Return the views of those whose word counts: connected, and not far behind."""
        names = [each.name for each in self._judged if each.connected and each.state in _FIT]
        return [view for view in views if view.endpoint in names]

    async def _conflict(self, views: Sequence[View]) -> Conflict | None:
        """Compare all at the highest block that all have."""
        if len(views) < 2:
            return None
        height = common_height(views)
        hashes: dict[str, Hash | None] = dict(known_at(views, height))
        ahead = [view.endpoint for view in views if view.endpoint not in hashes]
        others = [each for each in self._judged if each.name in ahead]
        answers = await asyncio.gather(*[self._look(each, [height]) for each in others])
        for endpoint, answer in zip(others, answers, strict=True):
            hashes[endpoint.name] = None if answer is None else answer[1][0]
        return conflict_at(height, hashes)


_TAGS: Final = ("latest", "finalized")


def _with(endpoints: Sequence[Endpoint], *roles: Role) -> tuple[Endpoint, ...]:
    return tuple(each for each in endpoints if any(role in each.config.roles for role in roles))


def _point(endpoint: str, raw: Any) -> Point:
    header = wire.header(endpoint, raw)
    return Point(header.number, header.hash)


def _hash(endpoint: str, raw: Any) -> Hash | None:
    if raw is None or isinstance(raw, RpcError):
        return None
    return _point(endpoint, raw).hash
