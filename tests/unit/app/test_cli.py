"""The command line: arguments, what is printed, and the exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper import __version__
from keeper.cli import main, parser


def test_without_a_command_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "usage: keeper" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"keeper {__version__}\n"


def test_help_lists_every_exit_code() -> None:
    text = parser().format_help()
    for code in (
        "0 well",
        "2 arguments",
        "64 config",
        "65 key",
        "66 wrong",
        "67 final",
        "70",
        "74",
    ):
        assert code in text


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_config_that_is_not_there_is_named_with_its_cure(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gone.toml"
    assert main([command, "-c", str(path)]) == 64
    said = capsys.readouterr().err
    assert said.startswith("keeper: config file")
    assert str(path) in said
    assert "name a config.toml with -c" in said


def test_a_journal_that_is_not_one_is_data_not_to_be_decided_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = Path(__file__).resolve().parents[3] / "config.toml"
    journal = tmp_path / "run.0001.jsonl"
    journal.write_text('{"something": "else"}\n')
    assert main(["replay", str(journal), "-c", str(shipped)]) == 70
    assert "MalformedRecord" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "gone.0001.jsonl"), "-c", str(shipped)]) == 74


KEY = "ab" * 32


@pytest.mark.parametrize(
    "words",
    [
        ["run", KEY],
        ["run", "-c", "0x" + KEY],
        ["check", f"--key={KEY}"],
        [f"--private-key=0x{KEY}", "run"],
        ["0x" + KEY],
    ],
)
def test_row_37_a_key_among_the_arguments_is_refused_and_never_repeated(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(words) == 65
    told = capsys.readouterr()
    assert "hold that key for stolen" in told.err
    assert KEY not in told.out + told.err
