"""Functions that draw a model of one operator, for operators that move components by stored places or sum them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from .onnx_case import Case, Shape


def _places(c: Case, shape: Shape, extent: int) -> np.ndarray:
    low = -extent if c.chance(0.5) else 0
    return np.asarray(c.rng.integers(low, extent + c.chance(0.03), size=shape), dtype=c.pick(np.int64, np.int32))


def _either(c: Case, *shapes: Shape) -> list[str]:
    """Tensors of these shapes, of which one at least is computed."""
    computed = c.whole(1, 2 ** len(shapes) - 1)
    return [c.input(shape) if computed >> k & 1 else c.constant(c.numbers(shape)) for k, shape in enumerate(shapes)]


def _gather_elements(c: Case) -> int:
    shape = c.shape(1)
    axis = c.axis(len(shape))
    wanted = tuple(c.pick(1, 2, 3) if k == axis % len(shape) else c.whole(1, n) for k, n in enumerate(shape))
    c.node([c.input(shape), c.constant(_places(c, wanted, shape[axis % len(shape)]), np.int64)], {"axis": lambda: axis})
    return 1


def _gather_nd(c: Case) -> int:
    shape = c.shape(1)
    batch = c.whole(0, len(shape) - 1) if c.opset >= 12 and c.chance(0.4) else 0
    length = c.whole(1, len(shape) - batch)
    lead = (*shape[:batch], *(c.pick(1, 2, 3) for _ in range(c.whole(0, 2))))
    columns = [_places(c, lead, shape[batch + k]) for k in range(length)]
    indices = c.constant(np.stack(columns, axis=-1), np.int64)
    c.node([c.input(shape), indices], {"batch_dims": lambda: batch})
    if batch and not any(a.name == "batch_dims" for a in c.nodes[-1].attribute):
        c.nodes[-1].attribute.append(helper.make_attribute("batch_dims", batch))
    return 1


_REDUCTION: dict[str, Callable[[Case], Any]] = {"reduction": lambda c: c.pick("none", "none", "add", "add", "mul")}


def _scatter_elements(c: Case) -> int:
    shape = c.shape(1)
    axis = c.axis(len(shape))
    extent = shape[axis % len(shape)]
    wanted = tuple(c.whole(1, n) for n in shape)
    rows = np.argsort(c.rng.random((*wanted[: axis % len(shape)], *wanted[axis % len(shape) + 1 :], extent)), axis=-1)
    places = np.moveaxis(rows[..., : wanted[axis % len(shape)]], -1, axis % len(shape))
    places = places - extent * (c.rng.random(places.shape) < 0.3) if c.operator != "Scatter" else places
    if c.chance(0.1):
        places = _places(c, wanted, extent)
    data, updates = _either(c, shape, wanted)
    pools = {"axis": lambda: axis, "reduction": lambda: _REDUCTION["reduction"](c)}
    c.node([data, c.constant(places, np.int64), updates], pools)
    if not any(a.name == "axis" for a in c.nodes[-1].attribute):
        c.nodes[-1].attribute.append(helper.make_attribute("axis", axis))
    return 1


def _scatter_nd(c: Case) -> int:
    shape = c.shape(1)
    length = c.whole(1, len(shape))
    count = math.prod(shape[:length])
    chosen = c.rng.permutation(count)[: c.whole(1, count)]
    if c.chance(0.1):
        chosen = c.rng.integers(0, count, size=2)
    indices = np.stack(np.unravel_index(chosen, shape[:length]), axis=-1)
    indices = indices - np.array(shape[:length]) * (c.rng.random(indices.shape) < 0.2)
    if c.chance(0.3):
        indices = indices[:, None]
    data, updates = _either(c, shape, (*indices.shape[:-1], *shape[length:]))
    c.node([data, c.constant(indices, np.int64), updates], {"reduction": lambda: _REDUCTION["reduction"](c)})
    return 1


def _where(c: Case) -> int:
    shape = c.shape(0, 3)
    shapes = [
        tuple(1 if c.chance(0.2) else n for n in shape)[c.whole(0, len(shape)) if c.chance(0.3) else 0 :] for _ in "abc"
    ]
    condition = c.constant(c.rng.random(shapes[0]) < c.pick(0.0, 0.5, 0.5, 1.0), np.bool_)
    c.node([condition, *_either(c, *shapes[1:])])
    return 1


def _trilu(c: Case) -> int:
    shape = c.shape(1 if c.chance(0.1) else 2)
    offset = [] if c.chance(0.4) else [c.constant(c.pick(0, 1, -1, 5, -5), np.int64)]
    c.node([c.input(shape), *offset], {"upper": lambda: c.pick(0, 1)})
    return 1


def _reverse_sequence(c: Case) -> int:
    shape = c.shape(2)
    batch = c.pick(0, 1)
    lengths = [c.whole(c.chance(0.95), shape[1 - batch]) for _ in range(shape[batch])]
    inputs = [c.input(shape), c.constant(lengths, np.int64)]
    c.node(inputs)
    del c.nodes[-1].attribute[:]
    if batch == 0 or c.chance(0.5):
        axes = {"batch_axis": batch, "time_axis": 1 - batch}
        c.nodes[-1].attribute.extend(helper.make_attribute(key, value) for key, value in axes.items())
    return 1


def _cum_sum(c: Case) -> int:
    shape = c.shape(1)
    axis = c.constant(np.full(c.pick((), (), (1,)), c.axis(len(shape))), c.pick(np.int64, np.int32))
    flag = lambda: c.pick(0, 1)  # noqa: E731
    c.node([c.input(shape), axis], {"exclusive": flag, "reverse": flag})
    return 1


_EQUATIONS = (
    "ij->ji ij->i ij-> ii->i ii ij ba ...i->i... ...ij->...ji i...->... ij,jk->ik ij,jk ij,ij->ij ij,j->i i,j->ij "
    "bij,bjk->bik ...ij,jk->...ik ...i,...i->... ij,kl->il i,i-> ,i->i iij,j->i abc,cd->abd bhwc,hkc->bhwk ij,ik->jk "
    "Ab,bA->A aB,Bc"
)


def _einsum(c: Case) -> int:
    equation = c.pick(*_EQUATIONS.split()).replace(",", c.pick(",", " , "))
    extents: dict[str, int] = {}
    dots = tuple(c.pick(1, 2, 3) for _ in range(c.whole(0, 2)))
    shapes = []
    for term in equation.replace(" ", "").split("->")[0].split(","):
        parts = [(extents.setdefault(letter, c.pick(1, 2, 3)),) for letter in term.replace("...", "")]
        if "..." in term:
            parts.insert(term.index("..."), dots)
        shapes.append(tuple(n for part in parts for n in part))
    inputs = _either(c, *shapes) if len(shapes) > 1 else [c.input(shapes[0])]
    c.node(inputs, {"equation": lambda: equation})
    return 1


def _pow(c: Case) -> int:
    shape = c.shape()
    other = tuple(1 if c.chance(0.3) else n for n in shape)[c.pick(0, 0, 1) :]
    exponents = c.rng.choice(c.pick([1.0], [1.0], [0.0], [0.0, 1.0], [2.0]), size=other)
    c.node([c.input(shape), c.constant(exponents, c.pick(None, np.int64) if c.opset >= 12 else None)])
    return 1


def _cast_like(c: Case) -> int:
    shape = c.shape()
    c.node([c.input(shape), c.constant([1.0], c.pick(None, np.float16)) if c.chance(0.5) else c.input((1,))])
    return 1


def _size(c: Case) -> int:
    x = c.input(c.shape(0, 3))
    c.node([x])
    c.nodes[-1].output[0] = "s"
    c.nodes.append(helper.make_node("Cast", ["s"], ["f"], to=helper.np_dtype_to_tensor_dtype(np.dtype(c.dtype))))
    c.nodes.append(helper.make_node("Add", [x, "f"], ["y"]))
    return 1


def _rnn(c: Case) -> int:
    length, batch, width, hidden = (c.pick(1, 2, 3) for _ in range(4))
    direction = c.pick("forward", "reverse", "bidirectional")
    count = 1 + (direction == "bidirectional")
    # No numbers at the ends of the type: what overflows within a run cannot be seen from outside.
    c.nodes.append(helper.make_node("Mul", [c.input((length, batch, width)), c.constant(1e-8)], ["scaled"]))
    inputs = ["scaled"]
    inputs += [c.constant(c.rng.normal(size=(count, hidden, n))) for n in (width, hidden)]
    bias = c.constant(c.rng.normal(size=(count, 2 * hidden))) if c.chance(0.7) else ""
    lengths = "" if c.chance(0.6) else c.constant([c.pick(length, length, 1)] * batch, np.int32)
    state = ""
    if c.chance(0.3):
        state = "state"
        c.nodes.append(helper.make_node("Mul", [c.input((count, batch, hidden)), c.constant(1e-8)], ["state"]))
    if c.chance(0.2):
        state = c.constant(c.rng.normal(size=(count, batch, hidden)))
    inputs += [bias, lengths, state]
    given = {"hidden_size": hidden, "direction": direction}
    if c.chance(0.9):
        given["activations"] = [c.pick("Relu", "Relu", "Relu", "Tanh")] * count
    if c.chance(0.1):
        given["clip"] = 1.5
    if c.chance(0.2) and c.opset >= 14:
        given["layout"] = c.pick(0, 1)
    outputs = c.pick(["y", "y1"], ["y"], ["", "y"])
    c.nodes.append(helper.make_node("RNN", inputs, outputs, **given))
    return 2 if len(outputs) == 2 and outputs[0] else 1


GENERATORS: dict[str, Callable[[Case], int]] = {
    **dict.fromkeys(["Scatter", "ScatterElements"], _scatter_elements),
    "CastLike": _cast_like,
    "CumSum": _cum_sum,
    "Einsum": _einsum,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pow": _pow,
    "RNN": _rnn,
    "ReverseSequence": _reverse_sequence,
    "ScatterND": _scatter_nd,
    "Size": _size,
    "Trilu": _trilu,
    "Where": _where,
}
