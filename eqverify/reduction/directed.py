"""Property-directed reduction: per disjunct of the output condition, a verdict or a network for just that disjunct."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from eqverify.arrays import IEEE, ByteArray, FloatArray
from eqverify.budget import Clock
from eqverify.domain import Conjunction
from eqverify.errors import EmptySetError, UsageError
from eqverify.files import write_files
from eqverify.options import keywords, keywords_of
from eqverify.problem import Problem
from eqverify.reduction.options import require_mode
from eqverify.reduction.pipeline import ReduceKeywords, reduce
from eqverify.reduction.result import Reduction, Reductions, SaveOptions, numbered
from eqverify.report.claims import DIRECTED_CLAIM
from eqverify.stability.disjuncts import Directed, prove_directed
from eqverify.stability.facts import Evidence, Facts
from eqverify.transform.result import TransformOptions, named_passes

if TYPE_CHECKING:
    from eqverify.domain import Polytope
    from eqverify.reduction.certifying import Certified, Refuted

Verdict = Literal["unsat", "open", "sat", "skipped"]


@dataclass(frozen=True, slots=True, eq=False)
class DirectedDisjunct:
    """One disjunct of one case of the property, and what was found.

    Attributes:
        case: index into ``problem.cases``.
        index: number of the disjunct within the case.
        rows: its exact constraints on inputs and outputs, all of which must hold.
        polytope: the inputs of the case.
        status: ``unsat``: no input of the case satisfies it, proved, nothing is left to verify.  ``sat``:
            `counterexample` does.  ``open``: `reduction` is to be verified.  ``skipped``: another one is ``sat``.
        evidence: what ``unsat`` rests on: ``derived``, ``dual``, ``tree``, or ``solver`` where one is trusted; None
            otherwise.
        how: in a few words, how the status was found.
        counterexample: (input_size,) an input of the property whose outputs satisfy the rows, checked exactly.
        reduction: for ``open``: facts, network and eps, all on the inputs of the case that satisfy the rows only;
            its problem has just this case and disjunct.
        signs: for ``open``, by ReLU node (n,): 1 for units with z >= 0, -1 for those with z <= 0 where the rows hold,
            if that is not known on all inputs of the case; 0 for all others.
        seconds: measured wall time.
        certificate: if certificates were asked for, what `check` verifies: that it is ``unsat``, if the checker
            confirms it; for ``open``, how far the network of `reduction` is from the original where the rows hold.
        claimed: for ``open``, that a solver says that it is ``unsat``, which nothing shows.
    """

    case: int
    index: int
    rows: Conjunction
    polytope: Polytope
    status: Verdict
    evidence: str | None
    how: str
    counterexample: FloatArray | None
    reduction: Reduction | None
    signs: Mapping[str, ByteArray] | None
    seconds: float
    certificate: Refuted | Certified | None = None
    claimed: bool = False

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON; cases and disjuncts are counted from 1 there."""
        point = None if self.counterexample is None else self.counterexample.tolist()
        return {
            "case": self.case + 1,
            "disjunct": self.index + 1,
            "status": self.status,
            "evidence": self.evidence,
            "claimed": self.claimed,
            "how": self.how,
            "counterexample": point,
            "relus_after": None if self.reduction is None else self.reduction.network.relu_count,
            "epsilon": None if self.reduction is None else self.reduction.epsilon,
            "signs": {} if self.signs is None else {name: _listed(sign) for name, sign in self.signs.items()},
            "reduction": None if self.reduction is None else self.reduction.as_dict(),
            "certificate": None if self.certificate is None else self.certificate.as_dict(),
            "seconds": self.seconds,
        }

    def explain(self) -> str:
        """What the status rests on, then for ``open`` what was tried and why each kept unit is still there."""
        basis = ": ".join(part for part in (self.evidence, self.how) if part)
        head = f"case {self.case + 1}, disjunct {self.index + 1}: {self.status}" + (f" by {basis}" if basis else "")
        if self.reduction is None:
            return head
        kept, before = self.reduction.network.relu_count, self.reduction.problem.relu_count
        return f"{head}, {kept} of {before} ReLUs kept where it holds\n{self.reduction.explain()}"


