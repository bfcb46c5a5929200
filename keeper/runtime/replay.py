"""A recorded journal applied again: equal effects, or the first entry that differs.

Must not know how a machine is built; the caller's factory gets the `Started` event that names the
snapshot, the configuration and the next command id.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from keeper.domain.codec import (
    canonical,
    decode_entry,
    decode_floats,
    digest,
    floats,
    parse,
)
from keeper.domain.effects import Effects
from keeper.domain.errors import MalformedRecord, ReplayDiverged, StorageError
from keeper.domain.events import Entry, Started
from keeper.runtime.engine import Machine
from keeper.runtime.journal import FORMAT, SUFFIX, file_path, link


USD_TOLERANCE: Final = 1e-6
RELATIVE_TOLERANCE: Final = 1e-9
# A line holds one block at most; more is not a journal of ours.
LINE_BYTES_MAX: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry with its seal; `digest` is None where the run did not live to seal its last."""

    entry: Entry
    digest: str | None
    floats: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReplayCounts:
    """What a replay that found no difference went through."""

    files: int
    entries: int
    sealed: int
    commands: int
    torn: bool


def replay(path: Path, build: Callable[[Started], Machine]) -> ReplayCounts:
    """Apply the journal that begins with file `path` to a machine that `build` returns.

    Raises ReplayDiverged at the first entry with another digest, or with a float further off than
    1e-6 USD + 1e-9 relative; MalformedRecord for a file that was altered or does not parse.
    """
    reader = JournalReader(path)
    machine: Machine | None = None
    entries = sealed = commands = 0
    for recorded in reader:
        if machine is None:
            machine = build(_started(recorded.entry, path))
        machine.fold(recorded.entry)
        effects = machine.decide(recorded.entry)
        entries += 1
        commands += len(effects.commands)
        if recorded.digest is not None:
            compare(recorded, effects)
            sealed += 1
    if machine is None:
        raise MalformedRecord(path.name, 2, "no entry: a journal begins with Started")
    return ReplayCounts(reader.files, entries, sealed, commands, reader.torn)


def compare(recorded: Recorded, effects: Effects) -> None:
    """Raise ReplayDiverged where the effects are not those recorded."""
    seq = recorded.entry.seq
    actual = digest(effects)
    if recorded.digest != actual:
        raise ReplayDiverged(seq, f"digest {recorded.digest}", f"digest {actual} ({_say(effects)})")
    values = floats(effects)
    if len(values) != len(recorded.floats):
        raise ReplayDiverged(seq, f"{len(recorded.floats)} floats", f"{len(values)} floats")
    for place, (was, now) in enumerate(zip(recorded.floats, values, strict=True)):
        if not _close(was, now):
            raise ReplayDiverged(seq, f"float {place} = {was!r}", f"{now!r}")


