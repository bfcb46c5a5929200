"""Derive's standard manager and first portfolio manager on numbers one can check by hand."""

import numpy as np
import pytest

from keeper.margin.methods.pmrm1 import Pmrm1, mainnet
from keeper.margin.methods.srm import Srm, SrmRules
from keeper.margin.pricing import black76
from tests.unit.margin import sample
from tests.unit.margin.sample import BASE, CALL, FAR_CALL, FUTURE, PERP, PUT


MARKET = sample.market()
SRM = Srm((SrmRules(), SrmRules()))


def mark(row: int) -> float:
    date = int(MARKET.listing.expiry[row])
    return float(
        black76(
            MARKET.forward_variable[date : date + 1],
            MARKET.listing.strike[row : row + 1],
            MARKET.seconds[date : date + 1],
            MARKET.vol[row : row + 1],
            np.ones(1),
            np.array([row != PUT]),
        )[0]
    )


def standard(legs: dict[int, float], **changes: object) -> tuple[float, float]:
    result = SRM.require(sample.book(legs), sample.market(**changes))
    assert result.defined.all()
    return float(result.excess[0]), float(result.excess_initial[0])


def test_a_perpetual_needs_its_share_of_the_price() -> None:
    assert standard({PERP: -2.0}) == pytest.approx((-0.065 * 200.4, -0.1 * 200.4))


def test_a_base_counts_by_its_factors() -> None:
    assert standard({BASE: 2.0}) == pytest.approx((160.0, 150.0))


def test_a_short_call_is_margined_on_its_own() -> None:
    worth = -mark(CALL)
    assert standard({CALL: -1.0}) == pytest.approx((worth - 9.0, worth - 15.0))


def test_a_short_put_has_its_own_floor() -> None:
    worth = -mark(PUT)
    mm = worth + min(-9.0, 0.09 * worth)
    im = min(worth - 13.0, 1.05 * mm)
    assert standard({PUT: -1.0}) == pytest.approx((mm, im))


def test_a_spread_needs_no_more_than_it_can_lose() -> None:
    excess, initial = standard({CALL: 1.0, PUT: 1.0})
    assert (excess, initial) == (0.0, 0.0)
    market = sample.market(
        listing=MARKET.listing.__class__(
            MARKET.listing.kind,
            MARKET.listing.underlying,
            np.array([0, 0, 0, -1, 1, -1, -1], np.int32),
            MARKET.listing.strike,
        )
    )
    result = SRM.require(sample.book({CALL: -1.0, FAR_CALL: 1.0}), market)
    worth = -mark(CALL)
    assert result.excess[0] == pytest.approx(max(worth - 9.0, -20.0))


def test_calls_left_unpaired_are_charged_on_the_forward() -> None:
    strikes = np.array([80.0, 90.0, 85.0, 0.0, 0.0, 0.0, 0.0])
    listing = MARKET.listing.__class__(
        MARKET.listing.kind,
        MARKET.listing.underlying,
        np.array([0, 0, 0, -1, 1, -1, -1], np.int32),
        strikes,
    )
    result = SRM.require(sample.book({CALL: -10.0, FAR_CALL: 9.0}), sample.market(listing=listing))
    assert result.excess[0] == pytest.approx(-10.0 * 5.0 - 1.1 * 100.5)
    assert result.excess_initial[0] == pytest.approx(-10.0 * 5.0 - 1.2 * 100.5)


def test_doubt_and_a_depeg_add_to_initial_margin_only() -> None:
    sure = standard({PERP: 1.0})
    weak = standard({PERP: 1.0}, perp_confidence=np.array([0.4, 1.0]))
    pegged = standard({PERP: 1.0}, stable=0.94)
    assert weak == pytest.approx((sure[0], sure[1] - 0.6 * 100.0))
    assert pegged == pytest.approx((sure[0], sure[1] - 0.05 * 2.0 * 100.0))


def test_the_standard_manager_takes_no_futures() -> None:
    assert not SRM.require(sample.book({FUTURE: 1.0}), MARKET).defined[0]


def test_pmrm1_of_a_perpetual_and_its_base() -> None:
    method = Pmrm1(mainnet())
    result = method.require(sample.book({PERP: -1.0, BASE: 1.0}, {PERP: 1.0}), MARKET)
    assert result.mm[0] == pytest.approx(0.2 * 0.2 + 0.06 * 100.0)
    assert result.mm[1] == pytest.approx(20.04 + 3.0)
    assert result.im[1] == pytest.approx((20.04 + 3.0) * 1.25)
    assert result.worst.tolist() == [0, 22]
    book = sample.book({PERP: -1.0, BASE: 1.0, CALL: -2.0}, {PUT: -1.0})
    whole = method.require(book, MARKET)
    assert method.under_scenario(book, MARKET, whole.worst) == pytest.approx(whole.excess)
    ladder = method.ladder(book, MARKET)
    assert ladder.min(axis=1) == pytest.approx(ladder[np.arange(2), whole.worst])


def test_pmrm1_refuses_another_coin() -> None:
    assert not Pmrm1(mainnet()).require(sample.book({sample.OTHER_PERP: 1.0}), MARKET).defined[0]
