"""What any configuration of the form must keep, on random books of the sample market."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.margin import answers
from keeper.margin.addons import Charges
from keeper.margin.form import Form
from keeper.margin.shocks import VolRule, grid
from keeper.margin.tree import Offsets
from tests.unit.margin import sample


MARKET = sample.market()
SHOCKS = grid((-0.3, -0.1, 0.0, 0.1, 0.3), (0.5, 0.0, -0.3))
share = st.sampled_from([0.0, 0.3, 1.0])
quantity = st.sampled_from([-3.0, -1.0, -0.25, 0.5, 1.0, 2.0])
legs = st.dictionaries(st.integers(0, 6), quantity, max_size=7)


@st.composite
def forms(draw: st.DrawFn) -> Form:
    offsets = Offsets(
        expiry=draw(share),
        underlying=draw(share),
        group=draw(share),
        groups=draw(st.sampled_from([(), (0, 1), (0, 0)])),
        gain_share=draw(share),
    )
    charges = Charges(naked_short=0.01, linear=0.005, delta_net=0.02, short_option=0.03)
    inverse = draw(st.booleans())
    return Form("any", SHOCKS, VolRule(short_power=0.3), offsets, charges=charges, inverse=inverse)


@given(forms(), st.lists(legs, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_requirement_is_a_finite_amount_of_zero_or_more(
    form: Form, accounts: list[dict[int, float]]
) -> None:
    result = form.require(sample.book(*accounts), MARKET)
    assert result.defined.all()
    assert (result.mm >= -1e-9).all()
    assert ((result.worst >= 0) & (result.worst <= form.scenarios)).all()


@given(forms(), legs, st.sampled_from([0.5, 3.0]))
@settings(max_examples=60, deadline=None)
def test_twice_the_book_needs_twice_as_much(form: Form, held: dict[int, float], by: float) -> None:
    scaled = {row: by * each for row, each in held.items()}
    mm = form.require(sample.book(held, scaled), MARKET).mm
    assert np.isclose(mm[1], by * mm[0], rtol=1e-9, atol=1e-9)


@given(forms(), legs)
@settings(max_examples=60, deadline=None)
def test_netting_never_asks_for_more_than_the_legs_alone(
    form: Form, held: dict[int, float]
) -> None:
    book = sample.book(held)
    assert form.require(book, MARKET).mm[0] <= answers.isolated(form, book, MARKET)[0] + 1e-9


@given(legs, share, share, share)
@settings(max_examples=60, deadline=None)
def test_a_larger_offset_never_asks_for_more(
    held: dict[int, float], expiry: float, underlying: float, group: float
) -> None:
    book = sample.book(held)
    some = Offsets(expiry=expiry, underlying=underlying, group=group, groups=(0, 1))
    partly = Form("some", SHOCKS, offsets=some).require(book, MARKET).mm[0]
    full = Form("full", SHOCKS).require(book, MARKET).mm[0]
    none = (
        Form("none", SHOCKS, offsets=Offsets(expiry=0.0, underlying=0.0, group=0.0))
        .require(book, MARKET)
        .mm[0]
    )
    assert full - 1e-9 <= partly <= none + 1e-9
