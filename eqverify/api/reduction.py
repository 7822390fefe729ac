"""The main job: a smaller network, proved equivalent on a domain up to eps, written and checked."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import eqverify
from eqverify.api.proving import prove_stability
from eqverify.arrays import IEEE, FloatArray
from eqverify.attack.points import sample_boxes
from eqverify.errors import ContradictionError, InputError, Place, RejectedError, UsageError
from eqverify.files import write_files
from eqverify.network import Network, evaluate_nodes, evaluation_error, fits_range, join_outputs
from eqverify.network.sameness import same_function
from eqverify.numerals import at_most
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.report.claims import DIRECTED_CLAIM
from eqverify.report.layers import LayerRow, layer_rows
from eqverify.stability.facts import Facts, Status
from eqverify.stability.options import Engine
from eqverify.transform.driver import transform
from eqverify.transform.realise import Element
from eqverify.transform.result import Shape, Transformed, TransformOptions, named_passes
from eqverify.transform.shapes import unchanged
from eqverify.trust import NOBODY

if TYPE_CHECKING:
    from eqverify.api.certificate import Certified
    from eqverify.api.equivalence import Equivalence
    from eqverify.api.properties import Version
    from eqverify.equivalence.exact import CrossCheck
    from eqverify.export.runtime import RuntimeComparison


_EXACT = ("sequential", "leo", "unchanged")
"""Shapes of which what is read back is mostly what was written, so that no second proof is needed."""

_MULTIPLICATIONS = 1 << 27
"""Of one evaluation of all random points at which networks are compared: large ones are compared at fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """A reduced network, as it will be written, with what is proved about it.

    Attributes:
        problem: the original network on its domain.
        facts: what is known about its units.
        transformed: the rewrites, with their record.
        data: the bytes of the ONNX file, with the problem's tail if there is one.
        network: the network read back from those bytes, without the tail.
        epsilons: (output_size,) proved bounds on |original - network| over the domain, or over those of its inputs that
            satisfy what the problem assumes; with a tail, at the cut.
        runtime: how onnxruntime's run of `data` compares with `network`.
        cross_check: the answer of Z3 or of the equivalence portfolio, where one was asked.
        certificate: the certificate with the checker's verdict, where one was asked for.
        seconds: measured wall time by stage.
    """

    problem: Problem
    facts: Facts
    transformed: Transformed
    data: bytes
    network: Network
    epsilons: FloatArray
    runtime: RuntimeComparison
    cross_check: CrossCheck | Equivalence | None
    certificate: Certified | None
    seconds: Mapping[str, float]

    @property
    def epsilon(self) -> float:
        """The largest of `epsilons`."""
        return float(self.epsilons.max(initial=0.0))

    @property
    def claim(self) -> str:
        """What is proved: ``equivalent``, or `DIRECTED_CLAIM` where the problem assumes constraints."""
        return "equivalent" if self.problem.assumed is None else DIRECTED_CLAIM

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """The type of the written weights."""
        return "float64" if self.network.inputs[0].element == "float64" else "float32"

    @property
    def layers(self) -> tuple[LayerRow, ...]:
        """The table of layers."""
        kept: dict[str, tuple[int, int]] = {}
        for unit_map in self.transformed.unit_maps.values():
            for group in unit_map.groups:
                units, carriers = kept.get(group.source, (0, 0))
                # carriers are listed with the last layer that they pass
                passing = len(unit_map.carriers) if group is unit_map.groups[-1] else 0
                kept[group.source] = (units + group.units.size, carriers + passing)
        return layer_rows(self.facts, kept)

    @property
    def certified(self) -> bool:
        """Whether nothing rests on a solver's word."""
        return not self.facts.trusts

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return {
            "claim": self.claim,
            "relus_before": self.problem.network.relu_count,
            "relus_after": self.network.relu_count,
            "layers": [row.as_dict() for row in self.layers],
            "witnessed_unstable": self.facts.count(Status.UNSTABLE),
            "epsilon": self.epsilon,
            "epsilons": self.epsilons.tolist(),
            "evidence": self.facts.evidence_counts(),
            "claimed": self.facts.claimed,
            "certified": self.certified,
            "trust": sorted(self.facts.trust),
            "solver": self.facts.solver or None,
            "parameters_before": self.problem.network.parameter_count,
            "parameters_after": self.network.parameter_count,
            "stages": [
                {"name": s.name, "seconds": s.seconds, "decided": s.decided, "questions": s.questions, "note": s.note}
                for s in self.facts.stages
            ],
            "epsilon_of": "outputs" if self.problem.tail is None else "cut",
            "opaque": [] if self.problem.tail is None else list(self.problem.tail.operators),
            "shape": self.transformed.shape,
            "choice": self.transformed.choice,
            "went": dict(Counter(unit.what for unit in self.transformed.removed)),
            "declined": [
                {"pass": d.rewrite, "layer": d.layer, "units": list(d.units), "reason": d.reason}
                for d in self.transformed.declined
            ],
            "runtime": {
                "points": self.runtime.points,
                "largest_deviation": self.runtime.largest_deviation,
                "largest_allowed": self.runtime.largest_allowed,
                "worst_ratio": self.runtime.worst_ratio,
            },
            "cross_check": self.confirmation,
            "certificate": None if self.certificate is None else self.certificate.as_dict(),
            "reading": self.problem.reading.as_dict(),
            "seconds": dict(self.seconds),
        }

    @property
    def confirmation(self) -> str | None:
        """What the cross-check said: its verdict, or ``claimed`` where that is Z3's word."""
        if self.cross_check is None:
            return None
        return "claimed" if getattr(self.cross_check, "claimed", False) else self.cross_check.verdict

    def explain(self) -> str:
        """What was tried, and for every kept unit a line that says why it is still there."""
        from eqverify.report.explain import explain

        return explain(self.facts, self.transformed)

    def plot(self, path: str | Path) -> None:
        """Write a picture of the layers before and after (.svg, .png, .pdf)."""
        from eqverify.report.plot import plot_layers

        before, after = self.problem.network.relu_count, self.network.relu_count
        plot_layers(self.layers, path, f"{before} ReLUs before, {after} after; eps = {at_most(self.epsilon, 2)}")

    def save(
        self,
        path: str | Path,
        *,
        property: str | Path | None = None,
        fold_property: bool = False,
        property_version: Version | None = None,
        certificate: str | Path | None = None,
    ) -> tuple[Path, ...]:
        """Write the ONNX file, the property for it and the certificate; an existing file is replaced in one step.

        Args:
            path: the ONNX file.
            property: where to write the property for the reduced network: output constraints are relaxed by eps, so
                that what is unsatisfiable for the reduced network is unsatisfiable for the original.  An input that
                satisfies it is a candidate to be replayed on the original.
            fold_property: append the output condition to the network as a last affine layer, so that the property says
                `(<= Y_k 0.0)` only.  Parts of the input set become a pair of files each, numbered before the suffix:
                the property holds of the original if it does for each pair.
            property_version: of the property's text; by default 1.0 where it is folded, else that of the input.
            certificate: where to write the certificate of the ONNX file (not of folded ones).

        Returns:
            The files written: a network, or networks each followed by its property.

        Raises:
            UsageError: the folder does not exist or cannot be written to; `usage/fold-property` for `fold_property`
                without `property`; `usage/certificate` for a certificate that was not asked for when reducing, or with
                `fold_property`.
            InputError: `reduce/property-opaque` where the network ends in operators that are not piecewise linear, so
                that eps says nothing about the outputs; `export/...` where the property cannot be written.
        """
        from eqverify.api.properties import reduction_files

        query = None if property is None else Path(property)
        if certificate is not None and (self.certificate is None or fold_property):
            raise UsageError(
                "usage/certificate",
                "there is no certificate of what is to be written",
                hint="reduce with certificate=True, and write the property without folding it",
            )
        files = reduction_files(self, Path(path), query, fold_property, property_version)
        if certificate is not None and self.certificate is not None:
            files[Path(certificate)] = self.certificate.data
        write_files(files)
        return tuple(files)


