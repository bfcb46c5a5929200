"""Quotes that grow old are told once an episode, and shown at every scrape."""

import io
import json

from keeper.domain.effects import Assessment, Effects, Notice
from keeper.domain.events import Entry, Ticked
from keeper.ports import Timing
from keeper.runtime.clock import SystemClock
from keeper.telemetry.ageing import QuoteAges
from keeper.telemetry.logging import Lines
from keeper.telemetry.metrics import Metrics


def assessed(**ages: float) -> Assessment:
    counts = (1, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0, 0, 0)
    listed = tuple((f"ETH.{name}", age) for name, age in ages.items())
    return Assessment("derive", *counts, quotes=(("ETH.spot", "OK"),), quote_ages=listed)


def kinds(told: list[Notice]) -> list[tuple[str, object]]:
    return [(each.kind, dict(each.fields)["quote"]) for each in told]


def test_half_a_heartbeat_is_told_once_although_the_quote_is_ok() -> None:
    ages = QuoteAges()
    assert ages.look([assessed(spot=0.49)]) == []
    assert kinds(ages.look([assessed(spot=0.5)])) == [("quote_ageing", "ETH.spot")]
    assert ages.look([assessed(spot=0.6)]) == []
    assert ages.look([assessed(spot=1.5)]) == []


def test_an_episode_ends_when_the_quote_is_young_again_and_the_next_is_told() -> None:
    ages = QuoteAges()
    ages.look([assessed(spot=0.9)])
    assert ages.look([assessed(spot=0.45)]) == [], "it wavers about the line"
    assert kinds(ages.look([assessed(spot=0.1)])) == [("quote_young_again", "ETH.spot")]
    assert ages.look([assessed(spot=0.1)]) == []
    assert kinds(ages.look([assessed(spot=0.5)])) == [("quote_ageing", "ETH.spot")]


def test_each_quote_has_its_own_episode() -> None:
    ages = QuoteAges()
    told = ages.look([assessed(spot=0.6, vol=0.7, rate=0.1)])
    assert kinds(told) == [("quote_ageing", "ETH.spot"), ("quote_ageing", "ETH.vol")]


def test_a_scrape_shows_every_quotes_age_over_its_heartbeat() -> None:
    metrics = Metrics()
    effects = Effects(assessments=(assessed(spot=0.25),))
    metrics.observe(Entry(1, 0, Ticked()), effects, Timing(0, 0, 0, 0))
    line = b'keeper_quote_age_ratio{quote="ETH.spot",venue="derive"} 0.25'
    assert line in metrics.exposition()


def test_the_log_has_a_line_of_it() -> None:
    stream = io.StringIO()
    lines = Lines(SystemClock(), "info", stream)
    effects = Effects(assessments=(assessed(spot=0.6),))
    lines.observe(Entry(1, 0, Ticked()), effects, Timing(0, 0, 0, 0))
    lines.close()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [each for each in told if each["event"] == "quote_ageing"]
    assert (line["quote"], line["age_of_heartbeat"]) == ("ETH.spot", 0.6)
