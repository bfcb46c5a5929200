"""One batch of commands from their trial to bytes on the wire, in rank order.

Every command ends here in exactly one of CommandRefused, provably not sent, and CommandCommitted.
What stands still in the meantime voids it: a deadline, or a chain that says nothing. It must not
know what became of bytes; that is the follower's.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.ledger.rows import ACT, Slot
from keeper.chain.routes.routing import INSUFFICIENT_FUNDS, UNDERPRICED, Sent
from keeper.chain.sending.breakers import Breakers
from keeper.chain.sending.dispatch import Dispatch, Tip
from keeper.chain.sending.follower import Follower, Report
from keeper.chain.sending.intents import Passed
from keeper.chain.sending.lanes import NO_FREE_SLOT
from keeper.chain.sending.preflight import Preflight, Verdict
from keeper.chain.sending.refusals import Refused
from keeper.domain.effects import Command
from keeper.domain.errors import InvariantViolation, StorageError
from keeper.domain.events import (
    CommandCommitted,
    CommandDisplaced,
    CommandRefused,
    CommandSent,
    PreflightPassed,
)
from keeper.ports import Post


_NO_PLACE: Final = Refused("lane", NO_FREE_SLOT)
_NO_HEAD: Final = Refused("expired", "no_head")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How long a batch may wait for receipts, and whether a command may be sent while it is tried.

    `stands_still` tells that no head came for so long that what was decided is void.
    """

    catch_up_ms_max: int
    hurry: bool
    stands_still: Callable[[], bool]


