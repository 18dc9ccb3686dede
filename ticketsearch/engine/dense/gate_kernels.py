"""Gates, their slopes and their penalty's, in one pass over memory each.

Plain loops that LLVM turns into vector code: no branch, no double, an exponential of our own (after Cephes' ``expf``,
relative error below 1e-7), since calls to a library would undo it. The small functions are compiled apart from the
loops, whose sums may be reordered, so that nothing of theirs is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ticketsearch.engine.jit import compiled, summing

f32, i32 = np.float32, np.int32
_FLOAT, _INTEGER = ir.FloatType(), ir.IntType(32)
_LOG2E, _LN2_HIGH, _LN2_LOW = f32(1.44269504), f32(0.693359375), f32(-2.12194440e-4)
_SMALLEST, _LARGEST = f32(-87.0), f32(88.0)
_E = tuple(f32(x) for x in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5))
_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": False}
"""Said in full: what is not said, Numba takes from whichever loop is compiled first, and results depend on it."""


@intrinsic
def _as_float(_context, bits):
    """The float of these bits."""
    return types.float32(types.int32), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.FloatType())


@intrinsic
def _as_bits(_context, value):
    """The bits of a float."""
    return types.int32(types.float32), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def _round(_context, value):
    """The nearest integer."""
    return types.float32(types.float32), lambda _c, builder, _s, args: _called(builder, "llvm.rint", args)


@intrinsic
def _root(_context, value):
    """The square root."""
    return types.float32(types.float32), lambda _c, builder, _s, args: _called(builder, "llvm.sqrt", args)


def _called(builder, name, args):
    return builder.call(builder.module.declare_intrinsic(name, [_FLOAT]), args)


@njit(**_OPTIONS)
def _exp(x):
    """``exp(x)``, and where floats end, their ends; NaN stays."""
    x = _SMALLEST if x < _SMALLEST else x
    x = _LARGEST if x > _LARGEST else x
    n = _round(x * _LOG2E)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_E[0] * r + _E[1]) * r + _E[2]) * r + _E[3]) * r + _E[4]) * r + _E[5]
    p = p * (r * r) + r + f32(1.0)
    return p * _as_float(i32((i32(n) + i32(127)) << i32(23)))


@njit(**_OPTIONS)
def _sigmoid(x):
    return f32(1.0) / (f32(1.0) + _exp(-x))


@intrinsic
def _hash(_context, bits):
    """A permutation of 32 bits that looks like chance (C. Wellons' ``lowbias32``); Numba has no 32-bit arithmetic."""

    def generate(_c, b, _s, args):
        x = args[0]
        for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
            x = b.mul(b.xor(x, b.lshr(x, _INTEGER(shift))), _INTEGER(factor))
        return b.xor(x, b.lshr(x, _INTEGER(15)))

    return types.int32(types.int32), generate


@intrinsic
def _mixed(_context, index, key):
    """``0x9E3779B9 * index + key`` in 32 bits."""

    def generate(_c, b, _s, args):
        return b.add(b.mul(b.trunc(args[0], _INTEGER), _INTEGER(0x9E3779B9)), args[1])

    return types.int32(types.int64, types.int32), generate


@intrinsic
def _fraction(_context, bits):
    """The upper 23 bits as a float in (0, 1): ``(bits / 512 + 1/2) / 2**23``."""

    def generate(_c, b, _s, args):
        upper = b.sitofp(b.lshr(args[0], _INTEGER(9)), _FLOAT)
        return b.fmul(b.fadd(upper, _FLOAT(0.5)), _FLOAT(2.0**-23))

    return types.float32(types.int32), generate


@njit(**_OPTIONS)
def _uniform(key, other, k):
    """Number k of those that two keys stand for; see :func:`ticketsearch.engine.gates.uniform`."""
    return _fraction(_hash(i32(_hash(_mixed(k, key)) ^ other)))


@summing
def soft(scores, base, steepness, low, high, weights, gates, slopes):
    """Gates ``low + (high - low) * sigmoid(steepness * s)``; arrays are ``(D,)``.

    Written are ``weights = base * gates``, the gates, their slopes by s; returned is the sum of the sigmoids.
    """
    span, total = high - low, f32(0.0)
    for k in range(scores.size):
        p = _sigmoid(steepness * scores[k])
        g = low + span * p
        weights[k] = base[k] * g
        gates[k] = g
        slopes[k] = span * steepness * (p * (f32(1.0) - p))
        total += p
    return total


@compiled
def concrete(scores, base, key, other, steepness, low, high, weights, gates, slopes):
    """Gates ``low + (high - low) * sigmoid(3/2 (steepness * s + logit(u)))``, cut to [0, 1]; written as by ``soft``.

    At this temperature, 2/3, the sigmoid is ``a / (a + b exp(-3/2 steepness * s))``, a and b being u and 1 - u to the
    power of 3/2.
    """
    span, inner = high - low, f32(1.5) * steepness
    for k in range(scores.size):
        u = _uniform(key, other, k)
        v = f32(1.0) - u
        a = u * _root(u)
        p = a / (a + _exp(-inner * scores[k]) * (v * _root(v)))
        g = low + span * p
        inside = (g >= f32(0.0)) & (g <= f32(1.0))
        g = min(max(g, f32(0.0)), f32(1.0))
        weights[k] = base[k] * g
        gates[k] = g
        slopes[k] = span * inner * (p * (f32(1.0) - p)) if inside else f32(0.0)


@compiled
def cut(base, weights, gates, slopes):
    """Cut gates to [0, 1], and what follows from them."""
    for k in range(base.size):
        g = gates[k]
        slopes[k] = slopes[k] if (g >= f32(0.0)) & (g <= f32(1.0)) else f32(0.0)
        g = min(max(g, f32(0.0)), f32(1.0))
        gates[k] = g
        weights[k] = base[k] * g


@summing
def drawn(first, scores, base, key, other, steepness, weights, gates, slopes):
    """Gates that are 1 where ``u < sigmoid(steepness * s)``, with its slopes; returned is the sum of the sigmoids.

    The scores are those from number ``first`` on.
    """
    total = f32(0.0)
    for k in range(scores.size):
        p = _sigmoid(steepness * scores[k])
        g = f32(1.0) if _uniform(key, other, first + k) < p else f32(0.0)
        weights[k] = base[k] * g
        gates[k] = g
        slopes[k] = steepness * (p * (f32(1.0) - p))
        total += p
    return total


@summing
def expected(scores, steepness, shift, slopes):
    """The sum of ``sigmoid(steepness * s + shift)``; its slopes are written."""
    total = f32(0.0)
    for k in range(scores.size):
        p = _sigmoid(steepness * scores[k] + shift)
        slopes[k] = steepness * (p * (f32(1.0) - p))
        total += p
    return total


@compiled
def through(grads, base, slopes, constant, out):
    """The chain rule, from gradients by weights to those by scores; ``constant`` is added to the gates' gradients."""
    for k in range(grads.size):
        out[k] = slopes[k] * (grads[k] * base[k] + constant)
