"""Nodes as affine forms of the free inputs, for many activation patterns at once.

Where the activity of all earlier ReLUs is fixed, every node is an affine function of the input.  `Forms` holds these
functions for a batch of patterns in float64 with a bound on what rounding did to them; `exact_forms` gives them for one
pattern in rationals.  Columns are the inputs of positive width, and 1; the other inputs are constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from eqverify.arrays import BoolArray, ExactArray, FloatArray, IntArray, frozen
from eqverify.bounds.farkas import Row
from eqverify.domain import Box
from eqverify.network import Affine, Network, gamma
from eqverify.network.evaluate import UNDERFLOW, lost_coefficients, scaled_error


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The free inputs of a box.

    Attributes:
        box: all inputs.
        free: (n,) indices of the inputs of positive width.
        magnitude: (n + 1,) bounds on |column|.
    """

    box: Box
    free: IntArray
    magnitude: FloatArray

    @property
    def lower(self) -> FloatArray:
        """(n,) lower bounds of the free inputs."""
        return np.asarray(self.box.lower[self.free])

    @property
    def upper(self) -> FloatArray:
        """(n,) upper bounds of the free inputs."""
        return np.asarray(self.box.upper[self.free])

    def whole(self, points: FloatArray) -> FloatArray:
        """(k, inputs) from the free components (k, n)."""
        result = np.repeat(self.box.lower[None], len(points), axis=0)
        result[:, self.free] = points
        return result


