"""Results as text on stdout: rich tables for people, one JSON object for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from eqverify.numerals import at_least, at_most
from eqverify.reading import Reading
from eqverify.reduction.boxes import BoxReductions
from eqverify.reduction.directed import DirectedReduction
from eqverify.reduction.result import Reduction, SaveOptions
from eqverify.reduction.summary import summary
from eqverify.report.claims import DIRECTED_CLAIM
from eqverify.report.explain import evidence_words
from eqverify.report.layers import LayerRow, layer_rows
from eqverify.stability.facts import NOT_REACHED, Facts
from eqverify.transform.driver import FLOAT64_HINT

if TYPE_CHECKING:
    from pathlib import Path

    from eqverify.api.ranges import Ranges
    from eqverify.api.regions import RegionReport
    from eqverify.api.shallow import ShallowReport
    from eqverify.equivalence.answer import Equivalence

_WIDEST = 10_000
"""Characters in a line of a table, at most."""

_SHOWN = 10
"""Outputs that a report lists, at most."""

_NOTABLE = 0.5
"""Seconds that gained nothing are told from here on."""

_COUNTS = ("units", "inactive", "active", "unstable", "undecided", "claimed")


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values in two columns; long values are not broken, so that they can be copied."""
    listed = list(pairs)
    width = max((len(name) for name, _ in listed), default=0)
    console = _console()
    for name, value in listed:
        console.print(Text.assemble((f"{name:<{width}}", "bold"), "  ", str(value)))


def print_facts(facts: Facts, rows: Sequence[LayerRow], reading: Reading, seconds: Mapping[str, float]) -> None:
    """The table of units per layer, with totals, stages and seconds, and how far the file was compared."""
    _print_table(_layer_table(rows))
    _print_stages(facts, seconds)
    print_pairs([("evidence", evidence_words(facts)), ("read", reading)])


def print_ranges(ranges: Ranges, output: object, seconds: float) -> None:
    """A line per layer: how many units of each status, and the widest range; then the outputs."""
    table = _table("layer", "units", "inactive", "active", "unstable", "undecided", "widest z")
    table.columns[0].justify = "left"
    for row, layer in zip(layer_rows(ranges.facts), ranges.facts.layers, strict=True):
        counts = (row.units, row.inactive, row.active, row.unstable, row.undecided)
        table.add_row(Text(row.name), *map(str, counts), f"{(layer.upper - layer.lower).max(initial=0.0):.3g}")
    _print_table(table)
    outputs = ranges.outputs
    shown = [
        f"[{at_least(a)}, {at_most(b)}]" for a, b in zip(outputs.lower[:_SHOWN], outputs.upper[:_SHOWN], strict=True)
    ]
    more = ["..."] if outputs.lower.size > _SHOWN else []
    pairs: list[tuple[str, object]] = [
        ("outputs", " ".join([*shown, *more])),
        ("evidence", evidence_words(ranges.facts)),
    ]
    pairs += [("read", ranges.problem.reading), ("seconds", f"{seconds:.2f}"), ("written", output)]
    print_pairs(pairs)


def reduction_dict(
    result: Reduction | BoxReductions | DirectedReduction, files: Sequence[Any], saving: SaveOptions, output: Path
) -> dict[str, Any]:
    """All measured numbers of what `reduce` made, with the files that were written for it."""
    found: dict[str, Any] = result.as_dict()
    if isinstance(result, Reduction):
        return {**found, "output": str(output), "files": [*map(str, files)]}
    written = iter(files)
    if isinstance(result, BoxReductions):
        for box in found["boxes"]:
            box["files"] = [*map(str, next(written))]
        return found
    for disjunct, own in zip(found["disjuncts"], _certificates(result, saving), strict=True):
        disjunct["files"] = [*map(str, next(written))] if disjunct["status"] == "open" else []
        disjunct["certificate_file"] = None if own is None else str(own)
    return found


def print_reductions(
    result: Reduction | BoxReductions | DirectedReduction,
    files: Sequence[Any],
    saving: SaveOptions,
    seconds: Mapping[str, float],
) -> None:
    """The tables of what `reduce` made."""
    if isinstance(result, Reduction):
        print_reduction(result, ", ".join(map(str, files)), seconds)
    elif isinstance(result, BoxReductions):
        print_boxes(result, files, seconds)
    else:
        print_disjuncts(result, files, _certificates(result, saving), seconds)


def _certificates(result: DirectedReduction, saving: SaveOptions) -> Sequence[Path | None]:
    """The file of each disjunct's certificate."""
    if saving.certificate is None:
        return [None] * len(result.disjuncts)
    return result.certificate_files(saving.certificate, folded=saving.fold_property)


def print_reduction(result: Reduction, output: object, seconds: Mapping[str, float]) -> None:
    """The table of a reduction and what is proved about it."""
    _print_table(_layer_table(result.layers, result.problem.relu_count - sum(row.units for row in result.layers)))
    _print_stages(result.facts, seconds)
    print_pairs(summary(result, output))


