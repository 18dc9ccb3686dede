"""Vector micro-kernels for the sparse engine, written in LLVM's vector IR.

Activations are feature-major: a *row* is one feature over the whole batch, ``T`` vectors of 16 float32 lanes next to
each other. A kept weight (r, c) then costs T fused multiply-adds in each of the three products, and all three walk
whole rows:

* forward:   ``out[r] = f(bias[r] + sum over kept c of w[r, c] * x[c])``
* backward:  ``dx[c] = sum over kept r of w[r, c] * d[r]``, the same walk over the transposed structure
* gradient:  ``g[r, c] = <d[r], x[c]>`` for kept (r, c) only

A row's T accumulators stay in registers, which a loop that Numba vectorises by itself would not achieve. T is
a compile-time constant, passed as the length of a tuple of integers. LLVM splits the 16 lanes into
whatever registers the machine has, so the same code runs with AVX-512, AVX2, SSE or NEON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
_F32 = ir.FloatType()
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)


class _Row:
    """Builder helpers for a row of T vectors."""

    def __init__(self, builder: Any, tiles: int) -> None:
        self.b, self.tiles = builder, tiles
        self.fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
        )
        self.zero = ir.Constant(_VECTOR, [0.0] * LANES)

    def at(self, base: Any, index: Any, row_bytes: Any) -> Any:
        """Address of row ``index`` of a matrix whose rows are ``row_bytes`` long."""
        return self.b.add(base, self.b.mul(index, row_bytes))

    def vector(self, address: Any, tile: int) -> Any:
        pointer = self.b.inttoptr(self.b.add(address, _i64(4 * LANES * tile)), _VECTOR.as_pointer())
        return self.b.load(pointer, align=4)

    def store(self, value: Any, address: Any, tile: int) -> None:
        pointer = self.b.inttoptr(self.b.add(address, _i64(4 * LANES * tile)), _VECTOR.as_pointer())
        self.b.store(value, pointer, align=4)

    def splat(self, scalar: Any) -> Any:
        single = self.b.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, _i32(0))
        return self.b.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), _zeros())

    def scalar(self, base: Any, index: Any, kind: Any) -> Any:
        pointer = self.b.inttoptr(self.b.add(base, self.b.mul(index, _i64(4))), kind.as_pointer())
        return self.b.load(pointer, align=4)

    def index(self, base: Any, position: Any) -> Any:
        return self.b.sext(self.scalar(base, position, _I32), _I64)

    def sum(self, vector: Any) -> Any:
        """Horizontal sum: halves folded upon each other."""
        width = LANES
        while width > 1:
            width //= 2
            undefined = ir.Constant(ir.VectorType(_F32, 2 * width), ir.Undefined)
            vector = self.add_shuffled(vector, undefined, list(range(width)), list(range(width, 2 * width)))
        return self.b.extract_element(vector, _i32(0))

    def sum4(self, vectors: list[Any]) -> Any:
        """The horizontal sums of four vectors as one ``<4 x float>``: a third of the shuffles of four single sums."""
        a, b, c, d = vectors
        low = [4 * lane + k + LANES * second for lane in range(LANES // 4) for k in (0, 1) for second in (0, 1)]
        high = [index + 2 for index in low]
        ab, cd = self.add_shuffled(a, b, low, high), self.add_shuffled(c, d, low, high)
        low = [4 * lane + k + LANES * second for lane in range(LANES // 4) for second in (0, 1) for k in (0, 1)]
        total = self.add_shuffled(ab, cd, low, [index + 2 for index in low])
        width = LANES
        while width > 4:
            width //= 2
            undefined = ir.Constant(ir.VectorType(_F32, 2 * width), ir.Undefined)
            total = self.add_shuffled(total, undefined, list(range(width)), list(range(width, 2 * width)))
        return total

    def add_shuffled(self, a: Any, b: Any, first: list[int], second: list[int]) -> Any:
        """``shuffle(a, b, first) + shuffle(a, b, second)``."""
        kind = ir.VectorType(_I32, len(first))
        parts = [self.b.shuffle_vector(a, b, ir.Constant(kind, indices)) for indices in (first, second)]
        return self.b.fadd(*parts)


def _i64(value: int) -> Any:
    return ir.Constant(_I64, value)


def _i32(value: int) -> Any:
    return ir.Constant(_I32, value)


def _zeros() -> Any:
    return ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)


def _accumulate(row: _Row, args: Any, *, transposed: bool) -> list[Any]:
    """``start + sum over entries j in [first, last) of value(j) * source[index[j]]`` as T vectors."""
    b = row.b
    first, last, index, order, values, source, row_bytes, start = args
    sums = [cgutils.alloca_once(b, _VECTOR) for _ in range(row.tiles)]
    for accumulator in sums:
        b.store(row.splat(start), accumulator)

    def add(j: Any, accumulators: list[Any]) -> None:
        slot = row.index(order, j) if transposed else j
        weight = row.splat(row.scalar(values, slot, _F32))
        address = row.at(source, row.index(index, j), row_bytes)
        for tile, accumulator in enumerate(accumulators):
            b.store(b.call(row.fma, [weight, row.vector(address, tile), b.load(accumulator)]), accumulator)

    if row.tiles == 1:  # four sums at a time: each addition to a single one would wait for the one before
        more = [cgutils.alloca_once(b, _VECTOR) for _ in range(3)]
        for accumulator in more:
            b.store(row.zero, accumulator)
        fours = b.add(first, b.and_(b.sub(last, first), _i64(-4)))
        with cgutils.for_range_slice(b, first, fours, _i64(4), _I64) as (j, _):
            for k, accumulator in enumerate([*sums, *more]):
                add(b.add(j, _i64(k)), [accumulator])
        first = fours
        for accumulator in more:
            b.store(b.fadd(b.load(sums[0]), b.load(accumulator)), sums[0])
    with cgutils.for_range_slice(b, first, last, _i64(1), _I64) as (j, _):
        add(j, sums)
    return [b.load(accumulator) for accumulator in sums]


@intrinsic
def forward_row(_context, tiles, first, last, index, values, source, row_bytes, start, rectify, out):
    """``out = f(start + sum_j values[j] * source[index[j]])``; f is ReLU if ``rectify``. NaN passes through."""
    signature = types.void(
        tiles,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.float32,
        types.boolean,
        types.int64,
    )

    def generate(_ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, first, last, index, values, source, row_bytes, start, rectify, out = args
        row = _Row(builder, len(sig.args[0]))
        sums = _accumulate(row, (first, last, index, index, values, source, row_bytes, start), transposed=False)
        for tile, total in enumerate(sums):
            negative = builder.fcmp_ordered("<", total, row.zero)
            cut = builder.select(negative, row.zero, total)
            row.store(builder.select(rectify, cut, total), out, tile)
        return _ctx.get_dummy_value()

    return signature, generate


@intrinsic
def backward_row(_context, tiles, first, last, index, order, values, source, row_bytes, active, rectify, out):
    """``out = sum_j values[order[j]] * source[index[j]]``, zero where ``rectify`` and ``active`` is not positive."""
    signature = types.void(
        tiles,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.boolean,
        types.int64,
    )

    def generate(_ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, first, last, index, order, values, source, row_bytes, active, rectify, out = args
        row = _Row(builder, len(sig.args[0]))
        sums = _accumulate(
            row,
            (first, last, index, order, values, source, row_bytes, ir.Constant(_F32, 0.0)),
            transposed=True,
        )
        for tile, total in enumerate(sums):
            positive = builder.fcmp_ordered(">", row.vector(active, tile), row.zero)
            cut = builder.select(positive, total, row.zero)
            row.store(builder.select(rectify, cut, total), out, tile)
        return _ctx.get_dummy_value()

    return signature, generate


@intrinsic
def gradient_row(_context, tiles, first, last, index, source, row_bytes, delta, add, out):
    """``out[j] = <delta, source[index[j]]>`` for j in [first, last), added to what is there if ``add``.

    Returns the sum of ``delta``: the gradient of the bias.
    """
    signature = types.float32(
        tiles, types.int64, types.int64, types.int64, types.int64, types.int64, types.int64, types.boolean, types.int64
    )

    def generate(_ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, first, last, index, source, row_bytes, delta, add, out = args
        row = _Row(builder, len(sig.args[0]))
        deltas = [row.vector(delta, tile) for tile in range(row.tiles)]

        def product(j: Any) -> Any:
            address = row.at(source, row.index(index, j), row_bytes)
            even, odd = row.zero, row.zero
            for tile, own in enumerate(deltas):
                even, odd = odd, builder.call(row.fma, [own, row.vector(address, tile), even])
            return builder.fadd(even, odd)

        def put(j: Any, value: Any) -> None:
            place = builder.add(out, builder.mul(j, _i64(4)))
            pointer = builder.inttoptr(place, value.type.as_pointer())
            before = builder.select(add, builder.load(pointer, align=4), ir.Constant(value.type, None))
            builder.store(builder.fadd(value, before), pointer, align=4)

        fours = builder.add(first, builder.and_(builder.sub(last, first), _i64(-4)))
        with cgutils.for_range_slice(builder, first, fours, _i64(4), _I64) as (j, _):
            put(j, row.sum4([product(builder.add(j, _i64(k))) for k in range(4)]))
        with cgutils.for_range_slice(builder, fours, last, _i64(1), _I64) as (j, _):
            put(j, row.sum(product(j)))
        total = row.zero
        for own in deltas:
            total = builder.fadd(total, own)
        return row.sum(total)

    return signature, generate


def block_rows(tiles: int) -> int:
    """Rows of a dense block: as many as have their accumulators in 32 vector registers."""
    return max(1, min(4, 28 // tiles))


@intrinsic
def dense_block(_context, tiles, count, values, across, along, source, row_bytes, biases, active, mode, out):
    """Rows k = 0, 1, ... of a block: ``out[k] = f(sum over i < count of value(k, i) * source[i])``.

    ``value(k, i)`` lies at ``values + k * across + i * along`` bytes. Each row of ``source`` is read once for the whole
    block. ``mode`` says what f is: 0 adds ``biases[k]``; 1 adds it and applies ReLU; 2 is zero where ``active[k]`` is
    not positive; 3 is the identity.
    """
    int64 = types.int64
    signature = types.void(tiles, *(int64,) * 8, types.int64, int64)

    def generate(_ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, count, values, across, along, source, row_bytes, biases, active, mode, out = args
        row = _Row(builder, len(sig.args[0]))
        rows = range(block_rows(row.tiles))
        sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(row.tiles)] for _ in rows]
        for k in rows:
            for accumulator in sums[k]:
                builder.store(row.zero, accumulator)
        with cgutils.for_range(builder, count, intp=_I64) as loop:
            address = row.at(source, loop.index, row_bytes)
            place = builder.add(values, builder.mul(loop.index, along))
            weights = [
                row.splat(row.scalar(builder.add(place, builder.mul(across, _i64(k))), _i64(0), _F32)) for k in rows
            ]
            for tile in range(row.tiles):
                vector = row.vector(address, tile)
                for k in rows:
                    total = builder.call(row.fma, [weights[k], vector, builder.load(sums[k][tile])])
                    builder.store(total, sums[k][tile])
        forward = builder.icmp_signed("<", mode, _i64(2))
        relu, gate = (builder.icmp_signed("==", mode, _i64(value)) for value in (1, 2))
        for k in rows:
            own = builder.mul(row_bytes, _i64(k))
            with builder.if_else(forward) as (then, otherwise):
                with then:
                    bias = row.splat(row.scalar(biases, _i64(k), _F32))
                    for tile in range(row.tiles):
                        total = builder.fadd(builder.load(sums[k][tile]), bias)
                        cut = builder.select(builder.fcmp_ordered("<", total, row.zero), row.zero, total)
                        row.store(builder.select(relu, cut, total), builder.add(out, own), tile)
                with otherwise:
                    for tile in range(row.tiles):
                        total = builder.load(sums[k][tile])
                        positive = builder.fcmp_ordered(">", row.vector(builder.add(active, own), tile), row.zero)
                        cut = builder.select(positive, total, row.zero)
                        row.store(builder.select(gate, cut, total), builder.add(out, own), tile)
        return _ctx.get_dummy_value()

    return signature, generate


@intrinsic
def dense_gradient(_context, tiles, source, delta, row_bytes, across, add, out):
    """A 4 x 4 block of a dense layer's gradient: ``out[k, i] = <delta[k], source[i]>``, rows ``across`` bytes apart."""
    int64 = types.int64
    signature = types.void(tiles, int64, int64, int64, int64, types.boolean, int64)

    def generate(_ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, source, delta, row_bytes, across, add, out = args
        row = _Row(builder, len(sig.args[0]))
        sums: list[list[Any]] = [[row.zero] * 4 for _ in range(4)]
        for tile in range(row.tiles):
            vectors = [row.vector(builder.add(source, builder.mul(row_bytes, _i64(i))), tile) for i in range(4)]
            for k in range(4):
                own = row.vector(builder.add(delta, builder.mul(row_bytes, _i64(k))), tile)
                sums[k] = [
                    builder.call(row.fma, [own, vector, total]) for vector, total in zip(vectors, sums[k], strict=True)
                ]
        for k in range(4):
            four = row.sum4(sums[k])
            pointer = builder.inttoptr(builder.add(out, builder.mul(across, _i64(k))), four.type.as_pointer())
            before = builder.select(add, builder.load(pointer, align=4), ir.Constant(four.type, None))
            builder.store(builder.fadd(four, before), pointer, align=4)
        return _ctx.get_dummy_value()

    return signature, generate


def _window(row: _Row, side: Any, place: Any, pitch: Any, use: Callable[[Any], None]) -> None:
    """Call ``use`` for the address of each of ``side * side`` vectors, rows ``pitch`` bytes apart, in order."""
    with cgutils.for_range(row.b, side, intp=_I64) as down, cgutils.for_range(row.b, side, intp=_I64) as across:
        above = row.b.add(place, row.b.mul(down.index, pitch))
        use(row.b.add(above, row.b.mul(across.index, _i64(4 * LANES))))


@intrinsic
def pool_run(_context, side, count, source, pitch, out):
    """``out[k]`` = the largest of ``side * side`` vectors for each of ``count`` windows, lane by lane; or NaN."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        side, count, source, pitch, out = args
        row = _Row(builder, 1)
        best = cgutils.alloca_once(builder, _VECTOR)
        with cgutils.for_range(builder, count, intp=_I64) as loop:
            place = row.at(source, builder.mul(loop.index, side), _i64(4 * LANES))
            builder.store(row.vector(place, 0), best)

            def use(address: Any) -> None:
                value = row.vector(address, 0)
                higher = builder.fcmp_unordered(">", value, builder.load(best))  # keeps NaN only from ``value``
                kept = builder.fcmp_unordered("uno", builder.load(best), builder.load(best))
                chosen = builder.select(higher, value, builder.load(best))
                builder.store(builder.select(kept, builder.load(best), chosen), best)

            _window(row, side, place, pitch, use)
            row.store(builder.load(best), row.at(out, loop.index, _i64(4 * LANES)), 0)
        return _ctx.get_dummy_value()

    return types.void(*(types.int64,) * 5), generate


@intrinsic
def unpool_run(_context, side, count, source, pitch, best, delta, out):
    """The gradient ``delta[k]`` of each window's maximum ``best[k]``, to the first that equals it and is positive.

    ``source`` and ``out`` are laid out alike; all vectors of the windows are written.
    """

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        side, count, source, pitch, best, delta, out = args
        row = _Row(builder, 1)
        left = cgutils.alloca_once(builder, _VECTOR)  # the gradient where it has not gone anywhere yet
        shift = builder.sub(out, source)
        with cgutils.for_range(builder, count, intp=_I64) as loop:
            own = builder.mul(loop.index, _i64(4 * LANES))
            peak = row.vector(builder.add(best, own), 0)
            positive = builder.fcmp_ordered(">", peak, row.zero)
            builder.store(builder.select(positive, row.vector(builder.add(delta, own), 0), row.zero), left)

            def use(address: Any) -> None:
                here = builder.fcmp_ordered("==", row.vector(address, 0), peak)
                row.store(builder.select(here, builder.load(left), row.zero), builder.add(address, shift), 0)
                builder.store(builder.select(here, row.zero, builder.load(left)), left)

            _window(row, side, row.at(source, builder.mul(loop.index, side), _i64(4 * LANES)), pitch, use)
        return _ctx.get_dummy_value()

    return types.void(*(types.int64,) * 7), generate


@intrinsic
def power_of_two(_context, exponent):
    """``2 ** exponent`` for a whole float32 in [-126, 127], by its bits: 32-bit throughout, so that it vectorises."""

    def generate(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        biased = builder.add(builder.fptosi(args[0], _I32), _i32(127))
        return builder.bitcast(builder.shl(biased, _i32(23)), _F32)

    return types.float32(types.float32), generate
