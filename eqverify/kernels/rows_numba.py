"""The loops of gradient steps, compiled, one pass each; what they compute is said in `rows_numpy`.

Sums may be taken in any order, and nothing assumes that numbers are finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.kernels.compiling import compiled, compiled_for_finite
from eqverify.kernels.constants import MOMENTS, TINY

_ONE, _TWO = MOMENTS
_TINY = TINY

Array = npt.NDArray[Any]


def through(row: Array, alpha: Array, lam: Array, offset: Array, reach: Array) -> tuple[Array, Array, Array]:
    """As `rows_numpy.through`."""
    row, alpha, lam, offset, reach = (np.ascontiguousarray(a) for a in (row, alpha, lam, offset, reach))
    shape = max(len(a) for a in (row, alpha, lam, offset, reach)), *row.shape[1:]
    pulled, lift, size = np.empty(shape), np.empty(shape[:2]), np.empty(shape[:2])
    _through(row, alpha, lam, offset, reach, pulled, lift, size)
    return pulled, lift, size


@compiled
def _through(
    row: Array, alpha: Array, lam: Array, offset: Array, reach: Array, pulled: Array, lift: Array, size: Array
) -> None:
    boxes, rows, n = pulled.shape
    for b in range(boxes):
        for r in range(rows):
            own, out = row[b % len(row), r], pulled[b, r]
            low = alpha[b % len(alpha), r % alpha.shape[1]]
            high = lam[b % len(lam), r % lam.shape[1]]
            above = offset[b % len(offset), r % offset.shape[1]]
            most = reach[b % len(reach), 0]
            total, sizes = 0.0, 0.0
            for j in range(n):
                c = own[j]
                line = c * (high[j] if c > 0.0 else low[j])
                total += max(0.0, c) * above[j]
                sizes += abs(line) * most[j]
                out[j] = line
            lift[b, r] = total
            size[b, r] = sizes


def measured(row: Array, vector: Array, size: Array) -> tuple[Array, Array]:
    """As `rows_numpy.measured`."""
    shape = max(len(a) for a in (row, vector, size)), row.shape[1]
    sums, sizes = np.empty(shape), np.empty(shape)
    _measured(np.ascontiguousarray(row), np.ascontiguousarray(vector), np.ascontiguousarray(size), sums, sizes)
    return sums, sizes


@compiled
def _measured(row: Array, vector: Array, size: Array, sums: Array, sizes: Array) -> None:
    for b in range(len(sums)):
        for r in range(row.shape[1]):
            own, factor, weight = row[b % len(row), r], vector[b % len(vector), 0], size[b % len(size), 0]
            total, most = 0.0, 0.0
            for j in range(len(own)):
                total += own[j] * factor[j]
                most += abs(own[j]) * weight[j]
            sums[b, r] = total
            sizes[b, r] = most


@compiled
def pull(row: Array, numbers: Array, side: Array, lam: Array, offset: Array) -> tuple[Array, Array]:
    """As `rows_numpy.pull`."""
    rows, n = row.shape
    zero = row.dtype.type(0)
    pulled, lift = np.empty_like(row), np.empty(rows, row.dtype)
    per_box = max(1, rows // len(lam))
    for r in range(rows):
        slope, above, total = lam[r // per_box], offset[r // per_box], zero
        own, x, out = row[r], numbers[r], pulled[r]
        if len(side):
            fixed = side[r]
            for j in range(n):
                c = own[j]
                here = c if c > zero and fixed[j] == 0 else zero
                total += here * above[j]
                line = c * (slope[j] if c > zero else x[j])
                out[j] = line if fixed[j] == 0 else (c + x[j] if fixed[j] > 0 else -x[j])
        else:
            for j in range(n):
                c = own[j]
                total += (max(zero, c)) * above[j]
                out[j] = c * (slope[j] if c > zero else x[j])
        lift[r] = total
    return pulled, lift


@compiled
def push(z: Array, row: Array, numbers: Array, side: Array, lam: Array, offset: Array) -> tuple[Array, Array]:
    """As `rows_numpy.push`."""
    rows, n = row.shape
    zero = row.dtype.type(0)
    value, gradient = np.empty_like(row), np.empty_like(row)
    per_box = max(1, rows // len(lam))
    for r in range(rows):
        slope, above = lam[r // per_box], offset[r // per_box]
        own, x, v, out, g = row[r], numbers[r], z[r], value[r], gradient[r]
        if len(side):
            fixed = side[r]
            for j in range(n):
                c = own[j]
                line = slope[j] * v[j] + above[j] if c > zero else x[j] * v[j]
                out[j] = line if fixed[j] == 0 else (v[j] if fixed[j] > 0 else zero)
                g[j] = (min(zero, c)) * v[j] if fixed[j] == 0 else (v[j] if fixed[j] > 0 else -v[j])
        else:
            for j in range(n):
                c = own[j]
                out[j] = slope[j] * v[j] + above[j] if c > zero else x[j] * v[j]
                g[j] = (min(zero, c)) * v[j]
    return value, gradient


@compiled
def corners(row: Array, centre: Array, radius: Array) -> tuple[Array, Array, Array]:
    """As `rows_numpy.corners`."""
    rows, n = row.shape
    zero = row.dtype.type(0)
    corner, here, size = np.empty_like(row), np.empty(rows, row.dtype), np.empty(rows, row.dtype)
    per_box = max(1, rows // len(centre))
    for r in range(rows):
        own, out, c, wide = row[r], corner[r], centre[r // per_box], radius[r // per_box]
        total, sizes = zero, zero
        for j in range(n):
            end = c[j] + (wide[j] if own[j] > zero else (-wide[j] if own[j] < zero else zero))
            total += own[j] * end
            sizes += abs(own[j]) * (abs(c[j]) + wide[j])
            out[j] = end
        here[r] = total
        size[r] = sizes
    return corner, here, size


@compiled_for_finite
def _largest(numbers: Array) -> Any:
    """The largest of numbers that are finite and not negative."""
    most = numbers.dtype.type(0)
    for j in range(len(numbers)):
        most = max(most, numbers[j])
    return most


@compiled
def _measure(gradient: Array, chosen: Array, fixed: Array, measured: Array) -> None:
    """A row's derivatives, each kind in units of its largest; 0 for what is not chosen or not finite."""
    real = gradient.dtype.type
    zero, unit, huge = real(0), real(1), real(np.finfo(gradient.dtype).max)
    size = np.empty((2, len(gradient)), gradient.dtype)
    for j in range(len(gradient)):
        length = abs(gradient[j])
        length = length if length <= huge else zero
        size[0, j] = length if chosen[j] and fixed[j] == 0 else zero
        size[1, j] = length if fixed[j] != 0 else zero
    slopes, multipliers = _largest(size[0]), _largest(size[1])
    slopes = unit / slopes if slopes > zero else zero
    multipliers = unit / multipliers if multipliers > zero else zero
    for j in range(len(gradient)):
        length = size[0, j] * slopes + size[1, j] * multipliers
        measured[j] = length if gradient[j] > zero else -length


