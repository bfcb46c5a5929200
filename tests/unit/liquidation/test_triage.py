"""Triage: which rows are breaches, in which order, and what is never called healthy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keeper.liquidation.triage import triage


def flags(*values: bool) -> np.ndarray:
    return np.array(values, np.bool_)


def test_worst_excess_comes_first_and_ties_by_row() -> None:
    excess = np.array([-1.0, 5.0, -3.0, -3.0])

    found = triage(excess, np.array([1.0, 1.0, -1.0, 2.0]), np.ones(4, np.bool_))

    assert found.breaches.tolist() == [2, 3, 0]
    assert found.insolvent == 1
    assert found.shortfall_usd == 7.0
    assert found.excess_min_usd == -3.0


def test_zero_excess_is_no_breach() -> None:
    found = triage(np.zeros(1), np.zeros(1), np.ones(1, np.bool_))

    assert len(found.breaches) == 0


def test_an_undefined_account_is_undecided_never_healthy_never_a_breach() -> None:
    found = triage(np.array([-5.0, np.nan]), np.zeros(2), flags(False, True))

    assert len(found.breaches) == 0
    assert found.undecided == 2
    assert found.excess_min_usd == 0.0


@given(
    hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(-1e9, 1e9)),
    st.randoms(use_true_random=False),
)
def test_exactly_the_decided_negative_rows_are_breaches(excess: np.ndarray, chance) -> None:
    defined = np.array([chance.random() < 0.8 for _ in excess], np.bool_)

    found = triage(excess, excess, defined)

    expected = {row for row in range(len(excess)) if defined[row] and excess[row] < 0}
    assert set(found.breaches.tolist()) == expected
    assert excess[found.breaches].tolist() == sorted(excess[found.breaches].tolist())
