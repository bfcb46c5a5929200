"""Rows of the ledger to records and back: the SQL that needs no transaction of its own.

It must not decide anything: what may be written is said by `bookkeeping` and by the schema.
"""

import math
import sqlite3

import orjson

from keeper.chain.ledger.rows import Attempt, BreakerRow, Claim, Intent, LaneRow, Receipt, Slot
from keeper.domain.units import Address, Hash


def open_slots(db: sqlite3.Connection, chain_id: int) -> list[Slot]:
    """Return every slot that is not FINAL, by lane and nonce."""
    rows = db.execute(
        "SELECT slot.address, slot.nonce, slot.intent_id, slot.state, slot.won_hash, "
        "receipt.block_number, receipt.block_hash FROM slot "
        "LEFT JOIN receipt ON receipt.hash = slot.won_hash "
        "WHERE slot.chain_id = ? AND slot.state <> 'FINAL' ORDER BY slot.address, slot.nonce",
        (chain_id,),
    ).fetchall()
    return [
        Slot(
            lane=row[0],
            nonce=row[1],
            intent_id=row[2],
            state=row[3],
            won=row[4],
            intent=_intent(db, row[2]),
            attempts=_attempts(db, chain_id, row[0], row[1]),
            block_number=row[5],
            block_hash=row[6],
            displaced=_displaced(db, chain_id, row[0], row[1]),
        )
        for row in rows
    ]


def lane(db: sqlite3.Connection, chain_id: int, address: Address) -> LaneRow | None:
    """Return a lane as stored."""
    row = db.execute(
        "SELECT address, epoch, state, next_nonce FROM lane WHERE chain_id = ? AND address = ?",
        (chain_id, address),
    ).fetchone()
    return None if row is None else LaneRow(*row)


