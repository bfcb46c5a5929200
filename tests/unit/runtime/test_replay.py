"""Journal and replay: what was written comes back equal, and what was altered never does."""

import json
import os
from pathlib import Path

import pytest

from keeper.domain.errors import (
    InvariantViolation,
    MalformedRecord,
    ReplayDiverged,
    StorageError,
)
from keeper.domain.events import Entry, Event, Started, Ticked
from keeper.runtime.journal import FileJournal, JournalLimits
from keeper.runtime.replay import JournalReader, ReplayCounts, replay
from tests.unit.runtime.shell_fakes import STARTED, CountingMachine, SteppingClock, head


GOLDEN = Path(__file__).parent / "golden"
EVENTS: tuple[Event, ...] = (STARTED, head(1), Ticked(), head(2), head(3, at_tip=False), head(4))


def write(directory: Path, *, close: bool = True, file_bytes_max: int = 10**6) -> Path:
    """Journal EVENTS as the engine would; return the first file."""
    limits = JournalLimits(file_bytes_max=file_bytes_max, total_bytes_max=10**8)
    journal = FileJournal(directory, "run", SteppingClock(), limits)
    first = journal.path
    machine = CountingMachine()
    for seq, event in enumerate(EVENTS, 1):
        entry = Entry(seq, 1_767_225_600_000_000_000 + seq, event)
        journal.record(entry)
        machine.fold(entry)
        journal.seal(entry, machine.decide(entry))
    if close:
        journal.close()
    return first


def sound(started: Started) -> CountingMachine:
    assert started == STARTED
    return CountingMachine()


def test_a_journal_replays_to_the_effects_it_recorded(tmp_path: Path) -> None:
    path = write(tmp_path)

    counts = replay(path, sound)

    assert counts == ReplayCounts(files=1, entries=6, sealed=6, commands=3, torn=False)


def test_every_line_is_with_the_operating_system_before_the_next_step(tmp_path: Path) -> None:
    path = write(tmp_path, close=False)

    assert replay(path, sound).sealed == len(EVENTS)


def test_files_rotate_between_entries_and_replay_as_one_run(tmp_path: Path) -> None:
    path = write(tmp_path, file_bytes_max=1_000)

    counts = replay(path, sound)

    assert counts.files == len(list(tmp_path.iterdir())) >= 3
    assert (counts.entries, counts.sealed) == (6, 6)


def test_a_later_file_alone_is_not_a_run(tmp_path: Path) -> None:
    path = write(tmp_path, file_bytes_max=1_000)

    with pytest.raises(MalformedRecord, match=r"run\.0002\.jsonl:1: chain does not go on"):
        replay(path.with_name("run.0002.jsonl"), sound)


def test_a_machine_that_counts_otherwise_diverges_at_the_first_head(tmp_path: Path) -> None:
    path = write(tmp_path)

    with pytest.raises(ReplayDiverged, match="entry 2: recorded digest") as caught:
        replay(path, lambda _: CountingMachine(bias=1))

    assert caught.value.seq == 2


@pytest.mark.parametrize(("usd", "same"), [(1.5 + 9e-7, True), (1.5 + 2e-6, False)])
def test_money_may_differ_by_less_than_a_millionth_of_a_dollar(
    tmp_path: Path, usd: float, *, same: bool
) -> None:
    path = write(tmp_path)

    if same:
        assert replay(path, lambda _: CountingMachine(usd=usd)).sealed == 6
    else:
        with pytest.raises(ReplayDiverged, match=r"entry 2: recorded float 0 = 1\.5"):
            replay(path, lambda _: CountingMachine(usd=usd))


@pytest.mark.parametrize("usd", [float("nan"), float("inf")])
def test_money_that_is_not_finite_equals_only_itself(tmp_path: Path, usd: float) -> None:
    path = write(tmp_path)

    with pytest.raises(ReplayDiverged, match="float 0"):
        replay(path, lambda _: CountingMachine(usd=usd))


def test_the_golden_journal_that_agrees_still_agrees() -> None:
    assert replay(GOLDEN / "agrees.jsonl", sound).sealed == 6


def test_the_golden_journal_that_diverges_is_found_out() -> None:
    with pytest.raises(ReplayDiverged) as caught:
        replay(GOLDEN / "diverges.jsonl", sound)

    assert caught.value.seq == 4