def make_frame(box: Box) -> Frame:
    """The frame of a box."""
    free = np.flatnonzero(box.lower < box.upper)
    return Frame(box, frozen(free, np.int64), frozen(np.append(box.magnitude[free], 1.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One node's values: |value - columns . coefficients| <= error on the box.

    Attributes:
        coefficients: (patterns, n + 1, size).
        error: (patterns, size).
    """

    coefficients: FloatArray
    error: FloatArray

    def take(self, index: IntArray | BoolArray) -> Form:
        """Some of the patterns."""
        return Form(self.coefficients[index], self.error[index])


Forms = Mapping[str, Form]
"""By input or node name."""


def input_forms(network: Network, frame: Frame) -> dict[str, Form]:
    """The inputs, for one pattern of nothing."""
    width = frame.free.size + 1
    whole = np.zeros((1, width, network.input_size))
    whole[0, np.arange(frame.free.size), frame.free] = 1.0
    whole[0, -1] = np.where(frame.box.lower < frame.box.upper, 0.0, frame.box.lower)
    forms, start = {}, 0
    for port in network.inputs:
        part = whole[:, :, start : start + port.size]
        forms[port.name] = Form(part, np.zeros((1, port.size)))
        start += port.size
    return forms


def affine_form(node: Affine, forms: Forms, frame: Frame, patterns: int) -> Form:
    """An affine node over forms of its sources; rounding by the a-priori bound of the products."""
    constant = gamma(sum(term.map.fan_in + 4 for term in node.terms) + frame.free.size + 8)
    total = np.zeros((patterns, frame.free.size + 1, node.size))
    total[:, -1] = node.bias
    size = np.broadcast_to(np.abs(node.bias), (patterns, node.size))
    carried = np.zeros((patterns, node.size))
    for term in node.terms:
        source = forms[term.source]
        total = total + term.map.forward(source.coefficients)
        reach = np.einsum("pws,w->ps", np.abs(source.coefficients), frame.magnitude)
        weights = term.map.absolute()
        size = size + weights.forward(scaled_error(1.0, reach + source.error))
        carried = carried + weights.forward(source.error)
    error = (constant * size + carried) * (1 + 8 * constant) + lost_coefficients(frame.magnitude)
    return Form(total, error)


def relu_form(source: Form, active: BoolArray) -> Form:
    """The output of a ReLU node where `active` (patterns, size) units pass and the others are zero."""
    return Form(source.coefficients * active[:, None, :], source.error * active)


def split_pattern(network: Network, patterns: BoolArray) -> dict[str, BoolArray]:
    """Patterns (k, ReLU units) as (k, size) by ReLU node."""
    parts, start = {}, 0
    for relu in network.relus:
        parts[relu.name] = patterns[:, start : start + network.sizes[relu.name]]
        start += network.sizes[relu.name]
    return parts


def one_pattern(network: Network, pattern: BoolArray) -> dict[str, BoolArray]:
    """A pattern (ReLU units,) as (size,) by ReLU node."""
    return {name: on[0] for name, on in split_pattern(network, pattern[None]).items()}


def pattern_forms(network: Network, frame: Frame, patterns: BoolArray) -> dict[str, Form]:
    """All inputs and nodes under patterns (k, ReLU units)."""
    count, active = len(patterns), split_pattern(network, patterns)
    forms = {name: f.take(np.zeros(count, dtype=np.int64)) for name, f in input_forms(network, frame).items()}
    for node in network.plain_nodes:
        if isinstance(node, Affine):
            forms[node.name] = affine_form(node, forms, frame, count)
        else:
            forms[node.name] = relu_form(forms[node.source], active[node.name])
    return forms


def output_form(network: Network, forms: Forms) -> Form:
    """The flat output."""
    ports = [forms[port.source] for port in network.outputs]
    return Form(
        np.concatenate([f.coefficients for f in ports], axis=2), np.concatenate([f.error for f in ports], axis=1)
    )


def level(form: Form, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values of one pattern's form at points, and bounds on their distance from the exact ones.

    Args:
        form: of one pattern (coefficients (1, n + 1, size)).
        points: (k, n) in the box.

    Returns:
        (k, size) values and (k, size) bounds.
    """
    matrix = form.coefficients[0]
    values = points @ matrix[:-1] + matrix[-1]
    size = np.abs(points) @ np.abs(matrix[:-1]) + np.abs(matrix[-1])
    return values, form.error[0] + gamma(len(matrix) + 4) * size * (1 + 1e-12) + UNDERFLOW


def reach(form: Form, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sound bounds (patterns, size) of forms over boxes inside the frame's box.

    Args:
        form: (patterns, n + 1, size).
        lower: (patterns, n).
        upper: (patterns, n).
    """
    centre, radius = (lower + upper) / 2, (upper - lower) / 2
    linear = form.coefficients[:, :-1]
    middle = np.einsum("pns,pn->ps", linear, centre) + form.coefficients[:, -1]
    spread = np.einsum("pns,pn->ps", np.abs(linear), radius)
    size = np.einsum("pns,pn->ps", np.abs(linear), np.abs(centre) + radius) + np.abs(form.coefficients[:, -1])
    slack = form.error + 4 * gamma(linear.shape[1] + 8) * size + UNDERFLOW
    return middle - spread - slack, middle + spread + slack


def exact_forms(network: Network, frame: Frame, active: Mapping[str, BoolArray], node: str) -> ExactArray:
    """One node as exact affine forms of the free inputs.

    Args:
        network: the network.
        frame: the free inputs.
        active: by ReLU node before `node`, (size,) bool.
        node: name of an input or node.

    Returns:
        (n + 1, size) of Fractions; the last row is the constant.
    """
    width = frame.free.size + 1
    whole = np.full((width, network.input_size), Fraction(0), dtype=object)
    whole[np.arange(frame.free.size), frame.free] = Fraction(1)
    for index in np.flatnonzero(frame.box.lower == frame.box.upper).tolist():
        whole[-1, index] = Fraction(float(frame.box.lower[index]))
    values, start = dict[str, ExactArray](), 0
    for port in network.inputs:
        values[port.name] = whole[:, start : start + port.size]
        start += port.size
    for step in network.plain_nodes:
        if node in values:
            break
        if isinstance(step, Affine):
            total = np.full((width, step.size), Fraction(0), dtype=object)
            total[-1] = [Fraction(b) for b in step.bias.tolist()]
            for term in step.terms:
                total = total + np.stack([term.map.forward_exact(row) for row in values[term.source]])
            values[step.name] = total
        elif step.name in active:
            values[step.name] = values[step.source] * active[step.name].astype(int).astype(object)
    return values[node]


class ExactRows:
    """Exact pre-activations of units, counted through the network, under one pattern; computed when asked for.

    Args:
        network: the network.
        frame: the free inputs.
        pattern: by ReLU node, (size,) bool; of those before the nodes that are asked about.
    """

    def __init__(self, network: Network, frame: Frame, pattern: Mapping[str, BoolArray]) -> None:
        self._network, self._frame, self._pattern = network, frame, pattern
        self._known: dict[str, ExactArray] = {}

    def __call__(self, unit: int) -> Row:
        """Coefficients of the free inputs, then the constant."""
        for relu in self._network.relus:
            size = self._network.sizes[relu.name]
            if unit < size:
                if relu.name not in self._known:
                    self._known[relu.name] = exact_forms(self._network, self._frame, self._pattern, relu.source)
                return list(self._known[relu.name][:, unit])
            unit -= size
        raise IndexError("no such unit")