def slot_state(
    db: sqlite3.Connection, chain_id: int, address: Address, nonce: int
) -> tuple[int, str] | None:
    """Return (intent id, state) of a nonce, None where it is not bound."""
    row = db.execute(
        "SELECT intent_id, state FROM slot WHERE chain_id = ? AND address = ? AND nonce = ?",
        (chain_id, address, nonce),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def claims(
    db: sqlite3.Connection, chain_id: int, address: Address, nonce: int
) -> list[tuple[int, int | None]]:
    """Return (intent id, last seq of its bytes) of all that held a nonce, its holder last."""
    rows = db.execute(
        "SELECT intent_id, seq_last FROM displaced "
        "WHERE chain_id = ? AND address = ? AND nonce = ? ORDER BY seq_last",
        (chain_id, address, nonce),
    ).fetchall()
    holder = slot_state(db, chain_id, address, nonce)
    return [*rows, *([] if holder is None else [(holder[0], None)])]


def states_from(
    db: sqlite3.Connection, chain_id: int, address: Address, first: int
) -> dict[int, str]:
    """Return nonce → state of every slot of a lane from `first` on, FINAL ones too."""
    rows = db.execute(
        "SELECT nonce, state FROM slot WHERE chain_id = ? AND address = ? AND nonce >= ? "
        "ORDER BY nonce",
        (chain_id, address, first),
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def live_action(db: sqlite3.Connection, chain_id: int, intent: Intent, but: int) -> bool:
    """Tell whether an account has another action, `but` apart, that may still come to be on chain.

    That is one bound or to be bound, and one given up (LOST) whose bytes are live all the same
    until their cancel is in a block.
    """
    row = db.execute(
        "SELECT 1 FROM intent WHERE chain_id = :chain AND protocol = :venue "
        "AND account = :account AND kind = 'act' AND state IN ('NEW', 'BOUND') AND id <> :but "
        "UNION ALL SELECT 1 FROM slot JOIN intent ON intent.id = slot.intent_id "
        "WHERE slot.chain_id = :chain AND slot.state = 'LIVE' "
        "AND intent.protocol = :venue AND intent.account = :account AND intent.kind = 'act' "
        "AND intent.id <> :but "
        "UNION ALL SELECT 1 FROM slot JOIN displaced USING(chain_id, address, nonce) "
        "JOIN intent ON intent.id = displaced.intent_id "
        "WHERE slot.chain_id = :chain AND slot.state = 'LIVE' "
        "AND intent.protocol = :venue AND intent.account = :account "
        "AND intent.id <> :but LIMIT 1",
        {"chain": chain_id, "venue": intent.venue, "account": intent.account, "but": but},
    ).fetchone()
    return row is not None


def next_command_id(db: sqlite3.Connection) -> int:
    """Return one more than the highest command id that was ever bound."""
    return int(db.execute("SELECT coalesce(max(command_id), 0) FROM intent").fetchone()[0]) + 1


def last_head(db: sqlite3.Connection, chain_id: int) -> tuple[int, Hash] | None:
    """Return the newest head of the ring."""
    row = db.execute(
        "SELECT number, hash FROM head WHERE chain_id = ? ORDER BY number DESC LIMIT 1",
        (chain_id,),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def spent(db: sqlite3.Connection, scope: str) -> tuple[int, int]:
    """Return (reserved, settled) wei of a scope over all days."""
    rows = db.execute(
        "SELECT reserved_wei, settled_wei FROM spend WHERE scope = ?", (scope,)
    ).fetchall()
    return sum(int(row[0]) for row in rows), sum(int(row[1]) for row in rows)


def breakers(db: sqlite3.Connection) -> list[BreakerRow]:
    """Return every breaker that ever tripped, by name."""
    rows = db.execute(
        "SELECT name, tripped, detail, at, since_block, since_wei FROM breaker ORDER BY name"
    ).fetchall()
    return [BreakerRow(row[0], bool(row[1]), row[2], row[3], row[4], int(row[5])) for row in rows]


def reverts(db: sqlite3.Connection, chain_id: int, after: int) -> int:
    """Return how many of our transactions failed in blocks after a number."""
    row = db.execute(
        "SELECT count(*) FROM receipt JOIN attempt ON attempt.hash = receipt.hash "
        "WHERE attempt.chain_id = ? AND receipt.status = 0 AND receipt.block_number > ?",
        (chain_id, after),
    ).fetchone()
    return int(row[0])


def loss_wei(db: sqlite3.Connection, chain_id: int, day: int) -> int:
    """Return what a day's intents paid that failed, were cancelled or were lost."""
    rows = db.execute(
        "SELECT spend.settled_wei FROM spend JOIN intent ON spend.scope = 'intent:' || intent.id "
        "WHERE spend.day = ? AND intent.chain_id = ? "
        "AND intent.state IN ('FAILED', 'EXPIRED', 'LOST')",
        (day, chain_id),
    ).fetchall()
    return sum(int(row[0]) for row in rows)


def hurried_loss_wei(db: sqlite3.Connection, chain_id: int, hour: int) -> int:
    """Return what intents that were signed first in an hour, untried, paid and did not do."""
    rows = db.execute(
        "SELECT spend.settled_wei FROM intent JOIN spend ON spend.scope = 'intent:' || intent.id "
        "JOIN slot ON slot.intent_id = intent.id JOIN attempt USING(chain_id, address, nonce) "
        "WHERE intent.chain_id = ? AND intent.state IN ('FAILED', 'EXPIRED', 'LOST') "
        "AND json_extract(intent.decision_json, '$.hurried') "
        "AND attempt.seq = 0 AND attempt.signed_at / 3600000000000 = ?",
        (chain_id, hour),
    ).fetchall()
    return sum(int(row[0]) for row in rows)


def insert_intent(db: sqlite3.Connection, chain_id: int, intent: Intent) -> int:
    """Insert an intent as BOUND; return its id."""
    decision = {
        "to": intent.to,
        "data": intent.data,
        "gas": intent.gas,
        "decided_number": intent.decided_number,
        "tier": intent.priority[0],
        "worth": intent.priority[1],
        "hurried": intent.hurried,
    }
    cursor = db.execute(
        "INSERT INTO intent(chain_id, protocol, account, kind, priority, value_wei, max_cost_wei, "
        "deadline_block, decided_block_hash, command_id, command_kind, decision_json, state, "
        "reason) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'BOUND', '')",
        (
            chain_id,
            intent.venue,
            intent.account,
            intent.kind,
            intent.rank,
            str(intent.value_wei),
            str(intent.max_cost_wei),
            intent.deadline_block,
            intent.decided_hash,
            intent.command_id,
            intent.command_kind,
            orjson.dumps(decision).decode(),
        ),
    )
    assert cursor.lastrowid is not None, "an insert has a row"
    return cursor.lastrowid


def insert_attempt(db: sqlite3.Connection, chain_id: int, attempt: Attempt, epoch: int) -> None:
    """Insert signed bytes under the epoch they were signed in."""
    db.execute(
        "INSERT INTO attempt VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            attempt.hash,
            chain_id,
            attempt.lane,
            attempt.nonce,
            attempt.seq,
            attempt.raw,
            str(attempt.tip_wei),
            str(attempt.cap_wei),
            attempt.gas,
            str(attempt.value_wei),
            str(attempt.l1_fee_max_wei),
            attempt.kind,
            epoch,
            attempt.signed_at_ns,
        ),
    )


def insert_receipt(db: sqlite3.Connection, receipt: Receipt) -> None:
    """Insert a receipt; the same one again changes nothing."""
    db.execute(
        "INSERT INTO receipt VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            receipt.hash,
            receipt.block_hash,
            receipt.block_number,
            receipt.index,
            int(receipt.succeeded),
            receipt.gas_used,
            str(receipt.price_wei),
            str(receipt.l1_fee_wei),
        ),
    )


def _intent(db: sqlite3.Connection, identifier: int) -> Intent:
    row = db.execute(
        "SELECT kind, protocol, account, priority, value_wei, max_cost_wei, deadline_block, "
        "decided_block_hash, command_id, command_kind, decision_json, state FROM intent "
        "WHERE id = ?",
        (identifier,),
    ).fetchone()
    decision = orjson.loads(row[10])
    return Intent(
        kind=row[0],
        venue=row[1],
        account=row[2],
        rank=row[3],
        value_wei=int(row[4]),
        max_cost_wei=int(row[5]),
        deadline_block=row[6],
        decided_hash=row[7],
        command_id=row[8],
        command_kind=row[9],
        to=decision["to"],
        data=decision["data"],
        gas=decision["gas"],
        decided_number=decision["decided_number"],
        state=row[11],
        # JSON has no infinity: a worth that is not there is the last of all.
        priority=(decision["tier"], math.inf if decision["worth"] is None else decision["worth"])
        if "tier" in decision
        else (0, 0.0),
        hurried=decision.get("hurried", False),
    )


def _displaced(
    db: sqlite3.Connection, chain_id: int, address: Address, nonce: int
) -> tuple[Claim, ...]:
    return tuple(
        Claim(intent_id, _intent(db, intent_id), seq_last)
        for intent_id, seq_last in claims(db, chain_id, address, nonce)
        if seq_last is not None
    )


def _attempts(
    db: sqlite3.Connection, chain_id: int, address: Address, nonce: int
) -> tuple[Attempt, ...]:
    rows = db.execute(
        "SELECT hash, address, nonce, seq, raw, tip_wei, cap_wei, gas, value_wei, kind, signed_at, "
        "l1_fee_max_wei "
        "FROM attempt WHERE chain_id = ? AND address = ? AND nonce = ? ORDER BY seq",
        (chain_id, address, nonce),
    ).fetchall()
    return tuple(
        Attempt(
            hash=row[0],
            lane=row[1],
            nonce=row[2],
            seq=row[3],
            raw=row[4],
            tip_wei=int(row[5]),
            cap_wei=int(row[6]),
            gas=row[7],
            value_wei=int(row[8]),
            kind=row[9],
            signed_at_ns=row[10],
            l1_fee_max_wei=int(row[11]),
        )
        for row in rows
    )
