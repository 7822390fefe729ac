"""How the network strategies draw: weights, chains, planted structure, residual DAGs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from eqverify.arrays import FloatArray
from eqverify.network import Affine, Dense, Diagonal, Identity, LinearMap, Network, Node, Port, Relu, Selection, Term
from eqverify.testing.chains import Layers, chain_network

ELEMENTS = ("float32", "float64")
"""Element types of drawn networks; every weight of a ``float32`` network is a float32 number."""

WEIGHT_KINDS = ("dyadic", "dyadic", "dyadic", "integer", "ordinary", "extreme")
"""Kinds of weights, repeated by how often they are drawn."""

RADIUS = 4.0
"""Planted stable layers are stable for inputs of at most this magnitude."""

_QUARTERS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.25, -0.25, 1.5, -1.5, 0.75, -0.75)
_MAGNITUDES = (1.0, 0.0, 2.0**-24, 2.0**24, 2.0**-12, float(np.float32(1e-5)), float(np.float32(1e5)))
_TINY = 2.0**-20
_DIVISORS = (3.0, 1.0, 10.0, -4.0)
_SCALES = (2.0, 0.5, 4.0)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Inclusive ranges of sizes: inputs, outputs, hidden layers (ReLU nodes of a DAG), units per hidden layer."""

    inputs: tuple[int, int] = (1, 4)
    outputs: tuple[int, int] = (1, 3)
    depth: tuple[int, int] = (0, 3)
    width: tuple[int, int] = (1, 4)


DEFAULT_SIZES = Sizes()
"""Small enough for every oracle."""


def dyadics(largest: float = 2.0) -> st.SearchStrategy[float]:
    """Multiples of 1/4 of magnitude at most `largest` (and 2), zero simplest."""
    return st.sampled_from(tuple(value for value in _QUARTERS if abs(value) <= largest))


def weights(kind: str, element: str) -> st.SearchStrategy[float]:
    """Finite weights of a kind of `WEIGHT_KINDS`, all of them numbers of type `element`."""
    if kind == "dyadic":
        return dyadics()
    if kind == "integer":
        return st.integers(-2, 2).map(float)
    if kind == "ordinary":
        floats = st.floats(-4, 4, width=32 if element == "float32" else 64)
        return floats.map(lambda value: value if abs(value) >= _TINY else 0.0)
    return st.builds(lambda size, sign: size * sign, st.sampled_from(_MAGNITUDES), st.sampled_from((1.0, -1.0)))


def draw_chain(
    draw: st.DrawFn, sizes: Sizes, element: str, kinds: tuple[str, ...], structures: tuple[str, ...]
) -> Network:
    """A fully connected chain with up to three planted structures."""
    hidden = [draw(st.integers(*sizes.width)) for _ in range(draw(st.integers(*sizes.depth)))]
    widths = [draw(st.integers(*sizes.inputs)), *hidden, draw(st.integers(*sizes.outputs))]
    layers: Layers = []
    for columns, rows in pairwise(widths):
        layers.append(_draw_layer(draw, rows, columns, weights(draw(st.sampled_from(kinds)), element)))
    if structures:
        for _ in range(draw(st.sampled_from((1, 2, 3, 0, 2, 3)))):
            _PLANTS[draw(st.sampled_from(structures))](draw, layers)
    if element == "float32":
        layers = [(_to_float32(matrix), _to_float32(bias)) for matrix, bias in layers]
    return chain_network(layers, element, draw(st.sampled_from(((), (1,), ("batch",)))))


def _draw_layer(
    draw: st.DrawFn, rows: int, columns: int, numbers: st.SearchStrategy[float]
) -> tuple[FloatArray, FloatArray]:
    matrix = np.array([[draw(numbers) for _ in range(columns)] for _ in range(rows)], dtype=np.float64)
    return matrix, np.array([draw(numbers) for _ in range(rows)], dtype=np.float64)


def _to_float32(array: FloatArray) -> FloatArray:
    return array.astype(np.float32).astype(np.float64)


def _pick_layer(draw: st.DrawFn, layers: Layers) -> int | None:
    """Index of a hidden layer, None where there is none."""
    return draw(st.integers(0, len(layers) - 2)) if len(layers) > 1 else None


def _pick_unit(draw: st.DrawFn, layers: Layers, layer: int) -> int:
    return draw(st.integers(0, layers[layer][1].size - 1))


def _plant_dead(draw: st.DrawFn, layers: Layers) -> None:
    if (layer := _pick_layer(draw, layers)) is not None:
        layers[layer + 1][0][:, _pick_unit(draw, layers, layer)] = 0.0


def _plant_copy(draw: st.DrawFn, layers: Layers, factor: float) -> None:
    if (layer := _pick_layer(draw, layers)) is None:
        return
    source, target = _pick_unit(draw, layers, layer), _pick_unit(draw, layers, layer)
    matrix, bias = layers[layer]
    if source == target:
        matrix, bias = np.vstack([matrix, matrix[:1]]), np.append(bias, bias[0])
        following = layers[layer + 1]
        layers[layer + 1] = np.hstack([following[0], following[0][:, -1:]]), following[1]
        layers[layer], target = (matrix, bias), bias.size - 1
    if not matrix[source].any():
        matrix[source, 0] = 1.0
    matrix[target], bias[target] = factor * matrix[source], factor * bias[source]


def _plant_dependent(draw: st.DrawFn, layers: Layers) -> None:
    if (layer := _pick_layer(draw, layers)) is None:
        return
    matrix, bias = layers[layer]
    target = _pick_unit(draw, layers, layer)
    others = [unit for unit in range(bias.size) if unit != target]
    factors = np.array([draw(st.sampled_from((1.0, -1.0, 0.5, 2.0, 0.0))) for _ in others])
    matrix[target] = factors @ matrix[others]
    bias[target] = factors @ bias[others] + draw(st.sampled_from((0.0, 0.5)))


