"""Golden vectors of schema `vectors/1`: found by file, dispatched by family, every leaf compared.

Nothing is skipped silently: an unknown file, schema, kind, family, input field or expected key is
an error, an absent folder or file is a visible skip.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


GOLDEN = ("published", "official-sdk-run")
SELF_CONSISTENCY = ("corrected", "inferred", "derived", "outline")
FILE_KEYS = {"schema", "methodology", "provenance", "notes", "how", "vectors"}
VECTOR_KEYS = {"id", "kind", "source", "inputs", "expected", "tolerance", "reproduced"}
REFERENCE = {"scenario_grids": "scenario_grids/1", "stress_presets": "stress_presets/1"}
FOLDERS = {"derive_pmrm2", "derive_auction"}
LEAF = None
LIST = [None]


class UnknownPart(AssertionError):
    """A file, family, field or key that nobody has thought about."""


@dataclass(frozen=True)
class Vector:
    """One vector as the file has it."""

    file: str
    id: str
    kind: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    tolerance: Any

    @property
    def name(self) -> str:
        return f"{self.file}/{self.id}"


@dataclass(frozen=True)
class Family:
    """Vectors of one formula.

    ids      patterns of their ids
    shape    their input fields; a name ending in ? may be absent, "*" stands for any name
    compute  the keeper's answer, by expected key; may hold more than is asked
    """

    ids: tuple[str, ...]
    shape: Any
    compute: Callable[[Vector], dict[str, Any]]

    def named(self, vector: Vector) -> bool:
        return any(fnmatchcase(vector.id, pattern) for pattern in self.ids)

    def fits(self, vector: Vector) -> bool:
        return not list(misfits(vector.inputs, self.shape, "inputs"))


def fields(names: str, **nested: Any) -> dict[str, Any]:
    """Return a shape of plain leaves, with some fields that have parts of their own."""
    return {**dict.fromkeys(names.split(), LEAF), **nested}


def folder() -> Path:
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
    return Path(os.environ.get("KEEPER_VECTORS", beside))


def misfits(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Yield what a value has that its shape does not know, and what it lacks."""
    if shape is LEAF:
        if isinstance(value, dict | list):
            yield f"{where} has parts nobody knows"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for place, each in enumerate(value):
            yield from misfits(each, shape[0], f"{where}[{place}]")
    elif not isinstance(value, dict):
        yield f"{where} has no parts"
    else:
        yield from _object_misfits(value, shape, where)


def _object_misfits(value: dict[str, Any], shape: dict[str, Any], where: str) -> Iterator[str]:
    for name, each in value.items():
        known = next((key for key in (name, f"{name}?", "*") if key in shape), None)
        if known is None:
            yield f"{where}.{name} is unknown"
        else:
            yield from misfits(each, shape[known], f"{where}.{name}")
    for name in shape:
        if name != "*" and not name.endswith("?") and name not in value:
            yield f"{where}.{name} is missing"


def family_of(vector: Vector, families: tuple[Family, ...]) -> Family:
    """Return the family by id, else by input keys where exactly one fits."""
    named = [each for each in families if each.named(vector)]
    fitting = [each for each in named or families if each.fits(vector)]
    if named and not fitting:
        problems = list(misfits(vector.inputs, named[0].shape, "inputs"))
        raise UnknownPart(f"{vector.name}: {'; '.join(problems)}")
    if len(fitting) != 1 and not named:
        raise UnknownPart(f"{vector.name}: no family of {vector.file} has this id or these inputs")
    return fitting[0]


def read(path: Path) -> list[Vector]:
    """Return a file's vectors; refuses another schema, an unknown key or kind, a repeated id."""
    raw = json.loads(path.read_text())
    if raw.get("schema") != "vectors/1":
        raise UnknownPart(f"{path.name}: schema {raw.get('schema')!r} is unknown")
    if set(raw) != FILE_KEYS:
        raise UnknownPart(f"{path.name}: keys {sorted(set(raw) ^ FILE_KEYS)}")
    found = []
    for each in raw["vectors"]:
        if set(each) - {"note"} != VECTOR_KEYS:
            odd = sorted((set(each) - {"note"}) ^ VECTOR_KEYS)
            raise UnknownPart(f"{path.name}/{each.get('id')}: keys {odd}")
        if each["kind"] not in GOLDEN + SELF_CONSISTENCY:
            raise UnknownPart(f"{path.name}/{each['id']}: kind {each['kind']!r} is unknown")
        if not each["expected"]:
            raise UnknownPart(f"{path.name}/{each['id']}: nothing is expected")
        names = ("id", "kind", "inputs", "expected", "tolerance")
        found.append(Vector(path.stem, *(each[name] for name in names)))
    if len({each.id for each in found}) != len(found):
        raise UnknownPart(f"{path.name}: an id is repeated")
    return found


def judge(vector: Vector, families: tuple[Family, ...]) -> None:
    """Compute one vector and compare every expected leaf."""
    got = family_of(vector, families).compute(vector)
    for key, expected in vector.expected.items():
        if key not in got:
            raise UnknownPart(f"{vector.name}: expected key {key!r} is unknown")
        tolerance = vector.tolerance
        if isinstance(tolerance, dict):
            if key not in tolerance:
                raise UnknownPart(f"{vector.name}: no tolerance for {key!r}")
            tolerance = tolerance[key]
        compare(got[key], expected, tolerance, f"{vector.name} {key}")
    if isinstance(vector.tolerance, dict) and set(vector.tolerance) - set(vector.expected):
        raise UnknownPart(f"{vector.name}: a tolerance for something not expected")


def compare(got: Any, expected: Any, tolerance: float, where: str) -> None:
    """Refuse what differs by more than the absolute tolerance plus two ulp."""
    if isinstance(expected, dict):
        for key, each in expected.items():
            if not isinstance(got, dict) or key not in got:
                raise UnknownPart(f"{where}.{key} is unknown")
            compare(got[key], each, tolerance, f"{where}.{key}")
    elif isinstance(expected, list):
        got = list(got)
        assert len(got) == len(expected), f"{where}: {len(got)} values for {len(expected)}"
        for place, (one, other) in enumerate(zip(got, expected, strict=True)):
            compare(one, other, tolerance, f"{where}[{place}]")
    elif isinstance(expected, bool) or expected is None:
        assert got is expected, f"{where}: {got!r} is not {expected!r}"
    else:
        number = Fraction(expected)
        assert not isinstance(got, bool), f"{where}: {got!r} is no number"
        assert np.isfinite(float(got)), f"{where}: {got!r} is no number"
        room = Fraction(float(tolerance)) + 2 * Fraction(float(np.spacing(abs(float(number)))))
        off = abs(exact(got) - number)
        assert off <= room, f"{where}: {got!r} is off {expected!r} by {float(off):g}"


def exact(value: Any) -> Fraction:
    return Fraction(value) if isinstance(value, int | Fraction) else Fraction(float(value))


def wei(text: Any) -> int:
    """Return a big integer from its text, `5000e18` too; exact."""
    number = Fraction(str(text))
    assert number.denominator == 1, text
    return int(number)
