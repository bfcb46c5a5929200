"""What is done for bytes that wait: sent again, paid more, or taken back.

By blocks and evidence, never by seconds, and lowest nonces first. Bytes that have reached their
budget stay as they are and are still sent again. It must not judge what is on chain.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from keeper.chain.ledger.rows import ACT, Slot
from keeper.chain.sending.dispatch import Dispatch
from keeper.chain.sending.lanes import STARVED, Lane
from keeper.chain.sending.receipts import ChainView, Sighting
from keeper.domain.units import Address, Hash


@dataclass(frozen=True, slots=True)
class FollowParameters:
    """When to look again, in blocks unless named otherwise."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    rebroadcast_blocks: int = 2
    bump_blocks: int = 3  # its turn for so long, and others paid more for these blocks: raise it
    passed_over_blocks: int = 6  # its turn for so long, and others got in: raise it all the same
    cancel_blocks: int = 2  # so long past its deadline: take the nonce back
    foreign_blocks: int = 3  # nonce taken and no receipt of ours for so long
    confirm_blocks: int = 6
    final_blocks: int = 256  # without the node's word for it ("finalized"), so deep is final
    finalized_every_blocks: int = 16  # how often the node is asked what is final
    delegation_every_blocks: int = 64  # how often lanes are looked at for code (EIP-7702)
    poll_ms: int = 3_000  # no head for so long: ask the node
    deadline_ms_max: int = 2_000


class Nurse:
    """Cares for live slots at each head."""

    def __init__(self, dispatch: Dispatch, view: ChainView, parameters: FollowParameters) -> None:
        self._dispatch = dispatch
        self._view = view
        self._parameters = parameters
        self._sent_at: dict[Hash, int] = {}

    def forget(self, slot: Slot) -> None:
        """Let go of a slot that has ended."""
        for attempt in slot.attempts:
            self._sent_at.pop(attempt.hash, None)

    async def care(self, sighting: Sighting, urgent: Collection[tuple[Address, int]]) -> None:
        """Rebroadcast, bump or cancel what is still waiting, lowest nonces first."""
        number = sighting.header.number
        for lane in self._dispatch.lanes:
            chain_nonce = sighting.nonces[lane.address]
            waiting = [slot for slot in lane.live() if slot.nonce >= chain_nonce]
            to_send: list[Slot] = []
            # One by one, a lane full of calls that are too late would be closed for as many blocks.
            in_front = True
            for slot in waiting:
                age = number - self._sent_at.setdefault(slot.last.hash, number)
                its_turn = slot.nonce == chain_nonce
                after = await self._renew(lane, slot, age, its_turn=its_turn, in_front=in_front)
                in_front = in_front and after.last.kind != ACT
                due = age >= self._parameters.rebroadcast_blocks and not self._is_over(after)
                wanted = after is not slot or due or (slot.lane, slot.nonce) in urgent
                if wanted and not after.given_up:
                    to_send.append(after)
            async with asyncio.TaskGroup() as group:
                for slot in to_send:
                    group.create_task(self._dispatch.send(slot.last))

    async def _renew(
        self, lane: Lane, slot: Slot, age: int, *, its_turn: bool, in_front: bool
    ) -> Slot:
        """Return the slot with new bytes where it needs and can pay them, else as it is.

        Capped-out bytes stay as they are and are still rebroadcast. `in_front` tells that nothing
        below it waits to act: what is late there is taken back together. Bytes whose account has
        another action by now are taken back wherever they stand, and never sent again.
        """
        late_block = slot.intent.deadline_block + self._parameters.cancel_blocks
        late = slot.last.kind == ACT and in_front and self._dispatch.tip.number > late_block
        changed: Slot | str = "as_it_is"
        if slot.given_up or (late and self._dispatch.should_cancel(lane, slot)):
            changed = await self._dispatch.cancel(lane, slot)
        elif lane.state == STARVED or self._is_over(slot):
            return slot
        elif await self._is_weak(slot, age, its_turn=its_turn):
            changed = await self._dispatch.bump(lane, slot)
        return slot if isinstance(changed, str) else changed

    def _is_over(self, slot: Slot) -> bool:
        """Tell whether the bytes carry a command past its deadline: no more is done for them."""
        return slot.last.kind == ACT and self._dispatch.tip.number >= slot.intent.deadline_block

    async def _is_weak(self, slot: Slot, age: int, *, its_turn: bool) -> bool:
        """Tell whether there is evidence that these fees do not buy a place; time alone is none.

        Blocks that nobody got into say nothing of fees. Where the node cannot tell who got in, the
        blocks that went by are all there is to go by.
        """
        tip, last = self._dispatch.tip, slot.last
        if last.cap_wei < tip.base_next_wei:
            return True
        if not its_turn or age < self._parameters.bump_blocks:
            return False
        included = await self._view.tips_included(tip.number, self._parameters.bump_blocks)
        if included is None:
            return True
        ours = min(last.tip_wei, last.cap_wei - tip.base_next_wei)
        outbid = bool(included) and ours < min(included)
        return outbid or (bool(included) and age >= self._parameters.passed_over_blocks)