@dataclass(frozen=True, slots=True, eq=False)
class DirectedReduction(Reductions):
    """The result of `reduce_for_property`.

    Attributes:
        problem: network and property.
        disjuncts: all disjuncts of all cases, in order.
        seconds: measured wall time by stage, summed over the disjuncts.
        with_certificates: whether certificates were asked for.
    """

    problem: Problem
    disjuncts: tuple[DirectedDisjunct, ...]
    seconds: Mapping[str, float]
    with_certificates: bool = False

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        return f"<DirectedReduction: {self.verdict} ({counts})>"

    @property
    def verdict(self) -> Literal["unsat", "open", "sat"]:
        """What is proved about the whole property: ``unsat`` if all disjuncts are, ``sat`` if one is."""
        statuses = {disjunct.status for disjunct in self.disjuncts}
        if "sat" in statuses:
            return "sat"
        return "unsat" if statuses <= {"unsat"} else "open"

    @property
    def counts(self) -> dict[str, int]:
        """How many disjuncts have each status."""
        return {name: sum(d.status == name for d in self.disjuncts) for name in ("unsat", "open", "sat", "skipped")}

    @property
    def remaining(self) -> tuple[DirectedDisjunct, ...]:
        """The open disjuncts; each has a reduction."""
        return tuple(disjunct for disjunct in self.disjuncts if disjunct.status == "open")

    @property
    def certified(self) -> bool:
        """Whether neither a disjunct that is unsat nor a reduction rests on a solver's word."""
        return all(d.evidence != "solver" for d in self.disjuncts) and all(
            d.reduction is None or d.reduction.certified for d in self.disjuncts
        )

    @property
    def written(self) -> Sequence[Reduction]:
        """Those of `remaining`; none where nothing is left to verify."""
        return [d.reduction for d in self.remaining if d.reduction is not None]

    def more_files(self, path: Path, files: Sequence[Sequence[Path]], options: SaveOptions) -> Mapping[Path, bytes]:
        """Certificates, as `save_certificates`."""
        if options.certificate is None:
            return {}
        return dict(self._certificates(Path(options.certificate), options.fold_property))

    def explain(self) -> str:
        """By disjunct: what it rests on, or what was tried and why each kept unit is still there.

        The bounds of units are those on the inputs of the disjunct's case that satisfy it.
        """
        return "\n\n".join(disjunct.explain() for disjunct in self.disjuncts)

    def save_certificates(self, path: str | Path, *, folded: bool = False) -> tuple[Path | None, ...]:
        """Write the certificates of disjuncts; existing files are replaced in one step.

        The number of the disjunct, over all cases in the order of `disjuncts` and from 1, is put before the suffix:
        ``C-1.cert``, ``C-2.cert``, ...; a property with a single disjunct gets the file named.

        Args:
            path: the file.
            folded: whether `save` folded properties into the networks: certificates are about networks without that, so
                that only those of disjuncts that are ``unsat`` are written.

        Returns:
            The file of each disjunct; None where there is no certificate.

        Raises:
            UsageError: `usage/certificate` where no certificates were asked for.
        """
        found = dict(self._certificates(Path(path), folded))
        write_files(found)
        return self.certificate_files(path, folded=folded)

    def certificate_files(self, path: str | Path, *, folded: bool = False) -> tuple[Path | None, ...]:
        """The file of each disjunct that `save_certificates` writes; None where there is no certificate."""
        found = dict(self._certificates(Path(path), folded))
        return tuple(file if file in found else None for file in numbered(Path(path), len(self.disjuncts)))

    def _certificates(self, path: Path, folded: bool) -> Iterator[tuple[Path, bytes]]:
        if not self.with_certificates:
            raise UsageError("usage/certificate", "there are no certificates", hint="reduce with certificate=True")
        for file, disjunct in zip(numbered(path, len(self.disjuncts)), self.disjuncts, strict=True):
            if disjunct.certificate is not None and not (folded and disjunct.status == "open"):
                yield file, disjunct.certificate.data

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return {
            "mode": "for-property",
            "claim": DIRECTED_CLAIM,
            "verdict": self.verdict,
            "counts": self.counts,
            "relus_before": self.problem.relu_count,
            "certified": self.certified,
            "reading": self.problem.reading.as_dict(),
            "disjuncts": [disjunct.as_dict() for disjunct in self.disjuncts],
            "seconds": dict(self.seconds),
        }


def _listed(signs: ByteArray) -> list[list[int]]:
    """The units with a sign, and the sign."""
    return [[int(unit), int(signs[unit])] for unit in np.flatnonzero(signs)]


