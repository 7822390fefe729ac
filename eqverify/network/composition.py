"""Rows, columns and products of linear maps, in the structure they have where that is possible."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.errors import InputError
from eqverify.network.convolution import Convolution, TransposedConvolution
from eqverify.network.evaluate import UNDERFLOW, gamma
from eqverify.network.gathering import ScaledSelection
from eqverify.network.linear import Dense, Diagonal, Identity, LinearMap, Selection
from eqverify.network.sparse import Sparse

MAX_ENTRIES = 1 << 25
"""Entries of a matrix that a composition may build (256 MB)."""


def select_rows(linear: LinearMap, rows: IntArray) -> LinearMap:
    """The map of some output components; exact.

    Args:
        linear: (out, in).
        rows: (n,) in [0, out), in any order, repetitions allowed.

    Returns:
        (n, in).  A convolution stays one where whole channels are chosen, each once or more, in groups' order.

    Raises:
        InputError: `network/index`; `network/inexact` for quotients that are no float64.
    """
    rows = _checked(rows, linear.shape[0])
    if isinstance(linear, Dense):
        return Dense(linear.matrix[rows])
    if (
        isinstance(linear, Convolution)
        and (channels := _whole_channels(linear.kernel.shape[0], linear, rows)) is not None
    ):
        return replace(linear, kernel=linear.kernel[channels])
    if isinstance(linear, TransposedConvolution):
        return _transpose(select_columns(linear.convolution, rows)) if _distinct(rows) else _sparse_rows(linear, rows)
    if (simple := _as_selection(linear)) is not None:
        if linear.copies:
            return Selection(simple.indices[rows], simple.size)
        return ScaledSelection(simple.indices[rows], simple.scale[rows], simple.size)
    return _sparse_rows(linear, rows)


def select_columns(linear: LinearMap, columns: IntArray) -> LinearMap:
    """The map restricted to some input components, the others being zero; exact.

    Args:
        linear: (out, in).
        columns: (n,) in [0, in), distinct, in any order.

    Returns:
        (out, n).

    Raises:
        InputError: `network/index`; `network/inexact` for quotients that are no float64.
    """
    columns = _checked(columns, linear.shape[1])
    if not _distinct(columns):
        raise InputError("network/index", "a column is chosen twice")
    if isinstance(linear, Dense):
        return Dense(linear.matrix[:, columns])
    if isinstance(linear, Convolution) and linear.groups == 1:
        size = math.prod(linear.extents)
        if (channels := _blocks(columns, size)) is not None:
            return replace(linear, kernel=linear.kernel[:, channels])
    place = np.full(linear.shape[1], -1, dtype=np.int64)
    place[columns] = np.arange(columns.size)
    if columns.size and (simple := _as_selection(linear)) is not None:
        read = place[simple.indices]
        return ScaledSelection(np.maximum(read, 0), np.where(read >= 0, simple.scale, 0.0), columns.size)
    matrix = as_sparse(linear)
    kept = place[matrix.indices] >= 0
    entries = (matrix.rows[kept], place[matrix.indices[kept]], matrix.data[kept])
    return Sparse.from_entries(*entries, (linear.shape[0], columns.size))


@dataclass(frozen=True, slots=True, eq=False)
class Composition:
    """The product of two maps, and how far it is from the exact one.

    Attributes:
        map: the product as computed, (out, in).
        outer: (out, middle).
        inner: (middle, in).
        factor: |map - outer inner| <= factor |outer| |inner|, entry by entry, up to underflow; 0: no rounding.
    """

    map: LinearMap
    outer: LinearMap
    inner: LinearMap
    factor: float

    @property
    def exact(self) -> bool:
        """Whether the product is exact."""
        return self.factor == 0.0

    def deviation(self, magnitude: FloatArray) -> FloatArray:
        """A bound on |map x - outer inner x| in exact arithmetic, for |x| <= magnitude; no matrix is built.

        Args:
            magnitude: (..., in), not negative.

        Returns:
            (..., out); exactly 0 where nothing was rounded.
        """
        if self.exact:
            return np.zeros((*magnitude.shape[:-1], self.outer.shape[0]))
        reach = self.outer.absolute().forward(self.inner.absolute().forward(magnitude))
        slack = gamma(self.outer.fan_in + self.inner.fan_in + 8)
        lost = UNDERFLOW * (1.0 + magnitude.sum(axis=-1, keepdims=True))
        return np.asarray(self.factor * reach * (1.0 + 4 * slack) + lost)


def _too_large(message: str, entries: int) -> InputError:
    """The error for a matrix of so many entries."""
    hint = "--shape structured keeps the maps that there are"
    return InputError("network/too-large", message, value=f"{entries} entries, {MAX_ENTRIES} allowed", hint=hint)


def compose(outer: LinearMap, inner: LinearMap) -> Composition:
    """x -> outer(inner(x)).

    Identities and selections keep the structure of the other map and are exact.  Products with a dense map are dense,
    all others sparse; they are exact where all entries are small multiples of one power of two, and rounded otherwise.

    Raises:
        InputError: `network/shape` where they do not fit, `network/too-large` where the product would be.
    """
    if outer.shape[1] != inner.shape[0]:
        raise InputError("network/shape", "the maps do not fit together", value=f"{outer.shape} after {inner.shape}")
    if (kept := _structured(outer, inner)) is not None:
        return Composition(kept, outer, inner, 0.0)
    size = outer.shape[0] * inner.shape[1]
    if isinstance(outer, Dense) or isinstance(inner, Dense):
        if size > MAX_ENTRIES:
            raise _too_large("the product of two maps is too large", size)
        matrix = inner.backward(outer.matrix) if isinstance(outer, Dense) else outer.forward(inner.dense().T).T
        product: LinearMap = Dense(matrix)
    else:
        product = _sparse_product(outer, inner)
    terms = outer.shape[1] if isinstance(outer, Dense) else outer.fan_in
    if _exact(outer, inner, terms):
        return Composition(product, outer, inner, 0.0)
    return Composition(product, outer, inner, gamma(max(terms, inner.fan_out) + 6))


def _structured(outer: LinearMap, inner: LinearMap) -> LinearMap | None:
    """The product where one of the two only copies."""
    if isinstance(outer, Identity):
        return inner
    if isinstance(inner, Identity):
        return outer
    try:
        if isinstance(outer, Selection):
            return select_rows(inner, outer.indices)
        if isinstance(inner, Selection) and _distinct(inner.indices):
            return _spread_columns(outer, inner)
    except InputError:  # true quotients: the product is a rounded one
        return None
    return None


def _spread_columns(outer: LinearMap, inner: Selection) -> LinearMap | None:
    """Column k of `outer` as column inner.indices[k] of the product."""
    if inner.indices.size == inner.size:  # a permutation
        return select_columns(outer, np.argsort(inner.indices))
    if isinstance(outer, Dense):
        matrix = np.zeros((outer.shape[0], inner.size))
        matrix[:, inner.indices] = outer.matrix
        return Dense(matrix)
    if (simple := _as_selection(outer)) is not None:
        return ScaledSelection(inner.indices[simple.indices], simple.scale, inner.size)
    entries = as_sparse(outer)
    columns = inner.indices[entries.indices]
    return Sparse.from_entries(entries.rows, columns, entries.data, (outer.shape[0], inner.size))


def as_sparse(linear: LinearMap) -> Sparse:
    """The same map in compressed rows; exact.

    Raises:
        InputError: `network/inexact` for quotients that are no float64, `network/too-large`.
    """
    if isinstance(linear, Sparse):
        return linear
    if (simple := _as_selection(linear)) is not None:
        kept = np.flatnonzero(simple.scale)
        return Sparse.from_entries(kept, simple.indices[kept], simple.scale[kept], linear.shape)
    if isinstance(linear, TransposedConvolution):
        forward = as_sparse(linear.convolution)
        return Sparse.from_entries(forward.indices, forward.rows, forward.data, linear.shape)
    if isinstance(linear, Convolution):
        return _sparse_convolution(linear)
    if linear.shape[0] * linear.shape[1] > MAX_ENTRIES:
        raise _too_large("the matrix of a map is too large", linear.shape[0] * linear.shape[1])
    matrix = linear.dense()
    rows, columns = np.nonzero(matrix)
    return Sparse.from_entries(rows, columns, matrix[rows, columns], linear.shape)


def _sparse_convolution(linear: Convolution) -> Sparse:
    if linear.shape[0] * linear.fan_in > MAX_ENTRIES:
        raise _too_large("the matrix of a convolution is too large", linear.shape[0] * linear.fan_in)
    reads = linear.reads()[:, None]
    groups, _, fan_in, positions = reads.shape
    channels = linear.kernel.shape[0] // groups
    whole = (groups, channels, fan_in, positions)
    rows = np.arange(linear.shape[0], dtype=np.int64).reshape(groups, channels, 1, positions)
    weights = linear.kernel.reshape(groups, channels, fan_in, 1)
    columns, data = np.broadcast_to(reads, whole), np.broadcast_to(weights, whole)
    kept = (columns >= 0) & (data != 0)
    return Sparse.from_entries(np.broadcast_to(rows, whole)[kept], columns[kept], data[kept], linear.shape)


def _sparse_product(outer: LinearMap, inner: LinearMap) -> Sparse:
    left, right = _rounded_sparse(outer), _rounded_sparse(inner)
    counts = np.diff(right.starts)
    if int(counts[left.indices].sum()) > MAX_ENTRIES:
        raise _too_large("the product of two maps is too large", int(counts[left.indices].sum()))
    product = (left.matrix @ right.matrix).tocoo()
    product.sum_duplicates()
    return Sparse.from_entries(
        product.row.astype(np.int64), product.col.astype(np.int64), product.data, (outer.shape[0], inner.shape[1])
    )


def _rounded_sparse(linear: LinearMap) -> Sparse:
    """As `as_sparse`, but with true quotients rounded once."""
    if isinstance(linear, Diagonal):
        every = np.arange(linear.scale.size, dtype=np.int64)
        return Sparse.from_entries(every, every, linear.forward(np.ones(every.size)), linear.shape)
    return as_sparse(linear)


def _as_selection(linear: LinearMap) -> ScaledSelection | None:
    """A map with one entry per row as a selection with factors; None for other maps.

    Raises:
        InputError: `network/inexact`.
    """
    every = np.arange(linear.shape[0], dtype=np.int64)
    if isinstance(linear, ScaledSelection):
        return linear
    if isinstance(linear, Identity):
        return ScaledSelection(every, np.ones(every.size), every.size)
    if isinstance(linear, Selection):
        return ScaledSelection(linear.indices, np.ones(every.size), linear.size)
    if not isinstance(linear, Diagonal):
        return None
    if linear.entry_error:
        raise InputError("network/inexact", "a quotient of the network is no float64 number")
    return ScaledSelection(every, linear.forward(np.ones(every.size)), every.size)


def _checked(indices: IntArray, size: int) -> IntArray:
    indices = np.asarray(indices, dtype=np.int64)
    if indices.ndim != 1 or (indices.size and not (indices.min() >= 0 and indices.max() < size)):
        raise InputError("network/index", "a selection reads outside its source", value=size)
    return indices


def _distinct(indices: IntArray) -> bool:
    return np.unique(indices).size == indices.size


def _blocks(indices: IntArray, size: int) -> IntArray | None:
    """The blocks of `size` that the indices list whole and in order; None where they do not."""
    if not indices.size or indices.size % size:
        return None
    blocks = indices[::size] // size
    whole = blocks[:, None] * size + np.arange(size)
    return blocks if np.array_equal(whole.reshape(-1), indices) else None


def _whole_channels(count: int, linear: Convolution, rows: IntArray) -> IntArray | None:
    """The output channels that the rows are; None where they are no whole ones or where groups would break."""
    channels = _blocks(rows, math.prod(linear.output_extents))
    return (
        channels
        if linear.groups == 1 or (channels is not None and np.array_equal(channels, np.arange(count)))
        else None
    )


def _transpose(linear: LinearMap) -> LinearMap:
    if isinstance(linear, Convolution):
        return TransposedConvolution(linear)
    matrix = as_sparse(linear)
    return Sparse.from_entries(matrix.indices, matrix.rows, matrix.data, (linear.shape[1], linear.shape[0]))


def _sparse_rows(linear: LinearMap, rows: IntArray) -> Sparse:
    matrix = as_sparse(linear)
    counts = np.diff(matrix.starts)[rows]
    starts = np.concatenate([[0], np.cumsum(counts)])
    # Entry k of the result is entry k - starts[i] of the chosen row i.
    entries = np.arange(starts[-1]) + np.repeat(matrix.starts[:-1][rows] - starts[:-1], counts)
    return Sparse(matrix.data[entries], matrix.indices[entries], starts, matrix.columns)


def _exact(outer: LinearMap, inner: LinearMap, terms: int) -> bool:
    """Whether all sums of products are float64 numbers: small multiples of one power of two."""
    if outer.entry_error or inner.entry_error:
        return False
    left, right = (_grid(linear) for linear in (outer, inner))
    return left * right * terms <= 2.0**53


def _grid(linear: LinearMap) -> float:
    """The largest weight as a multiple of the largest power of two that divides all; infinite where that is no help."""
    arrays = [np.asarray(a).ravel() for a in linear.parameters() if a.dtype == np.float64]
    if isinstance(linear, Diagonal):
        arrays = [linear.forward(np.ones(linear.scale.size))]
    weights = np.abs(np.concatenate(arrays)) if arrays else np.ones(1)
    weights = weights[weights > 0]
    if not weights.size:
        return 0.0
    mantissas, exponents = np.frexp(weights)
    whole = (mantissas * 2.0**53).astype(np.int64)
    lowest = exponents + np.log2((whole & -whole).astype(np.float64)).astype(np.int64) - 53
    # Far from over- and underflow, so that products of two such weights are safe from both.
    if int(lowest.min()) < -400 or int(exponents.max()) > 400:
        return math.inf
    return float(weights.max()) / 2.0 ** int(lowest.min())
