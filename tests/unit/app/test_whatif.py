"""`keeper whatif` without a chain: its words, its files, its answer as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keeper.app.state.snapshots import store
from keeper.app.whatif import changes_of
from keeper.cli import main
from keeper.domain.errors import ConfigError
from keeper.margin.book import Kind
from keeper.protocols.derive.record import dump
from tests.unit.app.documents import SHIPPED
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import Deployment


def snapshot_in(folder: Path) -> tuple[Path, Path]:
    """Write a snapshot of two accounts, and a configuration of their deployment."""
    made = Deployment()
    made.account(1, -14_000.0, (Kind.PERPETUAL, 0, 0.0, 10.0))
    made.account(2, 90_000.0, (Kind.PERPETUAL, 0, 0.0, 10.0))
    tip = made.portfolio.tip
    assert tip is not None
    venues = {"derive": dump(made.tables, *tip, on.NOW)}
    path = folder / "snapshot.json"
    store(path, {"number": tip[0], "hash": tip[1], "venues": venues})
    text = SHIPPED.read_text()
    for key, address in (
        ("sub_accounts", on.SUB_ACCOUNTS),
        ("cash", on.CASH),
        ("auction", on.AUCTION),
    ):
        text = "\n".join(
            f'{key} = "{address}"' if line.startswith(f"{key} = ") else line
            for line in text.splitlines()
        )
    config = folder / "config.toml"
    config.write_text(
        "\n".join(
            f'managers = ["{on.MANAGER}"]' if line.startswith("managers = ") else line
            for line in text.splitlines()
        )
    )
    return config, path


def said(
    folder: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0
) -> tuple[str, str]:
    config, snapshot = snapshot_in(folder)
    asked = ["whatif", "-c", str(config), "--snapshot", str(snapshot), *words]
    assert main(asked) == code
    return tuple(capsys.readouterr())  # type: ignore[return-value]


def test_who_would_breach_is_listed_with_excess_before_and_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = said(tmp_path, capsys, "--json", "--change", "ETH.other.mm_perp=0.5")
    answer = json.loads(out)
    (account,) = answer["accounts"]
    assert (account["account"], account["what"]) == (1, "would breach")
    assert account["excess_before_usd"] > 0 > account["excess_after_usd"]
    assert (answer["before"]["breaches"], answer["after"]["breaches"]) == (0, 1)
    assert answer["changes"][0]["after"] == 0.5


def test_several_changes_are_made_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--change", "ETH.other.mm_perp=0.4", "--change", "ETH.spot_shift=+50%", "--json")
    answer = json.loads(said(tmp_path, capsys, *words)[0])
    assert [each["key"] for each in answer["changes"]] == ["ETH.other.mm_perp", "ETH.spot_shift"]
    assert answer["after"]["breaches"] == 0, "what it gains is more than what it must keep"


def test_the_table_says_it_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(tmp_path, capsys, "--change", "ETH.other.mm_perp=0.5")
    assert "ETH.other.mm_perp: " in out
    assert "would breach" in out
    calm, _ = said(tmp_path, capsys, "--change", "ETH.other.mm_perp=0.0001")
    assert "nobody's standing would change" in calm


def test_a_file_holds_the_same_changes_and_digits_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "change.toml"
    file.write_text('[ETH.margin]\nmm_factor = 0.1\n[ETH]\nspot_shift = "-5%"\n')
    assert changes_of([str(file)]) == [("ETH.margin.mm_factor", "0.1"), ("ETH.spot_shift", "-5%")]
    assert changes_of(["ETH.margin.mm_factor=0.1"]) == [("ETH.margin.mm_factor", "0.1")]


@pytest.mark.parametrize(
    ("text", "cure"), [("gone.toml", "give key=value, or a TOML file"), ("", "cannot be read")]
)
def test_a_change_that_is_neither_is_named(text: str, cure: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=cure):
        changes_of([str(tmp_path / text)])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "change.toml"
    file.write_text("[ETH\n")
    with pytest.raises(ConfigError, match="mend the TOML"):
        changes_of([str(file)])


def test_errors_name_key_value_and_cure_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = said(tmp_path, capsys, "--change", "ETH.margin.mm=1", code=64)
    assert err.startswith("keeper: ETH.margin.mm = 1: margin has im_factor, mm_factor")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("body", "code"), [("{", 64), ("[]", 64), ('{"number": 1}', 70)])
def test_what_is_no_snapshot_is_refused(
    body: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = snapshot_in(tmp_path)
    file = tmp_path / "other.json"
    file.write_text(body)
    words = ["whatif", "-c", str(config), "--change", "ETH.margin.mm_factor=1"]
    assert main([*words, "--snapshot", str(file)]) == code
    assert main([*words, "--snapshot", str(tmp_path / "gone")]) == 74
    assert "snapshot" in capsys.readouterr().err


def test_help_teaches_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["whatif", "--help"])
    out = capsys.readouterr().out
    for word in ("ETH.margin.mm_factor=0.9", "vol_shift", "scenarios", "--snapshot", "--json"):
        assert word in out