@keywords(ReduceKeywords)
@IEEE
def reduce_for_property(problem: Problem, options: ReduceKeywords) -> DirectedReduction:
    """Decide each disjunct of the output condition, or make a network for just that disjunct.

    >>> import eqverify as eq
    >>> eq.reduce_for_property(*eq.example_files())
    <DirectedReduction: unsat (9 unsat)>

    A disjunct and the inputs of its case are the query "is there an x with these constraints on x and f(x)?".  Let D'
    be the set of those x.  If D' is proved empty, the disjunct is ``unsat``.  Otherwise units that have one sign on D'
    go, and the network g that is left satisfies |f(x) - g(x)| <= eps for all x in D'.  So g is **not equivalent** to f
    on the domain; it is equisatisfiable with the disjunct only together with the signs that were assumed.  ``unsat``
    for g, with the constraints relaxed by eps, means ``unsat`` for f; but a counterexample for g must be replayed on f,
    and one that does not replay says nothing (specs/semantics.md, S-16 and S-17).

    Args:
        problem: network and property, with an output condition.
        options: the keywords are those of `ReduceKeywords`, but for those that mean nothing here.  `facts` are about
            the whole domain: where the proof starts.  With `certified_only` SCIP is never asked.  `certificate` makes
            one for each disjunct, which `check` verifies: that it is ``unsat``, unless a solver's word is all there is,
            or the checker's rounding does not confirm the proof; or how far the network made for it is from the
            original.  Units whose sign the checker does not confirm are kept then.

    Returns:
        A verdict or a reduction for every disjunct; nothing is written yet.  Work ends at the first disjunct that is
        found to be ``sat``.

    Raises:
        UsageError: `facts/other-problem`; `directed/no-condition` where the property has no output condition;
            `certificate/no-files` where certificates are asked for and the problem was not read from files,
            `usage/certificate-facts` where they are and `facts` are given; `usage/reduce-mode` for other options.
        InputError: `directed/tail` for a network with an opaque tail, or as `reduce`.
        ContradictionError: as `reduce`.
    """
    require_mode("--for-property", options)
    TransformOptions(passes=named_passes(options.passes))  # says which of them is unknown
    clock, disjuncts, certificate = Clock(), list[DirectedDisjunct](), options.certificate
    if certificate:
        _require_certifiable(problem, options.given)
    proofs = prove_directed(
        problem,
        options,
        facts=options.given,
        certified_only=options.certified_only,
        progress=options.progress,
        record=certificate,
    )
    for found in proofs:
        start, proof, reduction = time.perf_counter(), found, None
        if proof.point is not None:
            problem.reading.compare(proof.point[None])
        made: Refuted | Certified | None = None
        if proof.status == "open" and proof.facts is not None:
            try:
                reduction = reduce(proof.problem, **keywords_of(_own(options, proof.facts)))
                made = reduction.certificate
            except EmptySetError:
                proof = _emptied(proof)
        if certificate and proof.status == "unsat":
            from eqverify.reduction.certifying import certify_unsat

            begun = time.perf_counter()
            made = certify_unsat(problem, proof)
            clock.add({"certificate": time.perf_counter() - begun})
        parts = {stage.name: stage.seconds for stage in proof.stages}
        took = sum(parts.values()) + time.perf_counter() - start
        disjuncts.append(_disjunct(problem, proof, reduction, took, made))
        clock.add(parts)
        if reduction is not None:
            clock.add({name: value for name, value in reduction.seconds.items() if name != "stability"})
    return DirectedReduction(problem, tuple(disjuncts), clock.seconds, certificate)


def _own(options: ReduceKeywords, facts: Facts) -> ReduceKeywords:
    """How an open disjunct is reduced, of which facts are proved."""
    own = options.certificate and options.certified_only
    return replace(options, facts=facts, certified_only=own, tree_time_limit=0.0)


def _require_certifiable(problem: Problem, facts: Facts | None) -> None:
    from eqverify.reduction.certifying import require_files

    require_files(problem)
    if facts is not None:
        raise UsageError(
            "usage/certificate-facts",
            "certificates of disjuncts do not hold what was proved before",
            hint="leave out the facts, or the certificates",
        )


def _emptied(proof: Directed) -> Directed:
    """An open disjunct of which the checker, with the same steps and bounds of its own, found that it is unsat."""
    assert proof.facts is not None
    evidence = Evidence.SOLVER if proof.facts.trusts else Evidence.TREE
    how, steps = "the checker's bounds", proof.facts.proofs
    return replace(proof, status="unsat", evidence=evidence, how=how, facts=None, signs=None, proofs=steps)


def _disjunct(
    problem: Problem,
    proof: Directed,
    reduction: Reduction | None,
    seconds: float,
    certificate: Refuted | Certified | None,
) -> DirectedDisjunct:
    case = problem.cases[proof.case]
    evidence = proof.evidence.name.lower() if proof.status == "unsat" else None
    return DirectedDisjunct(
        proof.case,
        proof.index,
        case.unsafe[proof.index],
        case.polytope,
        proof.status,
        evidence,
        proof.how,
        proof.point,
        reduction,
        proof.signs,
        seconds,
        certificate,
        proof.claimed,
    )
