"""The ledger's tables: what lanes, intents, slots and attempts may be, told to the database.

It knows SQL and no chain. The state machine stands in CHECKs, unique indexes and triggers, so that
a wrong program, a hand at the shell and a later shared database all meet the same refusal. Amounts
in wei are decimal text, because a 64-bit integer ends at 9.2 ether; hashes and addresses are
lower-case hex. `lane.epoch` is the fence: whoever signs must name the epoch it was given.

    lane ──< slot >── intent        slot = one nonce of a lane: the unit of at most once
              └──< attempt          attempt = one set of signed bytes for a slot
                     └──< receipt   receipt = one block in which an attempt was found
"""

from typing import Final


VERSION: Final = 4


def _wei(column: str) -> str:
    return (
        f"{column} TEXT NOT NULL CHECK({column} NOT GLOB '*[^0-9]*' AND length({column}) > 0 "
        f"AND ({column} = '0' OR {column} NOT GLOB '0*'))"
    )


def _hex(column: str, digits: int, *, optional: bool = False) -> str:
    null = "" if optional else " NOT NULL"
    return (
        f"{column} TEXT{null} CHECK(length({column}) = {digits + 2} "
        f"AND substr({column}, 1, 2) = '0x' AND substr({column}, 3) NOT GLOB '*[^0-9a-f]*')"
    )


def _guard(table: str, allowed: dict[str, tuple[str, ...]]) -> str:
    """Return a trigger that refuses every change of state that is not in the table of moves."""
    moves = " OR ".join(
        f"(OLD.state = '{old}' AND NEW.state IN ({', '.join(repr(new) for new in news)}))"
        for old, news in allowed.items()
    )
    return (
        f"CREATE TRIGGER {table}_state BEFORE UPDATE OF state ON {table}\n"
        f"WHEN OLD.state <> NEW.state AND NOT ({moves})\n"
        f"BEGIN SELECT RAISE(ABORT, 'forbidden transition of {table}'); END"
    )


SLOT_MOVES: Final[dict[str, tuple[str, ...]]] = {
    "LIVE": ("INCLUDED", "FOREIGN"),
    "INCLUDED": ("LIVE", "CONFIRMED"),
    "CONFIRMED": ("LIVE", "FINAL"),
    # A stranger's bytes may be orphaned too, or the node that told us so was wrong.
    "FOREIGN": ("LIVE", "INCLUDED"),
}
INTENT_MOVES: Final[dict[str, tuple[str, ...]]] = {
    "NEW": ("BOUND", "EXPIRED", "LOST", "FAILED"),
    "BOUND": ("DONE", "FAILED", "EXPIRED", "LOST"),
    # A reorg undoes an end; LOST and EXPIRED bytes may still be found in a block.
    "DONE": ("BOUND", "LOST"),
    "FAILED": ("BOUND", "LOST"),
    "EXPIRED": ("BOUND", "DONE", "FAILED", "LOST"),
    "LOST": ("BOUND", "DONE", "FAILED", "EXPIRED"),
}
# Bytes that may still come to be on chain, whatever has become of their intent.
_LIVE_SLOTS: Final = "CREATE INDEX slot_live ON slot(chain_id, intent_id) WHERE state = 'LIVE'"

# Intents that gave their nonce up to a better one; the bytes up to `seq_last` are theirs, and may
# still be those that land.
_DISPLACED: Final = """CREATE TABLE displaced(
        intent_id INTEGER PRIMARY KEY REFERENCES intent(id),
        chain_id INTEGER NOT NULL,
        address TEXT NOT NULL,
        nonce INTEGER NOT NULL,
        seq_last INTEGER NOT NULL CHECK(seq_last >= 0),
        UNIQUE(chain_id, address, nonce, seq_last),
        FOREIGN KEY(chain_id, address, nonce, seq_last)
            REFERENCES attempt(chain_id, address, nonce, seq)
    ) STRICT"""
