"""The lowerings, one module per family; importing this package fills the operator table."""

from eqverify.frontend.onnx.operators import (
    arithmetic,
    comparisons,
    constants,
    deconvolution,
    indexing,
    linear,
    normalisation,
    pieces,
    piecewise,
    products,
    quantised,
    recurrent,
    reductions,
    resampling,
    shapes,
    windows,
)

__all__ = [
    "arithmetic",
    "comparisons",
    "constants",
    "deconvolution",
    "indexing",
    "linear",
    "normalisation",
    "pieces",
    "piecewise",
    "products",
    "quantised",
    "recurrent",
    "reductions",
    "resampling",
    "shapes",
    "windows",
]
