"""The event journal as files: what was recorded, what it caused, chained line by line.

Must not know what an event or an effect means; `keeper.domain.codec` writes them. A run is a row of
files `<run>.0001.jsonl`, `<run>.0002.jsonl`, ... of JSON lines:

    {"manifest": {...}}     first line of every file: format, versions, run, file number, and the
                            chain value where the file before ended ("" for the first)
    {"entry": {...}}        written before the machine sees the entry
    {"seal": {...}}         seq, digest of the effects, their floats, and the chain value

The chain begins with sha256(manifest line). Every seal carries
sha256(chain before | entry line | digest | floats), hex, over the bytes without line ends.
A file ends after a seal, so an entry and its seal always stand together.
"""

import os
import platform
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from keeper import __version__
from keeper.domain.codec import canonical, digest, encode_entry, encode_floats, floats
from keeper.domain.effects import Effects
from keeper.domain.errors import InvariantViolation, StorageError
from keeper.domain.events import Entry
from keeper.domain.units import NS_PER_MS
from keeper.ports import Clock


FORMAT: Final = 1
SUFFIX: Final = ".jsonl"


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How large the journal may grow and how often it is forced to the disk.

    `total_bytes_max` counts every journal file in the directory, earlier runs included: when it is
    reached the run ends, because a journal with a hole is worse than none.
    """

    file_bytes_max: int = 256 * 1024 * 1024
    total_bytes_max: int = 16 * 1024 * 1024 * 1024
    sync_ms: int = 1_000

    def __post_init__(self) -> None:
        """Assert the relation that rotation stands on."""
        assert 0 < self.file_bytes_max <= self.total_bytes_max, "a file is part of the total"
        assert self.sync_ms > 0, "an interval that never passes would never sync"


class FileJournal:
    """Appends entries and seals to files; implements the `Journal` port.

    Every line is handed to the operating system at once (a killed process loses nothing), and
    forced to the disk every `sync_ms` and on close; the durable truth of what was sent is the
    ledger's, not ours. Any failure to write raises StorageError, and every later call as well.
    """

    def __init__(self, directory: Path, run: str, clock: Clock, limits: JournalLimits) -> None:
        self._directory = directory
        self._run = run
        self._clock = clock
        self._limits = limits
        self._number = 0
        self._chain = ""
        self._entry: tuple[int, bytes] | None = None
        self._broken: StorageError | None = None
        self._synced_ns = clock.monotonic_ns()
        self._file: int | None = None
        self._file_bytes = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._earlier_bytes = sum(
                each.stat().st_size for each in sorted(directory.glob(f"*{SUFFIX}"))
            )
        except OSError as error:
            raise StorageError(str(directory), _cure(error)) from error
        self._open_next()

    @property
    def path(self) -> Path:
        """Return the file being written."""
        return file_path(self._directory, self._run, self._number)

    @property
    def total_bytes(self) -> int:
        """Return the size of all journal files in the directory."""
        return self._earlier_bytes + self._file_bytes

    def record(self, entry: Entry) -> None:
        """Append the entry; raises StorageError, after which nothing may be decided."""
        if self._broken is not None:
            raise self._broken
        if self._entry is not None:
            raise InvariantViolation(f"entry {self._entry[0]} is not sealed, {entry.seq} came")
        if self._file_bytes >= self._limits.file_bytes_max:
            self._close_file()
            self._open_next()
        line = canonical({"entry": encode_entry(entry)})
        self._write(line)
        self._entry = (entry.seq, line)

    def seal(self, entry: Entry, effects: Effects) -> None:
        """Append the digest and floats of what the entry caused, chained to all before."""
        if self._entry is None or self._entry[0] != entry.seq:
            raise InvariantViolation(f"entry {entry.seq} was not the last recorded")
        body = {"seq": entry.seq, **seal_body(effects)}
        self._chain = link(self._chain, self._entry[1], body)
        self._write(canonical({"seal": {**body, "chain": self._chain}}))
        self._entry = None
        # A disk may take its time: not between a decision and its sending, if it can wait.
        waited_ns = self._clock.monotonic_ns() - self._synced_ns
        due_ns = self._limits.sync_ms * NS_PER_MS
        if waited_ns >= due_ns and (not effects.commands or waited_ns >= 4 * due_ns):
            self._sync()

    def close(self) -> None:
        """Force everything to the disk and close; raises StorageError. Closing twice is allowed."""
        if self._file is not None:
            self._close_file()

    def _open_next(self) -> None:
        self._number += 1
        self._earlier_bytes += self._file_bytes
        self._file_bytes = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            self._file = os.open(self.path, flags, 0o640)
        except OSError as error:
            raise self._break(_cure(error)) from error
        line = canonical({"manifest": manifest(self._run, self._number, self._chain)})
        self._write(line)
        self._chain = sha256(line).hexdigest()

    def _write(self, line: bytes) -> None:
        """Append a line whole; a partial one is left torn at the very end, where a reader copes."""
        if self._broken is not None:
            raise self._broken
        if self._file is None:
            raise InvariantViolation("the journal is closed")
        if self.total_bytes + len(line) + 1 > self._limits.total_bytes_max:
            raise self._break(
                f"all journals together would pass {self._limits.total_bytes_max} bytes; "
                "move old ones away or raise journal.total_bytes_max"
            )
        rest = memoryview(line + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise self._break(_cure(error)) from error
        self._file_bytes += len(line) + 1

    def _sync(self) -> None:
        assert self._file is not None, "only an open journal is synced"
        try:
            os.fsync(self._file)
        except OSError as error:
            # After a failed fsync the pages may be gone for good: trying again would lie.
            raise self._break(_cure(error)) from error
        self._synced_ns = self._clock.monotonic_ns()

    def _close_file(self) -> None:
        assert self._file is not None, "only an open journal is closed"
        try:
            if self._broken is None:
                self._sync()
        finally:
            os.close(self._file)
            self._file = None

    def _break(self, problem: str) -> StorageError:
        self._broken = StorageError(str(self.path), problem)
        return self._broken


def file_path(directory: Path, run: str, number: int) -> Path:
    """Return the path of a run's file `number`, counted from 1."""
    return directory / f"{run}.{number:04d}{SUFFIX}"


def seal_body(effects: Effects) -> dict[str, Any]:
    """Return what a seal says of effects: the digest, and the floats beside it."""
    return {"digest": digest(effects), "floats": encode_floats(floats(effects))}


def link(chain: str, entry_line: bytes, body: dict[str, Any]) -> str:
    """Return the chain value of a seal: sha256 over chain, entry line, digest and floats."""
    sealed = canonical([body["digest"], body["floats"]])
    return sha256(b"\n".join((chain.encode(), entry_line, sealed))).hexdigest()


def manifest(run: str, number: int, chain: str) -> dict[str, Any]:
    """Return what a reader must know of the program and machine that wrote a file."""
    return {
        "format": FORMAT,
        "keeper": __version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "cpu": f"{platform.machine()} NPY_DISABLE_CPU_FEATURES="
        f"{os.environ.get('NPY_DISABLE_CPU_FEATURES', '')}",
        "run": run,
        "file": number,
        "chain": chain,
    }


def _cure(error: OSError) -> str:
    return f"{error.strerror or error}; free space or mend the permissions, then start again"
