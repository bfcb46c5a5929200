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

from keeper.chain.keys.signer import SigningForbidden
from keeper.chain.ledger.rows import ACT, CANCEL, Attempt, Binding, Delivery, Intent, Slot
from keeper.chain.ledger.store import Ledger
from keeper.chain.routes.book import RouteBook, book_of
from keeper.chain.routes.routing import Route, Sent, broadcast
from keeper.chain.sending import fees
from keeper.chain.sending.base_fee import NOTHING_AHEAD, OP_STACK, Ahead
from keeper.chain.sending.breakers import Breakers
from keeper.chain.sending.fees import Fee, FeeParameters, Offer
from keeper.chain.sending.intents import TRANSFER_GAS, Passed, emptied, filling, intent_of, offer_of
from keeper.chain.sending.lanes import NO_FREE_SLOT, Lane, Lanes, move
from keeper.chain.sending.pen import NO_SIGNATURE, Pen, Planned
from keeper.chain.sending.precedence import Precedence
from keeper.chain.sending.preemption import Chosen, Preemption, PreemptionParameters
from keeper.chain.sending.refusals import NOT_FOLLOWED, Refused, of_ledger
from keeper.domain.errors import EndpointError
from keeper.domain.units import Hash
from keeper.ports import Clock


Point = Callable[[str], None]
DELIVERIES_WAITING_MAX: Final = 10_000
BRANCH_KEPT: Final = 64


def no_point(_: str) -> None:
    """Do nothing: where a kill test puts its knife."""


class Tip(NamedTuple):
    """The newest head that was seen, and the base fee of the block after it."""

    number: int
    ahead: Ahead

    @property
    def base_next_wei(self) -> int:
        """Return the next block's base fee."""
        return self.ahead.base_next_wei


class Tools(NamedTuple):
    """What bytes are made durable and sent with."""

    ledger: Ledger
    routes: Sequence[Route] | RouteBook
    clock: Clock
    breakers: Breakers
    point: Point = no_point


