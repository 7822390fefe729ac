"""The main job: a smaller network, proved equivalent on a domain up to eps, written and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import IEEE, FloatArray
from eqverify.attack.points import sample_boxes
from eqverify.budget import LONGEST, PRODUCTS, Budget, Clock, TimeLimit, limited
from eqverify.errors import ContradictionError, InputError, Place, RejectedError, UsageError
from eqverify.files import version
from eqverify.network import (
    Network,
    evaluate_nodes,
    evaluation_error,
    fits_range,
    join_outputs,
    require_piecewise_linear,
)
from eqverify.network.sameness import same_function
from eqverify.options import Element, changed, keywords, keywords_of
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.reduction.folding import element_of
from eqverify.reduction.options import ReduceOptions
from eqverify.reduction.profiles import PROFILES, Profile
from eqverify.reduction.result import Reduction
from eqverify.reduction.runs import run_epsilons
from eqverify.report.claims import DIRECTED_CLAIM
from eqverify.stability.counterexample import find_counterexample
from eqverify.stability.facts import Facts
from eqverify.stability.options import StabilityOptions
from eqverify.stability.proving import prove_stability
from eqverify.transform.deviation import rewriting_seconds
from eqverify.transform.driver import transform
from eqverify.transform.result import Transformed, TransformOptions, named_passes
from eqverify.transform.shapes import require_shape, unchanged, whole

if TYPE_CHECKING:
    from eqverify.equivalence.answer import Equivalence
    from eqverify.equivalence.exact import CrossCheck
    from eqverify.export.runtime import RuntimeComparison
    from eqverify.reduction.certifying import Certified


_RESERVED_LEAST, _RESERVED = 0.1, 0.3
"""Share of the time that is kept for rewriting, at least and at most."""

_LOOK_SHARE, _LOOK = 0.1, 1.0
"""Share of the time, and seconds, that a search for an input that settles the property may take."""

_OVERTIME, _OVERTIME_SHARE = 0.5, 0.05
"""Rewriting may end so many seconds, or by such a share of the limit, after it: the file is written then."""

_MOST_POINTS = 200
"""Of each kind."""

_EVALUATIONS = 30
"""Evaluations of the original that a comparison takes as long as: both networks, with bounds, and a run."""

_MULTIPLICATIONS = 1 << 27
"""Of one evaluation of all random points at which networks are compared: large ones are compared at fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceKeywords(ReduceOptions):
    """Keywords of `reduce` and its like.

    Attributes:
        facts: proved before for this problem, or a folder as for `prove_stability`; proved here where not given.
        certificate: also make a certificate, which `check` verifies; units that the checker cannot confirm are kept.
        progress: called with stage, done, total.
    """

    facts: Facts | Path | str | None = None  # type: ignore[assignment]
    certificate: bool = False
    progress: Progress = silent

    @property
    def given(self) -> Facts | None:
        """The facts themselves, if it is these that were given."""
        return self.facts if isinstance(self.facts, Facts) else None


@keywords(ReduceKeywords)
@IEEE
def reduce(problem: Problem, options: ReduceKeywords) -> Reduction:
    """Make a smaller network that agrees with the problem's network on its domain up to a proved eps.

    >>> import eqverify as eq
    >>> network, query = eq.example_files()
    >>> result = eq.reduce(network, query, engine="crown")
    >>> result.network.relu_count, result.epsilon < 1e-6
    (40, True)
    >>> eq.reduce(network, eq.ball([0.5] * 64, 0.01), engine="crown").problem
    <Problem: 120 ReLUs, 64 inputs, 10 outputs, 0 disjuncts>

    Args:
        problem: network and domain.
        options: the keywords are those of `ReduceKeywords`.  A cross-check by ``z3`` looks for a difference over the
            rationals, for small networks (that there is none is its claim); ``equiv`` compares the network that was
            written with the original as `eqverify.equivalent`, for any; a time-out is reported, not raised.

    Returns:
        The reduction; nothing is written yet.

    Raises:
        UsageError: `usage/pass` for a pass that nobody registered; `certificate/no-files` where a certificate is asked
            for and the problem was not read from files; `reduce/cross-check-directed` for a cross-check of a network
            for one disjunct; `usage/shape` for one that cannot be written.
        InputError: the network cannot be reduced or written; `network/smooth`; `certificate/opaque`.
        ContradictionError: two proofs, or a proof and onnxruntime, contradict each other.
        RejectedError: `reduce/refuted` where the cross-check found a deviation above eps.
        LimitError: the network is too large for the cross-check.
    """
    from eqverify.export.joining import join
    from eqverify.export.runtime import RuntimeComparison

    rewriting = _rewriting(problem.network, options)
    _require_possible(problem, options, rewriting)
    clock, progress, budget = Clock(), options.progress, _budget(options.time_limit)
    facts, witness = _proved(problem, options, budget)
    clock.lap("stability")
    checked = certified = None
    if options.certificate or options.certified_only:
        from eqverify.reduction.certifying import recheck

        progress("certify", 0, 1)
        checked = recheck(
            problem,
            facts,
            certified_only=options.certified_only,
            seconds=min(options.tree_time_limit, budget.left / 2),
        )
        facts = checked.facts
        clock.lap("certify")
    progress("reduce", 0, 1)
    own = None if witness is None else _settled_as_is(problem, options)
    transformed, data, network, epsilons = own or _made(problem, facts, rewriting, options, budget)
    clock.lap("rewrite")
    if options.certificate and checked is not None:
        from eqverify.reduction.certifying import certify

        shown = [unit_map.units for unit_map in transformed.unit_maps.values()]
        certified = certify(problem, checked, data, network, shown, transformed.relations)
        epsilons = np.array(certified.verdict.epsilons)
        clock.lap("claim")
    progress("check", 0, 1)
    if transformed.handed_on:
        runtime = RuntimeComparison(0, 0.0, 0.0, 0.0, "", agrees=True)
    else:
        runtime = _replay(problem, facts, data, network, epsilons, budget)
        data = data if problem.tail is None else join(data, problem.tail)
    clock.lap("check")
    answer: CrossCheck | Equivalence | None = None
    if options.cross_check is not None:
        progress(options.cross_check, 0, 1)
        confirm = _confirm if options.cross_check == "z3" else _confirm_equivalent
        answer = confirm(problem, network, epsilons, options.cross_check_timeout)
        clock.lap("cross_check")
    made = problem, facts, transformed, data, network, epsilons
    runs = _shown_of_runs(certified) or run_epsilons(problem, facts, network, epsilons, budget.exhausted())
    return Reduction(*made, runs, runtime, answer, certified, clock.seconds, witness)


