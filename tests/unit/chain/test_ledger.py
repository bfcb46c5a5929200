"""The ledger: what the schema refuses, what a transaction refuses by a word, and money."""

import sqlite3
from dataclasses import replace

import pytest

from keeper.chain.ledger import schema
from keeper.chain.ledger.rows import CapParameters, Delivery, LaneRow, Outcome, Receipt
from keeper.chain.ledger.store import Ledger
from keeper.domain.errors import InvariantViolation, StorageError
from tests.unit.chain.fake_node import CHAIN_ID
from tests.unit.chain.lane_bench import LANE, attempt, hash_of, intent


OTHER = "0x" + "0b" * 20
BLOCK = hash_of(500)


@pytest.fixture
def db():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    for statement in schema.TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO lane VALUES(1, ?, 1, 'READY', 0)", (LANE,))
    yield connection
    connection.close()


def add_intent(db, identifier=1, account="1", state="BOUND", kind="act", command_id=1):
    kind_of = "bid" if kind == "act" else None
    reason = "x" if state == "FAILED" else ""
    db.execute(
        "INSERT INTO intent VALUES(?, 1, 'v', ?, ?, 1, '0', '1', 9, NULL, ?, ?, ?, '{}', ?, ?)",
        (identifier, account, kind, BLOCK, command_id, kind_of, state, reason),
    )


def add_slot(db, nonce=0, intent_id=1, state="LIVE", won=None):
    db.execute(
        "INSERT INTO slot VALUES(1, ?, ?, ?, 'act', ?, ?)", (LANE, nonce, intent_id, state, won)
    )


def add_attempt(db, number=7, nonce=0, seq=0, tip="1", cap="2", raw=b"x"):
    db.execute(
        "INSERT INTO attempt VALUES(?, 1, ?, ?, ?, ?, ?, ?, 1, '0', '0', 'act', 1, 0)",
        (hash_of(number), LANE, nonce, seq, raw, tip, cap),
    )


def set_slot(db, state, won):
    db.execute("UPDATE slot SET state = ?, won_hash = ?", (state, won))


SLOT_STATES = ("LIVE", "INCLUDED", "CONFIRMED", "FINAL", "FOREIGN")
SLOT_PATHS = {
    "LIVE": (),
    "INCLUDED": ("INCLUDED",),
    "CONFIRMED": ("INCLUDED", "CONFIRMED"),
    "FINAL": ("INCLUDED", "CONFIRMED", "FINAL"),
    "FOREIGN": ("FOREIGN",),
}


@pytest.mark.parametrize("before", SLOT_STATES)
@pytest.mark.parametrize("after", SLOT_STATES)
def test_a_slot_moves_only_as_the_table_says(db, before, after):
    add_intent(db)
    add_slot(db)
    add_attempt(db)
    won = {"LIVE": None, "FOREIGN": None}
    for state in SLOT_PATHS[before]:
        set_slot(db, state, won.get(state, hash_of(7)))
    if before == after or after in schema.SLOT_MOVES.get(before, ()):
        set_slot(db, after, won.get(after, hash_of(7)))
    else:
        with pytest.raises(sqlite3.IntegrityError, match="forbidden transition of slot"):
            set_slot(db, after, won.get(after, hash_of(7)))


INTENT_STATES = ("NEW", "BOUND", "DONE", "FAILED", "EXPIRED", "LOST")


@pytest.mark.parametrize("before", INTENT_STATES)
@pytest.mark.parametrize("after", INTENT_STATES)
def test_an_intent_moves_only_as_the_table_says(db, before, after):
    add_intent(db, state=before)
    change = "UPDATE intent SET state = ?, reason = 'x'"
    if before == after or after in schema.INTENT_MOVES[before]:
        db.execute(change, (after,))
    else:
        with pytest.raises(sqlite3.IntegrityError, match="forbidden transition of intent"):
            db.execute(change, (after,))


@pytest.mark.parametrize(
    ("state", "won"),
    [("LIVE", hash_of(7)), ("FOREIGN", hash_of(7)), ("INCLUDED", None), ("FINAL", None)],
)
def test_a_slot_is_won_exactly_when_it_is_settled(db, state, won):
    add_intent(db)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        add_slot(db, state=state, won=won)


def test_a_slot_cannot_be_won_by_bytes_that_are_not_its_own(db):
    add_intent(db)
    add_slot(db)
    add_attempt(db)
    db.execute("BEGIN")
    set_slot(db, "INCLUDED", hash_of(8))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.execute("COMMIT")


