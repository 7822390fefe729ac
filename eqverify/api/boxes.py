"""One reduced network per box of a property's input set, each smaller than one for all boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqverify.api.numbered import Files, numbered, plot_all, save_all
from eqverify.api.reduction import Reduction, reduce
from eqverify.arrays import IEEE
from eqverify.problem import Problem
from eqverify.progress import Progress, silent

if TYPE_CHECKING:
    from eqverify.api.properties import Version


@dataclass(frozen=True, slots=True, eq=False)
class BoxReductions:
    """The result of `reduce_per_box`.

    Attributes:
        problem: network and property.
        reductions: one per part of the input set, in order; its problem has that part as its domain.
    """

    problem: Problem
    reductions: tuple[Reduction, ...]

    @property
    def seconds(self) -> Mapping[str, float]:
        """Measured wall time by stage, summed over the parts."""
        total: dict[str, float] = {}
        for reduction in self.reductions:
            for name, value in reduction.seconds.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def save(
        self,
        path: str | Path,
        *,
        property: str | Path | None = None,
        fold_property: bool = False,
        property_version: Version | None = None,
    ) -> tuple[tuple[Path, ...], ...]:
        """Write a network per part, its property where asked, and the list of parts.

        A single part is written to the files named; for several a number is put before the suffixes: ``OUT-1.onnx``,
        ``OUT-2.onnx``, ...  The list is ``OUT.boxes.json``: an array with an object per part, which has ``network``
        (the file's name), ``files`` (all its files), ``lower``, ``upper`` (the box), ``matrix``, ``bound`` (linear
        constraints that cut it) and ``epsilon``.

        Args:
            path: the ONNX file.
            property: as `Reduction.save`.
            fold_property: as `Reduction.save`.
            property_version: as `Reduction.save`.

        Returns:
            The files of each part.

        Raises:
            UsageError, InputError: as `Reduction.save`.
        """

        def listed(files: Files) -> dict[Path, bytes]:
            entries = [json.dumps(self._entry(index, own), allow_nan=False) for index, own in enumerate(files)]
            return {Path(path).with_suffix(".boxes.json"): ("[\n" + ",\n".join(entries) + "\n]\n").encode()}

        return save_all(self.reductions, path, property, fold_property, property_version, listed)

    def plot(self, path: str | Path) -> tuple[Path, ...]:
        """Draw the layers of each part before and after, into files numbered as those of `save`."""
        return plot_all(self.reductions, path)

    def explain(self) -> str:
        """For each part what was tried, and for every kept unit a line that says why it is still there."""
        parts = [f"box {number}\n{reduction.explain()}" for number, reduction in enumerate(self.reductions, 1)]
        return "\n\n".join(parts)

    def _entry(self, index: int, files: tuple[Path, ...]) -> dict[str, object]:
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
            "relus_before": self.problem.network.relu_count,
            "reading": self.problem.reading.as_dict(),
            "boxes": [{"box": number, **r.as_dict()} for number, r in enumerate(self.reductions, 1)],
            "seconds": dict(self.seconds),
        }


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


@IEEE
def reduce_per_box(
    problem: Problem,
    *,
    time_limit: float = 60.0,
    resume: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> BoxReductions:
    """Make one reduced network per part of the problem's input set.

    A unit that is unstable on a union may well be stable on each part, so these are smaller than the one network that
    `reduce` makes for the union.

    Args:
        problem: network and domain.
        time_limit: seconds for all proofs of stability together; what one part leaves goes to the later ones.
        resume: a journal per part, numbered before the suffix where there are several; as `prove_stability`.
        progress: called with stage, done, total.
        options: the other keywords of `reduce`, but for `facts` and `certificate`, which are about one domain.

    Returns:
        A reduction per part; nothing is written yet.

    Raises:
        EqverifyError: as `reduce`.
    """
    problems, done, left = box_problems(problem), [], time_limit
    journals = [None] * len(problems) if resume is None else numbered(Path(resume), len(problems))
    for number, (part, journal) in enumerate(zip(problems, journals, strict=True)):
        progress("boxes", number, len(problems))
        share = left / (len(problems) - number)
        reduction = reduce(part, time_limit=share, resume=journal, progress=progress, **options)
        left = max(left - reduction.seconds["stability"], 1e-3)
        done.append(reduction)
    progress("boxes", len(problems), len(problems))
    return BoxReductions(problem, tuple(done))
