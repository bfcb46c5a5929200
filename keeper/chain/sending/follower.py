"""Lanes against the chain, block by block: what became of every slot, and what to do about it.

    LIVE ── receipt on our branch ──▶ INCLUDED ── depth ──▶ CONFIRMED ── depth ──▶ FINAL
      ▲ └─ nonce taken, no receipt of ours for k blocks ──▶ FOREIGN: the lane is quarantined
      └── its block left the chain: bytes rebroadcast ◀── INCLUDED, CONFIRMED

It decides by block hashes, never by a route's words. It must not take commands; it is woken by
heads, and asks a node itself when none come.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from keeper.chain.ledger.rows import CANCEL, Claim, Outcome, Receipt, Slot
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.breakers import Breakers
from keeper.chain.sending.dispatch import Dispatch, Tip
from keeper.chain.sending.lanes import PAUSED, QUARANTINE, STARVED, Lane
from keeper.chain.sending.nurse import FollowParameters, Nurse
from keeper.chain.sending.receipts import ChainView, Sighting
from keeper.domain.errors import EndpointError, FinalityViolated, KeeperError, StorageError
from keeper.domain.events import (
    Event,
    LaneObserved,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.domain.units import Address, Hash
from keeper.ports import Post


# Told of what is survived: a stable word, and the error.
Report = Callable[[str, KeeperError], None]


_NO_CODE: Final = "0x"


class Follower:
    """Keeps every lane's slots as the chain has them; posts each outcome once."""

    def __init__(
        self,
        dispatch: Dispatch,
        ledger: Ledger,
        view: ChainView,
        parameters: FollowParameters,
        report: Report,
        breakers: Breakers,
    ) -> None:
        self.read_only = False
        self._dispatch = dispatch
        self._ledger = ledger
        self._view = view
        self._parameters = parameters
        self._report = report
        self._post: Post = _unposted
        self._breakers = breakers
        self._nurse = Nurse(dispatch, view, parameters)
        self._wanted: tuple[int, Hash] | None = None
        self._wake = asyncio.Event()
        self.last: Hash | None = None
        self._followed = asyncio.Event()
        self._begun = 0  # looks at a head that were begun, and the last of them that was done
        self._done = 0
        self._final_number = -1
        self._missing: dict[tuple[Address, int], int] = {}
        self._observed: dict[Address, Event] = {}

    def begin(self, post: Post) -> None:
        """Say where outcomes go."""
        self._post = post

    def on_block(self, number: int, block: Hash) -> None:
        """Learn of a sealed head; the newest one told is the one that is looked at."""
        self._wanted = (number, block)
        self._wake.set()

    async def run(self) -> None:
        """Follow heads until cancelled; an endpoint that fails is reported and asked again."""
        while True:
            head = await self._next_head()
            if head is None or head[1] == self.last:
                continue
            await self._dispatch.precedence.turn()
            try:
                await self.follow(head[1])
            except EndpointError as error:
                self._report("follow", error)
            except StorageError as error:
                self.read_only = True
                self._report("ledger", error)
            self.observe()

    async def follow(self, block: Hash) -> bool:
        """Bring every slot to what is so at a block; False where the node does not have it.

        Raises EndpointError with nothing decided, StorageError where the ledger cannot be written.
        """
        self._begun = this = self._begun + 1
        asked = [each.hash for slot in self._live() for each in slot.attempts]
        lanes = [lane.address for lane in self._dispatch.lanes]
        sighting = await self._view.look(block, lanes, asked)
        if sighting is None:
            return False
        header = sighting.header
        self._dispatch.rewind(Tip(header.number, sighting.ahead))
        self._dispatch.point("reconcile")
        orphans: list[Slot] = []
        if header.parent != self.last:
            self._dispatch.branch.clear()
            orphans = await self._reopen_orphans()
        if orphans:
            hashes = [each.hash for slot in orphans for each in slot.attempts]
            sighting.receipts.update(await self._view.receipts(hashes))
        lossy = await self._include(sighting)
        if lossy or self.last is None:
            await self._breakers.look(header.number)
        await self._deepen(header.number)
        await self._check_delegation(header.number)
        for lane in self._dispatch.lanes:
            await self._check_lane(lane, sighting)
        await self._nurse.care(sighting, {(slot.lane, slot.nonce) for slot in orphans})
        await self._ledger.record_head(
            header.number, header.hash, header.parent, self._dispatch.take_deliveries()
        )
        self.last = header.hash
        self._dispatch.branch.append(header.hash)
        self._done = this
        self._followed.set()
        self._followed = asyncio.Event()
        return True

    async def caught_up(self, block: Hash, limit_s: float) -> bool:
        """Wait until a block was followed on the branch we are on.

        False where it was passed by, or left the chain, or after the limit.
        """
        begun = self._begun
        try:
            async with asyncio.timeout(limit_s):
                while block not in self._dispatch.branch and self._done <= begun:
                    await self._followed.wait()
        except TimeoutError:
            return False
        return block in self._dispatch.branch

    def observe(self) -> None:
        """Post what changed of each lane's state, balance and free slots."""
        for lane in self._dispatch.lanes:
            state, free = (PAUSED, 0) if self.read_only else (lane.state, lane.free)
            event = LaneObserved(lane.address, state, lane.balance_wei, free)
            if self._observed.get(lane.address) != event:
                self._observed[lane.address] = event
                self._post(event)

    async def _next_head(self) -> tuple[int, Hash] | None:
        try:
            async with asyncio.timeout(self._parameters.poll_ms / 1000):
                await self._wake.wait()
        except TimeoutError:
            try:
                return await self._view.latest()
            except EndpointError as error:
                self._report("poll", error)
                return None
        self._wake.clear()
        return self._wanted

    def _live(self) -> list[Slot]:
        return [slot for lane in self._dispatch.lanes for slot in lane.live()]

    # What the chain says ------------------------------------------------------------------------

    async def _reopen_orphans(self) -> list[Slot]:
        """Make every slot LIVE again whose block is no longer the chain's; return them."""
        settled = [
            slot
            for lane in self._dispatch.lanes
            for slot in lane.slots.values()
            if slot.state in ("INCLUDED", "CONFIRMED")
        ]
        numbers = [slot.block_number for slot in settled if slot.block_number is not None]
        canonical = await self._view.canonical(numbers)
        orphans = []
        for slot in sorted(settled, key=lambda each: (each.lane, each.nonce)):
            if slot.block_number is None or canonical[slot.block_number] == slot.block_hash:
                continue
            state = await self._ledger.reopen(slot)
            after = replace(
                slot, state="LIVE", won=None, block_number=None, block_hash=None,
                intent=replace(slot.intent, state=state),
            )  # fmt: skip
            self._dispatch.lanes[slot.lane].put(after)
            orphans.append(after)
            self._tell_orphans(slot)
        return orphans

    def _tell_orphans(self, slot: Slot) -> None:
        """Tell that all whose bytes were for a slot may land again: its winner, and who lost it."""
        for claim in slot.claims:
            won = claim.intent_id == slot.claim(slot.won).intent_id
            gone = slot.won if won else slot.act_of(claim).hash
            if claim.intent.command_id is not None and gone is not None:
                self._post(TransactionOrphaned(claim.intent.command_id, gone))

    async def _include(self, sighting: Sighting) -> bool:
        """Settle every live slot that has a receipt on the branch of the head.

        True where one of them cost something and did nothing.
        """
        header = sighting.header
        found = [
            (slot, receipt)
            for slot in self._live()
            for attempt in slot.attempts
            if (receipt := sighting.receipts.get(attempt.hash)) is not None
            and receipt.block_number <= header.number
        ]
        canonical = await self._view.canonical(
            receipt.block_number for _, receipt in found if receipt.block_number < header.number
        )
        canonical[header.number] = header.hash
        found = [each for each in found if canonical[each[1].block_number] == each[1].block_hash]
        async with asyncio.TaskGroup() as group:
            failures = [
                group.create_task(self._view.failure(slot, receipt))
                if not receipt.succeeded
                else None
                for slot, receipt in found
            ]
        outcomes = [
            _outcome(slot, receipt, None if failure is None else failure.result())
            for (slot, receipt), failure in zip(found, failures, strict=True)
        ]
        if outcomes:
            await self._ledger.include_group(outcomes)
        for outcome in outcomes:
            self._settle(outcome)
        return any(not receipt.succeeded or slot.last.kind == CANCEL for slot, receipt in found)

    def _settle(self, outcome: Outcome) -> None:
        """Take over and tell what the ledger has as included."""
        slot, receipt, _, state, reason = outcome
        # The sender may have added bytes meanwhile: the slot is taken as it is now.
        lane = self._dispatch.lanes[slot.lane]
        slot = lane.slots[slot.nonce]
        winner = slot.claim(receipt.hash)
        ended = state if winner.intent_id == slot.intent_id else "LOST"
        after = replace(
            slot, state="INCLUDED", won=receipt.hash, block_number=receipt.block_number,
            block_hash=receipt.block_hash, intent=replace(slot.intent, state=ended),
        )  # fmt: skip
        lane.put(after)
        self._forget(slot)
        command_id = winner.intent.command_id
        if command_id is not None:
            where = (command_id, receipt.hash, receipt.block_number, receipt.block_hash)
            paid = (receipt.gas_used, receipt.price_wei)
            if state == "EXPIRED":
                self._post(TransactionDropped(command_id, slot.act.hash, reason))
            elif state == "DONE":
                self._post(TransactionIncluded(*where, *paid))
            else:
                self._post(TransactionReverted(*where, *paid, reason))
        self._tell_losers(slot, winner)

    def _tell_losers(self, slot: Slot, winner: Claim) -> None:
        """Tell those whose bytes were for a nonce that another one's bytes took."""
        for claim in slot.claims:
            if claim.intent_id == winner.intent_id or claim.intent.command_id is None:
                continue
            why = "displaced" if claim.seq_last < winner.seq_last else "outrun"
            gone = slot.act_of(claim).hash
            self._post(TransactionDropped(claim.intent.command_id, gone, why))

    async def _deepen(self, number: int) -> None:
        """Move settled slots on by depth, or by the node's word for what is final."""
        parameters = self._parameters
        settled = [
            (slot, slot.block_number)
            for lane in self._dispatch.lanes
            for slot in lane.slots.values()
            if slot.block_number is not None
        ]
        if number % parameters.finalized_every_blocks == 0 and settled:
            self._final_number = await self._view.finalized()
        ready = [
            (slot, block)
            for slot, block in settled
            if number - block >= parameters.confirm_blocks
            and (slot.state == "INCLUDED" or self._is_final(block, number))
        ]
        if not ready:
            return
        canonical = await self._view.canonical(block for _, block in ready)
        deep = [slot for slot, block in ready if canonical[block] == slot.block_hash]
        confirmed = [slot for slot in deep if slot.state == "INCLUDED"]
        final = [slot for slot in deep if slot.state == "CONFIRMED"]
        await self._ledger.deepen(confirmed, final)
        for slot in confirmed:
            self._dispatch.lanes[slot.lane].put(replace(slot, state="CONFIRMED"))
        for slot in final:
            self._dispatch.lanes[slot.lane].close(slot)

    def _is_final(self, block: int, number: int) -> bool:
        return block <= self._final_number or number - block >= self._parameters.final_blocks

    async def _check_delegation(self, number: int) -> None:
        """Quarantine a lane that has come to be delegated (EIP-7702) since the start."""
        lanes = list(self._dispatch.lanes)
        if number % self._parameters.delegation_every_blocks != 0 or not lanes:
            return
        _, codes = await self._view.facts([lane.address for lane in lanes])
        for lane, code in zip(lanes, codes, strict=True):
            if code != _NO_CODE and lane.state != QUARANTINE:
                await self._dispatch.signal(lane, "delegated")

    async def _check_lane(self, lane: Lane, sighting: Sighting) -> None:
        """Take the balance; find nonces that something other than our bytes used."""
        nonce = sighting.nonces[lane.address]
        lane.balance_wei = sighting.balances[lane.address]
        if lane.spendable_wei < 0:
            # Nodes drop what a balance cannot pay: nothing is bumped or bound until it can again.
            await self._dispatch.signal(lane, "short")
        elif lane.state == STARVED:
            await self._dispatch.signal(lane, "funded")
        if nonce > lane.next_nonce:
            await self._dispatch.signal(lane, "foreign")
        if nonce < lane.next_nonce and nonce not in lane.slots:
            raise FinalityViolated(
                sighting.header.number, f"nonce {lane.next_nonce} of {lane.address}", str(nonce)
            )
        for slot in [each for each in lane.slots.values() if each.state == "FOREIGN"]:
            if slot.nonce >= nonce:
                await self.regain(lane, slot)
        for slot in lane.live():
            if slot.nonce >= nonce:
                self._missing.pop((slot.lane, slot.nonce), None)
            elif await self._is_lost(slot):
                await self.lose(lane, slot)

    async def _is_lost(self, slot: Slot) -> bool:
        """Count a block in which the nonce was used without us; True when all endpoints agree."""
        key = (slot.lane, slot.nonce)
        self._missing[key] = self._missing.get(key, 0) + 1
        if self._missing[key] < self._parameters.foreign_blocks:
            return False
        return not await self._view.witnessed([each.hash for each in slot.attempts])

    async def regain(self, lane: Lane, slot: Slot) -> None:
        """Take a nonce back whose stranger's block is gone; the lane stays in quarantine."""
        state = await self._ledger.reopen(slot)
        lane.put(replace(slot, state="LIVE", intent=replace(slot.intent, state=state)))

    async def lose(self, lane: Lane, slot: Slot) -> None:
        """Give a slot up to a stranger's bytes and quarantine its lane."""
        await self._ledger.lose(slot)
        lane.put(replace(slot, state="FOREIGN", intent=replace(slot.intent, state="LOST")))
        self._forget(slot)
        await self._dispatch.signal(lane, "foreign")
        for claim in slot.claims:
            if claim.intent.command_id is not None:
                gone = slot.act_of(claim).hash
                self._post(TransactionDropped(claim.intent.command_id, gone, "foreign"))

    def _forget(self, slot: Slot) -> None:
        self._missing.pop((slot.lane, slot.nonce), None)
        self._nurse.forget(slot)


def _outcome(slot: Slot, receipt: Receipt, failure: str | None) -> Outcome:
    """Return what a receipt makes of a slot, and what it cost."""
    won = next(each for each in slot.attempts if each.hash == receipt.hash)
    cost_wei = receipt.gas_used * receipt.price_wei + receipt.l1_fee_wei
    cost_wei += won.value_wei if receipt.succeeded else 0
    if won.kind == CANCEL:
        return Outcome(slot, receipt, cost_wei, "EXPIRED", "cancelled")
    if failure is None:
        return Outcome(slot, receipt, cost_wei, "DONE", "")
    return Outcome(slot, receipt, cost_wei, "FAILED", failure)


def _unposted(event: Event) -> None:
    raise AssertionError(f"nobody listens to {event}: begin() comes first")
