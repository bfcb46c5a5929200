"""What happened: frozen facts in the past tense, the only input of the machine.

Everything the world tells us becomes one of these, gets a number and a time (`Entry`) and is
journaled before it is applied. No event holds an object that JSON cannot carry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keeper.domain.units import Address, Hash


class Log(NamedTuple):
    """One log of a block, as the node gave it: hex strings, lower case."""

    address: Address
    topics: tuple[str, ...]
    data: str
    log_index: int
    transaction: Hash


@dataclass(frozen=True, slots=True)
class Started:
    """The first entry of every journal: what this run begins from."""

    version: str
    config_digest: str
    snapshot_file: str
    snapshot_digest: str
    next_command_id: int


@dataclass(frozen=True, slots=True)
class BlockSealed:
    """A block with all its logs of the watched addresses, in log order.

    `parent` is the tip we stood on; a branch is announced by `ChainRewound` first. Only a block
    that was the head when it was sealed (`at_tip`) is decided on: catching up is folding only.
    `logs` are a tuple, or `keeper.domain.logs.Logs` where there are many.
    """

    chain_id: int
    number: int
    hash: Hash
    parent: Hash
    timestamp: int
    base_fee_wei: int
    gas_limit: int
    at_tip: bool
    received_ns: int
    logs: Sequence[Log]


@dataclass(frozen=True, slots=True)
class ChainRewound:
    """The chain left our branch; `number`/`hash` is the common ancestor we go back to."""

    chain_id: int
    number: int
    hash: Hash


@dataclass(frozen=True, slots=True)
class OracleUpdated:
    """An off-chain stream gave a price for an underlying."""

    source: str
    underlying: str
    price_usd: float
    published_ms: int


@dataclass(frozen=True, slots=True)
class PayloadReceived:
    """A publisher signed feed data that any transaction may carry to the chain until `deadline`.

    `feed` is the contract that accepts it, `payload` what it accepts as hex; times are unix
    seconds.
    """

    source: str
    feed: Address
    payload: str
    timestamp: int
    deadline: int


@dataclass(frozen=True, slots=True)
class RoundObserved:
    """A Chainlink-shaped feed's views, read at one block; nothing of it is told by a log.

    `subject` is the underlying the feed prices, or "sequencer" for an L2's uptime feed. The answer
    is in the feed's own decimals; `decimals_expected` is -1 where none were configured; times are
    unix seconds.
    """

    source: str
    subject: str
    feed: Address
    aggregator: Address
    phase: int
    decimals: int
    decimals_expected: int
    heartbeat_s: int
    round: int
    answer: int
    started_s: int
    updated_s: int


@dataclass(frozen=True, slots=True)
class PriceObserved:
    """The price that a Pyth-shaped contract holds of one id, read at one block.

    `subject` is the underlying; price and confidence (an interval either way) are in `decimals`,
    minus the contract's exponent; `decimals_expected` is -1 where none were configured. Older than
    `heartbeat_s` it is stale, and less sure than `confidence_min_ppm` it is doubted. `fee_wei` is
    what the newest update heard off-chain costs to bring, 0 while none was; times are unix seconds.
    """

    source: str
    subject: str
    feed: Address
    price_id: str
    price: int
    confidence: int
    decimals: int
    decimals_expected: int
    published_s: int
    heartbeat_s: int
    confidence_min_ppm: int
    fee_wei: int


@dataclass(frozen=True, slots=True)
class StateAudited:
    """Our figures were compared with the chain's own views at one block hash.

    `full` where every account was asked, each at this block or at a later one of its branch;
    `drift` names the first difference, "" where there is none.
    """

    venue: str
    number: int
    hash: Hash
    accounts: int
    full: bool
    drift: str


@dataclass(frozen=True, slots=True)
class RulesObserved:
    """A contract's code, owner or pause was seen to change though no log of ours told it."""

    venue: str
    subject: str
    change: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed with nothing else to tell."""


@dataclass(frozen=True, slots=True)
class LaneObserved:
    """A lane as the shell sees it: what it can spend, and how many slots are free."""

    lane: Address
    state: str
    balance_wei: int
    slots_free: int


@dataclass(frozen=True, slots=True)
class PreflightPassed:
    """`eth_call` of the exact calldata at the decided block hash succeeded."""

    command_id: int


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """The command will not be sent, and provably was not.

    `stage` is where it ended: "observe", "simulate", "preflight", "lane", "cap", "ledger",
    "breaker",
    "expired". `reason` is a classified word (the venue's name of a revert, "no_answer", ...).
    """

    command_id: int
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class CommandCommitted:
    """Signed bytes and their reservation are durable: from here on the command may be on chain."""

    command_id: int
    lane: Address
    nonce: int
    transaction: Hash


@dataclass(frozen=True, slots=True)
class CommandDisplaced:
    """Its nonce was given to a better command, `by`; its bytes are out and may still be included.

    Whose the nonce was is told by the receipt: the other one is then dropped, and decided anew.
    """

    command_id: int
    by: int
    lane: Address
    nonce: int


@dataclass(frozen=True, slots=True)
class CommandSent:
    """At least one route was given the bytes; `accepted` routes said yes."""

    command_id: int
    transaction: Hash
    routes: int
    accepted: int


@dataclass(frozen=True, slots=True)
class TransactionIncluded:
    """In a block of our branch, and it succeeded."""

    command_id: int
    transaction: Hash
    number: int
    block: Hash
    gas_used: int
    price_wei: int


@dataclass(frozen=True, slots=True)
class TransactionReverted:
    """In a block of our branch, and it failed; `reason` is the classified revert."""

    command_id: int
    transaction: Hash
    number: int
    block: Hash
    gas_used: int
    price_wei: int
    reason: str


@dataclass(frozen=True, slots=True)
class TransactionOrphaned:
    """Its block left the chain: the slot is live again and the bytes are rebroadcast."""

    command_id: int
    transaction: Hash


@dataclass(frozen=True, slots=True)
class TransactionDropped:
    """Its slot was consumed by other bytes of ours or by a stranger.

    `reason`: "cancelled", "foreign", "displaced" by a better command, or "outrun" by the older
    bytes of the command it had displaced.
    """

    command_id: int
    transaction: Hash
    reason: str


Event = (
    Started
    | BlockSealed
    | ChainRewound
    | OracleUpdated
    | PayloadReceived
    | RoundObserved
    | PriceObserved
    | StateAudited
    | RulesObserved
    | Ticked
    | LaneObserved
    | PreflightPassed
    | CommandRefused
    | CommandCommitted
    | CommandDisplaced
    | CommandSent
    | TransactionIncluded
    | TransactionReverted
    | TransactionOrphaned
    | TransactionDropped
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its place in the one total order; `at_ns` is unix time, nanoseconds."""

    seq: int
    at_ns: int
    event: Event