class Batches:
    """Serves batches; several may be under way at once, their groups are bound in turn."""

    def __init__(
        self,
        dispatch: Dispatch,
        follower: Follower,
        preflight: Preflight,
        breakers: Breakers,
        limits: BatchLimits,
        report: Report,
    ) -> None:
        self._dispatch = dispatch
        self._follower = follower
        self._preflight = preflight
        self._breakers = breakers
        self._limits = limits
        self._report = report

    async def serve(self, batch: Sequence[Command], post: Post, group: asyncio.TaskGroup) -> None:
        """Try all at once, best first; commit and send in rank order as the answers come."""
        commands = self._in_time(batch, post)
        portions = self._preflight.portions(commands)
        likely = self._dispatch.lanes.likely
        async with asyncio.TaskGroup() as trials:
            tasks = [
                trials.create_task(
                    self._preflight.check(portion, [likely(each.sender) for each in portion])
                )
                for portion in portions
            ]
            hurried = self._hurried(commands)
            rash = [each for each in hurried.values() if await self._may_bind(each.command, post)]
            bound = await self._commit(rash, post, group)
            for portion, task in zip(portions, tasks, strict=True):
                passed = []
                for command, verdict in zip(portion, await task, strict=True):
                    if command.id in hurried:
                        await self._hear(bound.get(command.id), command, verdict, post)
                    elif await self._passes(command, verdict, post):
                        passed.append(Passed(command, verdict.l1_fee_max_wei))
                await self._commit(passed, post, group)
        self._follower.observe()

    def _in_time(self, batch: Sequence[Command], post: Post) -> list[Command]:
        """Return what may still be tried; the rest is void."""
        still = self._limits.stands_still()
        commands = []
        for command in batch:
            if still:
                self._refuse(command, _NO_HEAD, post)
            elif self._dispatch.tip.number >= command.deadline_block:
                post(CommandRefused(command.id, "expired", "deadline", ""))
            else:
                commands.append(command)
        return commands

    async def _passes(self, command: Command, verdict: Verdict, post: Post) -> bool:
        """Tell of the trial; True where the command may be bound."""
        if verdict.reason is not None:
            post(CommandRefused(command.id, "preflight", verdict.reason, verdict.detail))
            return False
        post(PreflightPassed(command.id))
        self._dispatch.see(Tip(command.decided_number, verdict.ahead))
        return await self._may_bind(command, post)

    async def _may_bind(self, command: Command, post: Post) -> bool:
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
        if not self._dispatch.lanes.served(command.venue, command.subject):
            return True
        return await self._caught_up(command)

    async def _caught_up(self, command: Command) -> bool:
        self._dispatch.precedence.waive()
        limit_s = self._limits.catch_up_ms_max / 1000
        return await self._follower.caught_up(command.decided_hash, limit_s)

    # Without waiting for the trial --------------------------------------------------------------

    def _hurried(self, commands: Sequence[Command]) -> dict[int, Passed]:
        """Return those to be sent while they are tried: asked for, allowed, and within the budget.

        All of them, and all such that are in flight, are taken to revert.
        """
        if not self._limits.hurry:
            return {}
        at_risk_wei = sum(
            slot.last.gas * slot.last.cap_wei
            for lane in self._dispatch.lanes
            for slot in lane.live()
            if slot.intent.hurried
        )
        found = {}
        for command in commands:
            more_wei = command.spend_max_wei - command.call.value_wei
            if command.hurried and self._breakers.may_hurry(at_risk_wei + more_wei):
                at_risk_wei += more_wei
                found[command.id] = Passed(command, hurried=True)
        return found

    async def _hear(
        self, slot: Slot | None, command: Command, verdict: Verdict, post: Post
    ) -> None:
        """Learn how the trial ended of what was sent before it did."""
        if slot is None:
            return  # it was refused
        if verdict.reason is None:
            post(PreflightPassed(command.id))
            return
        lane = self._dispatch.lanes[slot.lane]
        now = lane.slots.get(slot.nonce)
        if now is None or now.state != "LIVE" or now.intent_id != slot.intent_id:
            return
        if now.last.kind == ACT and self._dispatch.cancel_pays(now):
            cancelled = await self._dispatch.cancel(lane, now)
            if isinstance(cancelled, Slot):
                await self._dispatch.send(cancelled.last)

    # Binding and sending ------------------------------------------------------------------------

    async def _commit(
        self,
        commands: Sequence[Passed],
        post: Post,
        group: asyncio.TaskGroup,
        *,
        preempt: bool = False,
    ) -> dict[int, Slot]:
        """Bind commands together, best first, and send what is bound; slots by command id.

        Those that find no place wait for the receipts of the block they were decided on: there may
        be places then, and if not, what holds them is known not to be included.
        """
        found: dict[int, Slot] = {}
        waiting = []
        answers = await self._bind(commands, preempt=preempt)
        for each, bound in zip(commands, answers, strict=True):
            if bound == _NO_PLACE and not preempt:
                waiting.append(each)
            elif isinstance(bound, Refused):
                self._refuse(each.command, bound, post)
            else:
                found[each.command.id] = bound
                self._tell(each.command, bound, post)
                group.create_task(self._send(each.command.id, bound, post))
        if found:
            await asyncio.sleep(0)  # their bytes leave before the next ones are signed
        if waiting and await self._caught_up(waiting[0].command):
            return found | await self._commit(waiting, post, group, preempt=True)
        for each in waiting:
            self._refuse(each.command, _NO_PLACE, post)
        return found

    async def _bind(self, commands: Sequence[Passed], *, preempt: bool) -> Sequence[Slot | Refused]:
        """Return an answer for each; with no head, or no ledger to write to, nothing is bound."""
        if not commands:
            return []
        if self._limits.stands_still():
            return [_NO_HEAD] * len(commands)
        try:
            return await self._dispatch.act(commands, preempt=preempt)
        except StorageError as full:
            self._follower.read_only = True
            self._report("ledger", full)
            return [Refused("ledger", "storage", full.problem)] * len(commands)

    def _refuse(self, command: Command, refused: Refused, post: Post) -> None:
        if refused.reason == "duplicate_command":
            # Bound in a run before: it may be on chain, so it must not be called refused.
            error = InvariantViolation(f"command {command.id} was bound before")
            self._report("duplicate_command", error)
        else:
            post(CommandRefused(command.id, refused.stage, refused.reason, refused.detail))

    def _tell(self, command: Command, slot: Slot, post: Post) -> None:
        post(CommandCommitted(command.id, slot.lane, slot.nonce, slot.last.hash))
        if slot.displaced:
            gone = slot.displaced[-1].intent.command_id
            assert gone is not None, "only an action is displaced"
            post(CommandDisplaced(gone, command.id, slot.lane, slot.nonce))

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
