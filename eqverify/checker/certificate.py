"""From bytes to a certificate whose every number is in range for the networks it is about (specs/certificate.md).

The bytes are hostile until shown otherwise: nothing is allocated that the file does not hold, every index is compared
with the network's own sizes, floats are finite, and whatever is not expected is rejected with a code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.checker.region import Hints
from eqverify.domain import Domain, Specification
from eqverify.errors import Place, RejectedError
from eqverify.network import Affine, Network

MAGIC = b"eqverify certificate 1\n"
SMALLEST = 1e-60
"""Of multipliers that are not 0, where a bound of the zero row may rest on them."""
_COVER_ENTRIES = 1 << 24
_TYPES = {"f8": "<f8", "f4": "<f4", "i4": "<i4", "i1": "|i1"}


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows signs * z_units of a node with hints, on parts `part` to `part + count` of the domain."""

    node: str
    part: int
    count: int
    units: IntArray
    signs: FloatArray
    hints: Hints


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """Bounds of all nodes in order, with the default slopes and then with these rows."""

    rows: tuple[Rows, ...]


@dataclass(frozen=True, slots=True, eq=False)
class BoxTree:
    """Halvings of the input boxes and the signs they show: goals signs * z_units <= 0 of `nodes`."""

    parent: IntArray
    part: IntArray
    dimension: IntArray
    at: FloatArray
    children: IntArray
    nodes: tuple[str, ...]
    units: IntArray
    signs: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class SignTree:
    """Splits on unit signs that show  sign * z_unit <= 0  on one part; hints are one row per leaf."""

    node: str
    unit: int
    sign: int
    part: int
    leaves: IntArray
    fixed: Mapping[int, ByteArray]
    hints: Hints

    def sides(self, network: Network) -> dict[str, ByteArray]:
        """By pre-activation node, (tree nodes, n): the signs given there."""
        return {network.relus[index].source: side for index, side in self.fixed.items()}


@dataclass(frozen=True, slots=True)
class Solver:
    """A solver's word that  sign * z_unit <= 0  on one part."""

    node: str
    unit: int
    sign: int
    part: int


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """Halvings of the input box; what holds on the leaves that do not miss the set in question holds on it."""

    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Zero:
    """Multipliers for the zero row, which show that no input is in question."""

    hints: Hints


Step = Pass | BoxTree | SignTree | Solver | Cover | Zero


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What is claimed about the units of a ReLU node: status 0 kept, 1 inactive, 2 active; bounds; evidence."""

    status: IntArray
    lower: FloatArray
    upper: FloatArray
    evidence: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """What the units of a reduced ReLU node show: units of the original's ReLU nodes `layers`; carriers where -1."""

    layers: IntArray
    units: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """What units that are neither stable nor shown equal: 0 for kind 0, z for 1, f h' for 2, f (h' - z') for 3.

    f is the factor.  Units are given by the numbers of their ReLU nodes and their own; h' and z' are of an earlier one.
    """

    kind: IntArray
    layer: IntArray
    unit: IntArray
    other_layer: IntArray
    other_unit: IntArray
    factor: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A certificate about one problem; `layers` and `meanings` in the order of the networks' ReLU nodes."""

    claim: str
    steps: tuple[Step, ...]
    layers: tuple[Layer, ...]
    relations: Relations
    meanings: tuple[Meaning, ...]
    epsilon: FloatArray


def read_certificate(
    data: bytes, network: Network, domain: Domain, reduced: Network, files: Mapping[str, bytes]
) -> Certificate:
    """Decode and validate.

    Args:
        data: the bytes of the file.
        network, domain, reduced: what it must be about.
        files: the bytes of the files ``network``, ``property`` and ``reduced``.

    Raises:
        RejectedError: `certificate/...`.
    """
    reader = _Reader(data, network, domain)
    reader.compare(files)
    return reader.read(reduced)


def read_steps(data: bytes, network: Network, domain: Domain, assumed: int | None = None) -> tuple[Step, ...]:
    """The steps alone, of a certificate that need not claim anything.

    Args:
        data: the bytes of the file.
        network, domain: what it must be about.
        assumed: how many constraints on outputs and inputs are assumed; None where none may be.

    Raises:
        RejectedError: `certificate/...`.
    """
    return _Reader(data, network, domain, assumed).steps()


