"""Tables as a snapshot's JSON-able rows, and back: what is written reads back equal.

The form: `{"format", "venue", "number", "hash", "timestamp", "tables": {name: [[key, row], ...]},
"columns": {name: [[account, value], ...]}, "positions": [[account, asset, subId, quantity], ...]}`,
rows in key order. An int is a JSON number within +-(2^53 - 1) and a decimal string beyond it. Pure;
knows no chain and no file.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, get_type_hints

from keeper.domain.codec import INT_EXACT_MAX, canonical
from keeper.domain.errors import InvariantViolation, MalformedRecord
from keeper.domain.units import Hash
from keeper.market.quotes import advance
from keeper.portfolio.columns import Column
from keeper.portfolio.tables import Table
from keeper.protocols.derive.tables import DeriveTables


FORMAT: Final = 1
SOURCE: Final = "snapshot"
PARTS: Final = (
    "format", "venue", "number", "hash", "timestamp", "tables", "columns", "positions"
)  # fmt: skip

_DECIMAL: Final = re.compile(r"-?[1-9][0-9]{0,95}", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}", re.ASCII)

# What each table's keys are made of.
ACCOUNT: Final = (int,)
ADDRESS: Final = (str,)
ADDRESS_INT: Final = (str, int)
PAIR: Final = (str, str)
KEYS: Final[dict[str, tuple[type, ...]]] = {
    "accounts": ACCOUNT,
    "owners": ACCOUNT,
    "overrides": ACCOUNT,
    "auctions": ACCOUNT,
    "unsupported": ADDRESS,
    "cash_state": ADDRESS,
    "rate_models": ADDRESS,
    "managers": ADDRESS,
    "whitelist": ADDRESS,
    "perps": ADDRESS,
    "auction_rules": ADDRESS,
    "unread": ADDRESS,
    "basis": ADDRESS,
    "other": ADDRESS,
    "margin": ADDRESS,
    "vol_shock": ADDRESS,
    "skew": ADDRESS,
    "scenarios": ADDRESS_INT,
    "collaterals": PAIR,
    "collateral_feeds": PAIR,
    "feeds": ADDRESS,
    "spots": ADDRESS,
    "diffs": ADDRESS,
    "forwards": ADDRESS_INT,
    "settled": ADDRESS_INT,
    "vols": ADDRESS_INT,
    "rates": ADDRESS_INT,
}
COLUMNS: Final = (
    "cash", "cash_index", "perp_mark", "perp_funding", "perp_pnl", "perp_aggregated"
)  # fmt: skip
TEXTS: Final = ("underlying", "kind")  # fields of rows that are words, not addresses


def load(tables: DeriveTables, snapshot: Mapping[str, Any]) -> None:
    """Write a snapshot's rows to empty tables; raises MalformedRecord.

    The undo log must stand at the snapshot's block: `Portfolio.undo.begin(number, hash)` comes
    first, so that these writes are the oldest frame.
    """
    parts = _object(snapshot, PARTS, "snapshot")
    if parts["format"] != FORMAT or parts["venue"] != tables.name:
        raise _malformed(f"format {parts['format']!r} of venue {parts['venue']!r}")
    tip = (_whole(parts["number"]), _matched(parts["hash"], _HASH))
    _whole(parts["timestamp"])
    if tables.portfolio.tip != tip:
        raise InvariantViolation(f"a snapshot of {tip} loaded at {tables.portfolio.tip}")
    rows = _object(parts["tables"], tuple(KEYS), "tables")
    for name in KEYS:
        _load_table(tables, name, rows[name])
    _load_columns(tables, _object(parts["columns"], COLUMNS, "columns"))
    _load_positions(tables, _list(parts["positions"], "positions"))
    _believe(tables)


def dump(tables: DeriveTables, number: int, block: Hash, timestamp: int) -> dict[str, Any]:
    """Return the tables as a snapshot of a block."""
    return {
        "format": FORMAT,
        "venue": tables.name,
        "number": number,
        "hash": block,
        "timestamp": timestamp,
        "tables": {name: _dump_table(getattr(tables, name)) for name in KEYS},
        "columns": {name: _dump_column(tables, getattr(tables, name)) for name in COLUMNS},
        "positions": _dump_positions(tables),
    }


def digest(snapshot: Mapping[str, Any]) -> str:
    """Return sha256 (hex) of a snapshot's one form."""
    return sha256(canonical(dict(snapshot))).hexdigest()


# ── out ──


def _dump_table(table: Table[Any, Any]) -> list[list[Any]]:
    return [[_out(key), _out(row)] for key, row in table.items()]


def _dump_column(tables: DeriveTables, column: Column) -> list[list[Any]]:
    values = ((account, column.get(tables.row(account))) for account, _ in tables.accounts.items())
    return [[account, _out(value)] for account, value in values if value]


