"""The report of a sweep as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eqverify.bench.instances import SOLVED, Instance, Key, Row
from eqverify.bench.scoring import is_wrong, score
from eqverify.report.page import command_line, folded, layer_bars, page, table
from eqverify.report.sweep import cactus, scatter

_LONGEST = 60
"""Characters of a run's name in a plot."""

Runs = Mapping[str, Mapping[Key, Row]]
"""By name of the run, its results."""


def sweep_page(
    instances: list[Instance],
    runs: Runs,
    expected: Mapping[Key, str],
    details: Mapping[str, Mapping[Key, Mapping[str, Any]]],
    command: str,
) -> str:
    """The page.

    Args:
        instances: all instances.
        runs: the results; with two runs, a scatter plot compares the first with the second.
        expected: the expected verdicts.
        details: by run, what it said besides, as read by `read_details`.
        command: that made the results.
    """
    limit = max((instance.timeout for instance in instances), default=1.0)
    times = {
        _short(name): [row.seconds for row in rows.values() if row.result in SOLVED] for name, rows in runs.items()
    }
    sections = [("Command", command_line(command)), ("Sums", _sums(instances, runs, expected))]
    sections.append(("Instances solved over time", cactus(times, limit)))
    if len(runs) == 2:
        names = tuple(runs)
        pairs = [
            tuple(_seconds(runs[name][instance.key], limit) for name in names)
            for instance in instances
            if all(instance.key in runs[name] for name in names)
        ]
        first, second = map(_short, names)
        sections.append(("One against the other", scatter(pairs, (first, second), limit)))  # type: ignore[arg-type]
    for name, rows in runs.items():
        sections.append((f"Run {name}", _instances(instances, rows, expected, details.get(name, {}))))
    return page("eqverify sweep", sections)


def _sums(instances: list[Instance], runs: Runs, expected: Mapping[Key, str]) -> str:
    lines = []
    categories = list(dict.fromkeys(instance.category for instance in instances))
    for category in [*categories, "all"] if len(categories) > 1 else categories:
        own = [instance for instance in instances if category in (instance.category, "all")]
        for name, rows in runs.items():
            found = score(own, rows, expected)
            counts = [found.instances, found.solved, len(found.wrong), found.claimed, found.par2]
            lines.append([category, name, *counts, str(found.proofs or "")])
    return table(["category", "run", "instances", "solved", "wrong", "claimed", "PAR-2", "proofs"], lines)


def _instances(
    instances: list[Instance],
    rows: Mapping[Key, Row],
    expected: Mapping[Key, str],
    details: Mapping[Key, Mapping[str, Any]],
) -> str:
    lines: list[list[object]] = []
    wrong = []
    for instance in instances:
        row = rows.get(instance.key)
        if row is None:
            continue
        if is_wrong(row, expected) or row.proved is False:
            wrong.append(len(lines))
        said = details.get(instance.key, {})
        failed = row.result not in SOLVED or len(lines) in wrong
        result = folded(row.result, said["log"]) if failed and said.get("log") else row.result
        after = said.get("relus_after")
        relus = f"{said.get('relus_before')} → {after}" if after is not None else ""
        basis = ", ".join(said.get("evidence") or []) or said.get("reason", "")
        claimed = "" if row.claimed is None else row.claimed
        outcome = [expected.get(instance.key, ""), row.seconds, said.get("backend", ""), basis, claimed, relus]
        proof = ["", "", ""] if row.proof is None else [row.proof.verdict, row.proof.size, row.proof.seconds]
        lines.append([*instance.key, result, *outcome, layer_bars(said.get("layers") or []), *proof])
    header = ["category", "network", "property", "result", "expected", "seconds", "by", "basis", "claimed"]
    return table([*header, "ReLUs", "kept", "proof", "bytes", "seconds of check"], lines, wrong, choose="result")


def _short(name: str) -> str:
    """A name that fits into a plot; what tells two runs of a sweep apart is at its end."""
    return name if len(name) <= _LONGEST else f"{name[:10]}...{name[13 - _LONGEST :]}"


def _seconds(row: Row, limit: float) -> float:
    return row.seconds if row.result in SOLVED else limit
