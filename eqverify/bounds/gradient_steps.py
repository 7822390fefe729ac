"""Gradient steps on the numbers behind pulled-back bounds: lower slopes, multipliers of signs and of constraints.

Nothing here is trusted: any numbers give valid bounds (specs/bounds.md, B-2, B-7, B-9), so that the steps run in
float32 where the network's numbers fit, and what they estimate only chooses among steps.

A pulled-back bound is U(alpha, beta) = constant + max over the box of a linear function.  Its gradient is found by
running forwards what ran backwards: with x* the maximising corner, a relaxed ReLU passes g_z on as lam g_z + t
where the coefficient on it was positive and as alpha g_z where it was negative; then dU / d alpha_i =
min(coefficient_i, 0) g_z_i, and a multiplier beta on a split z_j >= 0 has dU / d beta = g_z_j (Xu et al. 2021,
arXiv 2011.13824; Wang et al. 2021, arXiv 2103.06624).  A multiplier nu on an assumed constraint C y + B x <= d has
dU / d nu = d - C g_y - B x*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.assumed import assumed_nodes, assumed_parts
from eqverify.bounds.crown import open_units
from eqverify.bounds.interval import centred
from eqverify.bounds.pullback import PullbackContext, ancestors
from eqverify.domain import Assumption
from eqverify.kernels import kernels, rows_numpy
from eqverify.network import Affine, Dense, LinearMap, Node, Product, Relu, Smooth

Array = npt.NDArray[Any]
"""float32 or float64: the precision of the steps."""

_DECAY = 0.95
_SMALLEST, _LARGEST = 1e-12, 1e12
"""Networks whose weights and values are all at most that, and not all smaller, are worked on in float32."""

_MARGIN = 32
"""Units of the precision, of the size of a bound, that an estimate may be wrong by as far as the steps care."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """The lines of a ReLU layer over the boxes, on the components held.

    Attributes:
        source: the node before it.
        held: the components that rows have here, None for all; the others are inactive on every box.
        columns: (k,) the units that are open on some box.
        places: (k,) where these stand among the components held.
        free: (boxes, n) open on the box.
        alpha: (boxes, n) CROWN's lower slopes.
        lam: (boxes, n) upper slopes.
        offset: (boxes, n) of the upper lines.
    """

    source: str
    held: IntArray | None
    columns: IntArray
    places: IntArray
    free: BoolArray
    alpha: Array
    lam: Array
    offset: Array


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The lines of a smooth node over the boxes, (boxes, n) each; they stay as they are.

    Attributes:
        source: the node that it reads.
        alpha, base: slopes and offsets of those below.
        lam, offset: of those above.
    """

    source: str
    alpha: Array
    base: Array
    lam: Array
    offset: Array

    def pull(self, row: Array) -> tuple[Array, Array]:
        """Rows (boxes * rows, n) before the node, and what they have beyond that, (boxes * rows,)."""
        above, below = np.maximum(row, 0), np.minimum(row, 0)
        alpha, base, lam, offset = self._spread(len(row))
        return above * lam + below * alpha, (above * offset + below * base).sum(axis=1)

    def push(self, value: Array, row: Array) -> Array:
        """Values (boxes * rows, n) on the lines that rows used."""
        alpha, base, lam, offset = self._spread(len(row))
        return np.asarray(np.where(row > 0, lam * value + offset, alpha * value + base))

    def _spread(self, count: int) -> list[Array]:
        lines = (self.alpha, self.base, self.lam, self.offset)
        return [np.repeat(line, count // len(line), axis=0) for line in lines]


class StepNetwork:
    """What stands before a node, or before the outputs where constraints are assumed, in the precision of the steps.

    Args:
        ground: network, bounds and relaxations, (boxes, n) each.
        node: the target; None for the zero row.
        assumed: constraints on outputs and inputs that may be used.
        dtype: precision; by default float32 where the numbers fit.
    """

    def __init__(
        self,
        ground: PullbackContext,
        node: Affine | None,
        assumed: Assumption | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        network = ground.network
        self.ground, self.node, self.assumed = ground, node, assumed
        before = set() if node is None else ancestors(network, node.name)
        if assumed is not None:
            before |= assumed_nodes(network, assumed)
        self.nodes = [n for n in network.nodes if n.name in before]
        self.dtype = np.dtype(dtype) if dtype is not None else self._precision()
        self.parts = [] if assumed is None else list(assumed_parts(network, assumed))
        self.held = self._held()
        self.parts = [(name, self._cut(part, self.held.get(name))) for name, part in self.parts]
        self.layers = {n.name: self._layer(n) for n in self.nodes if isinstance(n, Relu)}
        self.curves = {n.name: self._curve(n) for n in self.nodes if isinstance(n, Smooth)}
        self.planes = {n.name: self._planes(n) for n in self.nodes if isinstance(n, Product)}
        affine = [n for n in self.nodes if isinstance(n, Affine)]
        self.bias = {n.name: self._cut(n.bias, self.held[n.name]) for n in affine}
        self.terms = {n.name: [(t.source, self._map(n, t.source, t.map)) for t in n.terms] for n in affine}
        self.box = {}
        for port in network.inputs:
            centre, radius = centred(ground.bounds[port.name])
            self.box[port.name] = centre.astype(self.dtype), radius.astype(self.dtype)

    def _precision(self) -> np.dtype[Any]:
        """float32 where no number is too large or, all of a map or of a layer, too small for it."""
        nodes = [*self.nodes, *([] if self.node is None else [self.node])]
        names = {source for node in nodes for source in node.sources}
        arrays = [self.ground.bounds[name].magnitude for name in names]
        for node in nodes:
            if isinstance(node, Affine):
                parameters = [a for term in node.terms for a in term.map.parameters() if a.dtype == np.float64]
                arrays += [node.bias, *(np.asarray(a, dtype=np.float64) for a in parameters)]
        sizes = [float(np.abs(a).max(initial=0.0)) for a in arrays]
        fits = all(size == 0 or _SMALLEST < size < _LARGEST for size in sizes)
        return np.dtype(np.float32 if fits else np.float64)

    def _cut(self, array: FloatArray, held: IntArray | None) -> Array:
        """The last axis on the components held, in the precision of the steps."""
        return (array if held is None else array[..., held]).astype(self.dtype)

    def _held(self) -> dict[str, IntArray | None]:
        """By node, the components that rows have there.

        Units that are inactive on every box are left out where only dense maps read them, and on the node before
        them where that is dense too and nothing else reads it.
        """
        readers: dict[str, list[Node]] = {}
        for node in [*self.nodes, *([] if self.node is None else [self.node])]:
            for source in node.sources:
                readers.setdefault(source, []).append(node)
        read, held = {name for name, _ in self.parts}, dict[str, IntArray | None]()
        for node in self.nodes:
            held.setdefault(node.name, None)
            if not isinstance(node, Relu) or not all(_dense(r) for r in readers.get(node.name, ())):
                continue
            held[node.name] = self.ground.relaxations[node.name].alive
            before = self.ground.network.by_name.get(node.source)
            if before is not None and _dense(before) and readers[node.source] == [node] and node.source not in read:
                held[node.source] = held[node.name]
        return held

    def _layer(self, node: Relu) -> Layer:
        line, held = self.ground.relaxations[node.name], self.held[node.name]
        free = open_units(self.ground.bounds[node.source])
        columns = np.flatnonzero(free.any(axis=0))
        places = columns if held is None else np.searchsorted(held, columns)
        alpha, lam, offset = (self._cut(a, held) for a in (line.alpha, line.lam, line.offset))
        free = np.ascontiguousarray(free if held is None else free[:, held])
        return Layer(node.source, held, columns, places, free, alpha, lam, offset)

    def _curve(self, node: Smooth) -> Curve:
        line = self.ground.relaxations[node.name]
        assert line.base is not None
        return Curve(node.argument, *(self._cut(a, None) for a in (line.alpha, line.base, line.lam, line.offset)))

    def _planes(self, node: Product) -> tuple[Array, Array, Array, Array]:
        """(boxes, n) factors on left and right, and offsets below and above."""
        found = self.ground.planes(node)
        parts = (found.left, found.right, found.low, found.high)
        left, right, low, high = (self._cut(part, None) for part in parts)
        return left, right, low, high

    def _map(self, node: Affine, source: str, linear: LinearMap) -> Array | LinearMap:
        if not isinstance(linear, Dense):
            return linear
        rows, columns = self.held.get(node.name), self.held.get(source)
        matrix = linear.matrix if rows is None else linear.matrix[rows]
        return self._cut(matrix, columns)

    def start(self, units: IntArray, signs: FloatArray) -> tuple[Array, dict[str, Array]]:
        """The rows signs * z_units of the target, one step back: constants (m,), and (m, n) on its sources."""
        if self.node is None:
            return np.zeros(units.size, dtype=self.dtype), {}
        rows: dict[str, Array] = {}
        for term in self.node.terms:
            if isinstance(term.map, Dense):
                row = term.map.matrix[units] * signs[:, None]
            else:
                ones = np.zeros((units.size, self.node.size), dtype=self.dtype)
                ones[np.arange(units.size), units] = signs
                row = term.map.backward(ones)
            row = self._cut(row, self.held.get(term.source))
            rows[term.source] = rows[term.source] + row if term.source in rows else row
        return (signs * self.node.bias[units]).astype(self.dtype), rows

    @cached_property
    def numbers(self) -> int:
        """Slopes per row."""
        return sum(layer.lam.shape[1] for layer in self.layers.values())


def _dense(node: Node) -> bool:
    return isinstance(node, Affine) and all(isinstance(term.map, Dense) for term in node.terms)


@dataclass(slots=True, eq=False)
class Estimate:
    """What a pullback in the steps' precision found; rows of all boxes stand one after the other.

    Attributes:
        upper: (rows,) about the bounds.
        size: (rows,) how large what was added up is.
        entering: by ReLU or smooth node, (rows, n) the coefficients before its lines, on the components held.
        corners: by input, (rows, size) where the bound is attained.
    """

    upper: Array
    size: Array
    entering: dict[str, Array]
    corners: dict[str, Array]


@dataclass(slots=True, eq=False)
class _Adam:
    """The moments of some numbers."""

    first: Array
    second: Array


@dataclass(slots=True, eq=False)
class Steps:
    """Steps for some rows; what a row has is (boxes * rows, n), box by box.

    Attributes:
        lines: the network.
        constant: (boxes * rows,) of the rows at the start.
        start: by node, what stands on it at the start.
        numbers: by ReLU node: slopes, or multipliers where a sign is fixed.
        side: by ReLU node: 1 where z >= 0 holds, -1 where z <= 0, else 0; (0, n) where none is fixed.
        nu: (boxes * rows, k) multipliers on the assumed constraints.
    """

    lines: StepNetwork
    constant: Array
    start: dict[str, Array]
    numbers: dict[str, Array]
    side: dict[str, ByteArray]
    nu: Array
    _moments: dict[str, _Adam] = field(default_factory=dict)

    @property
    def boxes(self) -> int:
        """Number of boxes."""
        return self.lines.ground.boxes

    def run(self, iterations: int, limits: FloatArray, rate: float) -> None:
        """At most so many steps; leaves the numbers with the best estimate of each row and box.

        Args:
            iterations: number of steps.
            limits: (rows,) a row is done when its bound is not above this on any box.
            rate: length of the first step.
        """
        if not iterations:
            return
        live = np.arange(limits.size)
        best = np.full((self.boxes, limits.size), np.inf)
        numbers = {name: values.copy() for name, values in self.numbers.items()}
        going_on = Steps(self.lines, self.constant, self.start, numbers, self.side, self.nu.copy())
        for step in range(iterations + 1):
            found = going_on.pull()
            upper = found.upper.reshape(self.boxes, -1)
            better = upper < best[:, live]
            best[:, live] = np.where(better, upper, best[:, live])
            box, row = np.nonzero(better)
            into, rows = box * limits.size + live[row], box * live.size + row
            for name, values in going_on.numbers.items():
                self.numbers[name][into] = values[rows]
            self.nu[into] = going_on.nu[rows]
            margin = _MARGIN * np.finfo(self.lines.dtype).eps * found.size.reshape(self.boxes, -1)
            going = ~(best[:, live] + margin <= limits[live]).all(axis=0)
            if step == iterations or not going.any():
                break
            if not going.all():
                live = live[going]
                going_on._keep(going, found)
            going_on._descend(found, step + 1, rate)
            rate *= _DECAY

    def _keep(self, going: BoolArray, found: Estimate) -> None:
        """Drop the rows that are done."""
        rows = np.flatnonzero(np.tile(going, self.boxes))
        self.numbers, self.start = _cut(self.numbers, rows), _cut(self.start, rows)
        self.side = {name: side[rows] if len(side) else side for name, side in self.side.items()}
        self.constant, self.nu = self.constant[rows], self.nu[rows]
        for moments in self._moments.values():
            moments.first, moments.second = moments.first[rows], moments.second[rows]
        found.upper, found.entering, found.corners = (
            found.upper[rows],
            _cut(found.entering, rows),
            _cut(found.corners, rows),
        )

    def pull(self) -> Estimate:
        """The rows pulled back to the inputs."""
        lines, rows, constant = self.lines, dict(self.start), self.constant
        form = kernels(numbers=len(constant) * lines.numbers).rows
        entering: dict[str, Array] = {}
        with np.errstate(over="ignore", invalid="ignore"):
            if lines.assumed is not None:
                constant = constant + self.nu @ lines.assumed.bound.astype(lines.dtype)
                for name, part in lines.parts:
                    _add(rows, name, -(self.nu @ part))
            for node in reversed(lines.nodes):
                row = rows.pop(node.name, None)
                if isinstance(node, Affine):
                    if row is None:
                        continue
                    constant = constant + row @ lines.bias[node.name]
                    for source, linear in lines.terms[node.name]:
                        _add(rows, source, row @ linear if isinstance(linear, np.ndarray) else linear.backward(row))
                    continue
                if isinstance(node, Smooth):
                    row = entering[node.name] = self._row(node, row)
                    pulled, lift = lines.curves[node.name].pull(row)
                    constant = constant + lift
                    _add(rows, node.argument, pulled)
                    continue
                if isinstance(node, Product):
                    row = entering[node.name] = self._row(node, row)
                    left, right, low, high = self._repeated(lines.planes[node.name], len(row))
                    constant = constant + (np.maximum(row, 0) * high + np.minimum(row, 0) * low).sum(axis=1)
                    _add(rows, node.left, row * left)
                    _add(rows, node.right, row * right)
                    continue
                layer, own = lines.layers[node.name], self.numbers[node.name]
                row = entering[node.name] = np.zeros_like(own) if row is None else row
                pulled, lift = form.pull(row, own, self.side[node.name], layer.lam, layer.offset)
                constant = constant + lift
                _add(rows, node.source, self._widened(pulled, layer))
            return self._at_inputs(rows, constant, entering)

    def _row(self, node: Node, row: Array | None) -> Array:
        """Rows on a node that is not piecewise linear, zeros where there are none."""
        size = self.lines.ground.network.sizes[node.name]
        return np.zeros((len(self.constant), size), self.lines.dtype) if row is None else row

    @staticmethod
    def _repeated(parts: tuple[Array, ...], count: int) -> list[Array]:
        """Parts (boxes, n) for so many rows."""
        return [np.repeat(part, count // len(part), axis=0) for part in parts]

    def _widened(self, row: Array, layer: Layer) -> Array:
        """A row behind a layer's lines on the components held of the node before it."""
        if layer.held is None or self.lines.held.get(layer.source) is not None:
            return row
        result = np.zeros((len(row), self.lines.ground.network.sizes[layer.source]), dtype=row.dtype)
        result[:, layer.held] = row
        return result

    def _at_inputs(self, rows: dict[str, Array], constant: Array, entering: dict[str, Array]) -> Estimate:
        upper, size, corners = constant, np.abs(constant), {}
        for name, (centre, radius) in self.lines.box.items():
            row = rows.get(name, np.zeros((len(constant), centre.shape[1]), dtype=centre.dtype))
            corners[name], here, sizes = kernels().rows.corners(row, centre, radius)
            upper, size = upper + here, size + sizes
        return Estimate(upper, size, entering, corners)

    def at(self, entering: dict[str, Array], inputs: Mapping[str, Array]) -> Estimate:
        """An estimate whose rows were found elsewhere: the values that `push` gives are all that it is good for."""
        return self._at_inputs(dict(inputs), np.zeros_like(self.constant), entering)

    def push(self, found: Estimate) -> tuple[dict[str, Array], dict[str, Array]]:
        """Values at the maximising corners, ReLUs on the lines used, and the bounds' derivatives by the numbers.

        Returns:
            By node, (boxes * rows, n) values on the components held; by ReLU node, the derivatives.
        """
        lines, count = self.lines, len(self.constant)
        form = kernels().rows
        values, gradients = dict(found.corners), {}
        with np.errstate(over="ignore", invalid="ignore"):
            for node in lines.nodes:
                if isinstance(node, Affine):
                    total = np.broadcast_to(lines.bias[node.name], (count, lines.bias[node.name].size))
                    for source, linear in lines.terms[node.name]:
                        value = values[source]
                        total = total + (value @ linear.T if isinstance(linear, np.ndarray) else linear.forward(value))
                    values[node.name] = total
                    continue
                if isinstance(node, Smooth):
                    row = found.entering[node.name]
                    values[node.name] = lines.curves[node.name].push(values[node.argument], row)
                    continue
                if isinstance(node, Product):
                    row = found.entering[node.name]
                    left, right, low, high = self._repeated(lines.planes[node.name], len(row))
                    plane = left * values[node.left] + right * values[node.right]
                    values[node.name] = plane + np.where(row > 0, high, low)
                    continue
                layer = lines.layers[node.name]
                values[node.name], gradients[node.name] = form.push(
                    self.before(values, layer), found.entering[node.name], self.numbers[node.name],
                    self.side[node.name], layer.lam, layer.offset,
                )  # fmt: skip
        return values, gradients

    def before(self, values: Mapping[str, Array], layer: Layer) -> Array:
        """Values before a layer on the components that it holds."""
        z = values[layer.source]
        return z if layer.held is None or z.shape[1] == layer.held.size else z[:, layer.held]

    def derivatives(self, found: Estimate) -> tuple[dict[str, Array], Array]:
        """dU by the numbers of each ReLU node, and by nu, (boxes * rows, ...) each."""
        values, gradients = self.push(found)
        assumed = self.lines.assumed
        if assumed is None:
            return gradients, np.zeros_like(self.nu)
        slack = np.broadcast_to(assumed.bound.astype(self.nu.dtype), self.nu.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for name, part in self.lines.parts:
                slack = slack - values[name] @ part.T
        return gradients, slack

    def _descend(self, found: Estimate, step: int, rate: float) -> None:
        gradients, slack = self.derivatives(found)
        form = kernels().rows
        for name, gradient in gradients.items():
            moments, side = self._moment(name, gradient), self.side[name]
            scale = _scale(found.entering[name]) if len(side) else 0.0
            length = np.full(len(gradient), rate * scale, dtype=gradient.dtype)
            with np.errstate(over="ignore"):
                form.descend(
                    self.numbers[name], gradient, moments.first, moments.second, side, self.lines.layers[name].free,
                    step, rate, length,
                )  # fmt: skip
        if self.nu.shape[1]:
            self._descend_nu(slack, found.upper, step, rate)

    def _descend_nu(self, slack: Array, upper: Array, step: int, rate: float) -> None:
        """A full step changes a multiplier as would bring a linear bound to zero; those of the zero row sum to 1."""
        moments, ones = self._moment("", slack), np.ones(slack.shape, dtype=np.int8)
        length = np.full(len(upper), rate, dtype=slack.dtype)
        if self.lines.node is not None:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                length = rate * np.abs(upper) / np.abs(slack).max(axis=1)
            length = np.where(np.isfinite(length), length, 0).astype(slack.dtype)
        none = np.zeros((1, slack.shape[1]), dtype=bool)
        rows_numpy.descend(self.nu, slack, moments.first, moments.second, ones, none, step, rate, length)
        if self.lines.node is None:
            total = self.nu.sum(axis=1, keepdims=True)
            self.nu = np.where(total > 0, self.nu / np.where(total > 0, total, 1), 1).astype(slack.dtype)

    def _moment(self, name: str, gradient: Array) -> _Adam:
        if name not in self._moments:
            self._moments[name] = _Adam(np.zeros_like(gradient), np.zeros_like(gradient))
        return self._moments[name]


def _cut(values: Mapping[str, Array], rows: IntArray) -> dict[str, Array]:
    return {name: value[rows] for name, value in values.items()}


def _scale(entering: Array) -> float:
    """The order of magnitude of coefficients on a layer, which multipliers of its signs should have."""
    scale = max(float(entering.max(initial=0)), -float(entering.min(initial=0)))
    return scale if np.isfinite(scale) and scale > 0 else 1.0


def _add(rows: dict[str, Array], name: str, row: Array) -> None:
    rows[name] = rows[name] + row if name in rows else row
