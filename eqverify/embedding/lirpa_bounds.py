"""Proved ranges as intermediate bounds of auto_LiRPA, and so of alpha-beta-CROWN (its argument `interm_bounds`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from eqverify.arrays import IEEE, BoolArray, FloatArray
from eqverify.attack.points import nearest_of_type, sample_boxes
from eqverify.embedding.formulation import single_box
from eqverify.errors import UsageError
from eqverify.network import Port, evaluate_nodes, evaluation_error
from eqverify.problem import Problem
from eqverify.runtime_error import point_errors
from eqverify.stability.facts import Facts

_POINTS = 6
"""Inputs at which the values of layers are compared."""

Tensors = list[Any]
"""[lower, upper], tensors of a node's shape."""


@IEEE
def interm_bounds(net: Any, problem: Problem, facts: Facts) -> dict[str, Tensors]:
    """The proved ranges of pre-activations by auto_LiRPA's names, for `net.compute_bounds(..., interm_bounds=...)`.

    As `reference_bounds`, auto_LiRPA takes the tighter of these and its own.

    A ReLU layer of `net` gets the ranges of the one of ours that has its values at inputs of the domain, up to what a
    run can round; where none or several do, it gets none, and auto_LiRPA bounds it itself.

    Args:
        net: `auto_LiRPA.BoundedModule` of the same network, of one input tensor, made for a batch of one.
        problem: the network as it is stored: that of `prove_ranges`.  Its domain is one box, without further
            constraints.
        facts: proved for it.

    Returns:
        By the name of each node before a ReLU, its bounds (1, ...) in the type of the module, rounded outwards.  They
        hold for inputs of the domain only.  Trusted: `facts`, and that layers which agree at all points are the same.

    Raises:
        UsageError: `embedding/other-network` where no layer fits.
        InputError: `embedding/parts`, `embedding/constraints`.
    """
    facts.require(problem)
    box = single_box(problem)
    kind = next(value.dtype for value in net.parameters() if value.is_floating_point())
    element = "float32" if kind == torch.float32 else "float64"
    points = sample_boxes(box.lower[None], box.upper[None], _POINTS, np.random.default_rng(0))
    points = nearest_of_type(points, box.lower, box.upper, element)
    expected, allowed = _layer_values(problem, facts, points, element)
    relus = [node.inputs[0] for node in net.nodes() if type(node).__name__ == "BoundRelu"]
    values = _run(net, relus, points, kind)
    found = {}
    for node, value in zip(relus, values, strict=True):
        fitting = [k for k, z in enumerate(expected) if _same(value, z, allowed[k])]
        if len(fitting) == 1:
            known = facts.layers[fitting[0]]
            ends = _outwards(known.lower, -np.inf, element), _outwards(known.upper, np.inf, element)
            shape = tuple(node.output_shape)
            found[node.name] = [torch.as_tensor(end, dtype=kind).reshape(shape) for end in ends]
    if relus and not found:
        raise UsageError(
            "embedding/other-network",
            "the ranges are not about the network that they are given to",
            value=f"{len(relus)} ReLU layers, none of which has the values of one of ours",
            hint="make the module and the ranges of the same network",
        )
    return found


def _layer_values(
    problem: Problem, facts: Facts, points: FloatArray, element: str
) -> tuple[list[FloatArray], list[FloatArray]]:
    """By layer, its pre-activations (k, n), and how far from them those of a run may be."""
    ports = [Port(layer.name, (1, layer.size), element, layer.source) for layer in facts.layers]
    network = replace(problem.network, outputs=tuple(ports))
    values = evaluate_nodes(network, points)
    own = evaluation_error(network, values)
    runs = np.stack([point_errors(network, point) for point in points])
    by_layer = np.split(runs, np.cumsum([layer.size for layer in facts.layers])[:-1], axis=1)
    sources = [layer.source for layer in facts.layers]
    return [values[name] for name in sources], [own[n] + e for n, e in zip(sources, by_layer, strict=True)]


def _run(net: Any, nodes: Sequence[Any], points: FloatArray, kind: Any) -> list[FloatArray]:
    """By node of auto_LiRPA, its values (k, n) at inputs (k, input_size)."""
    shape = tuple(net[net.input_name[0]].output_shape)
    rows: list[list[FloatArray]] = [[] for _ in nodes]
    for point in points:
        with torch.no_grad():
            net(torch.as_tensor(point, dtype=kind).reshape(shape))
            for row, node in zip(rows, nodes, strict=True):
                row.append(net.get_forward_value(node).reshape(-1).numpy().astype(np.float64))
    return [np.stack(row) for row in rows]


def _same(value: FloatArray, expected: FloatArray, allowed: FloatArray) -> bool:
    if value.shape != expected.shape:
        return False
    near: BoolArray = (np.abs(value - expected) <= allowed) & np.isfinite(allowed)
    return bool(near.all())


def _outwards(ends: FloatArray, direction: float, element: str) -> FloatArray:
    """Bounds in a type: themselves, or the next number of the type in this direction."""
    rounded = ends.astype(element)
    short = rounded < ends if direction > 0 else rounded > ends
    return np.where(short, np.nextafter(rounded, np.array(direction, dtype=element)), rounded)