@IEEE
def reduce(
    problem: Problem,
    *,
    facts: Facts | None = None,
    engine: Engine = "portfolio",
    time_limit: float = 60.0,
    unit_time_limit: float = 5.0,
    seed: int = 0,
    node_limit: int | None = None,
    resume: str | Path | None = None,
    workers: int = 1,
    split_inputs: int = 12,
    branch_nodes: int = 2000,
    trust: str | Iterable[str] = NOBODY,
    dtype: Literal["float32", "float64"] | None = None,
    shape: Shape = "sequential",
    max_epsilon: float = 1e-4,
    cross_check: Literal["z3", "equiv"] | None = None,
    cross_check_timeout: float = 60.0,
    certificate: bool = False,
    certified_only: bool = False,
    tree_time_limit: float = 30.0,
    progress: Progress = silent,
    passes: str | Iterable[str] | None = None,
) -> Reduction:
    """Make a smaller network that agrees with the problem's network on its domain up to a proved eps.

    Args:
        problem: network and domain.
        facts: proved before for this problem; proved here where not given, by the next ten arguments.
        engine: as `prove_stability`.
        time_limit: as `prove_stability`.
        unit_time_limit: as `prove_stability`.
        seed: as `prove_stability`.
        node_limit: as `prove_stability`.
        resume: as `prove_stability`.
        workers: as `prove_stability`.
        split_inputs: as `prove_stability`.
        branch_nodes: as `prove_stability`.
        trust: as `prove_stability`.
        dtype: type of the written weights; by default that of the original's input.
        shape: ``sequential``, ``residual``, ``structured``, ``leo`` or ``auto``: as `TransformOptions`.
        max_epsilon: rewrites that compute new weights are avoided where eps would exceed this.
        cross_check: ``z3`` looks for a difference over the rationals, for small networks (that there is none is its
            claim); ``equiv`` compares the network that was written with the original as `eqverify.equivalent`, for any.
        cross_check_timeout: seconds for that; a time-out is reported, not raised.
        certificate: also make a certificate, which `check` verifies; units that the checker cannot confirm are kept.
        certified_only: keep units whose sign only a trusted solver vouches for.
        tree_time_limit: with either of these, seconds for finding proofs of such units that can be checked.
        progress: called with stage, done, total.
        passes: names of passes, in order, in a list or between commas, instead of the default ones.

    Returns:
        The reduction; nothing is written yet.

    Raises:
        UsageError: `usage/pass` for a pass that nobody registered;
            `certificate/no-files` where a certificate is asked for and the problem was not read from files;
            `reduce/cross-check-directed` for a cross-check of a network for one disjunct.
        InputError: the network cannot be reduced or written; `certificate/opaque`.
        ContradictionError: two proofs, or a proof and onnxruntime, contradict each other.
        RejectedError: `reduce/refuted` where the cross-check found a deviation above eps.
        LimitError: the network is too large for the cross-check.
    """
    from eqverify.export.joining import join

    if cross_check is not None:
        _require_whole_domain(problem)
    element = dtype or ("float64" if problem.network.inputs[0].element == "float64" else "float32")
    options = TransformOptions(shape, named_passes(passes), element, max_epsilon)
    clock = _Clock()
    if facts is None:
        facts = prove_stability(
            problem,
            engine=engine,
            time_limit=time_limit,
            unit_time_limit=unit_time_limit,
            seed=seed,
            node_limit=node_limit,
            resume=resume,
            workers=workers,
            split_inputs=split_inputs,
            branch_nodes=branch_nodes,
            trust=trust,
            progress=progress,
        )
    clock.lap("stability")
    checked = None
    if certificate or certified_only:
        from eqverify.api.certificate import recheck

        progress("certify", 0, 1)
        checked = recheck(problem, facts, certified_only=certified_only, files=certificate, seconds=tree_time_limit)
        facts = checked.facts
        clock.lap("certify")
    progress("reduce", 0, 1)
    transformed = transform(problem, facts, options)
    clock.lap("transform")
    transformed, data, network, epsilons = _written(problem, facts, transformed, element, max_epsilon)
    clock.lap("write")
    certified = None
    if certificate and checked is not None:
        from eqverify.api.certificate import certify

        certified = certify(
            problem, checked, data, network, tuple(transformed.unit_maps.values()), transformed.relations
        )
        epsilons = np.array(certified.verdict.epsilons)
        clock.lap("claim")
    progress("check", 0, 1)
    runtime = _replay(problem, facts, data, network, epsilons)
    if problem.tail is not None:
        data = join(data, problem.tail)
    clock.lap("check")
    answer: CrossCheck | Equivalence | None = None
    if cross_check is not None:
        progress(cross_check, 0, 1)
        confirm = _confirm if cross_check == "z3" else _confirm_equivalent
        answer = confirm(problem, network, epsilons, cross_check_timeout)
        clock.lap("cross_check")
    return Reduction(problem, facts, transformed, data, network, epsilons, runtime, answer, certified, clock.seconds)


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _written(
    problem: Problem,
    facts: Facts,
    transformed: Transformed,
    element: Element,
    max_epsilon: float,
) -> tuple[Transformed, bytes, Network, FloatArray]:
    """As `_write`, or the network itself where rounding, or overflow, leaves no proof of what is read back."""
    try:
        return transformed, *_write(problem, facts, transformed, element, max_epsilon)
    except InputError as error:
        if transformed.shape == "unchanged" or error.code not in ("reduce/no-bound", "reduce/written-differs"):
            raise
        own = replace(unchanged(problem), choice=f"unchanged: {error.message}")
        try:
            return own, *_write(problem, facts, own, element, max_epsilon)
        except InputError:
            raise error from None


