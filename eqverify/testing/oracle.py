"""Exact answers about tiny networks, by enumeration of their linear regions.

Method: a part of the domain is held as the list of its vertices, each with the set of constraints that are active
there.  The network's ReLUs are taken in topological order; a part on which a pre-activation takes both signs is cut
along z = 0.  On every part all earlier ReLUs are linear, so z is affine there and takes its extremes at vertices, where
it is known from exact evaluation.  Cutting is one step of the double description method (Motzkin et al. 1953): the new
vertices lie on the edges that cross the cut, and two vertices span an edge if no third vertex is active in all
constraints that both are active in (Fukuda and Prodon 1996, proposition 7).

Trusted: `eqverify.network.evaluate_exact` and the arithmetic of `fractions`.  No solver, no bounds, no floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from eqverify.domain import Conjunction, Domain, HalfSpace, Polytope
from eqverify.equivalence.rational import exact_vector
from eqverify.errors import InputError, LimitError, UsageError
from eqverify.network import Network, evaluate_exact, outputs_exact

Point = tuple[Fraction, ...]

Part = dict[Point, int]
"""A polytope: its vertices, each with the constraints active there as a bit mask."""

Level = Callable[[Point], Fraction]
"""A function of the input that is affine on the part it is asked about."""

MAX_REGIONS = 20_000
"""Default limit on the number of linear regions."""

MAX_INPUTS = 8
"""Limit on the number of inputs that vary: a box has 2^n vertices."""


@dataclass(frozen=True, slots=True)
class Range:
    """The exact least and greatest value of a quantity on a domain, and where they are taken."""

    lower: Fraction
    upper: Fraction
    lower_at: Point
    upper_at: Point

    @property
    def stability(self) -> str:
        """``inactive`` (never positive), ``active`` (never negative; not always zero) or ``unstable``."""
        if self.upper <= 0:
            return "inactive"
        return "active" if self.lower >= 0 else "unstable"


@dataclass(frozen=True, slots=True)
class ExactStability:
    """What is true of a network on a domain.

    Attributes:
        layers: per ReLU node, in order, the exact ranges of its units' pre-activations z.
        outputs: exact ranges of the flat outputs.
        regions: number of linear regions visited (parts of a union counted apart, touching ones once per part).
    """

    layers: dict[str, tuple[Range, ...]]
    outputs: tuple[Range, ...]
    regions: int

    def units(self, stability: str) -> frozenset[tuple[str, int]]:
        """The (ReLU node, unit) pairs that are ``inactive``, ``active`` or ``unstable``.

        Units that are constantly zero count as inactive here, though they are stably active as well.
        """
        return frozenset(
            (name, unit)
            for name, ranges in self.layers.items()
            for unit, bounds in enumerate(ranges)
            if bounds.stability == stability
        )


@dataclass(frozen=True, slots=True)
class Deviation:
    """The exact maximum over the domain of |f_k - g_k| and an input where it is taken."""

    value: Fraction
    at: Point


def polytope_vertices(polytope: Polytope) -> list[Point]:
    """The exact vertices of a polytope; none if it is empty.

    Raises:
        LimitError: `testing/too-large` for more than `MAX_INPUTS` inputs of positive width.
    """
    return list(_polytope_part(polytope)[0])


def stable_sets_exact(network: Network, domain: Domain, *, max_regions: int = MAX_REGIONS) -> ExactStability:
    """Exact ranges of all pre-activations and outputs over a domain.

    Args:
        network: tiny: the number of regions may grow as (number of ReLUs)^(number of inputs).
        domain: of the network's input size; empty parts are skipped.
        max_regions: limit on the regions.

    Raises:
        InputError: `domain/empty` if all parts are empty.
        LimitError: `testing/too-large` above a limit.
    """
    evaluator = _Evaluator(network)
    return _ranges(evaluator, _regions(domain, [evaluator], max_regions))


def directed_sets_exact(
    network: Network, domain: Domain, rows: Conjunction, *, max_regions: int = MAX_REGIONS
) -> ExactStability | None:
    """Exact ranges of all pre-activations and outputs over the inputs that satisfy constraints, strict ones as not.

    Args:
        network: as for `stable_sets_exact`.
        domain: likewise.
        rows: linear constraints on inputs and outputs.
        max_regions: limit on the regions, before and after the constraints cut them.

    Returns:
        The ranges, or None where no input satisfies all constraints.

    Raises:
        InputError, LimitError: as `stable_sets_exact`.
    """
    evaluator = _Evaluator(network)
    regions = _regions(domain, [evaluator], max_regions, (evaluator, rows))
    return _ranges(evaluator, regions) if regions else None


def satisfying_exact(
    network: Network, domain: Domain, rows: Conjunction, *, max_regions: int = MAX_REGIONS
) -> Point | None:
    """An input that satisfies constraints, strict ones as such; None where no input does.

    On a linear region the inputs that satisfy all constraints as not strict are a polytope.  The mean of its vertices
    satisfies a strict one too, unless no vertex does.

    Args:
        network: as for `stable_sets_exact`.
        domain: likewise.
        rows: linear constraints on inputs and outputs.
        max_regions: limit on the regions, before and after the constraints cut them.

    Raises:
        InputError, LimitError: as `stable_sets_exact`.
    """
    evaluator = _Evaluator(network)
    strict = [evaluator.excess(row) for row in rows if row.strict]
    for region in _regions(domain, [evaluator], max_regions, (evaluator, rows)):
        if all(min(map(level, region)) < 0 for level in strict):
            return tuple(sum(column, Fraction(0)) / len(region) for column in zip(*region, strict=True))
    return None


def _ranges(evaluator: _Evaluator, regions: list[Part]) -> ExactStability:
    network = evaluator.network
    points = sorted({point for region in regions for point in region})
    layers = {
        relu.name: tuple(
            _range(points, evaluator.level(relu.source, unit)) for unit in range(network.sizes[relu.source])
        )
        for relu in network.relus
    }
    outputs = tuple(
        _range(points, evaluator.level(port.source, unit)) for port in network.outputs for unit in range(port.size)
    )
    return ExactStability(layers, outputs, len(regions))


def patterns_exact(network: Network, domain: Domain, *, max_regions: int = MAX_REGIONS) -> frozenset[tuple[bool, ...]]:
    """The activation patterns of all linear regions that are full-dimensional on a part of the domain.

    A pattern says of every ReLU unit, in topological order, whether z > 0 inside the region.  The dimension of a part
    is that of its box.

    Args:
        network: tiny.
        domain: of the network's input size; empty and flat parts have no regions.
        max_regions: limit on the regions.

    Raises:
        LimitError: `testing/too-large` above a limit.
    """
    evaluator = _Evaluator(network)
    found = set()
    for polytope in domain.polytopes:
        part, constraints = _polytope_part(polytope)
        dimension = int((polytope.box.lower < polytope.box.upper).sum())
        if not part or _dimension(list(part)) < dimension:
            continue
        for region, _ in _refine(part, constraints, [evaluator], max_regions):
            middle = tuple(sum(column, Fraction(0)) / len(region) for column in zip(*region, strict=True))
            values = evaluator(middle)
            found.add(tuple(z > 0 for relu in network.relus for z in values[relu.source]))
    return frozenset(found)


def _dimension(points: list[Point]) -> int:
    """The dimension of the affine hull, by elimination."""
    rows = [[a - b for a, b in zip(point, points[0], strict=True)] for point in points[1:]]
    rank = 0
    for column in range(len(points[0])):
        lead = next((row for row in rows if row[column]), None)
        if lead is None:
            continue
        rank += 1
        rows.remove(lead)
        rows = [[a - row[column] / lead[column] * b for a, b in zip(row, lead, strict=True)] for row in rows]
    return rank


def deviations_exact(
    f: Network, g: Network, domain: Domain, *, rows: Conjunction = (), max_regions: int = MAX_REGIONS
) -> tuple[Deviation, ...]:
    """Per flat output, the exact maximum of |f_k(x) - g_k(x)| over the domain.

    Args:
        f: tiny network.
        g: tiny network of the same arity.
        domain: of their input size.
        rows: constraints on inputs and outputs of `f`; only inputs that satisfy them, strict ones as not, count.
        max_regions: limit on the common linear regions.

    Raises:
        InputError: `domain/empty` if all parts are empty.
        LimitError: `testing/too-large` above a limit.
        UsageError: `testing/arity` if the networks' inputs or outputs differ in number.
    """
    if (f.input_size, f.output_size) != (g.input_size, g.output_size):
        raise UsageError("testing/arity", "the networks have different arity")
    first = _Evaluator(f)
    regions = _regions(domain, [first, _Evaluator(g)], max_regions, (first, rows))
    if not regions:
        return ()
    points = sorted({point for region in regions for point in region})
    gaps = [[abs(a - b) for a, b in zip(outputs_exact(f, x), outputs_exact(g, x), strict=True)] for x in points]
    found = []
    for k in range(f.output_size):
        value, index = max((gap[k], i) for i, gap in enumerate(gaps))
        found.append(Deviation(value, points[index]))
    return tuple(found)


class _Evaluator:
    """Exact values of all nodes at a point, remembered."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._known: dict[Point, dict[str, list[Fraction]]] = {}

    def __call__(self, x: Point) -> dict[str, list[Fraction]]:
        if x not in self._known:
            self._known[x] = {name: list(values) for name, values in evaluate_exact(self.network, x).items()}
        return self._known[x]

    def level(self, source: str, unit: int) -> Level:
        """The value of one unit of one node as a function of the input."""
        return lambda x: self(x)[source][unit]

    def excess(self, row: HalfSpace) -> Level:
        """By how much a constraint is violated, as a function of the input."""

        def level(x: Point) -> Fraction:
            y = [v for port in self.network.outputs for v in self(x)[port.source]]
            total = sum((c * x[i] for i, c in row.inputs.items()), -row.bound)
            return sum((c * y[j] for j, c in row.outputs.items()), total)

        return level


