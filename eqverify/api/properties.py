"""The files of a reduction: the network, and the property for it (specs/rewrites.md, P-1 and P-2)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import eqverify
from eqverify.arrays import IEEE
from eqverify.attack.points import sample_boxes
from eqverify.bounds import interval_bounds
from eqverify.domain import Case
from eqverify.errors import ContradictionError, InputError, UsageError
from eqverify.export.folding import Folded, fold
from eqverify.network import Network, fits_range, join_outputs

if TYPE_CHECKING:
    from eqverify.api.reduction import Reduction

Version = Literal["1.0", "2.0"]

_POINTS = 40
"""At which the file of a folded network is run."""


@IEEE
def reduction_files(
    reduction: Reduction, network: Path, query: Path | None, folded: bool, version: Version | None
) -> dict[Path, bytes | str]:
    """What `Reduction.save` writes, by path; same arguments and errors."""
    from eqverify.export.property import relax_specification
    from eqverify.export.vnnlib import format_specification

    if query is None:
        if folded:
            hint = "name the file for the property too (--property-out)"
            raise UsageError("usage/fold-property", "a folded property needs a place of its own", hint=hint)
        return {network: reduction.data}
    problem = reduction.problem
    if problem.tail is not None and (folded or reduction.epsilon > 0):
        raise InputError(
            "reduce/property-opaque",
            "the property cannot be carried over: eps is proved before operators that are not piecewise linear",
            value=", ".join(dict.fromkeys(problem.tail.operators)),
            hint="write the network without the property",
        )
    epsilons = [Fraction(value) for value in reduction.epsilons.tolist()]
    if not folded:
        relaxed = problem.specification if problem.tail else relax_specification(problem.specification, epsilons)
        return {network: reduction.data, query: format_specification(relaxed, version)}
    files: dict[Path, bytes | str] = {}
    for number, case in enumerate(problem.cases, 1):
        pair = fold_case(reduction.network, case, epsilons, reduction.dtype)
        text = format_specification(pair.specification, version or "1.0")
        mark = f"-{number}" if len(problem.cases) > 1 else ""
        files[network.with_name(f"{network.stem}{mark}{network.suffix}")] = folded_bytes(reduction, pair, case)
        files[query.with_name(f"{query.stem}{mark}{query.suffix}")] = text
    return files


def fold_case(network: Network, case: Case, epsilons: list[Fraction], dtype: Literal["float32", "float64"]) -> Folded:
    """`fold` with interval bounds of the outputs.

    Raises:
        InputError: as `fold`.
    """
    box = case.polytope.box
    bounds = interval_bounds(network, box.lower[None], box.upper[None])
    magnitudes = join_outputs(network, {name: interval.magnitude for name, interval in bounds.items()})[0]
    known = [Fraction(value) if np.isfinite(value) else None for value in magnitudes.tolist()]
    return fold(network, case, epsilons, known, dtype)


def folded_bytes(reduction: Reduction, folded: Folded, case: Case) -> bytes:
    """The folded network as an ONNX file, as onnxruntime confirms on corners and random points of the box."""
    from eqverify.export.onnx import write_network
    from eqverify.export.runtime import compare_with_runtime

    metadata = {
        "eqverify.version": eqverify.__version__,
        "eqverify.network": reduction.problem.network.digest,
        "eqverify.claim": "outputs are at most 0 wherever the original's output constraints hold on the box",
    }
    data = write_network(folded.network, metadata=metadata, producer="eqverify", dtype=reduction.dtype)
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
