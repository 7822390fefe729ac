"""The ONNX front end: bytes in, a `Network` of affine and ReLU nodes out, with smooth ones where these are wanted.

specs/onnx.md says what is read and how.
"""

from eqverify.frontend.onnx.cut import Cut, Front, Tail, Unsupported, parse_front, read_front
from eqverify.frontend.onnx.description import UNREAD, Description, TensorDescription, describe
from eqverify.frontend.onnx.load import opset_range, read_bytes, unpacked, whole_bytes
from eqverify.frontend.onnx.lowering import STORED
from eqverify.frontend.onnx.monotone import keeps_order
from eqverify.frontend.onnx.reader import OperatorEntry, operator_table, parse_network, read_network
from eqverify.frontend.onnx.torch_module import TorchModule, export_module

__all__ = [
    "STORED",
    "UNREAD",
    "Cut",
    "Description",
    "Front",
    "OperatorEntry",
    "Tail",
    "TensorDescription",
    "TorchModule",
    "Unsupported",
    "describe",
    "export_module",
    "keeps_order",
    "operator_table",
    "opset_range",
    "parse_front",
    "parse_network",
    "read_bytes",
    "read_front",
    "read_network",
    "unpacked",
    "whole_bytes",
]
