"""A Chainlink-shaped feed: what its aggregator's logs and its proxy's views say, as a quote. Pure.

The proxy is what readers are told to read; the logs come from the aggregator behind it, and moving
the proxy to another one emits nothing: that is only seen by asking (`RoundObserved`). A protocol
that margins on such feeds keeps a `FeedRow` each in a table of its own (so that a reorg takes it
back), puts the aggregators on its watch list and folds with `observed` and `answered`.
Source: AggregatorV3Interface and AnswerUpdated of @chainlink/abi 0.1.4 (v0.6).
"""

from typing import Final, NamedTuple

from keeper.domain.errors import UndecodableLog
from keeper.domain.events import Log, RoundObserved
from keeper.domain.units import Address
from keeper.market.quotes import Evidence, JudgeRule, Quote, QuoteRule, Verdict, advance, judge


# keccak256("AnswerUpdated(int256,uint256,uint256)"): answer and round are indexed.
ANSWER_UPDATED: Final = "0x0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f"
QUOTE_DECIMALS: Final = 18
PHASE_BITS: Final = 64  # a proxy's round is phase << 64 | the aggregator's round
CERTAIN: Final = 10**18


class AnswerUpdated(NamedTuple):
    """One round of an aggregator: the answer in the feed's own decimals."""

    aggregator: Address
    round: int
    answer: int
    updated_s: int


class FeedRow(NamedTuple):
    """What is known of one feed; `quote` is in 18 decimals, `round` the aggregator's own."""

    aggregator: Address
    phase: int
    decimals: int
    decimals_expected: int
    heartbeat_s: int
    round: int
    answer: int
    started_s: int
    quote: Quote


def decode(log: Log) -> AnswerUpdated | None:
    """Return the log as a round, None for any other topic; raises UndecodableLog."""
    if not log.topics or log.topics[0] != ANSWER_UPDATED:
        return None
    try:
        answer, number = (int(topic, 16) for topic in log.topics[1:])
        updated = int(log.data, 16)
    except ValueError as error:
        problem = f"not an AnswerUpdated: {error}"
        raise UndecodableLog(log.address, ANSWER_UPDATED, log.log_index, problem) from error
    signed = answer - (1 << 256) if answer >> 255 else answer
    return AnswerUpdated(log.address, number, signed, updated)


def scaled(answer: int, decimals: int) -> int:
    """Return an answer in 18 decimals, rounded down."""
    if decimals <= QUOTE_DECIMALS:
        return int(answer * 10 ** (QUOTE_DECIMALS - decimals))
    return int(answer // 10 ** (decimals - QUOTE_DECIMALS))


def observed(row: FeedRow | None, seen: RoundObserved, jumps: QuoteRule) -> FeedRow:
    """Return the row after a look at the proxy; a new aggregator or phase begins rounds anew.

    The decimals expected are the configured ones, else those first seen: a feed that changes its
    unit must not be followed, however sure its answer is.
    """
    expected = seen.decimals_expected
    if expected < 0:
        expected = seen.decimals if row is None else row.decimals_expected
    number = seen.round & (1 << PHASE_BITS) - 1
    moved = row is None or (row.aggregator, row.phase) != (seen.aggregator, seen.phase)
    if row is not None and not moved and number < row.round:
        return row  # a look at a node that is behind the logs we have
    value = scaled(seen.answer, seen.decimals)
    quote = None if row is None else row.quote
    if quote is None or (quote.value, quote.timestamp) != (value, seen.updated_s):
        quote = advance(quote, value, CERTAIN, seen.updated_s, jumps)
    return FeedRow(
        aggregator=seen.aggregator,
        phase=seen.phase,
        decimals=seen.decimals,
        decimals_expected=expected,
        heartbeat_s=seen.heartbeat_s,
        round=number,
        answer=seen.answer,
        started_s=seen.started_s,
        quote=quote,
    )


def answered(row: FeedRow, update: AnswerUpdated, jumps: QuoteRule) -> FeedRow:
    """Return the row after a log; of another aggregator, or of an old round, it says nothing."""
    if row.aggregator != update.aggregator or update.round <= row.round:
        return row
    value = scaled(update.answer, row.decimals)
    return row._replace(
        round=update.round,
        answer=update.answer,
        started_s=update.updated_s,
        quote=advance(row.quote, value, CERTAIN, update.updated_s, jumps),
    )


def verdict(row: FeedRow | None, now: int, rule: JudgeRule) -> Verdict:
    """Return what may be done on a feed's value at block time `now`; one never seen is STALE."""
    if row is None:
        return judge(Evidence(None, now, None), rule)
    changed = row.decimals != row.decimals_expected
    return judge(Evidence(row.quote, now, row.heartbeat_s, decimals_changed=changed), rule)


def sequencer_down(row: FeedRow, now: int, rule: JudgeRule) -> bool:
    """Return whether an L2's sequencer is down, or back for less than the grace period.

    Its uptime feed answers 0 while it is up; the round's start is when that began, and it is 0
    where the feed was never written to.
    """
    return row.answer != 0 or row.started_s == 0 or now - row.started_s < rule.grace_s
