"""Verdicts with a proof: the search whose steps are recorded, case by case (specs/verification.md, V-9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.budget import Budget
from eqverify.certificate import CaseProof
from eqverify.deciding.splitting import can_split
from eqverify.domain import Case, Domain, row_numbers
from eqverify.network import Network
from eqverify.problem import Problem, domain_problem
from eqverify.progress import Progress
from eqverify.stability.disjuncts import SHARED_SHARE, prove_directed, share_proof
from eqverify.stability.joint_disjuncts import Effort, SharedProof
from eqverify.stability.options import StabilityOptions
from eqverify.stability.proofs import BranchProof, ClipProof, CoverProof, Proof, RowProof, SplitProof

Steps = tuple[Problem | None, Sequence[Proof]]

_LEAST = 0.01


def recorded(
    network: Network, cases: Sequence[Case], budget: Budget, seed: int, progress: Progress
) -> list[CaseProof] | None:
    """The steps for each case of a network's inputs, where inputs were looked for before; None where one is open."""
    problem = domain_problem(network, Domain(tuple(case.polytope for case in cases)))
    own = replace(problem, specification=replace(problem.specification, cases=tuple(cases)))
    options = StabilityOptions(unit_time_limit=1.0, seed=seed, workers=1)
    return Search(own, dict.fromkeys(range(len(cases)), _deaf), options, progress).cases(budget)


def _deaf(_: FloatArray) -> bool:
    return False


def means_of(cases: Sequence[CaseProof]) -> list[str]:
    """What the steps of a proof do beside bounding whole boxes."""
    steps = [step for case in cases for step in (*case.shared, *(one for _, own in case.disjuncts for one in own))]
    kinds = {"splitting of inputs": (CoverProof, SplitProof), "branching": (BranchProof, RowProof, ClipProof)}
    return [how for how, types in kinds.items() if any(isinstance(step, types) for step in steps)]


def no_steps(case: Case) -> CaseProof:
    """Of a case that the checker sees to have no input."""
    return CaseProof((), None, [(None, ())] * len(case.unsafe), [()] * len(case.unsafe))


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A search for a proof that no input satisfies a property.

    Attributes:
        problem: network and property.
        replays: by number of the case, what takes inputs (k, input_size) that may satisfy it; none for cases that are
            known to have no input.
        options: of the proofs of stability; their time is that of `cases`.
        progress: told of what is done.
    """

    problem: Problem
    replays: Mapping[int, Callable[[FloatArray], object]]
    options: StabilityOptions
    progress: Progress

    def cases(self, budget: Budget) -> list[CaseProof] | None:
        """The steps for each case; None where one is left open, or an input was met, which its replay knows."""
        found = []
        for number, case in enumerate(self.problem.cases):
            proof = self._case(number, case, budget.share(len(self.problem.cases) - number))
            if proof is None:
                return None
            found.append(proof)
        return found

    def _case(self, number: int, case: Case, budget: Budget) -> CaseProof | None:
        every = list(range(len(case.unsafe)))
        if not every:
            return CaseProof((), None, (), ())
        if number not in self.replays and case.written is not None and case.written.excludes_itself():
            return no_steps(case)
        if number not in self.replays:
            found = self._singly(number, case, every, budget, None)
            return None if found is None else CaseProof((), None, list(found.values()), row_numbers(case.unsafe))
        box = case.polytope.box
        few = can_split(self.problem.network, box)
        own = replace(self.problem, specification=replace(self.problem.specification, cases=(case,)))
        effort: Effort = "bounds alone" if few else "bounds first"
        shared = share_proof(own, budget.left * SHARED_SHARE, self.options, self.progress, effort)
        left = np.flatnonzero(~shared.closed).tolist()
        useful = shared.closed.any() or not few  # else its steps are left out, and nothing may rest on them
        found = self._singly(number, case, left, budget, shared if useful else None) if left else {}
        if found is None:
            return None
        disjuncts = [found.get(k, (None, ())) for k in every]
        steps = (shared.proofs, shared.asked) if useful else ((), None)
        return CaseProof(*steps, disjuncts, row_numbers(case.unsafe))

    def _singly(
        self, number: int, case: Case, chosen: list[int], budget: Budget, shared: SharedProof | None
    ) -> dict[int, Steps] | None:
        """The steps for some disjuncts, each by itself, after what is shared."""
        own = replace(case, unsafe=tuple(case.unsafe[k] for k in chosen))
        problem = replace(self.problem, specification=replace(self.problem.specification, cases=(own,)))
        steps: dict[int, Steps] = {}
        for one in prove_directed(
            problem,
            replace(self.options, time_limit=max(budget.left, _LEAST)),
            facts=None if shared is None else shared.facts,
            certified_only=True,
            progress=self.progress,
            record=True,
            row_proofs=True,
            searched=number in self.replays,
        ):
            if one.point is not None and number in self.replays:
                self.replays[number](one.point[None])
            if one.status != "unsat":
                return None
            steps[chosen[one.index]] = one.problem, one.proofs
        return steps
