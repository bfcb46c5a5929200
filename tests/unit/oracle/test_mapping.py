"""Places in a source's JSON: what is found, what is about something else, what is nonsense."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import ConfigError, MalformedReply
from keeper.domain.events import OracleUpdated
from keeper.oracle import mapping
from keeper.oracle.settings import OracleSettings


NOW_MS = 1_700_000_000_000
STREAM: dict[str, Any] = {
    "name": "a",
    "kind": "stream",
    "underlying": "ETH",
    "stream_url": "ws://x",
    "price_path": "data.0.last",
}
SIGNED: dict[str, Any] = {"name": "s", "kind": "signed", "poll_url": "http://x"}
FEED = "0x" + "a1" * 20
ITEM = {"feed": FEED, "payload": "0xab", "timestamp": 10, "deadline": 20}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def price(document: Any, **changes: Any) -> list[OracleUpdated]:
    return mapping.price(OracleSettings(**{**STREAM, **changes}), document, NOW_MS)


@pytest.mark.parametrize(
    ("said", "usd"), [(2_000, 2_000.0), (0.5, 0.5), ("12.50", 12.5), ("7", 7.0)]
)
def test_a_price_is_a_number_or_text_that_is_exactly_one(said: Any, usd: float) -> None:
    (found,) = price({"data": [{"last": said}]})
    assert (found.price_usd, found.published_ms) == (usd, NOW_MS)


@pytest.mark.parametrize("frame", [{}, [], 5, {"data": {}}, {"data": []}, {"data": [5]}, None])
def test_a_frame_without_the_place_is_about_something_else(frame: Any) -> None:
    assert price(frame) == []


@pytest.mark.parametrize(
    "said",
    ["", "1e5", "0x10", "1,000", " 1", "+1", "nan", "-1", 0, -1, True, None, [], {}, "1" * 99],
)
def test_what_is_no_price_is_malformed_and_never_a_guess(said: Any) -> None:
    with pytest.raises(MalformedReply):
        price({"data": [{"last": said}]})


@pytest.mark.parametrize(
    ("unit", "said"), [("s", 1_700_000_000), ("ms", NOW_MS), ("us", NOW_MS * 1_000)]
)
def test_its_time_is_read_in_its_unit(unit: str, said: int) -> None:
    (found,) = price({"data": [{"last": 1}], "t": said}, time_path="t", time_unit=unit)
    assert found.published_ms == NOW_MS


@pytest.mark.parametrize("said", [None, "x", 0, -5, NOW_MS + 60_001, float("inf")])
def test_a_price_without_its_time_or_of_the_future_is_malformed(said: Any) -> None:
    with pytest.raises(MalformedReply):
        price({"data": [{"last": 1}], "t": said}, time_path="t")


@pytest.mark.parametrize(
    "change",
    [
        {"feed": "0x12"},
        {"feed": None},
        {"payload": "0xabc"},
        {"payload": "zz"},
        {"payload": 5},
        {"timestamp": None},
        {"deadline": 0},
        {"deadline": 1e30},
    ],
)
def test_signed_data_that_lack_something_are_malformed(change: dict[str, Any]) -> None:
    settings = OracleSettings(**SIGNED)
    assert len(mapping.payloads(settings, [ITEM, ITEM])) == 2
    with pytest.raises(MalformedReply):
        mapping.payloads(settings, [{**ITEM, **change}])


def test_more_items_than_the_limit_are_malformed() -> None:
    with pytest.raises(MalformedReply):
        mapping.payloads(OracleSettings(**SIGNED), [ITEM] * (mapping.ITEMS_MAX + 1))


@given(ANYTHING, st.text(alphabet="abd0.1", max_size=9))
def test_whatever_a_source_says_it_is_classified(document: Any, path: str) -> None:
    for read in (
        lambda: price(document, price_path=path or "p", time_path="t"),
        lambda: mapping.payloads(OracleSettings(**SIGNED, items_path=path), document),
    ):
        with suppress(MalformedReply):
            assert all(each.source in {"a", "s"} for each in read())


@given(st.binary(max_size=64))
def test_any_bytes_are_json_or_malformed(frame: bytes) -> None:
    with suppress(MalformedReply):
        mapping.parsed("a", frame)


def test_json_nested_without_end_is_malformed() -> None:
    with pytest.raises(MalformedReply):
        mapping.parsed("a", b"[" * 100_000)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Not A Word"},
        {"price_path": ""},
        {"underlying": ""},
        {"poll_url": "http://y"},
        {"stream_url": None},
        {"kind": "chainlink"},
        {"kind": "chainlink", "feed": "0x1"},
        {"backoff_first_ms": 50_000},
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        OracleSettings(**{**STREAM, **change})
