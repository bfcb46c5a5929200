"""The durable truth of lanes: a SQLite file that one process owns and one thread writes.

Nothing may be sent that is not committed here. Every call runs in the ledger's own thread, in the
order asked; a commit that fails is a StorageError, after which the ledger takes no more writes:
what is on the disk is unknown then, so nothing new may be built on it. It must not know nodes.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

from keeper.chain.ledger import schema, statements
from keeper.chain.ledger.bookkeeping import Books
from keeper.chain.ledger.rows import (
    Attempt,
    Binding,
    BreakerRow,
    CapParameters,
    Delivery,
    Intent,
    LaneRow,
    Outcome,
    Receipt,
    Slot,
)
from keeper.domain.errors import InvariantViolation, StorageError
from keeper.domain.units import Address, Hash


_T = TypeVar("_T")
_HEADS_PER_TIDY: Final = 64


class Ledger:
    """Lanes, slots, attempts and spend of one chain; see `Books` for what each call means."""

    def __init__(
        self,
        path: Path,
        lock: int,
        thread: ThreadPoolExecutor,
        db: sqlite3.Connection,
        books: Books,
    ) -> None:
        self._path = path
        self._lock = lock
        self._thread = thread
        self._db = db
        self._books = books
        self._broken: StorageError | None = None
        self._heads = 0

    @classmethod
    async def open(cls, path: Path, chain_id: int, caps: CapParameters) -> Self:
        """Open or create the file as its only owner.

        Raises StorageError where another process has it, where it cannot be written, and where
        its schema is of another version.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        loop = asyncio.get_running_loop()
        try:
            lock = _lock(path)
            try:
                db = await loop.run_in_executor(thread, _connect, path)
            except BaseException:
                os.close(lock)
                raise
        except BaseException:
            thread.shutdown()
            raise
        return cls(path, lock, thread, db, Books(db, chain_id, caps))

    async def close(self) -> None:
        """Close the file and let go of the lock; calls under way end first."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()
        os.close(self._lock)

    async def bind(self, intent: Intent, attempt: Attempt, epoch: int) -> int | str:
        """Bind a nonce to an intent and its first bytes; the intent's id, or why not."""
        return (await self.bind_group([Binding(intent, attempt, epoch)]))[0]

    async def bind_group(self, bindings: Sequence[Binding]) -> list[int | str]:
        """Bind nonces in order in one commit, up to the first that is refused; see `Books.bind`."""
        return await self._write(lambda: self._books.bind(bindings))

    async def replace(self, attempt: Attempt, epoch: int) -> str | None:
        """Add bytes to a live slot; None when durable, else why not."""
        return await self._write(lambda: self._books.replace(attempt, epoch))

    async def displace(self, slot: Slot, binding: Binding) -> int | str:
        """Give a live slot's nonce to a better intent; the intent's id, or why not."""
        return await self._write(lambda: self._books.displace(slot, binding))

    async def include(
        self, slot: Slot, receipt: Receipt, cost_wei: int, state: str, reason: str
    ) -> None:
        """Mark a slot as included and settle it."""
        await self.include_group([Outcome(slot, receipt, cost_wei, state, reason)])

    async def include_group(self, outcomes: Sequence[Outcome]) -> None:
        """Mark a block's slots as included in one commit and settle them."""
        await self._write(lambda: self._books.include(outcomes))

    async def explain(self, intent_id: int, reason: str) -> None:
        """Write down why an intent failed."""
        await self._write(lambda: self._books.explain(intent_id, reason))

    async def reopen(self, slot: Slot) -> str:
        """Make a slot live again; return its intent's new state."""
        return await self._write(lambda: self._books.reopen(slot))

    async def lose(self, slot: Slot) -> None:
        """Mark a slot as foreign."""
        await self._write(lambda: self._books.lose(slot))

    async def deepen(self, confirmed: Sequence[Slot], final: Sequence[Slot]) -> None:
        """Move slots on to CONFIRMED and to FINAL."""
        await self._write(lambda: self._books.deepen(confirmed, final))

    async def take_over(self, lanes: Sequence[tuple[Address, int]]) -> list[LaneRow]:
        """Raise the epoch of every lane; return them as stored."""
        return await self._write(lambda: self._books.take_over(lanes))

    async def set_lane(self, row: LaneRow) -> None:
        """Write a lane's state and next nonce; InvariantViolation where another took it over."""
        refusal = await self._write(lambda: self._books.set_lane(row))
        if refusal is not None:
            raise InvariantViolation(f"lane {row.address}: {refusal}")

    async def record_head(
        self, number: int, block: Hash, parent: Hash, deliveries: Sequence[Delivery]
    ) -> None:
        """Keep a head and the routes' answers; now and then tidy up."""
        await self._write(lambda: self._books.record_head(number, block, parent, deliveries))
        self._heads += 1
        if self._heads % _HEADS_PER_TIDY == 0:
            await self._write(self._books.tidy)

    async def trip(self, name: str, detail: str, at_ns: int) -> None:
        """Open a breaker, durably."""
        await self._write(lambda: self._books.trip(name, detail, at_ns))

    async def reset(self, name: str, at_ns: int) -> bool:
        """Close a breaker; False where it was not open."""
        return await self._write(lambda: self._books.reset(name, at_ns))

    async def tidy(self) -> None:
        """Fold the write-ahead log into the file."""
        await self._write(self._books.tidy)

    async def breakers(self) -> list[BreakerRow]:
        """Return every breaker that ever tripped."""
        return await self._read(lambda db, _: statements.breakers(db))

    async def losses(self, after: int, day: int) -> tuple[int, int]:
        """Return (reverts in blocks after `after`, wei lost on `day`) since the last resets."""
        return await self._do(lambda: self._books.losses(after, day))

    async def hurried_loss(self, hour: int) -> int:
        """Return what commands that were sent untried lost in an hour of unix time, wei."""
        return await self._read(lambda db, chain: statements.hurried_loss_wei(db, chain, hour))

    async def open_slots(self) -> list[Slot]:
        """Return every slot that is not FINAL, by lane and nonce."""
        return await self._read(statements.open_slots)

    async def states_from(self, lane: Address, first: int) -> dict[int, str]:
        """Return nonce → state of a lane's slots from `first` on."""
        return await self._read(lambda db, chain: statements.states_from(db, chain, lane, first))

    async def next_command_id(self) -> int:
        """Return the id the next command is to have."""
        return await self._read(lambda db, _: statements.next_command_id(db))

    async def last_head(self) -> tuple[int, Hash] | None:
        """Return the newest head that was followed."""
        return await self._read(statements.last_head)

    async def spent(self, scope: str) -> tuple[int, int]:
        """Return (reserved, settled) wei of a scope over all days."""
        return await self._read(lambda db, _: statements.spent(db, scope))

    async def _read(self, work: Callable[[sqlite3.Connection, int], _T]) -> _T:
        return await self._do(lambda: work(self._db, self._books.chain_id))

    async def _write(self, work: Callable[[], _T]) -> _T:
        if self._broken is not None:
            raise self._broken
        return await self._do(work)

    async def _do(self, work: Callable[[], _T]) -> _T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            # A cancelled caller must not leave us in doubt: the transaction ends by itself.
            return await asyncio.shield(future)
        except sqlite3.IntegrityError as error:
            raise InvariantViolation(f"the ledger refused: {error}") from error
        except (sqlite3.Error, OSError) as error:
            self._broken = StorageError(str(self._path), str(error))
            raise self._broken from error


def _lock(path: Path) -> int:
    """Take the file's lock for this process; the system lets go of it when the process ends."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(str(path), f"cannot create its lock: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StorageError(str(path), "another keeper has it open") from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database in the ledger's thread, create its tables if it is new."""
    try:
        # Signed bytes are in it: nobody else may read them.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=0, isolation_level=None)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(str(path), f"cannot be opened: {error}") from error
    try:
        for pragma in (
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = FULL",
            "busy_timeout = 0",
            "foreign_keys = ON",
            "wal_autocheckpoint = 0",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        _migrate(db, path)
    except sqlite3.Error as error:
        db.close()
        raise StorageError(str(path), f"cannot be opened: {error}") from error
    except StorageError:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == schema.VERSION:
        return
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    steps = list(schema.TABLES)
    if version in schema.UPGRADES:
        steps = [each for at in range(version, schema.VERSION) for each in schema.UPGRADES[at]]
    elif version != 0 or tables:
        raise StorageError(
            str(path),
            f"schema version {version}, this keeper knows {schema.VERSION}; "
            "use the keeper that wrote it, or name another file",
        )
    db.execute("BEGIN EXCLUSIVE")
    for statement in steps:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {schema.VERSION}")
    db.execute("COMMIT")
