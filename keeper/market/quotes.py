"""The state of one quote: OK, STALE, SUSPECT or HALTED. Knows no feed and no chain.

STALE is the chain's own rule (a read reverts). SUSPECT is ours: a jump so large that an error is
likelier than a move; liquidations start, because the chain margins on it, but nothing is bought.
"""

from enum import StrEnum
from typing import NamedTuple


class QuoteState(StrEnum):
    """What may be done on a quote."""

    OK = "OK"
    STALE = "STALE"
    SUSPECT = "SUSPECT"
    HALTED = "HALTED"


class Quote(NamedTuple):
    """The last value of a feed, 18 decimals, with the value it is compared against."""

    value: int
    confidence: int
    timestamp: int
    reference: int  # the last value that was believed
    jumped_at: int  # timestamp of the jump away from it, 0 when there is none


class QuoteRule(NamedTuple):
    """When a jump is absurd, and for how long it is doubted."""

    jump_max_ppm: int = 250_000
    doubt_s: int = 300


def advance(
    quote: Quote | None, value: int, confidence: int, timestamp: int, rule: QuoteRule
) -> Quote:
    """Return the quote after an update; a jump keeps the old reference until it is settled."""
    if quote is None or quote.reference <= 0:
        return Quote(value, confidence, timestamp, value, 0)
    jumped = abs(value - quote.reference) * 1_000_000 > rule.jump_max_ppm * quote.reference
    if not jumped:
        return Quote(value, confidence, timestamp, value, 0)
    since = quote.jumped_at or timestamp
    if timestamp - since >= rule.doubt_s:
        return Quote(value, confidence, timestamp, value, 0)
    return Quote(value, confidence, timestamp, quote.reference, since)


def state(quote: Quote | None, now: int, heartbeat_s: int) -> QuoteState:
    """Return what may be done on a quote at block time `now`."""
    if quote is None or quote.timestamp + heartbeat_s < now:
        return QuoteState.STALE
    if quote.value <= 0:
        return QuoteState.HALTED
    return QuoteState.SUSPECT if quote.jumped_at else QuoteState.OK
