"""One proof for all disjuncts of a case: the rows of its condition as units of a last layer (V-6).

What narrows the ranges of the network's units serves every disjunct, and a row is one more unit whose sign is asked
for.  So the stages of the proof of stability run once, on the network with a ReLU behind the rows, until each disjunct
has a row that is positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.bounds import Interval
from eqverify.domain import Case, Declaration, NetworkSignature, Specification
from eqverify.network import Network, Port, Relu
from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.stability.facts import Facts
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import WITHOUT_SOLVER, prove_stability
from eqverify.stability.run import StageSpec
from eqverify.stability.stages import rows

_ROWS_SHARE = 0.2
"""Of the time, for the rows alone before anything is done for units, which costs more than rows need on many units."""

_PLAN = (
    *WITHOUT_SOLVER[:3],
    StageSpec("rows", partial(rows.branch_rows_alone, share=_ROWS_SHARE)),
    *WITHOUT_SOLVER[3:-1],
)
"""Before branching, after which nothing comes, so that it may take all of the time."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedProof:
    """What one proof told about all disjuncts.

    Attributes:
        closed: (disjuncts,) bool: no input of the case satisfies it.
        points: (k, input_size) inputs that showed signs; some may satisfy a disjunct.
        facts: about the units of the network, on the inputs of the case; they rest on arithmetic alone.
    """

    closed: BoolArray
    points: FloatArray
    facts: Facts


def prove_rows(
    problem: Problem,
    folded: Network,
    members: BoolArray,
    seconds: float,
    *,
    seed: int,
    workers: int,
    progress: Progress,
) -> SharedProof:
    """Look for the signs of rows and units at once.

    Args:
        problem: the network and one case.
        folded: the same network with the rows of the case's condition as outputs.
        members: (disjuncts, rows) bool: which rows each disjunct needs.
        seconds: for all stages.
        seed: of random points.
        workers: processes that branch on signs.
        progress: told of each stage.

    Returns:
        What was proved.  Trusted: float64 arithmetic.
    """
    (port,) = folded.outputs

    def left(bounds: Mapping[str, Interval]) -> int:
        positive = (bounds[port.source].lower > 0).all(axis=0)
        return int((~(members & positive).any(axis=1)).sum())

    def enough(bounds: Mapping[str, Interval]) -> bool:
        return not left(bounds)

    def few(bounds: Mapping[str, Interval]) -> bool:
        return left(bounds) < min(2, len(members))

    options = StabilityOptions(time_limit=seconds, seed=seed, workers=workers)
    plan = (*_PLAN, StageSpec("branch", partial(rows.branch_for_rows, few=few)))
    asked = _with_signs(problem.cases[0], folded)
    facts = prove_stability(asked, options, progress=progress, plan=plan, enough=enough)
    signs = facts.layers[-1]
    own = replace(
        facts,
        network_digest=problem.network.digest,
        domain_digest=problem.domain_digest,
        layers=facts.layers[:-1],
        proofs=(),
    )
    closed = np.asarray((members & (signs.lower > 0)).any(axis=1))
    return SharedProof(closed, facts.witnesses, own)


def _with_signs(case: Case, folded: Network) -> Problem:
    """The inputs of the case, and the folded network with a ReLU behind its rows."""
    (port,) = folded.outputs
    name = "signs"
    while name in folded.sizes:
        name += "_"
    network = Network(
        folded.inputs, (*folded.nodes, Relu(name, port.source)), (Port(name, port.shape, port.element, name),)
    )
    signature = NetworkSignature(
        "N", (Declaration("X", "Real", (network.input_size,)),), (Declaration("Y", "Real", (network.output_size,)),)
    )
    return Problem(network, Specification((signature,), (Case(case.polytope, ()),)))
