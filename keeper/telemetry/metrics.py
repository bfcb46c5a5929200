"""Prometheus metrics as a projection of (entry, effects), in base units.

Must not know how anything is computed. No label ever holds an account, a hash or free text: label
values come from bounded sets, and what does not fit one is counted as "other".
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from keeper.domain.effects import Assessment, Effects
from keeper.domain.events import (
    BlockSealed,
    CommandCommitted,
    CommandDisplaced,
    CommandRefused,
    CommandSent,
    Entry,
    Event,
    LaneObserved,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.domain.units import NS_PER_MS, NS_PER_S
from keeper.ports import Clock, Timing
from keeper.telemetry.outcomes import OUTCOMES, Meanings, outcome
from keeper.telemetry.stages import Stages


LABEL_VALUES_MAX: Final = 64
OTHER: Final = "other"
QUOTE_STATES: Final = ("OK", "STALE", "SUSPECT", "HALTED")
# From 0.1 ms to 30 s: a fold is under a millisecond, an inclusion takes a few blocks.
BUCKETS_S: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip

_WORD: Final = re.compile(r"(0x)?[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)
_LANE: Final = re.compile(r"0x[0-9a-f]{40}", re.ASCII)


class Words:
    """The values of one label: the first 64 words seen, every other value is "other"."""

    def __init__(self, form: re.Pattern[str] = _WORD, values_max: int = LABEL_VALUES_MAX) -> None:
        self._form = form
        self._values_max = values_max
        self._seen: dict[str, None] = {}

    def bounded(self, value: str) -> str:
        """Return the value itself while there is room and it is a word, else "other"."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._values_max or not self._form.fullmatch(value):
            return OTHER
        self._seen[value] = None
        return value


