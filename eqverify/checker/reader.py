"""Fields of a certificate, each validated where it is read (specs/certificate.md).

The bytes are hostile until shown otherwise: nothing is allocated that the file does not hold, every index is compared
with the network's own sizes, floats are finite, and whatever is not expected is rejected with a code.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from eqverify.arrays import FloatArray, IntArray
from eqverify.checker.region import Hints
from eqverify.errors import Place, RejectedError
from eqverify.files import contents
from eqverify.network import Network, Relu

MAGIC = b"eqverify certificate 1\n"
SMALLEST = 1e-60
"""Of multipliers that are not 0: a row may be scaled at will, and where products underflow, errors are not bounded."""

_MOST_UNPACKED = 1 << 31
"""Bytes of a file that digests are of."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,4})?|-?[0-9]+/[0-9]+")
_DIGITS = 4_000

Shape = tuple[int | None, ...]
"""Of an array; None for any extent."""

_TYPES = {"f8": "<f8", "f4": "<f4", "i4": "<i4", "i1": "|i1"}


def reject(code: str, message: str, value: object = None, node: str | None = None) -> NoReturn:
    """Raise.

    Raises:
        RejectedError: `certificate/CODE`.
    """
    raise RejectedError(f"certificate/{code}", message, value=value, place=Place(node=node))


