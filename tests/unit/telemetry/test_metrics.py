"""Metrics: a projection that parses, names no account, and keeps its label sets bounded."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keeper.domain.effects import NOTHING, Effects, Notice
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    Event,
    LaneObserved,
    PreflightPassed,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.domain.units import NS_PER_MS
from keeper.telemetry.metrics import LABEL_VALUES_MAX, LoopLag, Metrics, Words
from keeper.telemetry.stages import Stages
from tests.unit.chain.scripted_node import until
from tests.unit.telemetry.entries import (
    HASH,
    LANE,
    HandClock,
    assessment,
    command,
    effects,
    entry,
    head,
    timing,
)


LIFE: tuple[Event, ...] = (
    PreflightPassed(1),
    CommandCommitted(1, LANE, 3, HASH),
    CommandSent(1, HASH, 2, 1),
    TransactionIncluded(1, HASH, 8, HASH, 21_000, 10**9),
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of the exposition by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"keeper_{name}", tuple(sorted(labels.items()))]


def lived() -> Metrics:
    """Return metrics of a block, a command's whole life, and everything else that is counted."""
    metrics = Metrics()
    told = Notice("account_cooled", "warning", (("account", 987_654),))
    metrics.observe(entry(head(received_ns=0)), effects(told, commands=(command(),)), timing(0))
    for step, event in enumerate(LIFE, 1):
        metrics.observe(entry(event), NOTHING, timing(step * 100 * NS_PER_MS))
    metrics.observe(entry(LaneObserved(LANE, "READY", 5 * 10**18, 6)), NOTHING, timing(0))
    metrics.observe(entry(CommandRefused(2, "preflight", "NotMarginCall", "x")), NOTHING, timing(0))
    reverted = TransactionReverted(3, HASH, 8, HASH, 50_000, 10**9, "NotMarginCall")
    metrics.observe(entry(reverted), NOTHING, timing(0))
    metrics.observe(entry(TransactionOrphaned(3, HASH)), NOTHING, timing(0))
    metrics.observe(entry(TransactionDropped(3, HASH, "stranger")), NOTHING, timing(0))
    metrics.loop_lagged(0.002)
    metrics.watch("journal_bytes", "Size of all journal files.", lambda: 4096.0)
    return metrics


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("head_number", {"chain": "957"}, 7),
        ("head_lag_seconds", {"chain": "957"}, 2),
        ("accounts", {"venue": "derive"}, 300),
        ("undecided", {"venue": "derive"}, 2),
        ("unsupported", {"venue": "derive"}, 1),
        ("breaches", {"venue": "derive"}, 3),
        ("insolvent", {"venue": "derive"}, 1),
        ("shortfall_usd", {"venue": "derive"}, 12.5),
        ("excess_min_usd", {"venue": "derive"}, -7.25),
        ("auctions", {"venue": "derive"}, 2),
        ("opportunities", {"venue": "derive"}, 3),
        ("quotes", {"venue": "derive", "state": "OK"}, 2),
        ("quotes", {"venue": "derive", "state": "STALE"}, 0),
        ("commands_total", {"venue": "derive", "kind": "start"}, 1),
        ("notices_total", {"severity": "warning", "kind": "account_cooled"}, 1),
        ("refusals_total", {"stage": "preflight", "reason": "NotMarginCall"}, 1),
        ("reverts_total", {"reason": "NotMarginCall"}, 1),
        ("transactions_total", {"outcome": "included"}, 1),
        ("transactions_total", {"outcome": "reverted"}, 1),
        ("transactions_total", {"outcome": "orphaned"}, 1),
        ("transactions_total", {"outcome": "dropped"}, 1),
        ("transactions_total", {"outcome": "sent"}, 1),
        ("gas_spent_wei_total", {}, 71_000 * 10**9),
        ("lane_balance_wei", {"lane": LANE}, 5 * 10**18),
        ("lane_slots_free", {"lane": LANE}, 6),
        ("lane_state", {"lane": LANE, "state": "READY"}, 1),
        ("event_loop_lag_seconds_count", {}, 1),
        ("journal_bytes", {}, 4096),
        ("entries_total", {"event": "BlockSealed"}, 1),
    ],
)
def test_what_an_operator_asks_for_is_exposed(
    name: str, labels: dict[str, str], expected: float
) -> None:
    assert value(lived(), name, **labels) == expected


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [
        ("received_to_folded", 0.001),
        ("folded_to_decided", 0.010),
        ("received_to_decided", 0.011),
        ("decided_to_preflighted", 0.089),
        ("preflighted_to_committed", 0.1),
        ("committed_to_sent", 0.1),
        ("sent_to_included", 0.1),
        ("decided_to_sent", 0.289),
    ],
)
def test_every_stage_of_a_commands_life_is_timed(stage: str, seconds: float) -> None:
    metrics = lived()

    assert value(metrics, "stage_seconds_count", stage=stage) == 1
    assert value(metrics, "stage_seconds_sum", stage=stage) == pytest.approx(seconds)


