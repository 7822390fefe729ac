"""Zonotopes of two networks and of their differences, pushed forward over batches of boxes, rounded outwards.

A value is  centre + sum_k e_k generator_k + slack [-1, 1]  with |e_k| <= 1.  Generators are shared between both
networks and the differences, so that what depends on the inputs in the same way cancels.  For few inputs this is
cheaper than pulling rows back from every layer, and as tight on small boxes (zonotopes: Singh et al. 2018, "Fast and
effective robustness certification"; differences: Teuber et al. 2024, arXiv 2410.20207).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.bounds.interval import Interval, centred
from eqverify.equivalence.backward import pull_rows
from eqverify.equivalence.joint import Joint, Level
from eqverify.equivalence.lines import LevelBounds, chord, difference_line
from eqverify.network import UNIT_ROUNDOFF, gamma
from eqverify.network.evaluate import UNDERFLOW, scaled_error

_SAFETY = 1.0 + 1e-6
"""Covers the rounding of the error terms themselves."""

_BLAME = 0.3
"""Weight of the units' part in choosing the input to split.  Splitting by the linear part alone stalls on large boxes,
by the units alone on small ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Zonotope:
    """Values over boxes.

    Every box has its own generators: those of one box need not mean the same as those of another.

    Attributes:
        centre: (boxes, n).
        generators: (boxes, k, n).
        slack: (boxes, n) not negative: everything else, rounding included.
    """

    centre: FloatArray
    generators: FloatArray
    slack: FloatArray

    def select(self, columns: slice) -> Zonotope:
        """Some components."""
        return Zonotope(self.centre[:, columns], self.generators[:, :, columns], self.slack[:, columns])

    @property
    def reach(self) -> FloatArray:
        """(boxes, n) bounds on |value - centre|."""
        total = np.abs(self.generators).sum(axis=1)
        return np.asarray((total * (1.0 + gamma(self.generators.shape[1] + 2)) + self.slack) * (1 + 4 * UNIT_ROUNDOFF))

    @property
    def interval(self) -> Interval:
        """(boxes, n) bounds of the values; infinite where arithmetic overflowed."""
        reach = self.reach
        lower = np.nextafter(self.centre - reach, -np.inf)
        upper = np.nextafter(self.centre + reach, np.inf)
        # A centre that is not finite is a sum that overflowed, whatever its sign.
        known = np.isfinite(self.centre) & ~np.isnan(reach)
        lower, upper = np.where(known, lower, -np.inf), np.where(known, upper, np.inf)
        exact = known & (reach == 0)
        return Interval(np.where(exact, self.centre, lower), np.where(exact, self.centre, upper))


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """What one pass over a batch found.

    Attributes:
        upper: (boxes, r) proved upper bounds of the goals' rows; +inf where arithmetic overflowed.
        target: values of the goals' rows.
        inputs: (boxes, r, input_size) coefficients of the rows on the inputs' own generators.
        score: (boxes, r, own) how much of each row's range is due to each input that may be halved: its share of the
            linear part, and, with a smaller weight, of what units with both signs contribute.
    """

    upper: FloatArray
    target: Zonotope
    inputs: FloatArray
    score: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Forward:
    """Values of the goals' rows, bounds by level, and the share of each of the first inputs in each generator."""

    target: Zonotope
    bounds: list[LevelBounds]
    shares: FloatArray


class Pusher:
    """Pushes batches of boxes through a joint system.

    Args:
        joint: the system.
        own: how many inputs may be halved, the first ones: by default all.
    """

    def __init__(self, joint: Joint, own: int | None = None) -> None:
        self.joint, self.own = joint, own

    def run(self, lower: FloatArray, upper: FloatArray) -> Pushed:
        """Bounds of the goals' rows on boxes [lower, upper], (boxes, input_size) each, inside the joint's box."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._run(lower, upper)

    def level_bounds(self, lower: FloatArray, upper: FloatArray) -> list[LevelBounds]:
        """Bounds of what each level's units take, on boxes as in `run`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._forward(lower, upper).bounds

    def _run(self, lower: FloatArray, upper: FloatArray) -> Pushed:
        forward = self._forward(lower, upper)
        target, inputs = forward.target, lower.shape[1]
        rows = np.moveaxis(target.generators, 2, 1)
        pulled = pull_rows(self.joint, Interval(lower, upper), forward.bounds)
        best = np.minimum(target.interval.upper, pulled)
        linear, own = np.abs(rows[:, :, :inputs]), forward.shares.shape[2]
        size = np.abs(rows[:, :, inputs:])
        score = _share(linear, linear)[:, :, :own] + _BLAME * _share(size @ forward.shares[:, inputs:], size)
        return Pushed(best, target, rows[:, :, :inputs], score)

    def _forward(self, lower: FloatArray, upper: FloatArray) -> _Forward:
        x = centred(Interval(lower, upper))
        boxes, inputs = lower.shape
        own = np.eye(inputs)[:, : self.own]
        shares: FloatArray = np.broadcast_to(own, (boxes, *own.shape))
        states: dict[int, Zonotope] = {}
        used: IntArray = np.full(boxes, inputs)
        bounds = []
        for number, level in enumerate(self.joint.levels):
            w = affine(level, x, states, int(used.max()))
            bounds.append(level_bounds(level, w))
            states[number], new = activate(level, w, bounds[-1], used)
            used = used + np.bincount(new.box, minlength=boxes)
            shares = _with_blame(level, w, new, shares, int(used.max()))
        return _Forward(affine(self.joint.target, x, states, int(used.max())), bounds, shares)


