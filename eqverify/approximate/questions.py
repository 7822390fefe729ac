"""The regions of one part of the domain by a mixed-integer program with no-good cuts."""

from __future__ import annotations

import time

import numpy as np

from eqverify.approximate.cells import Function, Geometry, Side
from eqverify.approximate.forms import Frame, exact_forms, pattern_forms, split_pattern
from eqverify.approximate.search import PartCount, PartSearch, Region, constantly, domain_functions
from eqverify.arrays import BoolArray
from eqverify.bounds.crown import crown_bounds
from eqverify.bounds.farkas import Row
from eqverify.domain import Polytope
from eqverify.milp.regions import RegionSolver
from eqverify.network import Network
from eqverify.relaxation.model import open_model

PROOF_SECONDS = 5.0
"""The search that proves what SCIP claims may take so long at least, if there is time."""


def count_by_scip(network: Network, polytope: Polytope, seed: int, deadline: float) -> tuple[PartCount, str]:
    """The regions of a polytope with at least one free input, and the solver's name and tolerances.

    Every pattern that SCIP shows is checked: it counts if its cell has an interior point, whatever SCIP says.  That
    there are no others is a claim, and meant down to SCIP's margin only: the depth-first search looks for a proof, with
    the time that the claim took.
    """
    start = time.monotonic()
    search = PartSearch(network, polytope, seed, deadline)
    solver, unstable, active = _model(network, polytope, seed)
    count, exempt, seen = PartCount(), False, set[bytes]()
    functions = domain_functions(polytope, search.frame)
    side, _ = search.geometry.inside(functions, np.empty((0, search.frame.free.size)))
    count.flat = side is Side.EMPTY
    while not count.flat:
        found = solver.search(deadline - time.monotonic())
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
        now = time.monotonic()
        until = min(deadline, now + max(PROOF_SECONDS, now - start))
        count = _joined(count, PartSearch(network, polytope, seed, until).run())
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
    rows = _pattern_rows(network, geometry.frame, pattern)
    nonzero = np.array([any(exact) for _, exact in rows], dtype=bool)
    functions = list(domain)
    for unit in np.flatnonzero(unstable & nonzero).tolist():
        function = rows[unit][0]
        functions.append(function if pattern[unit] else function.negated())
    side, points = geometry.inside(functions, np.empty((0, geometry.frame.free.size)))
    if side is Side.FULL and not (unstable & pattern & ~nonzero).any():
        point, radius = geometry.centre() or (points[0], max(0.0, float(geometry.depth(points[:1])[0])))
        # a stably active unit that is zero on the whole cell counts as inactive there
        cuts = np.flatnonzero(unstable & nonzero)
        count.regions.append(Region(pattern & nonzero, geometry.frame.whole(point[None])[0], radius, cuts))
    elif side is Side.UNDECIDED:
        count.undecided += 1


def _pattern_rows(network: Network, frame: Frame, pattern: BoolArray) -> list[tuple[Function, Row]]:
    """The pre-activation of every unit under a pattern."""
    forms = pattern_forms(network, frame, pattern[None])
    active = {name: on[0] for name, on in split_pattern(network, pattern[None]).items()}
    rows: list[tuple[Function, Row]] = []
    for relu in network.relus:
        form, exact = forms[relu.source], exact_forms(network, frame, active, relu.source)
        for unit in range(network.sizes[relu.name]):
            column, row = form.coefficients[0, :, unit], tuple(exact[:, unit])
            made = Function(column[:-1], float(column[-1]), float(form.error[0, unit]), constantly(row))
            rows.append((made, row))
    return rows
