"""The intermediate representation: a DAG of affine, ReLU and smooth nodes over the real numbers.

Weights are the stored floats, read as exact dyadic rationals.  Nodes are keyed by unique names
and stand in topological order; a node reads only what stands before it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from eqverify.arrays import FloatArray, IntArray, frozen
from eqverify.errors import InputError, Place
from eqverify.functions import Function
from eqverify.network.linear import LinearMap

_DIGESTED = 1 << 16
"""Numbers that a digest takes at a time."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the network as its file declares it.

    Attributes:
        name: tensor name in the file.
        shape: declared extents; a string is a symbolic batch dimension, which counts as 1.
        element: ``float32`` or ``float64``.
        source: for outputs, the node (or input) that gives its value; for inputs the name itself.
    """

    name: str
    shape: tuple[int | str, ...]
    element: str
    source: str

    @property
    def size(self) -> int:
        """Number of components of one sample."""
        return math.prod(extent for extent in self.shape if isinstance(extent, int))


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of an affine node: `map` applied to the value of node (or input) `source`."""

    source: str
    map: LinearMap


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """The node  z = sum_k map_k(source_k) + bias.

    Attributes:
        name: unique key.
        terms: summands; none for a constant node.  Several may read one source.
        bias: (out,) float64.
    """

    name: str
    terms: tuple[Term, ...]
    bias: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", frozen(self.bias))
        if self.bias.ndim != 1:
            raise InputError("network/shape", "a bias is a vector", place=Place(node=self.name), value=self.bias.shape)

    @property
    def size(self) -> int:
        """Number of components."""
        return int(self.bias.size)

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes it reads."""
        return tuple(term.source for term in self.terms)


@dataclass(frozen=True, slots=True, eq=False)
class Relu:
    """The node  h = max(0, source), component by component."""

    name: str
    source: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes it reads."""
        return (self.source,)


@dataclass(frozen=True, slots=True, eq=False)
class Smooth:
    """The node  h = function(argument), component by component, for a function that is not piecewise linear.

    Its source is not called that, so that nobody takes it for a ReLU.
    """

    name: str
    argument: str
    function: Function

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes it reads."""
        return (self.argument,)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """The node  h = left * right, component by component."""

    name: str
    left: str
    right: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes it reads."""
        return (self.left, self.right)


PlainNode = Affine | Relu
"""A piecewise linear node."""

Curved = Smooth | Product
"""A node that is not piecewise linear."""

Node = PlainNode | Curved


def meaning(node: Curved) -> str:
    """What a node computes, for people."""
    return node.function.name if isinstance(node, Smooth) else "a product of two values"


@dataclass(frozen=True, slots=True)
class Rounding:
    """Inputs that are no inputs of the model: what a rounding of `source` adds to it (Q-1 in `specs/quantised.md`).

    Attributes:
        source: the input or node z that is rounded; what reads z + e has the rounded number.
        port: the input or node that has the value e, of the size of z.
        start: where e begins in the flat input vector.
        element: to what is rounded: ``integer``, ``float16``, ``float32``; ``steps``: to multiples of a 255th of the
            range of all of z and 0.  Ties to even; ``up`` and ``down``: to an integer, with ties to the larger and the
            smaller one.
        least: up to how far a run's rounding is off in any case (an integer by 1/2 and what its quotient is off).
    """

    source: str
    port: str
    start: int
    element: str
    least: float


