"""What is reserved and what was paid, by scope and day, inside the ledger's transactions.

Scopes are an intent, a lane, the chain and everything ("global"); all four move together, on the
day the intent was signed first. It must not open transactions of its own: a reservation counts
only with the bytes it is for. Amounts are summed here and not in SQL, whose integers end at 9.2
ether.
"""

import sqlite3
from typing import Final

from keeper.chain.rows import Attempt, CapParameters, Slot
from keeper.domain.units import Address


_DAY_NS: Final = 86_400 * 10**9


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
        # Only a first attempt can be the intent's first reservation: it fixes the day.
        day = self._of(intent_id)[2] if attempt.seq else None
        if day is None:
            day = attempt.signed_at_ns // _DAY_NS
        scopes = self._scopes(intent_id, attempt.lane, day)
        if sum(scopes[f"lane:{attempt.lane}"]) + more_wei > self._caps.lane_day_wei_max:
            return "cap_lane_day"
        if sum(scopes["global"]) + more_wei > self._caps.day_wei_max:
            return "cap_day"
        self._shift(scopes, day, more_wei, 0)
        return None

    def reserved(self, intent_id: int) -> int:
        """Return what is set aside for an intent, in wei."""
        return self._of(intent_id)[0]

    def settle(self, slot: Slot, cost_wei: int) -> None:
        """Replace the slot's reservation by what it did cost; the same again changes nothing."""
        reserved, settled, day = self._of(slot.intent_id)
        if day is not None:
            scopes = self._scopes(slot.intent_id, slot.lane, day)
            self._shift(scopes, day, -reserved, cost_wei - settled)

    def unsettle(self, slot: Slot) -> None:
        """Take a settlement back: the slot's block left the chain and its bytes live again."""
        reserved, settled, day = self._of(slot.intent_id)
        if day is not None:
            scopes = self._scopes(slot.intent_id, slot.lane, day)
            self._shift(scopes, day, slot.reserved_wei - reserved, -settled)

    def _scopes(self, intent_id: int, lane: Address, day: int) -> dict[str, tuple[int, int]]:
        """Return scope → (reserved, settled) of one day for all scopes an intent moves."""
        names = (f"intent:{intent_id}", f"lane:{lane}", f"chain:{self._chain}", "global")
        rows = self._db.execute(
            "SELECT scope, reserved_wei, settled_wei FROM spend "
            "WHERE day = ? AND scope IN (?, ?, ?, ?)",
            (day, *names),
        ).fetchall()
        known = {row[0]: (int(row[1]), int(row[2])) for row in rows}
        return {name: known.get(name, (0, 0)) for name in names}

    def _shift(
        self, scopes: dict[str, tuple[int, int]], day: int, reserved_wei: int, settled_wei: int
    ) -> None:
        # One statement for all: the thread lets go of the interpreter at each, and has to win it
        # back from the loop.
        rows = [
            (name, day, str(reserved + reserved_wei), str(settled + settled_wei))
            for name, (reserved, settled) in scopes.items()
        ]
        self._db.execute(
            "INSERT INTO spend VALUES(?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE "
            "SET reserved_wei = excluded.reserved_wei, settled_wei = excluded.settled_wei",
            [value for row in rows for value in row],
        )

    def _of(self, intent_id: int) -> tuple[int, int, int | None]:
        row = self._db.execute(
            "SELECT reserved_wei, settled_wei, day FROM spend WHERE scope = ?",
            (f"intent:{intent_id}",),
        ).fetchone()
        return (0, 0, None) if row is None else (int(row[0]), int(row[1]), row[2])
