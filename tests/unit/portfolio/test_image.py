"""State files: exact, whole, ours; anything else is refused with its reason."""

from typing import NamedTuple

import orjson
import pytest

from keeper.domain.errors import InvariantViolation, StateRefused
from keeper.domain.units import WAD
from keeper.portfolio import image
from keeper.portfolio.image import FRONT, MAGIC, Label, cut, decode, encode, fill
from keeper.portfolio.instruments import Instrument
from keeper.portfolio.state import Portfolio


LABEL = Label("0.1.0", 31_337, "venues", 7, "0x" + "07" * 32)


class Row(NamedTuple):
    """A row of one field of each kind."""

    number: int
    word: str
    flag: bool


class Other(NamedTuple):
    """A row of another edition."""

    number: int
    word: str


def empty(row: type = Row) -> Portfolio:
    portfolio = Portfolio()
    for name in ("rows", "pairs"):
        portfolio.table(name, row)
    portfolio.table("words", str)
    portfolio.table("counts", int)
    portfolio.column("exact")
    return portfolio


def option(strike: int) -> Instrument:
    return Instrument("venue", "ETH", 0, 100, strike * WAD, 0, "0x01", strike << 80)


def full() -> Portfolio:
    """Return a portfolio with one of everything, large and small."""
    portfolio = empty()
    portfolio.undo.begin(7, LABEL.hash)
    tables = portfolio.tables
    tables["rows"].set("0xaa", Row(2**255, "a word", True))
    tables["rows"].set("0xab", Row(-(2**63), "", False))
    tables["pairs"].set(("0xaa", 3), Row(1, "x", False))
    tables["words"].set(12, "0xmanager")
    tables["words"].set(2**40, "0xmanager")
    tables["counts"].set("0xaa", -5)
    column = portfolio.columns["exact"]
    for account, value in enumerate((0, 1, -1, 3 * 10**36 + 5)):
        row = portfolio.accounts.row("venue" if account else "other", 10 + account)
        column.set(row, value)
        for strike in (3, 1, 2)[:account]:
            instrument = portfolio.instruments.row(option(strike))
            portfolio.positions.set(row, instrument, value * strike)
    return portfolio


def body() -> bytes:
    parts, _ = encode(cut(full()), LABEL)
    return b"".join(parts)


def refusal(data: bytes, portfolio: Portfolio | None = None) -> str:
    """Return the reason these bytes are refused for."""
    with pytest.raises(StateRefused) as refused:
        fill(portfolio or empty(), decode(data, "file")[0])
    assert refused.value.source == "file"
    return refused.value.reason


def test_everything_comes_back_exactly() -> None:
    folded, loaded = full(), empty()
    found, _ = decode(body(), "file")
    fill(loaded, found)
    assert found.label == LABEL
    assert loaded.contents() == folded.contents()
    assert loaded.tip == folded.tip
    assert loaded.positions.total == folded.positions.total
    for name, table in folded.tables.items():
        assert [type(row) for _, row in loaded.tables[name].items()] == [
            type(row) for _, row in table.items()
        ]
    assert loaded.instruments.rank.tolist() == folded.instruments.rank.tolist()


def test_the_same_state_has_the_same_bytes() -> None:
    assert body() == body()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_a_file_that_was_cut_short_is_torn(share: float) -> None:
    data = body()
    assert refusal(data[: int(share * len(data))]) == "torn"


def test_a_file_with_more_behind_it_is_torn() -> None:
    assert refusal(body() + b"\0") == "torn"


def test_a_flipped_bit_anywhere_is_seen() -> None:
    data = body()
    for place in range(0, len(data), 7):
        bad = bytearray(data)
        bad[place] ^= 1
        assert refusal(bytes(bad)) in ("not_ours", "torn", "damaged")


def test_a_file_of_something_else_is_not_ours() -> None:
    assert refusal(b'{"number": 7, "venues": {}}') == "not_ours"


def rewritten(**changes: object) -> bytes:
    """Return a whole file whose head says something else."""
    data = body()
    size = int.from_bytes(data[16:24], "little")
    head = orjson.loads(data[FRONT : FRONT + size]) | changes
    text = orjson.dumps(head)
    text += b" " * (-len(text) % 8)
    rest = data[FRONT + size : -image.DIGEST]
    length = FRONT + len(text) + len(rest) + image.DIGEST
    whole = MAGIC + length.to_bytes(8, "little") + len(text).to_bytes(8, "little") + text + rest
    return whole + image.sha256(whole).digest()


def test_a_file_of_another_format_is_of_another_version() -> None:
    assert refusal(rewritten(format=2)) == "version"


@pytest.mark.parametrize("part", ["label", "arrays", "accounts", "tables", "rows", "columns"])
def test_a_head_without_a_part_is_of_another_version(part: str) -> None:
    assert refusal(rewritten(**{part: {}})) in ("version", "damaged")


def test_tables_of_another_edition_are_of_another_version() -> None:
    assert refusal(body(), empty(Other)) == "version"
    more = empty()
    more.table("new", int)
    assert refusal(body(), more) == "version"
    wider = empty()
    wider.column("new")
    assert refusal(body(), wider) == "version"


@pytest.mark.parametrize(
    ("instruments", "why"),
    [
        ([], "not listed"),
        (["1", "2", "3"], "canonical"),
        (["1", "1", "1"], "twice"),
    ],
)
def test_rows_that_do_not_add_up_are_damaged(instruments: list[str], why: str) -> None:
    listed = [["venue", "ETH", 0, 100, int(each), 0, "0x01", 5] for each in instruments]
    data = rewritten(instruments=listed)
    found, _ = decode(data, "file")
    with pytest.raises(StateRefused, match=why) as refused:
        fill(empty(), found)
    assert refused.value.reason == "damaged"


def test_a_state_is_loaded_into_an_empty_portfolio_only() -> None:
    found, _ = decode(body(), "file")
    with pytest.raises(InvariantViolation, match="not empty"):
        fill(full(), found)


def test_an_account_number_too_large_for_a_column_is_not_saved() -> None:
    portfolio = full()
    portfolio.accounts.row("venue", 2**63)
    with pytest.raises(StateRefused) as refused:
        encode(cut(portfolio), LABEL)
    assert refused.value.reason == "unfit"


def test_an_empty_state_is_one() -> None:
    portfolio = empty()
    portfolio.undo.begin(7, LABEL.hash)
    parts, _ = encode(cut(portfolio), LABEL)
    loaded = empty()
    fill(loaded, decode(b"".join(parts), "file")[0])
    assert loaded.contents() == portfolio.contents()
    row = loaded.accounts.row("venue", 1)
    loaded.columns["exact"].set(row, 5)
    loaded.positions.set(row, loaded.instruments.row(option(1)), 5)
    assert loaded.positions.held(row) == [(0, 5)]
