"""What an operator may see and do of lanes: lanes, slots, attempts, money, breakers; acknowledge.

Reads a copy, so that it works beside a running keeper, which owns the file alone; what changes
something needs the file itself, with the keeper stopped. Shows no signed bytes. It must not sign.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keeper.chain import schema, statements
from keeper.chain.ledger import Ledger
from keeper.chain.recovery import acknowledge
from keeper.chain.rows import CapParameters
from keeper.domain.errors import StorageError
from keeper.domain.units import Address


_COPIES_MAX: Final = 5


def lane_lines(path: Path, chain_id: int) -> list[str]:
    """Return the ledger as lines for people; raises StorageError where it cannot be read."""
    with _copy(path) as db:
        lines = []
        slots = statements.open_slots(db, chain_id)
        addresses = db.execute(
            "SELECT address FROM lane WHERE chain_id = ? ORDER BY address", (chain_id,)
        ).fetchall()
        for (address,) in addresses:
            lane = statements.lane(db, chain_id, address)
            if lane is None:
                continue
            reserved, settled = statements.spent(db, f"lane:{address}")
            lines.append(
                f"lane {address} {lane.state} next nonce {lane.next_nonce} epoch {lane.epoch} "
                f"reserved {reserved} wei settled {settled} wei"
            )
            for slot in (each for each in slots if each.lane == address):
                last = slot.last
                lines.append(
                    f"  nonce {slot.nonce} {slot.state} {last.kind} of {slot.intent.venue} account "
                    f"{slot.intent.account} attempts {len(slot.attempts)} cap {last.cap_wei} tip "
                    f"{last.tip_wei} deadline {slot.intent.deadline_block} {last.hash}"
                )
        for scope in ("global", "total"):
            reserved, settled = statements.spent(db, scope)
            lines.append(f"{scope} reserved {reserved} wei settled {settled} wei")
        states = {
            row.name: f"OPEN: {row.detail}" if row.tripped else "closed"
            for row in statements.breakers(db)
        }
        return [*lines, *(f"breaker {name} {state}" for name, state in states.items())]


async def acknowledge_lane(path: Path, chain_id: int, lane: Address, chain_nonce: int) -> None:
    """Let a quarantined lane work again; the keeper must be stopped.

    Raises StorageError, and InvariantViolation where the lane is not in quarantine.
    """
    ledger = await Ledger.open(path, chain_id, CapParameters())
    try:
        await acknowledge(ledger, lane, chain_nonce)
    finally:
        await ledger.close()


async def reset_breaker(path: Path, chain_id: int, name: str, at_ns: int) -> bool:
    """Close a breaker; the keeper must be stopped. False where it was not open."""
    ledger = await Ledger.open(path, chain_id, CapParameters())
    try:
        return await ledger.reset(name, at_ns)
    finally:
        await ledger.close()


@contextmanager
def _copy(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of the database and its write-ahead log, taken between two checkpoints.

    The file itself changes only at a checkpoint, and the log only grows between two: where the
    file is the same before and after, a torn tail of the log is all there can be, and SQLite
    leaves that out by its checksums.
    """
    with tempfile.TemporaryDirectory(prefix="lanes-") as folder:
        copy = Path(folder) / "ledger"
        for _ in range(_COPIES_MAX):
            try:
                before = path.stat()
                shutil.copyfile(path, copy)
                log = Path(f"{path}-wal")
                if log.exists():
                    shutil.copyfile(log, f"{copy}-wal")
                after = path.stat()
            except OSError as error:
                raise StorageError(str(path), f"cannot be read: {error.strerror}") from error
            if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
                break
        else:
            raise StorageError(str(path), "changes too fast to be copied; try again")
        db = sqlite3.connect(copy)
        try:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version != schema.VERSION:
                raise StorageError(str(path), f"schema version {version}, not {schema.VERSION}")
            yield db
        except sqlite3.Error as error:
            raise StorageError(str(path), f"cannot be read: {error}") from error
        finally:
            db.close()
