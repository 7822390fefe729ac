"""Rounding the weights of a network to the numbers of an element type."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from onnx import TensorProto

from eqverify.arrays import FloatArray
from eqverify.errors import InputError, Place, UsageError
from eqverify.network import Affine, Dense, Diagonal, LinearMap, Network, Term
from eqverify.network.convolution import Convolution, TransposedConvolution
from eqverify.network.gathering import ScaledSelection
from eqverify.network.sparse import Sparse

ElementType = Literal["float32", "float64"]

TYPES: dict[str, tuple[int, str]] = {"float32": (TensorProto.FLOAT, "<f4"), "float64": (TensorProto.DOUBLE, "<f8")}
"""By element type, ONNX's code and the layout of raw data."""


def element_type(dtype: str) -> tuple[int, str]:
    """ONNX's code and the layout of raw data of an element type.

    Raises:
        UsageError: `export/dtype`.
    """
    if dtype not in TYPES:
        raise UsageError("export/dtype", "no such element type", value=dtype, hint=f"choose one of {', '.join(TYPES)}")
    return TYPES[dtype]


def round_to(network: Network, dtype: ElementType) -> Network:
    """The network with every weight rounded to the nearest number of a type.

    Args:
        network: any; a quotient of a `Diagonal` whose parts are not numbers of the type becomes one rounded factor.
        dtype: ``float32``; ``float64`` returns the network as it is.

    Returns:
        A network of the same structure; its distance to `network` is for the caller to bound.

    Raises:
        UsageError: `export/dtype`.
        InputError: `export/overflow` where a weight is larger than the type's largest number, `export/linear-map` for
            maps that cannot be written either.
    """
    element_type(dtype)
    if dtype == "float64":
        return network
    nodes = tuple(_rounded_affine(node) if isinstance(node, Affine) else node for node in network.nodes)
    return Network(network.inputs, nodes, network.outputs)


def unknown_map(node: str, linear: LinearMap) -> InputError:
    """The error for a kind of map that has no ONNX form here."""
    return InputError(
        "export/linear-map",
        "this kind of linear map can be neither rounded nor written",
        place=Place(node=node),
        value=type(linear).__name__,
    )


def _rounded_affine(node: Affine) -> Affine:
    terms = tuple(Term(term.source, _rounded_map(node, term.map)) for term in node.terms)
    return Affine(node.name, terms, _rounded(node, node.bias))


def _rounded_map(node: Affine, linear: LinearMap) -> LinearMap:
    if isinstance(linear, Dense):
        return Dense(_rounded(node, linear.matrix))
    if isinstance(linear, Diagonal):
        return _rounded_diagonal(node, linear)
    if isinstance(linear, Convolution):
        return replace(linear, kernel=_rounded(node, linear.kernel))
    if isinstance(linear, TransposedConvolution):
        inner = linear.convolution
        return TransposedConvolution(replace(inner, kernel=_rounded(node, inner.kernel)))
    if isinstance(linear, ScaledSelection):
        return replace(linear, scale=_rounded(node, linear.scale))
    if isinstance(linear, Sparse):
        return replace(linear, data=_rounded(node, linear.data))
    if any(array.dtype == np.float64 for array in linear.parameters()):
        raise unknown_map(node.name, linear)
    return linear


def _rounded_diagonal(node: Affine, linear: Diagonal) -> Diagonal:
    """Scale and divisor rounded where the divisor is representable; else the quotient rounded."""
    with np.errstate(over="ignore", under="ignore"):
        kept = (linear.divisor.astype(np.float32) == linear.divisor).all()
    if kept:
        return Diagonal(_rounded(node, linear.scale), linear.divisor)
    return Diagonal(_rounded(node, linear.forward(np.ones(linear.scale.size))), np.ones(linear.scale.size))


def _rounded(node: Affine, array: FloatArray) -> FloatArray:
    with np.errstate(over="ignore", under="ignore"):
        rounded = array.astype(np.float32).astype(np.float64)
    if not np.isfinite(rounded).all():
        raise InputError(
            "export/overflow",
            "a weight is too large for float32",
            place=Place(node=node.name),
            value=float(np.abs(array).max()),
            hint="write float64 (--dtype float64)",
        )
    return rounded
