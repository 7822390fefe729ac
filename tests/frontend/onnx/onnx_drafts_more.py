"""Drawers of operators that resample, reduce, normalise or transpose convolutions (see onnx_drafts)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .onnx_draft import FACTORS, Draft, Wire, fitting, grown, image


def conv_transpose(d: Draft, x: Wire) -> Wire:
    x = image(d, x)
    n, channels = len(x.shape) - 2, x.shape[1]
    groups = d.pick(*[g for g in (1, 2, 3) if channels % g == 0])
    outputs = d.integer(1, 2)
    window = [d.integer(1, 3) for _ in range(n)]
    strides = [d.integer(1, 3) for _ in range(n)]
    dilations = [d.integer(1, 2) for _ in range(n)] if d.flip() else [1] * n
    extra = [d.integer(0, s - 1) for s in strides] if d.flip() else [0] * n
    whole = [
        s * (e - 1) + p + (w - 1) * k + 1
        for e, s, p, w, k in zip(x.shape[2:], strides, extra, window, dilations, strict=True)
    ]
    attributes: dict[str, Any] = {"strides": strides}
    kind = d.pick("none", "pads", "shape", "auto")
    outs = whole
    if kind == "pads":
        pads = [d.integer(0, min(2, (t - 1) // 2)) for t in whole * 2]
        outs = [t - pads[i] - pads[n + i] for i, t in enumerate(whole)]
        attributes["pads"] = pads
    elif kind == "shape":
        outs = [d.integer(max(1, t - 2), t) for t in whole]
        attributes["output_shape"] = outs
        if d.flip():
            attributes["auto_pad"] = d.pick("SAME_UPPER", "SAME_LOWER")
    elif (
        kind == "auto"
        and not any(extra)
        and all(t >= e * s for t, e, s in zip(whole, x.shape[2:], strides, strict=True))
    ):
        outs = [e * s for e, s in zip(x.shape[2:], strides, strict=True)]
        attributes["auto_pad"] = d.pick("SAME_UPPER", "SAME_LOWER")
    if max(dilations) > 1 or d.flip():
        attributes["dilations"] = dilations
    if any(extra) or d.flip():
        attributes["output_padding"] = extra
    if d.flip():
        attributes["kernel_shape"] = window
    if groups > 1 or d.flip():
        attributes["group"] = groups
    inputs = [x.name, d.constant(d.numbers(channels, outputs, *window))]
    if d.flip():
        inputs.append(d.constant(d.numbers(outputs * groups)))
    return d.node("ConvTranspose", inputs, (1, outputs * groups, *outs), **attributes)


def batch_normalization(d: Draft, x: Wire) -> Wire:
    x = image(d, x) if d.flip() or len(x.shape) < 2 else x
    channels = x.shape[1]
    variance = np.abs(d.numbers(channels)) + d.dtype(0.1)
    inputs = [x.name, *(d.constant(d.numbers(channels)) for _ in range(3)), d.constant(variance)]
    attributes: dict[str, Any] = {"epsilon": d.pick(1e-5, 1e-3, 0.1)} if d.flip() else {}
    if d.flip():
        attributes["momentum"] = 0.5
    if d.opset >= 14 and d.flip():
        attributes["training_mode"] = 0
    return d.node("BatchNormalization", inputs, x.shape, **attributes)


def reducing(operator: str, by_input: int) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        rank = len(x.shape)
        axes = [axis for axis in range(rank) if d.flip()]
        keep = d.flip()
        attributes: dict[str, Any] = {} if keep and d.flip() else {"keepdims": int(keep)}
        written = [axis - rank if d.opset >= 11 and d.flip() else axis for axis in axes]
        inputs, noop = [x.name], False
        if d.opset >= by_input:
            noop = not axes and d.flip()
            if noop or d.flip():
                attributes["noop_with_empty_axes"] = int(noop)
            if axes or d.flip():
                inputs.append(d.constant(np.array(written, dtype=np.int64)))
        elif axes:
            attributes["axes"] = written
        reduced = axes or ([] if noop else list(range(rank)))
        shape = tuple(1 if axis in reduced else extent for axis, extent in enumerate(x.shape))
        if not keep and not noop:
            shape = tuple(extent for axis, extent in enumerate(x.shape) if axis not in reduced)
        return d.node(operator, inputs, shape, **attributes)

    return drawer


def mean(d: Draft, x: Wire) -> Wire:
    others = [wire for wire in d.wires if fitting(wire.shape, x.shape)]
    wires = [x, *([d.pick(*others)] if d.flip() else [])]
    names = [wire.name for wire in wires]
    shape = np.broadcast_shapes(*(wire.shape for wire in wires))
    for _ in range(d.integer(0, 2)):
        names.insert(d.integer(0, len(names)), d.constant(d.numbers(*x.shape)))
    return d.node("Mean", names, shape)


def _scales(d: Draft, x: Wire, *, linear: bool) -> tuple[list[int], tuple[int, ...]]:
    factors = [1] * len(x.shape)
    for axis in range(len(x.shape) - 2, len(x.shape)):
        factors[axis] = d.pick(1, 2, 4) if linear else d.integer(1, 3)
    return factors, tuple(n * f for n, f in zip(x.shape, factors, strict=True))


def upsample(d: Draft, x: Wire) -> Wire:
    x = grown(d, x)
    linear = len(x.shape) == 4 and d.flip()
    factors, shape = _scales(d, x, linear=linear)
    attributes = {"mode": "linear"} if linear else {"mode": "nearest"} if d.flip() else {}
    if d.opset < 9:
        return d.node("Upsample", [x.name], shape, scales=[float(f) for f in factors], **attributes)
    return d.node("Upsample", [x.name, d.constant(np.array(factors, dtype=np.float32))], shape, **attributes)


PLACES = "coordinate_transformation_mode"


def resize(d: Draft, x: Wire) -> Wire:
    x = grown(d, x)
    linear = {"mode": "linear"} if len(x.shape) == 4 and d.flip() else {}
    factors, shape = _scales(d, x, linear=bool(linear))
    scales = np.array(factors, dtype=np.float32)
    if d.opset == 10:
        return d.node("Resize", [x.name, d.constant(scales)], shape, **linear)
    attributes: dict[str, Any] = linear or ({"mode": "nearest"} if d.flip() else {})
    modes = ["half_pixel", "pytorch_half_pixel", "asymmetric", *([] if linear else ["align_corners"])]
    modes += ["tf_half_pixel_for_nn"] if d.opset < 13 and not linear else []
    modes += ["half_pixel_symmetric"] if d.opset >= 19 else []
    if d.flip():
        attributes[PLACES] = d.pick(*modes)
    if d.flip():
        rounded = ["floor", "round_prefer_floor"]  # the others move components even where the scale is 1
        rounded += ["ceil", "round_prefer_ceil"] if not str(attributes.get(PLACES)).startswith("tf") else []
        attributes["nearest_mode"] = d.pick(*rounded)
    if d.flip():
        attributes |= {"cubic_coeff_a": -0.5, "extrapolation_value": 1.0, "exclude_outside": 0}
    region = d.constant(np.zeros(0, dtype=np.float32)) if d.opset < 13 else ""
    axes = list(range(len(x.shape)))
    if d.opset >= 18 and d.flip():
        axes = axes[-2:]
        attributes["axes"] = axes
    if d.flip():
        return d.node("Resize", [x.name, region, d.constant(scales[axes])], shape, **attributes)
    sizes = d.constant(np.array([shape[axis] for axis in axes], dtype=np.int64))
    empty = d.constant(np.zeros(0, dtype=np.float32)) if d.opset < 13 else ""
    if d.opset >= 18 and d.flip():
        attributes["keep_aspect_ratio_policy"] = "stretch"
    return d.node("Resize", [x.name, region, empty, sizes], shape, **attributes)


def tile(d: Draft, x: Wire) -> Wire:
    repeats = [d.integer(1, 2) for _ in x.shape]
    wanted = d.constant(np.array(repeats, dtype=np.int64))
    return d.node("Tile", [x.name, wanted], tuple(n * r for n, r in zip(x.shape, repeats, strict=True)))


def _blocked(d: Draft, x: Wire, shape: tuple[int, ...]) -> Wire:
    """x, one number of it at least, spread over an image."""
    flat = d.node("Reshape", [x.name, d.constant(np.array([-1], dtype=np.int64))], (math.prod(x.shape),))
    first = d.node("Gather", [flat.name, d.constant(np.array([0], dtype=np.int64))], (1,), axis=0)
    return d.node("Add", [first.name, d.constant(d.numbers(*shape))], shape)


def depth_to_space(d: Draft, x: Wire) -> Wire:
    c, h, w = d.integer(1, 2), d.integer(1, 2), d.integer(1, 3)
    x = _blocked(d, x, (1, 4 * c, h, w))
    attributes = {"mode": d.pick("DCR", "CRD")} if d.opset >= 11 and d.flip() else {}
    return d.node("DepthToSpace", [x.name], (1, c, 2 * h, 2 * w), blocksize=2, **attributes)


def space_to_depth(d: Draft, x: Wire) -> Wire:
    c, h, w = d.integer(1, 2), d.integer(1, 2), d.integer(1, 2)
    x = _blocked(d, x, (1, c, 2 * h, 2 * w))
    return d.node("SpaceToDepth", [x.name], (1, 4 * c, h, w), blocksize=2)


def hard_sigmoid(d: Draft, x: Wire) -> Wire:
    attributes = {key: d.pick(*FACTORS) for key in ("alpha", "beta") if d.flip()}
    return d.node("HardSigmoid", [x.name], x.shape, **attributes)


DRAWERS: dict[str, Callable[[Draft, Wire], Wire]] = {
    "BatchNormalization": batch_normalization,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": depth_to_space,
    "HardSigmoid": hard_sigmoid,
    "Mean": mean,
    "ReduceMax": reducing("ReduceMax", 18),
    "ReduceMean": reducing("ReduceMean", 18),
    "ReduceMin": reducing("ReduceMin", 18),
    "ReduceSum": reducing("ReduceSum", 13),
    "Resize": resize,
    "SpaceToDepth": space_to_depth,
    "Tile": tile,
    "Upsample": upsample,
}

OPSETS = {"Mean": (8, 99), "Resize": (10, 99), "Upsample": (7, 9)}
"""First and last opset, where not all of them."""