def test_an_account_has_one_live_action_and_a_new_one_when_it_has_ended(db):
    add_intent(db)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        add_intent(db, 2, command_id=2)
    db.execute("UPDATE intent SET state = 'DONE'")
    add_intent(db, 2, command_id=2)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        db.execute("UPDATE intent SET state = 'BOUND' WHERE id = 1")


def test_a_nonce_and_a_command_are_bound_once(db):
    add_intent(db)
    add_intent(db, 2, account="2", command_id=2)
    add_slot(db)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        add_slot(db, nonce=0, intent_id=2)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        add_slot(db, nonce=1, intent_id=1)
    with pytest.raises(sqlite3.IntegrityError, match="bound once"):
        db.execute("UPDATE slot SET intent_id = 2")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        add_intent(db, 3, account="3", command_id=2)


def test_signed_bytes_never_change_and_their_order_is_unique(db):
    add_intent(db)
    add_slot(db)
    add_attempt(db)
    with pytest.raises(sqlite3.IntegrityError, match="never changes"):
        db.execute("UPDATE attempt SET raw = x'00'")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        add_attempt(db, number=8, seq=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"tip": "3", "cap": "2"},
        {"tip": "10", "cap": "9"},
        {"cap": "-1"},
        {"cap": "0x2"},
        {"cap": "02"},
        {"cap": ""},
        {"raw": b""},
        {"seq": -1},
    ],
)
def test_an_attempt_that_cannot_be_is_refused(db, changes):
    add_intent(db)
    add_slot(db)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        add_attempt(db, **changes)


@pytest.mark.parametrize(
    "row",
    [
        (1, LANE.upper(), 1, "READY", 0),
        (1, LANE[:-1], 1, "READY", 0),
        (1, OTHER, 0, "READY", 0),
        (1, OTHER, 1, "BUSY", 0),
        (1, OTHER, 1, "READY", -1),
        (0, OTHER, 1, "READY", 0),
    ],
)
def test_a_lane_that_cannot_be_is_refused(db, row):
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        db.execute("INSERT INTO lane VALUES(?, ?, ?, ?, ?)", row)


def test_an_epoch_never_goes_back(db):
    db.execute("UPDATE lane SET epoch = 3")
    with pytest.raises(sqlite3.IntegrityError, match="never goes back"):
        db.execute("UPDATE lane SET epoch = 2")


def test_the_tables_are_strict(db):
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT"):
        db.execute("INSERT INTO spend VALUES('x', 'monday', '0', '0')")


# Transactions -----------------------------------------------------------------------------------


CAPS = CapParameters(10**18, 10**18, 10**18)


@pytest.fixture
async def ledger(tmp_path):
    opened = await Ledger.open(tmp_path / "ledger", CHAIN_ID, CAPS)
    await opened.take_over([(LANE, 0)])
    yield opened
    await opened.close()


async def test_a_bound_slot_comes_back_whole(ledger):
    assert await ledger.bind(intent(), attempt(), 1) == 1
    (slot,) = await ledger.open_slots()
    assert (slot.intent, slot.attempts, slot.state) == (intent(), (attempt(),), "LIVE")
    assert await ledger.next_command_id() == 2


@pytest.mark.parametrize(
    ("second", "bytes_of", "epoch", "refusal"),
    [
        (intent(2, 2), attempt(1), 2, "epoch_lost"),
        (intent(2, 2), attempt(1, lane=OTHER), 1, "epoch_lost"),
        (intent(2, 2), attempt(0, number=9), 1, "nonce_taken"),
        (intent(2, 2), attempt(2), 1, "nonce_taken"),
        (intent(1, 2), attempt(1), 1, "duplicate_command"),
        (intent(2, 1), attempt(1), 1, "live_action"),
    ],
)
async def test_what_may_not_be_bound_leaves_no_trace(ledger, second, bytes_of, epoch, refusal):
    await ledger.bind(intent(), attempt(), 1)
    spent = await ledger.spent("global")
    assert await ledger.bind(second, bytes_of, epoch) == refusal
    assert len(await ledger.open_slots()) == 1
    assert await ledger.spent("global") == spent


async def test_a_lane_that_is_not_ready_takes_no_action(ledger):
    await ledger.set_lane(LaneRow(LANE, 1, "PAUSED", 0))
    assert await ledger.bind(intent(), attempt(), 1) == "lane_not_ready"


