"""The ONNX front end: bytes in, a `Network` of affine and ReLU nodes out.  specs/onnx.md says what is read and how."""

from eqverify.frontend.onnx.reader import (
    Description,
    OperatorEntry,
    TensorDescription,
    Unsupported,
    describe,
    operator_table,
    parse_network,
    read_network,
)

__all__ = [
    "Description",
    "OperatorEntry",
    "TensorDescription",
    "Unsupported",
    "describe",
    "operator_table",
    "parse_network",
    "read_network",
]
