"""Fully connected chains from matrices."""

from __future__ import annotations

from eqverify.arrays import FloatArray
from eqverify.network import Affine, Dense, Network, Node, Port, Relu, Term

Layers = list[tuple[FloatArray, FloatArray]]
"""(weights, bias) per layer; the last is the output layer."""


def chain_network(layers: Layers, element: str = "float64", batch: tuple[int | str, ...] = ()) -> Network:
    """The chain affine0, relu0, ..., affine_n of (weights (out, in), bias (out,)) pairs.

    Args:
        layers: at least one; a ReLU stands between any two.
        element: element type of the ports.
        batch: leading extents of the declared shapes.
    """
    nodes: list[Node] = []
    source = "X"
    for index, (matrix, bias) in enumerate(layers):
        nodes.append(Affine(f"affine{index}", (Term(source, Dense(matrix)),), bias))
        source = f"affine{index}"
        if index + 1 < len(layers):
            nodes.append(Relu(f"relu{index}", source))
            source = f"relu{index}"
    inputs, outputs = layers[0][0].shape[1], layers[-1][0].shape[0]
    return Network(
        (Port("X", (*batch, inputs), element, "X"),), tuple(nodes), (Port("Y", (*batch, outputs), element, source),)
    )
