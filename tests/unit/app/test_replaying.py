"""Replay refuses what it could not judge: another configuration, another kernel."""

from pathlib import Path

import pytest

from keeper.app.assembly import edition
from keeper.app.replaying import replay_journal
from keeper.config import Config, config_digest
from keeper.domain.errors import ConfigError, StorageError
from keeper.domain.events import Entry, Started
from keeper.runtime.clock import SystemClock
from keeper.runtime.journal import FileJournal, JournalLimits
from tests.unit.app.documents import configured


def journal_of(folder: Path, started: Started) -> Path:
    journal = FileJournal(folder, "run", SystemClock(), JournalLimits())
    journal.record(Entry(1, 1, started))
    journal.close()
    return journal.path


def started(config: Config, version: str) -> Started:
    return Started(version, config_digest(config), "gone.json", "0" * 64, 1)


def test_a_journal_of_another_configuration_is_refused(tmp_path: Path) -> None:
    other = configured(chain={"chain_id": 5})
    path = journal_of(tmp_path, started(other, edition()))

    with pytest.raises(ConfigError, match="configuration digest"):
        replay_journal(configured(), path)


def test_a_journal_of_another_kernel_is_refused_and_of_ours_goes_on(tmp_path: Path) -> None:
    config = configured()
    stranger = journal_of(tmp_path / "a", started(config, "0.1.0+abacus"))
    ours = journal_of(tmp_path / "b", started(config, edition()))

    with pytest.raises(ConfigError, match="abacus"):
        replay_journal(config, stranger)
    with pytest.raises(StorageError, match=r"gone\.json"):
        replay_journal(config, ours)
