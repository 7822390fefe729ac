"""The normal form of a network on a domain (specs/rewrites.md, C-1).

Restricted to the domain, stable units are linear and disappear.  What remains are the kept units and the outputs,
each an affine expression of the input and of *earlier* kept units:

    z_i = A_i h + B_i x + c_i,   h = max(0, z),        y = A_y h + B_y x + c_y.

Any network has one, with skip connections and convolutions too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import IntArray
from eqverify.network.expression import Basis, Expression, make_basis, stacked
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, Status
from eqverify.transform.original import Original, open_basis
from eqverify.transform.related import Related


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The kept units of one ReLU layer.

    Attributes:
        source: the ReLU node.
        units: (k,) their indices in it.
        columns: (k,) their columns of the basis.
        z: their pre-activations.
    """

    source: str
    units: IntArray
    columns: IntArray
    z: Expression


@dataclass(frozen=True, slots=True, eq=False)
class NormalForm:
    """Rows of kept units and outputs over one basis.

    Attributes:
        basis: inputs, 1, and the kept units (undecided and unstable ones) in topological order.
        levels: layers with kept units, in topological order.
        outputs: the flat output.
    """

    basis: Basis
    levels: tuple[Level, ...]
    outputs: Expression


def normal_basis(problem: Problem, facts: Facts) -> Basis:
    """The columns of the normal form: the same for all who ask about the same facts."""
    kept = {layer.name: layer.mask(Status.UNDECIDED, Status.UNSTABLE) for layer in facts.layers}
    units = {layer.name: (layer.lower, layer.upper) for layer in facts.layers}
    hull = problem.domain.hull
    return make_basis(problem.network, kept, (hull.lower, hull.upper), units)


@np.errstate(over="ignore", invalid="ignore")
def normal_form(problem: Problem, facts: Facts) -> NormalForm:
    """The normal form of a problem's network on its domain.

    Args:
        problem: network and domain.
        facts: which units are stable; believed, as are their bounds.

    Returns:
        Rows in float64 with bounds on their rounding errors.

    Raises:
        UsageError: the facts are about another problem.
    """
    facts.require(problem)
    wide = open_basis(problem, facts)
    original = Original(problem, facts, wide)
    related = Related(original, ())
    basis = normal_basis(problem, facts)
    columns = normal_columns(facts, basis, wide)
    levels = []
    for layer in facts.layers:
        units = np.flatnonzero(basis.columns[layer.name] >= 0)
        if units.size:
            z = related.without(original.z(layer.name, units), wide)
            levels.append(
                Level(layer.name, units, basis.columns[layer.name][units], Expression(z.rows[:, columns], z.error))
            )
    ports = [related.without(original.select(p.source, np.arange(p.size)), wide) for p in problem.network.outputs]
    outputs = stacked(ports, wide)
    return NormalForm(basis, tuple(levels), Expression(outputs.rows[:, columns], outputs.error))


def normal_columns(facts: Facts, basis: Basis, wide: Basis) -> IntArray:
    """Where the columns of the normal form stand in a basis that has the stably active units too."""
    where = np.arange(basis.width)
    for layer in facts.layers:
        kept = basis.columns[layer.name] >= 0
        where[basis.columns[layer.name][kept]] = wide.columns[layer.name][kept]
    return where