def print_disjuncts(
    result: DirectedReduction,
    files: Sequence[Sequence[Path]],
    proved: Sequence[Path | None],
    seconds: Mapping[str, float],
) -> None:
    """A line per disjunct, and what the networks of those that are left are good for."""
    table = _table("case", "disjunct", "status", "ReLUs", "eps", "seconds")
    table.add_column("by")
    written = iter(files)
    for found, certificate in zip(result.disjuncts, proved, strict=True):
        relus = eps = "-"
        by = found.how if found.evidence is None else f"{found.evidence}: {found.how}"
        if found.reduction is not None:
            relus, eps = str(found.reduction.network.relu_count), at_most(found.reduction.epsilon)
            by = ", ".join(map(str, next(written)))
        if certificate is not None:
            by += f" ({certificate})"
        place = str(found.case + 1), str(found.index + 1)
        table.add_row(*place, found.status, relus, eps, f"{found.seconds:.2f}", Text(by))
    _print_table(table)
    counts = ", ".join(f"{n} {name}" for name, n in result.counts.items() if n)
    pairs: list[tuple[str, object]] = [
        ("verdict", f"{result.verdict} ({counts})"),
        ("ReLUs", f"{result.problem.relu_count} in the original"),
        ("read", result.problem.reading),
        ("seconds", _times(seconds)),
    ]
    pairs += _advice([d.reduction for d in result.remaining if d.reduction is not None])
    if result.remaining:
        pairs.append(("claim", f"{DIRECTED_CLAIM}, not equivalent: each network is for its disjunct only;"))
        pairs.append(("", "unsat there (relaxed by eps) is unsat here, an input found there must be replayed here"))
    print_pairs(pairs)


def print_boxes(result: BoxReductions, files: Sequence[Sequence[Path]], seconds: Mapping[str, float]) -> None:
    """A line per box."""
    table = _table("box", "ReLUs", "eps")
    table.add_column("written")
    for number, (reduction, own) in enumerate(zip(result.reductions, files, strict=True), 1):
        relus, eps = str(reduction.network.relu_count), at_most(reduction.epsilon)
        table.add_row(str(number), relus, eps, Text(", ".join(map(str, own))))
    _print_table(table)
    before = result.problem.relu_count
    read = ("read", result.problem.reading)
    advice = _advice(result.reductions)
    print_pairs([("ReLUs", f"{before} in the original"), read, ("seconds", _times(seconds)), *advice])


def _advice(reductions: Sequence[Reduction]) -> list[tuple[str, object]]:
    """What to do about an eps that is large, or whose limit keeps ReLUs in place, where several networks are listed."""
    count = sum(reduction.transformed.wants_float64 for reduction in reductions)
    return [("eps", f"limits {count} of {len(reductions)} networks: {FLOAT64_HINT}")] if count else []


