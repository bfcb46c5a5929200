"""Lanes against the chain, block by block: what became of every slot, and what to do about it.

    LIVE ── receipt on our branch ──▶ INCLUDED ── depth ──▶ CONFIRMED ── depth ──▶ FINAL
      ▲ └─ nonce taken, no receipt of ours for k blocks ──▶ FOREIGN: the lane is quarantined
      └── its block left the chain: bytes rebroadcast ◀── INCLUDED, CONFIRMED

It decides by block hashes, never by a route's words. It must not take commands; it is woken by
heads, and asks a node itself when none come.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from keeper.chain.dispatch import Dispatch, Tip
from keeper.chain.lanes import PAUSED, STARVED, Lane
from keeper.chain.ledger import Ledger
from keeper.chain.receipts import ChainView, Sighting
from keeper.chain.rows import ACT, CANCEL, Receipt, Slot
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


@dataclass(frozen=True, slots=True)
class FollowParameters:
    """When to look again, in blocks unless named otherwise."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    rebroadcast_blocks: int = 2
    bump_blocks: int = 3  # not included for so long, though its turn: raise the fees
    cancel_blocks: int = 2  # so long past its deadline: take the nonce back
    foreign_blocks: int = 3  # nonce taken and no receipt of ours for so long
    confirm_blocks: int = 6
    final_blocks: int = 256
    poll_ms: int = 3_000  # no head for so long: ask the node
    deadline_ms_max: int = 2_000


