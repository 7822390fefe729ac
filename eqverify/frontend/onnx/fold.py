"""Constant folding: nodes all of whose inputs are stored numbers.

The operators listed here are evaluated by onnx's reference evaluator, a trusted step, except where floats are computed
with: that is done in rational arithmetic (`eqverify.frontend.onnx.rational`).  Each entry bounds the size of the result
from the inputs beforehand, so that lying extents cannot exhaust memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from eqverify.errors import InputError, Place
from eqverify.frontend.onnx.limits import MAX_COMPONENTS
from eqverify.frontend.onnx.rational import COMPUTED, rational
from eqverify.frontend.onnx.values import Constant

Arrays = Sequence[npt.NDArray[Any]]


def _largest(arrays: Arrays) -> int:
    return max((array.size for array in arrays), default=1)


def _broadcast(arrays: Arrays) -> int:
    """Also covers products of matrices, whose result no axis of which is new."""
    rank = max((array.ndim for array in arrays), default=0)
    padded = [(1,) * (rank - array.ndim) + array.shape for array in arrays]
    return math.prod(max(extents) for extents in zip(*padded, strict=True))


def _sum(arrays: Arrays) -> int:
    return sum(array.size for array in arrays)


def _product(arrays: Arrays) -> int:
    return math.prod(max(array.size, 1) for array in arrays)


def _shape_argument(index: int) -> Callable[[Arrays], int]:
    def size(arrays: Arrays) -> int:
        wanted = arrays[index].reshape(-1).tolist() if len(arrays) > index else []
        return math.prod(max(abs(int(extent)), 1) for extent in wanted) * max(arrays[0].size if index else 1, 1)

    return size


def _range(arrays: Arrays) -> int:
    start, limit, delta = (float(array.reshape(-1)[0]) for array in arrays)
    return int(min(abs((limit - start) / delta) + 1, 2.0**62)) if delta and math.isfinite(limit - start) else 1 << 62


def _one_hot(arrays: Arrays) -> int:
    return arrays[0].size * max(int(arrays[1].reshape(-1)[0]), 1)


_RESULT_SIZE: dict[str, Callable[[Arrays], int]] = {
    **dict.fromkeys(["Neg", "Abs", "Sqrt", "Exp", "Log", "Reciprocal", "Floor", "Ceil", "Relu", "Sign"], _largest),
    **dict.fromkeys(["Round", "Not", "Identity", "IsNaN", "IsInf"], _largest),
    **dict.fromkeys(["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Shape", "Size"], _largest),
    **dict.fromkeys(["ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "Split"], _largest),
    **dict.fromkeys(["ReduceL1", "ReduceL2", "ReduceSumSquare", "ArgMax", "ArgMin", "CumSum", "TopK"], _largest),
    **dict.fromkeys(["DequantizeLinear", "Clip", "EyeLike"], _largest),
    **dict.fromkeys(["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "Mod", "Where"], _broadcast),
    **dict.fromkeys(["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor"], _broadcast),
    **dict.fromkeys(["MatMul", "Gemm", "Gather", "Einsum"], _product),
    "Concat": _sum,
    "ConstantOfShape": _shape_argument(0),
    "Expand": _shape_argument(1),
    "NonZero": lambda arrays: arrays[0].size * max(arrays[0].ndim, 1),
    "OneHot": _one_hot,
    "Tile": _shape_argument(1),
    "Range": _range,
}

NORMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare")
"""Reductions that change even a single number."""

FOLDABLE = tuple(sorted(_RESULT_SIZE))
"""Operators that are folded where all inputs are constant."""


def fold(
    node: onnx.NodeProto, inputs: dict[str, Constant], opset: int, file: str | None
) -> tuple[list[Constant], bool]:
    """The outputs of a node whose inputs are all constant, and whether they are exact.

    Args:
        node: the node; its type is one of `FOLDABLE`.
        inputs: its inputs by name.
        opset: version of the default operator set.
        file: the model's path, for errors.

    Raises:
        InputError: `onnx/constant-folding`, `onnx/too-large`.

    Returns:
        The outputs; where they are not exact, each number is the nearest float64, or for Exp, Log, Pow and Mod the one
        that numpy computes.

    Trusted: onnx's reference evaluator for all that moves, compares or selects numbers, and for whole numbers.
    """
    place = Place(file=file, node=node.output[0])
    arrays = [inputs[name].array for name in node.input if name]
    if any(array.size == 0 for array in arrays) and node.op_type in ("Range", "OneHot"):
        raise InputError("onnx/constant-folding", f"{node.op_type}: an argument is empty", place=place)
    if node.op_type in NORMS and any(a.name == "noop_with_empty_axes" and a.i for a in node.attribute):
        message = f"{node.op_type}: runtimes disagree on what it does along no axes"
        raise InputError("onnx/unsupported-form", message, place=place)
    if _RESULT_SIZE[node.op_type](arrays) > max(MAX_COMPONENTS, _sum(arrays)):
        message = f"{node.op_type}: the constant result has more than {MAX_COMPONENTS} components"
        raise InputError("onnx/too-large", message, place=place)
    floats = [inputs[name].element for name in node.input if name and inputs[name].array.dtype.kind == "f"]
    element, stored = floats[0] if floats else "", {name: constant.array for name, constant in inputs.items()}
    computed = bool(floats) and node.op_type in COMPUTED
    if computed or len({array.dtype for array in stored.values() if array.dtype.kind == "f"}) > 1:
        stored = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in stored.items()}
    results, exact = _run(node, stored, opset, place), True
    if computed:
        results, exact = rational(node, stored, results)
    made = []
    for name, result in zip(node.output, results, strict=True):
        array = np.asarray(result)
        wide = array.dtype.kind == "f" and element not in ("", str(array.dtype))
        made.append(Constant(name, array, element if wide else ""))
    return made, exact


def _run(node: onnx.NodeProto, arrays: dict[str, npt.NDArray[Any]], opset: int, place: Place) -> list[Any]:
    # Imported here: it takes longer than reading most models, and most need no folding.
    from onnx.reference import ReferenceEvaluator

    def info(name: str) -> onnx.ValueInfoProto:
        return onnx.helper.make_value_info(name, onnx.TypeProto())

    graph = onnx.helper.make_graph([node], "fold", [info(n) for n in arrays], [info(n) for n in node.output if n])
    opset = max(opset, 19) if node.op_type == "DequantizeLinear" else opset  # the evaluator has no earlier form
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, arrays)
    except Exception as error:  # whatever numpy or the evaluator raise on inputs that do not fit
        message = f"{node.op_type}: this node of constants cannot be evaluated"
        raise InputError("onnx/constant-folding", message, place=place, value=str(error)[:200]) from error
    return list(results) if isinstance(results, (list, tuple)) else [results]
