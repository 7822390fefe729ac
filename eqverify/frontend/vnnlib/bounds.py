"""What linear rows say about bounds of inputs."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from fractions import Fraction
from typing import TypeAlias

from eqverify.domain import Bounds, HalfSpace

Edge: TypeAlias = tuple[int, Fraction, Fraction]
"""(j, s, t) at i: the equality x_j = s x_i + t."""


def propagate(bounds: Bounds, rows: list[HalfSpace]) -> None:
    """Tighten bounds by what follows from rows of several variables.

    Equalities of two variables pass on all bounds, exactly, along each connected component.  Other rows only supply
    bounds that are missing: that is all a box needs, and it ends after as many steps as bounds are missing.

    Args:
        bounds: changed in place.
        rows: constraints on inputs alone, read as closed.
    """
    edges = _equalities(rows)
    visited: set[int] = set()
    for root in edges:
        if root not in visited:
            _spread(bounds, edges, root, visited)
    _supply(bounds, rows)


def _equalities(rows: list[HalfSpace]) -> dict[int, list[Edge]]:
    """The equalities of two variables: pairs of opposite rows."""
    seen: set[tuple[int, int, Fraction, Fraction, Fraction]] = set()
    edges: dict[int, list[Edge]] = defaultdict(list)
    for row in rows:
        if len(row.inputs) != 2:
            continue
        (i, a), (j, b) = sorted(row.inputs.items())
        size = abs(a)
        a, b, c = a / size, b / size, row.bound / size
        if (i, j, -a, -b, -c) in seen:
            edges[i].append((j, -a / b, c / b))
            edges[j].append((i, -b / a, c / a))
        seen.add((i, j, a, b, c))
    return edges


def _spread(bounds: Bounds, edges: dict[int, list[Edge]], root: int, visited: set[int]) -> None:
    """Express a component as x_v = s x_root + t, intersect all bounds there, and hand the result back."""
    affine = {root: (Fraction(1), Fraction(0))}
    queue = deque([root])
    here = Bounds()
    while queue:
        i = queue.popleft()
        visited.add(i)
        s, t = affine[i]
        for j, factor, shift in edges[i]:
            image = factor * s, factor * t + shift
            if j not in affine:
                affine[j] = image
                queue.append(j)
            elif image[0] != affine[j][0]:
                fixed = (affine[j][1] - image[1]) / (image[0] - affine[j][0])
                here.raise_lower(root, fixed)
                here.reduce_upper(root, fixed)
    for v, (s, t) in affine.items():
        low, high = bounds.get_lower(v), bounds.get_upper(v)
        if s < 0:
            low, high = high, low
        if low is not None:
            here.raise_lower(root, (Fraction(low) - t) / s)
        if high is not None:
            here.reduce_upper(root, (Fraction(high) - t) / s)
    low, high = here.get_lower(root), here.get_upper(root)
    for v, (s, t) in affine.items():
        below, above = (low, high) if s > 0 else (high, low)
        if below is not None:
            bounds.raise_lower(v, s * Fraction(below) + t)
        if above is not None:
            bounds.reduce_upper(v, s * Fraction(above) + t)


def _supply(bounds: Bounds, rows: list[HalfSpace]) -> None:
    """Derive missing bounds from rows whose other variables are bounded, until nothing is new."""
    users: dict[int, list[HalfSpace]] = defaultdict(list)
    for row in rows:
        for i in row.inputs:
            users[i].append(row)
    queue = deque(rows)
    while queue:
        row = queue.popleft()
        for i, coefficient in row.inputs.items():
            known = bounds.get_upper(i) if coefficient > 0 else bounds.get_lower(i)
            if known is not None:
                continue
            rest = least_value(bounds, ((j, a) for j, a in row.inputs.items() if j != i))
            if rest is None:
                continue
            bound = (row.bound - rest) / coefficient
            if coefficient > 0:
                bounds.upper[i] = bound
            else:
                bounds.lower[i] = bound
            queue.extend(users[i])


def least_value(bounds: Bounds, terms: Iterable[tuple[int, Fraction]]) -> Fraction | None:
    """The least value of a linear form over the bounds; None where it has none."""
    total = Fraction(0)
    for j, a in terms:
        value = bounds.get_lower(j) if a > 0 else bounds.get_upper(j)
        if value is None:
            return None
        total += a * Fraction(value)
    return total
