"""Lanes: one sender's sequence of nonces each, in memory as they are in the ledger.

Knows states and slots; it must not sign, send or store. The state machine is the table MOVES:
what is not in it is forbidden. Inside a lane nonce order is rank order, because one writer takes
commands in rank order and always binds the next nonce.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from keeper.chain.keys.signer import Signer
from keeper.chain.ledger.rows import LaneRow, Slot
from keeper.domain.errors import InvariantViolation
from keeper.domain.units import Address, Hash


READY: Final = "READY"
STARVED: Final = "STARVED"
QUARANTINE: Final = "QUARANTINE"
PAUSED: Final = "PAUSED"
NO_FREE_SLOT: Final = "no_free_slot"

# What the world tells (short, funded, foreign, delegated) may come at any time; an operator's
# word (pause, resume, acknowledge) has its place. (state, signal) → state.
MOVES: Final[dict[tuple[str, str], str]] = {
    (READY, "short"): STARVED,
    (READY, "funded"): READY,
    (READY, "foreign"): QUARANTINE,
    (READY, "pause"): PAUSED,
    (STARVED, "short"): STARVED,
    (STARVED, "funded"): READY,
    (STARVED, "foreign"): QUARANTINE,
    (STARVED, "pause"): PAUSED,
    (PAUSED, "short"): PAUSED,
    (PAUSED, "funded"): PAUSED,
    (PAUSED, "foreign"): QUARANTINE,
    (PAUSED, "resume"): READY,
    (QUARANTINE, "short"): QUARANTINE,
    (QUARANTINE, "funded"): QUARANTINE,
    (QUARANTINE, "foreign"): QUARANTINE,
    (QUARANTINE, "acknowledge"): READY,
    # A delegated sender (EIP-7702) may have one transaction in flight, and others may move it.
    (READY, "delegated"): QUARANTINE,
    (STARVED, "delegated"): QUARANTINE,
    (PAUSED, "delegated"): QUARANTINE,
    (QUARANTINE, "delegated"): QUARANTINE,
}


def move(state: str, signal: str) -> str:
    """Return the state after a signal; raises InvariantViolation for a forbidden one."""
    after = MOVES.get((state, signal))
    if after is None:
        raise InvariantViolation(f"a lane that is {state} cannot take {signal!r}")
    return after


@dataclass(frozen=True, slots=True)
class LaneParameters:
    """Limits of one lane; geth promises room for 16 executable transactions an account.

    `own` names the limits of lanes that have one of their own; the others have `in_flight_max`.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    in_flight_max: int = 16
    own: tuple[tuple[Address, int], ...] = ()

    def in_flight_max_of(self, lane: Address) -> int:
        """Return how many transactions of a lane may be in flight."""
        return dict(self.own).get(lane, self.in_flight_max)


@dataclass(slots=True)
class Lane:
    """One sender: its state, its next nonce and its open slots by nonce (not the FINAL ones)."""

    signer: Signer
    epoch: int
    state: str
    next_nonce: int
    in_flight_max: int
    balance_wei: int = 0
    promised: int = 0  # nonces of a group that is being signed, not committed yet
    promised_wei: int = 0
    slots: dict[int, Slot] = field(default_factory=dict)
    _live: dict[int, Slot] = field(default_factory=dict)
    _served: dict[tuple[str, str], dict[int, tuple[int, Hash]]] = field(default_factory=dict)

    @property
    def address(self) -> Address:
        """Return the sender's address."""
        return self.signer.address

    def live(self) -> list[Slot]:
        """Return the slots that may still come to be on chain, by nonce."""
        return [self._live[nonce] for nonce in sorted(self._live)]

    @property
    def free(self) -> int:
        """Return how many more transactions may be in flight; none unless READY."""
        if self.state != READY:
            return 0
        return max(self.in_flight_max - len(self._live) - self.promised, 0)

    @property
    def spendable_wei(self) -> int:
        """Return the balance less all that live slots have set aside, and what is promised."""
        reserved = sum(slot.reserved_wei for slot in self._live.values())
        return self.balance_wei - reserved - self.promised_wei

    def put(self, slot: Slot) -> None:
        """Take a slot as the ledger has it now."""
        self.slots[slot.nonce] = slot
        if slot.state == "LIVE":
            self._live[slot.nonce] = slot
        else:
            self._live.pop(slot.nonce, None)
        self._note(slot)
        self.next_nonce = max(self.next_nonce, slot.nonce + 1)

    def close(self, slot: Slot) -> None:
        """Let go of a slot that is final."""
        del self.slots[slot.nonce]
        self._note(replace(slot, block_number=None))

    def served(self, venue: str, account: str) -> list[tuple[int, Hash]]:
        """Return the blocks, not final yet, in which our bytes for an account are."""
        return list(self._served.get((venue, account), {}).values())

    def _note(self, slot: Slot) -> None:
        """Keep `_served` as the slot says: of all its claims only the winner was served."""
        for claim in slot.claims:
            key = (claim.intent.venue, claim.intent.account)
            self._served.get(key, {}).pop(slot.nonce, None)
            if not self._served.get(key, True):
                del self._served[key]
        if slot.block_number is not None and slot.block_hash is not None:
            winner = slot.claim(slot.won).intent
            blocks = self._served.setdefault((winner.venue, winner.account), {})
            blocks[slot.nonce] = (slot.block_number, slot.block_hash)

    def row(self) -> LaneRow:
        """Return the lane as it is to be stored."""
        return LaneRow(self.address, self.epoch, self.state, self.next_nonce)


class Lanes:
    """All lanes of one chain, in the order of their addresses."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = {lane.address: lane for lane in sorted(lanes, key=lambda each: each.address)}
        if len(self._lanes) != len(lanes):
            raise InvariantViolation("two lanes share an address")

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __getitem__(self, address: Address) -> Lane:
        return self._lanes[address]

    def pick(self, sender: Address | None, cost_wei: int) -> Lane | str:
        """Return the lane for a command that costs at most `cost_wei`, or why there is none.

        A named sender is its own lane; else the one with most free slots, the first of equals.
        Reasons: "unknown_sender", "lane_not_ready", "no_free_slot", "insufficient_balance".
        """
        if sender is not None and sender not in self._lanes:
            return "unknown_sender"
        lanes = [self._lanes[sender]] if sender is not None else list(self)
        ready = [lane for lane in lanes if lane.state == READY]
        if not ready:
            return "lane_not_ready"
        free = [lane for lane in ready if lane.free]
        if not free:
            return NO_FREE_SLOT
        rich = [lane for lane in free if lane.spendable_wei >= cost_wei]
        return max(rich, key=lambda lane: lane.free) if rich else "insufficient_balance"

    def is_live(self, venue: str, account: str) -> bool:
        """Tell whether bytes for an account may still come to be on chain, on any lane."""
        return any(
            claim.intent.account == account and claim.intent.venue == venue
            for lane in self
            for slot in lane.live()
            for claim in slot.claims
        )

    def served(self, venue: str, account: str) -> list[tuple[int, Hash]]:
        """Return the blocks, not final yet, in which our bytes for an account are."""
        return [block for lane in self for block in lane.served(venue, account)]

    def likely(self, sender: Address | None) -> Address:
        """Return from whom a call is to be tried before its lane is picked."""
        if sender is not None:
            return sender
        return max(self, key=lambda lane: lane.free).address
