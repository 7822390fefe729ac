"""Signed gradient steps on rows of a network (PGD, Madry et al. 2018, arXiv 1706.06083)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.attack.points import Sampler
from eqverify.network import Affine, Network, Product, Smooth, evaluate_nodes, join_outputs

COARSE = (1.0, 1.0, 0.5, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02)
"""Step lengths as fractions of the box; 1.0 jumps to the corner that the gradient names."""

JUMPS = (*COARSE, 0.01, 0.005, 0.002)
SHORT = (0.5, 0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.05, 0.03, 0.03, 0.02, 0.02, 0.01, 0.01, 0.005, 0.005, 0.002)
"""Those of a search that jumps to corners first, and of one that does not."""

NEAR = (0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
"""Those around a candidate that a solver named."""


Heading = tuple[BoolArray, IntArray, FloatArray]
"""Which of k points go on, (k,); and for each that does the output that it is to change, and 1.0 to raise it, -1.0 to
lower it."""

Look = Callable[[FloatArray, FloatArray], Heading | None]
"""Is shown points (k, n) and the network's outputs there (k, outputs); None ends the search."""


def climb(
    network: Network,
    sampler: Sampler,
    points: FloatArray,
    look: Look,
    steps: tuple[float, ...],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Move points by steps along the signs of gradients; whoever looks on decides which rows, and what they show.

    Args:
        network: its outputs are the rows.
        sampler: keeps points in the inputs; where a gradient vanishes it draws another point.
        points: (k, input_size) where the search begins.
        look: sees the first points, and those after each step.
        steps: lengths as fractions of the box.
        stop: asked before each step; True ends the search.
    """
    for step in (*steps, 0.0):
        values = evaluate_nodes(network, points)
        heading = look(points, join_outputs(network, values))
        if heading is None or not step or stop():
            return
        kept, rows, signs = heading
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = row_gradients(network, rows, signs, {name: value[kept] for name, value in values.items()})
            points = sampler.step(points[kept], gradient, step)


def row_gradients(network: Network, rows: IntArray, signs: FloatArray, values: dict[str, FloatArray]) -> FloatArray:
    """Gradients (k, input_size) of signs[k] times output number rows[k] at point k.

    Args:
        network: the network.
        rows: (k,) outputs, numbered over all ports.
        signs: (k,) factors.
        values: by input and node, (k, size): what `evaluate_nodes` gives.
    """
    pulled: dict[str, FloatArray] = {}
    start = 0
    for port in network.outputs:
        own = signs[:, None] * (rows[:, None] == np.arange(start, start + port.size))
        pulled[port.source] = pulled.get(port.source, 0.0) + own
        start += port.size
    for node in reversed(network.nodes):
        row = pulled.pop(node.name, None)
        if row is None:
            continue
        if isinstance(node, Affine):
            for term in node.terms:
                pulled[term.source] = pulled.get(term.source, 0.0) + term.map.backward(row)
        elif isinstance(node, Smooth):
            slope = np.nan_to_num(node.function.slope(values[node.argument]))
            pulled[node.argument] = pulled.get(node.argument, 0.0) + row * slope
        elif isinstance(node, Product):
            for source, factor in ((node.left, node.right), (node.right, node.left)):
                pulled[source] = pulled.get(source, 0.0) + row * values[factor]
        else:
            pulled[node.source] = pulled.get(node.source, 0.0) + row * (values[node.source] > 0)
    return np.concatenate([pulled.get(p.name, np.zeros((rows.size, p.size))) for p in network.inputs], axis=1)
