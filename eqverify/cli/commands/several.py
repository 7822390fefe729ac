"""`eqverify reduce` where it writes several networks: --for-property and --per-box."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.stability.options import StabilityOptions
from eqverify.transform.result import Shape


class Explained(Protocol):
    """A result that can say why units were kept."""

    def explain(self) -> str:
        """Lines of text."""


@dataclass(frozen=True, slots=True)
class Common:
    """Options of every rewriting, named as those of `eqverify.reduce`."""

    dtype: Literal["float32", "float64"] | None
    shape: Shape
    max_epsilon: float
    certified_only: bool
    passes: str | None


@dataclass(frozen=True, slots=True)
class Checks:
    """Options of what is checked afterwards, named as those of `eqverify.reduce`."""

    cross_check: Literal["z3", "equiv"] | None
    cross_check_timeout: float
    tree_time_limit: float


@dataclass(frozen=True, slots=True)
class Saving:
    """What to write and to print, named as the options of `eqverify reduce`."""

    output: Path
    property_out: Path | None
    fold_property: bool
    property_version: Literal["1.0", "2.0"] | None
    certificate: Path | None
    picture: Path | None
    explain: bool
    json: bool

    def keywords(self) -> dict[str, Any]:
        """For `Reduction.save` and its like."""
        return {
            "property": self.property_out,
            "fold_property": self.fold_property,
            "property_version": self.property_version,
        }


def reduce_disjuncts(
    problem: Problem,
    options: StabilityOptions,
    common: Common,
    saving: Saving,
    progress: Progress,
    seconds: Mapping[str, float],
) -> None:
    """Decide the disjuncts, or write a network for each."""
    from eqverify.api.directed import reduce_for_property
    from eqverify.cli import render

    start = time.perf_counter()
    result = reduce_for_property(
        problem,
        time_limit=options.time_limit,
        unit_time_limit=options.unit_time_limit,
        seed=options.seed,
        node_limit=options.node_limit,
        split_inputs=options.split_inputs,
        trust=options.trust,
        **asdict(common),
        certificate=saving.certificate is not None,
        progress=progress,
    )
    files = result.save(saving.output, certificate=saving.certificate, **saving.keywords())
    if saving.picture is not None:
        result.plot(saving.picture)
    proved: Sequence[Path | None] = [None] * len(result.disjuncts)
    if saving.certificate is not None:
        proved = result.certificate_files(saving.certificate, folded=saving.fold_property)
    total = {**seconds, **result.seconds, "total": sum(seconds.values()) + time.perf_counter() - start}
    if saving.json:
        found = result.as_dict()
        listed = iter(files)
        entries = [
            {
                **d.as_dict(),
                "files": _names(next(listed)) if d.status == "open" else [],
                "certificate_file": None if own is None else str(own),
            }
            for d, own in zip(result.disjuncts, proved, strict=True)
        ]
        render.print_json({**found, "disjuncts": entries, "seconds": total, **explained(result, saving.explain)})
        return
    render.print_disjuncts(result, files, proved, total)
    if saving.explain:
        print(result.explain())


def reduce_boxes(
    problem: Problem,
    options: StabilityOptions,
    common: Common,
    checks: Checks,
    saving: Saving,
    progress: Progress,
    seconds: Mapping[str, float],
) -> None:
    """Write a network for each box, and the list."""
    from eqverify.api.boxes import reduce_per_box
    from eqverify.cli import render

    start = time.perf_counter()
    result = reduce_per_box(problem, **asdict(options), **asdict(common), **asdict(checks), progress=progress)
    files = result.save(saving.output, **saving.keywords())
    if saving.picture is not None:
        result.plot(saving.picture)
    total = {**seconds, **result.seconds, "total": sum(seconds.values()) + time.perf_counter() - start}
    if saving.json:
        entries = [
            {"box": number, **reduction.as_dict(), "files": _names(own)}
            for number, (reduction, own) in enumerate(zip(result.reductions, files, strict=True), 1)
        ]
        render.print_json({**result.as_dict(), "boxes": entries, "seconds": total, **explained(result, saving.explain)})
        return
    render.print_boxes(result, files, total)
    if saving.explain:
        print(result.explain())


def explained(result: Explained, wanted: bool) -> dict[str, object]:
    """The lines that say why units were kept, for JSON, where they are wanted."""
    return {"explain": result.explain().splitlines()} if wanted else {}


def _names(files: Sequence[Path]) -> list[str]:
    return [str(file) for file in files]
