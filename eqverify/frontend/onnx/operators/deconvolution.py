"""ConvTranspose: the transpose of a convolution, with the output's extents chosen by attributes."""

from __future__ import annotations

import math

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.limits import MAX_WINDOW_READS
from eqverify.frontend.onnx.operators.windows import image_input, per_axis, stored_bias, stored_kernel
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Value
from eqverify.network import Term
from eqverify.network.convolution import Convolution, TransposedConvolution

Extents = tuple[int, ...]


@operator(
    "ConvTranspose",
    attributes=("auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"),
    refused="a batch; a computed kernel; auto_pad SAME with output_padding or pads; an output shape larger than what "
    "the windows reach; output_padding not below the stride",
)
def conv_transpose(call: Call) -> Value:
    """A transposed convolution with bias, any number of spatial axes."""
    tensor, channels, extents = image_input(call)
    kernel, groups = stored_kernel(call, tensor)
    if kernel.shape[0] != channels:
        raise call.shape_error("the kernel is for another number of channels", list(kernel.shape), list(tensor.shape))
    linear = TransposedConvolution(_transposed(call, kernel, extents, groups))
    outputs = kernel.shape[1] * groups
    shape = call.checked((1, outputs, *linear.convolution.extents))
    spread = np.repeat(stored_bias(call, tensor, outputs), math.prod(shape[2:]))
    return call.builder.affine(call.name, (Term(tensor.source, linear),), spread, shape, tensor.element)


def _transposed(call: Call, kernel: FloatArray, extents: Extents, groups: int) -> Convolution:
    """The convolution from the output to the input."""
    axes, window = len(extents), kernel.shape[2:]
    strides = per_axis(call, "strides", (1,) * axes, 1)
    dilations = per_axis(call, "dilations", (1,) * axes, 1)
    extra = per_axis(call, "output_padding", (0,) * axes, 0)
    # Extents of the output before anything is cut off it.
    whole = tuple(
        s * (n - 1) + e + (w - 1) * d + 1
        for n, s, e, w, d in zip(extents, strides, extra, window, dilations, strict=True)
    )
    before, after = _cut_off(call, extents, strides, whole)
    outputs = tuple(t - b - a for t, b, a in zip(whole, before, after, strict=True))
    if min(outputs, default=1) < 1:
        raise call.shape_error("the paddings leave nothing of the output", list(whole), list(before), list(after))
    if math.prod(window) * math.prod(call.checked(whole)) * max(kernel.shape[0], kernel.shape[1]) > MAX_WINDOW_READS:
        raise call.error("too-large", "the window reads too many components", value=f"{list(window)} of {list(whole)}")
    # The convolution reads zeros behind its input where the last window reaches beyond it.
    behind = tuple(max(a - e, 0) for a, e in zip(after, extra, strict=True))
    if any(e - a >= s for a, e, s in zip(after, extra, strides, strict=True)):
        raise call.error("unsupported-form", "'output_padding' is not smaller than the stride", value=list(extra))
    return Convolution(kernel, outputs, strides, dilations, before, behind, groups)


def _cut_off(call: Call, extents: Extents, strides: Extents, whole: Extents) -> tuple[Extents, Extents]:
    """What is cut off the output in front and behind."""
    axes, mode = len(extents), call.text("auto_pad", "NOTSET")
    pads = per_axis(call, "pads", (0,) * (2 * axes), 0)
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise call.error("bad-attribute", "no such 'auto_pad'", value=mode)
    wanted = call.integers("output_shape")
    if wanted is None and mode in ("NOTSET", "VALID"):
        if mode == "VALID" and any(pads):
            raise call.error("unsupported-form", "'pads' and 'auto_pad' exclude each other", value=mode)
        return pads[:axes], pads[axes:]
    if any(pads) or (mode != "NOTSET" and "pads" in call.attributes):
        raise call.error("unsupported-form", "'pads' and a chosen output shape exclude each other", value=list(pads))
    if wanted is None and any(per_axis(call, "output_padding", (0,) * axes, 0)):
        message = "runtimes disagree on the output's shape for 'auto_pad' with 'output_padding'"
        raise call.error("unsupported-form", message, value=mode)
    if wanted is None:
        wanted = tuple(n * s for n, s in zip(extents, strides, strict=True))
    if len(wanted) != axes:
        raise call.shape_error("'output_shape' does not fit the input", list(wanted), list(extents))
    totals = tuple(t - n for t, n in zip(whole, wanted, strict=True))
    if min(totals, default=0) < 0:
        raise call.error("unsupported-form", "the chosen output shape is larger than the output", value=list(wanted))
    smaller, larger = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (smaller, larger) if mode == "SAME_UPPER" else (larger, smaller)
