"""The distance between a run of a network and its meaning, on a box (specs/runtime.md, F-2).

The error of each node is an expression over symbols, as deviations are in the proof of eps: one symbol for what each
component rounds, carried on with its signs through the layers behind it, so that errors of opposite signs cancel where
|W| |W| ... |W| would add them.  A ReLU makes s e of an error e, with s in [0, 1]: nothing where unit and run are both
negative for certain, e where both are positive, else half of e and a symbol for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, crown_bounds, interval_bounds
from eqverify.domain import Box, Domain, Polytope
from eqverify.network import Affine, Network, Relu
from eqverify.network.arithmetic import Arithmetic, node_peak, node_rounding, node_size
from eqverify.network.expression import Basis, Expression, affine_expression, value_range

_MOST_NUMBERS = 1 << 24
"""Coefficients of one node's errors that are held; beyond it errors are carried as magnitudes."""

_MOST_BOXES = 64
"""Boxes that are looked at one by one; of more, their hull."""

_CROWN_WORK = 1 << 36
"""Products of CROWN's bounds that are affordable, about; beyond, intervals and what is known."""


def domain_errors(network: Network, boxes: Sequence[Box], known: Bounds | None = None) -> FloatArray:
    """(output_size,) bounds on |run - network| over boxes, for every run of the model in the network's own type.

    Args:
        network: what is run.
        boxes: the inputs; a run gets those of them that its type holds.
        known: proved intervals of some nodes on all of the boxes, (1, n).
    """
    found = np.zeros(network.output_size)
    for box in boxes if len(boxes) <= _MOST_BOXES else [Domain(tuple(map(Polytope, boxes))).hull]:
        lower, upper = box.lower[None], box.upper[None]
        affordable = network.products * network.relu_count <= _CROWN_WORK
        bounds = (crown_bounds if affordable else interval_bounds)(network, lower, upper, known)
        found = np.maximum(found, runtime_errors(network, bounds))
    return found


def point_errors(network: Network, x: FloatArray) -> FloatArray:
    """(output_size,) bounds on |run - network| at one input x, (input_size,), that the network's type holds."""
    return runtime_errors(network, interval_bounds(network, x[None], x[None]))


def runtime_errors(network: Network, bounds: Bounds, element: str | None = None) -> FloatArray:
    """(output_size,) bounds on |run - network| where `bounds`, (1, n) by node, hold of the network.

    Infinite where numbers of a run may leave the range of its type.

    Args:
        network: what is run.
        bounds: of all inputs and nodes, on the inputs in question.
        element: the type of the run; by default the network's.

    Trusted: `bounds`, float64 arithmetic, and that a run is one of the model's (specs/runtime.md).
    """
    errors = _Errors(network, bounds, Arithmetic.of(element or network.element))
    for node in network.nodes:
        if isinstance(node, Relu):
            errors.relu(node)
        else:
            errors.affine(node)
    return np.concatenate([errors.sizes[port.source] for port in network.outputs])


class _Errors:
    """Errors of all nodes so far.

    Attributes:
        values: by name, the error as an expression over symbols.
        sizes: by name, (n,) bounds on its magnitude.
        ranges: by name, (lower, upper) of the run's values, (1, n) each.
    """

    def __init__(self, network: Network, bounds: Bounds, arithmetic: Arithmetic) -> None:
        self.bounds, self.arithmetic = bounds, arithmetic
        symbols = sum(network.sizes[node.name] for node in network.nodes)
        self.symbolic = symbols * max(network.sizes.values()) <= _MOST_NUMBERS
        width = 1 + symbols * self.symbolic  # the first column stands for 1, and is never used
        self.basis = Basis(0, {}, np.zeros(width), np.zeros(width))
        self.next_symbol = 1
        self.values: dict[str, Expression] = {}
        self.sizes: dict[str, FloatArray] = {}
        self.ranges: dict[str, tuple[FloatArray, FloatArray]] = {}
        for port in network.inputs:
            self._keep(port.name, Expression(np.zeros((port.size, width)), np.zeros(port.size)))
            self.ranges[port.name] = bounds[port.name].lower, bounds[port.name].upper

    def _keep(self, name: str, error: Expression) -> None:
        lower, upper = value_range(error, self.basis)
        self.values[name], self.sizes[name] = error, np.maximum(-lower, upper)

    def _with_symbols(self, error: Expression, radius: FloatArray) -> Expression:
        """The error with one more independent part in each component, no larger than `radius`, (n,)."""
        if not self.symbolic:
            return Expression(error.rows, (error.error + radius) * (1 + 2.0**-52))
        units = np.flatnonzero(radius > 0)
        symbols = self.next_symbol + np.arange(units.size)
        self.next_symbol += units.size
        radii, rows = self.basis.radius.copy(), error.rows.copy()
        radii[symbols] = radius[units]
        rows[units, symbols] = 1.0
        self.basis = replace(self.basis, radius=radii)
        return Expression(rows, error.error)

    def affine(self, node: Affine) -> None:
        """What the sources' errors become, and what is rounded here."""
        linear = Affine(node.name, node.terms, np.zeros(node.size))
        carried = affine_expression(linear, self.values, self.basis)
        ranges = {source: self.ranges[source] for source in node.sources}
        sizes = {source: np.maximum(-lower, upper) for source, (lower, upper) in ranges.items()}
        size = node_size(node, sizes)
        # what is zero for certain is added without rounding
        summands = {source: int(np.count_nonzero(values)) for source, values in sizes.items()}
        rounded = node_rounding(node, size, self.arithmetic, node_peak(node, ranges), summands)
        rounded = np.where(size <= self.arithmetic.largest / 4, rounded, np.inf)[0]
        self._keep(node.name, self._with_symbols(carried, rounded))
        own, error = self.bounds[node.name], self.sizes[node.name]
        self.ranges[node.name] = np.nextafter(own.lower - error, -np.inf), np.nextafter(own.upper + error, np.inf)

    def relu(self, node: Relu) -> None:
        """s e with s in [0, 1]."""
        z, size, error = self.bounds[node.source], self.sizes[node.source], self.values[node.source]
        active = z.lower[0] >= size
        most = np.minimum(size, np.nextafter(np.maximum(z.upper[0] + size, 0.0), np.inf))
        off = z.upper[0] + size <= 0  # unit and run are both 0
        inactive = z.upper[0] <= 0  # the unit is 0, the run at most `most`
        factor = np.where(active, 1.0, np.where(inactive, 0.0, 0.5))
        halved = Expression(error.rows * factor[:, None], error.error * factor)
        rest = np.where(active | off, 0.0, np.where(inactive, most, size / 2))
        made = self._with_symbols(halved, rest)
        lower, upper = self.ranges[node.source]
        self.ranges[node.name] = np.maximum(lower, 0.0), np.where(off, 0.0, np.maximum(upper, 0.0))
        flushed = np.where(off, 0.0, self.arithmetic.smallest_normal)
        self._keep(node.name, Expression(made.rows, made.error + flushed))
