"""From the recorded steps of a proof, and the meanings of a reduced network's units, to a certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.certificate.codec import Writer
from eqverify.network import Network
from eqverify.problem import Problem
from eqverify.stability.facts import LayerFacts, Status
from eqverify.stability.proof import Believed, BoundPass, BoxSplitting, DualRows, Step
from eqverify.transform.chain import Meaning

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """What a certificate says beside its steps.

    Attributes:
        digests: SHA-256 (hex) of the files ``network``, ``property`` and ``reduced``.
        layers: status and bounds of the original's units.
        evidence: per layer, (n,) 0 for kept units, else 1 derived, 2 dual, 3 tree, 4 solver.
        meanings: by ReLU node of the reduced network, in order.
        epsilon: (output_size,).
        about: free text for readers, such as versions.
    """

    digests: Mapping[str, str]
    layers: Sequence[LayerFacts]
    evidence: Sequence[IntArray]
    meanings: Sequence[Meaning]
    epsilon: FloatArray
    about: Mapping[str, str]


def build_certificate(problem: Problem, steps: Sequence[Step], claim: Claim | None) -> bytes:
    """The bytes of a certificate.

    Args:
        problem: the original network and its domain.
        steps: of the proof of stability.
        claim: what is claimed; None for steps alone, which prove no claim.
    """
    return _Builder(problem).build(steps, claim)


class _Builder:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.network: Network = problem.network
        self.writer = Writer()
        self.relus = {relu.name: index for index, relu in enumerate(self.network.relus)}
        self.targets = {relu.source: index for index, relu in reversed(list(enumerate(self.network.relus)))}

    def build(self, steps: Sequence[Step], claim: Claim | None) -> bytes:
        head: dict[str, Any] = {"format": "eqverify certificate", "version": FORMAT}
        if claim is not None:
            head |= self._claim(claim)
        head["steps"] = [self._step(step) for step in steps]
        return self.writer.bytes_with(head)

    def _claim(self, claim: Claim) -> dict[str, Any]:
        array, domain = self.writer.array, self.problem.domain
        stable = [layer.mask(Status.INACTIVE, Status.ACTIVE) for layer in claim.layers]
        return {
            "about": dict(claim.about),
            "claim": "equivalent",
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
            "map": [self._meaning(meaning) for meaning in claim.meanings],
        }

    def _meaning(self, meaning: Meaning) -> dict[str, Any]:
        units = np.concatenate([meaning.units, np.full(len(meaning.carriers), -1)])
        return {"source": self.relus[meaning.source], "units": self.writer.array(units, "i4")}

    def _step(self, step: Step) -> dict[str, Any]:
        if isinstance(step, BoundPass):
            return {"kind": "pass", "rows": [self._rows(rows) for rows in step.rows if rows.slopes.units.size]}
        if isinstance(step, BoxSplitting):
            return self._box_tree(step)
        assert isinstance(step, Believed)
        return {"kind": "solver", **self._sign(step)}

    def _sign(self, step: Believed) -> dict[str, Any]:
        return {"node": self.targets[step.node], "part": step.part, "unit": step.unit, "sign": step.sign}

    def _rows(self, rows: DualRows) -> dict[str, Any]:
        slopes, array = rows.slopes, self.writer.array
        return {
            "node": self.targets[rows.node],
            "part": rows.part,
            "count": slopes.upper.shape[0],
            "units": array(slopes.units, "i4"),
            "signs": array(slopes.signs, "i1"),
            "alpha": [
                [self.relus[name], array(slopes.columns[name], "i4"), array(alpha)]
                for name, alpha in slopes.alpha.items()
                if alpha.size
            ],
            "lam": [],
            "beta": [],
            "mu": None,
        }

    def _box_tree(self, step: BoxSplitting) -> dict[str, Any]:
        array, tree = self.writer.array, step.tree
        nodes, units, signs = zip(*step.goals, strict=True)
        return {
            "kind": "box-tree",
            "parent": array(tree.parent, "i4"),
            "side": array(tree.side, "i1"),
            "part": array(tree.part, "i4"),
            "dimension": array(tree.dimension, "i4"),
            "at": array(tree.at),
            "nodes": array([self.targets[node] for node in nodes], "i4"),
            "units": array(units, "i4"),
            "signs": array(signs, "i1"),
        }
