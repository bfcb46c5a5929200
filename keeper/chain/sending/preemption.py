"""Which live action gives its nonce to a better breach that came later and found no place.

Nonce order is priority order inside a lane, and a lane has few places: the one legal reordering is
to replace the bytes of the worst that is not included yet by those of the better one, which take
the same nonce. `displacements` is a pure decision; `Preemption` asks it about real lanes within a
block's budget. It must not sign or send, nor know what makes one breach better: that is the
commands' priority.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from keeper.chain.ledger.rows import ACT, Slot
from keeper.chain.sending import fees
from keeper.chain.sending.base_fee import Ahead
from keeper.chain.sending.fees import Fee, FeeParameters
from keeper.chain.sending.intents import Passed, offer_of
from keeper.chain.sending.lanes import READY, Lane, Lanes
from keeper.domain.units import Address


Priority = tuple[int, float]
Account = tuple[str, str]

# Who was displaced is remembered for so many blocks, and so many accounts.
_REMEMBERED_BLOCKS: Final = 64
_REMEMBERED_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class PreemptionParameters:
    """When displacing is worth what it costs.

    per_block_max  displacements of one block; 0: a better breach waits like any other
    age_blocks_max a place held for longer is about to be included, or about to be healed: left
    again_max      how often one account may be displaced before it keeps its place
    bump_wei_max   what all of one block's may add to the newcomers' own tips
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    per_block_max: int = 4
    age_blocks_max: int = 3
    again_max: int = 2
    bump_wei_max: int = 10**15


class Newcomer(NamedTuple):
    """A command without a place: its id, its priority, from whom it must come."""

    command_id: int
    priority: Priority
    sender: Address | None


class Place(NamedTuple):
    """A nonce that a command holds, not on chain as of the head we follow."""

    command_id: int
    priority: Priority
    lane: Address
    nonce: int
    held_blocks: int
    displaced: int  # how often its account was displaced before


class Displacement(NamedTuple):
    """Let `newcomer` take the nonce that `displaced` holds, at `bump_wei` over its own tip."""

    newcomer: int
    displaced: int
    lane: Address
    nonce: int
    bump_wei: int


# What taking a place adds to a newcomer's own tip, None where it cannot pay that.
Quote = Callable[[Newcomer, Place], int | None]


def displacements(
    newcomers: Sequence[Newcomer],
    places: Sequence[Place],
    parameters: PreemptionParameters,
    quote: Quote,
) -> list[Displacement]:
    """Return who takes whose place, best newcomer first.

    Each place is given away at most once and to a better breach only, the worst place first; of
    equals the one bound last, so that the nonces before it keep their order. A newcomer that must
    come from one sender takes places of that lane alone. Equals in tier and worth displace nobody,
    though ids would order them strictly: to pay a bump for those would be to pay for an alphabet.
    """
    open_places = [
        place
        for place in places
        if place.held_blocks <= parameters.age_blocks_max and place.displaced < parameters.again_max
    ]
    # Worst last, and of equal ones the highest nonce last: taken from the end.
    open_places.sort(key=lambda each: (each.priority, each.lane, each.nonce))
    found: list[Displacement] = []
    left_wei = parameters.bump_wei_max
    for newcomer in sorted(newcomers, key=lambda each: (each.priority, each.command_id)):
        if len(found) >= parameters.per_block_max:
            break
        taken = _worst_for(newcomer, open_places, left_wei, quote)
        if taken is None:
            continue
        place, bump_wei = taken
        open_places.remove(place)
        left_wei -= bump_wei
        found.append(
            Displacement(newcomer.command_id, place.command_id, place.lane, place.nonce, bump_wei)
        )
    return found


def _worst_for(
    newcomer: Newcomer, places: Sequence[Place], left_wei: int, quote: Quote
) -> tuple[Place, int] | None:
    for place in reversed(places):
        if not newcomer.priority < place.priority:
            return None  # what is left is better still
        if newcomer.sender in (None, place.lane):
            bump_wei = quote(newcomer, place)
            if bump_wei is not None and bump_wei <= left_wei:
                return place, bump_wei
    return None


