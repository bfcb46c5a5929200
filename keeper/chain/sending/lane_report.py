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

from keeper.chain.ledger import schema, statements
from keeper.chain.ledger.rows import BreakerRow, CapParameters, Intent, Slot
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.recovery import acknowledge
from keeper.domain.effects import FEEDS
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
            own = [slot for slot in slots if slot.lane == address]
            in_flight = sum(1 for slot in own if slot.state == "LIVE")
            lines.append(
                f"lane {address} {lane.state}: next nonce {lane.next_nonce}, epoch {lane.epoch}, "
                f"{in_flight} in flight, {_money(db, f'lane:{address}')}"
            )
            for slot in own:
                lines += _slot_lines(slot)
        lines.append(f"all lanes: {_money(db, 'total')}")
        return [*lines, *(_breaker_line(row) for row in statements.breakers(db))]


def _slot_lines(slot: Slot) -> list[str]:
    """Return a nonce, whose it was before, and every set of bytes that may have its place."""
    reserved = f", reserved {_eth(slot.reserved_wei)}" if slot.state == "LIVE" else ""
    where = "" if slot.block_number is None else f" in block {slot.block_number}"
    lines = [f"  nonce {slot.nonce} {slot.state}{where}: {_what(slot.intent)}{reserved}"]
    lines += [
        f"    displaced {_what(claim.intent)}: attempts to {claim.seq_last} are its"
        for claim in slot.displaced
    ]
    for attempt in slot.attempts:
        won = " WON" if attempt.hash == slot.won else ""
        lines.append(
            f"    attempt {attempt.seq} {attempt.kind}: tip {_gwei(attempt.tip_wei)}, "
            f"cap {_gwei(attempt.cap_wei)}, gas {attempt.gas}, {attempt.hash}{won}"
        )
    return lines


def _what(intent: Intent) -> str:
    if intent.command_id is None:
        return "a gap filled"
    whose = FEEDS if intent.account == FEEDS else f"account {intent.account}"
    return (
        f"{intent.command_kind} {intent.command_id} of {intent.venue} {whose}, "
        f"deadline {intent.deadline_block}"
    )


def _breaker_line(row: BreakerRow) -> str:
    if not row.tripped:
        return f"breaker {row.name} closed"
    return f"breaker {row.name} OPEN: {row.detail}"


def _money(db: sqlite3.Connection, scope: str) -> str:
    reserved, settled = statements.spent(db, scope)
    return f"reserved {_eth(reserved)}, spent {_eth(settled)}"


def _eth(wei: int) -> str:
    return f"{_exact(wei, 18)} eth"


def _gwei(wei: int) -> str:
    return f"{_exact(wei, 9)} gwei"


def _exact(amount: int, digits: int) -> str:
    """Return an amount as a decimal with every digit it has, and no more."""
    whole, part = divmod(amount, 10**digits)
    tail = f"{part:0{digits}d}".rstrip("0")
    return f"{whole}.{tail}" if tail else str(whole)


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
