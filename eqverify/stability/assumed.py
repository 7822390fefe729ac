"""What is known before a disjunct of the output condition is assumed, and the problem in which it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import ByteArray, FloatArray
from eqverify.bounds import Interval, crown_bounds
from eqverify.bounds.crown import open_units
from eqverify.domain import Polytope, assume
from eqverify.errors import InputError
from eqverify.problem import Problem
from eqverify.stability.facts import PROOFS, Evidence, Facts


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What is known on a case's polytope before any disjunct is assumed.

    Attributes:
        bounds: intervals (1, n) of all nodes.
        outputs: (output_size,) bounds on |y|.
        evidence: by ReLU node, (n,) what the stable units rest on.
        level: the dearest kind of evidence in any of it.
    """

    bounds: Mapping[str, Interval]
    outputs: FloatArray
    evidence: Mapping[str, ByteArray]
    level: Evidence


def start_from(problem: Problem, polytope: Polytope, facts: Facts | None = None) -> Start:
    """Bounds on one polytope of a problem: CROWN's, from those of `facts` where there are any."""
    box = polytope.box
    known = {} if facts is None else {f.source: Interval(f.lower[None], f.upper[None]) for f in facts.layers}
    bounds = crown_bounds(problem.network, box.lower[None], box.upper[None], known, outputs=True)
    level = Evidence.DERIVED
    if facts is not None:
        kinds = [Evidence(int(k)) for f in facts.layers for k in np.unique(f.evidence) if Evidence(int(k)) in PROOFS]
        level = Evidence.SOLVER if facts.trusts else max([level, *kinds], key=PROOFS.index)
    evidence = {}
    for relu in problem.network.relus:
        stable = ~open_units(bounds[relu.source])[0]
        before = np.zeros(stable.size, dtype=np.int8) if facts is None else facts.by_name()[relu.name].evidence
        proved = np.isin(before, PROOFS)
        evidence[relu.name] = np.where(stable, np.where(proved, before, level), Evidence.NONE).astype(np.int8)
    outputs = np.concatenate([bounds[port.source].magnitude[0] for port in problem.network.outputs])
    return Start(bounds, outputs, evidence, level)


def directed_problem(problem: Problem, case: int, index: int, outputs: FloatArray) -> Problem:
    """The problem of one disjunct: one polytope, one disjunct, and the disjunct assumed.

    Args:
        problem: network and property.
        case: index of the case.
        index: number of the disjunct in it.
        outputs: (output_size,) proved bounds on |y| over the polytope, for rounding.

    Raises:
        InputError: `directed/tail`.
    """
    if problem.tail is not None:
        raise InputError(
            "directed/tail",
            "the outputs of the property lie behind operators that are not piecewise linear",
            value=", ".join(problem.tail.operators),
            hint="reduce without --for-property",
        )
    chosen = problem.cases[case]
    rows = chosen.unsafe[index]
    assumed = assume(rows, chosen.polytope.box.magnitude, outputs)
    specification = replace(problem.specification, cases=(replace(chosen, unsafe=(rows,)),))
    return replace(
        problem,
        specification=specification,
        tail=None,
        assumed=assumed,
        disjunct=(case + 1, index + 1),
    )
