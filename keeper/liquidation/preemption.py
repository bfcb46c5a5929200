"""Which queued or live action gives its place to a better breach that came later.

Nonce order is priority order inside a lane, and a lane has few places: the one legal reordering is
to replace the worst that is still unserved by the better one, whose bytes take the same nonce. A
pure decision: it returns requests, and the sender may find that a place is gone by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keeper.domain.units import Address
from keeper.liquidation.priority import Key


@dataclass(frozen=True, slots=True)
class PreemptionRule:
    """When displacing is worth what it costs.

    per_block_max  displacements of one decision
    age_blocks_max a place held for longer is about to be included, or about to be healed: left
    again_max      how often one account may be displaced before it keeps its place for good
    """

    per_block_max: int = 4
    age_blocks_max: int = 3
    again_max: int = 2


class Newcomer(NamedTuple):
    """A decided action without a place: its id, its key in the order, from whom it must come."""

    command_id: int
    key: Key
    sender: Address | None
    cost_wei: int  # the most it may spend


class Place(NamedTuple):
    """A nonce that a command holds, not on chain yet as far as we know."""

    command_id: int
    key: Key
    lane: Address
    nonce: int
    held_blocks: int
    displaced: int  # how often its account was displaced before
    bump_wei: int  # what outbidding its newest bytes costs the newcomer besides its own fees


class Displacement(NamedTuple):
    """Let `newcomer` take the nonce that `displaced` holds; `displaced` is to be decided anew."""

    newcomer: int
    displaced: int
    lane: Address
    nonce: int


def better(one: Key, other: Key) -> bool:
    """Tell whether a breach is better served first by its worth; ties in worth displace nobody.

    The ends of a key, venue and account, make an order strict and say nothing of value: to pay a
    bump for them would be to pay for an alphabet.
    """
    return one[:2] < other[:2]


def displacements(
    newcomers: Sequence[Newcomer],
    places: Sequence[Place],
    free: int,
    rule: PreemptionRule,
    budget_wei: int,
) -> list[Displacement]:
    """Return who takes whose place, best newcomer first; `free` places are taken by the best.

    Each place is given away at most once and to a better breach only, the worst place first; of
    equals the one bound last, so that the nonces before it keep their order. A newcomer that must
    come from one sender takes places of that lane alone. All bumps together stay in `budget_wei`.
    """
    waiting = sorted(newcomers, key=lambda each: each.key)[free:]
    open_places = [
        place
        for place in places
        if place.held_blocks <= rule.age_blocks_max and place.displaced < rule.again_max
    ]
    # Worst last, and of equal ones the highest nonce last: taken from the end.
    open_places.sort(key=lambda place: (place.key, place.lane, place.nonce))
    found: list[Displacement] = []
    left_wei = budget_wei
    for newcomer in waiting:
        if len(found) >= rule.per_block_max:
            break
        place = _worst_for(newcomer, open_places, left_wei)
        if place is None:
            continue
        open_places.remove(place)
        left_wei -= place.bump_wei
        found.append(Displacement(newcomer.command_id, place.command_id, place.lane, place.nonce))
    return found


def _worst_for(newcomer: Newcomer, places: Sequence[Place], left_wei: int) -> Place | None:
    for place in reversed(places):
        if not better(newcomer.key, place.key):
            return None  # what is left is better still
        if newcomer.sender in (None, place.lane) and place.bump_wei <= left_wei:
            return place
    return None
