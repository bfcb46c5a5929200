"""What is reserved and what was paid, by scope and day, inside the ledger's transactions.

Scopes are an intent, a lane, the chain, everything ("global"), the hour, and everything over all
days ("total", kept on day 0); all move together, on the day and in the hour the intent was signed
first. It must not open transactions of its own: a reservation counts only with the bytes it is
for. Amounts are summed here and not in SQL, whose integers end at 9.2 ether.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from keeper.chain.ledger.rows import Attempt, CapParameters, Slot
from keeper.domain.units import Address


_HOUR_NS: Final = 3_600 * 10**9
_DAY_NS: Final = 24 * _HOUR_NS
_UPSERT: Final = (
    "INSERT INTO spend VALUES(?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), "
    "(?, ?, ?, ?), (?, ?, ?, ?) ON CONFLICT DO UPDATE "
    "SET reserved_wei = excluded.reserved_wei, settled_wei = excluded.settled_wei"
)
# Which cap speaks, in the order of `Spend._moved`.
_REASONS: Final = ("cap_intent", "cap_lane_day", "", "cap_day", "cap_hour", "cap_total")


class _Row(NamedTuple):
    """One row of the table: what is set aside and what was paid, of a scope on a day."""

    scope: str
    day: int
    reserved_wei: int
    settled_wei: int


class Spend:
    """The spend table of one chain under its caps."""

    def __init__(self, connection: sqlite3.Connection, chain_id: int, caps: CapParameters) -> None:
        self._db = connection
        self._chain = chain_id
        self._caps = caps

    def reserve(self, intent_id: int, attempt: Attempt, more_wei: int) -> str | None:
        """Set `more_wei` aside for the attempt; None, or the cap that forbids it."""
        if attempt.cost_max_wei > self._caps.transaction_wei_max:
            return "cap_transaction"
        moved = self._moved(intent_id, attempt.lane, attempt.nonce, attempt.signed_at_ns)
        for row, most, reason in zip(moved, self._limits(), _REASONS, strict=True):
            if most is not None and row.reserved_wei + row.settled_wei + more_wei > most:
                return reason
        self._shift(moved, more_wei, 0)
        return None

    def reserved(self, intent_id: int) -> int:
        """Return what is set aside for an intent, in wei."""
        row = self._db.execute(
            "SELECT reserved_wei FROM spend WHERE scope = ?", (f"intent:{intent_id}",)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def take_over(self, slot: Slot, intent_id: int, attempt: Attempt) -> str | None:
        """Make a slot's reservation that of the intent which displaces its holder; as `reserve`.

        Only one attempt of a slot can win: what is set aside besides is the difference.
        """
        if attempt.cost_max_wei > self._caps.intent_wei_max:
            return "cap_intent"
        held = self.reserved(slot.intent_id)
        refusal = self.reserve(intent_id, attempt, max(0, attempt.cost_max_wei - held))
        if refusal is None:
            self.hand_over(slot, slot.intent_id, intent_id)
        return refusal

    def hand_over(self, slot: Slot, giver: int, taker: int) -> None:
        """Move a slot's money from one of its intents to another; all other sums stay."""
        if giver == taker:
            return
        at_ns = slot.attempts[0].signed_at_ns
        given = self._moved(giver, slot.lane, slot.nonce, at_ns)[0]
        taken = self._moved(taker, slot.lane, slot.nonce, at_ns)[0]
        self._db.executemany(
            "INSERT INTO spend VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET reserved_wei = excluded.reserved_wei, settled_wei = excluded.settled_wei",
            [
                (given.scope, given.day, "0", "0"),
                (
                    taken.scope,
                    taken.day,
                    str(taken.reserved_wei + given.reserved_wei),
                    str(taken.settled_wei + given.settled_wei),
                ),
            ],
        )

    def settle(self, slot: Slot, intent_id: int, cost_wei: int) -> None:
        """Replace the slot's reservation by what it did cost; the same again changes nothing."""
        moved = self._moved(intent_id, slot.lane, slot.nonce, slot.attempts[0].signed_at_ns)
        self._shift(moved, -moved[0].reserved_wei, cost_wei - moved[0].settled_wei)

    def unsettle(self, slot: Slot) -> None:
        """Take a settlement back: the slot's block left the chain and its bytes live again."""
        moved = self._moved(slot.intent_id, slot.lane, slot.nonce, slot.attempts[0].signed_at_ns)
        self._shift(moved, slot.reserved_wei - moved[0].reserved_wei, -moved[0].settled_wei)

    def _limits(self) -> tuple[int | None, ...]:
        """Return the most of each scope, in the order of `_moved`; a chain's is everything's."""
        caps = self._caps
        return (
            caps.intent_wei_max,
            caps.lane_day_wei_max,
            None,
            caps.day_wei_max,
            caps.hour_wei_max,
            caps.total_wei_max,
        )

    def _moved(self, intent_id: int, lane: Address, nonce: int, signed_ns: int) -> list[_Row]:
        """Return the rows that an intent's money is in, the intent's own first."""
        # When its first bytes were signed fixes day and hour; a replacement moves nothing on.
        first = self._db.execute(
            "SELECT signed_at FROM attempt "
            "WHERE chain_id = ? AND address = ? AND nonce = ? AND seq = 0",
            (self._chain, lane, nonce),
        ).fetchone()
        at_ns = signed_ns if first is None else int(first[0])
        day = at_ns // _DAY_NS
        names = (
            (f"intent:{intent_id}", day),
            (f"lane:{lane}", day),
            (f"chain:{self._chain}", day),
            ("global", day),
            (f"hour:{at_ns // _HOUR_NS}", day),
            ("total", 0),
        )
        found = self._db.execute(
            "SELECT scope, reserved_wei, settled_wei FROM spend "
            "WHERE (scope IN (?, ?, ?, ?, ?) AND day = ?) OR (scope = 'total' AND day = 0)",
            (*(name for name, _ in names[:-1]), day),
        ).fetchall()
        known = {row[0]: (int(row[1]), int(row[2])) for row in found}
        return [_Row(name, on, *known.get(name, (0, 0))) for name, on in names]

    def _shift(self, rows: Sequence[_Row], reserved_wei: int, settled_wei: int) -> None:
        # One statement for all: the thread lets go of the interpreter at each, and has to win it
        # back from the loop.
        self._db.execute(
            _UPSERT,
            [
                value
                for row in rows
                for value in (
                    row.scope,
                    row.day,
                    str(row.reserved_wei + reserved_wei),
                    str(row.settled_wei + settled_wei),
                )
            ],
        )
