"""Pyth's price service: which of its frames are updates, and what of them is nonsense."""

from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import ConfigError, MalformedReply
from keeper.domain.events import PayloadReceived
from keeper.oracle import hermes
from keeper.oracle.settings import OracleSettings
from tests.unit.market.pyth_bytes import BTC, ETH, NOW, frame, packed, price
from tests.unit.oracle.test_mapping import ANYTHING


PYTH = "0x" + "F3" * 20
UPDATES: dict[str, Any] = {
    "name": "hermes",
    "kind": "pyth_updates",
    "feed": PYTH,
    "stream_url": "https://hermes.example/v2/updates/price/stream",
    "update_age_s_max": 60,
}
STORED: dict[str, Any] = {
    "name": "p",
    "kind": "pyth",
    "feed": PYTH,
    "price_id": ETH,
    "underlying": "ETH",
}
BOTH = (price(2_000, NOW), price(60_000, NOW - 3, about=BTC))
ONE = packed(*BOTH)


def updates(document: Any, **changes: Any) -> list[PayloadReceived]:
    return list(hermes.updates(OracleSettings(**{**UPDATES, **changes}), document).values())


def changed(place: str, value: Any) -> Any:
    """A good frame with one place of it changed."""
    document: Any = deepcopy(frame([ONE], BOTH))
    *path, last = [int(each) if each.isdigit() else each for each in place.split(".")]
    inner = document
    for part in path:
        inner = inner[part]
    inner[last] = value
    return document


def test_an_update_counts_from_its_oldest_price_on_for_as_long_as_readers_take_it() -> None:
    (found,) = updates(frame([ONE], BOTH))
    assert found == PayloadReceived("hermes", PYTH.lower(), "0x" + ONE.hex(), NOW - 3, NOW - 3 + 60)


def test_each_bytes_of_a_frame_is_an_update_and_what_it_is_of_tells_it_from_others() -> None:
    settings = OracleSettings(**UPDATES)
    first = hermes.updates(settings, frame([ONE, b"\1"], BOTH))
    later = hermes.updates(settings, frame([ONE, b"\2"], BOTH))
    other = hermes.updates(settings, frame([ONE], BOTH[:1]))
    assert len(first) == 2
    assert list(first) == list(later)
    assert not set(first) & set(other)


def test_a_relay_may_wrap_the_frame() -> None:
    assert len(updates({"data": frame([ONE], BOTH)}, items_path="data")) == 1
    assert updates(frame([ONE], BOTH), items_path="data") == []


@pytest.mark.parametrize("document", [{}, [], 5, None, {"type": "response"}, {"binary": {}}])
def test_a_frame_without_updates_is_about_something_else(document: Any) -> None:
    assert updates(document) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("binary.encoding", "base64"),
        ("binary.data", []),
        ("binary.data", "00"),
        ("binary.data", ["00"] * 2_000),
        ("binary.data.0", "0"),
        ("binary.data.0", "zz"),
        ("binary.data.0", ""),
        ("binary.data.0", 5),
        ("parsed", []),
        ("parsed", None),
        ("parsed", frame([ONE], BOTH * 600)["parsed"]),
        ("parsed.0.id", "e1"),
        ("parsed.1.id", None),
        ("parsed.0.price.publish_time", 0),
        ("parsed.0.price.publish_time", True),
        ("parsed.1.price.publish_time", 1.5),
        ("parsed.1.price.publish_time", 2**63),
        ("parsed.1.price", []),
    ],
)
def test_an_update_that_lacks_something_is_malformed_and_never_a_guess(
    place: str, value: Any
) -> None:
    assert len(updates(frame([ONE], BOTH))) == 1
    with pytest.raises(MalformedReply):
        updates(changed(place, value))


@given(ANYTHING, st.sampled_from(["binary.data", "binary", "parsed", "parsed.0", "parsed.0.price"]))
def test_whatever_a_source_says_it_is_classified(document: Any, place: str) -> None:
    for said in (document, changed(place, document)):
        with suppress(MalformedReply):
            assert all(each.source == "hermes" for each in updates(said))


@pytest.mark.parametrize(
    "fields",
    [
        {**STORED, "price_id": "0x12"},
        {**STORED, "price_id": ""},
        {**STORED, "feed": None},
        {**STORED, "underlying": ""},
        {**UPDATES, "feed": "0x1"},
        {**UPDATES, "stream_url": None},
        {**UPDATES, "poll_url": "https://x"},
        {**UPDATES, "stream_url": "http://away.example", "token_file": "t"},
        {**UPDATES, "stream_url": None, "poll_url": "http://away.example", "token_file": "t"},
        {**UPDATES, "kind": "signed"},
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any]) -> None:
    OracleSettings(**STORED)
    OracleSettings(**UPDATES, token_file="t")
    with pytest.raises(ConfigError):
        OracleSettings(**fields)


def test_a_token_may_go_to_this_host_in_plain_text() -> None:
    assert OracleSettings(**{**UPDATES, "stream_url": "http://127.0.0.1:1/"}, token_file="t")
    assert OracleSettings(**{**UPDATES, "stream_url": "wss://away.example"}, token_file="t")


def test_one_spelling_of_a_contract_and_an_id_holds() -> None:
    found = OracleSettings(**{**STORED, "price_id": "0x" + "E1" * 32})
    assert (found.feed, found.price_id) == (PYTH.lower(), ETH)
