"""Short vectors for numba: the one thing the MPN's kernels need that numba does not have.

A `Vector` holds `lanes(array)` numbers, one per neuron, in registers. `+ - * / < >` work lane by
lane, with a vector or a scalar on either side. LLVM cuts a vector to the width of the machine, so
this is tied to no kind of processor. Why not plain loops that LLVM vectorises by itself: they ran
at a third of the speed (checks for overlapping arrays, and sums kept in memory, not registers).

NaN and infinity behave as in scalar code: the only liberty taken is to contract a * b + c.

`no_type_check` keeps jaxtyping's import hook from wrapping what numba compiles.

Imports numba: import it late.
"""

from __future__ import annotations

import math
import operator
from typing import Any, no_type_check

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_jitable, register_model

BYTES = 256  # of one vector: enough sums side by side to hide the latency of each
LINE = 64  # bytes in a cache line
INDEX = ir.IntType(32)


class Vector(types.Type):
    """`lanes` numbers (or truth values, where `dtype` is boolean) held in registers."""

    def __init__(self, dtype: types.Type, lanes: int) -> None:
        self.dtype: Any = dtype  # numba's types are not annotated
        self.lanes = lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector: Vector) -> None:
        super().__init__(manager, vector, _llvm(vector))


def _llvm(vector: Vector) -> ir.VectorType:
    elements = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
    return ir.VectorType(elements.get(vector.dtype, ir.IntType(1)), vector.lanes)


def _vector_of(dtype: Any) -> Vector:
    return Vector(dtype, BYTES * 8 // dtype.bitwidth)


def _call(builder, name: str, vector: Vector, result: ir.Type, args: list, fastmath: tuple = ()):
    """Call LLVM's own function `name` for this kind of vector."""
    kind = ir.FunctionType(result, [a.type for a in args])
    name = f"llvm.{name}.v{vector.lanes}f{vector.dtype.bitwidth}"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, args, fastmath=fastmath)


def _spread(builder, scalar, lanes: int):
    """A vector with `scalar` in every lane."""
    kind, zero = ir.VectorType(scalar.type, lanes), ir.Constant(INDEX, 0)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, zero)
    everywhere = ir.Constant(ir.VectorType(INDEX, lanes), [0] * lanes)
    return builder.shuffle_vector(first, first, everywhere)


# Memory -------------------------------------------------------------------------------------


@register_jitable
@no_type_check
def lanes(array):
    """How many of the array's numbers a vector holds."""
    return BYTES // array.itemsize


@register_jitable
@no_type_check
def rows(count, like):
    """Memory for `count` vectors, all zero, each at the start of a cache line."""
    size = count * lanes(like)
    memory = np.zeros(size + LINE // like.itemsize, like.dtype)
    start = (-memory.ctypes.data % LINE) // like.itemsize
    return memory[start : start + size]


def _pointer(context, builder, array_type, array, offset, vector: Vector):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _llvm(vector).as_pointer())


def _row(builder, row, vector: Vector):
    return builder.mul(row, ir.Constant(row.type, vector.lanes))


def _first(builder, count, lanes: int):
    """The mask of the first `count` lanes."""
    places = ir.Constant(ir.VectorType(INDEX, lanes), list(range(lanes)))
    return builder.icmp_signed("<", places, _spread(builder, builder.trunc(count, INDEX), lanes))


@intrinsic
def get(typing_context, array, row):
    """Vector number `row` of what `rows` gave."""
    vector = _vector_of(array.dtype)

    def code(context, builder, signature, args):
        offset = _row(builder, args[1], vector)
        value = builder.load(_pointer(context, builder, signature.args[0], args[0], offset, vector))
        value.align = LINE
        return value

    return vector(array, types.intp), code


@intrinsic
def put(typing_context, array, row, value):
    """Vector number `row` of what `rows` gave = value."""

    def code(context, builder, signature, args):
        offset = _row(builder, args[1], value)
        pointer = _pointer(context, builder, signature.args[0], args[0], offset, value)
        builder.store(args[2], pointer).align = LINE
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code