def _dump_positions(tables: DeriveTables) -> list[list[Any]]:
    portfolio = tables.portfolio
    lines = []
    accounts = [account for account, _ in tables.accounts.items()]
    for account in accounts:
        for row, quantity in portfolio.positions.held(tables.row(account)):
            held = portfolio.instruments[row]
            lines.append([account, held.address, _out(held.sub_id), _out(quantity)])
    return lines


def _out(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_out(each) for each in value]
    if isinstance(value, int) and abs(value) > INT_EXACT_MAX:
        return str(value)
    return value


# ── in ──


def _load_table(tables: DeriveTables, name: str, rows: object) -> None:
    table: Table[Any, Any] = getattr(tables, name)
    read_key = _reader(name, KEYS[name])
    read_row = _row_reader(name, table.row)
    for line in _list(rows, name):
        key, row = _pair(line, name)
        parts = key if len(KEYS[name]) > 1 else [key]
        read = read_key(parts)
        found = tuple(read) if len(read) > 1 else read[0]
        if found in table:
            raise _malformed(f"{name} has {found} twice")
        table.set(found, read_row(row))


def _load_columns(tables: DeriveTables, columns: Mapping[str, Any]) -> None:
    for name in COLUMNS:
        column: Column = getattr(tables, name)
        for line in _list(columns[name], name):
            account, value = _pair(line, name)
            column.set(_known(tables, _whole(account), name), _whole(value))


def _load_positions(tables: DeriveTables, rows: list[Any]) -> None:
    for line in rows:
        account, asset, sub_id, quantity = _list(line, "positions", 4)
        row = _known(tables, _whole(account), "positions")
        manager = tables.accounts[_whole(account)]
        if manager not in tables.managers:
            raise _malformed(
                f"account {account} has positions under {manager}, which is not served"
            )
        instrument = tables.instrument(manager, _matched(asset, _ADDRESS), _whole(sub_id))
        tables.portfolio.positions.set(row, instrument, _whole(quantity))


def _believe(tables: DeriveTables) -> None:
    """Start every pushed spot believed: there is nothing yet that it could have jumped from."""
    for feed, row in list(tables.spots.items()):
        if row.timestamp:
            quote = advance(None, row.price, row.confidence, row.timestamp, tables.config.rule)
            tables.doubts.set(feed, quote)


def _row_reader(name: str, row: Callable[..., Any]) -> Callable[[object], Any]:
    """Return what reads one value of a table: a NamedTuple from its list, or a bare value."""
    hints = get_type_hints(row) if hasattr(row, "_fields") else None
    if hints is None:
        kind: Any = row
        read_one = _reader(name, (kind,))
        return lambda value: read_one([value])[0]
    read_all = _reader(name, tuple(hints.values()), tuple(hints))
    return lambda value: row(*read_all(value))


def _reader(
    name: str, kinds: tuple[type, ...], fields: tuple[str, ...] = ()
) -> Callable[[object], list[Any]]:
    """Return what reads a list of so many values of these types."""
    texts = [field in TEXTS for field in fields] or [False] * len(kinds)

    def read(values: object) -> list[Any]:
        parts = _list(values, name, len(kinds))
        return [
            _value(part, kind, text=text)
            for part, kind, text in zip(parts, kinds, texts, strict=True)
        ]

    return read


def _value(value: object, kind: type, *, text: bool) -> Any:
    if kind is bool:
        if not isinstance(value, bool):
            raise _malformed(f"expected true or false, was {value!r}")
        return value
    if kind is int:
        return _whole(value)
    if text:
        if not isinstance(value, str):
            raise _malformed(f"expected text, was {value!r}")
        return value
    return _matched(value, _ADDRESS)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= INT_EXACT_MAX:
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value) and abs(int(value)) > INT_EXACT_MAX:
        return int(value)
    raise _malformed(f"expected a whole number in its one form, was {value!r}")


def _matched(value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _malformed(f"expected {form.pattern}, was {value!r}")
    return value


def _known(tables: DeriveTables, account: int, name: str) -> int:
    if account not in tables.accounts:
        raise _malformed(f"{name} has account {account}, which is not in accounts")
    return tables.row(account)


def _object(value: object, names: Iterable[str], what: str) -> Mapping[str, Any]:
    wanted = tuple(names)
    if not isinstance(value, Mapping) or sorted(value) != sorted(wanted):
        raise _malformed(f"{what} does not have exactly the parts {', '.join(wanted)}")
    return value


def _list(value: object, what: str, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise _malformed(f"{what}: expected a list of {length or 'rows'}, was {value!r:.200}")
    return value


def _pair(value: object, what: str) -> tuple[Any, Any]:
    key, row = _list(value, what, 2)
    return key, row


def _malformed(problem: str) -> MalformedRecord:
    return MalformedRecord(SOURCE, 0, problem)