def _times(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def print_regions(result: RegionReport, seconds: Mapping[str, float]) -> None:
    """How many linear regions there are, and what is known about them."""
    found = result.found
    count = len(found.regions)
    proved = f"all, as {found.evidence} says" if found.trusted else "proved"
    bounds = proved if found.complete else f"at least; at most {found.upper:,}"
    pairs: list[tuple[str, object]] = [("regions", f"{count}   {bounds}")]
    if result.proved:
        pairs.append(("proof", f"{result.proved}, as the checker says"))
    if result.problem.tail is not None:
        operators = ", ".join(result.problem.tail.operators)
        pairs.append(("opaque", f"{operators}: counted is what lies before these, not the whole network"))
    if found.solver:
        claim = "finds no others" if found.exhausted else "did not finish"
        pairs.append(("solver", f"{found.solver}: {claim}"))
    if found.claimed:
        pairs.append(("claimed", "that these are all, by scip; without a proof, and not used without --trust scip"))
    if found.undecided:
        pairs.append(("undecided", f"{found.undecided} cells are too thin to tell whether they have an interior"))
    pairs.append(("affine maps", f"{found.affine_maps}   different beyond rounding"))
    if count:
        radii = found.radii
        pairs.append(("radius", f"smallest {at_least(radii.min())}, median {sorted(radii.tolist())[count // 2]:.3g}"))
    pairs.append(("read", result.problem.reading))
    pairs.append(("programs", f"{found.questions} linear programs; {found.exact} answers by rational arithmetic"))
    pairs.append(("seconds", _times(seconds)))
    print_pairs(pairs)


def print_shallow(result: ShallowReport, output: object, seconds: Mapping[str, float]) -> None:
    """The size of an approximation with two hidden layers, and how good it is."""
    made, measured, regions = result.shallow, result.measured, result.regions
    pairs: list[tuple[str, object]] = [("claim", "an approximation; NOT equivalent"), ("read", result.problem.reading)]
    count = f"{len(regions.regions)}" + ("" if regions.complete else f" found, at most {regions.upper:,}")
    pairs += [("regions", count), ("patterns", result.patterns), ("delta", f"{made.delta:.6g}")]
    for name, (first, second) in result.units().items():
        note = f"   and {made.carriers} carriers of inputs; {made.ramps_apart} ramps without sharing equal ones"
        pairs.append((f"units {name}", f"{_count(first)} + {_count(second)}{note if name == 'written' else ''}"))
    pairs.append(
        ("inside", f"|original - shallow| <= {at_most(made.epsilon.max(initial=0.0))}   proved, delta from the facets")
    )
    pairs.append(("elsewhere", f"|original - shallow| <= {at_most(made.bound.max(initial=0.0), 6)}   proved"))
    if measured.points:
        pairs.append(("largest error", f"{measured.largest:.6g}   seen"))
        interval = f"[{measured.exact_low:.3f}, {measured.exact_high:.3f}]"
        share = f"{100 * measured.exact:.1f} % of the inputs"
        pairs.append(("exact on", f"{share}   95 % interval {interval} from {measured.points} points"))
    pairs.append(("seconds", _times(seconds)))
    print_pairs([*pairs, ("written", output)])


def _count(units: int) -> str:
    """A number of units, short where it is astronomical."""
    return f"{units:,}" if units < 10**12 else f"about 10^{len(str(units)) - 1}"


def print_equivalence(answer: Equivalence) -> None:
    """The verdict, and what is proved or shown."""
    decision = answer.decision
    pairs: list[tuple[str, object]] = [("verdict", answer.verdict)]
    if answer.epsilon is not None:
        proved = "proved, up to claims of a solver" if decision.trusted else "proved"
        of = "|f - g|" if answer.semantics == "real" else "|run of f - run of g|, in float32,"
        pairs.append(("eps", f"{answer.epsilon!r}   {proved}: {of} <= eps on every input of the property"))
    if answer.deviation is not None:
        pairs.append(("deviation", f"{answer.deviation:.6g}   the largest that was seen"))
    if answer.witness is not None:
        how = {"rounding": "float64 with error bounds", "exact": "rational arithmetic"}[answer.witness.confirmed]
        replayed = ", and onnxruntime shows it too" if answer.replayed else ""
        pairs += [
            ("input", " ".join(map(repr, answer.witness.point.tolist()))),
            ("f", " ".join(map(repr, answer.witness.f.tolist()))),
            ("g", " ".join(map(repr, answer.witness.g.tolist()))),
            ("confirmed", f"by {how}{replayed}"),
        ]
    if answer.verdict == "equivalent":
        pairs.append(("evidence", decision.evidence))
    if decision.claimed:
        names = ",".join(decision.claimants)
        pairs.append(("claimed", f"{decision.claimed} questions, by {names}; not used without --trust {names}"))
    if answer.verdict == "unknown":
        share = f"{100 * decision.done:.1f} % of the input box done, {decision.left} boxes open"
        pairs.append(("reason", f"{decision.reason}; {share}"))
    pairs += [(f"read {name}", reading) for name, reading in zip("fg", answer.readings, strict=True)]
    pairs.append(("seconds", _times({**decision.seconds, "total": answer.seconds})))
    print_pairs(pairs)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _print_table(table: Table) -> None:
    """Print a table; no cell is broken, however narrow the terminal, so that names can be copied."""
    console = _console()
    needed = Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
    console.width = max(console.width, needed)
    console.print(table)


def _layer_table(rows: Sequence[LayerRow], superfluous: int = 0) -> Table:
    """The table of layers, with totals.

    Args:
        rows: the layers.
        superfluous: units of the file that are in none of them, since the network does without for all inputs (M-6).
    """
    columns = (*_COUNTS, "kept", "carriers") if any(row.kept is not None for row in rows) else _COUNTS
    table = _table("layer", *columns)
    table.columns[0].justify = "left"
    for row in rows:
        table.add_row(Text(row.name), *(str(getattr(row, column)) for column in columns))
    totals = [str(sum(getattr(row, column) or 0 for row in rows)) for column in columns]
    if superfluous:
        table.add_row(Text("superfluous"), str(superfluous))
        totals[0] = str(superfluous + int(totals[0]))
    table.add_row(Text("total", style="bold"), *(Text(total, style="bold") for total in totals))
    return table


def _print_stages(facts: Facts, seconds: Mapping[str, float]) -> None:
    parts = [f"{name} {value:.2f}" for name, value in seconds.items() if name != "stability"]
    stages = [
        f"{s.name} {s.seconds:.2f} (decided {s.decided}{f', {s.questions} questions' if s.questions else ''}"
        f"{f', {s.note}' if s.note else ''})"
        for s in facts.stages
        if s.note != NOT_REACHED
    ]
    print_pairs([("seconds", ", ".join([*parts[:1], *stages, *parts[1:]]))])
    if later := [s.name for s in facts.stages if s.note == NOT_REACHED]:
        print_pairs([("next", f"{', '.join(later)}: {NOT_REACHED}")])
    if facts.gained_nothing >= _NOTABLE:
        idle = ", ".join(dict.fromkeys(s.name for s in facts.stages if not s.stable and s.seconds >= _NOTABLE / 10))
        print_pairs([("gained", f"no stable unit in {facts.gained_nothing:.1f} of these seconds ({idle})")])
