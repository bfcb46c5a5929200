"""The spend cap of a command leaves room for the base fee and never passes the limit."""

import pytest

from keeper.liquidation.limits import LimitParameters, spend_cap_wei


PARAMETERS = LimitParameters(
    spend_max_wei=1_000_000, tip_max_wei=2, base_fee_headroom_ppm=4_000_000
)


@pytest.mark.parametrize(
    ("gas", "value", "base_fee", "expected"),
    [
        (100, 0, 10, 100 * (40 + 2)),
        (100, 50, 10, 100 * (40 + 2) + 50),
        (10_000, 0, 90, 1_000_000),
        (10_000, 0, 99, None),
        (1, 2_000_000, 1, None),
    ],
)
def test_spend_cap(gas: int, value: int, base_fee: int, expected: int | None) -> None:
    assert spend_cap_wei(gas, value, base_fee, PARAMETERS) == expected
