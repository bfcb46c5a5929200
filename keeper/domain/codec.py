"""Entries, events and effects as canonical JSON, and the digest that replay compares.

Must not know files, clocks, or what any field means. The rules of the form:

* an event is `{"event": <class name>, "with": {<field>: <value>, ...}}`, every field present;
* an int field is a JSON number within ±(2^53 - 1) and a decimal string beyond it, so that a reader
  whose numbers are doubles (jq, a browser) loses nothing; the field's type tells it from text;
* a float field is a JSON number, or one of the strings "NaN", "Infinity", "-Infinity";
* a scalar of a notice is bare, but an int beyond ±(2^53 - 1) is `{"int": "<decimal>"}` and a float
  that is not finite is `{"float": "NaN"}`: there the field's type does not tell;
* a `Log` is the list [address, topics, data, log_index, transaction].

One value has one form: any other form of it is refused with `MalformedRecord`.
"""

import math
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from operator import index
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import orjson

from keeper.domain.effects import Assessment, Command, Effects, Scalar
from keeper.domain.errors import MalformedRecord
from keeper.domain.events import Entry, Event, Log
from keeper.domain.log_text import written
from keeper.domain.logs import Logs


INT_EXACT_MAX: Final = 2**53 - 1
# The longest decimal we parse: a uint256 has 78 digits; more is not a number of a chain.
DIGITS_MAX: Final = 96

_DECIMAL: Final = re.compile(rf"-?[1-9][0-9]{{0,{DIGITS_MAX - 1}}}", re.ASCII)
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EVENTS: Final[dict[str, type]] = {kind.__name__: kind for kind in get_args(Event)}


def encode_entry(entry: Entry) -> dict[str, Any]:
    """Return the entry as JSON-able values; `decode_entry` gives back an equal one."""
    return {
        "seq": _int_out(entry.seq),
        "at_ns": _int_out(entry.at_ns),
        **encode_event(entry.event),
    }


def decode_entry(document: object, source: str = "entry", line: int = 0) -> Entry:
    """Return the entry; raises MalformedRecord naming `source` and `line`."""
    try:
        table = _table(document, ("seq", "at_ns", "event", "with"))
        event = _event(table["event"], table["with"])
        return Entry(_int_in(table["seq"]), _int_in(table["at_ns"]), event)
    except _Unfit as error:
        raise MalformedRecord(source, line, str(error)) from error


def encode_event(event: Event) -> dict[str, Any]:
    """Return the event's class name and fields as JSON-able values."""
    kind = type(event)
    return {"event": kind.__name__, "with": _form(kind).encode(event)}


def decode_event(document: object, source: str = "event", line: int = 0) -> Event:
    """Return the event; raises MalformedRecord for an unknown name, field or type."""
    try:
        table = _table(document, ("event", "with"))
        return _event(table["event"], table["with"])
    except _Unfit as error:
        raise MalformedRecord(source, line, str(error)) from error


def encode_effects(effects: Effects) -> dict[str, Any]:
    """Return the effects as JSON-able values."""
    encoded: dict[str, Any] = _form(Effects).encode(effects)
    return encoded


def decode_effects(document: object, source: str = "effects", line: int = 0) -> Effects:
    """Return the effects; raises MalformedRecord for an unknown field or type."""
    try:
        decoded: Effects = _form(Effects).decode(document)
    except _Unfit as error:
        raise MalformedRecord(source, line, str(error)) from error
    return decoded


def canonical(document: object) -> bytes:
    """Return the one byte string of JSON-able values; raises MalformedRecord for broken text."""
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise MalformedRecord("codec", 0, str(error)) from error


