"""The lowerings, one module per family; importing this package fills the operator table."""

from eqverify.frontend.onnx.operators import (
    arithmetic,
    constants,
    deconvolution,
    normalisation,
    pieces,
    piecewise,
    products,
    reductions,
    resampling,
    shapes,
    windows,
)

__all__ = [
    "arithmetic",
    "constants",
    "deconvolution",
    "normalisation",
    "pieces",
    "piecewise",
    "products",
    "reductions",
    "resampling",
    "shapes",
    "windows",
]
