"""The state of one quote: OK, STALE, SUSPECT or HALTED. Knows no feed and no chain.

STALE is the chain's own rule (a read reverts). SUSPECT is ours: an error is likelier than a move;
liquidations start, because the chain margins on it, but nothing is bought. HALTED says that the
number is no price at all: nothing is done in its market.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple


PPM: Final = 1_000_000


class QuoteState(StrEnum):
    """What may be done on a quote."""

    OK = "OK"
    STALE = "STALE"
    SUSPECT = "SUSPECT"
    HALTED = "HALTED"


class Quote(NamedTuple):
    """The last value of a feed, 18 decimals, with the value it is compared against."""

    value: int
    confidence: int  # as a share, 10^18 is certain
    timestamp: int
    reference: int  # the last value that was believed
    jumped_at: int  # timestamp of the jump away from it, 0 when there is none


class QuoteRule(NamedTuple):
    """When a jump is absurd, and for how long it is doubted."""

    jump_max_ppm: int = 250_000
    doubt_s: int = 300


@dataclass(frozen=True, slots=True)
class JudgeRule:
    """What makes a quote suspect besides a jump; `[venues.<name>.quotes]`.

    confidence_min_ppm  less confidence than this share is suspect; 0: any will do
    apart_max_ppm       further than this share from the second source is suspect
    second_age_s_max    an older second source is not asked
    grace_s             how long after an L2's sequencer came back its quotes stay halted
    sequencer           an uptime feed is among the oracles: until it was read, it is down
    checked             underlyings that a feed among the oracles checks: unread, they are suspect
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    confidence_min_ppm: int = 0
    apart_max_ppm: int = 100_000
    second_age_s_max: int = 60
    grace_s: int = 3_600
    sequencer: bool = False
    checked: tuple[str, ...] = ()


class Evidence(NamedTuple):
    """All that a quote is judged on, at block time `now`."""

    quote: Quote | None
    now: int
    heartbeat_s: int | None  # None for a feed that never grows old
    second: int | None = None  # what a second source says now, 18 decimals
    reference: QuoteState = QuoteState.OK  # state of the feed that was named to check it
    sequencer_down: bool = False  # or back for too short a time
    decimals_changed: bool = False


class Verdict(NamedTuple):
    """A quote's state and the check that said so, "" where all is well."""

    state: QuoteState
    check: str


def advance(
    quote: Quote | None, value: int, confidence: int, timestamp: int, rule: QuoteRule
) -> Quote:
    """Return the quote after an update; a jump keeps the old reference until it is settled."""
    if quote is None or quote.reference <= 0:
        return Quote(value, confidence, timestamp, value, 0)
    jumped = abs(value - quote.reference) * PPM > rule.jump_max_ppm * quote.reference
    if not jumped:
        return Quote(value, confidence, timestamp, value, 0)
    since = quote.jumped_at or timestamp
    if timestamp - since >= rule.doubt_s:
        return Quote(value, confidence, timestamp, value, 0)
    return Quote(value, confidence, timestamp, quote.reference, since)


def judge(evidence: Evidence, rule: JudgeRule) -> Verdict:
    """Return what may be done on a quote: the first check of the table that fails decides."""
    for check, state, fails in CHECKS:
        if fails(evidence, rule):
            return Verdict(state, check)
    return Verdict(QuoteState.OK, "")


def worst(states: Sequence[QuoteState]) -> QuoteState:
    """Return the state that allows least; OK for none."""
    return max(states, key=SEVERITY.index, default=QuoteState.OK)


def _not_positive(evidence: Evidence, _: JudgeRule) -> bool:
    return evidence.quote is not None and evidence.quote.value <= 0


def _old(evidence: Evidence, _: JudgeRule) -> bool:
    quote, heartbeat_s = evidence.quote, evidence.heartbeat_s
    if quote is None or heartbeat_s is None:
        return quote is None
    return quote.timestamp <= 0 or quote.timestamp + heartbeat_s < evidence.now


def _unsure(evidence: Evidence, rule: JudgeRule) -> bool:
    quote = evidence.quote
    return quote is not None and quote.confidence * PPM < rule.confidence_min_ppm * 10**18


def _apart(evidence: Evidence, rule: JudgeRule) -> bool:
    quote, second = evidence.quote, evidence.second
    if quote is None or second is None:
        return False
    return abs(quote.value - second) * PPM > rule.apart_max_ppm * second


Check = tuple[str, QuoteState, Callable[[Evidence, JudgeRule], bool]]

# What is no price comes before what is an old one, and that before what is an odd one.
CHECKS: Final[tuple[Check, ...]] = (
    ("sequencer", QuoteState.HALTED, lambda evidence, _: evidence.sequencer_down),
    ("decimals", QuoteState.HALTED, lambda evidence, _: evidence.decimals_changed),
    ("not_positive", QuoteState.HALTED, _not_positive),
    ("reference", QuoteState.HALTED, lambda e, _: e.reference is QuoteState.HALTED),
    ("age", QuoteState.STALE, _old),
    ("confidence", QuoteState.SUSPECT, _unsure),
    ("jump", QuoteState.SUSPECT, lambda e, _: e.quote is not None and e.quote.jumped_at != 0),
    ("apart", QuoteState.SUSPECT, _apart),
    ("unchecked", QuoteState.SUSPECT, lambda e, _: e.reference is not QuoteState.OK),
)
SEVERITY: Final = (QuoteState.OK, QuoteState.SUSPECT, QuoteState.STALE, QuoteState.HALTED)
