"""The published PMRM_2 cases through the keeper's public method and through the reference."""

import numpy as np
import pytest

from keeper.margin.methods.pmrm2 import Pmrm2
from tests.golden.pmrm2_vectors import Case, parametrized
from tests.reference import pmrm2_arrays as arrays
from tests.reference import pmrm2_scalar as scalar


TOLERANCE = 1e-8


def relative(got: float, expected: float) -> float:
    return abs(got - expected) / max(1.0, abs(expected))


@pytest.mark.parametrize("case", parametrized())
def test_method_gives_the_published_margins(case: Case) -> None:
    parameters = arrays.parameters(case.rules, case.portfolio.assets)
    market = arrays.market(case.quotes, case.portfolio.options, case.portfolio.assets)
    result = Pmrm2(parameters).require(arrays.single(case.portfolio), market)
    assert result.defined.all()
    assert relative(result.excess_initial[0], case.im) <= TOLERANCE
    assert relative(result.excess[0], case.mm) <= TOLERANCE


@pytest.mark.parametrize("case", parametrized())
def test_scalar_reference_gives_the_published_margins(case: Case) -> None:
    outcome = scalar.assess(case.portfolio, case.quotes, case.rules)
    assert relative(outcome.im, case.im) <= TOLERANCE
    assert relative(outcome.mm, case.mm) <= TOLERANCE


@pytest.mark.parametrize("case", parametrized())
def test_method_and_reference_agree_on_the_worst_scenario_and_the_ladder(case: Case) -> None:
    method = Pmrm2(arrays.parameters(case.rules, case.portfolio.assets))
    market = arrays.market(case.quotes, case.portfolio.options, case.portfolio.assets)
    book = arrays.single(case.portfolio)
    result, outcome = (
        method.require(book, market),
        scalar.assess(case.portfolio, case.quotes, case.rules),
    )
    ladder = method.ladder(book, market)[0]
    room = 1e-9 * max(1.0, float(result.gross[0]))
    assert np.allclose(ladder, [*outcome.pnls, outcome.basis], rtol=0.0, atol=room)
    if result.worst[0] != outcome.worst:  # only a tie may be broken differently
        assert abs(ladder[result.worst[0]] - outcome.span) <= room
    assert abs(result.mm[0] - (outcome.mtm - outcome.mm)) <= room
