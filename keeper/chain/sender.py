"""Commands in rank order to bytes on the wire: expiry, trial, lane, commitment, sending.

The executor of mode "live". Every command ends in exactly one of CommandRefused (provably not sent)
and CommandCommitted (it may be on chain from then on), and what follows comes from the follower.
It must not know venues: what a revert means is injected.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from keeper.chain.breakers import BreakerParameters, Breakers
from keeper.chain.dispatch import Dispatch, Point, Refused, Tip, Tools, no_point
from keeper.chain.farewell import Farewell, FarewellParameters
from keeper.chain.fees import FeeParameters
from keeper.chain.follower import Follower, Report
from keeper.chain.lanes import LaneParameters
from keeper.chain.ledger import Ledger
from keeper.chain.nurse import FollowParameters
from keeper.chain.preflight import Preflight, PreflightParameters, Reason, Verdict
from keeper.chain.receipts import ChainView
from keeper.chain.recovery import check_chain, recover
from keeper.chain.route_book import RouteBook
from keeper.chain.routes import INSUFFICIENT_FUNDS, UNDERPRICED, Route, Sent
from keeper.chain.rows import Slot
from keeper.chain.signer import Signer
from keeper.chain.transport import Rpc
from keeper.domain.effects import Command
from keeper.domain.errors import (
    ConfigError,
    EndpointError,
    InvariantViolation,
    OperatorError,
    StorageError,
)
from keeper.domain.events import CommandCommitted, CommandRefused, CommandSent, PreflightPassed
from keeper.domain.units import Hash
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
    lanes: LaneParameters = field(default_factory=LaneParameters)
    fees: FeeParameters = field(default_factory=FeeParameters)
    preflight: PreflightParameters = field(default_factory=PreflightParameters)
    follow: FollowParameters = field(default_factory=FollowParameters)
    breakers: BreakerParameters = field(default_factory=BreakerParameters)
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
        self._view = ChainView(around.rpc, around.witnesses, around.reason, deadline_s)
        self._preflight = Preflight(around.rpc, around.reason, parameters.preflight)
        breakers = Breakers(parameters.breakers, around.doubts, ledger, around.clock)
        self._dispatch = Dispatch(
            chain_id,
            Tools(ledger, around.routes, around.clock, breakers, point),
            parameters.fees,
            parameters.housekeeping_wei_max,
        )
        self._follower = Follower(
            self._dispatch, ledger, self._view, parameters.follow, around.report, breakers
        )
        self._farewell = Farewell(
            self._dispatch, self._follower, ledger, self._view, parameters.farewell, around.report
        )
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
        self._wake.set()

    def on_block(self, number: int, block: Hash) -> None:
        """Learn of a sealed head: receipts, reorgs and replacements are looked at there."""
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
                await self._serve_batch(batch, post, group)
            finally:
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

    async def _serve_batch(
        self, batch: list[Command], post: Post, group: asyncio.TaskGroup
    ) -> None:
        """Try all at once, best first; commit and send in rank order as the answers come."""
        commands = []
        for command in batch:
            if self._dispatch.tip.number >= command.deadline_block:
                post(CommandRefused(command.id, "expired", "deadline", ""))
            else:
                commands.append(command)
        portions = self._preflight.portions(commands)
        likely = self._dispatch.lanes.likely
        async with asyncio.TaskGroup() as trials:
            tasks = [
                trials.create_task(
                    self._preflight.check(portion, [likely(each.sender) for each in portion])
                )
                for portion in portions
            ]
            for portion, task in zip(portions, tasks, strict=True):
                passed = []
                for command, verdict in zip(portion, await task, strict=True):
                    if await self._passes(command, verdict, post):
                        passed.append(command)
                await self._commit(passed, post, group)
        self._follower.observe()

    async def _passes(self, command: Command, verdict: Verdict, post: Post) -> bool:
        """Tell of the trial; True where the command may be bound."""
        if verdict.reason is not None:
            post(CommandRefused(command.id, "preflight", verdict.reason, verdict.detail))
            return False
        post(PreflightPassed(command.id))
        self._dispatch.see(Tip(command.decided_number, verdict.base_next_wei))
        if self._follower.read_only:
            post(CommandRefused(command.id, "ledger", "read_only", ""))
            return False
        if not await self._is_known(command):
            post(CommandRefused(command.id, "lane", "not_followed", ""))
            return False
        return True

    async def _is_known(self, command: Command) -> bool:
        """Wait, for an account that was served lately, until its outcome is known at the head.

        Decided on a new branch, a command may be for an account whose action was just orphaned:
        its bytes live again, but until the follower has seen that, the ledger calls it done.
        """
        if not self._dispatch.lanes.served(command.venue, str(command.account)):
            return True
        limit_s = self._parameters.catch_up_ms_max / 1000
        return await self._follower.caught_up(command.decided_hash, limit_s)

    async def _commit(
        self, commands: Sequence[Command], post: Post, group: asyncio.TaskGroup
    ) -> None:
        """Bind commands together, best first, and send what is bound."""
        if not commands:
            return
        try:
            answers = await self._dispatch.act(commands)
        except StorageError as full:
            self._follower.read_only = True
            self._report("ledger", full)
            for command in commands:
                post(CommandRefused(command.id, "ledger", "storage", full.problem))
            return
        for command, bound in zip(commands, answers, strict=True):
            if isinstance(bound, Refused) and bound.reason == "duplicate_command":
                # Bound in a run before: it may be on chain, so it must not be called refused.
                error = InvariantViolation(f"command {command.id} was bound before")
                self._report("duplicate_command", error)
            elif isinstance(bound, Refused):
                post(CommandRefused(command.id, bound.stage, bound.reason, ""))
            else:
                post(CommandCommitted(command.id, bound.lane, bound.nonce, bound.last.hash))
                group.create_task(self._send(command.id, bound, post))

    async def _send(self, command_id: int, slot: Slot, post: Post) -> None:
        sent = await self._dispatch.send(slot.last)
        post(CommandSent(command_id, slot.last.hash, len(sent.deliveries), sent.accepted))
        if not sent.accepted:
            try:
                await self._answer(slot, sent)
            except StorageError as error:
                self._follower.read_only = True
                self._report("ledger", error)

    async def _answer(self, slot: Slot, sent: Sent) -> None:
        """Do what a refusal by all routes calls for; the slot stays as it is in any case."""
        lane = self._dispatch.lanes[slot.lane]
        if sent.outcome == UNDERPRICED:
            bumped = await self._dispatch.bump(lane, slot)
            if isinstance(bumped, Slot):
                await self._dispatch.send(bumped.last)
        elif sent.outcome == INSUFFICIENT_FUNDS:
            await self._dispatch.signal(lane, "short")
            self._follower.observe()


def _first(errors: BaseExceptionGroup[OperatorError]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