def parse(line: bytes, source: str, number: int) -> Any:
    """Return the JSON values of one line; raises MalformedRecord."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise MalformedRecord(source, number, str(error)) from error


def digest(effects: Effects) -> str:
    """Return sha256 (hex) of what must not differ between two runs of the same entries.

    Covers commands in order, each whole but for the worth in its priority, notices' kinds,
    severities and integer fields, and every integer of an assessment with the states of its
    quotes. Floats are left out: they may differ
    in the last bit between CPU paths, `floats` gives them for comparison within a tolerance. So is
    a notice's text, which may have been made of a float.
    """
    document = {
        "commands": [_digested(each) for each in effects.commands],
        "notices": [
            [
                each.kind,
                each.severity,
                [[n, _int_out(v)] for n, v in each.fields if isinstance(v, int)],
            ]
            for each in effects.notices
        ],
        "assessments": [
            [each.venue, [_int_out(getattr(each, name)) for name in _COUNTS], each.quotes]
            for each in effects.assessments
        ],
    }
    return sha256(canonical(document)).hexdigest()


def _digested(command: Command) -> dict[str, Any]:
    """Return a command's fields for the digest.

    Its worth is a float, and its tier is its kind's. What a command does not ask for is left out,
    so that the journals of before the question still say the same.
    """
    document: dict[str, Any] = _form(Command).encode(command)
    del document["priority"]
    if not command.hurried:
        del document["hurried"]
    return document


def floats(effects: Effects) -> tuple[float, ...]:
    """Return the floats of the effects in a fixed order: assessments first, then notices."""
    assessed = [getattr(each, name) for each in effects.assessments for name in _MONEY]
    told = [v for each in effects.notices for _, v in each.fields if isinstance(v, float)]
    return (*assessed, *told)


def encode_floats(values: Sequence[float]) -> list[float | str]:
    """Return floats as JSON-able values, those that are not finite by name."""
    return [_float_out(value) for value in values]


def decode_floats(document: object, source: str, line: int) -> tuple[float, ...]:
    """Return the floats; raises MalformedRecord."""
    try:
        return tuple(_float_in(value) for value in _list(document))
    except _Unfit as error:
        raise MalformedRecord(source, line, str(error)) from error


class _Unfit(Exception):
    """A value that does not fit its field; becomes MalformedRecord with a line."""


class _Form(NamedTuple):
    """How the values of one type are written and read."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _event(name: object, body: object) -> Event:
    kind = _EVENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise _Unfit(f"unknown event {name!r:.80}")
    event: Event = _form(kind).decode(body)
    return event