# A nonce is bound once, but to a better intent, one that never held any, while it lives; and who
# gave one up gets no other.
_BINDING_RULES: Final = (
    """CREATE TRIGGER slot_bound_once BEFORE UPDATE OF chain_id, address, nonce ON slot
        BEGIN SELECT RAISE(ABORT, 'a nonce is bound once'); END""",
    """CREATE TRIGGER slot_given_up BEFORE UPDATE OF intent_id ON slot
        WHEN OLD.state <> 'LIVE'
            OR NOT EXISTS(SELECT 1 FROM displaced WHERE intent_id = OLD.intent_id
                AND chain_id = OLD.chain_id AND address = OLD.address AND nonce = OLD.nonce)
            OR EXISTS(SELECT 1 FROM displaced WHERE intent_id = NEW.intent_id)
        BEGIN SELECT RAISE(ABORT, 'a nonce is bound once'); END""",
    """CREATE TRIGGER slot_for_the_unbound BEFORE INSERT ON slot
        WHEN EXISTS(SELECT 1 FROM displaced WHERE intent_id = NEW.intent_id)
        BEGIN SELECT RAISE(ABORT, 'an intent is bound once'); END""",
    """CREATE TRIGGER displaced_fixed BEFORE UPDATE ON displaced
        BEGIN SELECT RAISE(ABORT, 'what was displaced stays so'); END""",
    """CREATE TRIGGER displaced_kept BEFORE DELETE ON displaced
        BEGIN SELECT RAISE(ABORT, 'what was displaced stays so'); END""",
)

