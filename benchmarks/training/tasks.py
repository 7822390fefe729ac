"""What the networks learn: scikit-learn's digits, and a synthetic controller."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Data on the box [lower, upper]^inputs.

    Attributes:
        name: short.
        hidden: widths of the ReLU layers.
        outputs: classes, or controls.
        classify: whether targets are class numbers.
        train: inputs (n, inputs) and targets.
        test: likewise.
        lower: least input.
        upper: largest input.
    """

    name: str
    hidden: tuple[int, ...]
    outputs: int
    classify: bool
    train: tuple[FloatArray, FloatArray]
    test: tuple[FloatArray, FloatArray]
    lower: float
    upper: float

    def score(self, outputs: FloatArray) -> float:
        """Accuracy on the test inputs, or the share of the variance that is explained."""
        targets = self.test[1]
        if self.classify:
            return float((outputs.argmax(axis=1) == targets).mean())
        return float(1.0 - ((outputs - targets) ** 2).sum() / ((targets - targets.mean(axis=0)) ** 2).sum())


def digits() -> Task:
    """The 8x8 digits, every fifth for testing."""
    from eqverify.examples.train_digits import digits_split

    train, test = digits_split()
    return Task("digits", (32, 32), 10, True, (train.images, train.labels), (test.images, test.labels), 0.0, 1.0)


def control() -> Task:
    """A saturated controller of a cart with a pole, from its state: position, angle and their rates, in [-1, 1]^4."""
    random = np.random.default_rng(0)
    states = random.uniform(-1.0, 1.0, size=(4000, 4))
    forces = np.clip(states @ [0.3, 0.5, 2.0, 0.7] + 0.4 * np.sin(3.0 * states[:, 2]), -1.0, 1.0)[:, None]
    return Task(
        "control", (24, 24), 1, False, (states[:3000], forces[:3000]), (states[3000:], forces[3000:]), -1.0, 1.0
    )
