"""One proof for all disjuncts of a case: the rows of its condition as units of a last layer (V-6).

What narrows the ranges of the network's units serves every disjunct, and a row is one more unit whose sign is asked
for.  So the stages of the proof of stability run once, on the network with a ReLU behind the rows, until each disjunct
has a row that is positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from eqverify.arrays import BoolArray
from eqverify.bounds import Interval
from eqverify.domain import Assumption, Domain, Polytope, condition_rows
from eqverify.network import Network, Port, Relu
from eqverify.problem import Problem, domain_problem
from eqverify.progress import Progress
from eqverify.stability import store
from eqverify.stability.assumed import output_reach, with_rows
from eqverify.stability.facts import Evidence, Facts
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import WITHOUT_SOLVER, prove_stability
from eqverify.stability.proofs import Proof
from eqverify.stability.run import StageSpec
from eqverify.stability.stages import rows

_ROWS_SHARE = 0.2
"""Of the time, for the rows alone before anything is done for units, which costs more than rows need on many units."""

_BOUNDS = (*WITHOUT_SOLVER[:2], WITHOUT_SOLVER[3])

_PLAN = (
    *WITHOUT_SOLVER[:3],
    StageSpec("rows", partial(rows.branch_rows_alone, share=_ROWS_SHARE)),
    *WITHOUT_SOLVER[3:-1],
)
"""Before branching, after which nothing comes, so that it may take all of the time."""

_BOUNDS_FIRST = (*_BOUNDS, *(stage for stage in _PLAN if stage not in _BOUNDS))

Effort: TypeAlias = Literal["all", "bounds first", "bounds alone"]
"""All stages, those for signs first; all, where bounds are often enough, so that they come first; or no others."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedProof:
    """What one proof told about all disjuncts.

    Attributes:
        closed: (disjuncts,) bool: no input of the case satisfies it.
        facts: about the units of the network, on the inputs of the case; they rest on arithmetic alone.  Some of the
            inputs that showed signs may satisfy a disjunct.
        evidence: what `closed` rests on.
        asked: the network with the rows and a ReLU behind it, on the inputs of the case.
        proofs: the steps, about `asked`.
    """

    closed: BoolArray
    facts: Facts
    evidence: Evidence
    asked: Problem | None = None
    proofs: tuple[Proof, ...] = ()


def prove_rows(
    problem: Problem,
    seconds: float,
    *,
    seed: int,
    workers: int,
    progress: Progress,
    node_limit: int | None = None,
    effort: Effort = "all",
    folder: Path | str | None = None,
) -> SharedProof:
    """Look for the signs of rows and units at once.

    Args:
        problem: the network and one case.
        seconds: for all stages.
        seed: of random points.
        workers: processes that branch on signs.
        progress: told of each stage.
        node_limit: not None where the result must be the same every time: stages are then ended by numbers of nodes.
        effort: what is tried, and in what order.
        folder: of facts of earlier runs, where those about the network are added.

    Returns:
        What was proved.  Trusted: float64 arithmetic.
    """
    (case,) = problem.cases
    whole, members = condition_rows(case.unsafe, case.polytope.box.magnitude, output_reach(problem.network, case))
    asked, source = _with_signs(problem.network, case.polytope, whole)

    def left(bounds: Mapping[str, Interval]) -> int:
        positive = (bounds[source].lower > 0).all(axis=0)
        return int((~(members & positive).any(axis=1)).sum())

    def enough(bounds: Mapping[str, Interval]) -> bool:
        return not left(bounds)

    def few(bounds: Mapping[str, Interval]) -> bool:
        return left(bounds) < min(2, len(members))

    options = StabilityOptions(time_limit=seconds, seed=seed, workers=workers, node_limit=node_limit, split_inputs=0)
    branch = StageSpec("branch", partial(rows.branch_for_rows, few=few))
    plans = {"all": (*_PLAN, branch), "bounds first": (*_BOUNDS_FIRST, branch), "bounds alone": _BOUNDS}
    plan = plans[effort] if node_limit is None or effort == "bounds alone" else WITHOUT_SOLVER
    kept = [] if folder is None else store.known(folder, problem)
    facts = prove_stability(asked, options, progress=progress, plan=plan, enough=enough, start=kept)
    signs = facts.layers[-1]
    own = replace(
        facts,
        network_digest=problem.network.digest,
        domain_digest=problem.domain_digest,
        layers=facts.layers[:-1],
        proofs=(),
    )
    if folder is not None:
        store.keep(folder, problem, own)
    closed = np.asarray((members & (signs.lower > 0)).any(axis=1))
    return SharedProof(closed, own, facts.weakest_evidence, asked, facts.proofs)


def _with_signs(network: Network, polytope: Polytope, whole: Assumption) -> tuple[Problem, str]:
    """The inputs of the case, and the network with the rows and a ReLU behind it; the name of the rows."""
    longer, source = with_rows(network, whole)
    name = "signs"
    while name in longer.sizes:
        name += "_"
    port = Port(name, (1, len(whole)), network.outputs[0].element, name)
    asked = Network(network.inputs, (*longer.nodes, Relu(name, source)), (port,))
    return domain_problem(asked, Domain((polytope,))), source
