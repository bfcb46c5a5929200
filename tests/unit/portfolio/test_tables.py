"""Tables and columns: exact values, key order, versions, limits."""

import numpy as np
import pytest

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD
from keeper.portfolio.columns import Column
from keeper.portfolio.exact import HI_MAX
from keeper.portfolio.state import Portfolio
from keeper.portfolio.tables import Table
from keeper.portfolio.undo import UndoLog


@pytest.fixture
def undo() -> UndoLog:
    log = UndoLog()
    log.begin(1, "0x01")
    log.begin(2, "0x02")
    return log


def test_a_table_iterates_in_key_order_whatever_the_order_of_writes(undo: UndoLog) -> None:
    table: Table[tuple[str, int], int] = Table(undo, "numbers", int)
    for key in (("b", 1), ("a", 10), ("a", 9)):
        table.set(key, 1)
    assert [key for key, _ in table.items()] == [("a", 9), ("a", 10), ("b", 1)]


def test_a_version_moves_with_every_write_also_when_it_is_taken_back(undo: UndoLog) -> None:
    table: Table[str, int] = Table(undo, "numbers", int)
    seen = [table.version]
    for change in (
        lambda: table.set("a", 1),
        lambda: table.delete("a"),
        lambda: undo.rewind(1, "0x01"),
    ):
        change()
        assert table.version > seen[-1]
        seen.append(table.version)


def test_deleting_what_is_not_there_is_no_write(undo: UndoLog) -> None:
    table: Table[str, int] = Table(undo, "numbers", int)
    table.delete("a")
    assert table.version == 0
    assert table.get("a") is None
    with pytest.raises(KeyError):
        table["a"]


def test_a_stored_none_like_value_comes_back(undo: UndoLog) -> None:
    table: Table[str, int] = Table(undo, "numbers", int)
    undo.rewind(1, "0x01")
    table.set("a", 0)
    undo.begin(2, "0x02")
    table.set("a", 5)
    undo.rewind(1, "0x01")
    assert table["a"] == 0
    assert "a" in table


@pytest.mark.parametrize(
    "value",
    [
        0,
        1,
        -1,
        WAD,
        -WAD,
        WAD - 1,
        -WAD - 1,
        HI_MAX * WAD + WAD - 1,
        -HI_MAX * WAD,
        123 * WAD + 456,
    ],
)
def test_a_column_is_exact_and_its_float_is_the_nearest(undo: UndoLog, value: int) -> None:
    column = Column(undo, "exact")
    column.set(3, value)
    assert column.get(3) == value
    assert column.floats(np.array([3, 0], np.int64)).tolist() == [value / WAD, 0.0]


@pytest.mark.parametrize("value", [(HI_MAX + 1) * WAD, -(HI_MAX + 1) * WAD])
def test_a_number_too_large_for_two_columns_is_refused(undo: UndoLog, value: int) -> None:
    column = Column(undo, "exact")
    column.set(3, 7)
    with pytest.raises(InvariantViolation, match="exact"):
        column.set(3, value)
    assert column.get(3) == 7


def test_a_column_grows_and_keeps_what_it_holds(undo: UndoLog) -> None:
    column = Column(undo, "exact")
    column.set(0, -5)
    column.set(10_000, WAD)
    assert (column.get(0), column.get(10_000), column.get(10_001), column.get(10**9)) == (
        -5,
        WAD,
        0,
        0,
    )
    rows = np.array([10_000, 0, 50_000], np.int64)
    assert column.floats(rows).tolist() == [1.0, -5 / WAD, 0.0]
    assert column.floats(np.zeros(0, np.int64)).tolist() == []


def test_a_column_is_taken_back(undo: UndoLog) -> None:
    column = Column(undo, "exact")
    column.set(3, 7)
    column.set(3, 8)
    undo.rewind(1, "0x01")
    assert column.get(3) == 0
    assert column.floats(np.array([3], np.int64)).tolist() == [0.0]


def test_a_name_is_given_once() -> None:
    portfolio = Portfolio()
    portfolio.table("one", int)
    portfolio.column("two")
    with pytest.raises(InvariantViolation):
        portfolio.table("one", int)
    with pytest.raises(InvariantViolation):
        portfolio.column("two")
    assert list(portfolio.tables) == ["one"]


def test_contents_leave_out_what_depends_on_the_path() -> None:
    portfolio = Portfolio()
    portfolio.undo.begin(1, "0x01")
    assert portfolio.tip == (1, "0x01")
    kept, left = portfolio.table("kept", int), portfolio.table("left_history", int)
    held, gone = portfolio.column("held"), portfolio.column("gone_history")
    row = portfolio.accounts.row("venue", 7)
    for table in (kept, left):
        table.set("a", 1)
    for column in (held, gone):
        column.set(row, 2)
    contents = portfolio.contents()
    assert contents["tables"] == {"kept": [("a", 1)]}
    assert contents["columns"] == {"held": {"('venue', 7)": 2}}


def test_contents_do_not_depend_on_the_order_of_first_sight() -> None:
    found = []
    for accounts in ((7, 8), (8, 7)):
        portfolio = Portfolio()
        portfolio.undo.begin(1, "0x01")
        column = portfolio.column("cash")
        for account in accounts:
            column.set(portfolio.accounts.row("venue", account), account)
        found.append(portfolio.contents())
    assert found[0] == found[1]
