"""What is done for bytes that wait: sent again, paid more, or taken back.

By blocks and evidence, never by seconds, and lowest nonces first. Bytes that have reached their
budget stay as they are and are still sent again. It must not judge what is on chain.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from keeper.chain.dispatch import Dispatch
from keeper.chain.lanes import STARVED, Lane
from keeper.chain.receipts import Sighting
from keeper.chain.rows import ACT, Slot
from keeper.domain.units import Address, Hash


@dataclass(frozen=True, slots=True)
class FollowParameters:
    """When to look again, in blocks unless named otherwise."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    rebroadcast_blocks: int = 2
    bump_blocks: int = 3  # not included for so long, though its turn: raise the fees
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

    def __init__(self, dispatch: Dispatch, parameters: FollowParameters) -> None:
        self._dispatch = dispatch
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