def _shown_of_runs(certified: Certified | None) -> tuple[FloatArray, str] | None:
    """What the certificate says of float32 runs, if it does."""
    shown = () if certified is None else certified.verdict.epsilons_float32
    return (np.array(shown), "") if shown else None


def _rewriting(network: Network, options: ReduceKeywords) -> TransformOptions:
    """How the network is rewritten: as was chosen, else as is best for the tool that gets it.

    Raises:
        UsageError: `usage/pass`, `usage/shape`, `usage/dtype`.
    """
    profile = Profile(options.shape, options.dtype, float("inf")) if options.for_ is None else PROFILES[options.for_]
    shape = options.shape if "shape" in changed(options) else profile.shape
    dtype = options.dtype or profile.dtype or element_of(network)
    return TransformOptions(shape, named_passes(options.passes), dtype, options.max_epsilon, profile.density)


def _budget(limit: TimeLimit) -> Budget:
    """The time of the whole job: without a limit a minute for the proof, and one for the rest."""
    return Budget(2 * LONGEST if limit == "auto" else limit)


def _settled(problem: Problem, options: ReduceKeywords, budget: Budget) -> FloatArray | None:
    """An input that satisfies the output condition, for a verifier, whom no smaller network can help then."""
    if options.for_ is None or options.certificate or options.certified_only or options.cross_check is not None:
        return None
    return find_counterexample(problem, options.seed, budget.part(_LOOK_SHARE, _LOOK).exhausted)


def _briefly(options: ReduceKeywords) -> ReduceKeywords:
    """Options of a proof that nobody needs."""
    limit = options.time_limit
    return replace(options, engine="crown", time_limit=_LOOK if limit == "auto" else min(limit, _LOOK), resume=None)


def _settled_as_is(problem: Problem, options: ReduceKeywords) -> Made | None:
    settled = replace(whole(problem), choice="an input satisfies the output condition, as its replay shows")
    return _handed_on(problem, settled, options)


def _proved(problem: Problem, options: ReduceKeywords, budget: Budget) -> tuple[Facts, FloatArray | None]:
    """The facts, proved in the time that there is for it, and an input that settles the property, if one was found."""
    witness = _settled(problem, options, budget)
    if options.given is not None:
        return options.given, witness
    proving = keywords_of(options if witness is None else _briefly(options), StabilityOptions)
    if options.certificate or options.certified_only:  # which has to show everything
        proving["facts"] = None
    if witness is None:
        proving["time_limit"] = _proving_time(problem, options)
    return prove_stability(problem, **proving, progress=options.progress), witness


def _proving_time(problem: Problem, options: ReduceKeywords) -> TimeLimit:
    """The part of the time that is for the proof of stability: the checker repeats it where it is asked to."""
    limit = options.time_limit
    if limit == "auto":
        return limit
    if options.certificate or options.certified_only:
        return limit / 2
    return limit - limit * min(max(rewriting_seconds(problem.network) / limit, _RESERVED_LEAST), _RESERVED)


Made = tuple[Transformed, bytes, Network, FloatArray]
"""A reduced network, its file's bytes, the network they hold, and eps proved for just that network."""


def _made(problem: Problem, facts: Facts, rewriting: TransformOptions, options: ReduceKeywords, budget: Budget) -> Made:
    """Rewrite and write; hand the original on where that gains nothing, or cannot be done in time."""
    overtime = max(_OVERTIME, _OVERTIME_SHARE * budget.seconds)
    try:
        with limited(Budget(budget.left + overtime)):
            transformed = transform(problem, facts, rewriting)
            if transformed.gained_on(problem.network):
                return _written(problem, facts, transformed, rewriting)
    except TimeoutError:
        transformed = replace(unchanged(problem), choice="unchanged: rewriting was not done within the time limit")
    if (handed := _handed_on(problem, transformed, options)) is not None:
        return handed
    return _written(problem, facts, transformed, rewriting)


