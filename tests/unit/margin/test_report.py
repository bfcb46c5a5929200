"""The report is plain, complete and free of NaN; the list names every method once."""

import json

import pytest

from keeper.margin import report
from keeper.margin.errors import MarginInputError
from keeper.margin.interest import KinkedRate, accrued, funding_owed
from keeper.margin.methods import registry
from keeper.margin.portfolio import parse
from tests.unit.margin.test_portfolio_file import FILE


def test_a_report_is_plain_json_with_every_account() -> None:
    found = parse(json.dumps(FILE))
    text = json.dumps(
        report.report(report.method_of("derive-pmrm2", found), found), allow_nan=False
    )
    desk, empty = json.loads(text)["accounts"]
    assert desk["account"] == "desk"
    assert desk["requirement"]["excess"] == pytest.approx(
        desk["requirement"]["equity"] - desk["requirement"]["mm"]
    )
    assert [each["instrument"] for each in desk["legs"]] == ["C60", "PERP"]
    assert desk["greeks"]["BTC"]["gamma"] < 0.0
    assert empty["requirement"]["mm"] == 0.0
    assert empty["distance"]["spot_up"] is None


def test_a_method_of_ones_own_takes_the_name_s_place() -> None:
    found = parse(json.dumps(FILE))
    own = report.method_of("anything", found, "name = 'own'\n[grid]\nspot = [-0.1, 0.1]")
    assert report.report(own, found)["method"] == "own"
    with pytest.raises(MarginInputError, match="method"):
        report.method_of("anything", found)


def test_the_list_names_every_method_with_its_exactness() -> None:
    rows = report.methods()
    assert [row["name"] for row in rows] == list(registry.names())
    assert {row["exactness"] for row in rows} == {"exact", "outline"}
    assert all(row["source"] for row in rows)


def test_interest_and_funding_grow_with_time() -> None:
    rate = KinkedRate()
    assert rate.at(0.5) == pytest.approx(0.06)
    assert rate.at(0.95) == pytest.approx(0.02 + 0.08 * 0.85 + 0.9 * 0.1)
    assert accrued(-100.0, 0.1, 31_536_000.0) == pytest.approx(-110.5170918)
    assert funding_owed(2.0, 100.0, 0.0001, 7_200.0) == pytest.approx(0.04)
    with pytest.raises(MarginInputError, match="utilization"):
        rate.at(1.5)
