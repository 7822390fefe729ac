"""The problem in which a disjunct of the output condition is assumed, and constraints as rows of a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import interval_bounds
from eqverify.bounds.assumed import assumed_node
from eqverify.domain import Assumption, Case, assume
from eqverify.errors import InputError
from eqverify.network import Network
from eqverify.problem import Problem


def directed_problem(problem: Problem, case: int, index: int) -> Problem:
    """The problem of one disjunct: one polytope, one disjunct, and the disjunct assumed.

    Args:
        problem: network and property.
        case: index of the case.
        index: number of the disjunct in it.

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
    assumed = assume(rows, chosen.polytope.box.magnitude, output_reach(problem.network, chosen))
    specification = replace(problem.specification, cases=(replace(chosen, unsafe=(rows,)),))
    return replace(
        problem,
        specification=specification,
        tail=None,
        assumed=assumed,
        disjunct=(case + 1, index + 1),
    )


def output_reach(network: Network, case: Case) -> FloatArray:
    """(output_size,) bounds on |y| on the inputs of a case, by intervals."""
    box = case.polytope.box
    bounds = interval_bounds(network, box.lower[None], box.upper[None])
    return np.concatenate([bounds[port.source].magnitude[0] for port in network.outputs])


def with_rows(network: Network, assumed: Assumption) -> tuple[Network, str]:
    """The network with  C y + B x - d  of constraints  C y + B x <= d  as an affine node behind it, and its name."""
    rows = assumed_node(network, assumed)
    return replace(network, nodes=(*network.nodes, rows)), rows.name
