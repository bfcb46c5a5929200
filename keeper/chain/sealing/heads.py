"""The chain as an ordered stream of sealed blocks and rewinds.

Notifications are hints; the record is what the node answers by hash. Whatever happens to the
connection or to the chain, the events posted are such that folding them gives the branch the node
is on: every block stands on the tip before it, and a branch is left by `ChainRewound` only.
The follower knows addresses and nothing of what a log means.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, Protocol

from keeper.chain.link.branch import Branch, Point
from keeper.chain.link.transport import Rpc, Subscriber
from keeper.chain.sealing.arrivals import Arrivals, Head
from keeper.chain.sealing.blocks import BlockReader, FullBlock, Prefetch
from keeper.chain.sealing.completeness import Watchlist
from keeper.chain.sealing.path import Path, check_link
from keeper.chain.sealing.ranges import RangeReader
from keeper.domain.errors import (
    ConfigError,
    EndpointError,
    EndpointUnreachable,
    KeeperError,
    MalformedReply,
    RateLimited,
)
from keeper.domain.events import BlockSealed, ChainRewound
from keeper.domain.units import NS_PER_MS, Address, Hash
from keeper.ports import Clock, Header, Post


_VANISHED_TRIES: Final = 3
_VANISHED_WAIT_S: Final = 0.02
_STALL_DOUBLINGS_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class HeadsConfig:
    """How the chain is followed. All figures must be positive.

    `window_blocks` is how deep we can rewind (the undo window), `gap_blocks_max` how far behind we
    may be and still catch up block by block; beyond either, GapTooDeep. A branch that leaves ours
    at or below `finality_blocks` under the highest block sealed is FinalityViolated.
    `header_hashes`: a header that does not have its hash is a fault of the endpoint.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    block_time_ms: int
    poll_interval_ms: int
    call_deadline_ms: int
    stall_blocks: int = 3
    window_blocks: int = 128
    gap_blocks_max: int = 1024
    finality_blocks: int = 64
    heads_queued_max: int = 64
    blocks_fetched_max: int = 8
    range_blocks_max: int = 64  # blocks of a gap whose logs are asked for at once
    receipts_every_blocks: int = 64  # every so many blocks with logs are held against receipts
    retry_after_ms_max: int = 30_000
    header_hashes: bool = False

    def __post_init__(self) -> None:
        for key in self.__slots__:
            if key in ("__pydantic_config__", "header_hashes"):
                continue
            if getattr(self, key) <= 0:
                raise ConfigError(f"heads.{key}", getattr(self, key), "use a positive number")


class Watch(Subscriber, Protocol):
    """What the follower needs of an endpoint; `keeper.chain.link.endpoints.Endpoint` is one."""

    async def up(self) -> None:
        """Wait until connected and verified."""

    def drop(self, problem: str) -> None:
        """Break the connection, so that it is made anew."""

    def head_seen(self) -> None:
        """Note that a new head came."""

    def head_late(self) -> None:
        """Note that no head came for too long."""


@dataclass(slots=True)
class HeadsStatus:
    """What telemetry may read at any time; only the follower writes it."""

    number: int
    hash: Hash
    received_ns: int  # monotonic, of the newest head
    connected: bool = False
    sessions: int = 0
    gap_blocks_filled: int = 0
    rewinds: int = 0
    heads_polled: int = 0  # heads that a poll found and no notification told
    heads_vanished: int = 0  # heads the node no longer knew when we asked for them
    heads_dropped: int = 0
    heads_malformed: int = 0
    stalls: int = 0
    last_problem: str = ""


class _Session(NamedTuple):
    """What lasts as long as one connection."""

    arrivals: Arrivals
    prefetch: Prefetch
    post: Post


