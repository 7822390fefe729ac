"""The loops over rows in numpy: what `rows_numba` computes, operation by operation.

The first two serve rows that are bounds, (boxes or 1, m, n) in float64: sums may be taken in any order, which the error
bounds of `eqverify.bounds.pullback` allow.  The others serve gradient steps, which prove nothing: arrays are float32 or
float64, one type for all of a call, and rows of all boxes stand one after the other, row r for box r // (rows / boxes).
Such a row has one *number* per unit: its lower slope, or the multiplier on its sign where `side` fixes that (1 for
z >= 0, -1 for z <= 0; shape (0, n) where no row fixes any).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from eqverify.arrays import BoolArray, ByteArray, FloatArray
from eqverify.kernels.constants import MOMENTS, TINY

Real = TypeVar("Real", np.float32, np.float64)


def through(
    row: FloatArray, alpha: FloatArray, lam: FloatArray, offset: FloatArray, reach: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rows behind the lines of a ReLU layer: positive coefficients times lam, negative ones times alpha.

    Args:
        row: (boxes or 1, m, n).
        alpha: (boxes or 1, m or 1, n).
        lam: (boxes or 1, m or 1, n).
        offset: (boxes or 1, m or 1, n).
        reach: (boxes, 1, n) sizes of values before the layer.

    Returns:
        (boxes or 1, m, n) rows before the layer, each product rounded once; and sums (boxes or 1, m): positive
        coefficients times offsets, and sizes of the result times reach.
    """
    positive = np.maximum(row, 0.0)
    pulled = positive * lam + (row - positive) * alpha
    return pulled, _sums(positive, offset), _sums(np.abs(pulled), reach)