def read_disjunct(
    data: bytes, network: Network, specification: Specification, files: Mapping[str, bytes]
) -> tuple[int, int]:
    """The case and the disjunct, from 1, that a certificate claims to be unsatisfiable.

    Args:
        data: the bytes of the file.
        network, specification: what it must be about.
        files: the bytes of the files ``network`` and ``property``.

    Raises:
        RejectedError: `certificate/...`.
    """
    reader = _Reader(data, network, specification.domain)
    reader.compare(files)
    if reader.field(reader.head, "claim") != "unsat":
        _reject("claim", "a claim about a reduced network, which was not given", str(reader.head["claim"])[:40])
    case = reader.integer(reader.field(reader.head, "case"), 1, len(specification.cases))
    last = len(specification.cases[case - 1].unsafe)
    return case, reader.integer(reader.field(reader.head, "disjunct"), 1, last)


def _reject(code: str, message: str, value: object = None, node: str | None = None) -> NoReturn:
    raise RejectedError(f"certificate/{code}", message, value=value, place=Place(node=node))


class _Reader:
    def __init__(self, data: bytes, network: Network, domain: Domain, assumed: int | None = None) -> None:
        self.network, self.domain, self.assumed = network, domain, assumed
        self.parts = len(domain.polytopes)
        self.sizes = np.array([network.sizes[relu.name] for relu in network.relus] + [1])
        start = len(MAGIC) + 8
        if data[: len(MAGIC)] != MAGIC or len(data) < start:
            _reject("format", "this is no certificate of a version that is known")
        length = int.from_bytes(data[start - 8 : start], "little")
        if length > len(data) - start:
            _reject("truncated", "the head is longer than the file")
        try:
            self.head = json.loads(data[start : start + length], object_pairs_hook=_unique, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            _reject("head", "the head is not JSON without duplicates and without NaN", str(error)[:80])
        self._layout(memoryview(data)[start + length :])

    def _layout(self, body: memoryview) -> None:
        """The arrays lie one after the other and fill the file."""
        self.arrays: list[npt.NDArray[Any]] = []
        offset = 0
        for entry in self.list_of(self.field(self.head, "arrays")):
            kind, shape = (*self.list_of(entry), None, None)[:2]
            if not isinstance(kind, str) or kind not in _TYPES:
                _reject("array", "an array of an unknown type", str(kind)[:20])
            extents = [self.integer(extent, 0, len(body)) for extent in self.list_of(shape)]
            dtype, count = np.dtype(_TYPES[kind]), 1
            for extent in extents:
                count *= extent
            if len(extents) > 4 or count * dtype.itemsize > len(body) - offset:
                _reject("truncated", "an array is longer than the file", str(extents)[:40])
            array = np.frombuffer(body, dtype, count, offset).reshape(extents)
            offset += count * dtype.itemsize
            if dtype.kind == "f" and np.isnan(array).any():
                _reject("not-a-number", "a number is NaN")
            self.arrays.append(array)
        if offset != len(body):
            _reject("trailing", "the file holds more than its arrays", len(body) - offset)

    def compare(self, files: Mapping[str, bytes]) -> None:
        """Raise unless the certificate names these files."""
        digests = self.field(self.head, "digests")
        for name, content in files.items():
            if self.field(digests, name) != hashlib.sha256(content).hexdigest():
                _reject("digest", "it is about another file", name)

    def steps(self) -> tuple[Step, ...]:
        """All steps."""
        return tuple(self._step(step) for step in self.list_of(self.field(self.head, "steps")))

    def read(self, reduced: Network) -> Certificate:
        """Everything."""
        head, steps = self.head, self.steps()
        claim = self.field(head, "claim")
        if claim != "equivalent":
            _reject("claim", "an unknown claim", str(claim)[:40])
        self._boxes(self.field(head, "domain"))
        layers = self.list_of(self.field(head, "layers"))
        meanings = self.list_of(self.field(head, "map"))
        if len(layers) != len(self.network.relus) or len(meanings) != len(reduced.relus):
            _reject("layers", "not one entry per ReLU node", f"{len(layers)}, {len(meanings)}")
        found = tuple(
            self._layer(entry, self.network.sizes[relu.name])
            for entry, relu in zip(layers, self.network.relus, strict=True)
        )
        mapped = tuple(
            self._meaning(entry, reduced.sizes[relu.name]) for entry, relu in zip(meanings, reduced.relus, strict=True)
        )
        epsilon = self.floats(self.field(head, "epsilon"), (self.network.output_size,), low=0.0)
        return Certificate(claim, steps, found, self._relations(self.field(head, "relations")), mapped, epsilon)

    def _boxes(self, entry: object) -> None:
        """The domain is restated for readers; it must be that of the property."""
        shape = (self.parts, self.domain.size)
        lower, upper = (self.floats(self.field(entry, key), shape) for key in ("lower", "upper"))
        if not (np.array_equal(lower, self.domain.lower) and np.array_equal(upper, self.domain.upper)):
            _reject("domain", "the domain is not that of the property")

    def _layer(self, entry: object, size: int) -> Layer:
        status = self.integers(self.field(entry, "status"), (size,), 0, 2)
        evidence = self.integers(self.field(entry, "evidence"), (size,), 0, 4)
        lower, upper = (self.floats(self.field(entry, key), (size,), infinite=True) for key in ("lower", "upper"))
        if not ((lower <= upper).all() and ((status == 0) == (evidence == 0)).all()):
            _reject("claims", "bounds that exclude each other, or a status without evidence")
        if ((status == 1) & (upper > 0)).any() or ((status == 2) & (lower < 0)).any():
            _reject("claims", "a status that the bounds beside it do not show")
        return Layer(status, lower, upper, evidence)

    def _meaning(self, entry: object, size: int) -> Meaning:
        layers = self.integers(self.field(entry, "layers"), (size,), -1, len(self.network.relus) - 1)
        units = self.integers(self.field(entry, "units"), (size,), 0, None)
        if (units >= self.sizes[layers]).any():
            _reject("unit", "a unit outside of its layer")
        return Meaning(layers, units)

    def _relations(self, entry: object) -> Relations:
        kind = self.integers(self.field(entry, "kind"), (None,), 0, 3)
        columns = [
            self.integers(self.field(entry, key), (kind.size,), low, None)
            for key, low in (("layer", 0), ("unit", 0), ("other_layer", -1), ("other_unit", -1))
        ]
        layer, unit, other_layer, other_unit = columns
        factor = self.floats(self.field(entry, "factor"), (kind.size,))
        for layers, units, needed in ((layer, unit, kind >= 0), (other_layer, other_unit, kind >= 2)):
            if needed.any() and not (layers[needed].min() >= 0 and layers[needed].max() < len(self.network.relus)):
                _reject("unit", "a relation about a layer that is not there")
            if not ((units[needed] >= 0) & (units[needed] < self.sizes[layers[needed]])).all():
                _reject("unit", "a unit outside of its layer")
        before = (other_layer < layer) | ((other_layer == layer) & (other_unit < unit))
        if ((kind >= 2) & ~(before & (factor > 0))).any():
            _reject("relation", "a relation to a later unit, or with a factor that is not positive")
        if len({*zip(layer.tolist(), unit.tolist(), strict=True)}) != kind.size:
            _reject("duplicate", "two relations about one unit")
        return Relations(kind, layer, unit, other_layer, other_unit, factor)

    def _step(self, step: object) -> Step:
        kinds: dict[object, Callable[[object], Step]] = {
            "pass": self._pass, "box-tree": self._box_tree, "sign-tree": self._sign_tree, "solver": self._solver,
        }  # fmt: skip
        if self.assumed is not None:
            kinds |= {"cover": self._cover, "zero": self._zero}
        kind = self.field(step, "kind")
        if not isinstance(kind, str) or kind not in kinds:
            _reject("step", "an unknown kind of step", str(kind)[:40])
        return kinds[kind](step)

    def _pass(self, step: object) -> Pass:
        return Pass(tuple(self._rows(entry) for entry in self.list_of(self.field(step, "rows"))))

    def _rows(self, entry: object) -> Rows:
        node, size = self._target(entry)
        part = self.integer(self.field(entry, "part"), 0, self.parts - 1)
        count = self.integer(self.field(entry, "count"), 1, self.parts - part)
        units = self.integers(self.field(entry, "units"), (None,), 0, size - 1)
        signs = self._signs(self.field(entry, "signs"), units.size)
        hints = self._hints(entry, (count, units.size), 0 if count > 1 else self.domain.polytopes[part].bound.size)
        return Rows(node, part, count, units, signs.astype(np.float64), hints)

    def _target(self, entry: object) -> tuple[str, int]:
        """The affine node before a ReLU node given by number, and its size."""
        relu = self.network.relus[self.integer(self.field(entry, "node"), 0, len(self.network.relus) - 1)]
        if not isinstance(self.network.by_name.get(relu.source), Affine):
            _reject("target", "only affine nodes have bounds of their own", node=relu.name)
        return relu.source, self.network.sizes[relu.source]

    def _hints(self, entry: object, shape: tuple[int, int], constraints: int) -> Hints:
        slopes: list[dict[str, tuple[IntArray, FloatArray]]] = []
        for key in ("alpha", "lam", "tau"):
            found: dict[str, tuple[IntArray, FloatArray]] = {}
            for item in self.list_of(self.field(entry, key)):
                index, columns, values = (*self.list_of(item), None, None, None)[:3]
                relu = self.network.relus[self.integer(index, 0, len(self.network.relus) - 1)]
                chosen = self.integers(columns, (None,), 0, self.network.sizes[relu.name] - 1)
                name = relu.source if key == "tau" else relu.name
                low = -np.inf if key == "tau" else 0.0
                if name in found or np.unique(chosen).size != chosen.size:
                    _reject("duplicate", "two entries for one unit", node=relu.name)
                found[name] = chosen, self.floats(values, (*shape, chosen.size), low=low)
            slopes.append(found)
        alpha, lam, tau = slopes
        mu, nu = (self.field(entry, key) for key in ("mu", "nu"))
        if self.assumed is None and nu is not None:
            _reject("multipliers", "multipliers on an output condition that is not assumed")
        on_inputs = None if mu is None else self.floats(mu, (*shape, constraints), low=0.0)
        on_outputs = None if nu is None else self.floats(nu, (*shape, self.assumed), low=0.0)
        _require_normal(on_inputs, on_outputs, *(values for _, values in tau.values()))
        return Hints(alpha, lam, tau, on_inputs, on_outputs)

    def _zero(self, step: object) -> Zero:
        return Zero(self._hints(step, (1, 1), self.domain.polytopes[0].bound.size))

    def _cover(self, step: object) -> Cover:
        """The leaves of a tree of boxes over the one part that there is."""
        parent = self.integers(self.field(step, "parent"), (None,), -1, None)
        count = parent.size
        side = self.integers(self.field(step, "side"), (count,), 0, 1)
        dimension = self.integers(self.field(step, "dimension"), (count,), -1, self.domain.size - 1)
        at = self.floats(self.field(step, "at"), (count,))
        _children(parent, side, dimension >= 0)
        if (parent < 0).sum() != 1:
            _reject("tree", "not one root")
        if count * self.domain.size > _COVER_ENTRIES:
            _reject("tree", "more boxes than are looked at", count)
        lower, upper = (np.repeat(bound[:1], count, axis=0) for bound in (self.domain.lower, self.domain.upper))
        for node in range(1, count):
            up, cut = parent[node], dimension[parent[node]]
            lower[node], upper[node] = lower[up], upper[up]
            if not lower[up, cut] <= at[up] <= upper[up, cut]:
                _reject("tree", "a box is split outside of itself")
            (upper if side[node] == 0 else lower)[node, cut] = at[up]
        return Cover(lower[dimension < 0], upper[dimension < 0])

    def _box_tree(self, step: object) -> BoxTree:
        parent = self.integers(self.field(step, "parent"), (None,), -1, None)
        count = parent.size
        side = self.integers(self.field(step, "side"), (count,), 0, 1)
        part = self.integers(self.field(step, "part"), (count,), 0, self.parts - 1)
        dimension = self.integers(self.field(step, "dimension"), (count,), -1, self.domain.size - 1)
        at = self.floats(self.field(step, "at"), (count,))
        children = _children(parent, side, dimension >= 0)
        indices = self.integers(self.field(step, "nodes"), (None,), 0, len(self.network.relus) - 1)
        units = self.integers(self.field(step, "units"), (indices.size,), 0, None)
        signs = self._signs(self.field(step, "signs"), indices.size)
        targets = [self._target({"node": int(index)}) for index in indices]
        if not indices.size or (units >= [size for _, size in targets]).any():
            _reject("goals", "a tree without goals, or a goal outside of its layer")
        return BoxTree(parent, part, dimension, at, children, tuple(name for name, _ in targets), units, signs)

    def _sign_tree(self, step: object) -> SignTree:
        word = self._solver(step)
        parent = self.integers(self.field(step, "parent"), (None,), -1, None)
        count = parent.size
        side = self.integers(self.field(step, "side"), (count,), 0, 1)
        relu = self.integers(self.field(step, "relu"), (count,), -1, len(self.network.relus) - 1)
        split = self.integers(self.field(step, "split"), (count,), 0, None)
        _children(parent, side, relu >= 0)
        if (split >= self.sizes[relu]).any() or (parent < 0).sum() != 1:
            _reject("tree", "a split outside of its layer, or not one root")
        fixed = {int(i): np.zeros((count, self.sizes[i]), dtype=np.int8) for i in np.unique(relu[relu >= 0])}
        for node in range(1, count):
            up = parent[node]
            for signs in fixed.values():
                signs[node] = signs[up]
            fixed[int(relu[up])][node, split[up]] = 2 * side[node] - 1
        leaves = np.flatnonzero(relu < 0)
        constraints = self.domain.polytopes[word.part].bound.size
        hints = self._hints(step, (leaves.size, 1), constraints)
        return SignTree(word.node, word.unit, word.sign, word.part, leaves, fixed, hints)

    def _solver(self, step: object) -> Solver:
        node, size = self._target(step)
        unit = self.integer(self.field(step, "unit"), 0, size - 1)
        sign = self.integer(self.field(step, "sign"), -1, 1)
        if not sign:
            _reject("sign", "a sign is 1 or -1")
        return Solver(node, unit, sign, self.integer(self.field(step, "part"), 0, self.parts - 1))

    def _signs(self, index: object, count: int) -> IntArray:
        signs = self.integers(index, (count,), -1, 1)
        if not signs.all():
            _reject("sign", "a sign is 1 or -1")
        return signs

    def field(self, entry: object, key: str) -> Any:
        """A field that must be there."""
        if not isinstance(entry, dict) or key not in entry:
            _reject("field", "a field is missing", key)
        return entry[key]

    def list_of(self, value: object) -> list[Any]:
        """A list."""
        if not isinstance(value, list):
            _reject("type", "a list is expected", str(value)[:40])
        return value

    def integer(self, value: object, low: int, high: int) -> int:
        """An integer in a range."""
        if type(value) is not int or not low <= value <= high:
            _reject("range", f"an integer from {low} to {high} is expected", str(value)[:40])
        return value

    def integers(self, index: object, shape: tuple[int | None, ...], low: int, high: int | None) -> IntArray:
        """An array of integers in a range."""
        array = self._array(index, "i", shape)
        if array.size and (array.min() < low or (high is not None and array.max() > high)):
            _reject("range", f"an integer is not from {low} to {high}", int(array.min()))
        return array.astype(np.int64)

    def floats(
        self, index: object, shape: tuple[int | None, ...], *, low: float = -np.inf, infinite: bool = False
    ) -> FloatArray:
        """An array of floats, finite unless said otherwise."""
        array = self._array(index, "f", shape)
        if not infinite and not np.isfinite(array).all():
            _reject("not-finite", "a number is infinite")
        if (array < low).any():
            _reject("negative", "a number is negative that must not be")
        return array.astype(np.float64)

    def _array(self, index: object, kind: str, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
        array = self.arrays[self.integer(index, 0, len(self.arrays) - 1)]
        fits = array.ndim == len(shape) and all(w is None or w == n for w, n in zip(shape, array.shape, strict=True))
        if array.dtype.kind != kind or not fits:
            _reject("shape", "an array of another type or shape", f"{array.dtype} {array.shape} for {kind} {shape}")
        return array


def _require_normal(*multipliers: FloatArray | None) -> None:
    """The zero row may be scaled at will: where it is so small that products underflow, error bounds mean nothing."""
    for values in multipliers:
        if values is not None and ((values != 0) & (np.abs(values) < SMALLEST)).any():
            _reject("tiny", "a multiplier is so small that products with it could underflow")


def _children(parent: IntArray, side: IntArray, inner: BoolArray) -> IntArray:
    """(k, 2) the children of each tree node; inner nodes have both, leaves none, parents come first."""
    count = parent.size
    children = np.full((count, 2), -1, dtype=np.int64)
    below = np.flatnonzero(parent >= 0)
    if not count or (parent >= np.arange(count)).any():
        _reject("tree", "an empty tree, or a parent behind its child")
    slots = 2 * parent[below] + side[below]
    if np.unique(slots).size != slots.size:
        _reject("duplicate", "two children on one side")
    children[parent[below], side[below]] = below
    if ((children >= 0) != inner[:, None]).any():
        _reject("tree", "a split without both halves, or a leaf with children")
    return children


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)
