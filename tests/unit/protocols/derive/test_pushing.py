"""Feeds brought up to date by themselves: which data, in which order, how many, and how refused."""

from typing import Any

import pytest
from eth_abi.abi import decode

from keeper.market.payloads import PayloadRule
from keeper.protocols.derive.actions.calls import SUBMIT_DATA
from keeper.protocols.derive.signed.ahead import PAYLOAD_GAS
from keeper.protocols.derive.signed.pushing import BYTES_MAX, PAYLOADS_MAX, PUSH_GAS
from keeper.venue import Push, PushRefused
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import NOW, SOON, WAD, Deployment
from tests.unit.protocols.derive.test_payloads import FIT, NUMBERS, SMILE, Data, received, spot


SUBMITTER = on.at(301)
THEN = NOW + 10  # the block; what is published between is newer than the feeds
NEW = NOW + 5
DIFFERENCE = ("int96", "uint64")
AMPLE = 10**9


def standing(**changes: Any) -> Deployment:
    """A venue on quotes of `NOW`, with neither executor nor helper: what is pushed needs none."""
    fields: dict[str, Any] = {"data_submitter": SUBMITTER, "auction_utils": None}
    rule = PayloadRule(margin_s=0, kept_max=200)
    return Deployment(**{"payloads": rule, **fields, **changes})


def heard(made: Deployment, *data: tuple[str, Data]) -> None:
    for feed, each in data:
        made.venue.hear(received(each, feed))


def pushed(made: Deployment, gas_max: int = AMPLE, at: int = THEN) -> Push:
    made.venue.accrue(at)
    push = made.venue.push(gas_max)
    assert push is not None
    return push


def brought(push: Push) -> list[tuple[str, bytes]]:
    """What the call posts, in order: (feed, data)."""
    assert push.encoded is not None
    call = push.encoded.call
    assert (call.to, call.value_wei, push.encoded.sender) == (SUBMITTER, 0, None)
    assert call.data[2:10] == SUBMIT_DATA
    (packed,) = decode(["bytes"], bytes.fromhex(call.data[10:]))
    (items,) = decode(["(address,bytes)[]"], packed)
    return list(items)


def rate(expiry: int) -> Data:
    return Data(("uint64", "int96", "uint64"), (expiry, 7, WAD), at=NEW)


def test_every_feed_that_holds_older_data_is_brought_the_newest_spots_first() -> None:
    made = standing()
    smile, forward = Data(SMILE, FIT, at=NEW), Data(NUMBERS, (SOON, 8, 9, -5, WAD), at=NEW)
    diff, newest = Data(DIFFERENCE, (-5, WAD), at=NEW), spot(1_850.0, NEW + 1)
    heard(made, (on.VOL_FEED, smile), (on.FORWARD_FEED, forward), (on.PERP_FEED, diff))
    heard(made, (on.SPOT_FEED, spot(1_900.0, NEW)), (on.SPOT_FEED, newest))
    push = pushed(made)
    assert brought(push) == [
        (on.SPOT_FEED, newest.packed),
        (on.PERP_FEED, diff.packed),
        (on.FORWARD_FEED, forward.packed),
        (on.VOL_FEED, smile.packed),
    ]
    assert (push.payloads, push.left) == (4, 0)
    assert push.encoded is not None
    assert push.encoded.gas == PUSH_GAS + 4 * PAYLOAD_GAS


@pytest.mark.parametrize(
    "data",
    [
        spot(1_850.0, NOW),  # as old as what the feed holds
        spot(1_850.0, NOW - 1),
        spot(1_850.0, THEN + 1),  # not published yet at the block
        spot(1_850.0, NEW, deadline=THEN - 1),
    ],
)
def test_data_that_would_change_no_feed_are_not_pushed(data: Data) -> None:
    made = standing()
    heard(made, (on.SPOT_FEED, data))
    assert pushed(made) == Push(None, 0, 0)


def test_what_a_feed_took_is_not_pushed_again() -> None:
    made = standing()
    heard(made, (on.SPOT_FEED, spot(1_850.0, NEW)), (on.STABLE_FEED, spot(1.0, NEW)))
    assert len(brought(pushed(made))) == 2
    row = made.tables.spots[on.SPOT_FEED]
    made.tables.spots.set(on.SPOT_FEED, row._replace(timestamp=NEW))
    assert [feed for feed, _ in brought(pushed(made))] == [on.STABLE_FEED]


def test_without_a_submitter_no_feeds_are_pushed() -> None:
    made = standing(data_submitter=None)
    heard(made, (on.SPOT_FEED, spot(1_850.0, NEW)))
    made.venue.accrue(THEN)
    assert made.venue.push(AMPLE) is None


@pytest.mark.parametrize(
    ("gas_max", "count"),
    [
        (0, 0),
        (PUSH_GAS + PAYLOAD_GAS - 1, 0),
        (PUSH_GAS + PAYLOAD_GAS, 1),
        (PUSH_GAS + 3 * PAYLOAD_GAS - 1, 2),
    ],
)
def test_no_more_is_pushed_than_there_is_gas_for(gas_max: int, count: int) -> None:
    made = standing()
    feeds = (on.SPOT_FEED, on.STABLE_FEED, on.COIN_FEED)
    heard(made, *((feed, spot(1.0, NEW)) for feed in feeds))
    push = pushed(made, gas_max)
    assert (push.payloads, push.left) == (count, 3 - count)
    assert (push.encoded is None) == (count == 0)
    assert push.encoded is None or push.encoded.gas <= gas_max


def test_a_push_is_bounded_in_number_and_bytes_and_says_what_is_left() -> None:
    made = standing()
    heard(made, *((on.RATE_FEED, rate(SOON + 60 * each)) for each in range(PAYLOADS_MAX + 6)))
    push = pushed(made)
    assert (push.payloads, push.left) == (PAYLOADS_MAX, 6)
    assert push.encoded is not None
    assert len(push.encoded.call.data) // 2 < 131_072


def test_a_push_is_bounded_in_bytes() -> None:
    made = standing()
    padding = bytes(32 * 400)  # after the signatures: a feed does not look at it
    for each in range(10):
        data = rate(SOON + 60 * each)
        payload = "0x" + (data.packed + padding).hex()
        made.venue.hear(received(data, on.RATE_FEED, payload=payload))
    push = pushed(made)
    assert sum(len(data) for _, data in brought(push)) <= BYTES_MAX
    assert push.payloads + push.left == 10
    assert push.left > 0


def test_one_bad_payload_sinks_a_push_so_fewer_are_tried_until_it_stands_alone() -> None:
    made = standing()
    heard(made, *((on.RATE_FEED, rate(SOON + 60 * each)) for each in range(5)))
    tried = []
    for _ in range(4):
        tried.append(pushed(made).payloads)
        made.venue.hear(PushRefused("BLF_InvalidSigner"))
    assert tried == [5, 2, 1, 4]
    first = rate(SOON).packed
    assert first not in [data for _, data in brought(pushed(made))]
    heard(made, (on.RATE_FEED, rate(SOON)))
    assert first not in [data for _, data in brought(pushed(made))], "not taken from anybody again"


def test_what_was_refused_for_another_reason_is_tried_again_as_it_was() -> None:
    made = standing()
    heard(made, (on.SPOT_FEED, spot(1_850.0, NEW)))
    before = pushed(made)
    made.venue.hear(PushRefused("no_answer"))
    assert pushed(made) == before
