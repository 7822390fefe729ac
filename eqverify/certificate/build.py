"""From the recorded steps of a proof, and the unit map of a reduced network's units, to a certificate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eqverify.arrays import FloatArray, IntArray
from eqverify.bounds import Bounds
from eqverify.bounds.slope_optimisation import Slopes
from eqverify.certificate.codec import Writer
from eqverify.certificate.multipliers import leaf_slopes, line_slopes
from eqverify.network import Network
from eqverify.normal_form.relation import Relation
from eqverify.numerals import exact_text
from eqverify.problem import Problem
from eqverify.search.box_queue import SplitTree
from eqverify.search.sign_tree import SignTree
from eqverify.search.unit_signs import UnitPlaces
from eqverify.stability.facts import LayerFacts, Status
from eqverify.stability.proofs import (
    BranchProof,
    ClipProof,
    CoverProof,
    DerivedProof,
    LinearProof,
    Proof,
    RowProof,
    SlopesProof,
    SolverClaim,
    SplitProof,
    ZeroProof,
)
from eqverify.transform.unit_map import Shown

if TYPE_CHECKING:
    from eqverify.approximate.search import CellTree

FORMAT = 1
SMALLEST = 1e-60
"""Of multipliers on assumed constraints (specs/certificate.md, K-9)."""
KINDS = ("inactive", "active", "parallel", "antiparallel")
SparseSlopes = Mapping[str, tuple[IntArray, npt.NDArray[Any]]]
"""By ReLU node, columns (k,) and slopes or multipliers (boxes, rows, k)."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """What a certificate says beside its steps.

    Attributes:
        digests: SHA-256 (hex) of the files ``network``, ``property`` and ``reduced``.
        layers: status and bounds of the original's units.
        evidence: per layer, (n,) 0 for kept units, else 1 derived, 2 dual, 3 tree, 4 solver.
        shown: by ReLU node of the reduced network, in order, what its units show.
        relations: about units of the original that are neither stable nor shown.
        epsilon: (output_size,).
        about: free text for readers, such as versions.
        disjunct: of a network made for one disjunct of the property: number of the case and of the disjunct, from 1.
        runs: how often boxes are halved, and how far float32 runs of both networks are from each other, (output_size,).
    """

    digests: Mapping[str, str]
    layers: Sequence[LayerFacts]
    evidence: Sequence[IntArray]
    shown: Sequence[Shown]
    relations: Sequence[Relation]
    epsilon: FloatArray
    about: Mapping[str, str]
    disjunct: tuple[int, int] | None = None
    runs: tuple[int, FloatArray] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Refutation:
    """The claim that no input of a case satisfies a disjunct of the output condition.

    Attributes:
        digests: SHA-256 (hex) of the files ``network`` and ``property``.
        disjunct: number of the case in the property and of the disjunct within it, from 1.
        about: free text for readers, such as versions.
    """

    digests: Mapping[str, str]
    disjunct: tuple[int, int]
    about: Mapping[str, str]


def build_certificate(problem: Problem, proofs: Sequence[Proof], claim: Claim | Refutation | None) -> bytes:
    """The bytes of a certificate.

    Args:
        problem: the original network and its domain.
        proofs: of stability, in the order in which they came.
        claim: what is claimed; None for proofs alone.
    """
    return _Builder(problem).build(proofs, claim)


@dataclass(frozen=True, slots=True, eq=False)
class CaseProof:
    """That no input of a case satisfies its condition.

    Attributes:
        shared: the steps for all disjuncts.
        asked: what they are about: the network with the rows of the condition behind it; None where there are none.
        disjuncts: for each, what its steps are about, with the disjunct assumed, and the steps: none where the rows'
            bounds exclude it, then.
        rows: for each, the numbers of its rows among those of the condition.
    """

    shared: Sequence[Proof]
    asked: Problem | None
    disjuncts: Sequence[tuple[Problem | None, Sequence[Proof]]]
    rows: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Compared:
    """That what is claimed is about two networks as they are.

    Attributes:
        epsilons: for each output, the deviation that is allowed; None where equal largest outputs are asked for.
    """

    epsilons: Sequence[Fraction] | None


@dataclass(frozen=True, slots=True, eq=False)
class RunSlacks:
    """That what is claimed is about float32 runs.

    Attributes:
        halvings: how often boxes are halved for what runs are off.
        slacks: for each case, by how much the rows of its disjuncts, in order, are relaxed, (rows,).
    """

    halvings: int
    slacks: Sequence[FloatArray]


def build_unsat(
    files: Mapping[str, str],
    about: Mapping[str, str],
    cases: Sequence[CaseProof],
    pair: Compared | None = None,
    runs: RunSlacks | None = None,
) -> bytes:
    """The bytes of a proof that no input satisfies a property: cases and disjuncts in the property's order.

    Args:
        files: the digests of the files, by what they are.
        about: free text for readers.
        cases: the steps for each case.
        pair: where the claim is that two networks do not differ.
        runs: where it is about runs; the steps are then about rows that are relaxed by so much.
    """
    writer = Writer()

    def steps(problem: Problem | None, proofs: Sequence[Proof], rows: Sequence[int] = ()) -> list[dict[str, Any]]:
        return [] if problem is None else list(_Builder(problem, writer, rows).steps(proofs))

    entries = [
        {
            "steps": steps(case.asked, case.shared),
            "disjuncts": [
                {"steps": steps(*disjunct, rows)} for disjunct, rows in zip(case.disjuncts, case.rows, strict=True)
            ],
        }
        for case in cases
    ]
    claim = "property-unsat" if pair is None else "pair-equivalent"
    head = {**_opening(claim, files, about), **_asked(pair), "cases": entries}
    if runs is not None:
        told = [{"slack": writer.array(slack), **entry} for slack, entry in zip(runs.slacks, entries, strict=True)]
        claim = "runs-unsat" if pair is None else "runs-equivalent"
        head |= {"claim": claim, "halvings": runs.halvings, "cases": told}
    return writer.bytes_with(head)


def build_sat(
    files: Mapping[str, str],
    about: Mapping[str, str],
    case: int,
    inputs: Sequence[Fraction],
    pair: Compared | None = None,
    runs: bool = False,
) -> bytes:
    """The bytes of a proof that an input of a case, from 1, satisfies a property (in all runs), or a difference."""
    about_whole, about_pair = ("runs-sat", "runs-different") if runs else ("property-sat", "pair-different")
    head = _opening(about_whole if pair is None else about_pair, files, about)
    return Writer().bytes_with({**head, **_asked(pair), "case": case, "input": list(map(exact_text, inputs))})


def build_regions(
    files: Mapping[str, str], about: Mapping[str, str], parts: Sequence[tuple[FloatArray, CellTree | None]]
) -> bytes:
    """The bytes of a proof of how many linear regions there are: a point in each, and why there are no others.

    Args:
        files, about: as for `build_unsat`.
        parts: for each part of the property's inputs (regions, inputs) points, and the tree of the search, or None.
    """
    writer = Writer()
    entries = [{"points": writer.array(points), "tree": _cells(writer, tree)} for points, tree in parts]
    return writer.bytes_with({**_opening("regions", files, about), "parts": entries})


def _cells(writer: Writer, tree: CellTree | None) -> dict[str, Any] | None:
    if tree is None:
        return None
    facts = [
        [cell, unit, sign, list(reason), [exact_text(y) for y in reason.values()]]
        for cell, unit, sign, reason in tree.facts
    ]
    arrays = {key: writer.array(np.array(getattr(tree, key)), "i4") for key in ("parent", "side", "unit")}
    return {**arrays, "facts": facts}


def _asked(pair: Compared | None) -> dict[str, Any]:
    if pair is None:
        return {}
    return {"epsilon": None if pair.epsilons is None else list(map(exact_text, pair.epsilons))}


def _opening(claim: str, files: Mapping[str, str], about: Mapping[str, str]) -> dict[str, Any]:
    start = {"format": "eqverify certificate", "version": FORMAT, "about": dict(about)}
    return {**start, "claim": claim, "digests": dict(files)}


class _Builder:
    def __init__(self, problem: Problem, writer: Writer | None = None, rows: Sequence[int] = ()) -> None:
        self.problem, self.rows = problem, rows
        self.network: Network = problem.network
        self.writer = Writer() if writer is None else writer
        self.relus = {relu.name: index for index, relu in enumerate(self.network.relus)}
        self.targets = {relu.source: index for index, relu in reversed(list(enumerate(self.network.relus)))}

    def build(self, proofs: Sequence[Proof], claim: Claim | Refutation | None) -> bytes:
        head: dict[str, Any] = {"format": "eqverify certificate", "version": FORMAT}
        if isinstance(claim, Refutation):
            head |= _opening("unsat", claim.digests, claim.about)
        elif claim is not None:
            head |= self._claim(claim)
        if claim is not None and claim.disjunct is not None:
            head |= dict(zip(("case", "disjunct"), claim.disjunct, strict=True))
        if isinstance(claim, Claim) and claim.runs is not None:
            head["runs"] = {"halvings": claim.runs[0], "epsilon": self.writer.array(claim.runs[1])}
        head["steps"] = list(self.steps(proofs))
        return self.writer.bytes_with(head)

    def _claim(self, claim: Claim) -> dict[str, Any]:
        array, domain = self.writer.array, self.problem.domain
        stable = [layer.mask(Status.INACTIVE, Status.ACTIVE) for layer in claim.layers]
        return {
            "about": dict(claim.about),
            "claim": "equivalent" if claim.disjunct is None else "equisatisfiable",
            "digests": dict(claim.digests),
            "domain": {"lower": array(domain.lower), "upper": array(domain.upper)},
            "epsilon": array(claim.epsilon),
            "layers": [
                {
                    "name": layer.name,
                    "status": array(np.where(mask, layer.status, 0), "i1"),
                    "lower": array(layer.lower),
                    "upper": array(layer.upper),
                    "evidence": array(evidence, "i1"),
                }
                for layer, evidence, mask in zip(claim.layers, claim.evidence, stable, strict=True)
            ],
            "relations": self._relations(claim.relations),
            "map": [self._map(shown) for shown in claim.shown],
        }

    def _map(self, shown: Shown) -> dict[str, Any]:
        pairs = [(-1, 0) if one is None else (self.relus[one[0]], one[1]) for one in shown]
        layers, units = np.array(pairs).reshape(-1, 2).T
        return {"layers": self.writer.array(layers, "i4"), "units": self.writer.array(units, "i4")}

    def _relations(self, relations: Sequence[Relation]) -> dict[str, Any]:
        rows = [
            (KINDS.index(r.kind), self.relus[r.layer], r.unit, self.relus.get(r.other_layer, -1), max(r.other_unit, 0))
            for r in relations
        ]
        names = ("kind", "layer", "unit", "other_layer", "other_unit")
        columns = zip(names, np.array(rows).reshape(-1, 5).T, strict=True)
        factors = self.writer.array([r.factor for r in relations])
        return {**{name: self.writer.array(column, "i4") for name, column in columns}, "factor": factors}

    def steps(self, proofs: Sequence[Proof]) -> Iterator[dict[str, Any]]:
        """The steps; what says nothing new is left out, and multipliers of one layer become rows of one pass."""
        fresh = True  # a checker begins with a pass
        for _, group in groupby(proofs, _bundle):
            first, *_ = bundle = list(group)
            if isinstance(first, DerivedProof):
                if not fresh:
                    yield {"kind": "pass", "rows": []}
                fresh = True
                continue
            fresh = False
            if isinstance(first, LinearProof):
                rows = [self._linear_rows([one for one in bundle if isinstance(one, LinearProof)])]
                yield {"kind": "pass", "rows": rows}
                continue
            for one in bundle:
                if not isinstance(one, SplitProof) or any(signs.any() for signs in one.signs.values()):
                    yield self._step(one)

    def _step(self, proof: Proof) -> dict[str, Any]:
        if isinstance(proof, SlopesProof):
            parts = slice(int(proof.parts[0]), int(proof.parts[-1]) + 1)
            pairs = [(node, slopes) for node, chunks in proof.slopes.items() for slopes in chunks]
            rows = [self._slope_rows(node, slopes, proof.known, parts) for node, slopes in pairs]
            return {"kind": "pass", "rows": [one for one in rows if one is not None]}
        if isinstance(proof, SplitProof):
            return {"kind": "box-tree", **self._boxes(proof.tree), "goals": self.writer.array(self._goals(proof), "i4")}
        if isinstance(proof, BranchProof):
            question = proof.result.question
            return self._sign_tree(
                self._sign(question.node, proof.part, question.unit, question.sign), proof.result.tree
            )
        if isinstance(proof, RowProof):
            place = {"node": len(self.relus), "part": 0, "unit": self.rows[proof.row], "sign": -1}
            tree = proof.result.tree
            return self._sign_tree(place, replace(tree, nu=np.insert(tree.nu, proof.row, 0.0, axis=1)))
        if isinstance(proof, ZeroProof):
            return {"kind": "zero", **self._zero_hints(proof)}
        if isinstance(proof, CoverProof | ClipProof):
            boxes = replace(proof.tree, dimension=self._coordinates(proof.tree.dimension))
            kind, mu = "cover" if isinstance(proof, CoverProof) else "cuts", self.writer.array(_normal(proof.weights))
            return {"kind": kind, **self._boxes(boxes), "mu": mu}
        assert isinstance(proof, SolverClaim)
        return {"kind": "solver", **self._sign(proof.node, proof.part, proof.unit, proof.sign)}

    def _sign(self, node: str, part: int, unit: int, sign: int) -> dict[str, Any]:
        return {"node": self.targets[node], "part": part, "unit": unit, "sign": sign}

    def _slope_rows(self, node: str, slopes: Slopes, bounds: Bounds, parts: slice) -> dict[str, Any] | None:
        """The rows that gained anything."""
        known = bounds[node]
        before = np.where(slopes.signs > 0, known.upper[parts, slopes.units], -known.lower[parts, slopes.units])
        useful = (slopes.upper < before).any(axis=0)
        if not useful.any():
            return None
        alpha = {name: (slopes.columns[name], values[:, useful]) for name, values in slopes.alpha.items()}
        mu = slopes.nu[:, useful]
        place = {"node": self.targets[node], "part": parts.start, "count": parts.stop - parts.start}
        return {
            **place,
            **self._rows_of(slopes.units[useful], slopes.signs[useful]),
            **self._hints(alpha, self._chords(bounds, alpha, mu), {}, mu),
        }

    def _linear_rows(self, proofs: Sequence[LinearProof]) -> dict[str, Any]:
        units, signs = np.array([p.unit for p in proofs]), np.array([p.sign for p in proofs])
        place = {"node": self.targets[proofs[0].node], "part": proofs[0].part, "count": 1}
        return {**place, **self._rows_of(units, signs), **self._linear_hints(proofs)}

    def _zero_hints(self, proof: ZeroProof) -> dict[str, Any]:
        found = proof.found
        if isinstance(found, LinearProof):
            return self._linear_hints([found])
        alpha = {name: (found.columns[name], values) for name, values in found.alpha.items()}
        return self._hints(alpha, self._chords(proof.known, alpha, found.nu), {}, found.nu)

    def _chords(self, bounds: Bounds, alpha: SparseSlopes, mu: FloatArray) -> SparseSlopes:
        """With assumed constraints, the upper slopes that were used: those of tighter bounds may give worse ones."""
        chords = {}
        for name, (columns, values) in alpha.items() if mu.size else ():
            z = bounds[self.network.by_name[name].sources[0]]
            lower, upper = z.lower[:, None, columns], z.upper[:, None, columns]
            chords[name] = columns, np.broadcast_to(upper / (upper - lower), values.shape)
        return chords

    def _linear_hints(self, proofs: Sequence[LinearProof]) -> dict[str, Any]:
        found = [line_slopes(proof) for proof in proofs]
        columns = {name: np.flatnonzero(mask) for name, mask in proofs[0].kept.items()}
        alpha = {name: (own, np.stack([one[0][name] for one in found])[None]) for name, own in columns.items()}
        lam = {name: (own, np.stack([one[1][name] for one in found])[None]) for name, own in columns.items()}
        constraints = np.stack([one[3] for one in found])[None]
        tau = {name: (own, np.stack([one[2][name] for one in found])[None]) for name, own in columns.items()}
        return self._hints(alpha, lam, tau, constraints)

    def _rows_of(self, units: IntArray, signs: FloatArray | IntArray) -> dict[str, Any]:
        return {"units": self.writer.array(units, "i4"), "signs": self.writer.array(signs, "i1")}

    def _hints(
        self, alpha: SparseSlopes, lam: SparseSlopes, tau: SparseSlopes, mu: npt.NDArray[Any] | None = None
    ) -> dict[str, Any]:
        used = {name: _used(columns, _normal(values)) for name, (columns, values) in tau.items()}
        return {
            "alpha": self._slopes(alpha),
            "lam": self._slopes(lam),
            "tau": self._slopes(used),
            "mu": None if mu is None or not mu.size else self.writer.array(_normal(mu)),
        }

    def _slopes(self, slopes: SparseSlopes) -> list[list[int]]:
        array = self.writer.array
        return [
            [self.relus[name], array(columns, "i4"), array(values, "f4" if _is_single(values) else "f8")]
            for name, (columns, values) in slopes.items()
            if values.size
        ]

    def _goals(self, proof: SplitProof) -> list[int]:
        """The units that got a sign, counted over all layers."""
        pairs = [(self._first(name), signs) for name, signs in proof.signs.items()]
        return [int(first + unit) for first, signs in pairs for unit in np.flatnonzero(signs)]

    def _first(self, name: str) -> int:
        """The number of the first unit of a node, counted over all layers."""
        return sum(self.network.sizes[relu.name] for relu in self.network.relus[: self.targets[name]])

    def _coordinates(self, dimension: IntArray) -> IntArray:
        """Inputs, then units as `UnitPlaces` counts them: the units counted over all layers."""
        inputs, places = self.network.input_size, UnitPlaces.of(self.network).places
        units = [np.arange(own.stop - own.start) + inputs + self._first(name) for name, own in places.items()]
        return np.concatenate([np.arange(inputs), *units, [-1]])[dimension]

    def _boxes(self, tree: SplitTree) -> dict[str, Any]:
        array = self.writer.array
        return {
            "parent": array(tree.parent, "i4"),
            "side": array(tree.side, "i1"),
            "part": array(tree.part, "i4"),
            "dimension": array(tree.dimension, "i4"),
            "at": array(tree.at),
        }

    def _sign_tree(self, place: dict[str, Any], tree: SignTree) -> dict[str, Any]:
        array = self.writer.array
        alpha, tau = (
            {name: (tree.columns[name], values[:, None, :]) for name, values in one.items()}
            for one in leaf_slopes(tree, self.network)
        )
        return {
            "kind": "sign-tree",
            **place,
            "parent": array(tree.parent, "i4"),
            "side": array(np.maximum(tree.side, 0), "i1"),
            "relu": array(tree.relu, "i4"),
            "split": array(np.where(tree.relu < 0, 0, tree.unit), "i4"),
            **self._hints(alpha, {}, tau, tree.nu[tree.leaf[tree.relu < 0]][:, None, :]),
        }


def _bundle(proof: Proof) -> tuple[object, ...]:
    """Consecutive proofs with one key are written together."""
    if isinstance(proof, LinearProof):
        return LinearProof, proof.node, proof.part
    return (type(proof),)


def _normal(multipliers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Without those that are too small for certificates."""
    return np.where(np.abs(multipliers) < SMALLEST, 0.0, multipliers)


def _used(columns: IntArray, values: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    """Without the columns that are 0 everywhere."""
    used = values.any(axis=(0, 1))
    return columns[used], values[:, :, used]


def _is_single(values: npt.NDArray[Any]) -> bool:
    return bool(np.array_equal(values, np.asarray(values, dtype=np.float32)))
