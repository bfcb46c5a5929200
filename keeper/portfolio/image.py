"""The whole portfolio at one block as bytes, and back: columns as arrays, tables as rows.

    magic (8) | length of all (8) | length of the head (8) | head | arrays | sha256 of all before

The head is JSON: what it is of (`Label`), the small tables, and what arrays follow (each begins on
a multiple of 8). Exact integers stay exact. Pure: knows no file, no chain and no venue; why a file
is refused is a word of `StateRefused`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from keeper.domain.errors import InvariantViolation, StateRefused
from keeper.domain.units import AccountId, Hash
from keeper.portfolio.exact import Parts
from keeper.portfolio.instruments import Instrument
from keeper.portfolio.positions import Held
from keeper.portfolio.state import Portfolio
from keeper.portfolio.tables import Table


FORMAT: Final = 1
MAGIC: Final = b"keepcol\n"
FRONT: Final = len(MAGIC) + 16
DIGEST: Final = 32
ALIGNED: Final = 8
INT_MAX: Final = 2**63 - 1  # what the head holds as a number; beyond it {"int": "<decimal>"}

Array = NDArray[Any]
DTYPES: Final = ("<i4", "<i8", "<f8")


class Label(NamedTuple):
    """What an image is of: a block, on a chain, of venues set up in one way, by one edition."""

    edition: str
    chain_id: int
    venues: str  # digest of the venues' configuration
    number: int
    hash: Hash


class Cut(NamedTuple):
    """A copy of everything held at one moment; its values are never written to again."""

    accounts: list[tuple[str, AccountId]]
    instruments: list[Instrument]
    positions: Held
    columns: dict[str, Parts]
    tables: dict[str, dict[Any, Any]]
    rows: dict[str, list[str]]  # of each table: the fields of its values


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was read and is whole: its head and its arrays."""

    label: Label
    source: str
    head: Mapping[str, Any]
    arrays: Mapping[str, Any]


def cut(portfolio: Portfolio) -> Cut:
    """Return a copy of what a portfolio holds: milliseconds, so that no block waits for it."""
    accounts = portfolio.accounts.cut()
    return Cut(
        accounts=accounts,
        instruments=portfolio.instruments.cut(),
        positions=portfolio.positions.cut(len(accounts)),
        columns={name: each.cut(len(accounts)) for name, each in portfolio.columns.items()},
        tables={name: table.cut() for name, table in portfolio.tables.items()},
        rows={name: _fields(table) for name, table in portfolio.tables.items()},
    )


def encode(found: Cut, label: Label) -> tuple[list[bytes | memoryview], str]:
    """Return an image's bytes in parts, and their digest (hex): what names it in a journal."""
    arrays: dict[str, Array] = {}
    head = {
        "format": FORMAT,
        "label": label._asdict(),
        "accounts": _accounts_out(found.accounts, arrays),
        "instruments": [_out(tuple(each)) for each in found.instruments],
        "columns": _exact_out(found, arrays),
        "rows": found.rows,
        "tables": {name: _table_out(name, rows, arrays) for name, rows in found.tables.items()},
        "arrays": [[name, each.dtype.str, len(each)] for name, each in arrays.items()],
    }
    text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    text += b" " * (-len(text) % ALIGNED)
    parts: list[bytes | memoryview] = [text]
    for each in arrays.values():
        parts += [np.ascontiguousarray(each).data.cast("B"), bytes(-each.nbytes % ALIGNED)]
    length = FRONT + sum(len(part) for part in parts) + DIGEST
    parts.insert(0, MAGIC + length.to_bytes(8, "little") + len(text).to_bytes(8, "little"))
    digest = sha256()
    for part in parts:
        digest.update(part)
    return [*parts, digest.digest()], digest.hexdigest()


def decode(body: bytes, source: str) -> tuple[Image, str]:
    """Return the image in these bytes, and its digest; raises StateRefused."""
    if body[: len(MAGIC)] != MAGIC[: len(body)]:
        raise StateRefused(source, "not_ours", "it does not begin as a state file does")
    stated = int.from_bytes(body[8:16], "little")
    if len(body) < FRONT + DIGEST or len(body) != stated:
        raise StateRefused(source, "torn", f"{len(body)} bytes of {stated}")
    view = memoryview(body)
    digest = sha256(view[:-DIGEST])
    if digest.digest() != view[-DIGEST:]:
        raise StateRefused(source, "damaged", "its bytes are not those that were written")
    try:
        return _read(view, source), digest.hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        raise StateRefused(source, "version", f"its head is another one's: {error!r}") from error