def _write(
    problem: Problem,
    facts: Facts,
    transformed: Transformed,
    element: Element,
    max_epsilon: float,
) -> tuple[bytes, Network, FloatArray]:
    """The file's bytes, the network they hold, and eps proved for just that network."""
    from eqverify.frontend.onnx import parse_network
    from eqverify.transform.deviation import prove_deviation

    data = _file(problem, facts, transformed.network, transformed.epsilon, element)
    network = parse_network(data)
    if transformed.shape in _EXACT and same_function(network, transformed.network):
        return data, network, transformed.epsilon
    pairs = zip(network.relus, transformed.unit_maps.values(), strict=True)
    unit_maps = {node.name: unit_map for node, unit_map in pairs}
    epsilons = prove_deviation(problem, facts, network, unit_maps, transformed.relations)
    if transformed.worst <= max_epsilon < epsilons.max(initial=0.0):
        raise InputError(
            "reduce/written-differs",
            "eps within its limit was proved for the network as written, but not as read back",
            value=f"{epsilons.max():.3e} > {max_epsilon:.3e} >= {transformed.worst:.3e}",
            hint="the weights or the input bounds are extremely large or small: try --dtype float64",
        )
    return _file(problem, facts, transformed.network, epsilons, element), network, epsilons


def _file(problem: Problem, facts: Facts, network: Network, epsilons: FloatArray, element: Element) -> bytes:
    """The ONNX file, which says what is claimed of it."""
    from eqverify.export.onnx import write_network

    if not np.isfinite(epsilons).all():
        raise InputError(
            "reduce/no-bound",
            "no finite deviation can be proved: the bounds leave the range of float64",
            place=Place(node=problem.network.outputs[0].name, unit=int(np.argmin(np.isfinite(epsilons)))),
            value=float(epsilons[~np.isfinite(epsilons)][0]),
            hint="the weights or the input bounds are extremely large: --shape structured keeps the weights there are",
        )
    metadata = {
        "eqverify.version": eqverify.__version__,
        "eqverify.network": problem.network.digest,
        "eqverify.domain": problem.domain_digest,
        "eqverify.claim": _claim(problem),
        "eqverify.epsilon": json.dumps(epsilons.tolist()),
        "eqverify.evidence": json.dumps(facts.evidence_counts()),
    }
    opset = {} if problem.tail is None else {"opset": problem.tail.opset}
    return write_network(network, metadata=metadata, producer="eqverify", dtype=element, **opset)


