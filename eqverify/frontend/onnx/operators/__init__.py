"""The lowerings, one module per family; importing this package fills the operator table."""

from eqverify.frontend.onnx.operators import arithmetic, constants, products, shapes

__all__ = ["arithmetic", "constants", "products", "shapes"]
