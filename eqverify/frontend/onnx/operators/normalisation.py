"""BatchNormalization of inference: scale * (x - mean) / sqrt(var + epsilon) + bias, per channel."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.exact import nearest_root
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Value
from eqverify.network import Diagonal, Identity, Term


def _per_channel(call: Call, index: int, channels: int, element: str) -> FloatArray:
    numbers = call.weights(call.constant(index), element)
    if numbers.shape != (channels,):
        raise call.shape_error(
            f"input {index} needs one number per channel", list(numbers.shape), f"{channels} channels"
        )
    return numbers


@operator(
    "BatchNormalization",
    attributes=("epsilon", "momentum", "training_mode", "spatial"),
    refused="training mode; spatial 0",
)
def batch_normalization(call: Call) -> Value:
    """A bias, then a diagonal map with divisors sqrt(var + epsilon), rounded to the nearest float64, and a bias."""
    tensor = call.tensor(0)
    if len(tensor.shape) < 2:
        raise call.shape_error("the input needs a batch and a channel axis", list(tensor.shape))
    if call.flag("training_mode") or any(call.outputs[1:]):
        raise call.error(
            "unsupported-form", "training mode is not supported", hint="export the model in inference mode"
        )
    if call.integer("spatial", 1) != 1:
        raise call.error("unsupported-attribute", "attribute 'spatial' is not supported", value=0)
    channels, element = tensor.shape[1], tensor.element
    scale, bias, mean, variance = (_per_channel(call, index, channels, element) for index in range(1, 5))
    # The default is the float32 number nearest to 1e-5.
    epsilon = Fraction(call.number("epsilon", float(np.float32(1e-5))))
    squares = [Fraction(v) + epsilon for v in variance.tolist()]
    if min(squares) <= 0:
        raise call.error("division-by-zero", "a variance plus epsilon is not positive", value=float(min(squares)))
    divisor = np.array([nearest_root(square) for square in squares])
    if any(Fraction(root) ** 2 != square for root, square in zip(divisor.tolist(), squares, strict=True)):
        call.builder.rounded.append(call.name)

    def spread(numbers: FloatArray) -> FloatArray:
        column = numbers.reshape(-1, *[1] * (len(tensor.shape) - 2))
        return np.broadcast_to(column, tensor.shape).reshape(-1)

    builder = call.builder
    if mean.any():
        name = builder.helper_name(call.name, "centred")
        tensor = builder.affine(
            name, (Term(tensor.source, Identity(tensor.size)),), spread(-mean), tensor.shape, element
        )
    linear = Diagonal(spread(scale), spread(divisor))
    return builder.affine(call.name, (Term(tensor.source, linear),), spread(bias), tensor.shape, element)
