"""Taking a run's snapshot: all venues at one pinned block, written aside and renamed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from keeper.app.assembly import Places, contracts
from keeper.app.patience import patiently
from keeper.app.state.files import ASIDE, SUFFIX, mark_of, put, read_state
from keeper.config import Config
from keeper.domain.effects import Notice
from keeper.domain.errors import ChainMismatch, MalformedRecord, StorageError
from keeper.portfolio.image import Image
from keeper.ports import ChainReader, Header
from keeper.protocols.derive.snapshot import take
from keeper.runtime.clock import SystemClock
from keeper.telemetry.logging import Lines


SNAPSHOTS_KEPT = 8
STATES_KEPT = 4


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot of all venues, on disk as `file` with sha256 `digest`."""

    header: Header
    document: dict[str, Any]
    file: str
    digest: str


async def take_snapshot(config: Config, reader: ChainReader, places: Places, lines: Lines) -> Taken:
    """Read every venue at the newest block and write the file.

    A chain that leaves the block while it is read, and a node that is away, are asked again after
    a while. Raises ChainMismatch, StorageError, and EndpointError as `patiently` does.
    """

    async def ask() -> tuple[Header, dict[str, Any]]:
        header = await reader.header("latest")
        await look_for_contracts(config, reader, header)
        return header, {
            name: await take(reader, venue, header, SystemClock(), _progress(lines, name))
            for name, venue in config.venues.items()
        }

    header, venues = await patiently(ask, "snapshot_again", lines)
    return _write(places, header, venues, lines)


async def look_for_contracts(config: Config, reader: ChainReader, header: Header) -> None:
    """Look for code at every configured address; raises ChainMismatch, EndpointError.

    A call to an address without code succeeds and answers nothing: left to itself, one that is
    seldom called would be missed until it is needed.
    """
    for key, address in contracts(config):
        if await reader.code(address, header.hash) == "0x":
            cure = "correct the address or the chain"
            raise ChainMismatch(key, f"a contract at {address}", "no code there", cure)


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
    name = f"{header.number}-{header.hash[2:18]}.json"
    digest = store(places.snapshots / name, document)
    prune(places)
    fields = (("number", header.number), ("hash", header.hash), ("file", name))
    lines.tell(Notice("snapshot_taken", "info", fields))
    return Taken(header, document, name, digest)


def store(path: Path, document: dict[str, Any]) -> str:
    """Write a snapshot aside, then in place; return its sha256. Raises StorageError."""
    body = orjson.dumps(document)
    put(path, [body])
    return hashlib.sha256(body).hexdigest()


def restore(path: Path, digest: str) -> dict[str, Any] | Image:
    """Return what a run began from: a snapshot, or a state file's image.

    Raises StorageError, StateRefused, MalformedRecord (also for another digest than named).
    """
    if path.suffix == SUFFIX:
        image, actual = read_state(path)
        if actual != digest:
            raise MalformedRecord(str(path), 0, f"sha256 {actual}, the journal names {digest}")
        return image
    try:
        body = path.read_bytes()
    except OSError as error:
        raise StorageError(str(path), f"snapshot cannot be read: {error.strerror}") from error
    actual = hashlib.sha256(body).hexdigest()
    if actual != digest:
        raise MalformedRecord(str(path), 0, f"sha256 {actual}, the journal names {digest}")
    document: dict[str, Any] = orjson.loads(body)
    return document


def prune(places: Places) -> None:
    """Keep the newest few of a kind, and each whose journal is there: without it none replays.

    What was being written when a run was killed goes, too.
    """
    named = {_named_by(path) for path in places.journal.glob("*.0001.jsonl")}
    for pattern, kept in (("*.json", SNAPSHOTS_KEPT), (f"*{SUFFIX}", STATES_KEPT)):
        files = sorted(places.snapshots.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-kept]:
            if path.name not in named:
                path.unlink()
                mark_of(path).unlink(missing_ok=True)
    for path in places.snapshots.glob(f"*{ASIDE}"):
        path.unlink()


def _named_by(journal: Path) -> str | None:
    """Return the snapshot that a journal's first entry names; a torn one names none."""
    with journal.open("rb") as file:
        _manifest, first = file.readline(), file.readline()
    try:
        return str(orjson.loads(first)["entry"]["with"]["snapshot_file"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
