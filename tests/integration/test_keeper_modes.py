"""What each mode sends, what a journal proves, and what a keeper refuses to start with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from keeper.cli import main
from keeper.config import load
from keeper.domain.errors import ConfigError, MalformedRecord, ReplayDiverged
from keeper.runtime.journal import link
from tests.integration.keeper_process import KeeperProcess, write_toml
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.keeper_stand import replay_of


pytestmark = pytest.mark.node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def nothing_sent(rig: Rig) -> bool:
    """Tell whether neither pool nor chain has anything of the lane's."""
    used = rig.node.call("eth_getTransactionCount", rig.lane(), "pending")
    return int(used, 16) == 0 and rig.node.call("txpool_status")["pending"] == "0x0"


def test_observe_decides_and_sends_nothing(rig: Rig) -> None:
    rig.open_with("-100", rig.perp("10"))
    keeper = rig.keeper("observe")
    for _ in range(3):
        line = rig.play(keeper)
    assert line["breaches"] == 1
    refused = keeper.events("CommandRefused")
    assert {(each["stage"], each["reason"]) for each in refused} == {("observe", "observe_mode")}
    assert nothing_sent(rig)
    assert not (keeper.data_dir / "ledger.sqlite").exists()
    keeper.ready()


def test_simulate_tries_at_the_decided_block_and_sends_nothing(rig: Rig) -> None:
    account = rig.open_with("-100", rig.perp("10"))
    keeper = rig.keeper("simulate")
    for _ in range(3):
        rig.play(keeper)
    passed = keeper.events("PreflightPassed")
    refused = keeper.events("CommandRefused")
    assert len(passed) == len(refused) > 0
    assert {(each["stage"], each["reason"]) for each in refused} == {("simulate", "would_send")}
    assert nothing_sent(rig)
    assert rig.starts(account) == []


def test_a_lane_whose_key_somebody_else_used_is_quarantined_and_readiness_says_so(
    rig: Rig,
) -> None:
    first, second = rig.open_with("100", rig.perp("10")), rig.open_with("900", rig.perp("10"))
    rig.lane()
    keeper = rig.keeper()
    rig.play(keeper)
    keeper.ready()
    rig.play(keeper, spot=2_970)
    rig.play(keeper)
    assert rig.live(first)
    assert keeper.stop() == 0
    rig.trust_helper()
    rig.follow(keeper)
    rig.play(keeper, spot=2_800)
    assert not rig.live(second)
    keeper.wait("red", lambda: any("QUARANTINE" in why for why in keeper.readiness()))
    refused = keeper.events("CommandRefused")
    assert {each["reason"] for each in refused} == {"lane_not_ready"}


def test_a_journal_replays_equal_and_an_altered_one_is_refused(rig: Rig, tmp_path: Path) -> None:
    rig.open_with("300", rig.perp("10"))
    keeper = rig.keeper()
    rig.play(keeper, spot=2_900)
    rig.play(keeper)
    assert keeper.stop() == 0
    journal, config = keeper.journals()[-1], load(keeper.config)
    counts, _ = replay_of(config, journal)
    assert counts.entries == counts.sealed > 5
    assert (counts.commands, counts.torn) == (1, False)
    figures = tmp_path / "accounts.json"
    words = ["replay", str(journal), "-c", str(keeper.config), "--accounts", str(figures)]
    assert main(words) == 0
    assert [each["excess_usd"] < 0 for each in json.loads(figures.read_text())] == [True]

    altered = tmp_path / journal.name
    altered.write_text(journal.read_text().replace('"base_fee_wei":', '"base_fee_wei":1', 1))
    with pytest.raises(MalformedRecord):
        replay_of(config, altered)
    # A forger who mends the chain as well is caught by the effects.
    forge(journal, altered)
    with pytest.raises(ReplayDiverged):
        replay_of(config, altered)
    document = rig.document()
    other = write_toml(tmp_path / "other.toml", document | {"cooldown": {"first_blocks": 3}})
    assert main(["replay", str(journal), "-c", str(other)]) == ConfigError.exit_code


