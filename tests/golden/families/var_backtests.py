"""Kupiec and Christoffersen."""

from typing import Any

from keeper.margin import backtests
from tests.golden.vectors import Family, Vector, fields


def coverage(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    found = backtests.kupiec(inputs["N"], inputs["failures"], inputs["var_level"])
    return {"lr_pof": found.ratio, "p_value": found.p_value}


def independence(vector: Vector) -> dict[str, Any]:
    names = ("N00", "N10", "N01", "N11")
    found = backtests.christoffersen(*(vector.inputs[name] for name in names))
    return {"lr_cci": found.ratio, "p_value": found.p_value}


def conditional(vector: Vector) -> dict[str, Any]:
    """The file's own `how` gives the numbers that the empty inputs stand for."""
    del vector
    found = backtests.conditional_coverage(
        backtests.kupiec(1043, 57, 0.95), backtests.christoffersen(932, 53, 53, 4)
    )
    return {"lr_cc": found.ratio, "p_value": found.p_value}


FAMILIES = (
    Family(("*_pof*",), fields("N failures var_level"), coverage),
    Family(("*_cci*",), fields("N00 N10 N01 N11"), independence),
    Family(("*normal95_cc",), {}, conditional),
)
