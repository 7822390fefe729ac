"""Output conditions folded into networks (specs/rewrites.md, P-2)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from eqverify.attack.points import sample_boxes
from eqverify.bounds import interval_bounds
from eqverify.domain import Case
from eqverify.errors import ContradictionError
from eqverify.export.folding import Folded, fold
from eqverify.files import version
from eqverify.network import Network, fits_range, join_outputs
from eqverify.options import Element

_POINTS = 40
"""At which the file of a folded network is run."""


def element_of(network: Network) -> Element:
    """The type that networks made from this one are written in: that of its first input."""
    return "float64" if network.inputs[0].element == "float64" else "float32"


def fold_case(network: Network, case: Case, epsilons: list[Fraction], dtype: Element) -> Folded:
    """`fold` with interval bounds of the outputs.

    Raises:
        InputError: as `fold`.
    """
    box = case.polytope.box
    bounds = interval_bounds(network, box.lower[None], box.upper[None])
    magnitudes = join_outputs(network, {name: interval.magnitude for name, interval in bounds.items()})[0]
    known = [Fraction(value) if np.isfinite(value) else None for value in magnitudes.tolist()]
    return fold(network, case, epsilons, known, dtype)


def folded_bytes(original: Network, folded: Folded, case: Case, element: Element) -> bytes:
    """The folded network as an ONNX file, as onnxruntime confirms on corners and random points of the box."""
    from eqverify.export.onnx import write_network
    from eqverify.export.runtime import compare_with_runtime

    metadata = {
        "eqverify.version": version(),
        "eqverify.network": original.digest,
        "eqverify.claim": "outputs are at most 0 wherever the original's output constraints hold on the box",
    }
    data = write_network(folded.network, metadata=metadata, producer="eqverify", dtype=element)
    box = case.polytope.box
    points = sample_boxes(box.lower[None], box.upper[None], _POINTS, np.random.default_rng(0))
    comparison = compare_with_runtime(data, folded.network, points[fits_range(folded.network, points)])
    if not comparison.agrees:
        raise ContradictionError(
            "reduce/runtime-differs",
            "onnxruntime computes other outputs for the written file than its rounding allows",
            value=str(comparison.first),
        )
    return data
