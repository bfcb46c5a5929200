"""The socket a protocol fills: pure, synchronous, arrays where there are many.

The machine knows venues only through this; nothing here assumes EVM margin or any one protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keeper.domain.effects import Call, Notice
from keeper.domain.events import (
    BlockSealed,
    CommandRefused,
    Log,
    OracleUpdated,
    PayloadReceived,
    PriceObserved,
    RoundObserved,
)
from keeper.domain.units import AccountId, Address
from keeper.liquidation.strategy import Bidder, Opportunity, Proposal
from keeper.margin.book import Book, Flags, Floats, Ints, Market, Method, Result


@dataclass(frozen=True, slots=True)
class PushRefused:
    """The venue's newest push was refused, for this reason, and was not sent."""

    reason: str


# What is told to venues besides logs. None of it is state of the chain: no reorg takes it back.
Heard = (
    OracleUpdated | PayloadReceived | RoundObserved | PriceObserved | CommandRefused | PushRefused
)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A book's accounts, row by row, on quotes that signed data of ours would bring."""

    book: Book
    market: Market


@dataclass(frozen=True, slots=True)
class VenueBook:
    """The accounts of one risk contract, ready for margin; all columns are (account,).

    accounts   int64, the venue's account ids, ascending
    accrued    float64 USD, cash that accrued and is not stored yet: `book.cash` is as stored,
               which is what the chain's views show; stored plus accrued is what decides
    attention  True where something may be done even without a breach: a live auction, options
               that expired and stand unsettled
    ahead      the same accounts on newer quotes that an action could bring; None: there are none
    """

    underlying: str
    accounts: Ints
    book: Book
    market: Market
    method: Method
    accrued: Floats
    attention: Flags
    ahead: Ahead | None = None


@dataclass(frozen=True, slots=True)
class Margined:
    """A venue book with its results: as the chain's views show it, and as it is.

    Flags are (account,), None: nowhere. `leads` is True where `accrued` stands on the quotes ahead
    and not on the chain's: what is done there must bring them. `cleared` is True where a proved
    bound says that the chain's quotes show no breach, and nothing was computed on them: those
    figures are the last computed, moved by cash and what is carried, and must not be shown as
    this block's before `keeper.machine.compute`.
    """

    book: VenueBook
    stored: Result
    accrued: Result
    leads: Flags | None = None
    cleared: Flags | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A proposal as a call; `sender` is None where anyone may send it."""

    call: Call
    gas: int
    sender: Address | None


@dataclass(frozen=True, slots=True)
class Push:
    """What brings a venue's feeds up to date: so many payloads, and those for which no room is.

    `encoded` is None where there is nothing to bring, or room for none of it.
    """

    encoded: Encoded | None
    payloads: int
    left: int


class Folding(Protocol):
    """What folds logs one by one."""

    def decode(self, log: Log) -> object | None:
        """Return the log as an event, None where it moves nothing; raises UndecodableLog."""

    def fold(self, event: Any, block: BlockSealed) -> None:
        """Write an event."""


def fold_each(folding: Folding, logs: Sequence[Log], block: BlockSealed) -> None:
    """Decode and fold logs one by one; raises UndecodableLog for the first that does not fit."""
    for log in logs:
        event = folding.decode(log)
        if event is not None:
            folding.fold(event, block)


class Venue(Protocol):
    """One protocol on one chain. Holds no state but tables written through the undo log."""

    @property
    def name(self) -> str:
        """Return the configured name: the first half of every account's key."""

    def watch(self) -> tuple[Address, ...]:
        """Return the addresses whose logs fold into our state."""

    def load(self, snapshot: Mapping[str, Any]) -> None:
        """Write a snapshot's rows to the tables; raises MalformedRecord."""

    def decode(self, log: Log) -> object | None:
        """Return the log as a venue event, None for a topic that moves no state of ours.

        Raises UndecodableLog for a known topic with a body that does not fit.
        """

    def fold(self, event: Any, block: BlockSealed) -> None:
        """Write an event to the tables, through the undo log only."""

    def fold_logs(self, logs: Sequence[Log], block: BlockSealed) -> None:
        """Decode and fold a block's logs of ours; the same as one by one, in order.

        Raises UndecodableLog for the first that does not fit: all before it are folded, none after.
        """

    def hear(self, event: Heard) -> None:
        """Take note of what is told besides logs: prices, signed data, rounds, refusals."""

    def accrue(self, timestamp: int) -> None:
        """Move what time alone moves to `timestamp`: derived values only, never the tables."""

    def books(self) -> Sequence[VenueBook]:
        """Return every supported account at the accrued timestamp."""

    def unsupported(self) -> int:
        """Return how many accounts stand under a manager we do not model."""

    def opportunities(self, margined: Margined, breaches: Ints) -> Sequence[Opportunity]:
        """Return what can be done about accounts (rows of the book) in breach or attention."""

    def bidders(self) -> Sequence[Bidder]:
        """Return our own accounts with the cash they hold now."""

    def encode(self, opportunity: Opportunity, proposal: Proposal) -> Encoded:
        """Return the call for a proposal; raises InvariantViolation for an impossible one."""

    def push(self, gas_max: int) -> Push | None:
        """Return the newest data we hold that are newer than the feeds', as one call of its own.

        At the accrued timestamp, within a gas limit; None where this venue takes no such call.
        """

    def reason(self, data: str) -> str:
        """Return the classified name of revert data, "unknown" where it is not ours."""

    def quotes(self) -> tuple[tuple[str, str], ...]:
        """Return (required quote, OK/STALE/SUSPECT/HALTED) at the accrued timestamp."""

    def quote_ages(self) -> tuple[tuple[str, float], ...]:
        """Return (required quote, age over heartbeat); one that never grows old is left out."""

    def notices(self) -> Sequence[Notice]:
        """Return and forget what folding found worth telling."""

    def moved(self) -> Sequence[str]:
        """Return and forget which of the venue's rules the logs of this block changed."""

    def owned(self) -> tuple[AccountId, ...]:
        """Return our own accounts: never liquidated by us."""