def _range(points: Sequence[Point], level: Level) -> Range:
    lowest, highest = min(points, key=level), max(points, key=level)
    return Range(level(lowest), level(highest), lowest, highest)


def _regions(
    domain: Domain,
    evaluators: list[_Evaluator],
    max_regions: int,
    constraints: tuple[_Evaluator, Conjunction] | None = None,
) -> list[Part]:
    """The parts of the domain on which all networks are affine, cut by constraints on inputs and outputs of one."""
    regions: list[tuple[Part, int]] = []
    for polytope in domain.polytopes:
        part, used = _polytope_part(polytope)
        if part:
            regions += _refine(part, used, evaluators, max_regions - len(regions))
    if not regions:
        raise InputError("domain/empty", "every part of the domain is empty")
    if constraints is not None:
        evaluator, rows = constraints
        for row in rows:
            level = evaluator.excess(row)
            cut = ((_cut(part, used, {x: level(x) for x in part}), used + 1) for part, used in regions)
            regions = [(part, used) for part, used in cut if part]
    return [part for part, _ in regions]


def _refine(part: Part, constraints: int, evaluators: list[_Evaluator], max_regions: int) -> list[tuple[Part, int]]:
    parts = [(part, constraints)]
    for evaluator in evaluators:
        for relu in evaluator.network.relus:
            for unit in range(evaluator.network.sizes[relu.source]):
                following: list[tuple[Part, int]] = []
                for current, used in parts:
                    pieces = _split(current, used, evaluator.level(relu.source, unit))
                    following += [(piece, used + 1) for piece in pieces]
                parts = following
                if len(parts) > max_regions:
                    raise LimitError(
                        "testing/too-large", "the network has too many linear regions for the oracle", value=len(parts)
                    )
    return parts


