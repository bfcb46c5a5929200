"""Taking a run's snapshot: all venues at one pinned block, written aside and renamed."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from keeper.app.assembly import Places
from keeper.config import Config
from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError, StorageError
from keeper.ports import ChainReader, Header
from keeper.protocols.derive.snapshot import take
from keeper.runtime.clock import SystemClock
from keeper.telemetry.logging import Lines


SNAPSHOT_TRIES = 5
SNAPSHOTS_KEPT = 8


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot of all venues, on disk as `file` with sha256 `digest`."""

    header: Header
    document: dict[str, Any]
    file: str
    digest: str


async def take_snapshot(config: Config, reader: ChainReader, places: Places, lines: Lines) -> Taken:
    """Read every venue at the newest block and write the file.

    A chain that leaves the block while it is read is asked again at its new head. Raises
    EndpointError after `SNAPSHOT_TRIES`, StorageError.
    """
    failed: EndpointError | None = None
    for _ in range(SNAPSHOT_TRIES):
        header = await reader.header("latest")
        try:
            venues = {
                name: await take(reader, venue, header, SystemClock(), _progress(lines, name))
                for name, venue in config.venues.items()
            }
        except EndpointError as error:
            failed = error
            lines.tell(Notice("snapshot_again", "warning", (("problem", str(error)),)))
            continue
        return _write(places, header, venues, lines)
    assert failed is not None
    raise failed


def _progress(lines: Lines, venue: str) -> Any:
    """Tell the share that is done, at each tenth."""
    told = -1

    def progress(done: float, left_s: float | None) -> None:
        nonlocal told
        tenth = int(done * 10)
        if tenth > told:
            told = tenth
            left = None if left_s is None else round(left_s, 1)
            fields = (("venue", venue), ("done", round(done, 3)), ("left_s", left))
            lines.tell(Notice("snapshot_progress", "info", fields))

    return progress


def _write(places: Places, header: Header, venues: dict[str, Any], lines: Lines) -> Taken:
    document = {"number": header.number, "hash": header.hash, "venues": venues}
    body = orjson.dumps(document)
    digest = hashlib.sha256(body).hexdigest()
    name = f"{header.number}-{digest[:16]}.json"
    path = places.snapshots / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        with aside.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _prune(places.snapshots)
    except OSError as error:
        raise StorageError(str(path), f"snapshot cannot be written: {error.strerror}") from error
    fields = (("number", header.number), ("hash", header.hash), ("file", name))
    lines.tell(Notice("snapshot_taken", "info", fields))
    return Taken(header, document, name, digest)


def _prune(folder: Path) -> None:
    """Keep the newest few: a journal names its own, and journals are moved away with theirs."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in files[:-SNAPSHOTS_KEPT]:
        path.unlink()
