"""Counting the full-dimensional linear regions of a network on a domain (specs/regions.md)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from eqverify.approximate.maps import map_groups
from eqverify.approximate.options import RegionOptions
from eqverify.approximate.questions import count_by_scip
from eqverify.approximate.search import CellTree, PartCount, PartSearch, Region
from eqverify.arrays import FloatArray, IntArray
from eqverify.budget import Budget
from eqverify.domain import Domain, Polytope
from eqverify.errors import ContradictionError, InputError
from eqverify.network import Network, evaluate_exact, evaluate_nodes, evaluation_error, require_piecewise_linear
from eqverify.options import keywords
from eqverify.progress import Progress, silent


@dataclass(frozen=True, slots=True, eq=False)
class LinearRegions:
    """The linear regions of a network on a domain.

    Attributes:
        regions: those found, one per activation pattern; each has an interior point.  Their number is a proved lower
            bound.
        upper: upper bound on the number of patterns.
        undecided: cells that are neither proved empty nor full.
        groups: (regions,) number of each region's affine map; maps with different numbers differ, proved.
        solver: what listed the regions; empty for the search.
        exhausted: the solver finds no others down to its margin, which is no proof; for the search: all was searched.
        claimed: parts of the domain where that the solver finds no others is all that is known.
        trusted: solvers whose claim of that kind was used: `upper` rests on it.
        questions: linear programs solved.
        exact: questions that only rational arithmetic could answer.
        seconds: wall time.
        parts: for each part of the domain its regions, as points, and the tree of a proof that there are no others.
    """

    regions: tuple[Region, ...]
    upper: int
    undecided: int
    groups: IntArray
    solver: str
    exhausted: bool
    claimed: int
    trusted: tuple[str, ...]
    questions: int
    exact: int
    seconds: float
    parts: tuple[tuple[FloatArray, CellTree | None], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether these are all regions: proved, up to the claims of those in `trusted`."""
        return self.upper == len(self.regions)

    @property
    def evidence(self) -> str:
        """What `upper` rests on: ``bounds`` is arithmetic only."""
        return f"solver ({', '.join(self.trusted)}, trusted)" if self.trusted else "bounds"

    @property
    def affine_maps(self) -> int:
        """Different affine maps, those that differ by rounding at most counted once."""
        return int(self.groups.max(initial=-1)) + 1

    @property
    def radii(self) -> FloatArray:
        """(regions,) radii of balls proved to be inside."""
        return np.array([region.radius for region in self.regions])

    def as_dict(self) -> dict[str, object]:
        """All numbers, for JSON."""
        radii = self.radii
        return {
            "regions": len(self.regions),
            "complete": self.complete,
            "affine_maps": self.affine_maps,
            "lower_bound": len(self.regions),
            "upper_bound": self.upper,
            "undecided": self.undecided,
            "radius_min": float(radii.min()) if radii.size else None,
            "radius_median": float(np.median(radii)) if radii.size else None,
            "solver": self.solver or None,
            "exhausted": self.exhausted,
            "claimed": self.claimed,
            "evidence": self.evidence,
            "linear_programs": self.questions,
            "exact_answers": self.exact,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionKeywords(RegionOptions):
    """Keywords of `find_regions`.

    Attributes:
        progress: called with stage, done, total.
        proof: whether the number is to have a proof.
    """

    progress: Progress = silent
    proof: bool = False


@keywords(RegionKeywords)
def find_regions(network: Network, domain: Domain, options: RegionKeywords) -> LinearRegions:
    """All activation patterns that have an interior on the domain.

    A pattern says per ReLU unit whether z > 0 inside; a unit that is zero on the whole cell counts as inactive.  Where
    a part of the domain fixes inputs, its interior is meant within the other inputs.  A pattern that several parts of
    the domain have counts once.

    Args:
        network: the network.
        domain: the inputs.
        options: the keywords are those of `RegionKeywords`.

    Returns:
        The regions.  Trusted: float64 and rational arithmetic, and those in `trusted`.

    Raises:
        InputError: `regions/flat-domain` where no part of the domain has an interior; `network/smooth`.
        ContradictionError: `regions/contradiction` where a point shows another pattern than its region has.
    """
    require_piecewise_linear(network, "a list of linear regions")
    start = time.monotonic()
    budget, seed = Budget(options.time_limit), options.seed
    best: dict[bytes, Region] = {}
    counts, solver = [], ""
    for index, part in enumerate(domain.polytopes):
        options.progress("regions", index, len(domain.polytopes))
        if (part.box.lower == part.box.upper).all():
            count = _point(network, part)
        elif options.method == "fast":
            count = PartSearch(network, part, seed, budget, record=options.proof).run()
        else:
            count, solver = count_by_scip(network, part, seed, budget)
        counts.append(count)
        for region in count.regions:
            key = region.pattern.tobytes()
            if key not in best or best[key].radius < region.radius:
                best[key] = region
    if all(count.flat for count in counts):
        raise InputError(
            "regions/flat-domain",
            "no part of the domain has an interior, so that nothing on it is full-dimensional",
            hint="an equality between inputs makes a domain flat; give the bounds of the free inputs only",
        )
    claims = [count for count in counts if solver and count.exhausted and not count.undecided and count.unexplored]
    trusted = ("scip",) if claims and "scip" in options.believed else ()
    for count in claims if trusted else ():
        count.unexplored = 0
    regions = tuple(best.values())
    if regions:
        _check(network, regions)
        groups = map_groups(network, domain, np.stack([region.pattern for region in regions]))
    else:
        groups = np.empty(0, dtype=np.int64)
    return LinearRegions(
        regions,
        len(regions) + sum(count.unexplored for count in counts),
        sum(count.undecided for count in counts),
        groups,
        solver,
        all(count.exhausted for count in counts),
        0 if trusted else len(claims),
        trusted,
        sum(count.questions for count in counts),
        sum(count.exact for count in counts),
        time.monotonic() - start,
        tuple((_points(network, count), count.tree) for count in counts),
    )


def _points(network: Network, count: PartCount) -> FloatArray:
    """(regions, inputs) a point in each region of a part."""
    return np.array([region.point for region in count.regions]).reshape(-1, network.input_size)


def _point(network: Network, part: Polytope) -> PartCount:
    """A single input is its own region, if it satisfies the part's constraints."""
    from fractions import Fraction

    x = [Fraction(v) for v in part.box.lower.tolist()]
    for row, bound in zip(part.matrix.tolist(), part.bound.tolist(), strict=True):
        if sum((Fraction(c) * v for c, v in zip(row, x, strict=True)), Fraction(0)) > Fraction(bound):
            return PartCount(flat=True)
    values = evaluate_exact(network, x)
    pattern = np.array([v > 0 for relu in network.relus for v in values[relu.source]], dtype=bool)
    return PartCount([Region(pattern, part.box.lower, 0.0, np.empty(0, dtype=np.int64))])


def _check(network: Network, regions: tuple[Region, ...]) -> None:
    """The whole network, evaluated at the points, must show the patterns wherever rounding leaves that certain."""
    values = evaluate_nodes(network, np.stack([region.point for region in regions]))
    errors = evaluation_error(network, values)
    none = [np.empty((len(regions), 0))]
    z = np.concatenate(none + [values[relu.source] for relu in network.relus], axis=1)
    error = np.concatenate(none + [errors[relu.source] for relu in network.relus], axis=1)
    patterns = np.stack([region.pattern for region in regions])
    wrong = np.flatnonzero((np.where(patterns, -z, z) > error).any(axis=1))
    if wrong.size:
        raise ContradictionError(
            "regions/contradiction",
            "the network shows another activation pattern at the interior point of a region",
            value=regions[wrong[0]].point.tolist(),
            hint="this is a defect of eqverify; please report it with the files",
        )
