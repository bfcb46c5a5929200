"""Changes for a what-if: written where margin reads them; what cannot be made names its cure."""

from __future__ import annotations

from typing import Any

import pytest

from keeper.domain.errors import ConfigError
from keeper.margin.book import Kind
from keeper.protocols.derive.margins.change import change
from keeper.protocols.derive.tables import CollateralRow, ScenarioRow
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.chain_views import margined
from tests.unit.protocols.derive.deployment import LATER, SOON, Deployment, wad


def deployed() -> Deployment:
    made = Deployment()
    made.tables.collaterals.set((on.LIB, on.COIN), CollateralRow(True, True, wad(0.1), wad(0.05)))
    made.account(1, 100.0)
    return made


@pytest.mark.parametrize(
    ("key", "value", "table", "field", "expected"),
    [
        ("ETH.margin.mm_factor", "0.9", "margin", "mm_factor", 9 * 10**17),
        ("ETH.basis.spot_up", 1.05, "basis", "spot_up", 105 * 10**16),
        ("ETH.other.mm_perp", "0.0300000000000000001", "other", "mm_perp", 3 * 10**16),
        ("ETH.skew.linear_c_base", "-0.1", "skew", "linear_c_base", -(10**17)),
        ("ETH.vol_shock.dte_floor_s", 3_600, "vol_shock", "dte_floor_s", 3_600),
    ],
)
def test_a_parameter_of_the_lib_is_written_digit_by_digit(
    key: str, value: object, table: str, field: str, expected: int
) -> None:
    made = deployed()
    if value == "0.0300000000000000001":
        with pytest.raises(ConfigError, match="at most 18 decimals"):
            change(made.tables, key, value)
        return
    (written,) = change(made.tables, key, value)
    assert getattr(getattr(made.tables, table)[on.LIB], field) == expected
    assert written.key == key


def test_what_stood_there_is_told_beside_what_stands_there_now() -> None:
    made = deployed()
    before = made.tables.margin[on.LIB].mm_factor / 10**18
    assert change(made.tables, "ETH.margin.mm_factor", "0.9") == [
        ("ETH.margin.mm_factor", before, 0.9)
    ]


def test_a_haircut_and_a_flag_of_a_collateral_are_written() -> None:
    made = deployed()
    change(made.tables, f"ETH.collateral.{on.COIN}.mm_haircut", "0.2")
    change(made.tables, f"ETH.collateral.{on.COIN}.enabled", False)
    assert made.tables.collaterals[on.LIB, on.COIN] == (False, True, wad(0.2), wad(0.05))


def test_the_list_of_scenarios_is_replaced_whole() -> None:
    made = deployed()
    change(made.tables, "ETH.scenarios", [["1.1", "up", 1], [1, "linear", "0.5"]])
    rows = [row for _, row in made.tables.scenarios.items()]
    assert rows == [ScenarioRow(wad(1.1), 1, wad(1.0)), ScenarioRow(wad(1.0), 3, wad(0.5))]


def test_a_limit_is_a_whole_number() -> None:
    made = deployed()
    change(made.tables, "ETH.limits.expiries_max", 3)
    assert made.tables.managers[on.MANAGER].expiries_max == 3


def test_a_shift_moves_spot_and_what_is_a_difference_to_it() -> None:
    made = deployed()
    before = margined(made)[0].book.market
    change(made.tables, "ETH.spot_shift", "-10%")
    change(made.tables, "ETH.stable_shift", -0.02)
    after = margined(made)[0].book.market
    assert made.tables.spots[on.SPOT_FEED].price == wad(1_800.0)
    assert after.stable == 0.98
    assert after.spot[0] - before.spot[0] == pytest.approx(-200.0)


def test_a_shift_of_volatility_moves_every_smile_by_its_share() -> None:
    made = deployed()
    made.account(2, 1.0, (Kind.CALL, SOON, 2_000.0, 1.0), (Kind.PUT, LATER, 1_900.0, 1.0))
    before = margined(made)[0].book.market.vol
    written = change(made.tables, "ETH.vol_shift", "+10%")
    after = margined(made)[0].book.market.vol
    assert len(written) == 2
    assert after == pytest.approx(before * 1.1, rel=1e-12)


@pytest.mark.parametrize(
    ("key", "value", "cure"),
    [
        ("BTC.margin.mm_factor", 1, "begin with an underlying of derive: ETH"),
        ("", 1, "begin with an underlying"),
        ("ETH.margins.mm_factor", 1, "after ETH. comes one of: basis, margin"),
        ("ETH.margin.mm_facto", 1, "margin has im_factor, mm_factor"),
        ("ETH.margin.mm_factor", "much", "give a number"),
        ("ETH.margin.mm_factor", True, "give a number"),
        ("ETH.margin.mm_factor", "NaN", "give a finite number"),
        ("ETH.margin.mm_factor", "1e30", "give a finite number"),
        ("ETH.vol_shock.dte_floor_s", 0.5, "give a whole number"),
        ("ETH.limits.size", 1, "limits are account_size_max, expiries_max"),
        ("ETH.collateral.0x12.mm_haircut", 1, f"name a collateral of this lib: {on.COIN}"),
        (f"ETH.collateral.{on.COIN}.haircut", 1, "a collateral has enabled"),
        (f"ETH.collateral.{on.COIN}.enabled", 1.5, "give true or false"),
        ("ETH.scenarios", [], "give 1 to 40 scenarios"),
        ("ETH.scenarios", [[1, "sideways", 1]], "is no vol shock; use one of: none, up"),
        ("ETH.scenarios", ["up"], "is no scenario"),
        ("ETH.spot_shift", "-100%", "a shift leaves something"),
    ],
)
def test_what_cannot_be_made_names_key_value_and_cure(key: str, value: Any, cure: str) -> None:
    made = deployed()
    before = made.portfolio.contents()
    with pytest.raises(ConfigError) as refused:
        change(made.tables, key, value)
    assert (refused.value.key, refused.value.value) == (key, value)
    assert cure in refused.value.cure
    assert made.portfolio.contents() == before