@dataclass(frozen=True, slots=True, eq=False)
class _New:
    """Generators that units got: of which box, which unit it is about, and its number among the box's, (m,) each."""

    box: IntArray
    unit: IntArray
    place: IntArray


def _with_blame(level: Level, w: Zonotope, new: _New, shares: FloatArray, count: int) -> FloatArray:
    """(boxes, count, own): the shares of the inputs that may be halved in all generators, with the new ones'."""
    size = np.abs(w.generators)
    # The error of a difference is due to what its unit of g depends on, too.
    size[:, :, level.g : level.g + level.pairs] += size[:, :, level.partner]
    size = np.moveaxis(size, 2, 1)
    blame = _share(size @ shares, size)
    result = np.zeros((shares.shape[0], count, shares.shape[2]))
    result[:, : shares.shape[1]] = shares
    result[new.box, new.place] = blame[new.box, new.unit]
    return result


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Parts (..., n) as shares of the sum of all, (..., k)."""
    return np.asarray(part / np.maximum(whole.sum(axis=2, keepdims=True), 1e-300))


def affine(level: Level, x: tuple[FloatArray, FloatArray], states: dict[int, Zonotope], count: int) -> Zonotope:
    """The pre-activations of a level (E-2): rows of the level over the inputs and earlier outputs.

    The inputs are given by centre and radius, (boxes, input_size) each: the first generators, one of each.
    Rounding by the a-priori constant of the products (B-0); a coefficient may be off by one rounding itself.
    """
    (boxes, inputs), n = x[0].shape, level.constant.size
    parts = [(matrix, states[number]) for number, matrix in level.sources.items()]
    constant = gamma(inputs + sum(matrix.shape[1] for matrix, _ in parts) + len(parts) + 7)
    centre, size = level.constant + x[0] @ level.inputs.T, np.abs(x[0]) + x[1]
    slack = level.error + constant * np.abs(level.constant) + scaled_error(constant, size) @ np.abs(level.inputs).T
    generators = np.zeros((boxes, count, n))
    generators[:, :inputs] = x[1][:, :, None] * level.inputs.T
    read = [(level.inputs, size)]
    for matrix, value in parts:
        if not matrix.any():
            continue
        known = value.generators.shape[1]
        centre = centre + value.centre @ matrix.T
        flat = value.generators.reshape(-1, matrix.shape[1]) @ matrix.T
        generators[:, :known] += flat.reshape(boxes, known, n)
        size = np.abs(value.centre) + np.abs(value.generators).sum(axis=1) + value.slack
        slack = slack + (value.slack + scaled_error(constant, size)) @ np.abs(matrix).T
        read.append((matrix, size))
    zero = slack == 0
    if zero.any():  # nothing was read, or it underflowed
        zero &= sum(((size > 0) @ (matrix != 0).T for matrix, size in read), np.zeros((1, n), dtype=bool)) == 0
    return Zonotope(centre, generators, np.where(zero, 0.0, slack * _SAFETY + UNDERFLOW))


def activate(level: Level, w: Zonotope, z: LevelBounds, used: IntArray) -> tuple[Zonotope, _New]:
    """Outputs of a level, and the generators that its units got, where each box has `used` (boxes,) so far."""
    lam_g, middle_g, radius_g = chord(z.g)
    lam_l, middle_l, radius_l = chord(z.lone)
    partners = Interval(z.g.lower[:, level.partner], z.g.upper[:, level.partner])
    lam_d, middle_d, radius_d = difference_line(z.f, partners, z.difference)
    lam = np.concatenate([lam_g, lam_d, lam_l], axis=1)
    middle = np.concatenate([middle_g, middle_d, middle_l], axis=1)
    radius = np.concatenate([radius_g, radius_d, radius_l], axis=1)
    return _apply(w, lam, middle, radius, used)


def level_bounds(level: Level, w: Zonotope) -> LevelBounds:
    """What the zonotope of a level's pre-activations and the bounds on the whole box say together."""
    g, d, lone = slice(level.g), slice(level.g, level.g + level.pairs), slice(level.g + level.pairs, None)
    bounds = w.interval
    z_g = _meet(Interval(bounds.lower[:, g], bounds.upper[:, g]), level.lower[: level.g], level.upper[: level.g])
    z_l = _meet(Interval(bounds.lower[:, lone], bounds.upper[:, lone]), level.lower[level.g :], level.upper[level.g :])
    z_f, difference = _pair_bounds(level, w, z_g, Interval(bounds.lower[:, d], bounds.upper[:, d]))
    z_g = _partner_bounds(level, z_g, z_f, difference)
    return LevelBounds(z_g, z_f, difference, z_l)


