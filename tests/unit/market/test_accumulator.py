"""Bytes that are updates of Pyth's contracts, and bytes that only look like it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.market import pyth
from keeper.market.accumulator import proved
from tests.unit.market.pyth_bytes import BTC, ETH, packed, price


WHOLE = packed(price(), price(60_000, about=BTC))

# One price of Mainnet, as its publisher put it on the page; signatures and branch are left out.
MESSAGE = (
    "005500e786153cc54abd4b0e53b4c246d54d9f8eb3f3b5a34d4fc5a2e9a423b0ba5d6b000000008398612a00000000"
    "0d28d684fffffff80000000067cba6c80000000067cba6c8000000008394d7f6000000000d287bff00"
)


def test_a_message_of_mainnet_reads_as_its_publisher_says() -> None:
    (found,) = proved(b"PNAU\1\0\0\0" + bytes(2) + b"\1" + bytes.fromhex(MESSAGE))
    feed = "0xe786153cc54abd4b0e53b4c246d54d9f8eb3f3b5a34d4fc5a2e9a423b0ba5d6b"
    assert found == (feed, 2_207_801_642, 220_780_164, -8, 1_741_399_752)


def test_every_price_of_an_update_is_read_in_order() -> None:
    assert pyth.prices(WHOLE) == (price(), price(60_000, about=BTC))
    assert [each.price_id for each in proved(WHOLE)] == [ETH, BTC]


def test_a_longer_header_or_message_of_a_later_version_is_read_too() -> None:
    later = packed(price(), more=b"\7" * 8, head=b"abc")
    assert pyth.prices(later[:5] + b"\x0a" + later[6:]) == (price(),)


@pytest.mark.parametrize(
    ("at", "byte"),
    [(0, 0x51), (4, 2), (7, 1)],
    ids=["magic", "major version", "kind of update"],
)
def test_what_is_of_another_kind_says_nothing(at: int, byte: int) -> None:
    changed = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    assert pyth.prices(WHOLE) != ()
    assert pyth.prices(changed) == ()


def test_a_message_that_is_no_price_is_passed_over() -> None:
    whole = packed(price(), price(60_000, about=BTC))
    at = whole.index(bytes.fromhex(ETH[2:])) - 1
    assert pyth.prices(whole[:at] + b"\1" + whole[at + 1 :]) == (price(60_000, about=BTC),)


@given(st.integers(0, len(WHOLE) - 1))
def test_an_update_that_is_cut_off_anywhere_says_nothing(at: int) -> None:
    assert pyth.prices(WHOLE[:at]) == ()


def test_bytes_behind_the_last_branch_make_it_no_update() -> None:
    assert pyth.prices(WHOLE + b"\0") == ()


@pytest.mark.parametrize("change", [{"exponent": -33}, {"exponent": 33}, {"published_s": -1}])
def test_one_price_out_of_range_spoils_the_update_it_is_in(change: dict[str, int]) -> None:
    update = packed(price(), price()._replace(**change))
    assert len(proved(update)) == 2, "it is in order as bytes"
    assert pyth.prices(update) == ()


@given(st.binary(max_size=400))
def test_whatever_bytes_are_they_read_as_prices_or_as_nothing(junk: bytes) -> None:
    for data in (junk, b"PNAU\1\0\0\0" + junk, b"PNAU\1\0" + junk):
        assert all(len(each.feed) == 66 for each in pyth.prices(data))


def test_a_count_that_promises_more_than_there_is_says_nothing() -> None:
    many = b"PNAU\1\0\0\0" + struct.pack(">H", 0) + b"\xff"
    assert proved(many) == ()
