"""The codec: one value, one form, nothing lost, nothing unknown let in."""

import json
import math
from dataclasses import replace
from hashlib import sha256
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain import codec
from keeper.domain.effects import Assessment, Call, Command, Effects, Notice, Scalar
from keeper.domain.errors import MalformedRecord
from keeper.domain.events import BlockSealed, Entry, Event, Log, Ticked


BIG = st.integers(min_value=-(2**256), max_value=2**256)
LOGS = st.builds(
    Log,
    address=st.text(),
    topics=st.lists(st.text()).map(tuple),
    data=st.text(),
    log_index=st.integers(0, 2**32),
    transaction=st.text(),
)
SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.text(), BIG, st.floats(allow_nan=False), st.booleans(), st.none()
)
NOTICES = st.builds(Notice, fields=st.lists(st.tuples(st.text(), SCALARS), max_size=4).map(tuple))
ASSESSMENTS = st.builds(
    Assessment,
    shortfall_usd=st.floats(allow_nan=False),
    excess_min_usd=st.floats(allow_nan=False),
    quotes=st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
)
EFFECTS = st.builds(
    Effects,
    commands=st.lists(st.builds(Command), max_size=2).map(tuple),
    notices=st.lists(NOTICES, max_size=2).map(tuple),
    assessments=st.lists(ASSESSMENTS, max_size=2).map(tuple),
)
COMMAND = Command(
    id=7,
    venue="derive",
    account=12,
    kind="start_auction",
    call=Call("0x" + "ab" * 20, "0x1234"),
    gas=1_000_000,
    spend_max_wei=10**17,
    tip_budget_wei=10**15,
    deadline_block=101,
    rank=0,
    sender=None,
    decided_number=99,
    decided_hash="0x" + "cd" * 32,
)
ASSESSMENT = Assessment("derive", 99, 300, 1200, 2, 1, 3, 1, 12.5, -7.25, 2, 3, 3, (("ETH", "OK"),))
EFFECTS_ONE = Effects(
    (COMMAND,), (Notice("cooled", "info", (("account", 12), ("usd", 1.5))),), (ASSESSMENT,)
)


def events(kind: type) -> st.SearchStrategy[Event]:
    if kind is BlockSealed:
        return st.builds(BlockSealed, logs=st.lists(LOGS, max_size=3).map(tuple))
    return st.from_type(kind)


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_survives_the_journal_exactly(kind: type) -> None:
    @settings(max_examples=40, deadline=None)
    @given(event=events(kind), seq=st.integers(1, 2**63), at_ns=st.integers(0, 2**63))
    def holds(event: Event, seq: int, at_ns: int) -> None:
        entry = Entry(seq, at_ns, event)
        line = codec.canonical(codec.encode_entry(entry))

        again = codec.decode_entry(codec.parse(line, "test", 1))

        # NaN differs from itself, so the bytes are compared where a float may be one.
        assert codec.canonical(codec.encode_entry(again)) == line
        if not math.isnan(getattr(event, "price_usd", 0.0)):
            assert again == entry

    holds()


@settings(max_examples=100, deadline=None)
@given(effects=EFFECTS)
def test_effects_survive_exactly_with_integers_beyond_64_bits(effects: Effects) -> None:
    line = codec.canonical(codec.encode_effects(effects))

    assert codec.decode_effects(codec.parse(line, "test", 1)) == effects


