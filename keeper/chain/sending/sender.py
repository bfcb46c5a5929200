"""The executor of mode "live": recovery, then batches of commands and the follower, side by side.

Every command ends in exactly one of CommandRefused (provably not sent) and CommandCommitted (it may
be on chain from then on), and what follows comes from the follower. It must not know venues: what a
revert means is injected.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from keeper.chain.keys.signer import Signer
from keeper.chain.ledger.store import Ledger
from keeper.chain.link.transport import Rpc
from keeper.chain.routes.book import RouteBook
from keeper.chain.routes.routing import Route
from keeper.chain.sending.base_fee import OP_STACK
from keeper.chain.sending.batch import Batches, BatchLimits
from keeper.chain.sending.breakers import BreakerParameters, Breakers
from keeper.chain.sending.dispatch import Dispatch, Point, Tools, no_point
from keeper.chain.sending.farewell import Farewell, FarewellParameters
from keeper.chain.sending.fees import FeeParameters
from keeper.chain.sending.follower import Follower, Report
from keeper.chain.sending.lanes import LaneParameters
from keeper.chain.sending.nurse import FollowParameters
from keeper.chain.sending.preemption import PreemptionParameters
from keeper.chain.sending.preflight import Preflight, PreflightParameters, Reason
from keeper.chain.sending.receipts import ChainView
from keeper.chain.sending.recovery import check_chain, recover
from keeper.domain.effects import Command
from keeper.domain.errors import (
    ConfigError,
    EndpointError,
    InvariantViolation,
    OperatorError,
)
from keeper.domain.events import CommandRefused
from keeper.domain.units import NS_PER_MS, Hash
from keeper.ports import Clock, Post


@dataclass(frozen=True, slots=True)
class ExecutionParameters:
    """Limits of the executor and of its parts; amounts in wei."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    commands_waiting_max: int = 1_024
    batches_max: int = 8  # batches in the trial at once
    housekeeping_wei_max: int = 10**17  # one fill or cancel
    recovery_retry_ms: int = 1_000
    catch_up_ms_max: int = 1_000  # how long a command may wait for receipts of the block before it
    head_age_ms_max: int = 6_000  # no head for so long: what is not committed is void
    lanes: LaneParameters = field(default_factory=LaneParameters)
    fees: FeeParameters = field(default_factory=FeeParameters)
    preflight: PreflightParameters = field(default_factory=PreflightParameters)
    follow: FollowParameters = field(default_factory=FollowParameters)
    breakers: BreakerParameters = field(default_factory=BreakerParameters)
    preemption: PreemptionParameters = field(default_factory=PreemptionParameters)
    farewell: FarewellParameters = field(default_factory=FarewellParameters)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the executor works with: one endpoint to read, more to bear witness, routes to send.

    `reason` names a revert of a venue, `report` is told of failures that are survived, and each of
    `doubts` stops new bytes, under its name, while it holds (oracle state, heads that disagree).
    """

    rpc: Rpc
    witnesses: Sequence[Rpc]
    routes: Sequence[Route] | RouteBook
    reason: Reason
    clock: Clock
    report: Report
    doubts: Mapping[str, Callable[[], bool]] = field(default_factory=dict)


_IDS_KEPT: Final = 65_536


class LaneExecutor:
    """Carries commands out through lanes; one an operating-system process and ledger."""

    def __init__(
        self,
        chain_id: int,
        around: Surroundings,
        ledger: Ledger,
        signers: Sequence[Signer],
        parameters: ExecutionParameters,
        point: Point = no_point,
    ) -> None:
        if not signers:
            raise ConfigError("lanes", [], "name at least one key file, or run in another mode")
        self._chain_id = chain_id
        self._ledger = ledger
        self._signers = tuple(signers)
        self._parameters = parameters
        self._report = around.report
        deadline_s = parameters.follow.deadline_ms_max / 1000
        rule = parameters.fees.base_fee_rule
        self._view = ChainView(around.rpc, around.witnesses, around.reason, deadline_s, rule)
        preflight = Preflight(around.rpc, around.reason, parameters.preflight, parameters.fees)
        breakers = Breakers(parameters.breakers, around.doubts, ledger, around.clock)
        self._dispatch = Dispatch(
            chain_id,
            Tools(ledger, around.routes, around.clock, breakers, point),
            parameters.fees,
            parameters.housekeeping_wei_max,
            parameters.preemption,
        )
        self._follower = Follower(
            self._dispatch, ledger, self._view, parameters.follow, around.report, breakers
        )
        self._farewell = Farewell(
            self._dispatch, self._follower, ledger, self._view, parameters.farewell, around.report
        )
        # What a rollup charges for data is known by the trial only.
        hurry = parameters.preflight.mode == "parallel" and rule != OP_STACK
        self._serving = Batches(
            self._dispatch,
            self._follower,
            preflight,
            breakers,
            BatchLimits(parameters.catch_up_ms_max, hurry, self._stands_still),
            around.report,
        )
        self._clock = around.clock
        self._heard: tuple[Hash | None, int] = (None, 0)  # the newest head told, and when
        self._batches: deque[list[Command]] = deque()
        self._refused: deque[CommandRefused] = deque()
        self._wake = asyncio.Event()
        self._ids: dict[int, None] = {}

    def submit(self, commands: Sequence[Command]) -> None:
        """Take commands in rank order; one that was taken before is not taken again."""
        fresh = []
        for command in commands:
            if command.id in self._ids:
                error = InvariantViolation(f"command {command.id} was submitted twice")
                self._report("duplicate_command", error)
                continue
            self._ids[command.id] = None
            fresh.append(command)
        while len(self._ids) > _IDS_KEPT:
            del self._ids[next(iter(self._ids))]
        room = self._parameters.commands_waiting_max - sum(map(len, self._batches))
        for command in fresh[max(room, 0) :]:
            self._refused.append(CommandRefused(command.id, "lane", "queue_full", ""))
        if fresh[: max(room, 0)]:
            self._batches.append(fresh[: max(room, 0)])
            self._dispatch.precedence.begin()
        self._wake.set()

    def on_block(self, number: int, block: Hash) -> None:
        """Learn of a sealed head: receipts, reorgs and replacements are looked at there."""
        if block != self._heard[0]:
            self._heard = (block, self._clock.monotonic_ns())
        self._follower.on_block(number, block)

    @property
    def followed(self) -> Hash | None:
        """Return the head whose receipts were looked at last."""
        return self._follower.last

    async def run(self, post: Post) -> None:
        """Recover, then work until cancelled; raises OperatorError where we must not go on.

        A cancel is taken after the live bytes were sent once more; a second one is taken at once.
        """
        self._follower.begin(post)
        await self._recover()
        self._heard = (None, self._clock.monotonic_ns())
        self._follower.observe()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follower.run(), name="follower")
                group.create_task(self._serve(post), name="sender")
        except asyncio.CancelledError:
            await self._farewell.say()
            raise
        except BaseExceptionGroup as errors:
            operator, rest = errors.split(OperatorError)
            if operator is None or rest is not None:
                raise
            raise _first(operator) from errors

    def _stands_still(self) -> bool:
        """Tell whether no new head was told for so long that what was decided is void."""
        age_ns = self._clock.monotonic_ns() - self._heard[1]
        return age_ns > self._parameters.head_age_ms_max * NS_PER_MS

    async def _recover(self) -> None:
        """Try until the node answers: nothing may be sent before the lanes are known."""
        while True:
            try:
                await check_chain(
                    self._view, self._chain_id, [each.address for each in self._signers]
                )
                await recover(
                    self._dispatch,
                    self._ledger,
                    self._view,
                    self._follower,
                    self._signers,
                    self._parameters.lanes,
                )
            except EndpointError as error:
                self._report("recovery", error)
                await asyncio.sleep(self._parameters.recovery_retry_ms / 1000)
            else:
                return

    async def _serve(self, post: Post) -> None:
        permits = asyncio.Semaphore(self._parameters.batches_max)

        async def serve(batch: list[Command]) -> None:
            try:
                await self._serving.serve(batch, post, group)
            finally:
                self._dispatch.precedence.end()
                permits.release()

        async with asyncio.TaskGroup() as group:
            while True:
                while self._refused:
                    post(self._refused.popleft())
                if not self._batches:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                await permits.acquire()
                group.create_task(serve(self._batches.popleft()))


def _first(errors: BaseExceptionGroup[OperatorError]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
