"""What the keeper's ledger says was set aside and spent, beside the caps it was configured with.

It reads the ledger's tables as any operator may; it must not know the keeper's code.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


# Which rows of the ledger's spend table each cap is about; a transaction has none of its own.
SCOPES = {
    "intent_wei_max": "intent:%",
    "lane_day_wei_max": "lane:%",
    "hour_wei_max": "hour:%",
    "day_wei_max": "global",
    "total_wei_max": "total",
}


@dataclass(frozen=True)
class CapUse:
    """One cap and the row that came nearest to it, wei; `reserved` is what is still set aside."""

    configured_wei: int
    reserved_wei: int
    settled_wei: int

    @property
    def kept(self) -> bool:
        """Tell whether the cap held."""
        return self.reserved_wei + self.settled_wei <= self.configured_wei


def caps_used(ledger: Path, configured: Mapping[str, int]) -> dict[str, CapUse]:
    """Return each configured cap with the largest use of it; a transaction's is its bytes' cost."""
    with _reading(ledger) as db:
        used = {
            name: CapUse(most, *_largest(db, SCOPES[name]))
            for name, most in configured.items()
            if name in SCOPES
        }
        costs = db.execute("SELECT gas, cap_wei, value_wei FROM attempt").fetchall()
    dearest = max((gas * int(cap) + int(value) for gas, cap, value in costs), default=0)
    return {"transaction_wei_max": CapUse(configured["transaction_wei_max"], dearest, 0), **used}


def decided_hashes(ledger: Path) -> dict[str, str]:
    """Return the decided block's hash of every transaction that the keeper's ledger knows."""
    query = (
        "SELECT attempt.hash, intent.decided_block_hash FROM attempt"
        " JOIN slot USING (chain_id, address, nonce)"
        " JOIN intent ON intent.id = slot.intent_id WHERE attempt.kind = 'act'"
    )
    with _reading(ledger) as db:
        return dict(db.execute(query).fetchall())


def _largest(db: sqlite3.Connection, scope: str) -> tuple[int, int]:
    query = "SELECT reserved_wei, settled_wei FROM spend WHERE scope LIKE ?"
    rows = [(int(reserved), int(settled)) for reserved, settled in db.execute(query, (scope,))]
    return max(rows, key=sum, default=(0, 0))


@contextmanager
def _reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{quote(str(ledger))}?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()