class HeadFollower:
    """A `Source` that follows one endpoint from a start block, usually the snapshot's.

    `run` raises GapTooDeep when only a new snapshot helps (take one, and make a new follower), and
    otherwise only FinalityViolated (the run must end) and what `post` raises; endpoint errors lead
    to a new connection. `witnesses` are asked where the followed endpoint's logs are in doubt.
    """

    def __init__(
        self,
        watch: Watch,
        clock: Clock,
        config: HeadsConfig,
        chain_id: int,
        start: Header,
        addresses: Iterable[Address],
        witnesses: Callable[[], Sequence[Rpc]] = tuple,
    ) -> None:
        self.status = HeadsStatus(start.number, start.hash, clock.monotonic_ns())
        self._watch = watch
        self._clock = clock
        self._config = config
        self._chain_id = chain_id
        tip = Point(start.number, start.hash)
        self._branch = Branch(tip, config.window_blocks, config.finality_blocks)
        deadline_s = config.call_deadline_ms / 1000
        self.blocks = BlockReader(
            watch,
            Watchlist(addresses),
            deadline_s,
            witnesses,
            config.receipts_every_blocks,
            hashed=config.header_hashes,
        )
        self.ranges = RangeReader(self.blocks)
        self._path = Path(watch.name, self.blocks, self._branch, config.gap_blocks_max)
        self._stalls_in_a_row = 0
        self._progress_ns = clock.monotonic_ns()
        self._short_since_ns: int | None = None

    async def run(self, post: Post) -> None:
        """Follow until cancelled; see the class for what it raises."""
        while True:
            await self._watch.up()
            self.status.connected = True
            self.status.sessions += 1
            try:
                await self._session(post)
            except RateLimited as error:
                self.status.last_problem = str(error)
                wait_s = min(error.retry_after_s, self._config.retry_after_ms_max / 1000)
                await asyncio.sleep(wait_s)
                self._watch.drop("subscribing anew after a rate limit")
            except EndpointError as error:
                self.status.last_problem = str(error)
                self._watch.drop(error.problem)
            finally:
                self.status.connected = False

    async def _session(self, post: Post) -> None:
        """Follow over one connection; raises EndpointError when it is of no more use."""
        self._progress_ns = self._clock.monotonic_ns()
        subscription = await self._watch.subscribe(
            "newHeads",
            deadline_s=self._config.call_deadline_ms / 1000,
            capacity=self._config.heads_queued_max,
            lossy=True,
        )
        arrivals = Arrivals(self._watch.name, self._config.heads_queued_max)
        failure: KeeperError | None = None
        async with asyncio.TaskGroup() as tasks:
            prefetch = Prefetch(tasks, self.blocks, self._config.blocks_fetched_max)
            pump = tasks.create_task(arrivals.pump(subscription, prefetch.start))
            try:
                await self._follow(_Session(arrivals, prefetch, post))
            except KeeperError as error:
                failure = error  # out of the group, so that it is not raised wrapped in one
            finally:
                pump.cancel()
                prefetch.drop()
                self.status.heads_dropped += subscription.dropped
                self.status.heads_malformed += arrivals.malformed
        if failure is not None:
            raise failure

    async def _follow(self, session: _Session) -> None:
        """Bring our branch to the node's head, and again for every head there is news of."""
        self._short_since_ns = None
        head = await self._next(session.arrivals, ask=True)
        while True:
            arrived = await self._advance(head, session)
            head = await self._next(session.arrivals, ask=not arrived)

    async def _next(self, arrivals: Arrivals, *, ask: bool) -> Head:
        """Return a head that is not our tip: as told, or as the node says where that is unclear.

        Only a head above our tip is taken at its word. One at or below it may be a duplicate, a
        late one, or the only sign of a rewind, and silence may hide a rewind without any sign
        (anvil_rollback, a node restarted from a backup): then the node's "latest" decides.
        """
        while True:
            told = None if ask else await self._told(arrivals)
            if (
                told is not None
                and told.header.number > self._branch.tip.number
                and not arrivals.take_disorder()
            ):
                return told
            latest = await self._latest(arrivals)
            if self._is_news(latest.header):
                self.status.heads_polled += 1 if told is None and not ask else 0
                return latest
            self._check_stall()
            ask = False

    def _is_news(self, latest: Header) -> bool:
        """Whether the node's head asks for something to be done: not our tip, and not just short.

        A head that is ours and below the tip is a silent rewind, or a node behind a balancer that
        has not caught up: only time tells them apart, and nothing is lost by waiting a moment.
        Behind the last final block it is never a rewind: a shorter chain proves nothing.
        """
        ours = self._branch.find(latest.hash)
        if ours is None or ours == self._branch.tip:
            self._short_since_ns = None
            return ours is None
        now_ns = self._clock.monotonic_ns()
        self._short_since_ns = self._short_since_ns or now_ns
        if now_ns - self._short_since_ns < 2 * self._config.poll_interval_ms * NS_PER_MS:
            return False
        if ours.number < self._branch.final_number:
            problem = f"its head {ours.number} is behind what was final"
            raise EndpointUnreachable(self._watch.name, problem)
        return True

    async def _told(self, arrivals: Arrivals) -> Head | None:
        """Return the next head of the subscription, or None after a poll interval of silence."""
        try:
            async with asyncio.timeout(self._config.poll_interval_ms / 1000):
                return await arrivals.take()
        except TimeoutError:
            return None

    async def _latest(self, arrivals: Arrivals) -> Head:
        header = await self.blocks.latest()
        # The clock of a head starts when we first heard of it, however we did.
        return arrivals.remembered(header.hash) or Head(header, self._clock.monotonic_ns())

    def _check_stall(self) -> None:
        """Raise EndpointUnreachable when no head came for `stall_blocks` block times.

        The node answers and has nothing new: its subscription may be dead all the same, so we
        connect anew. A chain that is merely quiet costs ever fewer connections (doubling waits).
        """
        if self._stalls_in_a_row:
            self._watch.head_late()
        now_ns = self._clock.monotonic_ns()
        patience_ms = self._config.stall_blocks * self._config.block_time_ms
        patience_ms <<= min(self._stalls_in_a_row, _STALL_DOUBLINGS_MAX)
        if now_ns - self._progress_ns <= patience_ms * NS_PER_MS:
            return
        self._progress_ns = now_ns
        self._stalls_in_a_row += 1
        self.status.stalls += 1
        self._watch.head_late()
        raise EndpointUnreachable(self._watch.name, f"no new head for {patience_ms} ms")

    async def _advance(self, head: Head, session: _Session) -> bool:
        """Post what leads from our tip to `head`; False when the node lost it on the way."""
        route = await self._path.to(head.header, session.arrivals)
        if route is None:
            self.status.heads_vanished += 1
            return False
        ancestor, path = route
        if ancestor != self._branch.tip:
            self._rewind(ancestor, session.post)
        filled: dict[Hash, FullBlock] = {}
        for place, header in enumerate(path):
            last = place == len(path) - 1
            if len(path) > self._config.blocks_fetched_max and not last:
                if place % self._config.range_blocks_max == 0:
                    filled = await self.ranges.read(self._some(path, place))
            else:
                for ahead in path[place : place + self._config.blocks_fetched_max]:
                    session.prefetch.start(ahead)
            full = filled.pop(header.hash, None) or await self._whole(header, session.prefetch)
            if full is None:
                self.status.heads_vanished += 1
                return False
            self._seal(full, head, session, last=last)
            self.status.gap_blocks_filled += not last
        session.prefetch.forget(self._branch.tip.number)
        self._progressed(head)
        return True

    def _some(self, path: Sequence[Header], place: int) -> Sequence[Header]:
        """Return blocks of a gap to ask for at once, but not the head, which comes by itself."""
        return path[place : min(place + self._config.range_blocks_max, len(path) - 1)]

    async def _whole(self, header: Header, prefetch: Prefetch) -> FullBlock | None:
        """Return the block, giving the node a moment to serve what it has just told us of."""
        for _ in range(_VANISHED_TRIES):
            full = await prefetch.take(header)
            if full is not None:
                return full
            await asyncio.sleep(_VANISHED_WAIT_S)
        return None

    def _rewind(self, ancestor: Point, post: Post) -> None:
        post(ChainRewound(self._chain_id, ancestor.number, ancestor.hash))
        self._branch.rewind(ancestor)
        self.status.rewinds += 1

    def _seal(self, full: FullBlock, head: Head, session: _Session, *, last: bool) -> None:
        header = full.header
        if header.parent != self._branch.tip.hash:
            raise MalformedReply(self._watch.name, f"block {header.hash} changed its parent")
        check_link(self._watch.name, self._branch.tip.number, header)
        told = session.arrivals.remembered(header.hash) or head
        session.post(
            BlockSealed(
                chain_id=self._chain_id,
                number=header.number,
                hash=header.hash,
                parent=header.parent,
                timestamp=header.timestamp,
                base_fee_wei=header.base_fee_wei,
                gas_limit=header.gas_limit,
                at_tip=last and not session.arrivals.newer_than(header.number),
                received_ns=told.received_ns,
                logs=full.logs,
            )
        )
        self._branch.extend(Point(header.number, header.hash))

    def _progressed(self, head: Head) -> None:
        self.status.number = self._branch.tip.number
        self.status.hash = self._branch.tip.hash
        self.status.received_ns = head.received_ns
        self._progress_ns = self._clock.monotonic_ns()
        self._stalls_in_a_row = 0
        self._watch.head_seen()
