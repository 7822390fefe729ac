"""The intermediate representation of networks.  Knows nothing of file formats, domains or solvers."""

from eqverify.network.composition import Composition, compose, select_columns, select_rows
from eqverify.network.convolution import Convolution, TransposedConvolution
from eqverify.network.evaluate import (
    evaluate,
    evaluate_exact,
    evaluate_nodes,
    evaluation_error,
    fits_range,
    gamma,
    join_outputs,
    outputs_exact,
    split_inputs,
)
from eqverify.network.gathering import ScaledSelection
from eqverify.network.graph import (
    Affine,
    Curved,
    Network,
    Node,
    PlainNode,
    Port,
    Product,
    Relu,
    Rounding,
    Smooth,
    Term,
    meaning,
    require_piecewise_linear,
)
from eqverify.network.linear import UNIT_ROUNDOFF, Dense, Diagonal, Identity, LinearMap, Selection
from eqverify.network.sparse import Sparse
from eqverify.network.text import format_network

__all__ = [
    "UNIT_ROUNDOFF",
    "Affine",
    "Composition",
    "Convolution",
    "Curved",
    "Dense",
    "Diagonal",
    "Identity",
    "LinearMap",
    "Network",
    "Node",
    "PlainNode",
    "Port",
    "Product",
    "Relu",
    "Rounding",
    "ScaledSelection",
    "Selection",
    "Smooth",
    "Sparse",
    "Term",
    "TransposedConvolution",
    "compose",
    "evaluate",
    "evaluate_exact",
    "evaluate_nodes",
    "evaluation_error",
    "fits_range",
    "format_network",
    "gamma",
    "join_outputs",
    "meaning",
    "outputs_exact",
    "require_piecewise_linear",
    "select_columns",
    "select_rows",
    "split_inputs",
]
