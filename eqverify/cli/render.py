"""Results as text on stdout: rich tables for people, one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eqverify.report.layers import LayerRow
from eqverify.stability.facts import Facts

if TYPE_CHECKING:
    from eqverify.api.reduction import Reduction

_COUNTS = ("units", "inactive", "active", "unstable", "undecided")


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on one line of stdout."""
    print(json.dumps(value, allow_nan=False))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values in two columns; long values are not broken, so that they can be copied."""
    listed = list(pairs)
    width = max((len(name) for name, _ in listed), default=0)
    console = _console()
    for name, value in listed:
        console.print(Text.assemble((f"{name:<{width}}", "bold"), "  ", str(value)))


def print_facts(facts: Facts, rows: Sequence[LayerRow], seconds: Mapping[str, float]) -> None:
    """The table of units per layer, with totals, stages and seconds."""
    console = _console()
    console.print(_layer_table(rows))
    _print_stages(facts, seconds)


def print_reduction(result: Reduction, output: object, seconds: Mapping[str, float]) -> None:
    """The table of a reduction and what is proved about it."""
    before, after = result.problem.network.relu_count, result.network.relu_count
    console = _console()
    console.print(_layer_table(result.layers))
    _print_stages(result.facts, seconds)
    share = f" ({100 * (before - after) / before:.1f} % removed)" if before else ""
    weights = f"{result.problem.network.parameter_count} -> {result.network.parameter_count}"
    pairs: list[tuple[str, object]] = [
        ("ReLUs", f"{before} -> {after}{share}"),
        ("weights", weights),
        ("rewriting", result.transformed.choice),
        ("eps", f"{result.epsilon:.3g}   proved: |original - reduced| <= eps on every input of the property"),
        ("evidence", _evidence(result.facts)),
        (
            "onnxruntime",
            f"{result.runtime.points} points agree, largest deviation {result.runtime.largest_deviation:.2g}",
        ),
    ]
    if result.problem.tail is not None:
        operators = ", ".join(dict.fromkeys(result.problem.tail.operators))
        pairs.append(("opaque", f"{operators}: copied unchanged; eps is proved for what these read"))
    if result.cross_check is not None:
        reason = f" ({result.cross_check.reason})" if result.cross_check.reason else ""
        pairs.append(("Z3", f"{result.cross_check.verdict}{reason}"))
    if result.certificate is not None:
        pairs.append(("checker", str(result.certificate.verdict)))
    rounding = [d for d in result.transformed.declined if d.rewrite == "rounding"]
    pairs += [
        ("left alone", f"{len(d.units)} active units of {d.layer}: {d.reason}; try --dtype float64") for d in rounding
    ]
    pairs.append(("written", output))
    print_pairs(pairs)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _layer_table(rows: Sequence[LayerRow]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("layer")
    columns = (*_COUNTS, "kept", "carriers") if any(row.kept is not None for row in rows) else _COUNTS
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(Text(row.name), *(str(getattr(row, column)) for column in columns))
    totals = [str(sum(getattr(row, column) or 0 for row in rows)) for column in columns]
    table.add_row(Text("total", style="bold"), *(Text(total, style="bold") for total in totals))
    return table


def _print_stages(facts: Facts, seconds: Mapping[str, float]) -> None:
    parts = [f"{name} {value:.2f}" for name, value in seconds.items() if name != "stability"]
    stages = [
        f"{s.name} {s.seconds:.2f} (decided {s.decided}{f', {s.questions} questions' if s.questions else ''}"
        f"{f', {s.note}' if s.note else ''})"
        for s in facts.stages
    ]
    print_pairs([("seconds", ", ".join([*parts[:1], *stages, *parts[1:]]))])


def _evidence(facts: Facts) -> str:
    counts = facts.evidence_counts()
    dual = f", {counts['dual']} by optimised slopes" if counts["dual"] else ""
    tree = f", {counts['tree']} by splitting the input box" if counts["tree"] else ""
    solver = f", {counts['solver']} by {facts.solver}" if counts["solver"] else ""
    return f"{counts['derived']} stable units by recomputable bounds{dual}{tree}{solver}"
