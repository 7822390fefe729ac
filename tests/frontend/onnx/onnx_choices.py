"""Models that choose by comparisons of computed values: drawers for both tables of operators, and exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import helper

from .onnx_case import Case
from .onnx_draft import Array, Draft, Wire, fitting

COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
LOGIC = ("And", "Not", "Or", "Xor")

Emit = Callable[..., str]
"""Adds a node of an operator and inputs, and says what its output is called."""


def meeting(emit: Emit, operator: str, x: str, numbers: Sequence[str], code: int) -> str:
    """A choice that is continuous and reads the operator.

    Args:
        emit: takes the nodes.
        operator: one of them all.
        x: what is compared.
        numbers: names of constants: c, d = -c, and two slopes; c > 0 where more than one change is made.
        code: the element type of x.
    """
    c, d, first, second = numbers
    if operator == "Equal":  # of what is c there anyway
        return emit("Where", emit("Equal", x, c), c, x)
    if operator in COMPARISONS:
        moved = emit("Sub", x, c)
        return emit("Where", emit(operator, x, c), emit("Mul", moved, first), emit("Mul", moved, second))
    shrunk = emit("Sub", x, emit("Mul", emit("Sign", x), c))
    above, below = emit("Greater", x, c), emit("Less", x, d)
    nothing = emit("Sub", c, c)
    if operator in ("Or", "Xor"):
        return emit("Where", emit(operator, above, below), shrunk, nothing)
    inside = emit("And", emit("Not", above), emit("Not", below))
    outside = emit("Cast", emit("Not", inside), to=code)
    return emit("Mul", shrunk, outside)


def generator(c: Case) -> int:
    """What meets, and now and then what jumps, or depends on two numbers."""
    shape = c.shape()
    x = c.input(shape)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(c.dtype))

    def emit(operator: str, *inputs: str, **given: Any) -> str:
        c.nodes.append(helper.make_node(operator, inputs, [f"n{len(c.nodes)}"], **given))
        return f"n{len(c.nodes) - 1}"

    threshold = abs(float(c.numbers(()))) % 8.0
    pair = [threshold, -threshold if c.chance(0.9) else threshold / 2]
    names = [c.constant(np.full((), number)) for number in (*pair, c.pick(1.0, 0.1, -3.0), c.pick(0.0, 1.0, 0.01))]
    kind = c.pick("meets", "meets", "larger", "jumps") if c.operator in COMPARISONS else "meets"
    if kind == "larger":
        y = c.other(shape)
        emit("Where", emit(c.operator, x, y), x, y)
    elif kind == "jumps":
        emit("Where", emit(c.operator, x, names[0]), names[2], x)
    else:
        meeting(emit, c.operator, x, names, code)
    c.nodes[-1].output[0] = "y"
    return 1


def drawer(operator: str) -> Callable[[Draft, Wire], Wire]:
    def draw(d: Draft, x: Wire) -> Wire:
        code = helper.np_dtype_to_tensor_dtype(np.dtype(d.dtype))
        others = [wire for wire in d.wires if fitting(wire.shape, x.shape)]
        if operator in COMPARISONS[1:] and d.flip():
            other = d.pick(*others)
            shape = np.broadcast_shapes(x.shape, other.shape)
            condition = d.node(operator, [x.name, other.name], shape)
            d.wires.remove(condition)
            return d.node("Where", [condition.name, x.name, other.name], shape)

        def emit(kind: str, *inputs: str, **given: Any) -> str:
            wire = d.node(kind, list(inputs), x.shape, **given)
            d.wires.remove(wire)  # truth values, and what jumps, are not for others
            return wire.name

        c = d.pick(0.5, 1.0, 0.125)
        names = [d.constant(np.full((), n, dtype=d.dtype)) for n in (c, -c, d.pick(1.0, -2.0), d.pick(0.0, 0.25))]
        wire = Wire(meeting(emit, operator, x.name, names, code), x.shape)
        d.wires.append(wire)
        return wire

    return draw


GENERATORS: dict[str, Callable[[Case], int]] = dict.fromkeys((*COMPARISONS, *LOGIC, "Sign"), generator)
DRAWERS: dict[str, Callable[[Draft, Wire], Wire]] = {name: drawer(name) for name in (*COMPARISONS, *LOGIC, "Sign")}
OPSETS = {
    "Equal": (11, 99),
    **dict.fromkeys(["Greater", "Less"], (9, 99)),
    **dict.fromkeys(["GreaterOrEqual", "LessOrEqual"], (12, 99)),
    **dict.fromkeys([*LOGIC, "Sign"], (9, 99)),
}


def _signs(_: Any, args: Sequence[Array]) -> Array:
    made = np.empty(args[0].shape, dtype=object)
    for index in np.ndindex(made.shape):
        made[index] = Fraction(int(args[0][index] > 0) - int(args[0][index] < 0))
    return made


OPERATORS: dict[str, Callable[[Any, Sequence[Array]], Any]] = {
    "Equal": lambda _, args: np.asarray(args[0] == args[1], dtype=bool),
    "Greater": lambda _, args: np.asarray(args[0] > args[1], dtype=bool),
    "GreaterOrEqual": lambda _, args: np.asarray(args[0] >= args[1], dtype=bool),
    "Less": lambda _, args: np.asarray(args[0] < args[1], dtype=bool),
    "LessOrEqual": lambda _, args: np.asarray(args[0] <= args[1], dtype=bool),
    "And": lambda _, args: args[0] & args[1],
    "Or": lambda _, args: args[0] | args[1],
    "Xor": lambda _, args: args[0] ^ args[1],
    "Not": lambda _, args: ~args[0],
    "Sign": _signs,
}
