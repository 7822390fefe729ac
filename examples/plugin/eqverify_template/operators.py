"""Shrink with bias = lambd, which is piecewise linear: x - lambd above lambd, x + lambd below -lambd, else 0."""

import numpy as np

from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Value
from eqverify.network import Diagonal, Identity, Term


@operator("Shrink", since=9, attributes=("lambd", "bias"), refused="a bias that is not lambd: it jumps")
def shrink(call: Call) -> Value:
    """Two ReLU nodes: relu(x - lambd) - relu(-x - lambd)."""
    tensor, lambd = call.tensor(0), call.number("lambd", 0.5)
    if lambd < 0 or call.number("bias", 0.0) != lambd:
        raise call.error(
            "unsupported-form", "only bias = lambd, which is not negative, is piecewise linear", value=lambd
        )
    builder, terms = call.builder, []
    negative = Diagonal(np.full(tensor.size, -1.0), np.ones(tensor.size))
    for name, signed in (("above", Identity(tensor.size)), ("below", negative)):
        row_name, relu_name = builder.helper_name(call.name, f"{name} z"), builder.helper_name(call.name, name)
        bias = np.full(tensor.size, -lambd)
        row = builder.affine(row_name, (Term(tensor.source, signed),), bias, tensor.shape, tensor.element)
        terms.append(Term(builder.relu(relu_name, row).source, signed))
    return builder.affine(call.name, tuple(terms), np.zeros(tensor.size), tensor.shape, tensor.element)
