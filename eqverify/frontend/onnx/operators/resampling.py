"""Resize and Upsample, nearest and linear, Tile, DepthToSpace, SpaceToDepth: operators that repeat or reorder."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from eqverify.arrays import IntArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.operators.windows import image_input
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Value
from eqverify.network import ScaledSelection, Term

_HALF = Fraction(1, 2)

# Where component i of a result of m comes from, among n.
_COORDINATES: dict[str, Callable[[int, int, int], Fraction]] = {
    "asymmetric": lambda i, n, m: Fraction(i * n, m),
    "half_pixel": lambda i, n, m: (i + _HALF) * n / m - _HALF,
    "half_pixel_symmetric": lambda i, n, m: (i + _HALF) * n / m - _HALF,  # the same, for m is a multiple of n
    "pytorch_half_pixel": lambda i, n, m: (i + _HALF) * n / m - _HALF if m > 1 else Fraction(0),
    "align_corners": lambda i, n, m: Fraction(i * (n - 1), m - 1) if m > 1 else Fraction(0),
    "tf_half_pixel_for_nn": lambda i, n, m: (i + _HALF) * n / m,
}
_NEAREST: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda place: math.ceil(place - _HALF),
    "round_prefer_ceil": lambda place: math.floor(place + _HALF),
}


def _enlarged(call: Call, factors: tuple[int, ...], coordinates: str, nearest: str) -> Value:
    """The selection for whole factors of at least 1."""
    tensor = call.tensor(0)
    shape = call.checked(tuple(n * f for n, f in zip(tensor.shape, factors, strict=True)))
    if coordinates not in _COORDINATES:
        raise call.error(
            "unsupported-attribute", "this 'coordinate_transformation_mode' is not read", value=coordinates
        )
    if nearest not in _NEAREST:
        raise call.error("unsupported-attribute", "this 'nearest_mode' is not read", value=nearest)
    place, rounded = _COORDINATES[coordinates], _NEAREST[nearest]
    indices = component_indices(tensor)
    for axis, (n, m) in enumerate(zip(tensor.shape, shape, strict=True)):
        chosen = [min(max(rounded(place(i, n, m)), 0), n - 1) for i in range(m)]
        if m == n and chosen != list(range(n)):
            message = "runtimes disagree on whether these modes move components along an axis of scale 1"
            raise call.error("unsupported-form", message, value=f"{coordinates}, {nearest}")
        if m != n:
            indices = np.take(indices, chosen, axis=axis)
    return call.builder.select(call.name, tensor, indices)


_REFUSED = (
    "mode cubic; for nearest, scales that are not whole; for linear, those that make no whole extents, or weights that "
    "are no binary fractions"
)


def _interpolated(call: Call, scales: tuple[float | Fraction, ...], coordinates: str) -> Value:
    """The sum of the components around each place, where every weight is a binary fraction.

    Runtimes compute places in float32: other weights differ from one to the next, the more the larger the image.
    """
    tensor = call.tensor(0)
    pairs = zip(scales, tensor.shape, strict=True)
    extents = [Fraction(scale) * n if math.isfinite(scale) else Fraction(0) for scale, n in pairs]
    if any(extent < 1 or extent.denominator > 1 for extent in extents):
        raise call.error("unsupported-form", "scales must make whole extents", value=[float(s) for s in scales])
    if coordinates not in _COORDINATES or coordinates.startswith("tf"):
        raise call.error(
            "unsupported-attribute", "this 'coordinate_transformation_mode' is not read", value=coordinates
        )
    shape, axes = call.checked(tuple(int(extent) for extent in extents)), []
    for n, m in zip(tensor.shape, shape, strict=True):
        places = [min(max(_COORDINATES[coordinates](i, n, m), Fraction(0)), Fraction(n - 1)) for i in range(m)]
        if any(place.denominator not in (1, 2, 4, 8, 16, 32, 64) for place in places):
            raise call.error(
                "unsupported-form", "runtimes round weights that are no binary fractions", value=f"{n}:{m}"
            )
        below = np.array([math.floor(place) for place in places])
        share = np.array([float(place) for place in places]) - below
        axes.append([(below, 1.0 - share), (np.minimum(below + 1, n - 1), share)][: 2 if share.any() else 1])
    if math.prod(map(len, axes)) > 8:
        raise call.error("unsupported-form", "more than three axes change", value=list(shape))
    terms = []
    for corner in itertools.product(*axes):
        indices = component_indices(tensor)[np.ix_(*(place for place, _ in corner))].reshape(-1)
        weights = functools.reduce(np.multiply.outer, [weight for _, weight in corner], np.ones(())).reshape(-1)
        terms.append(Term(tensor.source, ScaledSelection(indices, weights, tensor.size)))
    return call.builder.affine(call.name, tuple(terms), np.zeros(math.prod(shape)), shape, tensor.element)


def _whole(call: Call, scales: tuple[float | Fraction, ...]) -> tuple[int, ...]:
    rank = len(call.tensor(0).shape)
    if len(scales) != rank:
        raise call.shape_error("the scales do not fit the input", list(scales), list(call.tensor(0).shape))
    if not all(math.isfinite(scale) and scale >= 1 and scale == int(scale) for scale in scales):
        raise call.error("unsupported-form", "only whole scales from 1 are read", value=list(scales))
    return tuple(int(scale) for scale in scales)


def _stored_scales(call: Call, index: int) -> tuple[float | Fraction, ...]:
    scales = call.constant(index).array
    if scales.ndim != 1 or scales.dtype.kind != "f":
        raise call.error("element-type", "the scales must be a vector of floats", value=str(scales.dtype))
    return tuple(float(scale) for scale in scales.tolist())


def _resampled(call: Call, scales: tuple[float | Fraction, ...], coordinates: str, nearest: str) -> Value:
    if (mode := call.text("mode", "nearest")) not in ("nearest", "linear"):
        raise call.error("unsupported-attribute", "only the modes 'nearest' and 'linear' are read", value=mode)
    if mode == "linear" and len(scales) == len(call.tensor(0).shape):
        return _interpolated(call, scales, coordinates)
    return _enlarged(call, _whole(call, scales), coordinates, nearest)


@operator("Upsample", until=8, attributes=("mode", "scales"), refused=_REFUSED)
@operator("Upsample", since=9, until=9, attributes=("mode",), refused=_REFUSED)
@operator("Resize", since=10, until=10, attributes=("mode",), refused=_REFUSED)
def upsample(call: Call) -> Value:
    """A selection for the mode nearest; for linear an affine node of up to eight of them."""
    scales = call.attributes.get("scales") if call.optional(1) is None else _stored_scales(call, 1)
    if not isinstance(scales, tuple) or not all(isinstance(scale, float) for scale in scales):
        raise call.error("bad-attribute", "attribute 'scales' must be a list of numbers", value=scales)
    return _resampled(call, scales, "asymmetric", "floor")


_RESIZE = (
    "axes", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value", "mode",
    "nearest_mode", "keep_aspect_ratio_policy",
)  # fmt: skip


@operator(
    "Resize",
    since=11,
    attributes=_RESIZE,
    refused=f"{_REFUSED}; tf_crop_and_resize; antialias; exclude_outside; ceil modes of tf_half_pixel_for_nn",
)
def resize(call: Call) -> Value:
    """A selection for the mode nearest; for linear an affine node of up to eight of them."""
    if exclude := call.integer("exclude_outside", 0):
        raise call.error("unsupported-attribute", "'exclude_outside' is for the mode 'cubic'", value=exclude)
    shape = call.tensor(0).shape
    given = call.integers("axes")
    axes = tuple(range(len(shape))) if given is None else call.axes(given, len(shape))
    by_scales = call.optional(2) is not None and call.constant(2).array.size > 0
    if by_scales:
        chosen = _stored_scales(call, 2)
    elif call.optional(3) is not None:
        if (policy := call.text("keep_aspect_ratio_policy", "stretch")) != "stretch":
            raise call.error("unsupported-attribute", "this 'keep_aspect_ratio_policy' is not read", value=policy)
        sizes = call.constant_integers(3)
        if len(sizes) != len(axes):
            raise call.shape_error("the sizes do not fit the input", list(sizes), list(shape))
        chosen = tuple(Fraction(size, shape[axis]) for size, axis in zip(sizes, axes, strict=True))
    else:
        raise call.error("missing-input", "neither scales nor sizes are given")
    if len(chosen) != len(axes):
        raise call.shape_error("the scales do not fit the input", list(chosen), list(shape))
    scales = dict(zip(axes, chosen, strict=True))
    coordinates = call.text("coordinate_transformation_mode", "half_pixel")
    everywhere = tuple(scales.get(axis, 1.0) for axis in range(len(shape)))
    return _resampled(call, everywhere, coordinates, call.text("nearest_mode", "round_prefer_floor"))


@operator("Tile", refused="computed repeats")
def tile(call: Call) -> Value:
    """A selection that repeats components."""
    tensor, repeats = call.tensor(0), call.constant_integers(1)
    if len(repeats) != len(tensor.shape):
        raise call.shape_error("the repeats do not fit the input", list(repeats), list(tensor.shape))
    if min(repeats, default=1) < 1:
        raise call.shape_error("a repeat is below 1", list(repeats))
    call.checked(tuple(n * r for n, r in zip(tensor.shape, repeats, strict=True)))
    return call.builder.select(call.name, tensor, np.tile(component_indices(tensor), repeats))


def _block_size(call: Call) -> int:
    size = call.integer("blocksize", 0)
    if size < 1:
        raise call.error("bad-attribute", "attribute 'blocksize' must be positive", value=size)
    return size


def _blocks(call: Call, extents: tuple[int, ...], order: tuple[int, ...], shape: tuple[int, ...]) -> IntArray:
    tensor = call.tensor(0)
    if len(tensor.shape) != 4 or math.prod(extents) != tensor.size:
        raise call.shape_error("the block size does not fit the input", list(tensor.shape))
    return component_indices(tensor).reshape(extents).transpose(order).reshape(shape)


@operator("DepthToSpace", attributes=("blocksize", "mode"))
def depth_to_space(call: Call) -> Value:
    """A selection."""
    tensor, channels, (*rest,) = image_input(call)
    b, mode = _block_size(call), call.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise call.error("bad-attribute", "no such 'mode'", value=mode)
    if len(rest) != 2 or channels % (b * b):
        raise call.shape_error("the block size does not fit the input", list(tensor.shape), b)
    c, h, w = channels // (b * b), *rest
    extents, order = ((b, b, c, h, w), (2, 3, 0, 4, 1)) if mode == "DCR" else ((c, b, b, h, w), (0, 3, 1, 4, 2))
    return call.builder.select(call.name, tensor, _blocks(call, extents, order, (1, c, h * b, w * b)))


@operator("SpaceToDepth", attributes=("blocksize",))
def space_to_depth(call: Call) -> Value:
    """A selection."""
    tensor, c, (*rest,) = image_input(call)
    b = _block_size(call)
    if len(rest) != 2 or rest[0] % b or rest[1] % b:
        raise call.shape_error("the block size does not fit the input", list(tensor.shape), b)
    h, w = rest[0] // b, rest[1] // b
    indices = _blocks(call, (c, h, b, w, b), (2, 4, 0, 1, 3), (1, c * b * b, h, w))
    return call.builder.select(call.name, tensor, indices)