@pytest.mark.parametrize(
    ("caps", "refusal"),
    [
        (CapParameters(10**14 - 1, 10**18, 10**18), "cap_transaction"),
        (CapParameters(10**18, 2 * 10**14 - 1, 10**18), "cap_lane_day"),
        (CapParameters(10**18, 10**18, 2 * 10**14 - 1), "cap_day"),
    ],
)
async def test_each_cap_holds_to_the_wei(tmp_path, caps, refusal):
    ledger = await Ledger.open(tmp_path / "ledger", CHAIN_ID, caps)
    await ledger.take_over([(LANE, 0)])
    first = await ledger.bind(intent(1, 1), attempt(0), 1)
    assert first == (refusal if refusal == "cap_transaction" else 1)
    if refusal != "cap_transaction":
        assert await ledger.bind(intent(2, 2), attempt(1), 1) == refusal
    await ledger.close()


async def test_caps_hold_beyond_what_a_64_bit_integer_holds(tmp_path):
    caps = CapParameters(*[10**24] * 6)
    ledger = await Ledger.open(tmp_path / "ledger", CHAIN_ID, caps)
    await ledger.take_over([(LANE, 0)])
    assert await ledger.bind(intent(), attempt(value_wei=6 * 10**23), 1) == 1
    assert (await ledger.spent("global"))[0] == 6 * 10**23 + 10**14
    assert await ledger.bind(intent(2, 2), attempt(1, value_wei=5 * 10**23), 1) == "cap_lane_day"
    await ledger.close()


async def test_a_replacement_reserves_only_the_difference(ledger):
    await ledger.bind(intent(), attempt(), 1)
    assert await ledger.replace(attempt(seq=1, cap_wei=3 * 10**9), 1) is None
    assert await ledger.spent("global") == (3 * 10**14, 0)
    assert await ledger.replace(attempt(seq=2, gas=21_000, cap_wei=4 * 10**9), 1) is None
    assert await ledger.spent("global") == (3 * 10**14, 0)
    assert await ledger.replace(attempt(seq=3), 2) == "epoch_lost"


def receipt(succeeded: bool = True) -> Receipt:
    return Receipt(attempt().hash, BLOCK, 5, 0, succeeded, 50_000, 10**9)


async def test_settling_reopening_and_settling_again_counts_once(ledger):
    await ledger.bind(intent(), attempt(), 1)
    (slot,) = await ledger.open_slots()
    for _ in range(2):
        await ledger.include(slot, receipt(), 5 * 10**13, "DONE", "")
        assert await ledger.spent(f"lane:{LANE}") == (0, 5 * 10**13)
        (settled,) = await ledger.open_slots()
        assert (settled.block_number, settled.block_hash) == (5, BLOCK)
        assert await ledger.reopen(settled) == "BOUND"
        assert await ledger.spent(f"lane:{LANE}") == (10**14, 0)


async def test_the_receipts_of_a_block_are_booked_together_or_not_at_all(ledger):
    for number in (0, 1):
        await ledger.bind(intent(number + 1, number + 1), attempt(number), 1)
    slots = await ledger.open_slots()
    receipts = [replace(receipt(), hash=each.last.hash) for each in slots]
    good = [Outcome(*each, 1, "DONE", "") for each in zip(slots, receipts, strict=True)]
    with pytest.raises(InvariantViolation):
        await ledger.include_group([good[0], good[1]._replace(state="nonsense")])
    assert [each.state for each in await ledger.open_slots()] == ["LIVE", "LIVE"]
    await ledger.include_group(good)
    assert [each.state for each in await ledger.open_slots()] == ["INCLUDED", "INCLUDED"]


async def test_an_orphan_of_an_account_with_another_live_action_is_lost(ledger):
    await ledger.bind(intent(1, 1), attempt(0), 1)
    (slot,) = await ledger.open_slots()
    await ledger.include(slot, receipt(), 1, "DONE", "")
    await ledger.bind(intent(2, 1), attempt(1), 1)
    assert await ledger.reopen((await ledger.open_slots())[0]) == "LOST"


async def test_lost_bytes_that_still_wait_for_their_cancel_are_a_live_action(ledger):
    await ledger.bind(intent(1, 1), attempt(0), 1)
    (first,) = await ledger.open_slots()
    await ledger.include(first, receipt(), 1, "DONE", "")
    await ledger.bind(intent(2, 1), attempt(1), 1)
    first, second = await ledger.open_slots()
    assert await ledger.reopen(first) == "LOST"
    won = Receipt(attempt(1).hash, BLOCK, 5, 1, True, 50_000, 10**9)
    await ledger.include(second, won, 1, "DONE", "")
    assert await ledger.bind(intent(3, 1), attempt(2), 1) == "live_action"
    first, _ = await ledger.open_slots()
    await ledger.include(first, receipt(), 1, "EXPIRED", "cancelled")
    assert await ledger.bind(intent(3, 1), attempt(2), 1) == 3


