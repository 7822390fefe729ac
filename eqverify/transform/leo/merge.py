"""Merge stably active units that depend linearly on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.stability.facts import LayerFacts, Status
from eqverify.transform.base import Declined, Fate, Rewritten, register
from eqverify.transform.chain import Chain, Layer


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
    rounds: ClassVar[bool] = True
    tolerance: float | None = None

    def __call__(self, chain: Chain, facts: Mapping[str, LayerFacts]) -> Rewritten:
        fates: list[Fate] = []
        declined: list[Declined] = []
        for index in reversed(range(len(chain.layers))):
            layer = chain.layers[index]
            source = layer.source
            active = np.flatnonzero(facts[source].mask(Status.ACTIVE)[layer.units])
            if not active.size:
                continue
            kept, gone, coefficients = self._split(layer.weight[active])
            if not gone.size:
                units = tuple(int(u) for u in layer.units[active])
                declined.append(Declined(self.name, source, units, "active rows are linearly independent"))
                continue
            chain = _merge(chain, index, active[kept], active[gone], coefficients)
            fates += [Fate(source, int(unit), "merged") for unit in layer.units[active[gone]]]
        return Rewritten(chain, tuple(fates), tuple(declined))

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