def forge(journal: Path, altered: Path) -> None:
    """Take the quotes out of the first block with logs, and chain the file anew."""
    lines = journal.read_bytes().splitlines()
    chain, entry, forged, done = sha256(lines[0]).hexdigest(), b"", [lines[0]], False
    for line in lines[1:]:
        body = json.loads(line)
        if "entry" in body:
            event = body["entry"]
            if not done and event["event"] == "BlockSealed":
                event["with"]["logs"], done = [], True
            entry = json.dumps(body, separators=(",", ":")).encode()
            forged.append(entry)
            continue
        seal = body["seal"]
        chain = link(chain, entry, {"digest": seal["digest"], "floats": seal["floats"]})
        forged.append(
            json.dumps({"seal": {**seal, "chain": chain}}, separators=(",", ":")).encode()
        )
    altered.write_bytes(b"\n".join(forged) + b"\n")


def spoil(document: dict[str, Any], where: str, value: Any) -> None:
    """Put a value at a dotted place; None takes the key away."""
    *path, key = where.split(".")
    table: Any = document
    for name in path:
        table = table[int(name)] if name.isdigit() else table[name]
    table[key] = value


REFUSALS = {
    "unknown key": ("chain.blok_time_ms", 5, 64, ("chain.blok_time_ms", "block_time_ms")),
    "mistyped value": ("keeper.tick_ms", "fast", 64, ("keeper.tick_ms", "fast")),
    "another mode": ("keeper.mode", "turbo", 64, ("keeper.mode", "turbo", "observe")),
    "an address": ("venues.derive.cash", "0x12", 64, ("venues.derive.cash", "0x12", "40 hex")),
    "unknown strategy": (
        "strategy.name", "strategies.flag_only:Flag", 64, ("strategy.name", "FlagOnly"),
    ),
    "strategy module": (
        "strategy.name", "strategies.nothing:Flag", 64, ("strategy.name", "strategies.nothing"),
    ),
    "strategy parameter": (
        "strategy.parameters", {"shortfal_min_usd": 1.0}, 64,
        ("strategy.parameters.shortfal_min_usd", "shortfall_min_usd"),
    ),
    "an order": ("strategy.order", "fifo", 64, ("strategy.order", "fifo", "net_profit")),
    "wrong chain": ("chain.chain_id", 957, 66, ("957", "31337")),
    "no code": ("venues.derive.cash", "0x" + 39 * "0" + "9", 66, ("0x" + 39 * "0" + "9",)),
    "no helper": (
        "venues.derive.auction_utils", "0x" + 39 * "0" + "9", 66, ("venues.derive.auction_utils",),
    ),
    "no key": ("lanes.0.key_file", "nowhere.key", 65, ("nowhere.key",)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_row_38_a_wrong_start_is_refused_with_its_key_value_and_cure(
    rig: Rig, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    where, value, code, words = REFUSALS[case]
    document = rig.document()
    spoil(document, where, value)
    keeper = rig.process(document)
    assert main(["check", "-c", str(keeper.config)]) == code
    told = capsys.readouterr()
    said = [line for line in (told.out + told.err).splitlines() if "ok  " not in line]
    assert all(word in " ".join(said) for word in words), said
    assert keeper.start().exited() == code
    assert all(word in keeper.tail() for word in words), keeper.tail()
    assert nothing_sent(rig)


def test_row_37_key_mode_0644_refused_by_check_and_by_a_start(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = rig.process(rig.document())
    path = rig.folder / "lane0.key"
    path.chmod(0o644)
    assert main(["check", "-c", str(keeper.config)]) == 65
    assert str(path) in capsys.readouterr().out
    assert keeper.start().exited() == 65
    assert str(path) in keeper.tail()
    secret = path.read_text()
    assert secret not in keeper.tail()
    path.chmod(0o600)
    assert main(["check", "-c", str(keeper.config)]) == 0


def test_check_says_of_everything_whether_it_is_right(rig: Rig) -> None:
    keeper = rig.process(rig.document())
    command = [str(Path(sys.executable).with_name("keeper")), "check", "-c", str(keeper.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    looked_at = ("config", "strategy", "endpoint watch", "venues.derive.auction_utils", "lane 0x")
    assert all(any(line.startswith(f"ok   {each}") for line in done.stdout.splitlines())
               for each in looked_at), done.stdout  # fmt: skip
    rig.node.call("anvil_setBalance", rig.lane(), hex(1))
    poor = KeeperProcess(keeper.config, keeper.data_dir, 1)
    assert main(["check", "-c", str(poor.config)]) == 66