def fill(portfolio: Portfolio, image: Image) -> None:
    """Write an image into an empty portfolio, as the oldest frame; raises StateRefused.

    The tables and columns must be those the venues made: others were written by another edition.
    """
    if portfolio.tip is not None or len(portfolio.accounts):
        raise InvariantViolation("a state file is loaded into a portfolio that is not empty")
    rows = {name: _fields(table) for name, table in portfolio.tables.items()}
    theirs = sorted(image.head["columns"])
    if image.head["rows"] != rows or theirs != sorted(portfolio.columns):
        raise StateRefused(image.source, "version", "its tables are those of another edition")
    try:
        portfolio.accounts.fill(_accounts_in(image))
        portfolio.instruments.fill(
            [Instrument._make(_in(each)) for each in image.head["instruments"]]
        )
        start, held = image.arrays["positions.start"], image.arrays["positions.instrument"]
        portfolio.positions.fill(Held(start, held, _parts(image, "positions")))
        for name, column in portfolio.columns.items():
            column.fill(_parts(image, name))
        for name, table in portfolio.tables.items():
            table.fill(_table_in(image, name, table))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StateRefused(image.source, "damaged", f"it does not add up: {error}") from error
    portfolio.undo.begin(image.label.number, image.label.hash)


def _read(view: memoryview, source: str) -> Image:
    first = FRONT + int.from_bytes(view[16:24], "little")
    head = orjson.loads(view[FRONT:first])
    if head["format"] != FORMAT:
        raise StateRefused(source, "version", f"format {head['format']}, ours is {FORMAT}")
    arrays: dict[str, Any] = {}
    for name, dtype, length in head["arrays"]:
        if dtype not in DTYPES:
            raise ValueError(f"an array of {dtype}")
        arrays[name] = np.frombuffer(view, np.dtype(dtype), length, first)
        first += -(-arrays[name].nbytes // ALIGNED) * ALIGNED
    return Image(Label(**head["label"]), source, head, arrays)


# ── parts ──


def _accounts_out(accounts: list[tuple[str, AccountId]], arrays: dict[str, Array]) -> list[str]:
    venues = list(dict.fromkeys(venue for venue, _ in accounts))
    place = {venue: index for index, venue in enumerate(venues)}
    arrays["accounts.venue"] = np.array([place[venue] for venue, _ in accounts], np.int32)
    arrays["accounts.id"] = _ids("accounts", (account for _, account in accounts), len(accounts))
    return venues


def _accounts_in(image: Image) -> list[tuple[str, AccountId]]:
    venues, places = image.head["accounts"], image.arrays["accounts.venue"].tolist()
    named = [venues[place] for place in places]
    return list(zip(named, image.arrays["accounts.id"].tolist(), strict=True))


def _exact_out(found: Cut, arrays: dict[str, Array]) -> list[str]:
    arrays["positions.start"] = found.positions.start
    arrays["positions.instrument"] = found.positions.instrument
    for name, parts in (("positions", found.positions.quantity), *found.columns.items()):
        for word, part in zip(Parts._fields, parts, strict=True):
            arrays[f"{name}.{word}"] = part
    return list(found.columns)


def _parts(image: Image, name: str) -> Parts:
    return Parts(*(image.arrays[f"{name}.{word}"] for word in Parts._fields))


def _table_out(name: str, rows: dict[Any, Any], arrays: dict[str, Array]) -> list[Any]:
    """Return a table's rows; words by account, which may be many, as arrays beside their list."""
    if not rows or not all(type(k) is int and type(v) is str for k, v in rows.items()):
        return [[_out(key), _out(row)] for key, row in rows.items()]
    words = list(dict.fromkeys(rows.values()))
    place = {word: index for index, word in enumerate(words)}
    arrays[f"{name}.key"] = _ids(name, iter(rows), len(rows))
    arrays[f"{name}.word"] = np.array([place[word] for word in rows.values()], np.int32)
    return words


def _table_in(image: Image, name: str, table: Table[Any, Any]) -> dict[Any, Any]:
    rows = image.head["tables"][name]
    if f"{name}.key" in image.arrays:
        words = [rows[place] for place in image.arrays[f"{name}.word"].tolist()]
        return dict(zip(image.arrays[f"{name}.key"].tolist(), words, strict=True))
    make = getattr(table.row, "_make", lambda value: value)
    return {_in(key): make(_in(row)) for key, row in rows}


def _ids(name: str, numbers: Iterator[int], count: int) -> NDArray[np.int64]:
    try:
        return np.fromiter(numbers, np.int64, count)
    except OverflowError as error:
        raise StateRefused(name, "unfit", "an account's number has more than 63 bits") from error


def _fields(table: Table[Any, Any]) -> list[str]:
    return list(getattr(table.row, "_fields", (getattr(table.row, "__name__", "value"),)))


def _out(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_out(each) for each in value]
    if isinstance(value, int) and abs(value) > INT_MAX:
        return {"int": str(value)}
    return value


def _in(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_in(each) for each in value)
    return int(value["int"]) if isinstance(value, dict) else value
