"""What the ledger keeps, as frozen records: lanes, slots, attempts, receipts and what to bind.

Knows no SQL and no network: the records pass between the ledger's thread and the loop.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from keeper.domain.units import Address, Hash


ACT: Final = "act"
CANCEL: Final = "cancel"
FILL: Final = "fill"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One set of signed bytes for one nonce; `seq` counts replacements from 0."""

    hash: Hash
    lane: Address
    nonce: int
    seq: int
    raw: bytes
    tip_wei: int
    cap_wei: int
    gas: int
    value_wei: int
    kind: str
    signed_at_ns: int
    l1_fee_max_wei: int = 0  # what a rollup may charge for the data besides gas

    @property
    def cost_max_wei(self) -> int:
        """Return the most these bytes can cost."""
        return self.gas * self.cap_wei + self.value_wei + self.l1_fee_max_wei


@dataclass(frozen=True, slots=True)
class Intent:
    """What a slot is for. `command_id` is None for our own housekeeping (a fill)."""

    kind: str
    venue: str
    account: str
    rank: int
    value_wei: int
    max_cost_wei: int
    deadline_block: int
    decided_hash: Hash
    command_id: int | None
    command_kind: str | None
    to: Address
    data: str
    gas: int
    decided_number: int
    state: str = "BOUND"
    priority: tuple[int, float] = (0, 0.0)  # as its command has it: the smaller is the better
    hurried: bool = False  # sent before its trial had ended


class Binding(NamedTuple):
    """A nonce to be bound: what for, its first bytes, and the epoch they were signed under."""

    intent: Intent
    attempt: Attempt
    epoch: int


class Claim(NamedTuple):
    """An intent that holds a nonce or held it: its bytes are those up to `seq_last`."""

    intent_id: int
    intent: Intent
    seq_last: int


@dataclass(frozen=True, slots=True)
class Slot:
    """One nonce of a lane with every attempt for it, oldest first.

    `intent` is what its newest bytes are for; `displaced` gave the nonce up to it, oldest first,
    and their bytes may still be the ones that land: only a receipt says whose the slot was.
    """

    lane: Address
    nonce: int
    intent_id: int
    state: str
    won: Hash | None
    intent: Intent
    attempts: tuple[Attempt, ...]
    block_number: int | None = None
    block_hash: Hash | None = None
    displaced: tuple[Claim, ...] = ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Return every intent whose bytes may win, in the order of their bytes."""
        return (*self.displaced, Claim(self.intent_id, self.intent, self.last.seq))

    def claim(self, attempt: Hash | None) -> Claim:
        """Return whose bytes an attempt's are; the holder's where it is None."""
        seq = next((each.seq for each in self.attempts if each.hash == attempt), self.last.seq)
        return next(each for each in self.claims if seq <= each.seq_last)

    def act_of(self, claim: Claim) -> Attempt:
        """Return the newest attempt that carries a claim's own call."""
        if claim.intent_id == self.intent_id:
            return self.act
        return next(each for each in self.attempts if each.seq == claim.seq_last)

    @property
    def last(self) -> Attempt:
        """Return the newest attempt: the bytes to rebroadcast."""
        return self.attempts[-1]

    @property
    def act(self) -> Attempt:
        """Return the newest attempt that carries the intent, for what is told of a command."""
        acts = [each for each in self.attempts if each.kind == self.intent.kind]
        return acts[-1] if acts else self.last

    @property
    def given_up(self) -> bool:
        """Tell whether its newest bytes must never be sent again.

        They are those of an action whose account has another one by now.
        """
        return self.last.kind == ACT and self.intent.state != "BOUND"

    @property
    def reserved_wei(self) -> int:
        """Return what is set aside for it: only one attempt can win."""
        return max(each.cost_max_wei for each in self.attempts)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an attempt was found; `cost_wei` is gas, data fee and, where it succeeded, value."""

    hash: Hash
    block_hash: Hash
    block_number: int
    index: int
    succeeded: bool
    gas_used: int
    price_wei: int
    l1_fee_wei: int = 0


class Outcome(NamedTuple):
    """What a receipt made of a slot: the winning intent's state and why, and what it cost."""

    slot: Slot
    receipt: Receipt
    cost_wei: int
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane as it is stored."""

    address: Address
    epoch: int
    state: str
    next_nonce: int


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """A breaker as it is stored: open or not, why, and from where on it counts again."""

    name: str
    tripped: bool
    detail: str
    at_ns: int
    since_block: int
    since_wei: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One route's answer to one set of bytes: a record for people, nothing depends on it."""

    hash: Hash
    route: str
    at_ns: int
    outcome: str
    code: int | None
    latency_us: int


@dataclass(frozen=True, slots=True)
class CapParameters:
    """Most that may be reserved and spent, in wei; `total` is over the ledger's whole life.

    Hours and days are of unix time, by when an intent's first bytes were signed.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    transaction_wei_max: int = 2 * 10**18
    lane_day_wei_max: int = 20 * 10**18
    day_wei_max: int = 50 * 10**18
    intent_wei_max: int = 2 * 10**18
    hour_wei_max: int = 30 * 10**18
    total_wei_max: int = 1_000 * 10**18
