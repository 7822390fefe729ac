"""The same function with fewer ReLU units, exactly and for all inputs (M-6 in `specs/rewrites.md`).

What needs no domain is done before anything is proved: units that are multiples of others of their layer, constant and
dead ones, and layers whose readers see nothing but sums of whole units, as ReluSplitter writes them.  All of it is
decided in rational arithmetic; what float64 numbers cannot hold is not done, or is held by two of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from eqverify.arrays import BoolArray, ExactArray, FloatArray, IntArray
from eqverify.network.composition import select_rows
from eqverify.network.convolution import Convolution
from eqverify.network.graph import Affine, Network, Node, Relu, Term, needed_nodes
from eqverify.network.linear import Dense, Diagonal, LinearMap
from eqverify.network.proportional import exact_product, exact_sum, proportional
from eqverify.numerals import nearest_float

_MOST_PRODUCTS = 1 << 20
"""Of rational numbers, for what constant units show."""

Readers = dict[str, list[Node | None]]
"""The nodes that read each input or node; None for an output."""


def normalised(network: Network) -> Network:
    """A network of the same function over the reals; the same object where nothing was found.

    Inputs and outputs stay as they are, and so do the names of nodes that stay.  Channels of convolutions count as
    units.

    Trusted: that each step is exact; nothing is rounded, and `tests/network/test_normalise.py` compares values in
    rational arithmetic.
    """
    names, readers = [relu.name for relu in reversed(network.relus)], _readers(network)
    while names:
        again = False
        for name in names:
            layer = layer_of(network, readers, name) if name in network.by_name else None
            if layer is None or (nodes := _vanished(layer) or _merged(layer)) is None:
                continue
            network, again = _with(network, layer, nodes), True
            readers = _readers(network)
        names = [relu.name for relu in reversed(network.relus)] if again else []
    return network


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A ReLU layer between two affine nodes, by units: components, or channels where the pre-activation is an image.

    Unit k shows  up_k max(0, z_k) + down_k min(0, z_k)  to what reads it: 1 and 0, or those of a LeakyReLU.

    Attributes:
        before: the pre-activation z.
        relu: the ReLU node.
        between: the sum of LeakyReLU, None where the layer is a plain one.
        after: the only reader.
        follower: the ReLU node that alone reads `after`, None where there is no such.
        rows: (n, k) arrays, all that defines a unit: weights, then bias.
        weights: (m, n, w) how `after` reads unit k in its own units, by window positions.
        up, down: (n,) slopes.
    """

    before: Affine
    relu: Relu
    between: Affine | None
    after: Affine
    follower: Relu | None
    rows: list[FloatArray]
    weights: FloatArray
    up: list[Fraction]
    down: list[Fraction]

    @property
    def block(self) -> int:
        """Components of a unit."""
        return self.before.size // len(self.up)

    @property
    def constant(self) -> BoolArray:
        """(n,) whether z does not depend on the input."""
        read = [part.any(axis=1) for part in self.rows[:-1]]
        return ~np.logical_or.reduce(read, dtype=bool) if read else np.ones(len(self.up), dtype=bool)

    @property
    def term(self) -> Term:
        """How `after` reads this layer."""
        shown = self.relu.name if self.between is None else self.between.name
        return next(term for term in self.after.terms if term.source == shown)

    @property
    def aligned(self) -> bool:
        """Whether component j of a unit of `after` reads component j of units here, and nothing else."""
        linear = self.term.map
        if isinstance(linear, Convolution) and (max(linear.strides) > 1 or max(linear.before + linear.after) > 0):
            return False
        return self.weights.shape[2] == 1 and self.after.size == self.block * len(self.weights)

    def components(self, units: IntArray) -> IntArray:
        """Of some units, in order."""
        return np.asarray((units[:, None] * self.block + np.arange(self.block)).reshape(-1), dtype=np.int64)


