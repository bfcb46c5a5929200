"""`keeper margin`: a file in, figures out, and every mistake named with its cure."""

import json
from pathlib import Path

import pytest

from keeper.app.margining import listing, margin_report, table
from keeper.cli import main
from keeper.domain.errors import ConfigError


EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "example_portfolio.json"


def test_the_example_is_margined_by_derives_method() -> None:
    document = margin_report("derive-pmrm2", EXAMPLE)

    desk, puts = document["accounts"]
    for account in (desk, puts):
        requirement = account["requirement"]
        assert requirement["excess"] == pytest.approx(requirement["equity"] - requirement["mm"])
        assert requirement["mm"] > 0
        assert requirement["im"] >= requirement["mm"]
    assert desk["greeks"]["BTC"]["gamma"] < 0 < puts["greeks"]["BTC"]["delta"]
    assert "account desk" in table(document)


def test_every_listed_method_names_its_exactness_and_source() -> None:
    lines = listing().splitlines()

    assert len(lines) > 25
    assert all("exact" in line or "outline" in line for line in lines[1:])


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("market", "underlyings", 0, "spot"), -1, "spot"),
        (("market", "instruments", 0, "vol"), "much", "vol"),
        (("accounts", 0, "positions"), {"NOPE": 1}, "NOPE"),
        (("accounts", 0, "cahs"), 1, "cahs"),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, path: tuple[str | int, ...], value: object, field: str
) -> None:
    document = json.loads(EXAMPLE.read_text())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "desk.json"
    file.write_text(json.dumps(document))

    with pytest.raises(ConfigError, match=field):
        margin_report("derive-pmrm2", file)


def test_an_unknown_method_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nonesuch"):
        margin_report("nonesuch", EXAMPLE)
    with pytest.raises(ConfigError, match="absent"):
        margin_report("derive-pmrm2", tmp_path / "absent.json")


def test_the_command_prints_json_and_knows_its_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["margin", "--list"]) == 0
    assert "derive-pmrm2" in capsys.readouterr().out
    arguments = ["margin", "--method", "derive-pmrm2", "--portfolio", str(EXAMPLE), "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["method"]
    assert main(["margin"]) == 2
    assert main(["margin", "--method", "x", "--portfolio", str(EXAMPLE)]) == 64
