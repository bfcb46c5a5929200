"""A user's method in TOML: the same Form as one built in Python, every slip named."""

import pytest

from keeper.margin.addons import Charges
from keeper.margin.errors import MarginInputError, UnknownName
from keeper.margin.form import Form, Haircut
from keeper.margin.lp import Range
from keeper.margin.methods.custom import from_toml
from keeper.margin.shocks import Shock, VolRule
from keeper.margin.tree import Offsets, Reduction


WHOLE = """
name = "house"
im_factor = 1.25
inverse = true
[grid]
spot = [-0.1, 0.1]
vol = [0.4, -0.2]
[[shocks]]
spot = -0.5
weight = 0.3
[vol]
additive = true
short_power = 0.3
[offsets]
underlying = 0.5
groups = [0, 1]
correlation = [[1.0, 0.5], [0.5, 1.0]]
[reduction]
blend = 0.5
[charges]
naked_short = 0.01
[[haircuts]]
mm = 0.1
stressed = true
[[ranges]]
lower = 80
upper = 120
"""


def test_a_whole_file_is_the_form_it_describes() -> None:
    shocks = tuple(Shock(spot=s, vol=v) for s in (-0.1, 0.1) for v in (0.4, -0.2))
    assert from_toml(WHOLE) == Form(
        "house",
        (*shocks, Shock(spot=-0.5, weight=0.3)),
        VolRule(additive=True, short_power=0.3),
        Offsets(underlying=0.5, groups=(0, 1), correlation=((1.0, 0.5), (0.5, 1.0))),
        Reduction(blend=0.5),
        Charges(naked_short=0.01),
        (Haircut(mm=0.1, stressed=True),),
        (Range(80.0, 120.0),),
        inverse=True,
        im_factor=1.25,
    )


@pytest.mark.parametrize(
    ("text", "field", "cure"),
    [
        ("name = 'x'", "shocks", "grid"),
        ("[grid]\nspot = [0.1]", "name", "name"),
        ("name = 'x'\n[gird]\nspot = [0.1]", "gird", "did you mean grid"),
        ("name = 'x'\n[grid]\nspots = [0.1]", "grid.spots", "did you mean spot"),
        ("name = 'x'\n[grid]\nspot = [nan]", "grid.spot", "finite"),
        ("name = 'x'\n[grid]\nspot = ['a']", "grid.spot", "number"),
        ("name = 'x'\n[grid]\nspot = 0.1", "grid.spot", "list"),
        ("name = 'x'\ngrid = 1", "grid", "table"),
        ("name = 'x'\n[[shocks]]\nspot = -1.5", "shock.spot", "above -1"),
        ("name = 'x'\nshocks = 3", "shocks", "[[shocks]]"),
        ("name = 'x'\n[[shocks]]\nspot = 0.1\n[charges]\nfee = -1", "charges.fee", "zero or more"),
        ("name = 'x'\n[[shocks]]\nspot = 0.1\n[charges]\nfees = 1", "charges.fees", "fee"),
        ("name = 'x'\n[[shocks]]\nspot = 0.1\n[offsets]\nunderlying = 2", "offsets", "0 to 1"),
        ("name = 'x'\n[[shocks]]\nspot = 0.1\n[offsets]\ngroups = [0.5]", "offsets", "whole"),
        ("name = 'x'\n[[shocks]]\nspot = 0.1\n[vol]\nadditive = 1", "vol.additive", "true"),
        ("name = 'x'\n[[shocks]]\nspot = 0.1\n[[ranges]]\nlower = 1", "ranges[0]", "every key"),
        ("name = 'x'\nmm_factor = true\n[[shocks]]\nspot = 0.1", "mm_factor", "number"),
        ("name = ", "method file", "valid TOML"),
    ],
)
def test_a_slip_is_named_with_its_cure(text: str, field: str, cure: str) -> None:
    with pytest.raises(MarginInputError) as caught:
        from_toml(text)
    assert field in caught.value.field
    assert cure in caught.value.cure


def test_an_unknown_key_is_its_own_class() -> None:
    with pytest.raises(UnknownName):
        from_toml("nome = 'x'")