def layer_of(network: Network, readers: Readers, name: str) -> Layer | None:
    """A ReLU node with what is before and behind it; None where these have another form."""
    relu = network.by_name[name]
    before = network.by_name.get(relu.sources[0])
    if not isinstance(relu, Relu) or not isinstance(before, Affine) or len(readers[name]) != 1:
        return None
    between, after = None, readers[name][0]
    if len(readers[before.name]) == 2 and after in readers[before.name] and isinstance(after, Affine):
        between, after = after, readers[after.name][0] if len(readers[after.name]) == 1 else None
    elif len(readers[before.name]) != 1:
        return None
    shown = name if between is None else between.name
    if not isinstance(after, Affine) or [term.source for term in after.terms].count(shown) != 1:
        return None
    linear = next(term.map for term in after.terms if term.source == shown)
    rows = _unit_rows(before)
    if rows is None:
        return None
    count = len(rows[0])
    weights = _unit_weights(linear, count, before.size // count)
    slopes = _slopes(between, name, count, before.size // count)
    if weights is None or slopes is None:
        return None
    behind = readers[after.name]
    follower = behind[0] if len(behind) == 1 and isinstance(behind[0], Relu) and len(after.terms) == 1 else None
    return Layer(before, relu, between, after, follower, rows, weights, *slopes)


def _readers(network: Network) -> Readers:
    readers: Readers = {name: [] for name in network.sizes}
    for node in network.nodes:
        for source in dict.fromkeys(node.sources):
            readers[source].append(node)
    for port in network.outputs:
        readers[port.source].append(None)
    return readers


def _unit_rows(before: Affine) -> list[FloatArray] | None:
    """(n, k) arrays: weights and bias of each unit; the bias once where it is the same all over a channel."""
    maps = [term.map for term in before.terms]
    parts: list[FloatArray] = []
    for linear in maps:
        if isinstance(linear, Dense):
            parts.append(linear.matrix)
        elif isinstance(linear, Convolution) and linear.groups == 1:
            parts.append(linear.kernel.reshape(linear.kernel.shape[0], -1))
        else:
            return None
    if len({len(part) for part in parts}) > 1:
        return None
    bias = before.bias.reshape(len(parts[0]) if parts else before.size, -1)
    return [*parts, bias[:, :1] if (bias == bias[:, :1]).all() else bias]


def _unit_weights(linear: LinearMap, count: int, block: int) -> FloatArray | None:
    """(m, n, w) a map by units of both sides."""
    if isinstance(linear, Dense):
        return linear.matrix.reshape(linear.shape[0], count, block)
    if not isinstance(linear, Convolution) or linear.groups > 1 or linear.channels != count:
        return None
    return linear.kernel.reshape(*linear.kernel.shape[:2], -1)


def _slopes(between: Affine | None, relu: str, count: int, block: int) -> tuple[list[Fraction], list[Fraction]] | None:
    """What units show for positive and for negative z; None unless these are the same all over a channel."""
    if between is None:
        return [Fraction(1)] * count, [Fraction(0)] * count
    if between.bias.any() or len(between.terms) != 2:
        return None
    factors: dict[bool, list[Fraction]] = {}
    for term in between.terms:
        if not isinstance(term.map, Diagonal):
            return None
        scale, divisor = term.map.scale.reshape(count, block), term.map.divisor.reshape(count, block)
        if (scale != scale[:, :1]).any() or (divisor != divisor[:, :1]).any():
            return None
        pairs = zip(scale[:, 0].tolist(), divisor[:, 0].tolist(), strict=True)
        factors[term.source == relu] = [Fraction(one) / Fraction(two) for one, two in pairs]
    if len(factors) < 2:
        return None
    return [a + b for a, b in zip(factors[True], factors[False], strict=True)], factors[False]


def _vanished(layer: Layer) -> list[Node] | None:
    """Nodes in the place of a layer of which the reader shows linear values, or single units before a ReLU again.

    With t the pre-activation of the first unit of a group of multiples, a unit of the reader is
    m + sum over groups of (p max(0, t) + q min(0, t)).  It is linear in a group where p = q.  Where that is so but for
    one group, where nothing else is read, m <= 0, and a ReLU follows: max(0, it) is max(0, m + p t) for p, q >= 0, and
    max(0, m + q t) for p, q <= 0.
    """
    first, factors = proportional(layer.rows)
    single = (first == np.arange(len(first))) & (np.bincount(first + 1, minlength=len(first) + 1)[1:] == 1)
    bent = np.array([up != down for up, down in zip(layer.up, layer.down, strict=True)])
    read = (layer.weights != 0).any(axis=2)
    if (
        layer.constant.any()
        or (read[:, single & bent].sum(axis=1) > (layer.follower is not None and layer.aligned)).any()
    ):
        return None
    rows: list[dict[int, ExactArray]] = []
    for row, bias in zip(layer.weights, layer.after.bias.reshape(len(layer.weights), -1), strict=True):
        linear = _linear_row(layer, row, first, factors, bool((bias <= 0).all()))
        if linear is None:
            return None
        rows.append(linear)
    return _written(layer, rows)


def _linear_row(
    layer: Layer, row: FloatArray, first: IntArray, factors: Sequence[Fraction], low: bool
) -> dict[int, ExactArray] | None:
    """By group, the factors (w,) by which a unit of the reader may read its z instead; None where it may not.

    Args:
        layer: the layer.
        row: (n, w) its weights.
        first: (n,) the group of each unit.
        factors: (n,) what it is times the first of its group.
        low: whether the row's bias is at most 0.
    """
    plus: dict[int, ExactArray] = {}
    minus: dict[int, ExactArray] = {}
    for unit in np.flatnonzero(row.any(axis=1)).tolist():
        factor, group = factors[unit], int(first[unit])
        slopes = (layer.up[unit], layer.down[unit]) if factor > 0 else (layer.down[unit], layer.up[unit])
        weight = np.array([Fraction(value) for value in row[unit].tolist()], dtype=object)
        for sums, slope in zip((plus, minus), slopes, strict=True):
            sums[group] = sums.get(group, 0) + weight * (slope * factor)
    found = {group: p for group, p in plus.items() if (p == minus[group]).all()}
    if len(found) == len(plus):
        return {group: p for group, p in found.items() if p.any()}
    if layer.follower is None or not layer.aligned or not low:
        return None
    used = [group for group in plus if plus[group].any() or minus[group].any()]
    if len(used) != 1:
        return None
    (p,), (q,) = plus[used[0]], minus[used[0]]
    if p >= 0 and q >= 0:
        return {used[0]: plus[used[0]]}
    return {used[0]: minus[used[0]]} if p <= 0 and q <= 0 else None


def _written(layer: Layer, rows: list[dict[int, ExactArray]]) -> list[Node] | None:
    """The nodes: one whose rows are multiples of rows of the layer where float64 holds them, or one after the other."""
    groups = sorted({group for row in rows for group in row})
    others = tuple(term for term in layer.after.terms if term is not layer.term)
    if not groups:
        return [Affine(layer.after.name, others, layer.after.bias)]
    if layer.aligned and all(len(row) == 1 for row in rows):
        units = np.array([next(iter(row)) for row in rows])
        scale = [next(iter(row.values()))[0] for row in rows]
        one = None if others else _scaled(layer, units, scale)
        if one is not None:
            return [one]
        kept, matrix = units, np.array(scale, dtype=object)
    else:
        kept = np.array(groups)
        matrix = np.full((len(rows), len(groups), layer.weights.shape[2]), Fraction(0), dtype=object)
        for index, row in enumerate(rows):
            for group, factors in row.items():
                matrix[index, groups.index(group)] = factors
    parts = _parts(matrix)
    if parts is None:
        return None
    before = _selected(layer.before, layer, kept)
    terms = tuple(Term(before.name, _linear(layer, part)) for part in parts)
    return [before, Affine(layer.after.name, (*others, *terms), layer.after.bias)]


def _linear(layer: Layer, part: FloatArray) -> LinearMap:
    """A map of factors: one for each unit, or by units of both sides and window positions."""
    if part.ndim == 1:
        return Diagonal(part.repeat(layer.block), np.ones(part.size * layer.block))
    read = layer.term.map
    if isinstance(read, Convolution):
        return replace(read, kernel=part.reshape(*part.shape[:2], *read.window))
    return Dense(part.reshape(len(part), -1))


def _parts(exact: ExactArray) -> list[FloatArray] | None:
    """One or two float64 arrays whose sum an array of rationals is; None where they cannot be."""
    parts, left = [], exact.reshape(-1)
    for _ in range(2):
        part = np.array([nearest_float(value) for value in left])
        if not np.isfinite(part).all():
            return None
        parts.append(part.reshape(exact.shape))
        left = left - np.array([Fraction(value) for value in part.tolist()], dtype=object)
        if not left.any():
            return parts
    return None


def _scaled(layer: Layer, units: IntArray, scale: Sequence[Fraction]) -> Affine | None:
    """The reader as multiples of units of the pre-activation, plus its bias; None where float64 does not hold it."""
    before = _selected(layer.before, layer, units)
    exact = _floats(scale)
    if exact is None:
        return None
    terms = []
    for term in before.terms:
        array = term.map.kernel if isinstance(term.map, Convolution) else term.map.dense()
        products = [exact_product(row, factor) for row, factor in zip(array, exact.tolist(), strict=True)]
        if any(product is None for product in products):
            return None
        scaled = np.stack([product for product in products if product is not None])
        linear = replace(term.map, kernel=scaled) if isinstance(term.map, Convolution) else Dense(scaled)
        terms.append(Term(term.source, linear))
    triples = zip(before.bias.tolist(), np.repeat(exact, layer.block).tolist(), layer.after.bias.tolist(), strict=True)
    known: dict[tuple[float, float, float], Fraction] = {}
    sums = []
    for triple in triples:
        if triple not in known:
            b, factor, own = map(Fraction, triple)
            known[triple] = b * factor + own
        sums.append(known[triple])
    bias = _floats(sums)
    return None if bias is None else Affine(layer.after.name, tuple(terms), bias)


def _merged(layer: Layer) -> list[Node] | None:
    """The layer without units that are multiples of others, constant, or not read; None where there are none.

    s max(0, z) = max(0, s z) for s > 0: the reader's weights of a multiple join those of the first one.
    """
    (first, factors), still = proportional(layer.rows), layer.constant
    classes: dict[object, list[int]] = defaultdict(list)
    for unit in np.flatnonzero(~still).tolist():
        classes[first[unit], factors[unit] > 0, layer.up[unit], layer.down[unit]].append(unit)
    columns: dict[int, FloatArray | float] = {}
    for kept, *gone in classes.values():
        total: FloatArray | None = layer.weights[:, kept]
        for unit in gone:
            total = None if total is None else _sum(total, layer.weights[:, unit], factors[unit] / factors[kept])
        if gone and total is not None:
            columns |= {kept: total, **dict.fromkeys(gone, 0.0)}
    constant, bias = np.flatnonzero(still).tolist(), layer.after.bias
    if constant and (shifted := _shifted(layer, constant)) is not None:
        columns, bias = {**columns, **dict.fromkeys(constant, 0.0)}, shifted
    read = np.asarray(layer.weights.any(axis=(0, 2)))
    for unit, column in columns.items():
        read[unit] = np.any(column)
    if read.all():
        return None
    weights = layer.weights.copy()
    for unit, column in columns.items():
        weights[:, unit] = column
    return _without(layer, np.flatnonzero(read), weights, bias)


def _sum(column: FloatArray, other: FloatArray, ratio: Fraction) -> FloatArray | None:
    """column + ratio * other, (m, w) each; None unless float64 holds it."""
    factor = nearest_float(ratio)
    product = exact_product(other, factor) if factor == ratio else None
    return None if product is None else exact_sum(column, product)


def _shifted(layer: Layer, units: Sequence[int]) -> FloatArray | None:
    """The reader's bias with what units of constant z show; None where float64 does not hold it, or it takes long."""
    shown = np.full(layer.before.size, Fraction(0), dtype=object)
    for unit in units:
        for component in layer.components(np.array([unit])).tolist():
            z = Fraction(float(layer.before.bias[component]))
            shown[component] = z * (layer.up[unit] if z > 0 else layer.down[unit])
    if not shown.any():
        return layer.after.bias
    if layer.term.map.fan_in * layer.after.size > _MOST_PRODUCTS:
        return None
    bias = [Fraction(value) for value in layer.after.bias.tolist()]
    return _floats([a + b for a, b in zip(bias, layer.term.map.forward_exact(shown).tolist(), strict=True)])


def _without(layer: Layer, kept: IntArray, weights: FloatArray, bias: FloatArray) -> list[Node]:
    """The nodes with some units only, and the reader's weights (m, n, w) and bias."""
    others = tuple(term for term in layer.after.terms if term is not layer.term)
    if not kept.size:
        return [Affine(layer.after.name, others, bias)]
    nodes: list[Node] = [_selected(layer.before, layer, kept), layer.relu]
    if layer.between is not None:
        components = layer.components(kept)
        diagonals = [(term.source, term.map) for term in layer.between.terms if isinstance(term.map, Diagonal)]
        terms = (Term(name, Diagonal(d.scale[components], d.divisor[components])) for name, d in diagonals)
        nodes.append(Affine(layer.between.name, tuple(terms), layer.between.bias[components]))
    own = Term(layer.term.source, _linear(layer, weights[:, kept]))
    return [*nodes, Affine(layer.after.name, (*others, own), bias)]


def _with(network: Network, layer: Layer, nodes: Sequence[Node]) -> Network:
    """The network with other nodes in the place of a layer and its reader."""
    gone = {layer.before.name, layer.relu.name} | ({layer.between.name} if layer.between is not None else set())
    changed = [
        other
        for node in network.nodes
        if node.name not in gone
        for other in (nodes if node.name == layer.after.name else (node,))
    ]
    needed = needed_nodes(changed, (port.source for port in network.outputs))
    return Network(network.inputs, needed, network.outputs)


def _selected(node: Affine, layer: Layer, units: IntArray) -> Affine:
    """An affine node with some units of a layer, in the order given."""
    components = layer.components(units)
    terms = tuple(Term(term.source, select_rows(term.map, components)) for term in node.terms)
    return Affine(node.name, terms, node.bias[components])


def _floats(exact: Sequence[Fraction]) -> FloatArray | None:
    """Rationals as float64 numbers; None where one is none."""
    found = [nearest_float(value) for value in exact]
    return np.array(found) if found == list(exact) else None  # compared exactly