def _handed_on(problem: Problem, transformed: Transformed, options: ReduceKeywords) -> Made | None:
    """The original's file as it is; None where that is not at hand, is not what was asked for, or is not normalised."""
    network, model = problem.network, problem.reading.model
    dtype = options.dtype or (None if options.for_ is None else PROFILES[options.for_].dtype)
    other = problem.reading.folded or problem.assumed is not None
    if model is None or other or dtype not in (None, network.element):
        return None
    if (data := model()) is None:
        return None
    own = replace(whole(problem), choice=f"the original, byte for byte; {transformed.choice}", handed_on=True)
    own = replace(own, wants_float64=transformed.wants_float64)
    return own, data, network, own.epsilon


def _written(
    problem: Problem,
    facts: Facts,
    transformed: Transformed,
    options: TransformOptions,
) -> Made:
    """As `_write`, or the network itself where rounding, or overflow, leaves no proof of what is read back."""
    try:
        return transformed, *_write(problem, facts, transformed, options)
    except InputError as error:
        if transformed.shape == "unchanged" or error.code not in ("reduce/no-bound", "reduce/written-differs"):
            raise
        own = replace(unchanged(problem), choice=f"unchanged: {error.message}")
        try:
            return own, *_write(problem, facts, own, options)
        except InputError:
            raise error from None


def _write(
    problem: Problem,
    facts: Facts,
    transformed: Transformed,
    options: TransformOptions,
) -> tuple[bytes, Network, FloatArray]:
    """The file's bytes, the network they hold, and eps proved for just that network."""
    from eqverify.frontend.onnx import parse_network
    from eqverify.transform.deviation import prove_deviation

    data = _file(problem, facts, transformed.network, transformed.epsilon, options.dtype)
    network = parse_network(data, smooth=bool(problem.network.smooth))
    if same_function(network, transformed.network):
        return data, network, transformed.epsilon
    pairs = zip(network.relus, transformed.unit_maps.values(), strict=True)
    unit_maps = {node.name: unit_map for node, unit_map in pairs}
    epsilons = prove_deviation(problem, facts, network, unit_maps, transformed.relations)
    if transformed.worst <= options.max_epsilon < epsilons.max(initial=0.0):
        raise InputError(
            "reduce/written-differs",
            "eps within its limit was proved for the network as written, but not as read back",
            value=f"{epsilons.max():.3e} > {options.max_epsilon:.3e} >= {transformed.worst:.3e}",
            hint="the weights or the input bounds are extremely large or small: try --dtype float64",
        )
    return _file(problem, facts, transformed.network, epsilons, options.dtype), network, epsilons


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
        "eqverify.version": version(),
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


def _replay(
    problem: Problem, facts: Facts, data: bytes, network: Network, epsilons: FloatArray, budget: Budget
) -> RuntimeComparison:
    """Run the file with onnxruntime, and compare both networks, on samples, corners and witnesses: few in a hurry."""
    from eqverify.export.runtime import compare_with_runtime

    affordable = budget.left * PRODUCTS / (_EVALUATIONS * max(1, problem.network.products))
    points = _points(problem, facts, max(1, min(_MOST_POINTS, int(affordable))))
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


def _points(problem: Problem, facts: Facts, most: int) -> FloatArray:
    """Random points, corners and the falsifier's witnesses, so many of each; all in the domain's boxes."""
    count, domain = min(most, max(4, _MULTIPLICATIONS // max(1, problem.network.products))), problem.domain
    points = sample_boxes(domain.lower, domain.upper, 2 * count, np.random.default_rng(0))
    points = np.concatenate([points, facts.witnesses[:count].reshape(-1, domain.size)])
    return points[domain.contains(points)]


def _require_possible(problem: Problem, options: ReduceKeywords, rewriting: TransformOptions) -> None:
    """Raise before the proof where what is asked for cannot be had."""
    if options.certificate or problem.assumed is not None:
        require_piecewise_linear(problem.network, "a certificate, or a reduction for one disjunct,")
    require_shape(problem, rewriting)
    if options.certificate:
        from eqverify.reduction.certifying import require_files

        require_files(problem)
    if options.cross_check is not None and problem.assumed is not None:
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
    from eqverify.equivalence.answer import EquivalenceKeywords, answer_pair

    options = EquivalenceKeywords(timeout=timeout, epsilon=epsilons.tolist())
    answer = answer_pair((problem.network, network), problem.domain, options)
    if answer.witness is not None:
        raise RejectedError(
            "reduce/refuted",
            "an input was found on which the networks differ by more than eps",
            value=f"{answer.deviation!r} at {answer.witness.point.tolist()}",
            hint="a proof is wrong: a defect of eqverify or of a solver; please report it with the files",
        )
    return answer
