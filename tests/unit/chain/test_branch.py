import pytest

from keeper.chain.link.branch import Branch, Point
from keeper.domain.errors import InvariantViolation


def points(count: int) -> list[Point]:
    return [Point(number, f"0x{number:064x}") for number in range(count)]


def grown(count: int, window: int) -> tuple[Branch, list[Point]]:
    made = points(count)
    branch = Branch(made[0], window, finality_blocks=window)
    for point in made[1:]:
        branch.extend(point)
    return branch, made


def test_the_window_holds_the_tip_and_that_many_blocks_below_it() -> None:
    branch, made = grown(10, window=4)
    assert branch.tip == made[9]
    assert branch.oldest == made[5]
    assert branch.find(made[5].hash) == made[5]
    assert branch.find(made[4].hash) is None


def test_a_rewind_forgets_what_is_above_the_ancestor() -> None:
    branch, made = grown(10, window=4)
    branch.rewind(made[6])
    assert branch.tip == made[6]
    assert branch.find(made[7].hash) is None
    branch.extend(Point(7, "0x" + "77" * 32))
    assert branch.tip.number == 7


def test_a_block_that_does_not_follow_the_tip_is_a_bug() -> None:
    branch, made = grown(3, window=4)
    with pytest.raises(InvariantViolation):
        branch.extend(made[2])


def test_a_rewind_to_a_block_that_is_not_ours_is_a_bug() -> None:
    branch, _ = grown(3, window=4)
    with pytest.raises(InvariantViolation):
        branch.rewind(Point(1, "0x" + "99" * 32))
