"""Boxes and points on either side of linear constraints  matrix x <= bound, beyond rounding."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.network import gamma
from eqverify.network.evaluate import UNDERFLOW


def _range(matrix: FloatArray, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sound bounds of matrix x over boxes, (boxes, k) each."""
    positive, negative = np.maximum(matrix, 0.0), np.minimum(matrix, 0.0)
    slack = gamma(2 * matrix.shape[1] + 4) * (np.maximum(np.abs(lower), np.abs(upper)) @ np.abs(matrix).T) * (1 + 1e-6)
    slack = slack + UNDERFLOW
    low, high = lower @ positive.T + upper @ negative.T, upper @ positive.T + lower @ negative.T
    return np.nextafter(low - slack, -np.inf), np.nextafter(high + slack, np.inf)


def certainly_outside(matrix: FloatArray, bound: FloatArray, lower: FloatArray, upper: FloatArray) -> BoolArray:
    """(boxes,) bool: boxes (boxes, input_size) without any point of  matrix x <= bound."""
    return np.asarray((_range(matrix, lower, upper)[0] > bound).any(axis=1))


def certainly_inside(matrix: FloatArray, bound: FloatArray, points: FloatArray) -> BoolArray:
    """(k,) bool: points (k, input_size) that satisfy  matrix x <= bound  beyond rounding."""
    return np.asarray((_range(matrix, points, points)[1] <= bound).all(axis=1))