def _split(part: Part, bit: int, level: Level) -> list[Part]:
    """The part itself where the level has one sign, else its two sides."""
    values = {point: level(point) for point in part}
    if min(values.values()) >= 0 or max(values.values()) <= 0:
        return [part]
    return [_cut(part, bit, values), _cut(part, bit, {point: -value for point, value in values.items()})]


def _cut(part: Part, bit: int, values: dict[Point, Fraction]) -> Part:
    """The side of `part` where the affine function with these vertex values is at most zero."""
    active = 1 << bit
    result = {point: mask | (0 if values[point] else active) for point, mask in part.items() if values[point] <= 0}
    below = [point for point in part if values[point] < 0]
    above = [point for point in part if values[point] > 0]
    for low, high in product(below, above):
        common = part[low] & part[high]
        if any(common & mask == common for point, mask in part.items() if point not in (low, high)):
            continue
        step = values[low] / (values[low] - values[high])
        crossing = tuple(a + step * (b - a) for a, b in zip(low, high, strict=True))
        result[crossing] = common | active
    return result


def _polytope_part(polytope: Polytope) -> tuple[Part, int]:
    """The vertices of a polytope with their active constraints, and the number of constraints used."""
    lower, upper = exact_vector(polytope.box.lower.tolist()), exact_vector(polytope.box.upper.tolist())
    varying = sum(low < high for low, high in zip(lower, upper, strict=True))
    if varying > MAX_INPUTS:
        raise LimitError("testing/too-large", "too many inputs for the oracle", value=f"{varying} above {MAX_INPUTS}")
    part: Part = {}
    for corner in product(*zip(lower, upper, strict=True)):
        at_lower = sum(1 << 2 * i for i, value in enumerate(corner) if value == lower[i])
        part[corner] = at_lower + sum(2 << 2 * i for i, value in enumerate(corner) if value == upper[i])
    constraints = 2 * len(lower)
    for row, bound in zip(polytope.matrix.tolist(), exact_vector(polytope.bound.tolist()), strict=True):
        exact = exact_vector(row)
        values = {x: sum((c * v for c, v in zip(exact, x, strict=True)), -bound) for x in part}
        part = _cut(part, constraints, values)
        constraints += 1
    return part, constraints