def measured(row: FloatArray, vector: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sums (boxes or 1, m) of rows (boxes or 1, m, n) times (boxes or 1, 1, n), and of their sizes times the same."""
    return _sums(row, vector), _sums(np.abs(row), size)


def _sums(rows: FloatArray, vectors: FloatArray) -> FloatArray:
    """rows (boxes or 1, m, n) times vectors (boxes or 1, m or 1, n): (boxes or 1, m)."""
    if vectors.shape[1] > 1:
        return np.asarray((rows * vectors).sum(axis=2))
    if len(rows) == 1:
        return np.asarray(vectors[:, 0] @ rows[0].T)
    if len(vectors) == 1:
        return np.asarray(rows @ vectors[0, 0])
    return np.asarray(np.matmul(rows, vectors.transpose(0, 2, 1))[:, :, 0])


def _boxed(rows: npt.NDArray[Real], boxes: int) -> npt.NDArray[Real]:
    return rows.reshape(boxes, len(rows) // boxes, rows.shape[1])


def pull(
    row: npt.NDArray[Real],
    numbers: npt.NDArray[Real],
    side: ByteArray,
    lam: npt.NDArray[Real],
    offset: npt.NDArray[Real],
) -> tuple[npt.NDArray[Real], npt.NDArray[Real]]:
    """Rows pulled back through the lines of a ReLU layer.

    Args:
        row: (rows, n) coefficients on the layer.
        numbers: (rows, n).
        side: (rows, n) or (0, n).
        lam: (boxes, n) slopes of the upper lines.
        offset: (boxes, n) of the upper lines.

    Returns:
        (rows, n) coefficients before the layer, and (rows,) what the offsets add to the constant.
    """
    boxed = _boxed(row, len(lam))
    positive = np.maximum(boxed, 0)
    pulled = (positive * lam[:, None] + (boxed - positive) * numbers.reshape(boxed.shape)).reshape(row.shape)
    if len(side):
        pulled = np.where(side == 0, pulled, np.where(side > 0, row + numbers, -numbers))
        positive *= side.reshape(boxed.shape) == 0
    return pulled, np.matmul(positive, offset[:, :, None]).reshape(len(row))


def push(
    z: npt.NDArray[Real],
    row: npt.NDArray[Real],
    numbers: npt.NDArray[Real],
    side: ByteArray,
    lam: npt.NDArray[Real],
    offset: npt.NDArray[Real],
) -> tuple[npt.NDArray[Real], npt.NDArray[Real]]:
    """What the lines make of values before a ReLU layer, and the derivatives of the bounds.

    Args:
        z: (rows, n) values before the layer.
        row: (rows, n) coefficients on the layer.
        numbers: (rows, n).
        side: (rows, n) or (0, n).
        lam: (boxes, n).
        offset: (boxes, n).

    Returns:
        (rows, n) values behind the layer, and (rows, n) derivatives by the numbers.
    """
    boxed = _boxed(z, len(lam))
    above = (boxed * lam[:, None] + offset[:, None]).reshape(z.shape)
    value = np.where(row > 0, above, numbers * z)
    gradient = np.minimum(row, 0) * z
    if not len(side):
        return value, gradient
    return np.where(side == 0, value, np.maximum(side, 0) * z), np.where(side == 0, gradient, side * z)


def corners(
    row: npt.NDArray[Real], centre: npt.NDArray[Real], radius: npt.NDArray[Real]
) -> tuple[npt.NDArray[Real], npt.NDArray[Real], npt.NDArray[Real]]:
    """Where rows are largest on their box.

    Args:
        row: (rows, n) coefficients on an input.
        centre: (boxes, n) of the boxes.
        radius: (boxes, n).

    Returns:
        (rows, n) the corners, (rows,) what the rows are there, and (rows,) the sum of the sizes of what was added.
    """
    boxed, length = _boxed(row, len(centre)), np.abs(_boxed(row, len(centre)))
    corner = (centre[:, None] + np.sign(boxed) * radius[:, None]).reshape(row.shape)
    here = (np.matmul(boxed, centre[:, :, None]) + np.matmul(length, radius[:, :, None])).reshape(len(row))
    size = np.matmul(length, (np.abs(centre) + radius)[:, :, None]).reshape(len(row))
    return np.asarray(corner), np.asarray(here), np.asarray(size)


def descend(
    numbers: npt.NDArray[Real],
    gradient: npt.NDArray[Real],
    first: npt.NDArray[Real],
    second: npt.NDArray[Real],
    side: ByteArray,
    free: BoolArray,
    step: int,
    rate: float,
    length: npt.NDArray[Real],
) -> None:
    """One step of Adam downhill (Kingma, Ba 2015, arXiv 1412.6980): slopes stay in [0, 1], multipliers above 0.

    Args:
        numbers: (rows, n); changed in place, as are the moments.
        gradient: (rows, n); that of slopes and that of multipliers are each measured by the largest of a row, and what
            is not finite is 0.
        first: (rows, n) mean of gradients.
        second: (rows, n) mean of their squares.
        side: (rows, n) or (0, n).
        free: (boxes, n): the units with slopes to choose.
        step: number of the step, from 1 on.
        rate: what a full step changes slopes by.
        length: (rows,) what it changes multipliers by.
    """
    one, two = MOMENTS
    slopes, fixed = np.repeat(free, len(numbers) // len(free), axis=0), np.zeros((1, 1), dtype=bool)
    if len(side):
        fixed = side != 0
        slopes &= ~fixed
    finite = np.where(np.isfinite(gradient), gradient, 0)
    g = _measured(np.where(slopes, finite, 0)) + _measured(np.where(fixed, finite, 0))
    first[:] = one * first + (1 - one) * g
    second[:] = two * second + (1 - two) * g * g
    move = first / (1 - one**step) / (np.sqrt(second / (1 - two**step)) + TINY)
    with np.errstate(over="ignore"):
        moved = np.maximum(numbers - np.where(fixed, length[:, None], rate) * move, 0)
    numbers[:] = np.where(fixed, moved, np.minimum(moved, 1))


def _measured(gradient: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Gradients in units of the largest of their row."""
    size = np.abs(gradient).max(axis=1, initial=0, keepdims=True)
    return np.asarray(gradient / np.where(size > 0, size, 1))