class Metrics:
    """An `Observer` with its own registry; `exposition` is what /metrics answers."""

    def __init__(self, meanings: Meanings | None = None) -> None:
        self._meanings = meanings if meanings is not None else {}
        self._registry = CollectorRegistry()
        self._stages = Stages()
        self._words: dict[str, Words] = {"lane": Words(_LANE)}
        self._venue_gauges = {
            name: self._gauge(name, text, ("venue",)) for name, text in _VENUE_GAUGES.items()
        }
        self._quotes = self._gauge("quotes", "Required quotes by state.", ("venue", "state"))
        self._quote_age = self._gauge(
            "quote_age_ratio", "Age of a required quote over its heartbeat.", ("venue", "quote")
        )
        self._head = self._gauge("head_number", "Number of the last sealed block.", ("chain",))
        self._lag = self._gauge(
            "head_lag_seconds", "Time of the last head's posting less its timestamp.", ("chain",)
        )
        self._stage = Histogram(
            "keeper_stage_seconds",
            "Time from the stage before, or from the stage named first.",
            ("stage",),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._untracked = self._counter("stages_untracked", "Commands past the tracking limit.", ())
        self._entries = self._counter("entries", "Entries applied, by event.", ("event",))
        self._commands = self._counter("commands", "Commands decided.", ("venue", "kind"))
        self._notices = self._counter("notices", "Notices.", ("severity", "kind"))
        self._refusals = self._counter(
            "refusals", "Commands that were provably not sent.", ("stage", "reason")
        )
        self._transactions = self._counter("transactions", "Transactions.", ("outcome",))
        self._outcomes = self._counter("outcomes", "How commands ended.", ("outcome",))
        self._reverts = self._counter("reverts", "Reverted transactions.", ("reason",))
        self._gas = self._counter("gas_spent_wei", "Gas paid, included and reverted.", ())
        self._balance = self._gauge("lane_balance_wei", "Balance of a lane.", ("lane",))
        self._slots = self._gauge("lane_slots_free", "Free slots of a lane.", ("lane",))
        self._lane_state = self._gauge("lane_state", "1 for the lane's state.", ("lane", "state"))
        self._lane_states: dict[str, str] = {}
        self._watched: dict[str, Gauge] = {}
        self._loop_lag = Histogram(
            "keeper_event_loop_lag_seconds",
            "How late the event loop wakes a sleeper.",
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        for state in _OUTCOMES.values():
            self._transactions.labels(state)
        for word in OUTCOMES:
            self._outcomes.labels(word)

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Count one applied entry."""
        self._entries.labels(type(entry.event).__name__).inc()
        self._event(entry, entry.event)
        ended = outcome(entry.event, self._meanings)
        if ended is not None:
            self._outcomes.labels(self._word("outcome", ended)).inc()
        for assessment in effects.assessments:
            self._assessment(assessment)
        for command in effects.commands:
            self._commands.labels(
                self._word("venue", command.venue), self._word("kind", command.kind)
            ).inc()
        for notice in effects.notices:
            self._notices.labels(
                self._word("severity", notice.severity), self._word("notice", notice.kind)
            ).inc()
        for stage, ns in self._stages.observe(entry, effects, timing):
            self._stage.labels(stage).observe(ns / NS_PER_S)
        if untracked := self._stages.take_untracked():
            self._untracked.inc(untracked)

    def loop_lagged(self, lag_s: float) -> None:
        """Note how late the event loop woke a sleeper, seconds."""
        self._loop_lag.observe(lag_s)

    def watch(self, name: str, text: str, read: Callable[[], float], **labels: str) -> None:
        """Show a value read at each scrape, e.g. `journal_bytes`; `read` must not block.

        The same name may be watched again under other values of the same labels.
        """
        gauge = self._watched.get(name)
        if gauge is None:
            gauge = self._watched[name] = self._gauge(name, text, tuple(labels))
        if labels:
            gauge = gauge.labels(**{key: self._word(key, word) for key, word in labels.items()})
        gauge.set_function(read)

    def shed(self) -> None:
        """Let go of the commands whose stages are timed."""
        self._stages.shed()

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _event(self, entry: Entry, event: Event) -> None:
        match event:
            case BlockSealed():
                chain = str(event.chain_id)
                self._head.labels(chain).set(event.number)
                self._lag.labels(chain).set(entry.at_ns / NS_PER_S - event.timestamp)
            case LaneObserved():
                self._lane(event)
            case CommandRefused():
                stage, reason = self._word("stage", event.stage), self._word("reason", event.reason)
                self._refusals.labels(stage, reason).inc()
            case TransactionIncluded() | TransactionReverted():
                self._transactions.labels(_OUTCOMES[type(event)]).inc()
                self._gas.inc(event.gas_used * event.price_wei)
                if isinstance(event, TransactionReverted):
                    self._reverts.labels(self._word("revert", event.reason)).inc()
            case (
                CommandCommitted()
                | CommandDisplaced()
                | CommandSent()
                | TransactionOrphaned()
                | TransactionDropped()
            ):
                self._transactions.labels(_OUTCOMES[type(event)]).inc()
            case _:
                pass

    def _assessment(self, assessment: Assessment) -> None:
        venue = self._word("venue", assessment.venue)
        for name, gauge in self._venue_gauges.items():
            gauge.labels(venue).set(getattr(assessment, name))
        states = [state for _, state in assessment.quotes]
        for state in QUOTE_STATES:
            self._quotes.labels(venue, state).set(states.count(state))
        for quote, age in assessment.quote_ages:
            self._quote_age.labels(venue, self._word("quote", quote)).set(age)
        unknown = sum(1 for state in states if state not in QUOTE_STATES)
        self._quotes.labels(venue, OTHER).set(unknown)

    def _lane(self, event: LaneObserved) -> None:
        lane, state = self._word("lane", event.lane), self._word("lane_state", event.state)
        self._balance.labels(lane).set(event.balance_wei)
        self._slots.labels(lane).set(event.slots_free)
        before = self._lane_states.get(lane, state)
        self._lane_state.labels(lane, before).set(0)
        self._lane_state.labels(lane, state).set(1)
        self._lane_states[lane] = state

    def _word(self, label: str, value: str) -> str:
        return self._words.setdefault(label, Words()).bounded(value)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(f"keeper_{name}", text, labels, registry=self._registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"keeper_{name}", text, labels, registry=self._registry)


class LoopLag:
    """A `Service` that measures how late the event loop wakes it."""

    def __init__(self, metrics: Metrics, clock: Clock, period_ms: int = 250) -> None:
        self._metrics = metrics
        self._clock = clock
        self._period_ns = period_ms * NS_PER_MS

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            before = self._clock.monotonic_ns()
            await asyncio.sleep(self._period_ns / NS_PER_S)
            late_ns = self._clock.monotonic_ns() - before - self._period_ns
            self._metrics.loop_lagged(max(0, late_ns) / NS_PER_S)


_OUTCOMES: Final[dict[type, str]] = {
    CommandCommitted: "committed",
    CommandDisplaced: "displaced",
    CommandSent: "sent",
    TransactionIncluded: "included",
    TransactionReverted: "reverted",
    TransactionOrphaned: "orphaned",
    TransactionDropped: "dropped",
}
# Names are fields of Assessment.
_VENUE_GAUGES: Final = {
    "accounts": "Accounts of the venue.",
    "positions": "Positions of all accounts.",
    "undecided": "Accounts without a defined margin on the last block.",
    "unsupported": "Accounts under a manager we do not model.",
    "breaches": "Accounts whose excess is below zero.",
    "insolvent": "Accounts whose equity is below zero.",
    "shortfall_usd": "Sum of the missing maintenance margin.",
    "excess_min_usd": "Excess of the worst decided account.",
    "auctions": "Live auctions.",
    "opportunities": "Breaches that a strategy was asked about.",
    "proposals": "Proposals on the last block.",
}
