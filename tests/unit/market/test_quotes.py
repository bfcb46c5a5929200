"""A quote's state: every check of the table by a row that only it fails, and what goes first."""

import pytest

from keeper.market.quotes import (
    CHECKS,
    Evidence,
    JudgeRule,
    Quote,
    QuoteRule,
    QuoteState,
    advance,
    judge,
    worst,
)


NOW = 1_800_000_000
WAD = 10**18
FINE = Quote(2_000 * WAD, WAD, NOW - 10, 2_000 * WAD, 0)
RULE = JudgeRule(confidence_min_ppm=500_000, apart_max_ppm=100_000)
GOOD = Evidence(FINE, NOW, 60, second=2_010 * WAD)


def of(**changes: int) -> Evidence:
    return GOOD._replace(quote=FINE._replace(**changes))


ROWS = {
    "sequencer": (GOOD._replace(sequencer_down=True), QuoteState.HALTED),
    "decimals": (GOOD._replace(decimals_changed=True), QuoteState.HALTED),
    "not_positive": (of(value=0), QuoteState.HALTED),
    "reference": (GOOD._replace(reference=QuoteState.HALTED), QuoteState.HALTED),
    "age": (of(timestamp=NOW - 61), QuoteState.STALE),
    "confidence": (of(confidence=WAD // 2 - 1), QuoteState.SUSPECT),
    "jump": (of(jumped_at=NOW - 10), QuoteState.SUSPECT),
    "apart": (GOOD._replace(second=1_818 * WAD), QuoteState.SUSPECT),
    "unchecked": (GOOD._replace(reference=QuoteState.STALE), QuoteState.SUSPECT),
}


def test_a_quote_that_fails_no_check_is_ok() -> None:
    assert judge(GOOD, RULE) == (QuoteState.OK, "")


def test_every_check_has_its_row() -> None:
    assert tuple(ROWS) == tuple(check for check, _, _ in CHECKS)


@pytest.mark.parametrize("check", ROWS)
def test_each_check_alone_gives_its_state(check: str) -> None:
    evidence, state = ROWS[check]
    assert judge(evidence, RULE) == (state, check)


@pytest.mark.parametrize(
    "allowed",
    [
        of(timestamp=NOW - 60),
        of(confidence=WAD // 2),
        GOOD._replace(second=1_819 * WAD),
        GOOD._replace(second=None),
        GOOD._replace(heartbeat_s=None, quote=FINE._replace(timestamp=1)),
    ],
)
def test_at_the_very_limit_a_quote_still_counts(allowed: Evidence) -> None:
    assert judge(allowed, RULE).state is QuoteState.OK


def test_a_price_below_zero_is_no_price_either() -> None:
    assert judge(of(value=-1), RULE) == (QuoteState.HALTED, "not_positive")


def test_one_that_nobody_knows_or_that_was_never_written_is_stale() -> None:
    assert judge(Evidence(None, NOW, 60), RULE) == (QuoteState.STALE, "age")
    assert judge(Evidence(None, NOW, None), RULE) == (QuoteState.STALE, "age")
    assert judge(of(timestamp=0), RULE) == (QuoteState.STALE, "age")


def test_what_is_no_price_is_said_before_what_is_an_old_one() -> None:
    old_and_zero = of(value=0, timestamp=NOW - 10_000)
    assert judge(old_and_zero, RULE).state is QuoteState.HALTED
    old_and_odd = of(timestamp=NOW - 10_000, jumped_at=NOW - 10_000)
    assert judge(old_and_odd, RULE).state is QuoteState.STALE


def test_a_jump_is_doubted_until_it_is_settled() -> None:
    rule = QuoteRule(jump_max_ppm=250_000, doubt_s=300)
    quote = advance(None, 1_000, WAD, 100, rule)
    assert advance(quote, 1_250, WAD, 110, rule).jumped_at == 0
    jumped = advance(quote, 1_251, WAD, 110, rule)
    assert (jumped.jumped_at, jumped.reference) == (110, 1_000)
    again = advance(jumped, 1_300, WAD, 409, rule)
    assert (again.jumped_at, again.reference) == (110, 1_000)
    assert advance(again, 1_300, WAD, 410, rule) == Quote(1_300, WAD, 410, 1_300, 0)
    assert advance(again, 1_100, WAD, 200, rule) == Quote(1_100, WAD, 200, 1_100, 0)


def test_the_worst_of_several_states_is_what_allows_least() -> None:
    states = [QuoteState.OK, QuoteState.SUSPECT, QuoteState.STALE, QuoteState.HALTED]
    for last in range(1, 5):
        assert worst(states[:last]) is states[last - 1]
    assert worst([]) is QuoteState.OK
