"""A ladder row as one vector: numba's type for it, and the arithmetic the kernels need.

LLVM gets whole rows as vectors because its own vectoriser cannot prove that sums and ladder are not
the same memory, and does not see through the polynomials. No fast-math flag is set: every addition
is that of the numpy path, in the same order, so the bits are the same on any machine.
Imported only where numba is. Must not know margin.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import extending
from numba.core.datamodel.models import PrimitiveModel


intrinsic: Any = extending.intrinsic  # untyped, both of them
overload: Any = extending.overload
Typed = Any  # what numba's typing hands around has no types of its own
Generator = Callable[[Any, Any, Any, Any], Any]


class Columns(types.Type):
    """`width` float64, one a column of the ladder."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Columns({width})")


@extending.register_model(Columns)
class ColumnsModel(PrimitiveModel):
    """How LLVM holds them: one vector, split over as many registers as the machine needs."""

    def __init__(self, manager: Typed, columns: Typed) -> None:
        super().__init__(manager, columns, ir.VectorType(ir.DoubleType(), columns.width))


def _filled(vector: Any, number: float) -> Any:
    return ir.Constant(vector, [number] * vector.count)


def _places(first: int, count: int) -> Any:
    values = list(range(first, first + count))
    return ir.Constant(ir.VectorType(ir.IntType(32), count), values)


def _spread(builder: Any, number: Any, vector: Any) -> Any:
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, nothing, zeros)


def _bits(builder: Any, value: Any) -> Any:
    return builder.bitcast(value, ir.VectorType(ir.IntType(64), value.type.count))


# ── making them ──


@intrinsic
def columns(_: Typed, blank: Typed) -> Typed:
    """Return zeros, as many as the tuple `blank` is long: the width is part of the type."""
    found = Columns(len(blank))

    def generate(_context: Any, _builder: Any, _signature: Any, _arguments: Any) -> Any:
        return _filled(ir.VectorType(ir.DoubleType(), found.width), 0.0)

    return found(blank), generate


@intrinsic
def bare(_: Typed, shape: Typed) -> Typed:
    """Return a named tuple with its arrays as bare pointers.

    Arrays are counted references: handed from function to function inside a loop they cost
    more than the arithmetic. The entry point's caller holds them all the while.
    """
    members = [
        types.CPointer(each.dtype) if isinstance(each, types.Array) else each for each in shape
    ]
    found = types.NamedTuple(members, shape.instance_class)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = []
        for place, member in enumerate(signature.args[0]):
            part = builder.extract_value(arguments[0], place)
            if isinstance(member, types.Array):
                part = context.make_array(member)(context, builder, part).data
            parts.append(part)
        return context.make_tuple(builder, found, parts)

    return found(shape), generate


@intrinsic
def load(_: Typed, pointer: Typed, offset: Typed, like: Typed) -> Typed:
    """Return numbers from `offset` on, as many as `like` has."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, offset, like = arguments
        place = builder.bitcast(builder.gep(pointer, [offset]), like.type.as_pointer())
        return builder.load(place, align=8)

    return like(pointer, types.intp, like), generate


@intrinsic
def store(_: Typed, pointer: Typed, offset: Typed, value: Typed) -> Typed:
    """Write all columns from `offset` on."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, offset, value = arguments
        place = builder.bitcast(builder.gep(pointer, [offset]), value.type.as_pointer())
        builder.store(value, place, align=8)
        return context.get_dummy_value()

    return types.none(pointer, types.intp, value), generate


