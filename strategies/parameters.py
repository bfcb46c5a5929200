"""A strategy's `[strategy.parameters]` table made into its frozen dataclass, or refused by name.

Knows no strategy: bounds stand in each field's metadata, so that they are written once, beside
the default and the unit.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any, ClassVar, Protocol, TypeVar

from keeper.domain.errors import ConfigError


class Parameters(Protocol):
    """Any frozen dataclass of numbers and switches."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


P = TypeVar("P", bound=Parameters)


def bounded(default: float, least: float, most: float) -> Any:
    """Return a dataclass field for a number within [least, most]."""
    return field(default=default, metadata={"least": least, "most": most})


def read(shape: type[P], given: Mapping[str, object]) -> P:
    """Return `shape` filled from `given`; raises ConfigError naming the first key that is wrong."""
    known: dict[str, Field[Any]] = {each.name: each for each in fields(shape)}
    values: dict[str, object] = {}
    for key in sorted(given):
        if key not in known:
            raise ConfigError(_path(key), given[key], f"unknown; known are {', '.join(known)}")
        values[key] = _checked(key, given[key], known[key])
    return shape(**values)


def _checked(key: str, value: object, known: Field[Any]) -> object:
    if isinstance(known.default, bool):
        if not isinstance(value, bool):
            raise ConfigError(_path(key), value, "must be true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(_path(key), value, "must be a number")
    least, most = known.metadata["least"], known.metadata["most"]
    # A NaN is inside no bounds, so the comparison refuses it too.
    if not least <= value <= most:
        upper = "" if math.isinf(most) else f" and at most {most:g}"
        raise ConfigError(_path(key), value, f"must be at least {least:g}{upper}")
    return float(value)


def _path(key: str) -> str:
    return f"strategy.parameters.{key}"
