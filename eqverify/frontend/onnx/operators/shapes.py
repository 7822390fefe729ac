"""Operators that only rename or move components: no node at all, or a `Selection`."""

from __future__ import annotations

import math

import numpy as np

from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Value


@operator("Flatten", attributes=("axis",))
def flatten(call: Call) -> Value:
    """Nothing: the same components."""
    tensor = call.tensor(0)
    rank = len(tensor.shape)
    axis = call.axis(call.integer("axis", 1), rank, end=True)
    return tensor.reshaped((math.prod(tensor.shape[:axis]), math.prod(tensor.shape[axis:])))


@operator("Reshape", attributes=("allowzero",), refused="a computed shape")
def reshape(call: Call) -> Value:
    """Nothing: the same components; 0 and -1 in a constant shape are resolved."""
    tensor = call.tensor(0)
    wanted = call.constant_integers(1)
    if not call.flag("allowzero"):
        if any(extent == 0 and index >= len(tensor.shape) for index, extent in enumerate(wanted)):
            raise call.shape_error(
                "0 in the shape copies an extent that is not there", list(tensor.shape), list(wanted)
            )
        wanted = tuple(tensor.shape[i] if extent == 0 else extent for i, extent in enumerate(wanted))
    if min(wanted, default=1) < -1 or wanted.count(-1) > 1:
        raise call.shape_error("the shape is not valid", list(wanted))
    if -1 in wanted:
        known = math.prod(extent for extent in wanted if extent != -1)
        if known == 0 or tensor.size % known:
            raise call.shape_error("the shape does not fit", list(tensor.shape), list(wanted))
        wanted = tuple(tensor.size // known if extent == -1 else extent for extent in wanted)
    if math.prod(wanted) != tensor.size:
        raise call.shape_error("the shape does not fit", list(tensor.shape), list(wanted))
    return tensor.reshaped(wanted)


@operator("Squeeze", until=12, attributes=("axes",))
@operator("Squeeze", since=13, refused="computed axes; an empty list of axes")
def squeeze(call: Call) -> Value:
    """Nothing: the same components."""
    tensor, axes = call.tensor(0), call.listed("axes", 1)
    if axes is None:
        return tensor.reshaped(tuple(extent for extent in tensor.shape if extent != 1))
    if not axes and call.optional(1) is not None:
        raise call.error("unsupported-form", "runtimes disagree on whether no axes are none or all of extent 1")
    dropped = call.axes(axes, len(tensor.shape))
    if any(tensor.shape[axis] != 1 for axis in dropped):
        raise call.shape_error("a squeezed axis must have extent 1", list(tensor.shape), f"axes {list(axes)}")
    return tensor.reshaped(tuple(extent for axis, extent in enumerate(tensor.shape) if axis not in dropped))


@operator("Unsqueeze", until=12, attributes=("axes",))
@operator("Unsqueeze", since=13, refused="computed axes")
def unsqueeze(call: Call) -> Value:
    """Nothing: the same components."""
    tensor, axes = call.tensor(0), call.listed("axes", 1)
    if axes is None:
        raise call.error("bad-attribute", "attribute 'axes' is missing")
    rank = len(tensor.shape) + len(axes)
    added, extents = call.axes(axes, rank), iter(tensor.shape)
    return tensor.reshaped(tuple(1 if axis in added else next(extents) for axis in range(rank)))


@operator("Transpose", attributes=("perm",))
def transpose(call: Call) -> Value:
    """A selection; nothing where no component moves."""
    tensor = call.tensor(0)
    rank = len(tensor.shape)
    given = call.integers("perm")
    permutation = tuple(reversed(range(rank))) if given is None else given
    if sorted(permutation) != list(range(rank)):
        raise call.error("bad-attribute", f"'perm' does not permute {rank} axes", value=list(permutation))
    return call.builder.select(call.name, tensor, component_indices(tensor).transpose(permutation))


@operator("Expand", since=8, refused="a computed shape")
def expand(call: Call) -> Value:
    """A selection that repeats components; nothing where the shape only gains extents of 1."""
    tensor = call.tensor(0)
    wanted = call.constant_integers(1)
    if any(extent < 1 for extent in wanted):
        raise call.shape_error("the shape is not valid", list(wanted))
    shape = call.broadcast(tensor.shape, wanted)
    return call.builder.select(call.name, tensor, np.broadcast_to(component_indices(tensor), shape))
