"""Sign, commit, send: the only way bytes leave, whoever wants them to.

The one writer of all lanes: whatever binds a nonce or adds bytes to one takes its turn here, and
nothing is given to a route that the ledger has not made durable first. It must not judge what is
on chain; that is the follower's. `point` marks the places where a kill test ends the process.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from keeper.chain import fees
from keeper.chain.fees import Fee, FeeParameters, Offer
from keeper.chain.lanes import Lane, Lanes, move
from keeper.chain.ledger import Ledger
from keeper.chain.routes import Route, Sent, broadcast
from keeper.chain.rows import ACT, CANCEL, FILL, Attempt, Delivery, Intent, Slot
from keeper.chain.signer import Transaction
from keeper.domain.effects import Command
from keeper.domain.units import Hash
from keeper.ports import Clock


Point = Callable[[str], None]
TRANSFER_GAS: Final = 21_000
DELIVERIES_WAITING_MAX: Final = 10_000
_NO_HASH: Final[Hash] = "0x" + "00" * 32


def no_point(_: str) -> None:
    """Do nothing: where a kill test puts its knife."""


class Refused(NamedTuple):
    """A command that provably was not sent: the stage and the classified reason."""

    stage: str
    reason: str


class Tip(NamedTuple):
    """The newest head that was seen, and the base fee of the block after it."""

    number: int
    base_next_wei: int


class Dispatch:
    """Binds commands to nonces, replaces and fills them, and gives their bytes to the routes."""

    def __init__(
        self,
        *,
        chain_id: int,
        ledger: Ledger,
        routes: Sequence[Route],
        parameters: FeeParameters,
        housekeeping_wei_max: int,
        clock: Clock,
        point: Point,
    ) -> None:
        self.lanes = Lanes([])
        self.tip = Tip(0, 0)
        self._chain_id = chain_id
        self._ledger = ledger
        self._routes = tuple(routes)
        self._parameters = parameters
        self._housekeeping_wei_max = housekeeping_wei_max
        self._clock = clock
        self.point = point
        self._writer = asyncio.Lock()
        self._deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_WAITING_MAX)

    def see(self, tip: Tip) -> None:
        """Learn of a head, unless a later one is known; a rewind is told by `rewind`."""
        if tip.number >= self.tip.number:
            self.tip = tip

    def rewind(self, tip: Tip) -> None:
        """Learn that the chain went back to this head."""
        self.tip = tip

    def take_deliveries(self) -> list[Delivery]:
        """Return and forget the routes' answers since the last time."""
        taken = list(self._deliveries)
        self._deliveries.clear()
        return taken

    async def act(self, command: Command) -> Slot | Refused:
        """Bind a command to a lane's next nonce; its bytes are durable when this returns a slot."""
        offer = Offer(
            gas=command.gas,
            value_wei=command.call.value_wei,
            spend_wei_max=command.spend_max_wei,
            tip_budget_wei=command.tip_budget_wei,
            blocks_left=command.deadline_block - self.tip.number - 1,
            rank=command.rank,
        )
        if offer.blocks_left < 0:
            return Refused("expired", "deadline")
        fee = fees.first_fee(offer, self.tip.base_next_wei, self._parameters)
        if fee is None:
            return Refused("cap", "fee_beyond_spend")
        async with self._writer:
            lane = self.lanes.pick(command.sender, command.gas * fee.cap_wei + offer.value_wei)
            if isinstance(lane, str):
                return Refused("lane", lane)
            transaction = self._transaction(lane.next_nonce, fee, _intent(command))
            forbidden = lane.signer.refusal(transaction)
            if forbidden is not None:
                return Refused("lane", forbidden)
            bound = await self._bind(lane, _intent(command), transaction)
        if isinstance(bound, Slot):
            return bound
        return Refused(_STAGES.get(bound, "lane"), bound)

    async def fill(self, lane: Lane, nonce: int) -> Slot | str:
        """Heal a gap: bind a nonce that nothing holds to a transfer of nothing to ourselves."""
        intent = Intent(
            kind=FILL,
            venue="",
            account=lane.address,
            rank=0,
            value_wei=0,
            max_cost_wei=self._housekeeping_wei_max,
            deadline_block=2**62,
            decided_hash=_NO_HASH,
            command_id=None,
            command_kind=None,
            to=lane.address,
            data="0x",
            gas=TRANSFER_GAS,
            decided_number=0,
        )
        fee = fees.first_fee(self._housekeeping(), self.tip.base_next_wei, self._parameters)
        if fee is None:
            return "fee_beyond_spend"
        async with self._writer:
            transaction = self._transaction(nonce, fee, intent)
            return await self._bind(lane, intent, transaction)

    async def bump(self, lane: Lane, slot: Slot) -> Slot | str:
        """Raise the fees of a slot's newest bytes within its budget; the slot, or why not."""
        intent = slot.intent
        kind = slot.last.kind
        offer = self._housekeeping()
        if kind == ACT:
            left = intent.deadline_block - self.tip.number - 1
            offer = Offer(intent.gas, intent.value_wei, intent.max_cost_wei, 0, left)
        return await self._replace(lane, slot, kind, offer)

    async def cancel(self, lane: Lane, slot: Slot) -> Slot | str:
        """Replace a slot's bytes by a transfer of nothing to ourselves; the slot, or why not."""
        return await self._replace(lane, slot, CANCEL, self._housekeeping())

    async def send(self, attempt: Attempt) -> Sent:
        """Give committed bytes to every route."""
        self.point("before_send")
        sent = await broadcast(self._routes, attempt, self._clock)
        self.point("after_send")
        self._deliveries.extend(sent.deliveries)
        return sent

    async def signal(self, lane: Lane, signal: str) -> None:
        """Move a lane's state by the table, durably."""
        async with self._writer:
            after = move(lane.state, signal)
            if after != lane.state:
                await self._ledger.set_lane(replace(lane.row(), state=after))
                lane.state = after

    async def _replace(self, lane: Lane, slot: Slot, kind: str, offer: Offer) -> Slot | str:
        async with self._writer:
            if lane.slots.get(slot.nonce) != slot or slot.state != "LIVE":
                return "slot_changed"
            old = Fee(slot.last.tip_wei, slot.last.cap_wei)
            fee = fees.replacement_fee(old, offer, self.tip.base_next_wei, self._parameters)
            if fee is None:
                return "fee_beyond_spend"
            intent = slot.intent if kind == slot.intent.kind else _nothing(slot.intent, lane)
            transaction = self._transaction(slot.nonce, fee, intent)
            attempt = await self._sign(lane, transaction, slot.last.seq + 1, kind)
            refusal = await self._ledger.replace(attempt, lane.epoch)
            self.point("after_commit")
            if refusal is not None:
                return refusal
            after = replace(slot, attempts=(*slot.attempts, attempt))
            lane.put(after)
            return after

    async def _bind(self, lane: Lane, intent: Intent, transaction: Transaction) -> Slot | str:
        attempt = await self._sign(lane, transaction, 0, intent.kind)
        bound = await self._ledger.bind(intent, attempt, lane.epoch)
        self.point("after_commit")
        if isinstance(bound, str):
            return bound
        slot = Slot(lane.address, attempt.nonce, bound, "LIVE", None, intent, (attempt,))
        lane.put(slot)
        return slot

    async def _sign(self, lane: Lane, transaction: Transaction, seq: int, kind: str) -> Attempt:
        signed = await lane.signer.sign(transaction)
        self.point("after_sign")
        return Attempt(
            hash=signed.hash,
            lane=lane.address,
            nonce=transaction.nonce,
            seq=seq,
            raw=signed.raw,
            tip_wei=transaction.tip_wei,
            cap_wei=transaction.cap_wei,
            gas=transaction.gas,
            value_wei=transaction.value_wei,
            kind=kind,
            signed_at_ns=self._clock.now_ns(),
        )

    def _transaction(self, nonce: int, fee: Fee, intent: Intent) -> Transaction:
        return Transaction(
            chain_id=self._chain_id,
            nonce=nonce,
            tip_wei=fee.tip_wei,
            cap_wei=fee.cap_wei,
            gas=intent.gas,
            to=intent.to,
            value_wei=intent.value_wei,
            data=bytes.fromhex(intent.data[2:]),
        )

    def _housekeeping(self) -> Offer:
        return Offer(
            TRANSFER_GAS, 0, self._housekeeping_wei_max, 0, self._parameters.growth_blocks_max
        )


# Where the ledger's refusals of a command end it; the rest are the lane's.
_STAGES: Final = {
    "live_action": "ledger",
    "duplicate_command": "ledger",
    "epoch_lost": "ledger",
    "cap_transaction": "cap",
    "cap_lane_day": "cap",
    "cap_day": "cap",
}


def _intent(command: Command) -> Intent:
    return Intent(
        kind=ACT,
        venue=command.venue,
        account=str(command.account),
        rank=command.rank,
        value_wei=command.call.value_wei,
        max_cost_wei=command.spend_max_wei,
        deadline_block=command.deadline_block,
        decided_hash=command.decided_hash,
        command_id=command.id,
        command_kind=command.kind,
        to=command.call.to,
        data=command.call.data,
        gas=command.gas,
        decided_number=command.decided_number,
    )


def _nothing(intent: Intent, lane: Lane) -> Intent:
    return replace(intent, to=lane.address, data="0x", value_wei=0, gas=TRANSFER_GAS)