def _claim(problem: Problem) -> str:
    if problem.assumed is not None:
        return f"{DIRECTED_CLAIM}, not equivalent: within epsilon where the original satisfies the disjunct"
    return "equivalent on the domain up to epsilon" + (" at the cut" if problem.tail else "")


def _replay(problem: Problem, facts: Facts, data: bytes, network: Network, epsilons: FloatArray) -> RuntimeComparison:
    """Run the file with onnxruntime, and compare both networks, on samples, corners and witnesses."""
    from eqverify.export.runtime import compare_with_runtime

    points = _points(problem, facts)
    points = points[fits_range(network, points)]
    comparison = compare_with_runtime(data, network, points)
    if not comparison.agrees:
        raise ContradictionError(
            "reduce/runtime-differs",
            "onnxruntime computes other outputs for the written file than its rounding allows",
            place=None if comparison.first is None else Place(node=comparison.first.node),
            value=str(comparison.first),
        )
    if problem.assumed is not None:  # a point where eps says something would be a counterexample
        return comparison
    sides = []
    for side in (problem.network, network):
        values = evaluate_nodes(side, points)
        sides.append((join_outputs(side, values), join_outputs(side, evaluation_error(side, values))))
    (old, old_error), (new, new_error) = sides
    if (np.abs(old - new) > epsilons + old_error + new_error).any():
        raise ContradictionError(
            "reduce/epsilon-exceeded",
            "the networks differ by more than the proved eps at a point of the domain",
            value=f"{np.abs(old - new).max():.3e} > {epsilons.max():.3e}",
            hint="a proof is wrong: a defect of eqverify or of a solver; please report it with the files",
        )
    return comparison