@compiled
def descend(
    numbers: Array, gradient: Array, first: Array, second: Array, side: Array, free: Array,
    step: int, rate: float, length: Array,
) -> None:  # fmt: skip
    """As `rows_numpy.descend`."""
    rows, n = numbers.shape
    real = numbers.dtype.type
    zero, unit, unbounded = real(0), real(1), real(np.inf)
    one, two, new, square, tiny = real(_ONE), real(_TWO), real(1 - _ONE), real(1 - _TWO), real(_TINY)
    mean, spread = real(1 / (1 - _ONE**step)), real(1 / (1 - _TWO**step))
    near = real(rate)
    none, measured = np.zeros(n, np.int8), np.empty(n, numbers.dtype)
    per_box = max(1, rows // len(free))
    for r in range(rows):
        fixed = side[r] if len(side) else none
        _measure(gradient[r], free[r // per_box], fixed, measured)
        x, a, b, far = numbers[r], first[r], second[r], length[r]
        for j in range(n):
            g = measured[j]
            a[j] = one * a[j] + new * g
            b[j] = two * b[j] + square * g * g
            move = a[j] * mean / (np.sqrt(b[j] * spread) + tiny)
            moved = x[j] - (near if fixed[j] == 0 else far) * move
            moved = max(zero, moved)
            most = unit if fixed[j] == 0 else unbounded
            x[j] = min(most, moved)
