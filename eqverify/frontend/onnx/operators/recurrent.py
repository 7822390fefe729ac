"""RNN with the activation Relu, unrolled."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.limits import MAX_WINDOW_READS
from eqverify.frontend.onnx.operators.arithmetic import same_element
from eqverify.frontend.onnx.operators.indexing import combined
from eqverify.frontend.onnx.operators.products import product_map
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Constant, Tensor, Value
from eqverify.network import Identity, Term

_STEPS = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}


@operator(
    "RNN",
    attributes=("activations", "direction", "hidden_size", "layout"),
    refused="other activations; clip; layout 1; sequences of different lengths",
)
def rnn(call: Call) -> tuple[Value, ...]:
    """ReLU nodes, one per step and direction; weights constant, all sequences of full length, activations Relu."""
    tensor, directions = call.tensor(0), _STEPS.get(call.text("direction", "forward"), ())
    names = call.attributes.get("activations", ())
    if not isinstance(names, tuple) or [bytes(name) for name in names if isinstance(name, bytes)] != [b"Relu"] * len(
        directions
    ):
        raise call.error("nonlinear", "only the activation Relu is piecewise linear", value=names)
    if len(tensor.shape) != 3 or not directions or call.integer("layout", 0):
        raise call.error("unsupported-form", "only the layout [steps, batch, inputs] is read", value=tensor.shape)
    length, batch, _ = tensor.shape
    if call.optional(4) is not None and set(call.constant_integers(4)) != {length}:
        raise call.error("unsupported-form", "sequences of different lengths are not read")
    hidden = call.constant(2).shape[-1] if call.constant(2).shape else 0
    whole = (length, len(directions), batch, hidden)
    if length * np.prod(whole) > MAX_WINDOW_READS:
        raise call.error("too-large", "it takes too many steps", value=whole)
    places = np.arange(np.prod(call.checked(whole))).reshape(whole)
    parts: list[tuple[Value, np.ndarray]] = []
    last: list[tuple[Value, np.ndarray]] = []
    for number, step in enumerate(directions):
        states = _states(call, number, range(length)[::step], hidden)
        for time, state in states.items():
            parts.append((state, _inside(places.size, places[time, number])))
        ends = places[0].reshape(-1)[: len(directions) * batch * hidden].reshape(len(directions), batch, hidden)
        last.append((state, _inside(ends.size, ends[number])))
    results: list[Value] = []
    for name, chosen, shape in zip(call.outputs, (parts, last), (whole, whole[1:]), strict=False):
        results.append(combined(call, chosen, shape, name or call.builder.helper_name(call.name, "unread")))
    return tuple(results)


def _inside(size: int, places: np.ndarray) -> np.ndarray:
    """(size,) where the components of a part go in the whole."""
    found = np.full(size, -1, dtype=np.int64)
    found[places.reshape(-1)] = np.arange(places.size)
    return found


def _states(call: Call, number: int, order: range, hidden: int) -> dict[int, Tensor]:
    """The state [batch, hidden] after each step of one direction: relu(W x + b + R h + c)."""
    tensor, helper, builder = call.tensor(0), call.builder.helper_name, call.builder
    _, batch, width = tensor.shape
    weights, recurrent, biases = _weights(call, number, hidden, width)
    state, states = _initial(call, number, (batch, hidden)), {}
    for time in order:
        x = builder.select(helper(call.name, f"x{time}"), tensor, component_indices(tensor)[time])
        linear, shape = product_map(call, x, weights.T, tensor_first=True)
        bias = np.tile(biases[0], batch)
        name = helper(call.name, f"in{time}")
        fed = builder.affine(name, (Term(x.source, linear),), bias, shape, tensor.element)
        terms = [Term(fed.source, Identity(fed.size))]
        if state is not None:
            terms.append(Term(state.source, product_map(call, state, recurrent.T, tensor_first=True)[0]))
        name, bias = helper(call.name, f"z{time}"), np.tile(biases[1], batch)
        total = builder.affine(name, tuple(terms), bias, shape, tensor.element)
        states[time] = state = builder.relu(helper(call.name, f"h{time}"), total)
    return states


def _weights(call: Call, number: int, hidden: int, width: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of one direction: weights of inputs (hidden, width) and of states (hidden, hidden), both biases (2, hidden)."""
    element, count = call.tensor(0).element, len(_STEPS[call.text("direction", "forward")])
    stored = [call.weights(call.constant(index), element) for index in (1, 2)]
    stored.append(np.zeros((count, 2 * hidden)))
    if call.optional(3) is not None:
        stored[2] = call.weights(call.constant(3), element)
    shapes = [(count, hidden, width), (count, hidden, hidden), (count, 2 * hidden)]
    if [array.shape for array in stored] != shapes or call.integer("hidden_size", hidden) != hidden:
        raise call.shape_error("the weights do not fit together", *(list(array.shape) for array in stored))
    return stored[0][number], stored[1][number], stored[2][number].reshape(2, hidden)


def _initial(call: Call, number: int, shape: tuple[int, int]) -> Tensor | None:
    """The state of one direction before the first step; None where it is zero."""
    given, tensor, name = call.optional(5), call.tensor(0), call.builder.helper_name(call.name, "initial")
    if given is None:
        return None
    if given.shape[1:] != shape or number >= given.shape[0]:
        raise call.shape_error("the initial state does not fit", list(given.shape), list(shape))
    if isinstance(given, Constant):
        bias = call.weights(given, tensor.element)[number].reshape(-1)
        return call.builder.affine(name, (), bias, shape, tensor.element)
    same_element(call, tensor, given)
    return call.builder.select(name, given, component_indices(given)[number])