def _plant_stable(draw: st.DrawFn, layers: Layers, sign: float) -> None:
    """Moves the biases of a layer until interval arithmetic on |x| <= RADIUS finds one sign only."""
    if (layer := _pick_layer(draw, layers)) is None:
        return
    magnitude = np.full(layers[0][0].shape[1], RADIUS)
    for matrix, bias in layers[:layer]:
        magnitude = np.abs(matrix) @ magnitude + np.abs(bias)
    matrix, bias = layers[layer]
    bias[:] = sign * np.ceil(np.abs(matrix) @ magnitude * (1 + 2.0**-20) + draw(st.sampled_from((0.0, 1.0))))


def _plant_constant(draw: st.DrawFn, layers: Layers) -> None:
    if (layer := _pick_layer(draw, layers)) is not None:
        unit = _pick_unit(draw, layers, layer)
        layers[layer][0][unit] = 0.0
        layers[layer][1][unit] = draw(st.sampled_from((0.0, 1.0, -1.0)))


def _plant_tie(draw: st.DrawFn, layers: Layers) -> None:
    """Makes a first-layer unit just touch zero in a corner of [-1, 1]^n."""
    if len(layers) > 1:
        unit = _pick_unit(draw, layers, 0)
        layers[0][1][unit] = draw(st.sampled_from((-1.0, 1.0))) * np.abs(layers[0][0][unit]).sum()


def _plant_zero_output(draw: st.DrawFn, layers: Layers) -> None:
    output = _pick_unit(draw, layers, len(layers) - 1)
    layers[-1][0][output] = 0.0
    layers[-1][1][output] = 0.0


_PLANTS: dict[str, Callable[[st.DrawFn, Layers], None]] = {
    "dead": _plant_dead,
    "duplicate": lambda draw, layers: _plant_copy(draw, layers, 1.0),
    "parallel": lambda draw, layers: _plant_copy(draw, layers, draw(st.sampled_from(_SCALES))),
    "antiparallel": lambda draw, layers: _plant_copy(draw, layers, -draw(st.sampled_from((1.0, *_SCALES)))),
    "dependent": _plant_dependent,
    "active-layer": lambda draw, layers: _plant_stable(draw, layers, 1.0),
    "inactive-layer": lambda draw, layers: _plant_stable(draw, layers, -1.0),
    "constant-unit": _plant_constant,
    "tie": _plant_tie,
    "zero-output": _plant_zero_output,
}

STRUCTURES = tuple(_PLANTS)
"""Names of the structures that can be planted in a chain."""


def draw_residual(draw: st.DrawFn, sizes: Sizes, element: str, kinds: tuple[str, ...]) -> Network:
    """A DAG of affine nodes with several terms, ReLUs on anything, several inputs and outputs."""
    total = draw(st.integers(*sizes.inputs))
    first = draw(st.integers(1, total))
    ports = [Port("X", (first,), element, "X")]
    if first < total:
        ports.append(Port("X2", (1, total - first), element, "X2"))
    known = {port.name: port.size for port in ports}
    nodes: list[Node] = []
    for index in range(draw(st.integers(*sizes.depth))):
        source = draw(st.sampled_from(list(known)[::-1]))
        if draw(st.sampled_from((True, False, True))):
            affine = _draw_affine(draw, f"z{index}", draw(st.integers(*sizes.width)), known, element, kinds)
            nodes.append(affine)
            known[affine.name], source = affine.size, affine.name
        nodes.append(Relu(f"h{index}", source))
        known[f"h{index}"] = known[source]
    budget = draw(st.integers(*sizes.outputs))
    outputs: list[Port] = []
    while budget:
        size = draw(st.integers(1, budget))
        affine = _draw_affine(draw, f"y{len(outputs)}", size, known, element, kinds)
        nodes.append(affine)
        known[affine.name] = size
        same = [name for name, width in known.items() if width == size]
        shown = affine.name if draw(st.integers(0, 3)) else draw(st.sampled_from(same))
        outputs.append(Port(f"Y{len(outputs)}", (1, size), element, shown))
        budget -= size
    return Network(tuple(ports), tuple(nodes), tuple(outputs))


def _draw_affine(
    draw: st.DrawFn, name: str, size: int, known: dict[str, int], element: str, kinds: tuple[str, ...]
) -> Affine:
    numbers = weights(draw(st.sampled_from(kinds)), element)
    terms = []
    for _ in range(draw(st.sampled_from((1, 2, 1, 2, 3, 0)))):
        names, prefer = list(known), draw(st.booleans())
        same = [name for name in names if known[name] == size]
        source = draw(st.sampled_from(same if same and prefer else names))
        terms.append(Term(source, _draw_map(draw, size, known[source], numbers)))
    bias = np.array([draw(numbers) for _ in range(size)], dtype=np.float64)
    return Affine(name, tuple(terms), bias)


def _draw_map(draw: st.DrawFn, rows: int, columns: int, numbers: st.SearchStrategy[float]) -> LinearMap:
    square = ("diagonal", "diagonal", "identity") if rows == columns else ()
    kind = draw(st.sampled_from(("dense", "dense", "selection", *square)))
    if kind == "dense":
        return Dense(_draw_layer(draw, rows, columns, numbers)[0])
    if kind == "selection":
        return Selection(np.array([draw(st.integers(0, columns - 1)) for _ in range(rows)], dtype=np.int64), columns)
    if kind == "identity":
        return Identity(rows)
    scale = np.array([draw(numbers) for _ in range(rows)], dtype=np.float64)
    return Diagonal(scale, np.array([draw(st.sampled_from(_DIVISORS)) for _ in range(rows)]))