def _form_of(kind: Any) -> _Form:
    """Return the form of an annotation of events.py or effects.py."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if is_dataclass(kind):
        return _record(kind)
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType) and len(parts) == 2 and types.NoneType in parts:
        return _optional(_form(next(part for part in parts if part is not types.NoneType)))
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return _sequence(_form(parts[0]))
    if origin is tuple:
        return _pair(tuple(_form(part) for part in parts))
    raise AssertionError(f"no form for {kind}: events carry only what JSON can")


def _record(kind: Any) -> _Form:
    hints = get_type_hints(kind)
    forms = tuple((field.name, _form(hints[field.name])) for field in fields(kind))
    names = tuple(name for name, _ in forms)

    def encode(value: Any) -> dict[str, Any]:
        return {name: form.encode(getattr(value, name)) for name, form in forms}

    def decode(document: Any) -> Any:
        table = _table(document, names)
        values = {}
        for name, form in forms:
            try:
                values[name] = form.decode(table[name])
            except _Unfit as error:
                raise _Unfit(f"{kind.__name__}.{name}: {error}") from error
        return kind(**values)

    return _Form(encode, decode)


def _optional(form: _Form) -> _Form:
    return _Form(
        lambda value: None if value is None else form.encode(value),
        lambda document: None if document is None else form.decode(document),
    )


def _sequence(form: _Form) -> _Form:
    return _Form(
        lambda value: [form.encode(each) for each in value],
        lambda document: tuple(form.decode(each) for each in _list(document)),
    )


def _pair(forms: tuple[_Form, ...]) -> _Form:
    def encode(value: Any) -> list[Any]:
        return [form.encode(each) for form, each in zip(forms, value, strict=True)]

    def decode(document: Any) -> tuple[Any, ...]:
        parts = _list(document)
        if len(parts) != len(forms):
            raise _Unfit(f"expected {len(forms)} values, was {len(parts)}")
        return tuple(form.decode(each) for form, each in zip(forms, parts, strict=True))

    return _Form(encode, decode)


def _table(document: object, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise _Unfit(f"expected an object, was {type(document).__name__}")
    if document.keys() == set(names):
        return document
    missing = [name for name in names if name not in document]
    unknown = [str(name)[:80] for name in document if name not in names]
    raise _Unfit(f"missing fields {missing}, unknown fields {unknown}")


def _list(document: object) -> Sequence[Any]:
    if not isinstance(document, list | tuple):
        raise _Unfit(f"expected a list, was {type(document).__name__}")
    return document


def _int_out(value: int) -> int | str:
    # `index` turns a numpy integer into ours and refuses a float.
    plain = index(value)
    return plain if -INT_EXACT_MAX <= plain <= INT_EXACT_MAX else str(plain)


def _int_in(document: object) -> int:
    if isinstance(document, int) and not isinstance(document, bool):
        if -INT_EXACT_MAX <= document <= INT_EXACT_MAX:
            return document
    elif isinstance(document, str) and _DECIMAL.fullmatch(document):
        value = int(document)
        if not -INT_EXACT_MAX <= value <= INT_EXACT_MAX:
            return value
    raise _Unfit(f"expected an integer in canonical form, was {document!r:.80}")


def _float_out(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float_in(document: object) -> float:
    if isinstance(document, float):
        return document
    if isinstance(document, str) and document in _NOT_FINITE:
        return _NOT_FINITE[document]
    raise _Unfit(f"expected a float, was {document!r:.80}")


def _text_in(document: object) -> str:
    if isinstance(document, str):
        return document
    raise _Unfit(f"expected text, was {type(document).__name__}")


def _flag_in(document: object) -> bool:
    if isinstance(document, bool):
        return document
    raise _Unfit(f"expected true or false, was {type(document).__name__}")


def _scalar_out(value: Scalar) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and isinstance(_int_out(value), str):
        return {"int": str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": _float_out(value)}
    return value


def _scalar_in(document: object) -> Scalar:
    if isinstance(document, dict) and document.keys() == {"int"}:
        if isinstance(document["int"], str):
            return _int_in(document["int"])
    elif isinstance(document, dict) and document.keys() == {"float"}:
        if isinstance(document["float"], str):
            return _float_in(document["float"])
    elif document is None or isinstance(document, str | float | bool):
        return document
    elif isinstance(document, int):
        return _int_in(document)
    raise _Unfit(f"expected a scalar, was {document!r:.80}")


def _log_out(log: Log) -> tuple[Any, ...]:
    # A plain tuple of the five fields: the JSON writer takes it as it is, a thousand a block.
    assert log.log_index <= INT_EXACT_MAX, "a log index counts the logs of one block"
    return tuple(log)


def _logs_out(logs: Sequence[Log]) -> Any:
    if isinstance(logs, Logs):
        return orjson.Fragment(written(logs))
    return [_log_out(log) for log in logs]


def _logs_in(document: object) -> tuple[Log, ...]:
    return tuple(_log_in(each) for each in _list(document))


def _log_in(document: object) -> Log:
    parts = _list(document)
    if len(parts) != len(Log._fields):
        raise _Unfit(f"expected {len(Log._fields)} parts of a log, was {len(parts)}")
    address, topics, data, log_index, transaction = parts
    return Log(
        _text_in(address),
        tuple(_text_in(topic) for topic in _list(topics)),
        _text_in(data),
        _int_in(log_index),
        _text_in(transaction),
    )


_form: Final[Callable[[Any], _Form]] = cache(_form_of)
_PLAIN: Final[dict[Any, _Form]] = {
    int: _Form(_int_out, _int_in),
    float: _Form(_float_out, _float_in),
    str: _Form(lambda value: value, _text_in),
    bool: _Form(lambda value: value, _flag_in),
    Scalar: _Form(_scalar_out, _scalar_in),
    Sequence[Log]: _Form(_logs_out, _logs_in),
}
_ASSESSED: Final = get_type_hints(Assessment)
_COUNTS: Final = tuple(each.name for each in fields(Assessment) if _ASSESSED[each.name] is int)
_MONEY: Final = tuple(each.name for each in fields(Assessment) if _ASSESSED[each.name] is float)
