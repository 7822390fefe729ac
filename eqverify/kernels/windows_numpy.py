"""Convolutions in numpy, position by position of the window, in chunks that stay in the cache.

Rounding: every result is a sum of products of a kernel's entries and inputs, in some order, in the type of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_CHUNK_NUMBERS = 1 << 17
"""Padded numbers worked on at a time: 1 MB, so that they stay in the cache."""


class Window(NamedTuple):
    """The geometry of a convolution; tuples have one number per spatial axis.

    Attributes:
        extents: of the input.
        reached: extents of the output.
        strides: of windows.
        dilations: distances of what a window reads.
        before: zeros padded in front.
        after: zeros padded behind.
        groups: of channels.
    """

    extents: tuple[int, ...]
    reached: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    groups: int

    @property
    def inputs(self) -> int:
        """Positions of the input."""
        return math.prod(self.extents)

    @property
    def outputs(self) -> int:
        """Positions of the output."""
        return math.prod(self.reached)

    def padded(self, batch: int, channels: int) -> tuple[int, ...]:
        """The shape of padded inputs."""
        axes = zip(self.extents, self.before, self.after, strict=True)
        return (batch, channels, *(n + b + a for n, b, a in axes))

    @property
    def inside(self) -> tuple[slice, ...]:
        """Where the input lies in its padded form."""
        return (slice(None), slice(None), *(slice(b, b + n) for b, n in zip(self.before, self.extents, strict=True)))

    def reads(self, position: tuple[int, ...]) -> tuple[slice, ...]:
        """The padded inputs, per axis, that a position of the window reads."""
        axes = zip(position, self.dilations, self.strides, self.reached, strict=True)
        return tuple(slice(p * d, p * d + s * (n - 1) + 1, s) for p, d, s, n in axes)

    def numbers(self, kernel: tuple[int, ...]) -> tuple[int, ...]:
        """All of one or two axes in one tuple, with the channels and the extents of a kernel of this shape."""
        fill = (1,) * (2 - len(self.extents))
        pairs = (kernel[2:], self.reached, self.strides, self.dilations)
        flat = [n for pair in ((self.extents, *pairs)) for n in (*fill, *pair)]
        padding = [n for pair in (self.before, self.after) for n in (*(0 for _ in fill), *pair)]
        return (self.groups, kernel[0] // self.groups, kernel[1], *flat, *padding)


def _taps(kernel: Array, groups: int) -> Array:
    """The kernel by position of the window: (window, groups, out channels per group, in channels per group)."""
    taps = kernel.reshape(groups, -1, kernel.shape[1], math.prod(kernel.shape[2:]))
    return np.ascontiguousarray(taps.transpose(3, 0, 1, 2))


def _chunks(count: int, padded: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, _CHUNK_NUMBERS // math.prod(padded))
    return (slice(start, start + step) for start in range(0, count, step))


def _positions(kernel: Array, window: Window) -> list[tuple[slice, ...]]:
    return [(slice(None), slice(None), *window.reads(position)) for position in np.ndindex(*kernel.shape[2:])]


def forward(rows: Array, kernel: Array, window: Window) -> Array:
    """The convolution of each row.

    Args:
        rows: (m, channels * inputs) float32 or float64.
        kernel: (out channels, in channels / groups, *window) of the same type.
        window: the geometry.

    Returns:
        (m, out channels * outputs).
    """
    taps, positions = _taps(kernel, window.groups), _positions(kernel, window)
    channels = kernel.shape[1] * window.groups
    result = np.empty((len(rows), kernel.shape[0] * window.outputs), dtype=rows.dtype)
    for chunk in _chunks(len(rows), window.padded(1, channels)):
        part = rows[chunk]
        padded = np.zeros(window.padded(len(part), channels), dtype=rows.dtype)
        padded[window.inside] = part.reshape(len(part), channels, *window.extents)
        total = np.zeros((len(part), window.groups, taps.shape[2], window.outputs), dtype=rows.dtype)
        for tap, read in zip(taps, positions, strict=True):
            total += tap @ padded[read].reshape(len(part), window.groups, kernel.shape[1], -1)
        result[chunk] = total.reshape(len(part), -1)
    return result


def backward(rows: Array, kernel: Array, window: Window) -> Array:
    """The transpose of `forward`: (m, out channels * outputs) -> (m, channels * inputs)."""
    taps, positions = _taps(kernel, window.groups).transpose(0, 1, 3, 2), _positions(kernel, window)
    channels = kernel.shape[1] * window.groups
    result = np.empty((len(rows), channels * window.inputs), dtype=rows.dtype)
    for chunk in _chunks(len(rows), window.padded(1, channels)):
        part = rows[chunk].reshape(-1, window.groups, kernel.shape[0] // window.groups, window.outputs)
        padded = np.zeros(window.padded(len(part), channels), dtype=rows.dtype)
        for tap, read in zip(taps, positions, strict=True):
            padded[read] += (tap @ part).reshape(len(part), channels, *window.reached)
        result[chunk] = padded[window.inside].reshape(len(part), -1)
    return result
