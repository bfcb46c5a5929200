"""Golden journals: runs of long ago replay to the same effects, and one must not.

They are replayed as `keeper replay` does it: configuration, snapshot and journal from their files.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from keeper.app import replaying
from keeper.app.replaying import replay_journal
from keeper.config import Config, load
from keeper.domain.errors import ConfigError, MalformedRecord, ReplayDiverged
from keeper.machine.screening import Screens
from keeper.protocols.derive.abi import TOPIC
from tests.golden.journals import record


FOLDER = record.FOLDER
BYTES_MAX = 200_000
# What each must hold to be worth keeping: entries of a kind, at least.
HOLDS: dict[str, dict[str, int]] = {
    "reorg": {"ChainRewound": 1, "TransactionOrphaned": 3, "TransactionReverted": 1},
    "stale_oracle": {"Ticked": 1, "TransactionIncluded": 2},
    "gap": {"BlockSealed": 9, "TransactionIncluded": 2},
    "insolvency": {"TransactionIncluded": 8},
    "diverges": {"ChainRewound": 1},
}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration they were recorded under; its folders are relative to where it stands.

    Its digest is taken as the one recorded: a key that was added since, with its default, changes
    every digest and must not retire the journals of before.
    """
    monkeypatch.chdir(FOLDER)
    recorded = next(lines(journal("reorg"), "entry"))["with"]["config_digest"]
    for reader in (replaying, record):
        monkeypatch.setattr(reader, "config_digest", lambda _: recorded)
    return load(FOLDER / "config.toml", {})


def journal(name: str) -> Path:
    return FOLDER / "journal" / f"{name}.0001.jsonl"


def lines(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        document = orjson.loads(line)
        if kind in document:
            yield document[kind]


@pytest.mark.parametrize("name", record.STORIES)
def test_a_golden_journal_replays_to_the_effects_it_recorded(name: str, config: Config) -> None:
    counts = replay_journal(config, journal(name))

    assert counts.sealed == counts.entries == len(list(lines(journal(name), "entry")))
    assert counts.commands > 0
    assert not counts.torn


@pytest.mark.parametrize("name", record.STORIES)
def test_bounds_change_no_effect_and_no_figure_of_a_golden_journal(
    name: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = _figures(config, name, None, tmp_path)
    screens = Screens(0, 1.0)
    monkeypatch.setattr("keeper.machine.machine.Screens", lambda: screens)

    assert _figures(config, name, None, tmp_path) == computed
    assert name != "insolvency" or screens.cleared > 0


def test_the_journal_of_a_keeper_with_a_bug_diverges_at_the_entry_that_shows_it(
    config: Config,
) -> None:
    with pytest.raises(ReplayDiverged) as caught:
        replay_journal(config, journal(record.MUST_DIVERGE))

    # The entry is the block of the crash: the first on which a breach can be overlooked.
    blocks = [each for each in lines(journal("diverges"), "entry") if _is_block(each)]
    assert caught.value.seq == blocks[1]["seq"]
    assert str(caught.value).startswith(f"entry {caught.value.seq}: recorded digest ")


@pytest.mark.parametrize("name", HOLDS)
def test_a_golden_journal_is_small_and_holds_what_its_name_says(name: str) -> None:
    kinds = Counter(each["event"] for each in lines(journal(name), "entry"))

    assert journal(name).stat().st_size < BYTES_MAX
    for kind, count in HOLDS[name].items():
        assert kinds[kind] >= count, f"{name} holds {kinds[kind]} of {kind}"


def test_the_gap_is_folded_and_only_its_last_block_decided_on() -> None:
    tips = [each["with"]["at_tip"] for each in lines(journal("gap"), "entry") if _is_block(each)]

    assert tips == [True, *[False] * 6, True, True]


def test_a_stale_quote_leaves_every_account_undecided_until_it_is_posted_again(
    config: Config, tmp_path: Path
) -> None:
    """Cut before the quote comes back, the replay's last figures define no account."""
    shown = orjson.loads(_figures(config, "stale_oracle", 5, tmp_path))
    healed = orjson.loads(_figures(config, "stale_oracle", None, tmp_path))

    assert not any(each["defined"] for each in shown)
    assert all(each["defined"] for each in healed)


def test_the_insolvency_leaves_accounts_with_less_than_nothing(
    config: Config, tmp_path: Path
) -> None:
    entries = list(lines(journal("insolvency"), "entry"))
    third = [each["seq"] for each in entries if _is_block(each)][2]
    shown = orjson.loads(_figures(config, "insolvency", third, tmp_path))

    assert any(each["equity_usd"] < 0.0 for each in shown)


def test_the_insolvency_goes_through_every_stage_of_an_auction() -> None:
    topics = {
        log[1][0]
        for each in lines(journal("insolvency"), "entry")
        if _is_block(each)
        for log in each["with"]["logs"]
    }

    for event in ("SolventAuctionStarted", "InsolventAuctionStarted", "Bid", "AuctionEnded"):
        assert TOPIC[event] in topics, event


def test_an_altered_entry_is_no_divergence_but_a_broken_chain(
    config: Config, tmp_path: Path
) -> None:
    whole = journal("reorg").read_bytes()
    spoilt = tmp_path / "spoilt.0001.jsonl"
    spoilt.write_bytes(whole.replace(b'"number":1002', b'"number":1003', 1))

    with pytest.raises(MalformedRecord, match="chain broken at entry"):
        replay_journal(config, spoilt)


def test_another_configuration_is_refused_before_anything_is_replayed(tmp_path: Path) -> None:
    text = (FOLDER / "config.toml").read_text()
    other = tmp_path / "config.toml"
    other.write_text(text.replace("deadline_blocks = 4", "deadline_blocks = 5"))

    with pytest.raises(ConfigError, match="configuration digest"):
        replay_journal(load(other, {}), journal("reorg"))


@pytest.mark.usefixtures("config")
def test_the_recorder_tells_the_same_stories_again(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "config.toml", tmp_path)
    record.record(tmp_path, ["reorg", "gap"])

    for name in ("reorg", "gap"):
        again = tmp_path / "journal" / f"{name}.0001.jsonl"
        assert list(lines(again, "entry")) == list(lines(journal(name), "entry"))


def _figures(config: Config, name: str, entries: int | None, folder: Path) -> bytes:
    """Return the accounts' figures after the first so many entries of a journal."""
    kept = journal(name).read_bytes().splitlines(keepends=True)
    short = folder / f"{name}.0001.jsonl"
    short.write_bytes(b"".join(kept if entries is None else kept[: 1 + 2 * entries]))
    figures = folder / "accounts.json"
    replay_journal(config, short, figures)
    return figures.read_bytes()


def _is_block(entry: dict[str, Any]) -> bool:
    return bool(entry["event"] == "BlockSealed")