def _points(problem: Problem, facts: Facts) -> FloatArray:
    """Random points, corners and the falsifier's witnesses, at most 200 of each; all in the domain's boxes."""
    count, domain = max(4, min(200, _MULTIPLICATIONS // max(1, problem.network.products))), problem.domain
    points = sample_boxes(domain.lower, domain.upper, 2 * count, np.random.default_rng(0))
    points = np.concatenate([points, facts.witnesses[:count].reshape(-1, domain.size)])
    return points[domain.contains(points)]


def _require_whole_domain(problem: Problem) -> None:
    if problem.assumed is not None:
        raise UsageError(
            "reduce/cross-check-directed",
            "the cross-check compares networks on whole domains",
            hint="leave it out for a network that was made for one disjunct",
        )


def _confirm(problem: Problem, network: Network, epsilons: FloatArray, timeout: float) -> CrossCheck:
    from eqverify.equivalence.exact import cross_check

    answer = cross_check(problem.network, network, problem.domain, epsilons, timeout=timeout)
    if answer.verdict == "different":
        raise RejectedError(
            "reduce/refuted",
            "Z3 found an input on which the networks differ by more than eps",
            value=f"{float(answer.deviation or 0):.6e} at {[float(v) for v in answer.witness or ()]}",
            hint="a proof is wrong: a defect of eqverify or of a solver; please report it with the files",
        )
    return answer


def _confirm_equivalent(problem: Problem, network: Network, epsilons: FloatArray, timeout: float) -> Equivalence:
    from eqverify.api.equivalence import equivalent

    answer = equivalent(problem.network, network, problem.domain, epsilon=epsilons.tolist(), timeout=timeout)
    if answer.witness is not None:
        raise RejectedError(
            "reduce/refuted",
            "an input was found on which the networks differ by more than eps",
            value=f"{answer.deviation!r} at {answer.witness.point.tolist()}",
            hint="a proof is wrong: a defect of eqverify or of a solver; please report it with the files",
        )
    return answer
