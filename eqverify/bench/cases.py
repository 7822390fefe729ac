"""The results of a sweep as cases of a test report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eqverify.bench.instances import SOLVED, Instance, Key, Row
from eqverify.bench.scoring import is_wrong
from eqverify.report.junit import Case, Outcome


def sweep_cases(
    instances: list[Instance],
    runs: Mapping[str, Mapping[Key, Row]],
    expected: Mapping[Key, str],
    details: Mapping[str, Mapping[Key, Mapping[str, Any]]],
) -> dict[str, list[Case]]:
    """By run, a case for each instance that has a result.

    A verdict passes unless it is not the expected one, or its proof is rejected: then it is a failure.  An instance
    without a verdict is skipped, for a limit was too short, or is an error.

    Args:
        instances, runs, expected, details: as those of `eqverify.bench.page.sweep_page`.
    """
    return {
        name: [
            _case(instance, rows[instance.key], expected, details.get(name, {}).get(instance.key, {}))
            for instance in instances
            if instance.key in rows
        ]
        for name, rows in runs.items()
    }


def _case(instance: Instance, row: Row, expected: Mapping[Key, str], said: Mapping[str, Any]) -> Case:
    outcome: Outcome = "error" if row.result == "error" else "skipped"
    message = f"{row.result} {said.get('reason', '')}".strip()
    if row.result in SOLVED:
        outcome = "passed"
        if is_wrong(row, expected):
            outcome, message = "failure", f"{row.result} instead of {expected[row.key]}"
        elif row.proof is not None and row.proved is False:
            outcome, message = "failure", f"the proof of {row.result}: {row.proof.verdict}"
    return Case(
        f"{instance.category}/{instance.network}", instance.query, row.seconds, outcome, message, said.get("log", "")
    )
