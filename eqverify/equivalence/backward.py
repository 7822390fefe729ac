"""Rows of the goals pulled back through a joint system, with lines of their own above and below each unit (E-8).

The zonotopes give every unit one slope; here the slope follows the sign of the coefficient, as in CROWN.  Neither bound
is always the better one, so both are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.interval import Interval
from eqverify.equivalence.joint import Joint, Level
from eqverify.equivalence.lines import LevelBounds, chord_offset, difference_sides
from eqverify.network import UNIT_ROUNDOFF, gamma
from eqverify.network.evaluate import UNDERFLOW, lost_coefficients

_SAFETY = 1.0 + 1e-6
"""Covers the rounding of the error terms themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """low_slope w - low_offset <= output <= top_slope w + top_offset, (boxes, n) each."""

    top_slope: FloatArray
    top_offset: FloatArray
    low_slope: FloatArray
    low_offset: FloatArray


def pull_rows(joint: Joint, x: Interval, bounds: Sequence[LevelBounds]) -> FloatArray:
    """Upper bounds of the goals' rows.

    Args:
        joint: the system.
        x: the boxes, (boxes, input_size).
        bounds: per level, proved bounds on these boxes.

    Returns:
        (boxes, rows); +inf where arithmetic overflowed.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _Pull(joint, x, bounds).run()


class _Pull:
    """One pass."""

    def __init__(self, joint: Joint, x: Interval, bounds: Sequence[LevelBounds]) -> None:
        self.joint, self.x, self.bounds = joint, x, bounds
        self.outputs = [_output_size(level) for level in bounds]
        self.rows: dict[int, FloatArray] = {}
        self.on_inputs = np.zeros((1, 1, joint.target.inputs.shape[1]))
        self.constant: FloatArray = np.zeros((1, 1))
        self.error: FloatArray = np.zeros((1, 1))

    def run(self) -> FloatArray:
        target = self.joint.target
        count = target.constant.size
        self._through_rows(target, np.eye(count)[None], self._loss(target))
        for number in range(len(self.joint.levels) - 1, -1, -1):
            if number in self.rows:
                self._through_units(number, self.rows.pop(number))
        return self._at_inputs()

    def _loss(self, level: Level) -> FloatArray:
        """(boxes, n): what rows of size 1 on each component lose to rounding on their way through a level's rows."""
        parts = [(level.inputs, self.x.magnitude), *((m, self.outputs[k]) for k, m in level.sources.items())]
        reach = np.abs(level.constant) + sum(size @ np.abs(matrix).T for matrix, size in parts)
        return np.asarray(level.error + gamma(level.constant.size + len(parts) + 6) * reach + UNDERFLOW)

    def _through_rows(self, level: Level, rows: FloatArray, loss: FloatArray) -> None:
        """Rows (boxes or 1, m, n) on a level's pre-activations become rows on what those read."""
        tiny = lost_coefficients(self.x.magnitude) + sum(
            lost_coefficients(self.outputs[number]) for number in level.sources
        )
        self._shift(rows @ level.constant, (np.abs(rows) * loss[:, None, :]).sum(axis=2) + tiny[:, None])
        self.on_inputs = self._sum(self.on_inputs, rows @ level.inputs, self.x.magnitude)
        for number, matrix in level.sources.items():
            product = rows @ matrix
            known = self.rows.get(number)
            self.rows[number] = product if known is None else self._sum(known, product, self.outputs[number])

    def _sum(self, one: FloatArray, other: FloatArray, magnitude: FloatArray) -> FloatArray:
        total = one + other
        self.error = self.error + UNIT_ROUNDOFF * (np.abs(total) * magnitude[:, None, :]).sum(axis=2)
        return total

    def _shift(self, amount: FloatArray, error: FloatArray) -> None:
        self.constant = self.constant + amount
        self.error = self.error + error + UNIT_ROUNDOFF * np.abs(self.constant)

    def _through_units(self, number: int, rows: FloatArray) -> None:
        level, lines = self.joint.levels[number], _unit_lines(self.joint.levels[number], self.bounds[number])
        positive = np.maximum(rows, 0.0)
        negative = rows - positive
        lift = (positive * lines.top_offset[:, None, :] - negative * lines.low_offset[:, None, :]).sum(axis=2)
        pulled = positive * lines.top_slope[:, None, :] + negative * lines.low_slope[:, None, :]
        size = _input_size(self.bounds[number])
        rounding = (
            2 * UNIT_ROUNDOFF * (np.abs(pulled) * size[:, None, :]).sum(axis=2) + lost_coefficients(size)[:, None]
        )
        self._shift(lift, gamma(rows.shape[2] + 4) * lift + rounding)
        self._through_rows(level, pulled, self._loss(level))

    def _at_inputs(self) -> FloatArray:
        low, high = self.x.lower[:, None, :], self.x.upper[:, None, :]
        positive = np.maximum(self.on_inputs, 0.0)
        amount = (positive * high + (self.on_inputs - positive) * low).sum(axis=2)
        size = (np.abs(self.on_inputs) * self.x.magnitude[:, None, :]).sum(axis=2)
        self._shift(amount, gamma(self.x.lower.shape[1] + 4) * size)
        result = np.nextafter(self.constant + self.error * _SAFETY + UNDERFLOW, np.inf)
        return np.where(np.isfinite(self.constant) & ~np.isnan(result), result, np.inf)


def _unit_lines(level: Level, z: LevelBounds) -> _Lines:
    top_g, top_l = chord_offset(z.g), chord_offset(z.lone)
    low_g, low_l = (np.where(b.upper >= -b.lower, 1.0, 0.0) for b in (z.g, z.lone))
    low_g, low_l = (
        np.where(b.lower >= 0, 1.0, np.where(b.upper <= 0, 0.0, s)) for b, s in ((z.g, low_g), (z.lone, low_l))
    )
    partners = Interval(z.g.lower[:, level.partner], z.g.upper[:, level.partner])
    top_d, low_d = difference_sides(z.f, partners, z.difference)
    return _Lines(
        np.concatenate([top_g[0], top_d[0], top_l[0]], axis=1),
        np.concatenate([top_g[1], top_d[1], top_l[1]], axis=1),
        np.concatenate([low_g, low_d[0], low_l], axis=1),
        np.concatenate([np.zeros_like(low_g), low_d[1], np.zeros_like(low_l)], axis=1),
    )


def _input_size(z: LevelBounds) -> FloatArray:
    """(boxes, n) bounds on the sizes of a level's pre-activations."""
    return np.concatenate([z.g.magnitude, z.difference.magnitude, z.lone.magnitude], axis=1)


def _output_size(z: LevelBounds) -> FloatArray:
    """(boxes, n) bounds on the sizes of a level's outputs; a difference of outputs is no larger than that of inputs."""
    return np.concatenate([np.maximum(z.g.upper, 0.0), z.difference.magnitude, np.maximum(z.lone.upper, 0.0)], axis=1)
