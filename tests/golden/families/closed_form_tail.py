"""Normal and Student-t tails in closed form."""

import math
from typing import Any

from keeper.margin.var import normal_tail, student_tail
from tests.golden.vectors import Family, Vector, fields


YEAR_DAYS = 250


def tails(vector: Vector) -> dict[str, Any]:
    inputs = vector.inputs
    deviation = inputs["position"] * inputs["vol"] / math.sqrt(YEAR_DAYS)
    normal = normal_tail(deviation, inputs["alpha"])
    student = student_tail(deviation, inputs["alpha"], inputs["nu"])
    nu = inputs["nu"]
    return {
        "var_normal": normal.var,
        "es_normal": normal.es,
        "var_t4": student.var,  # the file's name for it, whatever nu is
        "es_t4": student.es,
        f"var_t{nu:g}": student.var,
        f"es_t{nu:g}": student.es,
    }


FAMILIES = (Family(("*",), fields("position vol alpha nu"), tails),)
