"""The distance between a run of a network and its meaning, on boxes (specs/runtime.md, F-2).

The error of each node is a linear form over symbols, as deviations are in the proof of eps: one symbol for what each
component rounds, carried on with its signs through the layers behind it, so that errors of opposite signs cancel where
|W| |W| ... |W| would add them.  A ReLU makes s e of an error e, with s in [0, 1]: nothing where unit and run are both
negative for certain, e where both are positive, else half of e and a symbol for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.bounds import Bounds, Interval, crown_bounds, interval_bounds
from eqverify.domain import Box, Domain, Polytope
from eqverify.network import Affine, Dense, Network, Relu, Term, gamma
from eqverify.network.arithmetic import Arithmetic, largest_factor, node_peak, node_rounding, node_size, scales
from eqverify.network.evaluate import UNDERFLOW, scaled_error

_MOST_NUMBERS = 1 << 24
"""Coefficients of one node's errors that are held: boxes are taken in chunks, and where one box alone has more, errors
are carried as magnitudes."""

_SIGNED_WORK = 1 << 33
"""Products of errors as forms on one box that are affordable, about: beyond, magnitudes."""

_MOST_BOXES = 64
"""Boxes that are bounded one by one; of more, their hull."""

_SPLIT_INPUTS, _LEAVES, _LEAF_WORK = 12, 64, 1 << 32
"""Boxes are halved where at most so many inputs are free, until there are so many, or so many products were made: about
a second."""

_CROWN_WORK = 1 << 34
"""Products of CROWN's bounds that are affordable, about; beyond, intervals and what is known."""

_ABOVE = 1 + 2.0**-50