@dataclass(frozen=True, eq=False)
class Network:
    """A network: inputs, nodes in topological order, outputs.

    >>> import eqverify as eq
    >>> network = eq.load_network(eq.example_files().network)
    >>> network.input_size, network.relu_count, network.output_size
    (64, 120, 10)
    >>> network([0.0] * 64).shape
    (10,)

    The flat input vector x is the inputs one after the other, each in row-major order; likewise the output.

    Attributes:
        inputs: at least one.
        nodes: topologically ordered, names unique (also against inputs).
        outputs: at least one.
        roundings: what the last inputs stand for, where the model rounds: at an input of the model, these are not free.

    Raises:
        InputError: `network/...` where an invariant does not hold; the place names the node.
    """

    inputs: tuple[Port, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Port, ...]
    roundings: tuple[Rounding, ...] = ()

    def __post_init__(self) -> None:
        check_invariants(self)

    def __call__(self, x: ArrayLike) -> FloatArray:
        """Outputs (..., output_size) at inputs (..., input_size), in float64: what it computes up to rounding.

        Raises:
            InputError: `network/arity`.
        """
        from eqverify.network.evaluate import evaluate

        return evaluate(self, np.asarray(x, dtype=np.float64))

    def __repr__(self) -> str:
        units = f"{self.relu_count} ReLUs in {len(self.relus)} layers"
        sizes = f"{self.input_size} inputs, {units}, {self.output_size} outputs"
        return f"<Network: {sizes}, {self.parameter_count} weights>"

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of components of every input and node."""
        sizes = {port.name: port.size for port in self.inputs}
        for node in self.nodes:
            sizes[node.name] = node.size if isinstance(node, Affine) else sizes[node.sources[0]]
        return sizes

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def relus(self) -> tuple[Relu, ...]:
        """The ReLU nodes: the layers that reports list."""
        return tuple(node for node in self.nodes if isinstance(node, Relu))

    @cached_property
    def smooth(self) -> tuple[Curved, ...]:
        """The nodes that are not piecewise linear."""
        return tuple(node for node in self.nodes if isinstance(node, Curved))

    @property
    def plain_nodes(self) -> tuple[PlainNode, ...]:
        """The nodes, for who can deal with piecewise linear ones only.

        Raises:
            InputError: `network/smooth`.
        """
        require_piecewise_linear(self, "this")
        return tuple(node for node in self.nodes if not isinstance(node, Curved))

    @property
    def input_size(self) -> int:
        """Length of the flat input vector."""
        return sum(port.size for port in self.inputs)

    @property
    def own_size(self) -> int:
        """How many inputs are those of the model: the first ones."""
        return min((rounding.start for rounding in self.roundings), default=self.input_size)

    @property
    def output_size(self) -> int:
        """Length of the flat output vector."""
        return sum(port.size for port in self.outputs)

    @property
    def element(self) -> str:
        """The type of a run's numbers: the least precise one of inputs, outputs and casts."""
        elements = {port.element for port in (*self.inputs, *self.outputs)} | {r.element for r in self.roundings}
        return next((element for element in ("float16", "float32") if element in elements), "float64")

    @property
    def relu_count(self) -> int:
        """Number of ReLU units."""
        return sum(self.sizes[node.name] for node in self.relus)

    @cached_property
    def parameter_count(self) -> int:
        """Number of stored weights and biases of the affine nodes; identities and selections are free."""
        count = 0
        for node in self.nodes:
            if isinstance(node, Affine):
                count += node.bias.size
                count += sum(a.size for t in node.terms for a in t.map.parameters() if a.dtype == np.float64)
        return count

    @cached_property
    def products(self) -> int:
        """Number of products that an evaluation takes, at most."""
        affine = [node for node in self.nodes if isinstance(node, Affine)]
        return sum(term.map.fan_in * node.size for node in affine for term in node.terms)

    def until(self, *names: str) -> Network:
        """The network that ends at nodes of these names, which are its outputs: only what they read."""
        nodes = needed_nodes(self.nodes, names)
        ports = tuple(Port(name, (self.sizes[name],), "float64", name) for name in names)
        return Network(self.inputs, nodes, ports)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over structure and exact parameters.  Ports' names and shapes count, file formats do not."""
        state = hashlib.sha256(b"eqverify-network-1")
        for port in (*self.inputs, *self.outputs):
            state.update(repr((port.name, port.shape, port.element, port.source)).encode())
        for node in self.nodes:
            state.update(repr((type(node).__name__, node.name, node.sources)).encode())
            if isinstance(node, Affine):
                _digest_affine(state, node)
            elif isinstance(node, Smooth):
                state.update(repr(node.function).encode())
        return state.hexdigest()


def require_piecewise_linear(network: Network, what: str) -> None:
    """Raise for a network with smooth nodes, where these cannot be dealt with.

    Args:
        network: the network.
        what: is not possible.

    Raises:
        InputError: `network/smooth`.
    """
    if network.smooth:
        names = dict.fromkeys(map(meaning, network.smooth))
        raise InputError(
            "network/smooth",
            f"{what} is for piecewise linear networks only",
            place=Place(node=network.smooth[0].name),
            value=", ".join(names),
            hint="read the file without smooth nodes: it is then cut before them",
        )


