"""A judge of functions and of lines around them: balls of python-flint, 400 bits, which use nothing of eqverify."""

from __future__ import annotations

import flint
import numpy as np

from eqverify.functions import Cos, Erf, Exp, Log, Power, Reciprocal, Sigmoid, Silu, Sin, Softplus, Sqrt, Tanh

BITS = 400
ONE = flint.arb(1)

MEANINGS = {
    Sigmoid(): lambda x: ONE / (ONE + (-x).exp()),
    Tanh(): lambda x: x.tanh(),
    Erf(): lambda x: x.erf(),
    Exp(): lambda x: x.exp(),
    Log(): lambda x: x.log(),
    Sqrt(): lambda x: x.sqrt(),
    Reciprocal(): lambda x: ONE / x,
    Sin(): lambda x: x.sin(),
    Cos(): lambda x: x.cos(),
    Softplus(): lambda x: (ONE + x.exp()).log(),
    Silu(): lambda x: x / (ONE + (-x).exp()),
    Power(2): lambda x: x * x,
    Power(3): lambda x: x * x * x,
    Power(8): lambda x: x**8,
}
"""What each function means."""

DERIVATIVES = {
    Sigmoid(): lambda x: ONE / ((ONE + (-x).exp()) * (ONE + x.exp())),
    Tanh(): lambda x: ONE / (x.cosh() * x.cosh()),
    Erf(): lambda x: 2 * (-x * x).exp() / flint.arb.pi().sqrt(),
    Exp(): lambda x: x.exp(),
    Log(): lambda x: ONE / x,
    Sqrt(): lambda x: ONE / (2 * x.sqrt()),
    Reciprocal(): lambda x: -ONE / (x * x),
    Sin(): lambda x: x.cos(),
    Cos(): lambda x: -x.sin(),
    Softplus(): lambda x: ONE / (ONE + (-x).exp()),
    Silu(): lambda x: (ONE + x / (ONE + x.exp())) / (ONE + (-x).exp()),
    Power(2): lambda x: 2 * x,
    Power(3): lambda x: 3 * x * x,
    Power(8): lambda x: 8 * x**7,
}

POSITIVE = (Log(), Sqrt())
"""Functions of what is above 0."""


def ball(number):
    """A float as an exact ball."""
    return flint.arb(float(number))


def below(bound, value):
    """Whether a float is at most a value, as far as its ball says; -inf is below everything."""
    return np.isneginf(bound) or (np.isfinite(bound) and not ball(bound) > value)


def wrong_points(meaning, lines, lower, upper, points):
    """The points in one interval where a line or a range, all of shape (), is on the wrong side of the function."""
    wrong = []
    for point in (lower, upper, *points):
        if not lower <= point <= upper:
            continue
        x = ball(point)
        value = meaning(x)
        for slope, offset, side in ((lines.low_slope, lines.low, 1), (lines.high_slope, lines.high, -1)):
            if np.isinf(offset):
                assert side * offset < 0
                assert slope == 0
                continue
            if side * value < side * (ball(slope) * x + ball(offset)):
                wrong.append((float(point), side))
    return wrong