@intrinsic
def load(typing_context, array, start, count):
    """`count` numbers of a contiguous array from its number `start` on; 0 in the other lanes."""
    vector = _vector_of(array.dtype)

    def code(context, builder, signature, args):
        kind = _llvm(vector)
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], vector)
        align = ir.Constant(INDEX, array.dtype.bitwidth // 8)
        mask = _first(builder, args[2], vector.lanes)
        nothing = ir.Constant(kind, [0.0] * vector.lanes)
        return _call(builder, "masked.load", vector, kind, [pointer, align, mask, nothing])

    return vector(array, types.intp, types.intp), code


@intrinsic
def store(typing_context, array, start, value, count):
    """The first `count` lanes into a contiguous array, from its number `start` on."""

    def code(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], value)
        align = ir.Constant(INDEX, value.dtype.bitwidth // 8)
        mask = _first(builder, args[3], value.lanes)
        _call(builder, "masked.store", value, ir.VoidType(), [args[2], pointer, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.intp), code


@intrinsic
def expect(typing_context, array, start):
    """Have the cache fetch a vector's worth from number `start` on: it will be needed soon.

    Any start will do: nothing is read, and a place outside the array is passed over.
    """

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        bytes_ = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [bytes_.type, INDEX, INDEX, INDEX])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for k in range(0, BYTES, LINE):
            place = builder.gep(bytes_, [ir.Constant(ir.IntType(64), k)])
            builder.call(function, [place, *(ir.Constant(INDEX, flag) for flag in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), code


# Arithmetic ---------------------------------------------------------------------------------


@intrinsic
def spread(typing_context, scalar, like):
    """A vector with `scalar` in every lane, of the kind of the vector (or array) `like`."""
    vector = _vector_of(like.dtype)

    def code(context, builder, signature, args):
        number = context.cast(builder, args[0], signature.args[0], vector.dtype)
        return _spread(builder, number, vector.lanes)

    return vector(scalar, like), code


def _lane_by_lane(symbol, build, truth: bool = False) -> None:
    """Define an operator on vectors from the LLVM instruction that `build` writes."""

    @intrinsic
    def instruction(typing_context, a, b):
        def code(context, builder, signature, args):
            return build(builder, *args)

        return (Vector(types.boolean, a.lanes) if truth else a)(a, b), code

    @overload(symbol)
    def choose(a, b):
        if isinstance(a, Vector) and isinstance(b, Vector):
            return lambda a, b: instruction(a, b)
        if isinstance(a, Vector) and isinstance(b, types.Number):
            return lambda a, b: instruction(a, spread(b, a))
        if isinstance(b, Vector) and isinstance(a, types.Number):
            return lambda a, b: instruction(spread(a, b), b)
        return None


_FUSE = ("contract",)
_lane_by_lane(operator.add, lambda builder, a, b: builder.fadd(a, b, flags=_FUSE))
_lane_by_lane(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=_FUSE))
_lane_by_lane(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=_FUSE))
_lane_by_lane(operator.truediv, lambda builder, a, b: builder.fdiv(a, b, flags=_FUSE))
_lane_by_lane(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), truth=True)
_lane_by_lane(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), truth=True)
_lane_by_lane(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), truth=True)
_lane_by_lane(operator.ge, lambda builder, a, b: builder.fcmp_ordered(">=", a, b), truth=True)


@intrinsic
def where(typing_context, truth, a, b):
    """a where true, else b, lane by lane (a NaN compares false)."""

    def code(context, builder, signature, args):
        return builder.select(*args)

    return a(truth, a, b), code


@intrinsic
def total(typing_context, a, count):
    """The sum over the first `count` lanes, always in the same order."""

    def code(context, builder, signature, args):
        kind = _llvm(a)
        zero = ir.Constant(kind.element, 0.0)
        nothing = ir.Constant(kind, [0.0] * a.lanes)
        value = builder.select(_first(builder, args[1], a.lanes), args[0], nothing)
        return _call(builder, "vector.reduce.fadd", a, kind.element, [zero, value], ("reassoc",))

    return a.dtype(a, types.intp), code


@register_jitable
@no_type_check
def clip(a, low, high):
    """a within [low, high]; a NaN stays one."""
    a = where(a < low, spread(low, a), a)
    return where(a > high, spread(high, a), a)


@intrinsic
def _exact_tanh(typing_context, a):
    """math.tanh of one lane after the other."""

    def code(context, builder, signature, args):
        function = context.get_function(math.tanh, a.dtype(a.dtype))
        result = args[0]
        for lane in range(a.lanes):
            place = ir.Constant(INDEX, lane)
            number = function(builder, [builder.extract_element(args[0], place)])
            result = builder.insert_element(result, number, place)
        return result

    return a(a), code


# tanh(z) = z P(z^2) / Q(z^2), fitted by minimising the largest relative error on [0, 9.01]
# (1e-7), beyond which tanh is 1 in float32. Lowest power first.
_P = tuple(map(np.float32, (1, 0.13305041, 3.4052057e-3, 1.9124818e-5, 1.1325271e-8)))
_Q = tuple(map(np.float32, (1, 0.46638352, 2.5533419e-2, 3.1378251e-4, 6.9389961e-7)))


@no_type_check
def _rational_tanh(z):
    z = clip(z, np.float32(-9.01), np.float32(9.01))
    s = z * z
    P = ((((_P[4] * s + _P[3]) * s) + _P[2]) * s + _P[1]) * s + _P[0]
    Q = ((((_Q[4] * s + _Q[3]) * s) + _Q[2]) * s + _Q[1]) * s + _Q[0]
    return clip(z * P / Q, np.float32(-1), np.float32(1))


def tanh(z):
    """tanh of each lane: to 4e-7 relative in float32, exactly as `math.tanh` in float64."""


@overload(tanh)
def _choose_tanh(z):
    if z.dtype == types.float32:
        return _rational_tanh
    return lambda z: _exact_tanh(z)
