"""Normal forms from what is known about the units of a network: bounds on a box, or facts about a problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eqverify.arrays import BoolArray, IntArray
from eqverify.bounds import Bounds
from eqverify.network import UNIT_ROUNDOFF, Affine, Network
from eqverify.network.expression import (
    Basis,
    Expression,
    affine_expression,
    input_expressions,
    make_basis,
    restrict_relu,
    stacked,
)
from eqverify.normal_form.form import NormalForm, assembled, narrowed
from eqverify.normal_form.original import Original, open_basis
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, Status


def box_form(
    network: Network,
    bounds: Bounds,
    signs: Sequence[IntArray],
    folded: Sequence[BoolArray],
    tick: Callable[[], None] = lambda: None,
) -> NormalForm:
    """The normal form on a box.

    A folded unit may have a little of the other sign: max(0, z) is within max(0, -lower) of z, and within max(0, upper)
    of 0 (E-1).

    Args:
        network: the network.
        bounds: proved intervals of all nodes on the box, (1, n) each.
        signs: per ReLU layer, as what a folded unit counts: 1 for z, -1 for 0.
        folded: per ReLU layer, which units are not kept.
        tick: called for each node; raises to stop.
    """
    names = [node.name for node in network.relus]
    kept = {name: ~gone for name, gone in zip(names, folded, strict=True)}
    active = {name: gone & (sign > 0) for name, sign, gone in zip(names, signs, folded, strict=True)}
    ranges = {node.name: (bounds[node.source].lower[0], bounds[node.source].upper[0]) for node in network.relus}
    inputs = [bounds[port.name] for port in network.inputs]
    box = np.concatenate([i.lower[0] for i in inputs]), np.concatenate([i.upper[0] for i in inputs])
    basis = make_basis(network, kept, box, ranges)
    values = input_expressions(network, basis)
    z = {}
    for node in network.plain_nodes:
        tick()
        if isinstance(node, Affine):
            values[node.name] = affine_expression(node, values, basis)
            continue
        name, (lower, upper) = node.name, ranges[node.name]
        z[name] = values[node.source].select(np.flatnonzero(kept[name]))
        h = restrict_relu(values[node.source], active[name], basis.columns[name], basis)
        beyond = np.maximum(np.where(active[name], -lower, upper), 0.0)
        error = h.error + np.where(kept[name], 0.0, beyond)
        values[name] = Expression(h.rows, np.where(error == 0, 0.0, error * (1 + 4 * UNIT_ROUNDOFF)))
    return assembled(basis, z, stacked([values[port.source] for port in network.outputs], basis), ranges)


@np.errstate(over="ignore", invalid="ignore")
def normal_form(problem: Problem, facts: Facts) -> NormalForm:
    """The normal form of a problem's network on its domain; columns with a single value are part of the constant (M-5).

    Args:
        problem: network and domain.
        facts: which units are stable; believed, as are their bounds.

    Returns:
        Rows in float64 with bounds on their rounding errors.

    Raises:
        UsageError: the facts are about another problem.
    """
    facts.require(problem)
    original = Original(problem, facts, open_basis(problem, facts))
    columns = normal_columns(facts, original.basis)
    basis = narrowed(original.basis, columns)

    def narrow(wide: Expression) -> Expression:
        for name in original.backwards():
            wide = original.without_active(wide, name, original.basis)
        return Expression(wide.rows[:, columns], wide.error)

    z = {name: narrow(original.z(name, np.flatnonzero(index >= 0))) for name, index in basis.columns.items()}
    ports = [narrow(original.select(port.source, np.arange(port.size))) for port in problem.network.outputs]
    bounds = {layer.name: (layer.lower, layer.upper) for layer in facts.layers}
    form = assembled(basis, z, stacked(ports, basis), bounds)
    single = np.flatnonzero(basis.radius == 0)
    return form.fixed(single[single != basis.input_size])


def normal_columns(facts: Facts, wide: Basis) -> IntArray:
    """The columns of the normal form, in a basis that has the stably active units too."""
    kept = [wide.columns[layer.name][layer.mask(Status.UNDECIDED, Status.UNSTABLE)] for layer in facts.layers]
    return np.concatenate([np.arange(wide.input_size + 1), *kept])
