"""Convolutions, compiled; what they compute is said in `windows_numpy`.

Rows stand side by side in blocks, so that every weight multiplies a run of numbers.  At each position of the result,
the parts of the window that are 0 in all rows of a block are left out: inactive units, and what lies outside of what
the rows' units read.  Sums may be taken in any order (the rounding contract of `LinearMap` allows any), and nothing
assumes that numbers are finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.kernels.compiling import compiled
from eqverify.kernels.windows_numpy import Window

Array = npt.NDArray[Any]

_LANES = 64
"""Rows in a block."""

_STRIP = 4
"""Rows of pixels whose units may share a block."""


def forward(rows: Array, kernel: Array, window: Window) -> Array:
    """As `windows_numpy.forward`, for one or two axes."""
    numbers, groups = window.numbers(kernel.shape), window.groups
    taps = np.ascontiguousarray(kernel.reshape(groups, kernel.shape[0] // groups, -1))
    return _in_blocks(rows, kernel.shape[0] * window.outputs, taps, numbers, True)


def backward(rows: Array, kernel: Array, window: Window) -> Array:
    """As `windows_numpy.backward`, for one or two axes."""
    numbers, groups = window.numbers(kernel.shape), window.groups
    grouped = kernel.reshape(groups, kernel.shape[0] // groups, kernel.shape[1], -1)
    taps = np.ascontiguousarray(grouped.transpose(0, 2, 1, 3)).reshape(groups, kernel.shape[1], -1)
    return _in_blocks(rows, kernel.shape[1] * groups * window.inputs, taps, numbers, False)


def _in_blocks(rows: Array, size: int, taps: Array, numbers: Any, ahead: bool) -> Array:
    result = np.empty((len(rows), size), dtype=rows.dtype)
    source = _aligned(rows.shape[1] + 1, rows.dtype)  # the last one stays 0
    target = _aligned(size + 1, rows.dtype)  # the last one is for channels without a partner
    rows = np.ascontiguousarray(rows)
    _all_blocks(rows, _order(rows, numbers, ahead), result, source, target, taps, numbers, ahead)
    return result


def _order(rows: Array, numbers: Any, ahead: bool) -> Array:
    """Rows sorted by where they begin not to be 0, so that those of a block have their zeros in common."""
    (high, wide) = numbers[3:5] if ahead else numbers[7:9]
    place = _first(rows) % (high * wide)
    return np.argsort(place // wide // _STRIP * wide + place % wide, kind="stable")


@compiled
def _first(rows: Array) -> Array:
    """(rows,) the first component that is not 0."""
    result = np.zeros(len(rows), np.int64)
    for r in range(len(rows)):
        for i in range(rows.shape[1]):
            if rows[r, i] != 0:
                result[r] = i
                break
    return result


def _aligned(size: int, dtype: Any) -> Array:
    """(size, lanes) zeros that begin with a cache line: a run that lies across two takes twice as long."""
    space = np.zeros(size * _LANES + 64, dtype=dtype)
    start = -space.ctypes.data % 64 // space.itemsize
    return space[start : start + size * _LANES].reshape(size, _LANES)


@compiled
def _all_blocks(
    rows: Array, order: Array, result: Array, source: Array, target: Array, taps: Array, numbers: Any, ahead: bool
) -> None:
    for start in range(0, len(rows), _LANES):
        own = order[start : start + _LANES]
        _turn(rows, own, source)
        _block(source, target, taps, numbers, ahead)
        _turn_back(target, own, result)


@compiled
def _turn(rows: Array, own: Array, source: Array) -> None:
    """Some rows side by side: a cache line of each at a time."""
    for first in range(0, rows.shape[1], 16):
        for lane in range(len(own)):
            row = rows[own[lane]]
            for i in range(first, min(first + 16, rows.shape[1])):
                source[i, lane] = row[i]
    source[:, len(own) :] = 0


@compiled
def _turn_back(target: Array, own: Array, result: Array) -> None:
    for first in range(0, result.shape[1], 16):
        for lane in range(len(own)):
            row = result[own[lane]]
            for i in range(first, min(first + 16, result.shape[1])):
                row[i] = target[i, lane]


@compiled
def _zero(source: Array) -> Array:
    """Which components are 0 in all rows."""
    result = np.empty(len(source), np.bool_)
    for i in range(len(source)):
        any_number = False
        for lane in range(_LANES):
            any_number |= source[i, lane] != 0
        result[i] = not any_number
    return result


@compiled
def _reads_ahead(y: int, x: int, numbers: Any, zero: Array, group: int, place: Array, tap: Array) -> int:
    """What an output position reads: places in the source and in the taps, and how many."""
    (_, _, ins, high, wide, up, across, _, _, step, stride, apart, gap, top, left, _, _) = numbers
    found = 0
    for u in range(up):
        down = y * step + u * apart - top
        for v in range(across):
            over = x * stride + v * gap - left
            if not (0 <= down < high and 0 <= over < wide):
                continue
            for c in range(ins):
                at = ((group * ins + c) * high + down) * wide + over
                if not zero[at]:
                    place[found] = at
                    tap[found] = (c * up + u) * across + v
                    found += 1
    return found


@compiled
def _reads_back(y: int, x: int, numbers: Any, zero: Array, group: int, place: Array, tap: Array) -> int:
    """What reads an input position: likewise."""
    (_, outs, _, _, _, up, across, tall, broad, step, stride, apart, gap, top, left, _, _) = numbers
    found = 0
    for u in range(up):
        down = y + top - u * apart
        for v in range(across):
            over = x + left - v * gap
            if down < 0 or over < 0 or down % step or over % stride:
                continue
            if down // step >= tall or over // stride >= broad:
                continue
            for c in range(outs):
                at = ((group * outs + c) * tall + down // step) * broad + over // stride
                if not zero[at]:
                    place[found] = at
                    tap[found] = (c * up + u) * across + v
                    found += 1
    return found


@compiled
def _block(source: Array, target: Array, taps: Array, numbers: Any, ahead: bool) -> None:
    """One block of rows: (components, lanes) to (components, lanes)."""
    groups, outs, ins, high, wide, _, _, tall, broad = numbers[:9]
    channels, tall, broad = (outs, tall, broad) if ahead else (ins, high, wide)
    zero, most = _zero(source), taps.shape[2]
    place, tap = np.empty(most + 4, np.int64), np.empty(most + 4, np.int64)
    for group in range(groups):
        for y in range(tall):
            for x in range(broad):
                if ahead:
                    found = _reads_ahead(y, x, numbers, zero, group, place, tap)
                else:
                    found = _reads_back(y, x, numbers, zero, group, place, tap)
                for i in range(found, (found + 3) // 4 * 4):
                    place[i] = len(source) - 1
                    tap[i] = 0
                for c in range(0, channels, 2):
                    at = ((group * channels + c) * tall + y) * broad + x
                    pair = at + tall * broad if c + 1 < channels else len(target) - 1
                    weights, others = taps[group, c], taps[group, min(c + 1, channels - 1)]
                    _sum_two(source, target[at], target[pair], weights, others, place, tap, found)


@compiled
def _sum_two(
    source: Array, out: Array, other: Array, weights: Array, others: Array, place: Array, tap: Array, found: int
) -> None:
    """Two channels of the result at a position: sums of weights times runs of the source."""
    for lane in range(_LANES):
        out[lane] = 0
        other[lane] = 0
    for i in range(0, found, 4):
        a, b, c, d = source[place[i]], source[place[i + 1]], source[place[i + 2]], source[place[i + 3]]
        a0, b0, c0, d0 = (weights[tap[i]], weights[tap[i + 1]], weights[tap[i + 2]], weights[tap[i + 3]])
        a1, b1, c1, d1 = (others[tap[i]], others[tap[i + 1]], others[tap[i + 2]], others[tap[i + 3]])
        for lane in range(_LANES):
            out[lane] += (a0 * a[lane] + b0 * b[lane]) + (c0 * c[lane] + d0 * d[lane])
            other[lane] += (a1 * a[lane] + b1 * b[lane]) + (c1 * c[lane] + d1 * d[lane])