class Dispatch:
    """Binds commands to nonces, replaces and fills them, and gives their bytes to the routes."""

    def __init__(
        self,
        chain_id: int,
        tools: Tools,
        parameters: FeeParameters,
        housekeeping_wei_max: int,
        preemption: PreemptionParameters | None = None,
    ) -> None:
        self.lanes = Lanes([])
        self.tip = Tip(0, NOTHING_AHEAD)
        # Heads whose receipts were looked at, on the branch we are on; the follower's to fill.
        self.branch: deque[Hash] = deque(maxlen=BRANCH_KEPT)
        self.point = tools.point
        self.precedence = Precedence()
        self._pen = Pen(chain_id, tools.clock, tools.point)
        self._preemption = Preemption(preemption or PreemptionParameters(), parameters)
        self._ledger = tools.ledger
        self._routes = book_of(tools.routes)
        self._clock = tools.clock
        self._breakers = tools.breakers
        self._parameters = parameters
        self._housekeeping_wei_max = housekeeping_wei_max
        self._writer = asyncio.Lock()
        self._deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_WAITING_MAX)

    def see(self, tip: Tip) -> None:
        """Learn of a head, unless a later one is known; a rewind is told by `rewind`."""
        if tip.number >= self.tip.number:
            self.tip = tip
            self._routes.see(tip.number)

    def rewind(self, tip: Tip) -> None:
        """Learn that the chain went back to this head."""
        self.tip = tip
        self._routes.see(tip.number)

    def take_deliveries(self) -> list[Delivery]:
        """Return and forget the routes' answers since the last time."""
        taken = list(self._deliveries)
        self._deliveries.clear()
        return taken

    async def act(
        self, commands: Sequence[Passed], *, preempt: bool = False
    ) -> list[Slot | Refused]:
        """Bind commands, best first, to lanes' next nonces; an answer each, in order.

        The bytes of every slot are durable when this returns. All that fit are committed together;
        where one is refused on the way, what comes after it is planned and signed anew. With
        `preempt`, those that find no place may take one that worse ones hold.
        """
        answers: list[Slot | Refused] = []
        async with self._writer:
            while len(answers) < len(commands):
                answers += await self._act_some(commands[len(answers) :])
            if preempt:
                await self._preempt(commands, answers)
        return answers

    async def fill(self, lane: Lane, nonce: int) -> Slot | str:
        """Heal a gap: bind a nonce that nothing holds to a transfer of nothing to ourselves.

        Raises EndpointError where the signer does not answer.
        """
        intent = filling(lane.address, self._housekeeping_wei_max)
        data_wei = 0
        if self._parameters.base_fee_rule == OP_STACK:
            data_wei = self._parameters.data_fee_transfer_wei_max
        fee = fees.first_fee(self._housekeeping(data_wei), self.tip.ahead, self._parameters)
        if fee is None:
            return "fee_beyond_spend"
        async with self._writer:
            transaction = self._pen.transaction(nonce, fee, intent)
            attempt = await self._pen.sign(lane, transaction, 0, intent.kind, data_wei)
            (bound,) = await self._ledger.bind_group([Binding(intent, attempt, lane.epoch)])
            self.point("after_commit")
            return bound if isinstance(bound, str) else self._put(lane, bound, intent, attempt)

    async def bump(self, lane: Lane, slot: Slot) -> Slot | str:
        """Raise the fees of a slot's newest bytes within its budget; the slot, or why not."""
        stopped = self._breakers.refusal(self.tip.base_next_wei)
        if stopped is not None:
            return stopped
        intent = slot.intent
        kind = slot.last.kind
        data_wei = slot.last.l1_fee_max_wei
        offer = self._housekeeping(data_wei)
        if kind == ACT:
            left = intent.deadline_block - self.tip.number - 1
            offer = Offer(intent.gas, intent.value_wei + data_wei, intent.max_cost_wei, 0, left)
        return await self._replace(lane, slot, kind, offer)

    def should_cancel(self, lane: Lane, slot: Slot) -> bool:
        """Tell whether a late slot's nonce is worth taking back, on its turn.

        It is where its account must not be acted on by it any more, where other bytes wait behind
        it, and where a cancel is cheaper than the revert its own bytes would end in.
        """
        if slot.intent.state != "BOUND" or lane.live()[-1].nonce > slot.nonce:
            return True
        return self.cancel_pays(slot)

    def cancel_pays(self, slot: Slot) -> bool:
        """Tell whether a cancel is cheaper than the revert that a slot's bytes would end in."""
        old = Fee(slot.last.tip_wei, slot.last.cap_wei)
        gas = slot.intent.gas
        return fees.cancel_pays(old, gas, TRANSFER_GAS, self.tip.ahead, self._parameters)

    async def cancel(self, lane: Lane, slot: Slot) -> Slot | str:
        """Replace a slot's bytes by a transfer of nothing to ourselves; the slot, or why not."""
        # Its data is less than the call's, whose fee for it is therefore enough.
        offer = self._housekeeping(slot.last.l1_fee_max_wei)
        return await self._replace(lane, slot, CANCEL, offer)

    async def send(self, attempt: Attempt) -> Sent:
        """Give committed bytes to the routes that are to have them now."""
        self.point("before_send")
        sent = await broadcast(self._routes.choose(attempt), attempt, self._clock)
        self.point("after_send")
        self._routes.score(sent.deliveries)
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
            fee = fees.replacement_fee(old, offer, self.tip.ahead, self._parameters)
            if fee is None:
                return "fee_beyond_spend"
            intent = slot.intent
            if kind != intent.kind:
                intent = emptied(intent, lane.address)
            attempt = await self._sign_next(lane, slot, fee, intent, kind, slot.last.l1_fee_max_wei)
            if isinstance(attempt, str):
                return attempt
            refusal = await self._ledger.replace(attempt, lane.epoch)
            self.point("after_commit")
            if refusal is not None:
                return refusal
            after = replace(slot, attempts=(*slot.attempts, attempt))
            lane.put(after)
            return after

    async def _sign_next(
        self, lane: Lane, slot: Slot, fee: Fee, intent: Intent, kind: str, data_wei: int
    ) -> Attempt | str:
        """Return the next bytes of a slot, or why there are none."""
        transaction = self._pen.transaction(slot.nonce, fee, intent)
        forbidden = lane.signer.refusal(transaction)
        if forbidden is not None:
            return forbidden
        try:
            return await self._pen.sign(lane, transaction, slot.last.seq + 1, kind, data_wei)
        except SigningForbidden as error:
            return error.reason
        except EndpointError:
            return NO_SIGNATURE

    # Pre-emption --------------------------------------------------------------------------------

    async def _preempt(self, commands: Sequence[Passed], answers: list[Slot | Refused]) -> None:
        """Let commands that found no place take those of worse ones, within the rule."""
        waiting = {
            passed.command.id: index
            for index, (passed, answer) in enumerate(zip(commands, answers, strict=True))
            if answer == Refused("lane", NO_FREE_SLOT)
        }
        chosen = self._preemption.choose(
            [commands[index] for index in waiting.values()],
            self.lanes,
            self.tip.number,
            self.tip.ahead,
        )
        for each in chosen:
            answers[waiting[each.passed.command.id]] = await self._displace(each)

    async def _displace(self, chosen: Chosen) -> Slot | Refused:
        """Give a slot's nonce to a better command: its bytes are durable when this returns."""
        passed, slot, fee, _ = chosen
        lane, intent = self.lanes[slot.lane], intent_of(passed)
        stopped = self._stopped(intent, passed.command.deadline_block - self.tip.number - 1)
        if stopped is not None:
            return stopped
        attempt = await self._sign_next(lane, slot, fee, intent, ACT, passed.l1_fee_max_wei)
        if isinstance(attempt, str):
            return Refused("lane", attempt)
        if lane.slots.get(slot.nonce) != slot or not self._is_current(intent):
            return Refused("lane", NO_FREE_SLOT)
        bound = await self._ledger.displace(slot, Binding(intent, attempt, lane.epoch))
        self.point("after_commit")
        if isinstance(bound, str):
            return of_ledger(bound)
        self._preemption.carried_out(chosen)
        after = replace(
            slot,
            intent_id=bound,
            intent=intent,
            attempts=(*slot.attempts, attempt),
            displaced=slot.claims,
        )
        lane.put(after)
        return after

    # A group --------------------------------------------------------------------------------------

    async def _act_some(self, commands: Sequence[Passed]) -> list[Slot | Refused]:
        """Return answers for the first commands, one at least: up to the first that broke a row."""
        answers: dict[int, Slot | Refused] = {}
        planned: list[Planned] = []
        try:
            for index, command in enumerate(commands):
                found = self._plan(index, command)
                if isinstance(found, Refused):
                    answers[index] = found
                else:
                    planned.append(found)
            signed = await self._pen.sign_all(planned)
            # From here to the ledger's thread nothing else runs: what is current stays so.
            for number, plan in enumerate(planned[: len(signed)]):
                intent = plan.intent
                if self.lanes.is_live(intent.venue, intent.account) or not self._is_current(intent):
                    signed = [*signed[:number], NOT_FOLLOWED]
                    break
        finally:
            for each in self.lanes:
                each.promised, each.promised_wei = 0, 0
        bindings = [
            Binding(plan.intent, attempt, plan.lane.epoch)
            for plan, attempt in zip(planned, signed, strict=False)
            if isinstance(attempt, Attempt)
        ]
        bound = await self._ledger.bind_group(bindings) if bindings else []
        self.point("after_commit")
        for plan, binding, answer in zip(planned, bindings, bound, strict=False):
            if isinstance(answer, str):
                answers[plan.place] = of_ledger(answer)
                return [answers[index] for index in range(plan.place + 1)]
            answers[plan.place] = self._put(plan.lane, answer, plan.intent, binding.attempt)
        if len(bindings) < len(planned):
            broken = planned[len(bindings)]
            answers[broken.place] = Refused("lane", str(signed[len(bindings)]))
            return [answers[index] for index in range(broken.place + 1)]
        return [answers[index] for index in range(len(commands))]

    def _plan(self, index: int, passed: Passed) -> Planned | Refused:
        """Choose lane, nonce and fee for a command, and promise the lane's slot to it."""
        command, intent = passed.command, intent_of(passed)
        blocks_left = command.deadline_block - self.tip.number - 1
        stopped = self._stopped(intent, blocks_left)
        if stopped is not None:
            return stopped
        offer = offer_of(passed, blocks_left)
        fee = fees.first_fee(offer, self.tip.ahead, self._parameters)
        if fee is None:
            return Refused("cap", "fee_beyond_spend")
        cost_wei = offer.gas * fee.cap_wei + offer.value_wei
        lane = self.lanes.pick(command.sender, cost_wei)
        if isinstance(lane, str):
            return Refused("lane", lane)
        transaction = self._pen.transaction(lane.next_nonce + lane.promised, fee, intent)
        forbidden = lane.signer.refusal(transaction)
        if forbidden is not None:
            return Refused("lane", forbidden)
        lane.promised += 1
        lane.promised_wei += cost_wei
        return Planned(index, lane, passed, intent, transaction)

    def _stopped(self, intent: Intent, blocks_left: int) -> Refused | None:
        """Return why nothing is to be signed for an intent now, whatever it costs."""
        breaker = self._breakers.refusal(self.tip.base_next_wei)
        if breaker is not None:
            return Refused("breaker", breaker)
        if blocks_left < 0:
            return Refused("expired", "deadline")
        if self.lanes.is_live(intent.venue, intent.account):
            # The ledger refuses it too, but it is ahead of us while an outcome is written down:
            # a decision from before that outcome must not slip in between.
            return Refused("ledger", "live_action")
        return None if self._is_current(intent) else Refused("lane", NOT_FOLLOWED)

    def _is_current(self, intent: Intent) -> bool:
        """Tell whether a command knew of all that was done for its account.

        The ledger refuses a second live action. What it cannot see is a decision from before the
        first one was included, or from another branch than that on which it was.
        """
        served = self.lanes.served(intent.venue, intent.account)
        return all(
            block < intent.decided_number or each == intent.decided_hash for block, each in served
        ) and (not served or intent.decided_hash in self.branch)

    def _put(self, lane: Lane, bound: int, intent: Intent, attempt: Attempt) -> Slot:
        slot = Slot(lane.address, attempt.nonce, bound, "LIVE", None, intent, (attempt,))
        lane.put(slot)
        return slot

    def _housekeeping(self, data_wei: int) -> Offer:
        return Offer(
            TRANSFER_GAS,
            data_wei,
            self._housekeeping_wei_max,
            0,
            self._parameters.growth_blocks_max,
        )
