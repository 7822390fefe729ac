"""RNN, LSTM and GRU, unrolled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from eqverify.functions import Function, Sigmoid, Tanh
from eqverify.network import Diagonal, Identity, Term

_STEPS = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}


@operator(
    "RNN",
    attributes=("activations", "direction", "hidden_size", "layout"),
    refused="other activations; clip; layout 1; sequences of different lengths",
)
def rnn(call: Call) -> tuple[Value, ...]:
    """ReLU nodes, one per step and direction; weights constant, all sequences of full length, activations Relu."""
    names = _activations(call)
    if names and set(names) == {b"Relu"}:
        return _unrolled(call, 1, _relu_cell)
    if call.smooth and set(names) <= {b"Tanh"}:
        return _unrolled(call, 1, _tanh_cell)
    raise call.error("nonlinear", "only the activation Relu is piecewise linear", value=names)


@operator("LSTM", attributes=("activations", "direction", "hidden_size", "layout"), smooth=True)
def lstm(call: Call) -> tuple[Value, ...]:
    """Smooth nodes and products, some per step and direction."""
    if call.optional(7) is not None or set(_activations(call)) - {b"Sigmoid", b"Tanh"}:
        raise call.error("unsupported-form", "peepholes and other activations are not read")
    return _unrolled(call, 4, _lstm_cell)


@operator("GRU", attributes=("activations", "direction", "hidden_size", "layout", "linear_before_reset"), smooth=True)
def gru(call: Call) -> tuple[Value, ...]:
    """Smooth nodes and products, some per step and direction."""
    if set(_activations(call)) - {b"Sigmoid", b"Tanh"}:
        raise call.error("unsupported-form", "other activations are not read")
    return _unrolled(call, 3, _gru_cell)


def _activations(call: Call) -> tuple[bytes, ...]:
    """What is named for each direction, in order; nothing where the defaults are meant."""
    given = call.attributes.get("activations", ())
    names = tuple(bytes(name) for name in given if isinstance(name, bytes)) if isinstance(given, tuple) else ()
    usual, count = {"RNN": 1, "LSTM": 3, "GRU": 2}[call.operator], len(_STEPS[_direction(call)])
    expected = {"LSTM": (b"Sigmoid", b"Tanh", b"Tanh"), "GRU": (b"Sigmoid", b"Tanh")}.get(call.operator)
    fits = len(names) == usual * count and (expected is None or names == expected * count)
    return names if fits or not given else (b"another",)


def _direction(call: Call) -> str:
    direction = call.text("direction", "forward")
    if direction not in _STEPS:
        raise call.error("unsupported-form", "no such direction", value=direction)
    return direction


@dataclass(frozen=True, slots=True)
class Step:
    """What a cell gets at one time.

    Attributes:
        call, time: of which operator, and when.
        fed: [batch, gates * hidden] W x + b.
        state: [batch, hidden] h before it; None for zero.
        memory: [batch, hidden] the LSTM's c before it; None for zero.
        recurrent: (gates * hidden, hidden) R.
        bias: (gates * hidden,) what is added with R h.
    """

    call: Call
    time: int
    fed: Tensor
    state: Tensor | None
    memory: Tensor | None
    recurrent: FloatArray
    bias: FloatArray

    def name(self, purpose: str) -> str:
        """Of a helper."""
        return self.call.builder.helper_name(self.call.name, f"{purpose}{self.time}")

    def back(self) -> Tensor:
        """[batch, gates * hidden] R h + bias."""
        batch, builder = self.fed.shape[0], self.call.builder
        bias, shape, terms = np.tile(self.bias, batch), self.fed.shape, tuple[Term, ...]()
        if self.state is not None:
            linear, _ = product_map(self.call, self.state, self.recurrent.T, tensor_first=True)
            terms = (Term(self.state.source, linear),)
        return builder.affine(self.name("back"), terms, bias, shape, self.fed.element)

    def total(self) -> Tensor:
        """[batch, gates * hidden] W x + b + R h + bias."""
        batch, terms = self.fed.shape[0], [Term(self.fed.source, Identity(self.fed.size))]
        if self.state is not None:
            linear = product_map(self.call, self.state, self.recurrent.T, tensor_first=True)[0]
            terms.append(Term(self.state.source, linear))
        bias = np.tile(self.bias, batch)
        return self.call.builder.affine(self.name("z"), tuple(terms), bias, self.fed.shape, self.fed.element)

    def gate(self, total: Tensor, number: int, function: Function, purpose: str) -> Tensor:
        """A function of the part of a tensor [batch, gates * hidden] that is one gate's."""
        hidden = self.recurrent.shape[1]
        own = component_indices(total)[:, number * hidden : (number + 1) * hidden]
        part = self.call.builder.select(self.name(f"{purpose}_z"), total, own)
        return self.call.builder.smooth(self.name(purpose), part, function)

    def plus(self, one: Tensor, other: Tensor, purpose: str, sign: float = 1.0) -> Tensor:
        """one + sign * other."""
        ones = np.ones(one.size)
        terms = Term(one.source, Identity(one.size)), Term(other.source, Diagonal(sign * ones, ones))
        return self.call.builder.affine(self.name(purpose), terms, np.zeros(one.size), one.shape, one.element)

    def times(self, one: Tensor, other: Tensor, purpose: str) -> Tensor:
        """one * other."""
        return self.call.builder.product(self.name(purpose), one, other)


