"""LEO's five rewrites (Serra, Kumar, Ramalingam 2020, arXiv 2001.00218): passes on chains (R-1 to R-5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.normal_form.passes import Context, Declined, RemovedUnit, Rewritten, register
from eqverify.stability.facts import Status
from eqverify.transform.chain import Chain, Layer


@register
@dataclass(frozen=True, slots=True)
class RemoveInactive:
    """Statement R-1: a unit with z <= 0 on the domain shows 0 there and may go with its outgoing weights."""

    name: ClassVar[str] = "remove-inactive"
    statement: ClassVar[str] = "R-1"
    rewrites: ClassVar[Literal["form", "chain"]] = "chain"
    rounds: ClassVar[bool] = False

    def __call__(self, chain: Chain, context: Context) -> Rewritten[Chain]:
        removed: list[RemovedUnit] = []
        for index in range(len(chain.layers)):
            layer = chain.layers[index]
            source = layer.source
            inactive = context.facts[source].mask(Status.INACTIVE)[layer.units]
            if not inactive.any() or inactive.all():
                continue
            kept = np.flatnonzero(~inactive)
            weight, bias = chain.reader(index)
            chain = chain.with_layer(index, layer.select(kept)).with_reader(index, weight[:, kept], bias)
            removed += [RemovedUnit(source, int(u), "inactive") for u in layer.units[inactive]]
        return Rewritten(chain, tuple(removed))


@register
@dataclass(frozen=True, slots=True)
class MergeDependent:
    """Statement R-2: a stably active unit whose weight row is a combination of other active rows may go.

    If w_i = sum_k a_k w_k over kept active units k, then h_i = sum_k a_k h_k + (b_i - sum_k a_k b_k) on the domain.
    The numerical rank decides which rows count as dependent; the residual is not ignored but enters eps, since the
    written network is compared with the original row by row.

    Attributes:
        tolerance: singular values below this times the largest count as zero; by default max(shape) * 2^-52, the usual
            backward-error level of the SVD (Golub & Van Loan, section 5.5.8).
    """

    name: ClassVar[str] = "merge-dependent"
    statement: ClassVar[str] = "R-2"
    rewrites: ClassVar[Literal["form", "chain"]] = "chain"
    rounds: ClassVar[bool] = True
    tolerance: float | None = None

    def __call__(self, chain: Chain, context: Context) -> Rewritten[Chain]:
        removed: list[RemovedUnit] = []
        declined: list[Declined] = []
        for index in reversed(range(len(chain.layers))):
            layer = chain.layers[index]
            source = layer.source
            active = np.flatnonzero(context.facts[source].mask(Status.ACTIVE)[layer.units])
            if not active.size:
                continue
            kept, gone, coefficients = self._split(layer.weight[active])
            if not gone.size:
                units = tuple(int(u) for u in layer.units[active])
                declined.append(Declined(self.name, source, units, "active rows are linearly independent"))
                continue
            chain = _merge(chain, index, active[kept], active[gone], coefficients)
            removed += [RemovedUnit(source, int(unit), "merged") for unit in layer.units[active[gone]]]
        return Rewritten(chain, tuple(removed), declined=tuple(declined))

    def _split(self, rows: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
        """Kept and dependent rows, and the coefficients (dependent, kept) that express the latter by the former."""
        rank = self._rank(np.asarray(np.linalg.svd(rows, compute_uv=False), dtype=np.float64), rows.shape)
        if rank == rows.shape[0]:
            return np.arange(rank), np.arange(0), np.zeros((0, rank))
        import scipy.linalg  # a fifth of a second, and rows are seldom dependent

        _, _, order = scipy.linalg.qr(rows.T, mode="economic", pivoting=True)
        kept, gone = np.sort(order[:rank]), np.sort(order[rank:])
        if not rank:
            return kept, gone, np.zeros((gone.size, 0))
        solution = scipy.linalg.lstsq(rows[kept].T, rows[gone].T)[0]
        return kept, gone, solution.T

    def _rank(self, singular_values: FloatArray, shape: tuple[int, ...]) -> int:
        largest = singular_values.max(initial=0.0)
        tolerance = self.tolerance if self.tolerance is not None else max(shape) * 2.0**-52
        return int((singular_values > tolerance * largest).sum()) if largest > 0 else 0


def _merge(chain: Chain, index: int, kept: IntArray, gone: IntArray, coefficients: FloatArray) -> Chain:
    layer = chain.layers[index]
    weight, bias = chain.reader(index)
    constant = layer.bias[gone] - coefficients @ layer.bias[kept]
    moved = weight.copy()
    moved[:, kept] += weight[:, gone] @ coefficients
    rest = np.setdiff1d(np.arange(layer.size), gone)
    new_bias = bias + weight[:, gone] @ constant
    if rest.size:
        return chain.with_layer(index, layer.select(rest)).with_reader(index, moved[:, rest], new_bias)
    return _constant_layer(chain, index, layer, new_bias)


def _constant_layer(chain: Chain, index: int, layer: Layer, bias: FloatArray) -> Chain:
    """All units went: the reader reads what the layer read, with zero weights."""
    zero = np.zeros((bias.size, layer.weight.shape[1]))
    return chain.with_reader(index, zero, bias).without_layer(index)


@register
@dataclass(frozen=True, slots=True)
class FoldStable:
    """Statement R-3: where all units of a layer have z >= 0 on the domain, the layer is affine and joins its reader."""

    name: ClassVar[str] = "fold-stable"
    statement: ClassVar[str] = "R-3"
    rewrites: ClassVar[Literal["form", "chain"]] = "chain"
    rounds: ClassVar[bool] = True

    def __call__(self, chain: Chain, context: Context) -> Rewritten[Chain]:
        removed: list[RemovedUnit] = []
        for index in reversed(range(len(chain.layers))):
            layer = chain.layers[index]
            source = layer.source
            if not context.facts[source].mask(Status.ACTIVE)[layer.units].all():
                continue
            weight, bias = chain.reader(index)
            chain = chain.with_reader(index, weight @ layer.weight, bias + weight @ layer.bias).without_layer(index)
            removed += [RemovedUnit(source, int(unit), "folded") for unit in layer.units]
        return Rewritten(chain, tuple(removed))


@register
@dataclass(frozen=True, slots=True)
class CollapseConstant:
    """Statement R-4: where all units of a layer are stably inactive, everything after it is constant on the domain."""

    name: ClassVar[str] = "collapse-constant"
    statement: ClassVar[str] = "R-4"
    rewrites: ClassVar[Literal["form", "chain"]] = "chain"
    rounds: ClassVar[bool] = False

    def __call__(self, chain: Chain, context: Context) -> Rewritten[Chain]:
        for index, layer in enumerate(chain.layers):
            if context.facts[layer.source].mask(Status.INACTIVE)[layer.units].all():
                return self._collapse(chain, index)
        return Rewritten(chain)

    @staticmethod
    def _collapse(chain: Chain, index: int) -> Rewritten[Chain]:
        value = np.zeros(chain.layers[index].size)
        for later in range(index, len(chain.layers)):
            weight, bias = chain.reader(later)
            value = weight @ value + bias
            if later + 1 < len(chain.layers):
                value = np.maximum(value, 0.0)
        width = chain.layers[0].weight.shape[1]
        removed = [
            RemovedUnit(layer.source, int(unit), "inactive" if place == index else "constant")
            for place, layer in enumerate(chain.layers)
            for unit in layer.units
        ]
        return Rewritten(Chain((), np.zeros((value.size, width)), value), tuple(removed))


@register
@dataclass(frozen=True, slots=True)
class DropDead:
    """Statement R-5: a unit whose outgoing weights are all zero changes nothing and may go; last layers first."""

    name: ClassVar[str] = "drop-dead"
    statement: ClassVar[str] = "R-5"
    rewrites: ClassVar[Literal["form", "chain"]] = "chain"
    rounds: ClassVar[bool] = False

    def __call__(self, chain: Chain, context: Context) -> Rewritten[Chain]:
        removed: list[RemovedUnit] = []
        for index in reversed(range(len(chain.layers))):
            layer = chain.layers[index]
            weight, bias = chain.reader(index)
            read = (weight != 0).any(axis=0)
            if read.all():
                continue
            if not read.any():
                return Rewritten(*self._constant(chain, index, removed))
            kept = np.flatnonzero(read)
            chain = chain.with_layer(index, layer.select(kept)).with_reader(index, weight[:, kept], bias)
            removed += [RemovedUnit(layer.source, int(unit), "dead") for unit in layer.units[~read]]
        return Rewritten(chain, tuple(removed))

    @staticmethod
    def _constant(chain: Chain, index: int, removed: list[RemovedUnit]) -> tuple[Chain, tuple[RemovedUnit, ...]]:
        """Nothing of layer `index` is read: it and all before it go, and its reader becomes constant in the input."""
        before = chain.layers[: index + 1]
        removed += [RemovedUnit(layer.source, int(unit), "dead") for layer in before for unit in layer.units]
        _, bias = chain.reader(index)
        chain = chain.with_reader(index, np.zeros((bias.size, chain.layers[0].weight.shape[1])), bias)
        return Chain(chain.layers[index + 1 :], chain.weight, chain.bias), tuple(removed)