async def test_a_slot_that_is_not_live_takes_no_bytes(ledger):
    await ledger.bind(intent(), attempt(), 1)
    (slot,) = await ledger.open_slots()
    await ledger.include(slot, receipt(), 1, "DONE", "")
    assert await ledger.replace(attempt(seq=1), 1) == "slot_not_live"


async def test_an_epoch_rises_with_every_take_over_and_fences_the_one_before(ledger):
    (row,) = await ledger.take_over([(LANE, 0)])
    assert row.epoch == 2
    assert await ledger.bind(intent(), attempt(), 1) == "epoch_lost"
    with pytest.raises(InvariantViolation, match="epoch_lost"):
        await ledger.set_lane(LaneRow(LANE, 1, "PAUSED", 0))


async def test_heads_are_a_ring_and_a_rewind_drops_what_was_above(ledger):
    answer = Delivery(hash_of(1), "node", 1, "accepted", None, 5)
    for number in range(1, 6):
        await ledger.record_head(number, hash_of(number), hash_of(number - 1), [answer])
    await ledger.record_head(3, hash_of(33), hash_of(2), [])
    assert await ledger.last_head() == (3, hash_of(33))


# The file ----------------------------------------------------------------------------------------


async def test_what_was_bound_is_there_after_a_restart(tmp_path):
    for run in (1, 2):
        ledger = await Ledger.open(tmp_path / "ledger", CHAIN_ID, CAPS)
        (row,) = await ledger.take_over([(LANE, 0)])
        assert row == LaneRow(LANE, run, "READY", run - 1)
        await ledger.bind(intent(run, run), attempt(run - 1), run)
        await ledger.close()


async def test_every_commit_is_synced_and_the_file_is_ours_alone(ledger, tmp_path):
    def pragmas():
        return [
            ledger._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "locking_mode", "foreign_keys")
        ]

    assert await ledger._do(pragmas) == ["wal", 2, "exclusive", 1]
    assert (tmp_path / "ledger").stat().st_mode & 0o077 == 0
    with pytest.raises(StorageError, match="another keeper"):
        await Ledger.open(tmp_path / "ledger", CHAIN_ID, CAPS)
    other = sqlite3.connect(tmp_path / "ledger", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM lane").fetchall()
    other.close()


async def test_a_schema_of_another_version_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "ledger"
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE lane(x)")
    db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(StorageError, match=f"schema version 7, this keeper knows {schema.VERSION}"):
        await Ledger.open(file, CHAIN_ID, CAPS)
    db = sqlite3.connect(file)
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("lane",)]
    db.close()


async def test_a_ledger_of_the_version_before_is_taken_over_with_all_that_is_in_it(tmp_path):
    file = tmp_path / "ledger"
    ledger = await Ledger.open(file, CHAIN_ID, CAPS)
    await ledger.take_over([(LANE, 0)])
    await ledger.bind(intent(), attempt(), 1)
    await ledger.close()
    db = sqlite3.connect(file)
    for since in ("TABLE displaced", "TRIGGER slot_given_up", "TRIGGER slot_for_the_unbound"):
        db.execute(f"DROP {since}")
    db.execute("DROP INDEX slot_live")
    db.execute("PRAGMA user_version = 2")
    db.close()
    ledger = await Ledger.open(file, CHAIN_ID, CAPS)
    assert [slot.attempts for slot in await ledger.open_slots()] == [(attempt(),)]
    await ledger.close()
    db = sqlite3.connect(file)
    assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    created = {row[0] for row in db.execute("SELECT name FROM sqlite_master").fetchall()}
    assert {"slot_live", "displaced", "slot_given_up", "slot_bound_once"} <= created
    db.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "ledger").write_bytes(b"not a database, but long enough to be one" * 99)
    with pytest.raises(StorageError, match="cannot be opened"):
        await Ledger.open(tmp_path / "ledger", CHAIN_ID, CAPS)


async def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        await Ledger.open(tmp_path / "nowhere" / "ledger", CHAIN_ID, CAPS)


async def test_row_31_a_full_disk_is_a_storage_error_and_nothing_is_written_after_it(ledger):
    pages = await ledger._do(lambda: ledger._db.execute("PRAGMA page_count").fetchone()[0])
    await ledger._do(lambda: ledger._db.execute(f"PRAGMA max_page_count = {pages}").fetchall())
    with pytest.raises(StorageError, match="full"):
        await ledger.bind(intent(), attempt(raw=b"x" * 100_000), 1)
    with pytest.raises(StorageError, match="full"):
        await ledger.bind(intent(), attempt(), 1)
    assert await ledger.open_slots() == []