Cell = Callable[[Step], tuple[Tensor, Tensor | None]]
"""State and memory after a step."""


def _relu_cell(step: Step) -> tuple[Tensor, Tensor | None]:
    return step.call.builder.relu(step.name("h"), step.total()), None


def _tanh_cell(step: Step) -> tuple[Tensor, Tensor | None]:
    return step.call.builder.smooth(step.name("h"), step.total(), Tanh()), None


def _lstm_cell(step: Step) -> tuple[Tensor, Tensor | None]:
    """c' = f c + i tanh(..), h' = o tanh(c'); the gates are in the order i, o, f, c."""
    total = step.total()
    i, o, f = (step.gate(total, number, Sigmoid(), name) for number, name in enumerate("iof"))
    memory = step.times(i, step.gate(total, 3, Tanh(), "g"), "new")
    if step.memory is not None:
        memory = step.plus(step.times(f, step.memory, "kept"), memory, "c")
    return step.times(o, step.call.builder.smooth(step.name("tanh"), memory, Tanh()), "h"), memory


def _gru_cell(step: Step) -> tuple[Tensor, Tensor | None]:
    """h' = n + z (h - n); the gates are in the order z, r, n."""
    back = step.back()
    total = step.plus(step.fed, back, "z")
    z, r = (step.gate(total, number, Sigmoid(), name) for number, name in enumerate("ur"))
    n = step.call.builder.smooth(step.name("n"), _candidate(step, back, r), Tanh())
    if step.state is None:
        return step.plus(n, step.times(z, n, "zn"), "h", -1.0), None
    return step.plus(n, step.times(z, step.plus(step.state, n, "step", -1.0), "moved"), "h"), None


def _candidate(step: Step, back: Tensor, r: Tensor) -> Tensor:
    """W x + b + r (R h + c), or W x + b + R (r h) + c without linear_before_reset."""
    builder, hidden = step.call.builder, step.recurrent.shape[1]
    own = component_indices(back)[:, 2 * hidden :]
    fed = builder.select(step.name("n_in"), step.fed, own)
    if step.call.integer("linear_before_reset", 0):
        return step.plus(fed, step.times(r, builder.select(step.name("n_back"), back, own), "reset"), "n_z")
    bias, terms = np.tile(step.bias[2 * hidden :], fed.shape[0]), [Term(fed.source, Identity(fed.size))]
    if step.state is not None:
        reset = step.times(r, step.state, "reset")
        linear = product_map(step.call, reset, step.recurrent[2 * hidden :].T, tensor_first=True)[0]
        terms.append(Term(reset.source, linear))
    return builder.affine(step.name("n_z"), tuple(terms), bias, fed.shape, fed.element)