def test_a_reader_with_double_numbers_loses_nothing() -> None:
    entry = Entry(1, 1_767_225_600_123_456_789, replace(block(), base_fee_wei=2**53))

    document = json.loads(codec.canonical(codec.encode_entry(entry)), parse_int=float)

    assert document["at_ns"] == "1767225600123456789"
    assert document["with"]["base_fee_wei"] == str(2**53)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"event": "BlockMined", "with": {}}, "unknown event 'BlockMined'"),
        ({"event": "Ticked", "with": {"at": 1}}, r"unknown fields \['at'\]"),
        (
            {"event": "ChainRewound", "with": {"chain_id": 1, "number": 2}},
            r"missing fields \['hash",
        ),
        ({"event": "PreflightPassed", "with": {"command_id": 1.0}}, "command_id: expected an int"),
        ({"event": "PreflightPassed", "with": {"command_id": True}}, "command_id: expected an int"),
        ({"event": "PreflightPassed", "with": {"command_id": "12"}}, "canonical form, was '12'"),
        ({"event": "PreflightPassed", "with": {"command_id": 2**53}}, "canonical form"),
        ({"event": "PreflightPassed", "with": {"command_id": "9" * 5000}}, "canonical form"),
        ({"event": "Ticked"}, r"missing fields \['with'\]"),
        ([], "expected an object, was list"),
    ],
)
def test_what_is_not_in_the_form_is_refused_by_name(document: object, problem: str) -> None:
    with pytest.raises(MalformedRecord, match=problem) as caught:
        codec.decode_event(document, "journal", 3)

    assert (caught.value.source, caught.value.line) == ("journal", 3)


def test_a_log_of_four_parts_is_refused() -> None:
    document = codec.encode_event(block())
    document["with"]["logs"] = [["0x", [], "0x", 1]]

    with pytest.raises(MalformedRecord, match="expected 5 parts of a log, was 4"):
        codec.decode_event(document)


def test_text_that_utf8_cannot_carry_is_refused_not_written() -> None:
    with pytest.raises(MalformedRecord, match="surrogates"):
        codec.canonical({"text": "\ud800"})


@pytest.mark.parametrize(
    "other",
    [
        replace(EFFECTS_ONE, commands=(replace(COMMAND, id=8),)),
        replace(EFFECTS_ONE, commands=(replace(COMMAND, spend_max_wei=10**17 + 1),)),
        replace(EFFECTS_ONE, commands=(replace(COMMAND, call=Call(COMMAND.call.to, "0x1235")),)),
        replace(EFFECTS_ONE, commands=()),
        replace(EFFECTS_ONE, notices=(Notice("cooled", "info", (("account", 13),)),)),
        replace(EFFECTS_ONE, assessments=(replace(ASSESSMENT, breaches=4),)),
        replace(EFFECTS_ONE, assessments=(replace(ASSESSMENT, quotes=(("ETH", "STALE"),)),)),
    ],
)
def test_the_digest_sees_every_integer_order_and_state(other: Effects) -> None:
    assert codec.digest(other) != codec.digest(EFFECTS_ONE)


def test_the_digest_is_blind_to_floats_which_stand_beside_it() -> None:
    other = replace(
        EFFECTS_ONE,
        notices=(Notice("cooled", "info", (("account", 12), ("usd", 1.75))),),
        assessments=(replace(ASSESSMENT, shortfall_usd=13.0),),
    )

    assert codec.digest(other) == codec.digest(EFFECTS_ONE)
    assert codec.floats(EFFECTS_ONE) == (12.5, -7.25, 1.5)
    assert codec.floats(other) == (13.0, -7.25, 1.75)


def test_the_digest_sees_the_order_of_commands() -> None:
    pair = (COMMAND, replace(COMMAND, id=8))

    assert codec.digest(Effects(pair)) != codec.digest(Effects(pair[::-1]))


def test_the_digest_of_nothing_is_fixed_by_the_journal_format() -> None:
    written = b'{"commands":[],"notices":[],"assessments":[]}'

    assert codec.digest(Effects()) == sha256(written).hexdigest()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0.1, -0.0])
def test_floats_beside_the_digest_survive_with_those_not_finite(value: float) -> None:
    line = codec.canonical(codec.encode_floats([value]))

    (again,) = codec.decode_floats(codec.parse(line, "test", 1), "test", 1)

    assert repr(again) == repr(value)


def test_a_ticked_entry_has_the_documented_form() -> None:
    line = codec.canonical(codec.encode_entry(Entry(1, 2, Ticked())))

    assert line == b'{"seq":1,"at_ns":2,"event":"Ticked","with":{}}'


def block() -> BlockSealed:
    return BlockSealed(
        1, 2, "0xa", "0xb", 3, 4, 5, True, 6, (Log("0xc", ("0xd",), "0x", 0, "0xe"),)
    )
