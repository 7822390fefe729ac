"""Conv; AveragePool, LpPool, MaxPool and their global forms: operators with a sliding window."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.limits import MAX_WINDOW_READS
from eqverify.frontend.onnx.operators.piecewise import Operand, magnitude, maximum
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Tensor, Value
from eqverify.network import Diagonal, Term
from eqverify.network.convolution import Convolution


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a window goes; one entry per spatial axis.

    Attributes:
        window: extents of the window.
        strides: steps.
        dilations: distances within the window.
        before: padding in front.
        after: padding behind, including what `ceil_mode` adds.
        declared_after: padding behind as declared.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    declared_after: tuple[int, ...]

    def convolution(
        self, kernel: np.ndarray[tuple[int, ...], np.dtype[np.float64]], extents: tuple[int, ...], groups: int
    ) -> Convolution:
        """The convolution with this geometry."""
        return Convolution(kernel, extents, self.strides, self.dilations, self.before, self.after, groups)


def geometry(call: Call, extents: tuple[int, ...], window: tuple[int, ...], *, pooled: bool = False) -> Geometry:
    """Strides, dilations and paddings of a call, checked."""
    axes = len(extents)
    if len(window) != axes or min(window, default=1) < 1:
        raise call.shape_error("'kernel_shape' does not fit the input", list(window), list(extents))
    strides = per_axis(call, "strides", (1,) * axes, 1)
    dilations = per_axis(call, "dilations", (1,) * axes, 1)
    reach = tuple((w - 1) * d + 1 for w, d in zip(window, dilations, strict=True))
    before, after = _paddings(call, extents, strides, reach)
    if pooled and unclear(call, extents, strides, reach, dilations):
        message = "runtimes disagree on the paddings of 'auto_pad' where a window is dilated or smaller than its stride"
        raise call.error("unsupported-form", message, value=f"dilations {list(dilations)}, strides {list(strides)}")
    total = tuple(n + b + a for n, b, a in zip(extents, before, after, strict=True))
    if any(r > t for r, t in zip(reach, total, strict=True)):
        raise call.shape_error("the window is larger than the padded input", list(reach), list(total))
    reads = math.prod(window) * max(math.prod(call.checked(total)), call.tensor(0).shape[1])
    if reads > MAX_WINDOW_READS:
        raise call.error("too-large", "the window reads too many components", value=f"{list(window)} of {list(total)}")
    declared = after
    if call.flag("ceil_mode"):
        after = tuple(
            _ceiled(call, n, b, a, r, s) for n, b, a, r, s in zip(extents, before, after, reach, strides, strict=True)
        )
    return Geometry(window, strides, dilations, before, after, declared)


def unclear(
    call: Call, extents: tuple[int, ...], strides: tuple[int, ...], reach: tuple[int, ...], dilations: tuple[int, ...]
) -> bool:
    """Whether the paddings of a pool are to be found where onnxruntime has a formula of its own, or fails."""
    totals = [(-(-n // s) - 1) * s + r - n for n, s, r in zip(extents, strides, reach, strict=True)]
    same = call.text("auto_pad", "NOTSET").startswith("SAME")
    return same and (max(dilations, default=1) > 1 or min(totals, default=0) < 0)


def per_axis(call: Call, key: str, default: tuple[int, ...], least: int) -> tuple[int, ...]:
    """A list attribute with one number per axis (or paddings: two), each at least `least`."""
    given = call.integers(key)
    values = default if given is None else given
    if len(values) != len(default) or min(values, default=least) < least:
        raise call.error(
            "bad-attribute", f"attribute {key!r} needs {len(default)} numbers from {least}", value=list(values)
        )
    if max(values, default=0) > 1 << 20:
        raise call.error("too-large", f"attribute {key!r} is too large", value=list(values))
    return values


def _paddings(
    call: Call, extents: tuple[int, ...], strides: tuple[int, ...], reach: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes, mode = len(extents), call.text("auto_pad", "NOTSET")
    pads = per_axis(call, "pads", (0,) * (2 * axes), 0)
    if mode == "NOTSET":
        return pads[:axes], pads[axes:]
    if any(pads):
        raise call.error("unsupported-form", "'pads' and 'auto_pad' exclude each other", value=mode)
    if mode == "VALID":
        return pads[:axes], pads[axes:]
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise call.error("bad-attribute", "no such 'auto_pad'", value=mode)
    totals = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(extents, strides, reach, strict=True)]
    smaller, larger = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (smaller, larger) if mode == "SAME_UPPER" else (larger, smaller)


def _ceiled(call: Call, extent: int, before: int, after: int, reach: int, stride: int) -> int:
    """The padding behind that rounding the output extent up amounts to."""
    outputs = -(-(extent + before + after - reach) // stride) + 1
    if (outputs - 1) * stride >= extent + before:
        message = "'ceil_mode' adds a window that starts behind the input: runtimes disagree on whether it counts"
        raise call.error("unsupported-form", message)
    return max(after, (outputs - 1) * stride + reach - extent - before)


def image_input(call: Call) -> tuple[Tensor, int, tuple[int, ...]]:
    """Input 0 as one image: the tensor, its channels and spatial extents."""
    tensor = call.tensor(0)
    if len(tensor.shape) < 3 or tensor.shape[0] != 1:
        raise call.shape_error("the input must be one image [1, channels, ...]", list(tensor.shape))
    return tensor, tensor.shape[1], tensor.shape[2:]


def stored_kernel(call: Call, tensor: Tensor) -> tuple[FloatArray, int]:
    """The kernel of a convolution of `tensor`, input 1, and its number of groups."""
    kernel = call.weights(call.constant(1), tensor.element)
    return kernel, groups_of(call, tensor, kernel)


def groups_of(call: Call, tensor: Tensor, kernel: FloatArray) -> int:
    """The number of groups of a convolution of `tensor`, whose kernel has to fit."""
    groups = call.integer("group", 1)
    if kernel.ndim != len(tensor.shape) or groups < 1 or kernel.shape[0] % groups or not kernel.size:
        raise call.shape_error("kernel, groups and input do not fit", list(kernel.shape), groups, list(tensor.shape))
    window = call.integers("kernel_shape")
    if window is not None and window != kernel.shape[2:]:
        raise call.shape_error("'kernel_shape' is not the kernel's shape", list(window), list(kernel.shape))
    return groups


def stored_bias(call: Call, tensor: Tensor, channels: int) -> FloatArray:
    """(channels,): the bias of a convolution of `tensor`, input 2, or zeros."""
    if call.optional(2) is None:
        return np.zeros(channels)
    bias = call.weights(call.constant(2), tensor.element)
    if bias.shape != (channels,):
        raise call.shape_error("the bias does not fit the kernel", list(bias.shape), f"{channels} channels")
    return bias


WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")


@operator("Conv", attributes=(*WINDOW, "group"), refused="a batch; a computed kernel")
def conv(call: Call) -> Value:
    """A convolution map with bias, any number of spatial axes."""
    tensor = image_input(call)[0]
    kernel, groups = stored_kernel(call, tensor)
    linear, shape = convolution(call, tensor, kernel, groups)
    spread = np.repeat(stored_bias(call, tensor, kernel.shape[0]), math.prod(linear.output_extents))
    return call.builder.affine(call.name, (Term(tensor.source, linear),), spread, shape, tensor.element)


def convolution(call: Call, tensor: Tensor, kernel: FloatArray, groups: int) -> tuple[Convolution, tuple[int, ...]]:
    """The map that convolves an image, and the shape of the result."""
    channels, extents = tensor.shape[1], tensor.shape[2:]
    if kernel.shape[1] * groups != channels:
        raise call.shape_error("the kernel is for another number of channels", list(kernel.shape), list(tensor.shape))
    linear = geometry(call, extents, kernel.shape[2:]).convolution(kernel, extents, groups)
    return linear, call.checked((1, kernel.shape[0], *linear.output_extents))


def _total(call: Call, placed: Geometry) -> Value:
    """The sum of magnitudes over each window."""
    tensor, channels, extents = image_input(call)
    if (power := call.integer("p", 2)) != 1:
        raise call.error("nonlinear", "only 'p' = 1 is piecewise linear", value=power)
    if placed.after != placed.declared_after:
        raise call.error("unsupported-form", "'ceil_mode' with a window that is not whole is not supported")
    linear = placed.convolution(np.ones((channels, 1, *placed.window)), extents, channels)
    positive = magnitude(call, call.builder.helper_name(call.name, "magnitude"), tensor)
    return call.builder.linear(call.name, positive, linear, call.checked((1, channels, *linear.output_extents)))


@operator(
    "LpPool",
    attributes=(*WINDOW, "ceil_mode", "p"),
    refused="other p than 1; a window that ceil_mode cuts; auto_pad as for AveragePool",
)
def lp_pool(call: Call) -> Value:
    """ReLU nodes, as Abs, then a convolution with ones, for p = 1."""
    return _total(call, _pool_geometry(call))


@operator("GlobalLpPool", attributes=("p",), refused="other p than 1")
def global_lp_pool(call: Call) -> Value:
    """As LpPool with a window as large as the image."""
    return _total(call, _whole(image_input(call)[2]))


def _averaged(call: Call, placed: Geometry, *, count_padding: bool) -> Value:
    """The sum over each window, then division by its number of components."""
    tensor, channels, extents = image_input(call)
    linear = placed.convolution(np.ones((channels, 1, *placed.window)), extents, channels)
    shape = call.checked((1, channels, *linear.output_extents))
    counts = np.full(math.prod(linear.output_extents), float(math.prod(placed.window)))
    if not count_padding:
        counts = placed.convolution(np.ones((1, 1, *placed.window)), extents, 1).forward(np.ones(math.prod(extents)))
    if not counts.all():
        raise call.error("unsupported-form", "a window lies in the padding only")
    sums = call.builder.linear(call.builder.helper_name(call.name, "sum"), tensor, linear, shape)
    return call.builder.linear(call.name, sums, Diagonal(np.ones(sums.size), np.tile(counts, channels)), shape)


@operator(
    "AveragePool",
    attributes=(*WINDOW, "ceil_mode", "count_include_pad"),
    refused="ceil_mode with count_include_pad where it matters, or with a window that starts behind the input; "
    "auto_pad SAME with dilations, or with a stride that leaves something out",
)
def average_pool(call: Call) -> Value:
    """A convolution with ones, then a diagonal map with the counts as divisors."""
    placed = _pool_geometry(call)
    count_padding = call.flag("count_include_pad")
    if count_padding and placed.after != placed.declared_after:
        raise call.error("unsupported-form", "'ceil_mode' with 'count_include_pad' is not supported")
    return _averaged(call, placed, count_padding=count_padding)


def _pool_geometry(call: Call) -> Geometry:
    _, _, extents = image_input(call)
    window = call.integers("kernel_shape")
    if window is None:
        raise call.error("bad-attribute", "attribute 'kernel_shape' is missing")
    return geometry(call, extents, window, pooled=True)


def _whole(extents: tuple[int, ...]) -> Geometry:
    ones, zeros = (1,) * len(extents), (0,) * len(extents)
    return Geometry(extents, ones, ones, zeros, zeros, zeros)


@operator("GlobalAveragePool")
def global_average_pool(call: Call) -> Value:
    """A convolution with ones, then a diagonal map with the count as divisor."""
    return _averaged(call, _whole(image_input(call)[2]), count_padding=True)


def _maximised(call: Call, placed: Geometry) -> Value:
    """The maximum over each window: pairwise, padding left out."""
    tensor, channels, extents = image_input(call)
    axes = zip(extents, placed.before, placed.after, strict=True)
    padded = np.pad(component_indices(tensor)[0], [(0, 0), *((b, a) for _, b, a in axes)], constant_values=-1)
    reference = placed.convolution(np.ones((1, 1, *placed.window)), extents, 1)
    shape = call.checked((1, channels, *reference.output_extents))
    if shape[1] * math.prod(shape[2:]) * math.prod(placed.window) > MAX_WINDOW_READS:
        raise call.error("too-large", "the window reads too many components", value=list(placed.window))
    windows = np.stack([padded[(slice(None), *read)].reshape(-1) for _, read in reference.positions()])
    inside = windows.max(axis=0)
    if (inside < 0).any():
        raise call.error("unsupported-form", "a window lies in the padding only")
    operands = [Operand(tensor, np.where(row < 0, inside, row)) for row in windows]
    return maximum(call, operands, shape)


@operator(
    "MaxPool",
    attributes=(*WINDOW, "ceil_mode", "storage_order"),
    refused="the second output; ceil_mode and auto_pad as for AveragePool",
)
def max_pool(call: Call) -> Value:
    """ReLU nodes, one per component of the window but one: max(a, b) = b + relu(a - b)."""
    return _maximised(call, _pool_geometry(call))


@operator("GlobalMaxPool")
def global_max_pool(call: Call) -> Value:
    """As MaxPool with a window as large as the image."""
    return _maximised(call, _whole(image_input(call)[2]))
