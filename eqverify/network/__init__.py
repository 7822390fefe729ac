"""The intermediate representation of networks.  Knows nothing of file formats, domains or solvers."""

from eqverify.network.evaluate import (
    evaluate,
    evaluate_exact,
    evaluate_nodes,
    evaluation_error,
    gamma,
    join_outputs,
    outputs_exact,
    split_inputs,
)
from eqverify.network.graph import Affine, Network, Node, Port, Relu, Term
from eqverify.network.linear import UNIT_ROUNDOFF, Dense, Diagonal, Identity, LinearMap, Selection
from eqverify.network.text import format_network

__all__ = [
    "UNIT_ROUNDOFF",
    "Affine",
    "Dense",
    "Diagonal",
    "Identity",
    "LinearMap",
    "Network",
    "Node",
    "Port",
    "Relu",
    "Selection",
    "Term",
    "evaluate",
    "evaluate_exact",
    "evaluate_nodes",
    "evaluation_error",
    "format_network",
    "gamma",
    "join_outputs",
    "outputs_exact",
    "split_inputs",
]