class Reader:
    """The head, and the arrays that it refers to by number.

    Args:
        data: the bytes of the file.
        network: what it is about.

    Raises:
        RejectedError: `certificate/...`, as all methods do.
    """

    def __init__(self, data: bytes, network: Network) -> None:
        self.network = network
        start = len(MAGIC) + 8
        if data[: len(MAGIC)] != MAGIC or len(data) < start:
            reject("format", "this is no certificate of a version that is known")
        length = int.from_bytes(data[start - 8 : start], "little")
        if length > len(data) - start:
            reject("truncated", "the head is longer than the file")
        try:
            self.head = json.loads(data[start : start + length], object_pairs_hook=_unique, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            reject("head", "the head is not JSON without duplicates and without NaN", str(error)[:80])
        self._layout(memoryview(data)[start + length :])

    def _layout(self, body: memoryview) -> None:
        """The arrays lie one after the other and fill the file."""
        self.arrays: list[npt.NDArray[Any]] = []
        offset = 0
        for entry in self.items(self.head, "arrays"):
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], list):
                reject("type", "a type and a list of extents are expected", str(entry)[:40])
            if not isinstance(entry[0], str) or entry[0] not in _TYPES:
                reject("array", "an array of an unknown type", str(entry[0])[:20])
            dtype, extents, count = np.dtype(_TYPES[entry[0]]), entry[1], 1
            for extent in extents:
                count *= self.integer({"": extent}, "", 0, len(body))
            if len(extents) > 4 or count * dtype.itemsize > len(body) - offset:
                reject("truncated", "an array is longer than the file", str(extents)[:40])
            array = np.frombuffer(body, dtype, count, offset).reshape(extents)
            offset += count * dtype.itemsize
            if dtype.kind == "f" and np.isnan(array).any():
                reject("not-a-number", "a number is NaN")
            self.arrays.append(array)
        if offset != len(body):
            reject("trailing", "the file holds more than its arrays", len(body) - offset)

    def about(self, network: Network) -> Reader:
        """The same file, read as about another network."""
        other = copy.copy(self)
        other.network = network
        return other

    def compare(self, files: Mapping[str, bytes]) -> None:
        """Raise unless the certificate names what these files hold, packed or not."""
        for name, content in files.items():
            digest = hashlib.sha256(contents(content, _MOST_UNPACKED)).hexdigest()
            if self.field(self.field(self.head, "digests"), name) != digest:
                reject("digest", "it is about another file", name)

    def field(self, entry: object, key: str | int) -> Any:
        """A field that must be there."""
        if isinstance(entry, dict) and key in entry:
            return entry[key]
        if isinstance(entry, list) and isinstance(key, int) and key < len(entry):
            return entry[key]
        reject("field", "a field is missing", key)

    def items(self, entry: object, key: str | int) -> list[Any]:
        """A list."""
        value = self.field(entry, key)
        if not isinstance(value, list):
            reject("type", "a list is expected", str(value)[:40])
        return value

    def integer(self, entry: object, key: str | int, low: int, high: int) -> int:
        """An integer in a range."""
        value = self.field(entry, key)
        if type(value) is not int or not low <= value <= high:
            reject("range", f"an integer from {low} to {high} is expected", str(value)[:40])
        return value

    def integers(self, entry: object, key: str | int, count: int | None, low: int, high: int) -> IntArray:
        """A list (count,) of integers in a range, of any length for None."""
        array = self._array(entry, key, "i", (count,))
        if array.size and (array.min() < low or array.max() > high):
            reject("range", f"an integer is not from {low} to {high}", int(array.min()))
        return array.astype(np.int64)

    def floats(
        self, entry: object, key: str | int, shape: Shape, low: float = -np.inf, *, infinite: bool = False
    ) -> FloatArray:
        """An array of floats, of any extent for None, finite unless said otherwise."""
        array = self._array(entry, key, "f", shape)
        if not infinite and not np.isfinite(array).all():
            reject("not-finite", "a number is infinite")
        if (array < low).any():
            reject("negative", "a number is negative that must not be")
        return array.astype(np.float64)

    def rationals(self, entry: object, key: str | int, count: int) -> list[Fraction]:
        """Numbers that are written as decimals or as p/q."""
        texts = self.items(entry, key)
        if len(texts) != count:
            reject("shape", f"{count} numbers are expected", len(texts))
        for text in texts:
            if not isinstance(text, str) or len(text) > _DIGITS or not _NUMBER.fullmatch(text):
                reject("number", "a number is written as a decimal or as p/q", str(text)[:40])
        try:
            return [Fraction(text) for text in texts]
        except (ZeroDivisionError, ValueError):
            reject("number", "a number is written as a decimal or as p/q")

    def _array(self, entry: object, key: str | int, kind: str, shape: Shape) -> npt.NDArray[Any]:
        array = self.arrays[self.integer(entry, key, 0, len(self.arrays) - 1)]
        fits = array.ndim == len(shape) and all(w is None or w == n for w, n in zip(shape, array.shape, strict=True))
        if array.dtype.kind != kind or not fits:
            reject("shape", "an array of another type or shape", f"{array.dtype} {array.shape} for {kind} {shape}")
        return array

    def relu(self, entry: object, key: str | int) -> Relu:
        """A ReLU node by its number."""
        return self.network.relus[self.integer(entry, key, 0, len(self.network.relus) - 1)]

    def target(self, entry: object) -> str:
        """The affine node or input before a ReLU node given by number."""
        relu = self.relu(entry, "node")
        if isinstance(self.network.by_name.get(relu.source), Relu):
            reject("target", "only affine nodes and inputs have bounds of their own", node=relu.name)
        return relu.source

    def signs(self, entry: object, key: str, count: int) -> FloatArray:
        """(count,) 1 or -1."""
        signs = self.integers(entry, key, count, -1, 1)
        if not signs.all():
            reject("sign", "a sign is 1 or -1")
        return signs.astype(np.float64)

    def units(self, entry: object, key: str | int, layers: IntArray) -> IntArray:
        """Units of these layers, one of each; 0 where a layer is -1."""
        sizes = np.array([*(self.network.sizes[relu.name] for relu in self.network.relus), 1])
        units = self.integers(entry, key, layers.size, 0, 2**31)
        if (units >= sizes[layers]).any():
            reject("unit", "a unit outside of its layer")
        return units

    def hints(self, entry: object, shape: tuple[int, int], constraints: int) -> Hints:
        """Slopes and multipliers for rows, (boxes, rows, columns) each."""
        slopes: list[dict[str, tuple[IntArray, FloatArray]]] = []
        for key in ("alpha", "lam", "tau"):
            found: dict[str, tuple[IntArray, FloatArray]] = {}
            for item in self.items(entry, key):
                relu = self.relu(item, 0)
                columns = self.integers(item, 1, None, 0, self.network.sizes[relu.name] - 1)
                name, low = (relu.source, -np.inf) if key == "tau" else (relu.name, 0.0)
                if name in found or np.unique(columns).size != columns.size:
                    reject("duplicate", "two entries for one unit", node=relu.name)
                found[name] = columns, self.floats(item, 2, (*shape, columns.size), low)
            slopes.append(found)
        mu = None if self.field(entry, "mu") is None else self.multipliers(entry, "mu", (*shape, constraints))
        for _, values in slopes[2].values():
            _require_size(values)
        return Hints(slopes[0], slopes[1], slopes[2], mu)

    def multipliers(self, entry: object, key: str, shape: Shape) -> FloatArray:
        """Multipliers on constraints, none of them negative (K-9)."""
        mu = self.floats(entry, key, shape, 0.0)
        _require_size(mu)
        return mu

    def tree(self, entry: object, key: str, high: int) -> tuple[IntArray, IntArray, IntArray]:
        """Parents, sides, and what inner nodes split, from 0 to `high`, -1 for leaves; parents come first."""
        parent = self.integers(entry, "parent", None, -1, 2**31)
        count = parent.size
        side, split = self.integers(entry, "side", count, 0, 1), self.integers(entry, key, count, -1, high)
        if not count or (parent >= np.arange(count)).any():
            reject("tree", "an empty tree, or a parent behind its child")
        below = parent >= 0
        children = np.bincount(2 * parent[below] + side[below], minlength=2 * count).reshape(count, 2)
        if (children > 1).any():
            reject("duplicate", "two children on one side")
        if ((children == 1) != (split >= 0)[:, None]).any():
            reject("tree", "a split without both halves, or a leaf with children")
        return parent, side, split


def _require_size(multipliers: FloatArray) -> None:
    if ((multipliers != 0) & (np.abs(multipliers) < SMALLEST)).any():
        reject("tiny", "a multiplier is so small that products with it could underflow")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)
