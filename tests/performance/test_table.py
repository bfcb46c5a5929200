"""The benchmark's table says plainly what was reached, and what could not be measured."""

import pytest

from tests.performance.table import GOALS, Figure, Goal, Row, judged


@pytest.mark.parametrize(
    ("figure", "goal", "verdict"),
    [
        (40.0, Goal(40), "met"),
        (40.1, Goal(40), "NOT met"),
        (50.0, Goal(50, least=False), "met"),
        (49.9, Goal(50, least=False), "NOT met"),
    ],
)
def test_a_figure_is_met_up_to_its_goal_and_not_beyond(
    figure: float, goal: Goal, verdict: str
) -> None:
    (row,) = judged([Figure("key", figure, "ms")], {"key": goal})
    assert row.verdict == verdict
    assert verdict in row.line()
    assert row.document()["verdict"] == verdict


def test_a_figure_without_a_goal_is_only_told() -> None:
    (row,) = judged([Figure("key", 1.0, "ms")], {})
    assert row.verdict == "told"


def test_what_could_not_be_measured_is_null_and_says_why() -> None:
    row = Row("key", None, 1.0, "ms", "-", note="no node")
    assert row.verdict == "null"
    assert row.document()["figure"] is None
    assert "no node" in row.line()


def test_link_execution_and_state_have_goals() -> None:
    rooms = {key.partition(".")[0] for key in GOALS}
    assert {"chain", "exec", "state"} <= rooms
