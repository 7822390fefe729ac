"""Problems on a small ball of inputs: a network that is exact there is a local approximation elsewhere.

Local exact approximation as in Serra, Kumar, Ramalingam 2020 (arXiv 2001.00218).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from eqverify.api.loading import rounded
from eqverify.arrays import IEEE, FloatArray
from eqverify.domain import Box, Case, Domain, Polytope, box_domain
from eqverify.errors import InputError, Place, UsageError
from eqverify.network import Network
from eqverify.numerals import round_down, round_up
from eqverify.problem import Problem, box_problem

_FILES = (".npy", ".txt", ".csv")


def ball(centre: ArrayLike, radius: float) -> Domain:
    """The inputs |x_i - centre_i| <= radius, for `reduce`, `load_problem` and the others; bounds are rounded outwards.

    >>> import eqverify as eq
    >>> eq.ball([0.5, 0.25], 0.125).hull.upper.tolist()
    [0.625, 0.375]

    Args:
        centre: float64 or float32 numbers, in row-major order, of whatever shape.
        radius: finite, not negative.

    Raises:
        UsageError: `local/radius`.
        InputError: `domain/not-finite`.
    """
    _require_radius(radius)
    return box_domain(_ball(rounded(centre, round_down), radius)[0], _ball(rounded(centre, round_up), radius)[1])


def box(lower: ArrayLike, upper: ArrayLike, matrix: ArrayLike = (), bound: ArrayLike = ()) -> Domain:
    """The inputs lower <= x <= upper with matrix x <= bound; bounds that are no float64 are rounded outwards.

    >>> import eqverify as eq
    >>> domain = eq.box([0, 0], [1, 1], [[1.0, 1.0]], [1.5])
    >>> domain.contains(np.array([[0.5, 0.5], [1.0, 1.0]])).tolist()
    [True, False]

    Args:
        lower: numbers, in row-major order, of whatever shape.
        upper: as many.
        matrix: (k, inputs), numbers that are float64.
        bound: (k,).

    Raises:
        UsageError: `local/rows` for coefficients that float64 cannot hold.
        InputError: `domain/...`.
    """
    rows = np.asarray(matrix, dtype=np.float64)
    if not all(map(_is_float, np.asarray(matrix).reshape(-1).tolist())):
        raise UsageError("local/rows", "a coefficient of a constraint is no float64", hint="round it, or scale the row")
    ends = rounded(lower, round_down), rounded(upper, round_up)
    return Domain((Polytope(Box(*ends), rows, rounded(bound, round_up)),))


@IEEE
def local_problem(where: Problem | Network, radius: float, around: str | Path | FloatArray) -> Problem:
    """The problem on the l-inf ball  |x_i - p_i| <= radius.

    >>> import eqverify as eq
    >>> problem = eq.local_problem(eq.load_problem(*eq.example_files()), 0.001, "property")
    >>> float(problem.domain.upper.max() - problem.domain.lower.min()) < 1.0
    True

    Args:
        where: a problem, whose input set is cut with the ball and whose output condition stays; or a network, for
            the ball alone without output condition.
        radius: finite, not negative.
        around: the point p, (input_size,): numbers; text with numbers between commas; a file of numbers (.npy, .txt,
            .csv); or ``property`` for the centre of the smallest box around the problem's input set.

    Returns:
        The problem.  Its domain contains the exact ball with the float64 numbers p and `radius`, cut as said: bounds
        are rounded outwards.

    Raises:
        UsageError: `local/radius`, `local/point`, `local/no-file`, `local/no-property`.
        InputError: `local/empty` where the ball misses the problem's input set.
    """
    _require_radius(radius)
    network = where if isinstance(where, Network) else where.network
    point = _point(around, None if isinstance(where, Network) else where, network.input_size)
    lower, upper = _ball(point, radius)
    if isinstance(where, Network):
        return box_problem(where, lower, upper)
    return restricted(where, box_domain(lower, upper), f"in the ball of radius {radius:g}")


def restricted(problem: Problem, domain: Domain, what: str = "in the further inputs") -> Problem:
    """A problem on those of its inputs that lie in a domain too; its output condition stays.

    Args:
        problem: the problem.
        domain: of as many inputs.
        what: the domain, for the error.

    Raises:
        InputError: `local/empty` where the boxes of both do not meet; `domain/shape`.
    """
    parts: dict[int, list[Polytope]] = {}
    for case in problem.cases:
        if id(case.polytope) not in parts:
            met = (_cut(case.polytope, other) for other in domain.polytopes)
            parts[id(case.polytope)] = [part for part in met if part is not None]
    cases = [Case(part, case.unsafe, case.written) for case in problem.cases for part in parts[id(case.polytope)]]
    if not cases:
        raise InputError(
            "local/empty",
            f"no input of the property lies {what}",
            place=Place(file=problem.specification.source),
            hint="take a larger set of inputs, or one that meets the property's",
        )
    return replace(problem, specification=replace(problem.specification, cases=tuple(cases)))


def _is_float(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and float(value) == value)


def _require_radius(radius: float) -> None:
    if not (np.isfinite(radius) and radius >= 0):
        raise UsageError("local/radius", "the radius must be a finite number, not negative", value=radius)


def _cut(part: Polytope, other: Polytope) -> Polytope | None:
    """What two polytopes have in common; None where their boxes do not meet.

    Raises:
        InputError: `domain/shape` where they differ in their number of inputs.
    """
    if part.box.size != other.box.size:
        value = f"{other.box.size} inputs instead of {part.box.size}"
        raise InputError("domain/shape", "the further inputs are of another network", value=value)
    lower, upper = np.maximum(part.box.lower, other.box.lower), np.minimum(part.box.upper, other.box.upper)
    if not (lower <= upper).all():
        return None
    matrix, bound = np.concatenate([part.matrix, other.matrix]), np.concatenate([part.bound, other.bound])
    return Polytope(Box(lower, upper), matrix, bound)


def _ball(point: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
    """point -+ radius, rounded outwards where they are no floats."""
    with np.errstate(over="ignore"):
        lower, upper = point - radius, point + radius
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise UsageError("local/radius", "the ball leaves the range of float64", value=radius)
    exact = Fraction(radius)
    centre = [Fraction(value) for value in point.tolist()]
    above = np.array([Fraction(low) > c - exact for low, c in zip(lower.tolist(), centre, strict=True)])
    below = np.array([Fraction(high) < c + exact for high, c in zip(upper.tolist(), centre, strict=True)])
    return np.where(above, np.nextafter(lower, -np.inf), lower), np.where(below, np.nextafter(upper, np.inf), upper)


def _point(around: str | Path | FloatArray, problem: Problem | None, size: int) -> FloatArray:
    if isinstance(around, str | Path) and str(around) == "property":
        if problem is None:
            raise UsageError("local/no-property", "there is no property whose centre could be taken", value=around)
        return problem.domain.hull.centre
    point = np.asarray(_read(str(around)) if isinstance(around, str | Path) else around, dtype=np.float64).reshape(-1)
    if point.size != size or not np.isfinite(point).all():
        raise UsageError(
            "local/point",
            "the point must have a finite number for each input of the network",
            value=f"{np.isfinite(point).sum()} finite numbers, {size} inputs",
            hint="give one decimal number per input, within the range of float64",
        )
    return point


def _read(text: str) -> FloatArray:
    """Numbers from text or from a file."""
    path = Path(text)
    is_file = path.suffix in _FILES
    if is_file and not path.is_file():
        raise UsageError("local/no-file", "there is no such file", place=Place(file=text), value=text)
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
        content = path.read_text() if is_file else text
        return np.array([float(word) for word in content.replace(",", " ").split()])
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(
            "local/point",
            "the point is not understood",
            value=text[:80],
            hint="give numbers between commas, a .npy, .txt or .csv file of numbers, or 'property'",
        ) from error