def _meet(found: Interval, lower: FloatArray, upper: FloatArray) -> Interval:
    return found.intersect(Interval(lower[None], upper[None]), "equivalence")


def _pair_bounds(level: Level, w: Zonotope, z_g: Interval, difference: Interval) -> tuple[Interval, Interval]:
    """Bounds of z_f, from  z_g + difference  as one zonotope and as intervals, and of the difference from both."""
    own, d = level.partner, slice(level.g, level.g + level.pairs)
    total = Zonotope(
        w.centre[:, own] + w.centre[:, d],
        w.generators[:, :, own] + w.generators[:, :, d],
        (w.slack[:, own] + w.slack[:, d]) * (1 + 4 * UNIT_ROUNDOFF),
    )
    summed, size = total.interval, np.abs(w.centre[:, own]) + np.abs(w.centre[:, d]) + total.reach
    lost = 4 * UNIT_ROUNDOFF * (size + np.abs(w.generators[:, :, own]).sum(axis=1)) + UNDERFLOW
    g_lower, g_upper = z_g.lower[:, own], z_g.upper[:, own]
    z_f = Interval(
        np.nextafter(np.maximum(summed.lower - lost, g_lower + difference.lower), -np.inf),
        np.nextafter(np.minimum(summed.upper + lost, g_upper + difference.upper), np.inf),
    )
    z_f = _meet(z_f, level.f_lower, level.f_upper)
    apart = Interval(np.nextafter(z_f.lower - g_upper, -np.inf), np.nextafter(z_f.upper - g_lower, np.inf))
    return z_f, difference.intersect(apart, "equivalence")


def _partner_bounds(level: Level, z_g: Interval, z_f: Interval, difference: Interval) -> Interval:
    """Bounds of z_g, for those with a partner from  z_f - difference  too."""
    lower, upper = np.full_like(z_g.lower, -np.inf), np.full_like(z_g.upper, np.inf)
    with np.errstate(invalid="ignore"):
        lower[:, level.partner] = np.nextafter(z_f.lower - difference.upper, -np.inf)
        upper[:, level.partner] = np.nextafter(z_f.upper - difference.lower, np.inf)
    lower, upper = np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)
    return z_g.intersect(Interval(lower, upper), "equivalence")


def _apply(
    w: Zonotope, lam: FloatArray, middle: FloatArray, radius: FloatArray, used: IntArray
) -> tuple[Zonotope, _New]:
    """lam w + middle with generators `radius` of their own for the units that need one.

    Where the slope is 0, or is 1 and the middle 0, nothing is rounded.
    """
    boxes, count, n = w.generators.shape
    wanted = radius != 0
    box, unit = np.nonzero(wanted)
    new = _New(box, unit, (used[:, None] + np.cumsum(wanted, axis=1) - 1)[box, unit])
    generators = np.empty((boxes, max(count, int(new.place.max(initial=-1)) + 1), n))
    np.multiply(w.generators, lam[:, None, :], out=generators[:, :count])
    generators[:, count:] = 0.0
    generators[new.box, new.place, new.unit] = radius[new.box, new.unit]
    centre = lam * w.centre + middle
    rounded = (lam != 0) & ((lam != 1) | (middle != 0))
    size = np.abs(w.centre) + np.abs(w.generators).sum(axis=1) + np.abs(middle)
    slack = lam * w.slack * (1 + 4 * UNIT_ROUNDOFF) + np.where(rounded, 4 * UNIT_ROUNDOFF * size, 0.0)
    slack = np.where(lam == 0, 0.0, slack) * _SAFETY + np.where(rounded, UNDERFLOW, 0.0)
    return Zonotope(centre, generators, slack), new
