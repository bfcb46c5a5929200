"""The undo log: frames, depth, rewinds, and writes that must not happen."""

import pytest

from keeper.domain.errors import InvariantViolation
from keeper.portfolio.columns import Column
from keeper.portfolio.instruments import Instruments
from keeper.portfolio.positions import Positions
from keeper.portfolio.tables import Table
from keeper.portfolio.undo import UndoLog


def block(number: int, branch: int = 0) -> str:
    return f"0x{branch:02x}{number:062x}"


@pytest.fixture
def undo() -> UndoLog:
    return UndoLog(depth_max=3)


def numbers(undo: UndoLog) -> Table[str, int]:
    return Table(undo, "numbers", int)


def test_before_the_first_block_there_is_no_tip_and_nothing_to_rewind_to(undo: UndoLog) -> None:
    assert undo.tip is None
    assert undo.depth == 0
    assert undo.hash_at(1) is None
    with pytest.raises(InvariantViolation):
        undo.rewind(1, block(1))


def test_a_write_before_any_block_is_refused_and_changes_nothing(undo: UndoLog) -> None:
    table, column = numbers(undo), Column(undo, "column")
    positions = Positions(undo, Instruments())
    with pytest.raises(InvariantViolation, match="before any block"):
        table.set("a", 1)
    with pytest.raises(InvariantViolation):
        column.set(0, 1)
    with pytest.raises(InvariantViolation):
        positions.set(0, 0, 1)
    assert (len(table), column.get(0), positions.get(0, 0), positions.total) == (0, 0, 0, 0)


def test_a_block_must_follow_the_tip(undo: UndoLog) -> None:
    undo.begin(5, block(5))
    for number in (5, 4, 7):
        with pytest.raises(InvariantViolation, match="does not follow"):
            undo.begin(number, block(number))
    undo.begin(6, block(6))
    assert undo.tip == (6, block(6))


def test_a_rewind_takes_back_block_by_block(undo: UndoLog) -> None:
    table = numbers(undo)
    for number in (1, 2, 3):
        undo.begin(number, block(number))
        table.set("a", number)
        table.set(f"only {number}", number)
        table.delete("only 1")
    assert undo.rewind(2, block(2)) == 1
    assert list(table.items()) == [("a", 2), ("only 2", 2)]
    assert undo.rewind(1, block(1)) == 1
    assert list(table.items()) == [("a", 1)]
    assert undo.tip == (1, block(1))
    assert undo.depth == 0


def test_a_rewind_to_the_tip_takes_nothing(undo: UndoLog) -> None:
    table = numbers(undo)
    undo.begin(1, block(1))
    table.set("a", 1)
    assert undo.rewind(1, block(1)) == 0
    assert table["a"] == 1


def test_the_other_branch_is_folded_on_the_ancestor(undo: UndoLog) -> None:
    table = numbers(undo)
    for number in (1, 2, 3):
        undo.begin(number, block(number))
        table.set("a", number)
    undo.rewind(1, block(1))
    undo.begin(2, block(2, branch=1))
    table.set("a", 22)
    assert (table["a"], undo.tip, undo.hash_at(2)) == (22, (2, block(2, 1)), block(2, 1))
    undo.rewind(1, block(1))
    assert table["a"] == 1


def test_an_unknown_hash_or_height_is_no_ancestor(undo: UndoLog) -> None:
    undo.begin(1, block(1))
    undo.begin(2, block(2))
    for number, its in ((1, block(1, branch=1)), (0, block(0)), (3, block(3))):
        with pytest.raises(InvariantViolation):
            undo.rewind(number, its)
    assert undo.tip == (2, block(2))


def test_only_so_many_blocks_can_be_taken_back(undo: UndoLog) -> None:
    table = numbers(undo)
    for number in range(1, 8):
        undo.begin(number, block(number))
        table.set("a", number)
    assert undo.depth == undo.depth_max == 3
    assert undo.hash_at(3) is None
    with pytest.raises(InvariantViolation):
        undo.rewind(3, block(3))
    assert undo.rewind(4, block(4)) == 3
    assert table["a"] == 4


def test_writes_after_a_rewind_belong_to_the_ancestors_frame(undo: UndoLog) -> None:
    table = numbers(undo)
    for number in (1, 2, 3):
        undo.begin(number, block(number))
    undo.rewind(2, block(2))
    table.set("a", 1)
    undo.rewind(1, block(1))
    assert "a" not in table