def test_any_changed_byte_is_found_and_its_line_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        place = len(line) // 2
        changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        path.write_bytes(b"".join([*lines[: number - 1], changed, *lines[number:]]))

        with pytest.raises(MalformedRecord) as caught:
            list(JournalReader(path))

        # An altered entry shows at its seal at the latest, an altered manifest at the first one.
        assert number <= caught.value.line <= max(3, number + 1)


def test_a_seal_with_other_money_is_found(tmp_path: Path) -> None:
    path = write(tmp_path)
    text = path.read_text()
    assert '"floats":[1.5,-1.5]' in text
    path.write_text(text.replace('"floats":[1.5,-1.5]', '"floats":[2.5,-1.5]', 1))

    with pytest.raises(MalformedRecord, match=r"run\.0001\.jsonl:5: chain broken at entry 2"):
        replay(path, sound)


def test_a_removed_entry_is_found(tmp_path: Path) -> None:
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5] + lines[7:]))

    with pytest.raises(MalformedRecord, match="6: entry 4 after entry 2"):
        replay(path, sound)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_what_a_killed_process_leaves(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path)
    os.truncate(path, path.stat().st_size - cut)

    counts = replay(path, sound)

    # The last entry is whole; of its seal some bytes are missing.
    assert counts == ReplayCounts(files=1, entries=6, sealed=5, commands=3, torn=True)


def test_a_torn_line_before_the_last_file_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path, file_bytes_max=1_000)
    os.truncate(path, path.stat().st_size - 5)

    with pytest.raises(MalformedRecord, match="torn line before the last file"):
        replay(path, sound)


def test_a_broken_line_in_the_middle_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:20] + b"\n", *lines[4:]]))

    with pytest.raises(MalformedRecord, match=r"run\.0001\.jsonl:4:"):
        replay(path, sound)


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace('"format":1', '"format":2', 1))

    with pytest.raises(MalformedRecord, match="format 2, this program reads 1"):
        replay(path, sound)


def test_a_journal_begins_with_started(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, "run", SteppingClock(), JournalLimits())
    journal.record(Entry(1, 1, Ticked()))
    journal.close()

    with pytest.raises(MalformedRecord, match="the first entry must be Started, was Ticked"):
        replay(journal.path, sound)


def test_a_journal_without_entries_is_refused(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, "run", SteppingClock(), JournalLimits())
    journal.close()

    with pytest.raises(MalformedRecord, match="no entry"):
        replay(journal.path, sound)


def test_a_missing_journal_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        replay(tmp_path / "none.jsonl", sound)


def test_the_total_limit_halts_rather_than_drops(tmp_path: Path) -> None:
    (tmp_path / "earlier.0001.jsonl").write_bytes(b"x" * 5_000)
    limits = JournalLimits(file_bytes_max=1_000, total_bytes_max=6_000)
    journal = FileJournal(tmp_path, "run", SteppingClock(), limits)

    with pytest.raises(StorageError, match="would pass 6000 bytes; move old ones away"):
        fill(journal)
    with pytest.raises(StorageError):
        journal.record(Entry(200, 1, Ticked()))

    assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 6_000
    journal.close()


def fill(journal: FileJournal) -> None:
    for seq in range(1, 100):
        entry = Entry(seq, seq, head(seq))
        journal.record(entry)
        journal.seal(entry, CountingMachine().decide(entry))


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FileJournal(tmp_path, "run", SteppingClock(), JournalLimits())

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="No space left on device; free space"):
        journal.record(Entry(1, 1, STARTED))
    monkeypatch.undo()

    with pytest.raises(StorageError):
        journal.record(Entry(1, 1, STARTED))
    journal.close()


def test_a_run_never_writes_into_the_files_of_another(tmp_path: Path) -> None:
    write(tmp_path)

    with pytest.raises(StorageError, match="File exists"):
        write(tmp_path)


def test_an_entry_is_sealed_before_the_next_is_recorded(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, "run", SteppingClock(), JournalLimits())
    journal.record(Entry(1, 1, STARTED))

    with pytest.raises(InvariantViolation, match="entry 1 is not sealed, 2 came"):
        journal.record(Entry(2, 2, Ticked()))
    journal.close()


def test_the_manifest_names_the_versions_that_bits_depend_on(tmp_path: Path) -> None:
    path = write(tmp_path)

    manifest = json.loads(path.read_text().splitlines()[0])["manifest"]

    assert manifest.keys() == {
        "format", "keeper", "python", "numpy", "cpu", "run", "file", "chain",
    }  # fmt: skip
    assert "NPY_DISABLE_CPU_FEATURES=" in manifest["cpu"]
