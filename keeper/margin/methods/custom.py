"""A user's own method of the scenario family, written in TOML.

The text is read by whoever may open files; here it becomes a `Form`, every key checked. Tables
and keys are those of `Form` and its parts; `grid` is a shorthand for every spot move with every
vol move:

    name = "house"
    im_factor = 1.25
    [grid]
    spot = [-0.15, -0.05, 0.0, 0.05, 0.15]
    vol = [0.4, 0.0, -0.2]
    [[shocks]]
    spot = -0.5
    weight = 0.3
    [charges]
    naked_short = 0.01
"""

import tomllib
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final

from keeper.margin.addons import Charges
from keeper.margin.errors import BadNumber, BadShape, UnknownName, finite
from keeper.margin.form import Doubt, Form, Haircut
from keeper.margin.lp import Range
from keeper.margin.shocks import Shock, VolRule, grid
from keeper.margin.tree import Offsets, Reduction


TABLES: Final = {
    "vol": VolRule,
    "offsets": Offsets,
    "reduction": Reduction,
    "charges": Charges,
    "doubt": Doubt,
}
LISTS: Final = {"shocks": Shock, "haircuts": Haircut, "ranges": Range}
NUMBERS: Final = ("mm_factor", "im_factor")
KEYS: Final = ("name", "inverse", "grid", *NUMBERS, *TABLES, *LISTS)


def from_toml(text: str) -> Form:
    """Return the method a TOML text describes; raises a `MarginInputError` that says the cure."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadShape("method file", str(error), "write valid TOML") from error
    for key in raw:
        known(key, KEYS, key)
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise BadShape("name", name, "give the method a name")
    parts: dict[str, Any] = {key: build(TABLES[key], raw[key], key) for key in TABLES if key in raw}
    parts |= {key: _listed(key, raw.get(key, [])) for key in LISTS}
    parts |= {key: finite(key, raw[key]) for key in NUMBERS if key in raw}
    parts["shocks"] = (*_grid(raw.get("grid", {})), *parts["shocks"])
    if not parts["shocks"]:
        raise BadShape("shocks", 0, "give a [grid] or at least one [[shocks]]")
    return Form(name, inverse=_boolean("inverse", raw.get("inverse", False)), **parts)


def _listed(key: str, rows: Any) -> tuple[Any, ...]:
    if not isinstance(rows, list):
        raise BadShape(key, rows, f"write [[{key}]], once for each")
    return tuple(build(LISTS[key], row, f"{key}[{n}]") for n, row in enumerate(rows))


def known(key: str, names: tuple[str, ...], field: str) -> None:
    """Refuse a key nobody has defined, and guess what was meant."""
    if key not in names:
        near = get_close_matches(key, names, 1)
        guess = f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}"
        raise UnknownName(field, key, guess)


def build(kind: type[Any], raw: Any, where: str) -> Any:
    """Return a part from its table: unknown and missing keys refused, types as declared."""
    if not isinstance(raw, dict):
        raise BadShape(where, raw, "write a table")
    declared = {each.name: each for each in fields(kind)}
    values = {}
    for key, value in raw.items():
        known(key, tuple(declared), f"{where}.{key}")
        values[key] = _typed(f"{where}.{key}", value, str(declared[key].type))
    try:
        return kind(**values)
    except TypeError as error:
        raise BadShape(where, sorted(raw), f"give every key it needs: {error}") from error


def _typed(field: str, value: Any, declared: str) -> Any:
    if "tuple" in declared:
        if not isinstance(value, list):
            raise BadShape(field, value, "write a list")
        if "tuple[tuple" in declared:
            return tuple(tuple(finite(field, each) for each in row) for row in value)
        return tuple(_whole(field, each) for each in value)
    if "bool" in declared:
        return _boolean(field, value)
    return finite(field, value)


def _whole(field: str, value: Any) -> int:
    number = finite(field, value)
    if number != int(number) or number < 0:
        raise BadNumber(field, value, "pass whole numbers of zero or more")
    return int(number)


def _boolean(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadShape(field, value, "write true or false")
    return value


def _grid(raw: Any) -> tuple[Shock, ...]:
    if not isinstance(raw, dict):
        raise BadShape("grid", raw, "write a table with spot and vol")
    moves = {}
    for key, value in raw.items():
        known(key, ("spot", "vol"), f"grid.{key}")
        if not isinstance(value, list):
            raise BadShape(f"grid.{key}", value, "write a list of moves")
        moves[key] = tuple(finite(f"grid.{key}", each) for each in value)
    return grid(moves.get("spot", (0.0,)), moves.get("vol", (0.0,))) if moves else ()
