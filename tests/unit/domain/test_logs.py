"""Logs held as columns are the logs: one by one, compared, filtered and in the journal."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain import codec
from keeper.domain.events import BlockSealed, Entry, Log
from keeper.domain.logs import Logs, columns_of
from tests.unit.domain.columnar import columnar


def hex_of(size: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=size, max_size=size).map(lambda raw: "0x" + raw.hex())


WORDS = st.sampled_from(["0x" + "01" * 32, "0x" + "ab" * 32, "0x" + "00" * 32]) | hex_of(32)
ADDRESSES = st.sampled_from(["0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20])
LOGS = st.builds(
    Log,
    address=ADDRESSES,
    topics=st.lists(WORDS, max_size=4).map(tuple),
    data=st.sampled_from([0, 1, 32, 32, 33, 128]).flatmap(hex_of),
    log_index=st.integers(0, 99) | st.integers(0, 2**48),
    transaction=WORDS,
)
MANY = st.lists(LOGS, max_size=12).map(tuple)


@settings(max_examples=200, deadline=None)
@given(logs=MANY)
def test_columns_are_the_logs_they_hold(logs: tuple[Log, ...]) -> None:
    held = columnar(logs)

    assert tuple(held) == logs
    assert held == logs
    assert logs == held
    assert len(held) == len(logs)
    assert held[1:-1] == logs[1:-1]
    assert held[::-1] == logs[::-1]
    assert [held[place] for place in range(-len(logs), len(logs))] == [*logs, *logs]
    assert held.heard() == {log.address for log in logs}
    assert held.ascend() == all(a.log_index < b.log_index for a, b in pairwise(logs))
    assert held != (*logs, Log("0x", (), "0x", 0, "0x"))
    assert held != [*logs]


@settings(max_examples=200, deadline=None)
@given(logs=MANY, some=st.sets(ADDRESSES))
def test_the_logs_of_some_addresses_are_what_a_filter_leaves(
    logs: tuple[Log, ...], some: set[str]
) -> None:
    ours = columnar(logs).of(some)

    assert isinstance(ours, Logs)
    assert ours == tuple(log for log in logs if log.address in some)
    assert ours.heard() == {log.address for log in logs} & some


@settings(max_examples=300, deadline=None)
@given(logs=MANY, some=st.none() | st.sets(ADDRESSES))
def test_the_journal_says_of_columns_what_it_says_of_logs(
    logs: tuple[Log, ...], some: set[str] | None
) -> None:
    held = columnar(logs)
    if some is not None:
        held, logs = held.of(some), tuple(log for log in logs if log.address in some)
    block = BlockSealed(1, 2, "0x01", "0x00", 3, 4, 5, True, 6, held)

    line = codec.canonical(codec.encode_entry(Entry(1, 2, block)))

    assert line == codec.canonical(codec.encode_entry(Entry(1, 2, replace(block, logs=logs))))
    assert codec.decode_entry(codec.parse(line, "test", 1)) == Entry(1, 2, block)


def test_a_place_beyond_the_logs_is_refused() -> None:
    held = columnar([Log("0x" + "aa" * 20, (), "0x", 0, "0x" + "00" * 32)])
    for place in (1, -2):
        with pytest.raises(IndexError):
            held[place]


@pytest.mark.parametrize(
    "data", ["", "00", "0x0", "0xzz", "0x  ", "0x0x00", "0X00", "0x\u0661\u0661"]
)
def test_data_that_are_no_bytes_have_no_columns(data: str) -> None:
    sound = Log("0x" + "aa" * 20, (), "0x00", 0, "0x" + "00" * 32)
    assert columns_of([sound]).data == b"\0"
    with pytest.raises(ValueError, match=r"data|digit|hex|ASCII"):
        columns_of([sound, sound._replace(data=data), sound])


def test_more_topics_than_a_log_has_have_no_columns() -> None:
    with pytest.raises(ValueError, match="topics"):
        columns_of([Log("0x" + "aa" * 20, ("0x",) * 5, "0x", 0, "0x")])