class Follower:
    """Keeps every lane's slots as the chain has them; posts each outcome once."""

    def __init__(
        self,
        dispatch: Dispatch,
        ledger: Ledger,
        view: ChainView,
        parameters: FollowParameters,
        report: Report,
    ) -> None:
        self.read_only = False
        self._dispatch = dispatch
        self._ledger = ledger
        self._view = view
        self._parameters = parameters
        self._report = report
        self._post: Post = _unposted
        self._wanted: tuple[int, Hash] | None = None
        self._wake = asyncio.Event()
        self.last: Hash | None = None
        self._sent_at: dict[Hash, int] = {}
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
        asked = [each.hash for slot in self._live() for each in slot.attempts]
        lanes = [lane.address for lane in self._dispatch.lanes]
        sighting = await self._view.look(block, lanes, asked)
        if sighting is None:
            return False
        header = sighting.header
        self._dispatch.rewind(Tip(header.number, sighting.base_next_wei))
        self._dispatch.point("reconcile")
        orphans: list[Slot] = []
        if header.parent != self.last:
            orphans = await self._reopen_orphans()
        if orphans:
            hashes = [each.hash for slot in orphans for each in slot.attempts]
            sighting.receipts.update(await self._view.receipts(hashes))
        await self._include(sighting)
        await self._deepen(header.number)
        for lane in self._dispatch.lanes:
            await self._check_lane(lane, sighting)
        await self._nurse(sighting, {(slot.lane, slot.nonce) for slot in orphans})
        await self._ledger.record_head(
            header.number, header.hash, header.parent, self._dispatch.take_deliveries()
        )
        self.last = header.hash
        return True

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
            if slot.intent.command_id is not None and slot.won is not None:
                self._post(TransactionOrphaned(slot.intent.command_id, slot.won))
        return orphans

    async def _include(self, sighting: Sighting) -> None:
        """Settle every live slot that has a receipt on the branch of the head."""
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
        for (slot, receipt), failure in zip(found, failures, strict=True):
            await self._settle(slot, receipt, None if failure is None else failure.result())

    async def _settle(self, slot: Slot, receipt: Receipt, failure: str | None) -> None:
        won = next(each for each in slot.attempts if each.hash == receipt.hash)
        cost = receipt.gas_used * receipt.price_wei + receipt.l1_fee_wei
        cost += won.value_wei if receipt.succeeded else 0
        state, reason = ("DONE", "") if failure is None else ("FAILED", failure)
        if won.kind == CANCEL:
            state, reason = ("EXPIRED", "cancelled")
        await self._ledger.include(slot, receipt, cost, state, reason)
        # The sender may have added bytes meanwhile: the slot is taken as it is now.
        lane = self._dispatch.lanes[slot.lane]
        slot = lane.slots[slot.nonce]
        after = replace(
            slot, state="INCLUDED", won=receipt.hash, block_number=receipt.block_number,
            block_hash=receipt.block_hash, intent=replace(slot.intent, state=state),
        )  # fmt: skip
        lane.put(after)
        self._forget(slot)
        command_id = slot.intent.command_id
        if command_id is None:
            return
        if won.kind == CANCEL:
            self._post(TransactionDropped(command_id, slot.act.hash, "cancelled"))
            return
        where = (command_id, receipt.hash, receipt.block_number, receipt.block_hash)
        paid = (receipt.gas_used, receipt.price_wei)
        if failure is None:
            self._post(TransactionIncluded(*where, *paid))
        else:
            self._post(TransactionReverted(*where, *paid, failure))

    async def _deepen(self, number: int) -> None:
        """Move settled slots on by depth, where their block is still the chain's."""
        due = {
            "INCLUDED": self._parameters.confirm_blocks,
            "CONFIRMED": self._parameters.final_blocks,
        }
        deep = [
            slot
            for lane in self._dispatch.lanes
            for slot in lane.slots.values()
            if slot.block_number is not None and number - slot.block_number >= due[slot.state]
        ]
        canonical = await self._view.canonical(each.block_number or 0 for each in deep)
        deep = [slot for slot in deep if canonical[slot.block_number or 0] == slot.block_hash]
        confirmed = [slot for slot in deep if slot.state == "INCLUDED"]
        final = [slot for slot in deep if slot.state == "CONFIRMED"]
        await self._ledger.deepen(confirmed, final)
        for slot in confirmed:
            self._dispatch.lanes[slot.lane].put(replace(slot, state="CONFIRMED"))
        for slot in final:
            del self._dispatch.lanes[slot.lane].slots[slot.nonce]

    async def _check_lane(self, lane: Lane, sighting: Sighting) -> None:
        """Take the balance; find nonces that something other than our bytes used."""
        nonce = sighting.nonces[lane.address]
        lane.balance_wei = sighting.balances[lane.address]
        if lane.state == STARVED and lane.spendable_wei >= 0:
            await self._dispatch.signal(lane, "funded")
        if nonce > lane.next_nonce:
            await self._dispatch.signal(lane, "foreign")
        if nonce < lane.next_nonce and nonce not in lane.slots:
            raise FinalityViolated(
                sighting.header.number, f"nonce {lane.next_nonce} of {lane.address}", str(nonce)
            )
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

    async def lose(self, lane: Lane, slot: Slot) -> None:
        """Give a slot up to a stranger's bytes and quarantine its lane."""
        await self._ledger.lose(slot)
        lane.put(replace(slot, state="FOREIGN", intent=replace(slot.intent, state="LOST")))
        self._forget(slot)
        await self._dispatch.signal(lane, "foreign")
        if slot.intent.command_id is not None:
            self._post(TransactionDropped(slot.intent.command_id, slot.act.hash, "foreign"))

    def _forget(self, slot: Slot) -> None:
        self._missing.pop((slot.lane, slot.nonce), None)
        for attempt in slot.attempts:
            self._sent_at.pop(attempt.hash, None)

    # What to do about it ------------------------------------------------------------------------

    async def _nurse(self, sighting: Sighting, urgent: set[tuple[Address, int]]) -> None:
        """Rebroadcast, bump or cancel what is still waiting, lowest nonces first."""
        number = sighting.header.number
        for lane in self._dispatch.lanes:
            chain_nonce = sighting.nonces[lane.address]
            waiting = [slot for slot in lane.live() if slot.nonce >= chain_nonce]
            to_send: list[Slot] = []
            for slot in waiting:
                age = number - self._sent_at.setdefault(slot.last.hash, number)
                after = await self._renew(lane, slot, age, its_turn=slot.nonce == chain_nonce)
                due = age >= self._parameters.rebroadcast_blocks and not self._is_over(after)
                if after is not slot or due or (slot.lane, slot.nonce) in urgent:
                    to_send.append(after)
            async with asyncio.TaskGroup() as group:
                for slot in to_send:
                    group.create_task(self._dispatch.send(slot.last))

    async def _renew(self, lane: Lane, slot: Slot, age: int, *, its_turn: bool) -> Slot:
        """Return the slot with new bytes where it needs and can pay them, else as it is.

        Capped-out bytes stay as they are and are still rebroadcast.
        """
        tip, intent = self._dispatch.tip, slot.intent
        late = tip.number > intent.deadline_block + self._parameters.cancel_blocks
        acting = slot.last.kind == ACT
        changed: Slot | str = "as_it_is"
        if acting and its_turn and (late or intent.state != "BOUND"):
            changed = await self._dispatch.cancel(lane, slot)
        elif lane.state == STARVED or self._is_over(slot):
            return slot
        elif self._is_weak(slot, age, its_turn=its_turn):
            changed = await self._dispatch.bump(lane, slot)
        return slot if isinstance(changed, str) else changed

    def _is_over(self, slot: Slot) -> bool:
        """Tell whether the bytes carry a command past its deadline: no more is done for them."""
        return slot.last.kind == ACT and self._dispatch.tip.number >= slot.intent.deadline_block

    def _is_weak(self, slot: Slot, age: int, *, its_turn: bool) -> bool:
        if slot.last.cap_wei < self._dispatch.tip.base_next_wei:
            return True
        return its_turn and age >= self._parameters.bump_blocks


def _unposted(event: Event) -> None:
    raise AssertionError(f"nobody listens to {event}: begin() comes first")
