"""The comparison of margins: exact where both answer, and awake where only one does."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.judge.margins import Viewed, compare, negative_equity_usd, read_accounts


def row(account: int, **changes: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "account": account,
        "number": 9,
        "equity_usd": 1_000.0,
        "mm_excess_usd": 500.0,
        "im_excess_usd": 400.0,
        "gross_usd": 10_000.0,
        "defined": True,
    }
    return figures | changes


def view(account: int, **changes: Any) -> Viewed:
    figures = {"mtm": 1_000 * 10**18, "mm": 500 * 10**18, "im": 400 * 10**18} | changes
    return Viewed(account, reverts=False, **figures)


def test_equal_figures_have_no_error() -> None:
    check = compare([row(1)], [view(1)])
    assert (check.error_rel_max, check.compared, check.number) == (0.0, 1, 9)


@pytest.mark.parametrize("name", ["equity_usd", "mm_excess_usd", "im_excess_usd"])
def test_an_error_in_any_figure_is_found_relative_to_gross(name: str) -> None:
    check = compare([row(1), row(2, **{name: row(2)[name] + 1.0})], [view(1), view(2)])
    assert check.error_rel_max == pytest.approx(1e-4)
    assert check.worst_account == 2


def test_a_figure_that_is_not_a_number_is_as_wrong_as_can_be() -> None:
    assert compare([row(1, mm_excess_usd=math.nan)], [view(1)]).error_rel_max == math.inf


def test_small_accounts_are_measured_against_a_dollar() -> None:
    check = compare([row(1, equity_usd=1_000.5, gross_usd=0.01)], [view(1)])
    assert check.error_rel_max == 0.5


def test_an_account_that_only_we_margin_is_unequal() -> None:
    assert compare([row(1)], [Viewed(1, reverts=True)]).unequal == (1,)


def test_an_account_that_only_the_chain_margins_is_unequal() -> None:
    assert compare([row(1, defined=False)], [view(1)]).unequal == (1,)


def test_an_account_that_neither_margins_is_equal_and_not_compared() -> None:
    check = compare([row(1, defined=False, mm_excess_usd=math.nan)], [Viewed(1, reverts=True)])
    assert (check.unequal, check.compared, check.reverting) == ((), 0, (1,))


def test_an_account_that_is_not_listed_is_missing() -> None:
    assert compare([row(1)], [view(1), view(2)]).missing == (2,)


def test_negative_equity_is_summed_without_the_rest() -> None:
    views = [view(1, mtm=-3 * 10**18), view(2), Viewed(3, reverts=True)]
    assert negative_equity_usd(views) == 3.0


def test_figures_of_two_blocks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps([row(1), row(2, number=10)]))
    with pytest.raises(ValueError, match="expected of one"):
        read_accounts(path)
