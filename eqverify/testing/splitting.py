"""ReluSplitter's transformation: the same function with more ReLUs, for tests of what undoes it.

After *ReluSplitter*, which makes harder verification benchmarks out of given ones: a unit relu(z) becomes two units
u = relu(p (z - t)) and v = relu(q (t - z)) with p, q > 0 in the same layer, and z = t + u / p - v / q is put together
again in an extra layer and passes its ReLU there.  Units of the layer that are not split pass that ReLU a second time.
In a convolution whole channels are split and a convolution with window 1 puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from eqverify.arrays import FloatArray, IntArray
from eqverify.network import Affine, Convolution, Dense, LinearMap, Network, Node, Port, Relu, Term
from eqverify.testing.chains import Layers, chain_network
from eqverify.testing.drawing import dyadics

_SCALES = (1.0, 2.0, 0.5, 4.0)


@dataclass(frozen=True, slots=True)
class Split:
    """How a unit, or a channel, is split.

    Attributes:
        unit: its index in the layer; of the channel where the layer is a convolution.
        threshold: t.
        up: p, positive.
        down: q, positive.
    """

    unit: int
    threshold: float
    up: float
    down: float


def split_relu(network: Network, name: str, splits: Sequence[Split], element: str = "float64") -> Network:
    """A network in which some units of a ReLU layer are split.

    Args:
        network: the pre-activation of the layer is an affine node that only the layer reads.
        name: the ReLU node; the node of that name in the result has the same value.
        splits: distinct units, or channels where the pre-activation is a single convolution.
        element: new weights are rounded to this type; for powers of two as scales nothing needs to be.

    Returns:
        A network with as many more units as were split, and one more layer.
    """
    relu = network.by_name[name]
    assert isinstance(relu, Relu)
    affine = network.by_name[relu.source]
    assert isinstance(affine, Affine)
    convolution = affine.terms[0].map if len(affine.terms) == 1 else None
    block = affine.size // convolution.kernel.shape[0] if isinstance(convolution, Convolution) else 1
    count = affine.size // block
    source = np.array([*range(count), *(split.unit for split in splits)])
    scale, shift, mix = np.ones(source.size), np.zeros(source.size), np.eye(count, source.size)
    bias = np.zeros(count)
    for index, split in enumerate(splits, start=count):
        scale[split.unit], shift[split.unit] = split.up, -split.up * split.threshold
        scale[index], shift[index] = -split.down, split.down * split.threshold
        mix[split.unit, split.unit], mix[split.unit, index] = 1 / split.up, -1 / split.down
        bias[split.unit] = split.threshold
    rows = (source[:, None] * block + np.arange(block)).reshape(-1)
    factors = np.repeat(scale, block)
    terms = tuple(
        Term(t.source, _rounded(_rescaled(t.map, source, scale, rows, factors), element)) for t in affine.terms
    )
    above = Affine(affine.name, terms, _number(factors * affine.bias[rows] + np.repeat(shift, block), element))
    together = _rounded(_mixer(convolution, mix), element)
    new: dict[str, tuple[Node, ...]] = {
        affine.name: (above,),
        name: (
            Relu(f"{name}/split", affine.name),
            Affine(f"{name}/z", (Term(f"{name}/split", together),), _number(np.repeat(bias, block), element)),
            Relu(name, f"{name}/z"),
        ),
    }
    nodes = tuple(other for node in network.nodes for other in new.get(node.name, (node,)))
    return Network(network.inputs, nodes, network.outputs)


def _rescaled(linear: LinearMap, source: IntArray, scale: FloatArray, rows: IntArray, factors: FloatArray) -> LinearMap:
    if isinstance(linear, Convolution):
        kernel = linear.kernel[source] * scale.reshape(-1, *[1] * (linear.kernel.ndim - 1))
        return replace(linear, kernel=kernel)
    return Dense(factors[:, None] * linear.dense()[rows])


def _mixer(convolution: LinearMap | None, mix: FloatArray) -> LinearMap:
    if not isinstance(convolution, Convolution):
        return Dense(mix)
    axes = len(convolution.output_extents)
    ones, zeros = (1,) * axes, (0,) * axes
    return Convolution(mix.reshape(*mix.shape, *ones), convolution.output_extents, ones, ones, zeros, zeros)


def _number(values: FloatArray, element: str) -> FloatArray:
    return values.astype(element).astype(np.float64)


def _rounded(linear: LinearMap, element: str) -> LinearMap:
    if isinstance(linear, Convolution):
        return replace(linear, kernel=_number(linear.kernel, element))
    return Dense(_number(linear.dense(), element))


@st.composite
def convolutional_networks(draw: st.DrawFn) -> Network:
    """One or two small convolutions with ReLUs, then a dense layer; all weights are dyadic float32 numbers."""
    extents = (draw(st.integers(1, 2)), draw(st.integers(2, 3)))
    channels = draw(st.integers(1, 2))
    nodes: list[Node] = []
    source, size = "X", channels * extents[0] * extents[1]
    port = Port("X", (1, channels, *extents), "float32", "X")
    for index in range(draw(st.integers(1, 2))):
        out = draw(st.integers(1, 2))
        kernel = np.array([draw(dyadics()) for _ in range(out * channels * 2)]).reshape(out, channels, 1, 2)
        linear = Convolution(kernel, extents, (1, 1), (1, 1), (0, draw(st.integers(0, 1))), (0, 1))
        bias = np.repeat([draw(dyadics()) for _ in range(out)], int(np.prod(linear.output_extents)))
        nodes += [Affine(f"z{index}", (Term(source, linear),), bias), Relu(f"h{index}", f"z{index}")]
        source, size, channels, extents = f"h{index}", bias.size, out, linear.output_extents  # type: ignore[assignment]
    outputs = draw(st.integers(1, 2))
    matrix = np.array([draw(dyadics()) for _ in range(outputs * size)]).reshape(outputs, size)
    nodes.append(Affine("y", (Term(source, Dense(matrix)),), np.zeros(outputs)))
    return Network((port,), tuple(nodes), (Port("Y", (1, outputs), "float32", "y"),))


@st.composite
def dense_networks(draw: st.DrawFn) -> Network:
    """Chains with one to three hidden layers of dyadic weights."""
    widths = [draw(st.integers(1, 3)) for _ in range(draw(st.integers(3, 5)))]
    layers: Layers = []
    for columns, rows in pairwise(widths):
        matrix = np.array([draw(dyadics()) for _ in range(rows * columns)]).reshape(rows, columns)
        layers.append((matrix, np.array([draw(dyadics()) for _ in range(rows)])))
    return chain_network(layers)


@st.composite
def split_pairs(draw: st.DrawFn, networks: st.SearchStrategy[Network]) -> tuple[Network, Network]:
    """A network, and the same with one to three of its layers split."""
    network = draw(networks)
    split = network
    for relu in draw(st.lists(st.sampled_from(network.relus), min_size=1, max_size=3, unique=True)):
        affine = network.by_name[relu.source]
        assert isinstance(affine, Affine)
        linear = affine.terms[0].map
        count = linear.kernel.shape[0] if isinstance(linear, Convolution) else affine.size
        units = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True))
        scales = st.sampled_from(_SCALES)
        splits = [Split(unit, draw(dyadics()), draw(scales), draw(scales)) for unit in units]
        split = split_relu(split, relu.name, splits)
    return network, split
