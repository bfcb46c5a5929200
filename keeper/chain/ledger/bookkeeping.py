"""The ledger's transactions: what is read and written together, on one SQLite connection.

Synchronous, and run in the ledger's thread only; it must not know the loop, a node or a key. What
is expected to be refused comes back as a word, never as an exception; the schema's own refusals
(sqlite3.IntegrityError) mean that this file is wrong.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from keeper.chain.ledger import statements
from keeper.chain.ledger.rows import (
    ACT,
    Attempt,
    Binding,
    CapParameters,
    Delivery,
    Intent,
    LaneRow,
    Outcome,
    Slot,
)
from keeper.chain.ledger.spend import Spend
from keeper.domain.units import Address, Hash


HEADS_KEPT: Final = 512
DELIVERIES_KEPT: Final = 100_000
_DAY_NS: Final = 86_400 * 10**9


class Books:
    """One chain's rows; every public method is one transaction."""

    def __init__(self, connection: sqlite3.Connection, chain_id: int, caps: CapParameters) -> None:
        self._db = connection
        self._chain = chain_id
        self._spend = Spend(connection, chain_id, caps)

    @property
    def chain_id(self) -> int:
        """Return the chain these rows are of."""
        return self._chain

    # Signing ------------------------------------------------------------------------------------

    def bind(self, bindings: Sequence[Binding]) -> list[int | str]:
        """Bind lanes' next nonces to intents and their first bytes, in order, in one commit.

        Stops at the first that is refused: the answers are intent ids, durable when this returns,
        and then perhaps one word why not: "epoch_lost", "lane_not_ready", "nonce_taken",
        "duplicate_command", "live_action", "cap_transaction", "cap_intent", "cap_lane_day",
        "cap_hour", "cap_day", "cap_total". What comes after it was not looked at: its nonces were
        chosen as if that one were bound.
        """
        answers: list[int | str] = []
        with self._transaction():
            for binding in bindings:
                answers.append(self._bind(binding))
                if isinstance(answers[-1], str):
                    break
        return answers

    def replace(self, attempt: Attempt, epoch: int) -> str | None:
        """Add bytes to a live slot, reserving only the difference; None, or why not."""
        with self._transaction():
            lane = statements.lane(self._db, self._chain, attempt.lane)
            if lane is None or lane.epoch != epoch:
                return "epoch_lost"
            slot = statements.slot_state(self._db, self._chain, attempt.lane, attempt.nonce)
            if slot is None or slot[1] != "LIVE":
                return "slot_not_live"
            more = max(0, attempt.cost_max_wei - self._spend.reserved(slot[0]))
            refusal = self._spend.reserve(slot[0], attempt, more)
            if refusal is not None:
                return refusal
            statements.insert_attempt(self._db, self._chain, attempt, epoch)
        return None

    def displace(self, slot: Slot, binding: Binding) -> int | str:
        """Give a live slot's nonce to a better intent; its id, durable, or a word as `bind` does.

        The one displaced stays BOUND, so that its account gets no other action, until a receipt
        says whose the nonce was: its bytes are out. Words besides: "slot_not_live".
        """
        intent, attempt, epoch = binding
        with self._transaction():
            lane = statements.lane(self._db, self._chain, slot.lane)
            if lane is None or lane.epoch != epoch:
                return "epoch_lost"
            if lane.state != "READY":
                return "lane_not_ready"
            held = statements.slot_state(self._db, self._chain, slot.lane, slot.nonce)
            if held != (slot.intent_id, "LIVE"):
                return "slot_not_live"
            refusal = self._intent_refusal(intent)
            if refusal is not None:
                return refusal
            identifier = statements.insert_intent(self._db, self._chain, intent)
            refusal = self._spend.take_over(slot, identifier, attempt)
            if refusal is not None:
                self._db.execute("DELETE FROM intent WHERE id = ?", (identifier,))
                return refusal
            key = (self._chain, slot.lane, slot.nonce)
            self._db.execute(
                "INSERT INTO displaced VALUES(?, ?, ?, ?, ?)",
                (slot.intent_id, *key, slot.last.seq),
            )
            self._db.execute(
                "UPDATE slot SET intent_id = ? WHERE chain_id = ? AND address = ? AND nonce = ?",
                (identifier, *key),
            )
            statements.insert_attempt(self._db, self._chain, attempt, epoch)
        return identifier

    # Outcomes -----------------------------------------------------------------------------------

    def include(self, outcomes: Sequence[Outcome]) -> None:
        """Mark slots as INCLUDED, the winners' intents as they ended, settle their costs.

        Others that hold or held a nonce are LOST: "displaced", or "outrun" by older bytes. Who
        they are is read here: one may have come since the caller's slot was looked at.
        """
        with self._transaction():
            for outcome in outcomes:
                self._include(outcome)

    def explain(self, intent_id: int, reason: str) -> None:
        """Write down why an intent failed, once that is known."""
        with self._transaction():
            self._db.execute("UPDATE intent SET reason = ? WHERE id = ?", (reason, intent_id))

    def reopen(self, slot: Slot) -> str:
        """Make a slot LIVE again whose block left the chain; return its intent's new state.

        BOUND, or LOST where the account has another live action by now: then the nonce is to be
        cancelled, for two live actions of one account must never be.
        """
        with self._transaction():
            self._db.execute(
                "DELETE FROM receipt WHERE hash IN (SELECT hash FROM attempt "
                "WHERE chain_id = ? AND address = ? AND nonce = ?)",
                (self._chain, slot.lane, slot.nonce),
            )
            self._move(slot, "LIVE", None)
            for claim in slot.claims:
                state = "LOST" if self._live_action(claim.intent, claim.intent_id) else "BOUND"
                self._end_intent(claim.intent_id, state, "orphaned")
            self._spend.hand_over(slot, slot.claim(slot.won).intent_id, slot.intent_id)
            self._spend.unsettle(slot)
        return state  # the holder's, who is the last of the claims

    def lose(self, slot: Slot) -> None:
        """Mark a slot as FOREIGN: bytes that are not ours took its nonce."""
        with self._transaction():
            self._move(slot, "FOREIGN", None)
            claims = statements.claims(self._db, self._chain, slot.lane, slot.nonce)
            for intent_id, _ in claims:
                self._end_intent(intent_id, "LOST", "foreign")
            self._spend.settle(slot, claims[-1][0], 0)

    def deepen(self, confirmed: Sequence[Slot], final: Sequence[Slot]) -> None:
        """Move slots on to CONFIRMED and to FINAL."""
        if not confirmed and not final:
            return
        with self._transaction():
            for state, slots in (("CONFIRMED", confirmed), ("FINAL", final)):
                for slot in slots:
                    self._move(slot, state, slot.won)

    # Breakers -----------------------------------------------------------------------------------

    def losses(self, after: int, day: int) -> tuple[int, int]:
        """Return (reverts in blocks after `after`, wei lost on `day`) since the last resets."""
        since = {row.name: row for row in statements.breakers(self._db)}
        block, wei = after, 0
        if "reverts" in since:
            block = max(after, since["reverts"].since_block)
        if "loss_day" in since and since["loss_day"].at_ns // _DAY_NS == day:
            wei = since["loss_day"].since_wei
        lost = statements.loss_wei(self._db, self._chain, day) - wei
        return statements.reverts(self._db, self._chain, block), lost

    def trip(self, name: str, detail: str, at_ns: int) -> None:
        """Open a breaker until it is reset; one that is open stays as it is."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO breaker VALUES(?, 1, ?, ?, 0, '0') ON CONFLICT DO UPDATE "
                "SET tripped = 1, detail = excluded.detail WHERE tripped = 0",
                (name, detail, at_ns),
            )

    def reset(self, name: str, at_ns: int) -> bool:
        """Close a breaker; what was counted so far counts no more. False where it was not open."""
        head = statements.last_head(self._db, self._chain)
        with self._transaction():
            changed = self._db.execute(
                "UPDATE breaker SET tripped = 0, detail = '', at = ?, since_block = ?, "
                "since_wei = ? WHERE name = ? AND tripped = 1",
                (
                    at_ns,
                    0 if head is None else head[0],
                    str(statements.loss_wei(self._db, self._chain, at_ns // _DAY_NS)),
                    name,
                ),
            ).rowcount
        return changed == 1

    # Lanes, heads, deliveries -------------------------------------------------------------------

    def take_over(self, lanes: Sequence[tuple[Address, int]]) -> list[LaneRow]:
        """Raise every lane's epoch (new lanes begin at the given nonce); return them as stored."""
        with self._transaction():
            for address, nonce in lanes:
                self._db.execute(
                    "INSERT INTO lane VALUES(?, ?, 1, 'READY', ?) ON CONFLICT DO UPDATE "
                    "SET epoch = lane.epoch + 1",
                    (self._chain, address, nonce),
                )
        found = [statements.lane(self._db, self._chain, address) for address, _ in lanes]
        return [row for row in found if row is not None]

    def set_lane(self, row: LaneRow) -> str | None:
        """Write a lane's state and next nonce under its epoch; None, or "epoch_lost"."""
        with self._transaction():
            changed = self._db.execute(
                "UPDATE lane SET state = ?, next_nonce = ? "
                "WHERE chain_id = ? AND address = ? AND epoch = ?",
                (row.state, row.next_nonce, self._chain, row.address, row.epoch),
            ).rowcount
        return None if changed == 1 else "epoch_lost"

    def record_head(
        self, number: int, block: Hash, parent: Hash, deliveries: Sequence[Delivery]
    ) -> None:
        """Keep a head in the ring, dropping what it displaces, and the answers of routes."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM head WHERE chain_id = ? AND (number >= ? OR number <= ?)",
                (self._chain, number, number - HEADS_KEPT),
            )
            self._db.execute(
                "INSERT INTO head VALUES(?, ?, ?, ?)", (self._chain, number, block, parent)
            )
            self._db.executemany(
                "INSERT INTO delivery VALUES(?, ?, ?, ?, ?, ?)",
                [
                    (each.hash, each.route, each.at_ns, each.outcome, each.code, each.latency_us)
                    for each in deliveries
                ],
            )

    def tidy(self) -> None:
        """Fold the write-ahead log into the file and bound the deliveries: off the hot path."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM delivery WHERE rowid <= (SELECT max(rowid) FROM delivery) - ?",
                (DELIVERIES_KEPT,),
            )
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    # Inside a transaction -----------------------------------------------------------------------

    def _include(self, outcome: Outcome) -> None:
        slot, receipt, cost_wei, state, reason = outcome
        winner = slot.claim(receipt.hash).intent_id
        statements.insert_receipt(self._db, receipt)
        self._move(slot, "INCLUDED", receipt.hash)
        claims = statements.claims(self._db, self._chain, slot.lane, slot.nonce)
        ended = "displaced"
        for intent_id, _ in claims:
            if intent_id == winner:
                self._end_intent(intent_id, state, reason)
                ended = "outrun"
            else:
                self._end_intent(intent_id, "LOST", ended)
        self._spend.hand_over(slot, claims[-1][0], winner)
        self._spend.settle(slot, winner, cost_wei)

    def _bind(self, binding: Binding) -> int | str:
        """Insert one binding whole, or leave nothing of it and say why."""
        intent, attempt, epoch = binding
        refusal = self._lane_refusal(attempt, epoch, intent.kind) or self._intent_refusal(intent)
        if refusal is not None:
            return refusal
        identifier = statements.insert_intent(self._db, self._chain, intent)
        refusal = self._spend.reserve(identifier, attempt, attempt.cost_max_wei)
        if refusal is not None:
            self._db.execute("DELETE FROM intent WHERE id = ?", (identifier,))
            return refusal
        self._db.execute(
            "INSERT INTO slot VALUES(?, ?, ?, ?, ?, 'LIVE', NULL)",
            (self._chain, attempt.lane, attempt.nonce, identifier, intent.kind),
        )
        statements.insert_attempt(self._db, self._chain, attempt, epoch)
        self._db.execute(
            "UPDATE lane SET next_nonce = max(next_nonce, ?) WHERE chain_id = ? AND address = ?",
            (attempt.nonce + 1, self._chain, attempt.lane),
        )
        return identifier

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # Some failures (a full disk) have rolled back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _lane_refusal(self, attempt: Attempt, epoch: int, kind: str) -> str | None:
        lane = statements.lane(self._db, self._chain, attempt.lane)
        if lane is None or lane.epoch != epoch:
            return "epoch_lost"
        if kind == ACT and lane.state != "READY":
            return "lane_not_ready"
        taken = statements.slot_state(self._db, self._chain, attempt.lane, attempt.nonce)
        if taken is not None or (kind == ACT and lane.next_nonce != attempt.nonce):
            return "nonce_taken"
        return None

    def _intent_refusal(self, intent: Intent) -> str | None:
        if intent.kind != ACT:
            return None
        taken = self._db.execute(
            "SELECT 1 FROM intent WHERE command_id = ?", (intent.command_id,)
        ).fetchone()
        if taken is not None:
            return "duplicate_command"
        return "live_action" if self._live_action(intent, 0) else None

    def _live_action(self, intent: Intent, but: int) -> bool:
        if intent.kind != ACT:
            return False
        return statements.live_action(self._db, self._chain, intent, but)

    def _move(self, slot: Slot, state: str, won: Hash | None) -> None:
        self._db.execute(
            "UPDATE slot SET state = ?, won_hash = ? "
            "WHERE chain_id = ? AND address = ? AND nonce = ?",
            (state, won, self._chain, slot.lane, slot.nonce),
        )

    def _end_intent(self, intent_id: int, state: str, reason: str) -> None:
        self._db.execute(
            "UPDATE intent SET state = ?, reason = ? WHERE id = ?", (state, reason, intent_id)
        )
