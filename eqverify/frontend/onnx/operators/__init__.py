"""The lowerings, one module per family; importing this package fills the operator table."""

from eqverify.frontend.onnx.operators import arithmetic, constants, pieces, piecewise, products, shapes, windows

__all__ = ["arithmetic", "constants", "pieces", "piecewise", "products", "shapes", "windows"]
