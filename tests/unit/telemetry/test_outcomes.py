"""How commands ended, as words to count: the whole table, and where they are shown."""

import io

import orjson
import pytest

from keeper.app.assembly import meanings
from keeper.domain.effects import NOTHING
from keeper.domain.events import (
    CommandCommitted,
    CommandDisplaced,
    CommandRefused,
    CommandSent,
    Entry,
    PreflightPassed,
    Ticked,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.liquidation import executor
from keeper.ports import Timing
from keeper.protocols.derive.actions import calls
from keeper.runtime.clock import SystemClock
from keeper.telemetry.logging import Lines
from keeper.telemetry.metrics import Metrics
from keeper.telemetry.outcomes import OUTCOMES, outcome


HASH = "0x" + "11" * 32
MEANINGS = {
    "Healed": "healed",
    "Started": "lost_race",
    "TooDear": "unprofitable",
    "Late": "expired",
}


def included():
    return TransactionIncluded(1, HASH, 5, HASH, 21_000, 10)


def reverted(reason):
    return TransactionReverted(1, HASH, 5, HASH, 21_000, 10, reason)


def refused(stage, reason):
    return CommandRefused(1, stage, reason, "")


TABLE = [
    (included(), "won"),
    (reverted("Started"), "lost_race"),
    (reverted("Healed"), "healed"),
    (reverted("TooDear"), "unprofitable"),
    (reverted("Late"), "expired"),
    (reverted("Panic_0x11"), "reverted"),
    (reverted("unknown"), "reverted"),
    (refused("preflight", "Started"), "lost_race"),
    (refused("preflight", "Healed"), "healed"),
    (refused("preflight", "TooDear"), "unprofitable"),
    (refused("preflight", "no_answer"), "refused"),
    (refused("cap", "fee_beyond_spend"), "unprofitable"),
    (refused("cap", "cap_day"), "breaker"),
    (refused("breaker", "kill_switch"), "breaker"),
    (refused("expired", "deadline"), "expired"),
    (refused("expired", "no_head"), "expired"),
    (refused("lane", "no_free_slot"), "not_sent"),
    (refused("ledger", "storage"), "not_sent"),
    (refused("observe", "observe_mode"), "not_sent"),
    # A word of a venue counts where a call was tried, and nowhere else.
    (refused("lane", "Started"), "not_sent"),
    (TransactionDropped(1, HASH, "cancelled"), "dropped"),
    (TransactionDropped(1, HASH, "foreign"), "dropped"),
    (TransactionDropped(1, HASH, "displaced"), "dropped"),
    (TransactionDropped(1, HASH, "outrun"), "dropped"),
    (TransactionOrphaned(1, HASH), None),
    (CommandCommitted(1, HASH[:42], 0, HASH), None),
    (CommandDisplaced(1, 2, HASH[:42], 0), None),
    (CommandSent(1, HASH, 1, 1), None),
    (PreflightPassed(1), None),
    (Ticked(), None),
]


@pytest.mark.parametrize(("event", "word"), TABLE)
def test_every_end_of_a_command_has_its_word(event, word):
    assert outcome(event, MEANINGS) == word


def test_every_outcome_is_in_the_table():
    assert {word for _, word in TABLE if word is not None} == set(OUTCOMES)


def test_a_word_that_nobody_explained_is_what_happened():
    assert outcome(reverted("Started"), {}) == "reverted"
    assert outcome(refused("preflight", "Started"), {}) == "refused"


def test_what_protocols_explain_are_words_they_use_and_outcomes_we_have():
    words = {*calls.REASONS.values(), *executor.REASONS.values()}
    assert set(meanings()) <= words
    assert set(meanings().values()) <= set(OUTCOMES)
    assert outcome(reverted("DA_AuctionAlreadyStarted"), meanings()) == "lost_race"
    assert outcome(reverted("DA_AccountIsAboveMaintenanceMargin"), meanings()) == "healed"


def test_outcomes_are_a_metric_and_a_field_of_the_commands_line():
    metrics, stream = Metrics(MEANINGS), io.StringIO()
    lines = Lines(SystemClock(), stream=stream, meanings=MEANINGS)
    for observer in (metrics, lines):
        observer.observe(Entry(1, 1, reverted("Started")), NOTHING, Timing(1, 2, 3, 4))
        observer.observe(
            Entry(2, 2, CommandDisplaced(1, 2, HASH[:42], 0)), NOTHING, Timing(1, 2, 3, 4)
        )
    lines.close()
    shown = metrics.exposition().decode()
    assert 'keeper_outcomes_total{outcome="lost_race"} 1.0' in shown
    assert 'keeper_outcomes_total{outcome="won"} 0.0' in shown
    assert 'keeper_transactions_total{outcome="displaced"} 1.0' in shown
    ended, displaced = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert (ended["event"], ended["outcome"]) == ("transaction_reverted", "lost_race")
    assert (displaced["event"], displaced["by"]) == ("command_displaced", 2)
    assert "outcome" not in displaced