class JournalReader:
    """Iterates over the recorded entries of a run, file after file, checking every link.

    A torn last line, or a last entry without its seal, is what a killed process leaves: it is
    accepted at the very end of the last file and nowhere else.
    """

    def __init__(self, path: Path) -> None:
        self.files = 0
        self.torn = False
        self._path = path
        self._chain = ""
        self._seq: int | None = None

    def __iter__(self) -> Iterator[Recorded]:
        """Yield entries in order; raises MalformedRecord with the file and line."""
        path, following = self._path, _next_file(self._path)
        while True:
            self.files += 1
            last = following is None or not following.exists()
            yield from self._file(path, last=last)
            if following is None or last:
                return
            path, following = following, _next_file(following)

    def _file(self, path: Path, *, last: bool) -> Iterator[Recorded]:
        lines = _lines(path)
        number, first, ended = next(lines, (1, b"", False))
        if not ended:
            if not last:
                raise MalformedRecord(path.name, 1, "no manifest")
            self.torn = True
            return
        self._manifest(first, path)
        pending: tuple[int, Entry, bytes] | None = None
        for number, line, ended in lines:
            if not ended:
                if not last:
                    raise MalformedRecord(path.name, number, "torn line before the last file")
                self.torn = True
                break
            if pending is None:
                entry = self._entry(line, path, number)
                pending = (number, entry, line)
            else:
                yield self._sealed(line, pending, path, number)
                pending = None
        if pending is not None:
            if not last:
                raise MalformedRecord(path.name, pending[0], "entry without a seal")
            self.torn = True
            yield Recorded(pending[1], None, ())

    def _manifest(self, line: bytes, path: Path) -> None:
        body = _body(parse(line, path.name, 1), "manifest", path.name, 1)
        if body.get("format") != FORMAT:
            problem = f"format {body.get('format')!r:.40}, this program reads {FORMAT}"
            raise MalformedRecord(path.name, 1, problem)
        # The file may be given alone only when it is the first of its run.
        if body.get("chain") != self._chain or body.get("file") != self.files:
            raise MalformedRecord(path.name, 1, "chain does not go on from the file before")
        self._chain = sha256(line).hexdigest()

    def _entry(self, line: bytes, path: Path, number: int) -> Entry:
        body = _body(parse(line, path.name, number), "entry", path.name, number)
        entry = decode_entry(body, path.name, number)
        if canonical({"entry": body}) != line:
            raise MalformedRecord(path.name, number, "not in canonical form")
        if self._seq is not None and entry.seq != self._seq + 1:
            problem = f"entry {entry.seq} after entry {self._seq}"
            raise MalformedRecord(path.name, number, problem)
        self._seq = entry.seq
        return entry

    def _sealed(
        self, line: bytes, pending: tuple[int, Entry, bytes], path: Path, number: int
    ) -> Recorded:
        _, entry, entry_line = pending
        body = _body(parse(line, path.name, number), "seal", path.name, number)
        if body.keys() != {"seq", "digest", "floats", "chain"} or body["seq"] != entry.seq:
            raise MalformedRecord(path.name, number, f"not the seal of entry {entry.seq}")
        values = decode_floats(body["floats"], path.name, number)
        self._chain = link(self._chain, entry_line, body)
        if body["chain"] != self._chain or not isinstance(body["digest"], str):
            raise MalformedRecord(path.name, number, f"chain broken at entry {entry.seq}")
        return Recorded(entry, body["digest"], values)


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (number from 1, line without its end, whether the end was there)."""
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(LINE_BYTES_MAX):
                number += 1
                yield number, raw.removesuffix(b"\n"), raw.endswith(b"\n")
    except OSError as error:
        raise StorageError(str(path), f"cannot be read: {error.strerror}") from error


def _body(document: Any, kind: str, source: str, line: int) -> dict[str, Any]:
    if isinstance(document, dict) and document.keys() == {kind}:
        body = document[kind]
        if isinstance(body, dict):
            return body
    raise MalformedRecord(source, line, f"expected a line of kind {kind!r}")


def _next_file(path: Path) -> Path | None:
    """Return the path of the run's next file; None when the name is not of a row of files."""
    run, dot, number = path.name.removesuffix(SUFFIX).rpartition(".")
    if not dot or not (number.isascii() and number.isdigit()):
        return None
    return file_path(path.parent, run, int(number) + 1)


def _started(entry: Entry, path: Path) -> Started:
    if isinstance(entry.event, Started):
        return entry.event
    was = type(entry.event).__name__
    raise MalformedRecord(path.name, 2, f"the first entry must be Started, was {was}")


def _close(was: float, now: float) -> bool:
    if math.isnan(was) or math.isnan(now):
        return math.isnan(was) and math.isnan(now)
    if math.isinf(was) or math.isinf(now):
        return was == now
    return abs(was - now) <= USD_TOLERANCE + RELATIVE_TOLERANCE * max(abs(was), abs(now))


def _say(effects: Effects) -> str:
    kinds = ", ".join(f"{each.kind} #{each.id}" for each in effects.commands[:4])
    return (
        f"{len(effects.commands)} commands {kinds}; {len(effects.notices)} notices; "
        f"{len(effects.assessments)} assessments"
    )