def _unrolled(call: Call, gates: int, cell: Cell) -> tuple[Value, ...]:
    """The outputs of a recurrent operator: all states, the last ones, and the last memories of an LSTM."""
    tensor, directions = call.tensor(0), _STEPS[_direction(call)]
    if len(tensor.shape) != 3 or call.integer("layout", 0):
        raise call.error("unsupported-form", "only the layout [steps, batch, inputs] is read", value=tensor.shape)
    length, batch, _ = tensor.shape
    if call.optional(4) is not None and set(call.constant_integers(4)) != {length}:
        raise call.error("unsupported-form", "sequences of different lengths are not read")
    hidden = call.constant(2).shape[-1] if call.constant(2).shape else 0
    whole = (length, len(directions), batch, hidden)
    if length * gates * np.prod(whole) > MAX_WINDOW_READS:
        raise call.error("too-large", "it takes too many steps", value=whole)
    places = np.arange(np.prod(call.checked(whole))).reshape(whole)
    ends = np.arange(np.prod(whole[1:])).reshape(whole[1:])
    found: list[list[tuple[Value, np.ndarray]]] = [[], [], []]
    for number, step in enumerate(directions):
        states = _states(call, number, range(length)[::step], (gates, hidden), cell)
        found[0] += [(state, _inside(places.size, places[time, number])) for time, (state, _) in states.items()]
        for values, last in zip(found[1:], states[range(length)[::step][-1]], strict=True):
            if last is not None:
                values.append((last, _inside(ends.size, ends[number])))
    results: list[Value] = []
    for name, chosen, shape in zip(call.outputs, found, (whole, whole[1:], whole[1:]), strict=False):
        results.append(combined(call, chosen, shape, name or call.builder.helper_name(call.name, "unread")))
    return tuple(results)


def _inside(size: int, places: np.ndarray) -> np.ndarray:
    """(size,) where the components of a part go in the whole."""
    found = np.full(size, -1, dtype=np.int64)
    found[places.reshape(-1)] = np.arange(places.size)
    return found


def _states(
    call: Call, number: int, order: range, sizes: tuple[int, int], cell: Cell
) -> dict[int, tuple[Tensor, Tensor | None]]:
    """State and memory [batch, hidden] after each step of one direction."""
    tensor, helper, builder, (gates, hidden) = call.tensor(0), call.builder.helper_name, call.builder, sizes
    _, batch, width = tensor.shape
    weights, recurrent, biases = _weights(call, number, gates * hidden, width)
    state, memory = (_initial(call, index, number, (batch, hidden)) for index in (5, 6))
    states: dict[int, tuple[Tensor, Tensor | None]] = {}
    for time in order:
        x = builder.select(helper(call.name, f"x{time}"), tensor, component_indices(tensor)[time])
        linear, shape = product_map(call, x, weights.T, tensor_first=True)
        bias = np.tile(biases[0], batch)
        fed = builder.affine(helper(call.name, f"in{time}"), (Term(x.source, linear),), bias, shape, tensor.element)
        states[time] = state, memory = cell(Step(call, time, fed, state, memory, recurrent, biases[1]))
    return states


def _weights(call: Call, number: int, rows: int, width: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of one direction: weights of inputs (rows, width) and of states (rows, hidden), both biases (2, rows)."""
    element, count = call.tensor(0).element, len(_STEPS[_direction(call)])
    stored = [call.weights(call.constant(index), element) for index in (1, 2)]
    stored.append(np.zeros((count, 2 * rows)))
    if call.optional(3) is not None:
        stored[2] = call.weights(call.constant(3), element)
    hidden = stored[1].shape[-1]
    shapes = [(count, rows, width), (count, rows, hidden), (count, 2 * rows)]
    if [array.shape for array in stored] != shapes or call.integer("hidden_size", hidden) != hidden:
        raise call.shape_error("the weights do not fit together", *(list(array.shape) for array in stored))
    return stored[0][number], stored[1][number], stored[2][number].reshape(2, rows)


def _initial(call: Call, index: int, number: int, shape: tuple[int, int]) -> Tensor | None:
    """The state of one direction before the first step, or the memory; None where it is zero."""
    given, tensor, name = call.optional(index), call.tensor(0), call.builder.helper_name(call.name, "initial")
    if given is None:
        return None
    if given.shape[1:] != shape or number >= given.shape[0]:
        raise call.shape_error("the initial state does not fit", list(given.shape), list(shape))
    if isinstance(given, Constant):
        bias = call.weights(given, tensor.element)[number].reshape(-1)
        return call.builder.affine(name, (), bias, shape, tensor.element)
    same_element(call, tensor, given)
    return call.builder.select(name, given, component_indices(given)[number])
