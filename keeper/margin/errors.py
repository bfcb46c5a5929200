"""What is wrong with an input of the margin engine: the field, the value, the cure.

A requirement is never computed from a number that cannot be one, so every public function asks
here first. Knows nothing of methods; `keeper.domain` is a stranger on this floor.
"""

import math
from typing import Any

import numpy as np

from keeper.margin.book import Floats


class MarginInputError(ValueError):
    """An input that no requirement may be computed from; root of this room's errors."""

    def __init__(self, field: str, value: object, cure: str) -> None:
        self.field = field
        self.value = value
        self.cure = cure
        super().__init__(f"{field} = {_shown(value)}: {cure}")


class BadNumber(MarginInputError):
    """Not a number, not finite, or outside its range."""


class BadShape(MarginInputError):
    """A list of the wrong length, a missing part, or a part of another type."""


class UnknownName(MarginInputError):
    """A method, kind or key that nobody has defined."""


def finite(field: str, value: Any) -> float:
    """Return a finite number; a bool is none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise BadNumber(field, value, "pass a number")
    number = float(value)
    if not math.isfinite(number):
        raise BadNumber(field, value, "pass a finite number")
    return number


def positive(field: str, value: Any) -> float:
    """Return a finite number above zero."""
    number = finite(field, value)
    if number <= 0.0:
        raise BadNumber(field, value, "pass a number above zero")
    return number


def not_negative(field: str, value: Any) -> float:
    """Return a finite number of zero or more."""
    number = finite(field, value)
    if number < 0.0:
        raise BadNumber(field, value, "pass zero or more")
    return number


def within(field: str, value: Any, low: float, high: float) -> float:
    """Return a finite number between two bounds, both included."""
    number = finite(field, value)
    if not low <= number <= high:
        raise BadNumber(field, value, f"pass a number from {low:g} to {high:g}")
    return number


def between(field: str, value: Any, low: float, high: float) -> float:
    """Return a finite number strictly between two bounds."""
    number = finite(field, value)
    if not low < number < high:
        raise BadNumber(field, value, f"pass a number above {low:g} and below {high:g}")
    return number


def finite_array(field: str, values: Any, least: int = 0) -> Floats:
    """Return finite float64 numbers, at least `least` of them along the first axis."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise BadShape(field, values, "pass numbers, every row of one length") from error
    if array.ndim == 0:
        raise BadShape(field, values, "pass a list of numbers")
    if len(array) < least:
        raise BadShape(field, values, f"pass at least {least}")
    wrong = ~np.isfinite(array)
    if wrong.any():
        place = tuple(int(each) for each in np.argwhere(wrong)[0])
        where = ",".join(str(each) for each in place)
        raise BadNumber(f"{field}[{where}]", float(array[place]), "pass a finite number")
    return array


def same_length(fields: str, *arrays: Floats) -> None:
    """Refuse lists that should run in step and do not."""
    lengths = [len(each) for each in arrays]
    if len(set(lengths)) > 1:
        raise BadShape(fields, lengths, "pass lists of one length")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