@intrinsic
def spread(_: Typed, number: Typed, like: Typed) -> Typed:
    """Return `number` in every column."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0], arguments[1].type)

    return like(types.float64, like), generate


# ── arithmetic ──


def _two(write: Callable[[Any, Any, Any], Any]) -> Any:
    """Return the intrinsic of two columns that `write` writes."""

    def two(_: Typed, left: Typed, right: Typed) -> Typed:
        return left(left, right), lambda _c, builder, _s, sides: write(builder, *sides)

    return intrinsic(two)


_plus = _two(lambda builder, left, right: builder.fadd(left, right))
_less = _two(lambda builder, left, right: builder.fsub(left, right))
_times = _two(lambda builder, left, right: builder.fmul(left, right))
_over = _two(lambda builder, left, right: builder.fdiv(left, right))
lower = _two(
    lambda builder, left, right: builder.select(builder.fcmp_ordered("<", right, left), right, left)
)
higher = _two(
    lambda builder, left, right: builder.select(builder.fcmp_ordered(">", right, left), right, left)
)
# Value made negative where the other is -0.0; +0.0 there leaves it alone.
signed_by = _two(
    lambda builder, left, right: builder.bitcast(
        builder.or_(_bits(builder, left), _bits(builder, right)), left.type
    )
)
# Value x 2^n, n = the low bits of the other.
doubled = _two(
    lambda builder, left, right: builder.bitcast(
        builder.add(
            _bits(builder, left),
            builder.shl(
                _bits(builder, right),
                ir.Constant(ir.VectorType(ir.IntType(64), left.type.count), [52] * left.type.count),
            ),
        ),
        left.type,
    )
)


def _operator(symbol: Any, two: Any) -> None:
    """Let `symbol` take two columns, or columns and a number in every one of them."""

    def typed(left: Typed, right: Typed) -> Any:
        if isinstance(left, Columns) and isinstance(right, Columns):
            return lambda left, right: two(left, right)  # noqa: PLW0108 - numba wants a function
        if isinstance(left, Columns):
            return lambda left, right: two(left, spread(right, left))
        if isinstance(right, Columns):
            return lambda left, right: two(spread(left, right), right)
        return None

    overload(symbol, strict=False)(typed)


_operator(operator.add, _plus)
_operator(operator.sub, _less)
_operator(operator.mul, _times)
_operator(operator.truediv, _over)


@intrinsic
def where_positive(_: Typed, value: Typed, chosen: Typed, other: Typed) -> Typed:
    """Return `chosen` where value > 0, else `other`."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, chosen, other = arguments
        above = builder.fcmp_ordered(">", value, _filled(value.type, 0.0))
        return builder.select(above, chosen, other)

    return value(value, chosen, other), generate


@intrinsic
def long_or_short(_: Typed, value: Typed, long: Typed, short: Typed) -> Typed:
    """Return the number `long` where value >= 0, else `short`."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, long, short = arguments
        gain = builder.fcmp_ordered(">=", value, _filled(value.type, 0.0))
        sides = (_spread(builder, number, value.type) for number in (long, short))
        return builder.select(gain, *sides)

    return value(value, types.float64, types.float64), generate


# ── taking them apart ──


@intrinsic
def counted(_: Typed, value: Typed, barred: Typed) -> Typed:
    """Return value where `barred` is 0.0, +inf elsewhere; -inf for a NaN that counts."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, barred = arguments
        lost = builder.fcmp_unordered("uno", value, value)
        kept = builder.select(lost, _filled(value.type, float("-inf")), value)
        free = builder.fcmp_ordered("==", barred, _filled(value.type, 0.0))
        return builder.select(free, kept, _filled(value.type, float("inf")))

    return value(value, barred), generate


@intrinsic
def index_of(_: Typed, value: Typed, number: Typed, index: Typed) -> Typed:
    """Return `index` where value equals `number`, +inf elsewhere."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, number, index = arguments
        same = builder.fcmp_ordered("==", value, _spread(builder, number, value.type))
        return builder.select(same, index, _filled(value.type, float("inf")))

    return value(value, types.float64, index), generate


@intrinsic
def first_three(_: Typed, value: Typed) -> Typed:
    """Return the first three columns: the mark and the two basis shocks."""
    three = types.UniTuple(types.float64, 3)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        at = (ir.Constant(ir.IntType(32), place) for place in range(3))
        found = [builder.extract_element(arguments[0], place) for place in at]
        return context.make_tuple(builder, three, found)

    return three(value), generate


@intrinsic
def least(_: Typed, value: Typed) -> Typed:
    """Return the smallest column; no NaN may be among them."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def part(whole: Any, first: int, count: int) -> Any:
            nothing = ir.Constant(whole.type, ir.Undefined)
            return builder.shuffle_vector(whole, nothing, _places(first, count))

        def lesser(left: Any, right: Any) -> Any:
            return builder.select(builder.fcmp_ordered("<", right, left), right, left)

        value = arguments[0]
        lowest = part(value, 0, 8)
        for first in range(8, value.type.count, 8):
            lowest = lesser(lowest, part(value, first, 8))
        for half in (4, 2, 1):
            lowest = lesser(part(lowest, 0, half), part(lowest, half, half))
        return builder.extract_element(lowest, ir.Constant(ir.IntType(32), 0))

    return types.float64(value), generate