def test_no_account_hash_or_free_text_is_ever_a_label() -> None:
    metrics = lived()
    hostile = 'x"} 1\nkeeper_breaches 0'
    metrics.observe(entry(CommandRefused(2, "lane", hostile, "")), NOTHING, timing(0))
    metrics.observe(entry(CommandRefused(2, "lane", "987654", "")), NOTHING, timing(0))

    labels = {label for _, pairs in samples(metrics) for label in pairs}
    assert not [name for name, _ in labels if "account" in name and name != "kind"]
    assert not [text for _, text in labels if "987654" in text or HASH in text or "\n" in text]
    assert value(metrics, "refusals_total", stage="lane", reason="other") == 2


def test_a_label_has_a_limited_number_of_values_then_other() -> None:
    metrics = Metrics()
    for number in range(3 * LABEL_VALUES_MAX):
        refused = CommandRefused(1, "preflight", f"Reason{number}", "")
        metrics.observe(entry(refused), NOTHING, timing(0))

    reasons = [name for name, _ in samples(metrics) if name == "keeper_refusals_total"]
    assert len(reasons) == LABEL_VALUES_MAX + 1
    assert (
        value(metrics, "refusals_total", stage="preflight", reason="other") == 2 * LABEL_VALUES_MAX
    )


def test_words_keep_those_seen_first() -> None:
    words = Words(values_max=2)

    assert [words.bounded(each) for each in "abca"] == ["a", "b", "other", "a"]


def test_a_lane_has_one_state_at_a_time() -> None:
    metrics = lived()
    metrics.observe(entry(LaneObserved(LANE, "STARVED", 0, 0)), NOTHING, timing(0))

    assert value(metrics, "lane_state", lane=LANE, state="READY") == 0
    assert value(metrics, "lane_state", lane=LANE, state="STARVED") == 1


def test_a_block_of_the_past_has_no_decision_latency() -> None:
    metrics = Metrics()
    metrics.observe(entry(head(at_tip=False)), NOTHING, timing(0))

    names = {dict(labels).get("stage") for _, labels in samples(metrics)}
    assert "received_to_folded" in names
    assert "received_to_decided" not in names


def test_a_second_venue_keeps_its_own_figures() -> None:
    metrics = lived()
    other = Effects(assessments=(assessment("other", breaches=9),))
    metrics.observe(entry(head()), other, timing(0))

    assert value(metrics, "breaches", venue="other") == 9
    assert value(metrics, "breaches", venue="derive") == 3


def test_followed_commands_are_bounded_and_the_oldest_gives_way() -> None:
    stages = Stages(followed_max=2)
    for identifier in (1, 2, 3):
        list(stages.observe(entry(head()), Effects((command(identifier),)), timing(0)))

    assert stages.take_untracked() == 1
    assert stages.take_untracked() == 0
    assert list(stages.observe(entry(PreflightPassed(1)), NOTHING, timing(0))) == []
    assert list(stages.observe(entry(PreflightPassed(3)), NOTHING, timing(NS_PER_MS * 20)))


@pytest.mark.parametrize(
    "ending",
    [
        CommandRefused(1, "preflight", "x", ""),
        TransactionReverted(1, HASH, 8, HASH, 1, 1, "x"),
        TransactionDropped(1, HASH, "x"),
        LIFE[-1],
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_command_is_no_longer_followed_once_it_has_ended(ending: Event) -> None:
    stages = Stages()
    list(stages.observe(entry(head()), Effects((command(1),)), timing(0)))
    list(stages.observe(entry(ending), NOTHING, timing(0)))

    assert stages._followed == {}


async def test_a_blocked_loop_shows_in_its_lag() -> None:
    metrics = Metrics()
    clock = HandClock()
    task = asyncio.create_task(LoopLag(metrics, clock, period_ms=1).run())
    await asyncio.sleep(0)
    clock.move_ms(501)
    await until(lambda: value(metrics, "event_loop_lag_seconds_count") >= 1)
    task.cancel()

    assert value(metrics, "event_loop_lag_seconds_sum") == pytest.approx(0.5)
