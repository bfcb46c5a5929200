"""Where signed bytes are given to: routes, and what their answers mean.

Knows bytes and words, no nonces: whatever a route says, the slot stays as it is. A yes is not "in
the pool" and an error is not "not sent"; only the chain decides. The same bytes may go to many
routes, because they have one hash.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eth_hash.auto import keccak

from keeper.chain.ledger.rows import Attempt, Delivery
from keeper.chain.link.transport import Rpc
from keeper.domain.errors import EndpointError, RateLimited, RpcError
from keeper.domain.units import Hash
from keeper.ports import Clock


ACCEPTED: Final = "accepted"
KNOWN: Final = "known"
NONCE_TOO_LOW: Final = "nonce_too_low"
UNDERPRICED: Final = "underpriced"
INSUFFICIENT_FUNDS: Final = "insufficient_funds"
POOL_FULL: Final = "pool_full"
FEE_CAPPED: Final = "fee_capped"  # by the node's own limit on what a transaction may pay
GAS_CAPPED: Final = "gas_capped"  # more gas than the chain lets one transaction have (EIP-7825)
NONCE_TOO_HIGH: Final = "nonce_too_high"  # a node without a queue: what comes before is not there
RATE_LIMITED: Final = "rate_limited"
REFUSED: Final = "refused"  # by a relay's own rules: it says it has not taken the bytes
TOO_LARGE: Final = "too_large"
NO_HEAD: Final = "no_head"  # a bundle names its block, and no head was seen yet
LIED: Final = "lied"  # a yes that names other bytes than ours
UNKNOWN: Final = "unknown"
NO_ANSWER: Final = "no_answer"

# In the words of geth, anvil, reth, Nethermind and Erigon; the first that fits counts.
WORDS: Final[tuple[tuple[str, str], ...]] = (
    ("already known", KNOWN),
    ("already imported", KNOWN),
    ("already in mempool", KNOWN),
    ("known transaction", KNOWN),
    ("alreadyknown", KNOWN),
    ("nonce too low", NONCE_TOO_LOW),
    ("oldnonce", NONCE_TOO_LOW),
    ("nonce is too low", NONCE_TOO_LOW),
    # Nethermind and Arbitrum keep no queue; geth and anvil take such bytes without a word.
    ("nonce too high", NONCE_TOO_HIGH),
    ("noncegap", NONCE_TOO_HIGH),
    ("underpriced", UNDERPRICED),
    ("max fee per gas less than block base fee", UNDERPRICED),
    ("feetoolow", UNDERPRICED),
    ("insufficient funds", INSUFFICIENT_FUNDS),
    ("insufficientfunds", INSUFFICIENT_FUNDS),
    ("txpool is full", POOL_FULL),
    ("exceeds the configured cap", FEE_CAPPED),
    ("gas limit too high", GAS_CAPPED),
    ("exceeds block gas limit", GAS_CAPPED),
    ("oversized data", TOO_LARGE),
    ("too large", TOO_LARGE),
    ("not supported", REFUSED),
    ("in the past", REFUSED),
)
# The most telling answer first: one yes is a yes, whatever the others say.
_WEIGHT: Final = (
    ACCEPTED,
    KNOWN,
    NONCE_TOO_LOW,
    UNDERPRICED,
    INSUFFICIENT_FUNDS,
    FEE_CAPPED,
    GAS_CAPPED,
    POOL_FULL,
    NONCE_TOO_HIGH,
    TOO_LARGE,
    RATE_LIMITED,
    REFUSED,
    NO_HEAD,
    LIED,
    UNKNOWN,
    NO_ANSWER,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one route said: an outcome of the list above, and the node's code."""

    outcome: str
    code: int | None = None

    @property
    def accepted(self) -> bool:
        """Tell whether the route has the bytes by its own word."""
        return self.outcome in (ACCEPTED, KNOWN)


class Route(Protocol):
    """One way to a block: a public node, a private relay, a sequencer."""

    @property
    def name(self) -> str:
        """Return the configured name."""

    async def send(self, raw: bytes) -> Answer:
        """Give the bytes; never raises for what an endpoint says or does not say."""


class PublicRoute:
    """`eth_sendRawTransaction` to a node; what it answers must be the hash of these bytes."""

    def __init__(self, rpc: Rpc, deadline_s: float = 2.0) -> None:
        self._rpc = rpc
        self._deadline_s = deadline_s

    @property
    def name(self) -> str:
        """Return the endpoint's name."""
        return self._rpc.name

    async def send(self, raw: bytes) -> Answer:
        """Give the bytes to the node's pool."""
        try:
            told = await self._rpc.call(
                "eth_sendRawTransaction", ["0x" + raw.hex()], deadline_s=self._deadline_s
            )
        except EndpointError as error:
            return classify(error)
        return answer_of(told, hash_of(raw))


def hash_of(raw: bytes) -> Hash:
    """Return the hash the chain knows signed bytes by."""
    return "0x" + keccak(raw).hex()


def answer_of(told: object, expected: Hash) -> Answer:
    """Return what a result means: a yes only where it names exactly what was given."""
    return Answer(ACCEPTED if told == expected else LIED)


def classify(error: EndpointError) -> Answer:
    """Return what an error means; an unknown one may well have been sent."""
    if isinstance(error, RateLimited):
        return Answer(RATE_LIMITED)
    if not isinstance(error, RpcError):
        return Answer(NO_ANSWER)
    text = error.message.lower()
    for words, outcome in WORDS:
        if words in text:
            return Answer(outcome, error.code)
    return Answer(UNKNOWN, error.code)


@dataclass(frozen=True, slots=True)
class Sent:
    """What all routes said together: the most telling outcome, and every answer for the record."""

    outcome: str
    accepted: int
    deliveries: tuple[Delivery, ...]


async def broadcast(routes: Sequence[Route], attempt: Attempt, clock: Clock) -> Sent:
    """Give one attempt to every route at once and wait for all their answers."""

    async def send(route: Route) -> tuple[Answer, Delivery]:
        began = clock.monotonic_ns()
        answer = await route.send(attempt.raw)
        latency_us = (clock.monotonic_ns() - began) // 1000
        return answer, Delivery(
            attempt.hash, route.name, clock.now_ns(), answer.outcome, answer.code, latency_us
        )

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(send(route)) for route in routes]
    results = [task.result() for task in tasks]
    return Sent(
        outcome=min((answer.outcome for answer, _ in results), key=_WEIGHT.index),
        accepted=sum(answer.accepted for answer, _ in results),
        deliveries=tuple(delivery for _, delivery in results),
    )