class Chosen(NamedTuple):
    """A displacement that can be carried out: the newcomer, the slot it takes, its fees."""

    passed: Passed
    slot: Slot
    fee: Fee
    bump_wei: int


class Preemption:
    """Displacements of one executor; its memory is of a block, and of who gave way lately."""

    def __init__(self, parameters: PreemptionParameters, fee_parameters: FeeParameters) -> None:
        self._parameters = parameters
        self._fees = fee_parameters
        self._number = -1
        self._left = parameters
        self._gave_way: dict[Account, tuple[int, int]] = {}  # times, and the last block

    def choose(
        self, waiting: Sequence[Passed], lanes: Lanes, number: int, ahead: Ahead
    ) -> list[Chosen]:
        """Return what is to be carried out now for commands that found no place."""
        if number != self._number:
            self._number, self._left = number, self._parameters
        slots = {
            (lane.address, slot.nonce): slot
            for lane in lanes
            if lane.state == READY
            for slot in lane.live()
            if slot.last.kind == ACT and slot.intent.state == "BOUND"
        }
        places = [self._place(slot, number) for slot in slots.values()]
        by_id = {each.command.id: each for each in waiting}

        def quote(newcomer: Newcomer, place: Place) -> int | None:
            offered = self._offer(
                by_id[newcomer.command_id],
                lanes[place.lane],
                slots[place.lane, place.nonce],
                number,
                ahead,
            )
            return None if offered is None else offered[1]

        newcomers = [
            Newcomer(each.command.id, each.command.priority, each.command.sender)
            for each in waiting
        ]
        chosen = []
        for each in displacements(newcomers, places, self._left, quote):
            passed, slot = by_id[each.newcomer], slots[each.lane, each.nonce]
            offered = self._offer(passed, lanes[each.lane], slot, number, ahead)
            assert offered is not None, "what was quoted can be offered"
            chosen.append(Chosen(passed, slot, *offered))
        return chosen

    def carried_out(self, chosen: Chosen) -> None:
        """Learn that a displacement is durable: it counts against the block and the account."""
        left = self._left
        self._left = PreemptionParameters(
            left.per_block_max - 1,
            left.age_blocks_max,
            left.again_max,
            left.bump_wei_max - chosen.bump_wei,
        )
        account = _account(chosen.slot)
        times = self._times(account, self._number) + 1
        self._gave_way.pop(account, None)
        self._gave_way[account] = (times, self._number)
        while len(self._gave_way) > _REMEMBERED_MAX:
            del self._gave_way[next(iter(self._gave_way))]

    def _place(self, slot: Slot, number: int) -> Place:
        intent = slot.intent
        assert intent.command_id is not None, "an action has a command"
        held = number - intent.decided_number
        times = self._times(_account(slot), number)
        return Place(intent.command_id, intent.priority, slot.lane, slot.nonce, held, times)

    def _times(self, account: Account, number: int) -> int:
        times, last = self._gave_way.get(account, (0, number))
        return times if number - last <= _REMEMBERED_BLOCKS else 0

    def _offer(
        self, passed: Passed, lane: Lane, slot: Slot, number: int, ahead: Ahead
    ) -> tuple[Fee, int] | None:
        """Return the fees with which a command takes a slot, and what that adds to its own tip."""
        offer = offer_of(passed, passed.command.deadline_block - number - 1)
        old = Fee(slot.last.tip_wei, slot.last.cap_wei)
        offered = fees.outbidding_fee(old, offer, ahead, self._fees)
        if offered is None:
            return None
        cost_wei = offer.gas * offered[0].cap_wei + offer.value_wei
        return offered if cost_wei <= lane.spendable_wei + slot.reserved_wei else None


def _account(slot: Slot) -> Account:
    return slot.intent.venue, slot.intent.account