TABLES: Final[tuple[str, ...]] = (
    f"""CREATE TABLE lane(
        chain_id INTEGER NOT NULL CHECK(chain_id > 0),
        {_hex("address", 40)},
        epoch INTEGER NOT NULL CHECK(epoch >= 1),
        state TEXT NOT NULL CHECK(state IN ('READY', 'STARVED', 'QUARANTINE', 'PAUSED')),
        next_nonce INTEGER NOT NULL CHECK(next_nonce >= 0),
        PRIMARY KEY(chain_id, address)
    ) STRICT""",
    f"""CREATE TABLE intent(
        id INTEGER PRIMARY KEY,
        chain_id INTEGER NOT NULL CHECK(chain_id > 0),
        protocol TEXT NOT NULL,
        account TEXT NOT NULL,
        kind TEXT NOT NULL CHECK(kind IN ('act', 'cancel', 'fill', 'approve')),
        priority INTEGER NOT NULL,
        {_wei("value_wei")},
        {_wei("max_cost_wei")},
        deadline_block INTEGER NOT NULL,
        deadline_ts INTEGER,
        {_hex("decided_block_hash", 64)},
        command_id INTEGER UNIQUE,
        command_kind TEXT,
        decision_json TEXT NOT NULL CHECK(json_valid(decision_json)),
        state TEXT NOT NULL
            CHECK(state IN ('NEW', 'BOUND', 'DONE', 'FAILED', 'EXPIRED', 'LOST')),
        reason TEXT NOT NULL,
        CHECK((kind = 'act') = (command_id IS NOT NULL)),
        CHECK((kind = 'act') = (command_kind IS NOT NULL)),
        CHECK(state <> 'FAILED' OR reason <> '')
    ) STRICT""",
    # One live action an account, across all lanes and all processes.
    """CREATE UNIQUE INDEX intent_live_action ON intent(chain_id, protocol, account)
        WHERE kind = 'act' AND state IN ('NEW', 'BOUND')""",
    f"""CREATE TABLE slot(
        chain_id INTEGER NOT NULL,
        address TEXT NOT NULL,
        nonce INTEGER NOT NULL CHECK(nonce >= 0),
        intent_id INTEGER NOT NULL UNIQUE REFERENCES intent(id),
        kind TEXT NOT NULL CHECK(kind IN ('act', 'cancel', 'fill')),
        state TEXT NOT NULL
            CHECK(state IN ('LIVE', 'INCLUDED', 'CONFIRMED', 'FINAL', 'FOREIGN')),
        {_hex("won_hash", 64, optional=True)},
        PRIMARY KEY(chain_id, address, nonce),
        FOREIGN KEY(chain_id, address) REFERENCES lane(chain_id, address),
        FOREIGN KEY(chain_id, address, nonce, won_hash)
            REFERENCES attempt(chain_id, address, nonce, hash) DEFERRABLE INITIALLY DEFERRED,
        CHECK((state IN ('LIVE', 'FOREIGN')) = (won_hash IS NULL))
    ) STRICT""",
    "CREATE INDEX slot_open ON slot(chain_id, address, nonce) WHERE state <> 'FINAL'",
    _LIVE_SLOTS,
    f"""CREATE TABLE attempt(
        {_hex("hash", 64)} PRIMARY KEY,
        chain_id INTEGER NOT NULL,
        address TEXT NOT NULL,
        nonce INTEGER NOT NULL,
        seq INTEGER NOT NULL CHECK(seq >= 0),
        raw BLOB NOT NULL CHECK(length(raw) > 0),
        {_wei("tip_wei")},
        {_wei("cap_wei")},
        gas INTEGER NOT NULL CHECK(gas > 0),
        {_wei("value_wei")},
        {_wei("l1_fee_max_wei")},
        kind TEXT NOT NULL CHECK(kind IN ('act', 'cancel', 'fill')),
        epoch INTEGER NOT NULL CHECK(epoch >= 1),
        signed_at INTEGER NOT NULL,
        UNIQUE(chain_id, address, nonce, seq),
        UNIQUE(chain_id, address, nonce, hash),
        FOREIGN KEY(chain_id, address, nonce) REFERENCES slot(chain_id, address, nonce),
        CHECK(length(tip_wei) < length(cap_wei)
            OR (length(tip_wei) = length(cap_wei) AND tip_wei <= cap_wei))
    ) STRICT""",
    f"""CREATE TABLE receipt(
        hash TEXT NOT NULL REFERENCES attempt(hash),
        {_hex("block_hash", 64)},
        block_number INTEGER NOT NULL CHECK(block_number >= 0),
        tx_index INTEGER NOT NULL CHECK(tx_index >= 0),
        status INTEGER NOT NULL CHECK(status IN (0, 1)),
        gas_used INTEGER NOT NULL CHECK(gas_used >= 0),
        {_wei("eff_price_wei")},
        {_wei("l1_fee_wei")},
        PRIMARY KEY(hash, block_hash)
    ) STRICT""",
    f"""CREATE TABLE spend(
        scope TEXT NOT NULL,
        day INTEGER NOT NULL,
        {_wei("reserved_wei")},
        {_wei("settled_wei")},
        PRIMARY KEY(scope, day)
    ) STRICT""",
    # An open breaker survives a restart; `since` is what was counted before its last reset.
    f"""CREATE TABLE breaker(
        name TEXT PRIMARY KEY CHECK(length(name) > 0),
        tripped INTEGER NOT NULL CHECK(tripped IN (0, 1)),
        detail TEXT NOT NULL,
        at INTEGER NOT NULL,
        since_block INTEGER NOT NULL,
        {_wei("since_wei")},
        CHECK(tripped = 0 OR detail <> '')
    ) STRICT""",
    """CREATE TABLE delivery(
        hash TEXT NOT NULL,
        route TEXT NOT NULL,
        at INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        code INTEGER,
        latency_us INTEGER NOT NULL
    ) STRICT""",
    f"""CREATE TABLE head(
        chain_id INTEGER NOT NULL,
        number INTEGER NOT NULL CHECK(number >= 0),
        {_hex("hash", 64)},
        {_hex("parent", 64)},
        PRIMARY KEY(chain_id, number)
    ) STRICT""",
    _guard("slot", SLOT_MOVES),
    _guard("intent", INTENT_MOVES),
    # Signed bytes are a fact: they are never changed, and a nonce is never bound again.
    """CREATE TRIGGER attempt_fixed BEFORE UPDATE ON attempt
        BEGIN SELECT RAISE(ABORT, 'an attempt never changes'); END""",
    _DISPLACED,
    *_BINDING_RULES,
    """CREATE TRIGGER lane_epoch_grows BEFORE UPDATE OF epoch ON lane WHEN NEW.epoch < OLD.epoch
        BEGIN SELECT RAISE(ABORT, 'an epoch never goes back'); END""",
)

# What makes a ledger of that version one of the next; all of them run in one transaction.
UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    2: (_LIVE_SLOTS,),
    3: ("DROP TRIGGER slot_bound_once", _DISPLACED, *_BINDING_RULES),
}
