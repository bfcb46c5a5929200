"""Every test that docs/operations.md names is there: a promise without its test is only a word."""

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
# `test_sender.py::test_nothing_is_sent_...`, `kill9/test_kill9.py`, `..::test_of_the_same_file`
NAMED = re.compile(r"`((?:[\w/]*test_\w+\.py)|\.\.)(?:::(test_\w+?)(\.\.\.)?)?`")


def missing(page: str) -> list[str]:
    """Return the references of a page that lead to no file or to no test in it."""
    files = {path.relative_to(ROOT / "tests"): path for path in (ROOT / "tests").rglob("test_*.py")}
    lost, last = [], ""
    for found in NAMED.finditer(page):
        last = last if found[1] == ".." else found[1]
        texts = [p.read_text() for name, p in files.items() if f"/{name}".endswith(f"/{last}")]
        end = "" if found[3] else r"\("
        wanted = rf"def {found[2]}{end}" if found[2] else ""
        if not any(re.search(wanted, text) for text in texts):
            lost.append(found[0])
    return lost


def test_every_test_that_the_operations_page_names_is_there() -> None:
    page = PAGE.read_text()
    assert len(NAMED.findall(page)) > 40
    assert missing(page) == []


@pytest.mark.parametrize(
    "planted",
    [
        "`test_nowhere.py`",
        "`test_sender.py::test_of_nothing_at_all`",
        "`test_sender.py::test_nothing_is_sent_before_it`",
        "`test_sender.py`, `..::test_of_nothing_...`",
    ],
)
def test_a_promise_whose_test_is_gone_is_seen(planted: str) -> None:
    assert missing(f"| a promise | {planted} |") != []
