"""Signed feed data: what opens, what a feed would refuse, and the row it would then hold."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.events import PayloadReceived
from keeper.market.payloads import TOLD_MAX, PayloadRule
from keeper.protocols.derive.signed.ahead import SignedData
from keeper.protocols.derive.signed.payloads import opened
from keeper.protocols.derive.tables import (
    DIFF,
    FORWARD,
    RATE,
    SPOT,
    STATIC_SPOT,
    VOL,
    DiffRow,
    ForwardRow,
    RateRow,
    SpotRow,
    VolRow,
)
from keeper.protocols.derive.words import Unfit
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import NOW, SOON, WAD, Deployment, wad


FEED_DATA = "(bytes,uint256,uint64,address[],bytes[])"
SIGNED = (["0x" + "07" * 20], [b"\x01" * 65])
NUMBERS = ("uint64", "uint256", "uint256", "int96", "uint64")
SMILE = (
    "uint64",
    "int256",
    "uint256",
    "int256",
    "int256",
    "uint256",
    "uint256",
    "uint64",
    "uint64",
)
FIT = (SOON, 1, 2, -3, -4, 5, 6, 7, WAD)


@dataclass(frozen=True)
class Data:
    """One feed's data, signed by somebody; times in seconds."""

    types: tuple[str, ...]
    numbers: tuple[int, ...]
    at: int = NOW
    deadline: int = NOW + 60

    @property
    def packed(self) -> bytes:
        content = encode(self.types, self.numbers)
        return bytes(encode([FEED_DATA], [(content, self.deadline, self.at, *SIGNED)]))


def spot(usd: float = 1_900.0, at: int = NOW, deadline: int = NOW + 60, sure: int = WAD) -> Data:
    return Data(("uint96", "uint64"), (wad(usd), sure), at, deadline)


ROWS = {
    SPOT: (spot(), 0, SpotRow(wad(1_900.0), WAD, NOW)),
    DIFF: (Data(("int96", "uint64"), (-5, WAD)), 0, DiffRow(-5, WAD, NOW)),
    RATE: (
        Data(("uint64", "int96", "uint64"), (SOON, -7, WAD)),
        SOON,
        RateRow(-7, WAD, NOW),
    ),
    FORWARD: (Data(NUMBERS, (SOON, 8, 9, -5, WAD)), SOON, ForwardRow(-5, WAD, NOW, 0, 0)),
    VOL: (Data(SMILE, FIT), SOON, VolRow(1, 2, -3, -4, 5, 6, 7, WAD, NOW)),
}


@pytest.mark.parametrize("kind", ROWS)
def test_data_of_each_kind_open_to_the_row_the_feed_would_hold(kind: str) -> None:
    data, expiry, row = ROWS[kind]
    assert opened(kind, data.packed) == (expiry, row, NOW, NOW + 60)


def test_in_the_last_half_hour_a_forward_brings_its_aggregates() -> None:
    late = Data(NUMBERS, (SOON, 8, 9, -5, WAD), at=SOON - 60)
    assert opened(FORWARD, late.packed).row == ForwardRow(-5, WAD, SOON - 60, 8, 9)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (SPOT, spot(0.0)),
        (SPOT, spot(sure=WAD + 1)),
        (SPOT, spot(at=0)),
        (SPOT, ROWS[RATE][0]),
        (STATIC_SPOT, spot()),
        (FORWARD, Data(NUMBERS, (SOON, 9, 9, 0, WAD), at=SOON - 60)),
        (FORWARD, Data(NUMBERS, (SOON, 8, 9, 0, WAD), at=SOON + 1)),
        (VOL, Data(SMILE, FIT, at=SOON + 1)),
    ],
)
def test_what_the_feed_would_refuse_does_not_open(kind: str, data: Data) -> None:
    with pytest.raises(Unfit):
        opened(kind, data.packed)


@given(st.sampled_from(sorted(ROWS)), st.data())
def test_bytes_that_were_mangled_open_or_are_unfit(kind: str, chance: st.DataObject) -> None:
    data = bytearray(ROWS[kind][0].packed)
    for _ in range(chance.draw(st.integers(1, 4))):
        data[chance.draw(st.integers(0, len(data) - 1))] = chance.draw(st.integers(0, 255))
    cut = bytes(data[: chance.draw(st.integers(0, len(data)))])
    for mangled in (bytes(data), cut):
        with suppress(Unfit):
            assert opened(kind, mangled).published_s > 0


# ── held ──


def received(data: Data, feed: str = on.SPOT_FEED, **changes: Any) -> PayloadReceived:
    plain = PayloadReceived("page", feed, "0x" + data.packed.hex(), data.at, data.deadline)
    return replace(plain, **changes)


def holding(*events: PayloadReceived) -> tuple[Deployment, SignedData]:
    deployment = Deployment()
    held = SignedData(deployment.tables, PayloadRule(margin_s=10))
    for event in events:
        held.hear(event)
    return deployment, held


def test_only_data_newer_than_the_feeds_own_are_ahead() -> None:
    _, held = holding(received(spot(at=NOW)))
    assert not held.ahead(NOW + 5).rows
    _, held = holding(received(spot(at=NOW + 1)))
    assert not held.ahead(NOW).rows, "they are of a later second than this block"
    assert list(held.ahead(NOW + 1).rows) == [(on.SPOT_FEED, 0)]
    assert not held.ahead(NOW + 51).rows, "an action's block may be after their deadline"


def test_data_for_a_feed_that_is_not_ours_are_not_kept_and_not_told() -> None:
    _, held = holding(received(spot(at=NOW + 1), feed=on.at(999)))
    assert not held.ahead(NOW + 1).rows
    assert held.drain() == []


def test_data_that_do_not_open_are_told_once_a_feed() -> None:
    other = spot(at=NOW + 1)
    lies = received(other, timestamp=NOW + 2)
    _, held = holding(lies, lies, received(ROWS[RATE][0]), received(other, payload="0x12"))
    (told,) = held.drain()
    assert (told.kind, dict(told.fields)["feed"]) == ("payload_malformed", on.SPOT_FEED)
    assert not held.ahead(NOW + 1).rows
    for number in range(2 * TOLD_MAX):
        held.hear(received(other, payload="0x12", source=str(number)))
    assert len(held.drain()) == TOLD_MAX - 1


def test_what_the_chain_refused_is_ahead_no_more() -> None:
    _, held = holding(received(spot(at=NOW + 1)))
    bundle = held.ahead(NOW + 1).bundle([(on.SPOT_FEED, 0)])
    assert bundle.oldest_s == NOW + 1
    held.refuse([data for _, data in bundle.items])
    held.hear(received(spot(at=NOW + 1)))
    assert not held.ahead(NOW + 1).rows


def test_a_forward_keeps_the_aggregates_that_data_leave_out() -> None:
    deployment = Deployment()
    tables = deployment.tables
    tables.forwards.set((on.FORWARD_FEED, SOON), ForwardRow(0, WAD, NOW, 5, 6))
    held = SignedData(tables, PayloadRule(margin_s=10))
    later = Data(NUMBERS, (SOON, 0, 0, 3, WAD), NOW + 1)
    held.hear(received(later, on.FORWARD_FEED))
    row = held.ahead(NOW + 1).rows[on.FORWARD_FEED, SOON]
    assert row == ForwardRow(3, WAD, NOW + 1, 5, 6)
