"""Caps and lanes under anything: whatever is bound, bumped, included, reorged, the sums hold."""

import sqlite3
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keeper.chain.ledger import schema, statements
from keeper.chain.ledger.bookkeeping import Books
from keeper.chain.ledger.rows import Binding, CapParameters, Outcome, Receipt, Slot
from tests.unit.chain.lane_bench import LANE, attempt, hash_of, intent


TIGHT = {
    "transaction_wei_max": 3 * 10**14,
    "intent_wei_max": 3 * 10**14,
    "lane_day_wei_max": 9 * 10**14,
    "day_wei_max": 9 * 10**14,
    "hour_wei_max": 9 * 10**14,
    "total_wei_max": 12 * 10**14,
}
LOOSE = 10**30
HOUR_NS = 3_600 * 10**9
START_NS = 1_767_225_600 * 10**9


class CapsHold(RuleBasedStateMachine):
    """One lane's books, driven at random, against a model that only adds."""

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        for table in schema.TABLES:
            self.db.execute(table)
        self.caps = CapParameters(**dict.fromkeys(TIGHT, LOOSE))
        self.books = Books(self.db, 31337, self.caps)
        self.books.take_over([(LANE, 0)])
        self.now_ns = START_NS
        self.nonce = self.number = self.newcomers = 0
        self.live: dict[int, Slot] = {}
        self.settled: dict[int, Slot] = {}
        self.spent: dict[int, tuple[int, int]] = {}  # nonce → (hour, wei set aside or paid)

    @initialize(tight=st.sampled_from(sorted(TIGHT)))
    def one_cap_is_tight(self, tight):
        """One at a time, or the narrowest would hide that another is not kept."""
        self.caps = replace(self.caps, **{tight: TIGHT[tight]})
        self.books = Books(self.db, 31337, self.caps)

    @rule(hours=st.sampled_from([1, 1, 1, 30]))
    def time_passes(self, hours):
        self.now_ns += hours * HOUR_NS

    @rule(
        gas=st.sampled_from([21_000, 100_000, 300_000]),
        cap=st.sampled_from([1, 10**8, 10**9, 2 * 10**9]),
    )
    def bind(self, gas, cap):
        made = self._attempt(self.nonce, 0, gas, cap)
        purpose = intent(self.nonce + 1, self.nonce)
        (answer,) = self.books.bind([Binding(purpose, made, 1)])
        if isinstance(answer, int):
            slot = Slot(LANE, self.nonce, answer, "LIVE", None, purpose, (made,))
            self.live[self.nonce] = slot
            self.spent[self.nonce] = (self.now_ns // HOUR_NS, made.cost_max_wei)
            self.nonce += 1
        else:
            assert answer.startswith("cap_"), answer

    @precondition(lambda self: self.live)
    @rule(data=st.data(), percent=st.integers(113, 400))
    def bump(self, data, percent):
        slot = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        last = slot.last
        made = self._attempt(slot.nonce, last.seq + 1, last.gas, last.cap_wei * percent // 100 + 1)
        answer = self.books.replace(made, 1)
        if answer is None:
            self.live[slot.nonce] = replace(slot, attempts=(*slot.attempts, made))
            hour, wei = self.spent[slot.nonce]
            self.spent[slot.nonce] = (hour, max(wei, made.cost_max_wei))
        else:
            assert answer.startswith("cap_"), answer

    @precondition(lambda self: self.live)
    @rule(data=st.data(), percent=st.integers(113, 400), gas=st.sampled_from([21_000, 300_000]))
    def displace(self, data, percent, gas):
        slot = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        self.newcomers += 1
        made = self._attempt(
            slot.nonce, slot.last.seq + 1, gas, slot.last.cap_wei * percent // 100 + 1
        )
        purpose = intent(100_000 + self.newcomers, 100_000 + self.newcomers)
        answer = self.books.displace(slot, Binding(purpose, made, 1))
        if isinstance(answer, int):
            self.live[slot.nonce] = replace(
                slot,
                intent_id=answer,
                intent=purpose,
                attempts=(*slot.attempts, made),
                displaced=slot.claims,
            )
            hour, wei = self.spent[slot.nonce]
            self.spent[slot.nonce] = (hour, max(wei, made.cost_max_wei))
        else:
            assert answer.startswith("cap_"), answer

    @precondition(lambda self: self.live)
    @rule(data=st.data(), succeeded=st.booleans(), share=st.integers(1, 100))
    def include(self, data, succeeded, share):
        slot = self.live.pop(data.draw(st.sampled_from(sorted(self.live))))
        won = data.draw(st.sampled_from(slot.attempts))
        cost = won.cost_max_wei * share // 100
        receipt = Receipt(won.hash, hash_of(9), 9, 0, succeeded, won.gas, won.cap_wei)
        state, reason = ("DONE", "") if succeeded else ("FAILED", "reverted")
        self.books.include([Outcome(slot, receipt, cost, state, reason)])
        self.settled[slot.nonce] = replace(slot, state="INCLUDED", won=won.hash)
        winner = slot.claim(won.hash).intent_id
        assert sum(statements.spent(self.db, f"intent:{winner}")) == cost
        self.spent[slot.nonce] = (self.spent[slot.nonce][0], cost)

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def reorg(self, data):
        slot = self.settled.pop(data.draw(st.sampled_from(sorted(self.settled))))
        self.books.reopen(slot)
        self.live[slot.nonce] = replace(slot, state="LIVE", won=None)
        self.spent[slot.nonce] = (self.spent[slot.nonce][0], slot.reserved_wei)

    @invariant()
    def cap_never_exceeded(self):
        paid = [wei for _, wei in self.spent.values()]
        assert sum(statements.spent(self.db, "total")) == sum(paid)
        # A reorg sets aside again what an orphaned block had given back, caps or not: the bytes
        # are out. Everything that is bound or bumped stays within.
        assert all(wei <= self.caps.transaction_wei_max for wei in paid)
        assert all(wei <= self.caps.intent_wei_max for wei in paid)

    @invariant()
    def every_scope_sums_to_the_same(self):
        sums = {
            name: statements.spent(self.db, name)
            for name in (f"lane:{LANE}", "chain:31337", "global", "total")
        }
        assert len(set(sums.values())) == 1, sums
        hours: dict[int, int] = {}
        for hour, wei in self.spent.values():
            hours[hour] = hours.get(hour, 0) + wei
        for hour, wei in hours.items():
            assert sum(statements.spent(self.db, f"hour:{hour}")) == wei

    @invariant()
    def an_account_is_kept_as_long_as_any_of_its_bytes_may_land(self):
        live = {claim.intent_id for slot in self.live.values() for claim in slot.claims}
        ended = {claim.intent_id for slot in self.settled.values() for claim in slot.claims}
        states = dict(self.db.execute("SELECT id, state FROM intent").fetchall())
        assert {each for each, state in states.items() if state == "BOUND"} == live
        assert {each for each, state in states.items() if state != "BOUND"} == ended
        # Of those that held one nonce, one at most did anything.
        for slot in self.settled.values():
            done = [states[each.intent_id] for each in slot.claims]
            assert len([state for state in done if state != "LOST"]) == 1

    @invariant()
    def the_ledger_reads_back_as_it_was_written(self):
        known = {slot.nonce: slot for slot in statements.open_slots(self.db, 31337)}
        for nonce, slot in (self.live | self.settled).items():
            there = known[nonce]
            assert there.attempts == slot.attempts
            assert [each.intent_id for each in there.claims] == [
                each.intent_id for each in slot.claims
            ]

    @invariant()
    def nonces_have_no_gap(self):
        assert sorted([*self.live, *self.settled]) == list(range(self.nonce))
        row = statements.lane(self.db, 31337, LANE)
        assert row is not None
        assert row.next_nonce == self.nonce

    def teardown(self) -> None:
        self.db.close()

    def _attempt(self, nonce, seq, gas, cap):
        self.number += 1
        return attempt(
            nonce, seq, 10_000 + self.number, gas=gas, cap_wei=cap, signed_at_ns=self.now_ns
        )


class CapsHoldWithoutReorgs(CapsHold):
    """Without reorgs, every cap holds at every moment."""

    reorg = None

    @invariant()
    def no_scope_is_above_its_cap(self):
        assert sum(statements.spent(self.db, "total")) <= self.caps.total_wei_max
        most = {
            "hour": self.caps.hour_wei_max,
            "lane": self.caps.lane_day_wei_max,
            "global": self.caps.day_wei_max,
            "intent": self.caps.intent_wei_max,
        }
        for scope, day, reserved, settled in self.db.execute("SELECT * FROM spend").fetchall():
            cap = most.get(scope.partition(":")[0], LOOSE)
            assert int(reserved) + int(settled) <= cap, (scope, day)


SETTINGS = settings(
    max_examples=80, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
TestCapsHold = CapsHold.TestCase
TestCapsHold.settings = SETTINGS


def test_cap_never_exceeded() -> None:
    run_state_machine_as_test(CapsHoldWithoutReorgs, settings=SETTINGS)