def domain_errors(network: Network, boxes: Sequence[Box], known: Bounds | None = None) -> FloatArray:
    """(output_size,) bounds on |run - network| over boxes, for every run of the model in the network's own type.

    Boxes of few free inputs are halved where the bound is largest: on smaller boxes fewer units are open.

    Args:
        network: what is run.
        boxes: the inputs; a run gets those of them that its type holds.
        known: proved intervals of some nodes on all inputs in question, (1, n).
    """
    whole = list(boxes) if len(boxes) <= _MOST_BOXES else [Domain(tuple(map(Polytope, boxes))).hull]
    lower, upper = np.array([box.lower for box in whole]), np.array([box.upper for box in whole])
    found = np.concatenate([runtime_errors(network, node_bounds(network, box, known)) for box in whole])
    widths = np.maximum((upper - lower).max(axis=0), np.finfo(float).tiny)
    most = min(_LEAVES, _LEAF_WORK // max(1, network.products * sum(network.sizes.values())))
    while 2 * len(found) <= most and ((upper > lower).sum(axis=1) <= _SPLIT_INPUTS).all():
        worst = np.argsort(-found.max(axis=1, initial=0.0), kind="stable")[: max(1, len(found) // 2)]
        halves = _halved(lower[worst], upper[worst], widths)
        void = np.zeros(len(halves[0]), dtype=bool)  # halves on which what is known of the inputs cannot hold
        errors = runtime_errors(network, crown_bounds(network, *halves, known, void=void))
        errors = np.where(void[:, None], 0.0, np.minimum(errors, np.tile(found[worst], (2, 1))))
        kept = np.delete(np.arange(len(found)), worst)
        lower, upper = np.concatenate([lower[kept], halves[0]]), np.concatenate([upper[kept], halves[1]])
        found = np.concatenate([found[kept], errors])
    return np.asarray(found.max(axis=0))


def _halved(lower: FloatArray, upper: FloatArray, widths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The lower halves of boxes (k, n), then the upper ones, halved where they are widest for these widths (n,)."""
    rows, dimension = np.arange(len(lower)), np.argmax((upper - lower) / widths, axis=1)
    ends = lower[rows, dimension], upper[rows, dimension]
    below, above = upper.copy(), lower.copy()
    below[rows, dimension] = above[rows, dimension] = np.clip(ends[0] / 2 + ends[1] / 2, *ends)
    return np.concatenate([lower, above]), np.concatenate([below, upper])


def node_bounds(network: Network, box: Box, known: Bounds | None = None) -> Bounds:
    """Intervals (1, n) of all nodes on a box, as good as is affordable."""
    affordable = network.products * network.relu_count <= _CROWN_WORK
    return (crown_bounds if affordable else interval_bounds)(network, box.lower[None], box.upper[None], known)


def point_errors(network: Network, x: FloatArray) -> FloatArray:
    """(output_size,) bounds on |run - network| at one input x, (input_size,), that the network's type holds."""
    return np.asarray(runtime_errors(network, interval_bounds(network, x[None], x[None]))[0])


@np.errstate(over="ignore", invalid="ignore")  # what leaves the range of float64 ends as an infinite bound
def runtime_errors(
    network: Network, bounds: Bounds, rows: FloatArray | None = None, element: str | None = None
) -> FloatArray:
    """(boxes, output_size) bounds on |run - network| where `bounds`, (boxes, n) by node, hold of the network.

    Infinite where numbers of a run may leave the range of its type.

    Args:
        network: what is run.
        bounds: of all inputs and nodes, on the inputs in question; those of other nodes are not looked at.
        rows: (k, output_size) where given, (boxes, k) bounds on |rows (run - network)| are returned instead, in which
            what outputs have in common may cancel.
        element: the type of the run; by default the network's.

    Trusted: `bounds`, float64 arithmetic, and that a run is one of the model's (specs/runtime.md).
    """
    if network.smooth:  # how a run rounds these is not known
        boxes, count = len(bounds[network.inputs[0].name].lower), network.output_size if rows is None else len(rows)
        return np.full((boxes, count), np.inf)
    sizes = [network.sizes[node.name] for node in network.nodes]
    numbers = (2 * sum(sizes) + 1) * max(network.sizes.values())
    step = max(1, _MOST_NUMBERS // numbers)
    few = numbers <= _MOST_NUMBERS and network.products * sum(sizes) <= _SIGNED_WORK
    carrier = _Signed if few else _Magnitudes
    arithmetic, parts = Arithmetic.of(element or network.element), []
    for start in range(0, len(bounds[network.inputs[0].name].lower), step):
        part = {
            name: Interval(z.lower[start : start + step], z.upper[start : start + step]) for name, z in bounds.items()
        }
        parts.append(carrier(network, part, arithmetic).of_outputs(rows))
    return np.concatenate(parts)


class _Magnitudes:
    """Errors of all nodes so far, as magnitudes.

    Attributes:
        bounds: of the network's nodes, (boxes, n).
        boxes: how many.
        arithmetic: of the run.
        sizes: by name, (boxes, n) bounds on |run - network|.
        summed: by affine node, (boxes, 1) bounds on |sum of any of a component's summands|.
        ranges: by name, (lower, upper) of the run's values, (boxes, n) each.
    """

    def __init__(self, network: Network, bounds: Bounds, arithmetic: Arithmetic) -> None:
        self.network, self.bounds, self.arithmetic = network, bounds, arithmetic
        self.boxes = len(bounds[network.inputs[0].name].lower)
        self.sizes: dict[str, FloatArray] = {}
        self.summed: dict[str, FloatArray] = {}
        self.ranges: dict[str, tuple[FloatArray, FloatArray]] = {}
        for port in network.inputs:
            self.sizes[port.name] = np.zeros_like(bounds[port.name].lower)
            self.ranges[port.name] = bounds[port.name].lower, bounds[port.name].upper

    def of_outputs(self, rows: FloatArray | None) -> FloatArray:
        """(boxes, k) the errors of all outputs, or of rows over them, which are not rounded."""
        for node in self.network.plain_nodes:
            if isinstance(node, Relu):
                self.relu(node)
            else:
                self.affine(node)
        ports = self.network.outputs
        if rows is None:
            return np.concatenate([self.sizes[port.source] for port in ports], axis=1)
        parts = np.split(rows, np.cumsum([port.size for port in ports])[:-1], axis=1)
        terms = tuple(Term(port.source, Dense(part)) for port, part in zip(ports, parts, strict=True))
        name = max(self.network.sizes, key=len) + "_"
        self._set_affine(Affine(name, terms, np.zeros(len(rows))), np.zeros((1, len(rows))))
        return self.sizes[name]

    def affine(self, node: Affine) -> None:
        """What the sources' errors become, and what is rounded here."""
        linear = Affine(node.name, node.terms, np.zeros(node.size))
        self._set_affine(linear, self._rounded(node))
        own, error = self.bounds[node.name], self.sizes[node.name]
        self.ranges[node.name] = np.nextafter(own.lower - error, -np.inf), np.nextafter(own.upper + error, np.inf)

    def _rounded(self, node: Affine) -> FloatArray:
        """(boxes, n) what a run rounds in a node; infinite where sums may overflow."""
        ranges = {source: self.ranges[source] for source in node.sources}
        sizes = {source: np.maximum(-lower, upper) for source, (lower, upper) in ranges.items()}
        size = node_size(node, sizes)
        # what is zero for certain is added without rounding
        summands = {source: int((values != 0).any(axis=0).sum()) for source, values in sizes.items()}
        rounded = node_rounding(node, size, self.arithmetic, node_peak(node, ranges), summands)
        self.summed[node.name] = summed = size.max(axis=1, initial=0.0, keepdims=True)
        if scales(node):  # what the nodes before it add may be multiplied first, and added then
            sources = [self.summed.get(source, sizes[source].max(axis=1, keepdims=True)) for source in sizes]
            summed = np.maximum(summed, largest_factor(node) * np.max(sources, axis=0))
        return np.where(summed <= self.arithmetic.largest / 4, rounded, np.inf)

    def _set_affine(self, linear: Affine, rounded: FloatArray) -> None:
        """The error of a node that maps errors like `linear`, which has no bias, and rounds."""
        carried = node_size(linear, {source: self.sizes[source] for source in linear.sources})
        total = np.where(np.isnan(carried), np.inf, carried + rounded) * _ABOVE
        self.sizes[linear.name] = np.broadcast_to(total, (self.boxes, linear.size))

    def relu(self, node: Relu) -> None:
        """s e with s in [0, 1]."""
        z, size = self.bounds[node.source], self.sizes[node.source]
        active, inactive = z.lower >= size, z.upper <= 0
        off = z.upper + size <= 0  # unit and run are both 0
        over = np.minimum(size, np.nextafter(np.maximum(z.upper + size, 0.0), np.inf))  # a run where the unit is 0
        flushed = np.where(off, 0.0, self.arithmetic.smallest_normal)
        self._set_relu(node, active, inactive, np.where(off, 0.0, over), flushed)
        lower, upper = self.ranges[node.source]
        self.ranges[node.name] = np.maximum(lower, 0.0), np.where(off, 0.0, np.maximum(upper, 0.0))

    def _set_relu(
        self, node: Relu, active: BoolArray, inactive: BoolArray, over: FloatArray, flushed: FloatArray
    ) -> None:
        size = self.sizes[node.source]
        self.sizes[node.name] = (np.where(inactive & ~active, over, size) + flushed) * _ABOVE


class _Signed(_Magnitudes):
    """Errors of all nodes, as linear forms over symbols.

    Attributes:
        rows: by name, (boxes, symbols so far, n) coefficients.
        rest: by name, (boxes, n) bounds on what the form leaves out: the rounding of its own coefficients.
        radius: (boxes, symbols) bounds on the symbols.
    """

    def __init__(self, network: Network, bounds: Bounds, arithmetic: Arithmetic) -> None:
        super().__init__(network, bounds, arithmetic)
        self.radius = np.zeros((self.boxes, 0))
        self.rows = {port.name: np.zeros((self.boxes, 0, port.size)) for port in network.inputs}
        self.rest = {port.name: np.zeros((self.boxes, port.size)) for port in network.inputs}

    def _keep(self, name: str, rows: FloatArray, rest: FloatArray, own: FloatArray) -> None:
        """Take the error of a node, with one more independent part in each component, no larger than `own`."""
        units = np.flatnonzero((own > 0).any(axis=0))
        new = np.zeros((self.boxes, units.size, rest.shape[1]))
        new[:, np.arange(units.size), units] = 1.0
        self.radius = np.concatenate([self.radius, np.broadcast_to(own, rest.shape)[:, units]], axis=1)
        rows = np.concatenate([self._padded(rows, self.radius.shape[1] - units.size), new], axis=1)
        self.rows[name], self.rest[name] = rows, rest
        width = self.radius.shape[1]
        reach = np.einsum("bwn,bw->bn", np.abs(rows), self.radius)
        reach = (reach * (1 + 2 * gamma(width + 4)) + rest) * _ABOVE
        self.sizes[name] = np.where(np.isnan(reach), np.inf, reach)

    def _padded(self, rows: FloatArray, width: int) -> FloatArray:
        missing = width - rows.shape[1]
        return np.concatenate([rows, np.zeros((self.boxes, missing, rows.shape[2]))], axis=1) if missing else rows

    def _set_affine(self, linear: Affine, rounded: FloatArray) -> None:
        width = self.radius.shape[1]
        count = sum(term.map.fan_in + 4 for term in linear.terms) + 4
        rows = np.zeros((self.boxes, width, linear.size))
        for term in linear.terms:
            rows = rows + term.map.forward(self._padded(self.rows[term.source], width))
        lost = UNDERFLOW * (1.0 + self.radius.sum(axis=1, keepdims=True))
        inexact = {
            source: scaled_error(2 * gamma(count), self.sizes[source]) + self.rest[source] for source in linear.sources
        }
        rest = node_size(linear, inexact)
        rest = np.where(rest == 0, 0.0, rest * _ABOVE + lost)
        self._keep(linear.name, rows, np.broadcast_to(rest, (self.boxes, linear.size)), rounded)

    def _set_relu(
        self, node: Relu, active: BoolArray, inactive: BoolArray, over: FloatArray, flushed: FloatArray
    ) -> None:
        size = self.sizes[node.source]
        factor = np.where(active, 1.0, np.where(inactive, 0.0, 0.5))
        own = np.where(active, 0.0, np.where(inactive, over, size / 2))
        rest = (self.rest[node.source] * factor + flushed) * _ABOVE
        self._keep(node.name, self.rows[node.source] * factor[:, None, :], rest, own)