def needed_nodes(nodes: Sequence[Node], names: Iterable[str]) -> tuple[Node, ...]:
    """Those of some nodes in topological order that nodes of these names need, themselves among them."""
    wanted, found = set(names), []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.sources)
            found.append(node)
    return tuple(reversed(found))


def _digest_affine(state: hashlib._Hash, node: Affine) -> None:
    _digest_array(state, node.bias)
    for term in node.terms:
        state.update(repr((type(term.map).__name__, term.map.shape)).encode())
        for array in term.map.parameters():
            _digest_array(state, array)


def _digest_array(state: hashlib._Hash, array: FloatArray | IntArray) -> None:
    """Shape and numbers, little-endian and without -0; piece by piece, since a copy of a large matrix takes long."""
    state.update(repr(array.shape).encode())
    flat = array.reshape(-1)
    for start in range(0, flat.size, _DIGESTED):
        state.update((flat[start : start + _DIGESTED] + 0).astype(array.dtype.newbyteorder("<")).tobytes())


def check_invariants(network: Network) -> None:
    """Raise `InputError` unless names are unique, sources precede, sizes agree and numbers are finite."""
    sizes = _check_inputs(network)
    for node in network.nodes:
        if node.name in sizes:
            raise InputError("network/duplicate-name", "two nodes have one name", place=Place(node=node.name))
        missing = [source for source in node.sources if source not in sizes]
        if missing:
            raise InputError(
                "network/order",
                "a node reads a value that is not computed before it",
                place=Place(node=node.name),
                value=missing[0],
            )
        if isinstance(node, Affine):
            _check_affine(node, sizes)
        elif len({sizes[source] for source in node.sources}) > 1:
            raise InputError("network/shape", "the factors of a product differ in size", place=Place(node=node.name))
        sizes[node.name] = node.size if isinstance(node, Affine) else sizes[node.sources[0]]
    _check_outputs(network, sizes)


def _check_inputs(network: Network) -> dict[str, int]:
    """The sizes of the inputs, by name."""
    if not network.inputs or not network.outputs:
        raise InputError("network/ports", "a network needs at least one input and one output")
    sizes: dict[str, int] = {}
    for port in network.inputs:
        _check_extents(port)
        if port.source != port.name:
            raise InputError("network/ports", "an input shows itself", place=Place(node=port.name), value=port.source)
        if port.name in sizes:
            raise InputError("network/duplicate-name", "two inputs have one name", place=Place(node=port.name))
        sizes[port.name] = port.size
    return sizes


def _check_outputs(network: Network, sizes: dict[str, int]) -> None:
    if len({port.name for port in network.outputs}) != len(network.outputs):
        raise InputError("network/duplicate-name", "two outputs have one name")
    for port in network.outputs:
        _check_extents(port)
        if sizes.get(port.source) != port.size:
            raise InputError(
                "network/shape",
                "an output's declared shape does not fit the value it shows",
                place=Place(node=port.name),
                value=f"{port.shape} for {sizes.get(port.source)} components",
            )


def _check_extents(port: Port) -> None:
    if any(isinstance(extent, int) and extent < 1 for extent in port.shape):
        raise InputError("network/shape", "an extent below 1", place=Place(node=port.name), value=port.shape)


def _check_affine(node: Affine, sizes: dict[str, int]) -> None:
    for term in node.terms:
        if term.map.shape != (node.size, sizes[term.source]):
            raise InputError(
                "network/shape",
                "a linear map does not fit its node and source",
                place=Place(node=node.name),
                value=f"{term.map.shape} between {sizes[term.source]} and {node.size} components",
            )
    arrays = [node.bias, *(array for term in node.terms for array in term.map.parameters())]
    for array in arrays:
        if not np.isfinite(array).all():
            first = int(np.flatnonzero(~np.isfinite(array))[0])
            raise InputError(
                "network/not-finite",
                "a weight is not a finite number",
                place=Place(node=node.name),
                value=f"{array.ravel()[first]} at flat index {first}",
                hint="the network was exported from a diverged training run, or is damaged",
            )
