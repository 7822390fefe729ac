"""The regions of one part of the domain by a mixed-integer program with no-good cuts."""

from __future__ import annotations

import time

import numpy as np

from eqverify.approximate.cells import Function, Geometry, Side
from eqverify.approximate.forms import ExactRows, one_pattern
from eqverify.approximate.pieces import raw_pieces
from eqverify.approximate.search import PartCount, PartSearch, Region, domain_functions
from eqverify.arrays import BoolArray
from eqverify.bounds.crown import crown_bounds
from eqverify.budget import Budget
from eqverify.domain import Polytope
from eqverify.milp.regions import RegionSolver
from eqverify.network import Network
from eqverify.relaxation.model import open_model

PROOF_SECONDS = 5.0
"""The search that proves what SCIP claims may take so long at least, if there is time."""


def count_by_scip(network: Network, polytope: Polytope, seed: int, budget: Budget) -> tuple[PartCount, str]:
    """The regions of a polytope with at least one free input, and the solver's name and tolerances.

    Every pattern that SCIP shows is checked: it counts if its cell has an interior point, whatever SCIP says.  That
    there are no others is a claim, and meant down to SCIP's margin only: the depth-first search looks for a proof, with
    the time that the claim took.
    """
    start = time.monotonic()
    search = PartSearch(network, polytope, seed, budget)
    solver, unstable, active = _model(network, polytope, seed)
    count, exempt, seen = PartCount(), False, set[bytes]()
    functions = domain_functions(polytope, search.frame)
    side, _ = search.geometry.inside(functions, np.empty((0, search.frame.free.size)))
    count.flat = side is Side.EMPTY
    while not count.flat:
        found = solver.search(budget.left)
        if found.exhausted and not exempt and unstable.any():
            solver.exempt_zeros()
            exempt = True
            continue
        if found.pattern is None or found.pattern.tobytes() in seen:
            count.exhausted = found.exhausted
            break
        seen.add(found.pattern.tobytes())
        pattern = active.copy()
        pattern[unstable] = found.pattern
        _judge(network, search.geometry, functions, pattern, unstable, count)
        if not unstable.any():
            break
        solver.exclude(found.pattern)
    count.unexplored = 0 if count.flat else max(0, search.bound - len(count.regions))
    count.questions, count.exact = search.geometry.questions, search.geometry.exact
    if count.exhausted and count.unexplored:
        own = budget.part(1.0, max(PROOF_SECONDS, time.monotonic() - start))
        count = _joined(count, PartSearch(network, polytope, seed, own).run())
    return count, solver.description


def _joined(claimed: PartCount, proved: PartCount) -> PartCount:
    """What SCIP listed and what the search found about one part; that there are no others is proved by the search."""
    regions = {region.pattern.tobytes(): region for region in (*proved.regions, *claimed.regions)}
    most = min(len(proved.regions) + proved.unexplored, len(claimed.regions) + claimed.unexplored)
    return PartCount(
        list(regions.values()),
        undecided=proved.undecided,
        unexplored=max(0, most - len(regions)),
        exhausted=claimed.exhausted,
        questions=claimed.questions + proved.questions,
        exact=claimed.exact + proved.exact,
    )


def _model(network: Network, polytope: Polytope, seed: int) -> tuple[RegionSolver, BoolArray, BoolArray]:
    """The solver's model, which units (ReLU units,) are unstable, and which are stably active."""
    box, solver = polytope.box, RegionSolver(polytope, seed)
    bounds = crown_bounds(network, box.lower[None], box.upper[None])
    model = open_model(network, (box.lower, box.upper), bounds)
    for block in model.blocks():
        solver.add_units(block)
    none = [np.zeros(0, dtype=bool)]
    return solver, np.concatenate([*none, *model.kept.values()]), np.concatenate([*none, *model.active.values()])


def _judge(
    network: Network,
    geometry: Geometry,
    domain: tuple[Function, ...],
    pattern: BoolArray,
    unstable: BoolArray,
    count: PartCount,
) -> None:
    """Count a pattern if its cell has an interior, and as undecided if nobody knows."""
    frame = geometry.frame
    ((piece, functions),) = raw_pieces(network, frame, pattern[None], [np.flatnonzero(unstable)])
    if piece.never:
        return
    side, points = geometry.inside([*domain, *functions], np.empty((0, frame.free.size)))
    if side is Side.FULL:
        point, radius = geometry.centre() or (points[0], max(0.0, float(geometry.depth(points[:1])[0])))
        shown, exact = pattern.copy(), ExactRows(network, frame, one_pattern(network, pattern))
        for unit in np.flatnonzero(pattern & ~unstable).tolist():
            shown[unit] = any(exact(unit))  # a stably active unit that is zero on the whole cell is inactive there
        count.regions.append(Region(shown, frame.whole(point[None])[0], radius, piece.units))
    elif side is Side.UNDECIDED:
        count.undecided += 1
