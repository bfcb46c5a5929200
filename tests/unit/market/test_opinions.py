"""What others say: who is asked, how old it may be, what is no price, and the sequencer's grace."""

import math
from dataclasses import replace

import pytest

from keeper.domain.events import OracleUpdated, RoundObserved
from keeper.market.chainlink import AnswerUpdated, answered, observed, scaled, verdict
from keeper.market.opinions import SOURCES_MAX, Opinions
from keeper.market.quotes import JudgeRule, QuoteRule, QuoteState


NOW = 1_800_000_000
WAD = 10**18
FEED, OTHER, AGGREGATOR = "0x" + "f1" * 20, "0x" + "f2" * 20, "0x" + "a1" * 20
JUMPS = QuoteRule()
ROUND = RoundObserved(
    source="eth_usd",
    subject="ETH",
    feed=FEED,
    aggregator=AGGREGATOR,
    phase=1,
    decimals=8,
    decimals_expected=-1,
    heartbeat_s=3_600,
    round=(1 << 64) | 5,
    answer=2_000 * 10**8,
    started_s=NOW - 100,
    updated_s=NOW - 100,
)


def opinions(**rule: object) -> Opinions:
    return Opinions(JudgeRule(**rule), JUMPS)  # type: ignore[arg-type]


def price(usd: float, source: str = "a", at_s: int = NOW, about: str = "ETH") -> OracleUpdated:
    return OracleUpdated(source, about, usd, at_s * 1_000)


def test_the_second_source_is_the_lower_median_of_the_young() -> None:
    said = opinions(second_age_s_max=60)
    assert said.second("ETH", NOW) is None
    for source, usd, at_s in (("a", 2_000.0, NOW), ("b", 3_000.0, NOW - 60), ("c", 1.0, NOW - 61)):
        said.hear_price(price(usd, source, at_s))
    assert said.second("ETH", NOW) == 2_000 * WAD
    assert said.second("BTC", NOW) is None
    said.hear_price(price(2_500.0, "d"))
    assert said.second("ETH", NOW) == 2_500 * WAD
    assert said.second("ETH", NOW + 61) is None


@pytest.mark.parametrize("usd", [0.0, -1.0, math.nan, math.inf, 2e18])
def test_what_is_no_price_is_not_heard(usd: float) -> None:
    said = opinions()
    said.hear_price(price(usd))
    assert said.second("ETH", NOW) is None


def test_an_older_word_of_the_same_source_does_not_take_back_a_newer() -> None:
    said = opinions()
    said.hear_price(price(2_000.0))
    said.hear_price(price(1_000.0, at_s=NOW - 1))
    assert said.second("ETH", NOW) == 2_000 * WAD


def test_no_more_sources_than_the_limit_are_heard() -> None:
    said = opinions()
    for each in range(SOURCES_MAX):
        said.hear_price(price(2_000.0, str(each), about=str(each)))
    said.hear_price(price(2_000.0, "one too many"))
    assert said.second("ETH", NOW) is None


def test_a_round_is_scaled_to_18_decimals_and_counts_as_an_opinion() -> None:
    said = opinions()
    said.hear_round(ROUND)
    assert said.second("ETH", NOW) == 2_000 * WAD
    assert said.reference("ETH", NOW) is QuoteState.OK
    assert [scaled(5, 18), scaled(5_000, 21), scaled(-5_001, 21)] == [5, 5, -6]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"answer": 0}, QuoteState.HALTED),
        ({"answer": -1}, QuoteState.HALTED),
        ({"decimals": 18}, QuoteState.HALTED),
        ({"updated_s": NOW - 3_601}, QuoteState.STALE),
        ({"updated_s": 0}, QuoteState.STALE),
        ({"answer": 3_000 * 10**8}, QuoteState.SUSPECT),
    ],
)
def test_a_feed_that_checks_passes_its_state_on_and_is_no_opinion(
    change: dict[str, int], state: QuoteState
) -> None:
    said = opinions()
    said.hear_round(ROUND)
    said.hear_round(replace(ROUND, round=ROUND.round + 1, **change))  # type: ignore[arg-type]
    assert said.reference("ETH", NOW) is state
    assert said.second("ETH", NOW) is None


def test_one_that_must_be_checked_and_was_never_read_is_stale() -> None:
    assert opinions().reference("ETH", NOW) is QuoteState.OK
    assert opinions(checked=("ETH",)).reference("ETH", NOW) is QuoteState.STALE


def test_configured_decimals_count_from_the_first_look() -> None:
    row = observed(None, replace(ROUND, decimals_expected=18), JUMPS)
    assert verdict(row, NOW, JudgeRule()).check == "decimals"
    row = observed(row, replace(ROUND, decimals_expected=18, decimals=18), JUMPS)
    assert verdict(row, NOW, JudgeRule()).check != "decimals"


def test_logs_count_of_the_aggregator_that_the_proxy_stands_on_and_of_no_other() -> None:
    row = observed(None, ROUND, JUMPS)
    update = AnswerUpdated(AGGREGATOR, 6, 2_100 * 10**8, NOW)
    assert answered(row, update, JUMPS).quote.value == 2_100 * WAD
    assert answered(row, update._replace(aggregator=OTHER), JUMPS) == row
    assert answered(row, update._replace(round=5), JUMPS) == row
    moved = observed(row, replace(ROUND, aggregator=OTHER, phase=2, round=(2 << 64) | 1), JUMPS)
    assert (moved.aggregator, moved.round) == (OTHER, 1)
    assert answered(moved, update, JUMPS) == moved
    later = answered(moved, AnswerUpdated(OTHER, 2, 2_200 * 10**8, NOW), JUMPS)
    assert later.quote.value == 2_200 * WAD


def test_a_look_through_a_node_that_is_behind_takes_no_round_back() -> None:
    row = answered(observed(None, ROUND, JUMPS), AnswerUpdated(AGGREGATOR, 9, 1, NOW), JUMPS)
    assert observed(row, ROUND, JUMPS) == row


def uptime(answer: int, started_s: int) -> RoundObserved:
    changes = {"answer": answer, "started_s": started_s, "subject": "sequencer", "decimals": 0}
    return replace(ROUND, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "down"),
    [
        (uptime(0, NOW - 3_600), False),
        (uptime(0, NOW - 3_599), True),
        (uptime(1, NOW - 9_999), True),
        (uptime(0, 0), True),
    ],
)
def test_a_sequencer_is_down_until_it_was_back_for_the_grace_period(
    seen: RoundObserved, *, down: bool
) -> None:
    said = opinions(grace_s=3_600)
    said.hear_round(seen)
    assert said.sequencer_down(NOW) is down


def test_a_sequencer_that_must_be_watched_and_was_not_read_is_down() -> None:
    assert not opinions().sequencer_down(NOW)
    assert opinions(sequencer=True).sequencer_down(NOW)
