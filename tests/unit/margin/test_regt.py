"""Reg T: how legs are matched beyond the published single strategies."""

from dataclasses import replace

import pytest

from keeper.margin.errors import MarginInputError
from keeper.margin.methods.regt import (
    OptionLeg,
    SharesLeg,
    Underlying,
    defined_risk,
    require,
    single,
)


STOCK = Underlying(100.0)
CALL = OptionLeg(True, 105.0, 30.0, 2.0, -1.0)
PUT = OptionLeg(False, 95.0, 30.0, 1.5, -1.0)


def lots(leg: OptionLeg, quantity: float) -> OptionLeg:
    return replace(leg, quantity=quantity)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_a_strangle_scales_with_its_lots(count: int) -> None:
    one = require((CALL, PUT), None, STOCK)
    many = require((lots(CALL, -count), lots(PUT, -count)), None, STOCK)
    assert many.margin == pytest.approx(count * one.margin)
    assert many.cash == pytest.approx(count * one.cash)
    assert one.margin == pytest.approx(single(CALL, STOCK).margin + PUT.premium)


def test_the_shorts_left_over_from_a_strangle_stand_alone() -> None:
    uneven = require((CALL, lots(PUT, -3)), None, STOCK)
    expected = require((CALL, PUT), None, STOCK).margin + 2 * single(PUT, STOCK).margin
    assert uneven.margin == pytest.approx(expected)


def test_a_ratio_spread_pairs_what_it_can_and_the_rest_is_naked() -> None:
    long = OptionLeg(True, 100.0, 30.0, 4.0, 1.0)
    found = require((long, lots(CALL, -2)), None, STOCK)
    expected = defined_risk((long, CALL)) + single(CALL, STOCK).margin
    assert found.margin == pytest.approx(expected)


def test_shares_cover_whole_lots_only() -> None:
    shares = SharesLeg(150.0, 100.0)
    covered = require((CALL,), shares, STOCK)
    assert covered.margin == pytest.approx(7_500.0)
    half = require((lots(CALL, -2),), shares, STOCK)
    assert half.margin == pytest.approx(7_500.0 + 0.5 * single(CALL, STOCK).margin)


def test_a_long_that_dies_first_covers_nothing() -> None:
    early = OptionLeg(True, 100.0, 10.0, 3.0, 1.0)
    found = require((early, CALL), None, STOCK)
    assert found.margin == pytest.approx(early.premium + single(CALL, STOCK).margin)


def test_a_loss_without_bound_is_no_defined_risk() -> None:
    with pytest.raises(MarginInputError, match="legs"):
        defined_risk((CALL,))


def test_nothing_needs_nothing() -> None:
    assert require((), None, STOCK).margin == 0.0
    assert require((lots(CALL, 0.0),), SharesLeg(0.0, 1.0), STOCK).margin == 0.0
