"""One reduced network per box of a property's input set, each smaller than one for all boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eqverify.arrays import IEEE
from eqverify.budget import Budget, Clock
from eqverify.files import parts_of
from eqverify.options import keywords, keywords_of
from eqverify.problem import Problem
from eqverify.reduction.options import require_mode
from eqverify.reduction.pipeline import ReduceKeywords, reduce
from eqverify.reduction.result import Reduction, Reductions, SaveOptions, numbered

_LEAST = 1e-3
"""Seconds that a part gets where none are left."""


@dataclass(frozen=True, slots=True, eq=False)
class BoxReductions(Reductions):
    """The result of `reduce_per_box`.

    Attributes:
        problem: network and property.
        reductions: one per part of the input set, in order; its problem has that part as its domain.
        seconds: measured wall time by stage, summed over the parts.
    """

    problem: Problem
    reductions: tuple[Reduction, ...]
    seconds: Mapping[str, float]

    def __repr__(self) -> str:
        after = ", ".join(str(reduction.network.relu_count) for reduction in self.reductions)
        return f"<BoxReductions: {self.problem.relu_count} -> {after} ReLUs>"

    @property
    def written(self) -> Sequence[Reduction]:
        """All."""
        return self.reductions

    def more_files(self, path: Path, files: Sequence[Sequence[Path]], options: SaveOptions) -> Mapping[Path, bytes]:
        """The list of parts, ``OUT.boxes.json``.

        It is an array with an object per part, which has ``network`` (the file's name), ``files`` (all its files),
        ``lower``, ``upper`` (the box), ``matrix``, ``bound`` (linear constraints that cut it) and ``epsilon``.
        """
        entries = [json.dumps(self._entry(index, own), allow_nan=False) for index, own in enumerate(files)]
        return {path.with_name(f"{parts_of(path)[0]}.boxes.json"): ("[\n" + ",\n".join(entries) + "\n]\n").encode()}

    def explain(self) -> str:
        """For each part what was tried, and for every kept unit a line that says why it is still there."""
        parts = [f"box {number}\n{reduction.explain()}" for number, reduction in enumerate(self.reductions, 1)]
        return "\n\n".join(parts)

    def _entry(self, index: int, files: Sequence[Path]) -> dict[str, object]:
        reduction = self.reductions[index]
        (part,) = reduction.problem.domain.polytopes
        return {
            "network": files[0].name,
            "files": [file.name for file in files],
            "lower": part.box.lower.tolist(),
            "upper": part.box.upper.tolist(),
            "matrix": part.matrix.tolist(),
            "bound": part.bound.tolist(),
            "epsilon": reduction.epsilon,
        }

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return {
            "mode": "per-box",
            "relus_before": self.problem.relu_count,
            "reading": self.problem.reading.as_dict(),
            "boxes": [{"box": number, **r.as_dict()} for number, r in enumerate(self.reductions, 1)],
            "seconds": dict(self.seconds),
        }


@keywords(ReduceKeywords)
@IEEE
def reduce_per_box(problem: Problem, options: ReduceKeywords) -> BoxReductions:
    """Make one reduced network per part of the problem's input set.

    >>> import eqverify as eq
    >>> eq.reduce_per_box(*eq.example_files(), engine="crown")
    <BoxReductions: 120 -> 40 ReLUs>

    A unit that is unstable on a union may well be stable on each part, so these are smaller than the one network that
    `reduce` makes for the union.

    Args:
        problem: network and domain.
        options: the keywords are those of `ReduceKeywords`, but for `facts` and `certificate`, which are about one
            domain.  What one part leaves of `time_limit` goes to the later ones, and ``auto`` is
            about each; there is a journal per part, numbered
            before the suffix where there are several.

    Returns:
        A reduction per part; nothing is written yet.

    Raises:
        UsageError: `usage/reduce-mode` for `certificate`.
        EqverifyError: as `reduce`.
    """
    require_mode("--per-box", options, certificate=options.certificate)
    problems, done, clock = box_problems(problem), list[Reduction](), Clock()
    budget = Budget.of(options.time_limit)
    journals = [None] * len(problems) if options.resume is None else numbered(Path(options.resume), len(problems))
    for number, (part, journal) in enumerate(zip(problems, journals, strict=True)):
        options.progress("boxes", number, len(problems))
        limit = options.time_limit
        if limit != "auto":
            limit = max(budget.share(len(problems) - number).left, _LEAST)
        own = replace(options, time_limit=limit, resume=journal)
        done.append(reduce(part, **keywords_of(own)))
        clock.add(done[-1].seconds)
    options.progress("boxes", len(problems), len(problems))
    return BoxReductions(problem, tuple(done), clock.seconds)


def box_problems(problem: Problem) -> tuple[Problem, ...]:
    """A problem per part of the input set, with the output conditions that belong to it."""
    cases = problem.cases
    return tuple(
        replace(
            problem,
            specification=replace(
                problem.specification, cases=tuple(case for case in cases if case.polytope is polytope)
            ),
        )
        for polytope in problem.domain.polytopes
    )
