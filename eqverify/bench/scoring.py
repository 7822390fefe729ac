"""What results are worth: solved, wrong, PAR-2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eqverify.bench.instances import Instance, Key, Row

SOLVED = ("sat", "unsat")


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over instances.

    Attributes:
        instances: how many have a result.
        solved: with a verdict that is not known to be wrong.
        wrong: with a verdict that is not the expected one.
        par2: mean seconds, where an instance that is not solved costs twice its limit (seconds).
        claimed: with a disjunct that only a solver calls unsat; solved if the solver is trusted.
    """

    instances: int
    solved: int
    wrong: tuple[Key, ...]
    par2: float
    claimed: int


def is_wrong(row: Row, expected: Mapping[Key, str]) -> bool:
    """Whether a verdict contradicts the expected one."""
    known = expected.get(row.key)
    return row.result in SOLVED and known in SOLVED and row.result != known


def score(instances: list[Instance], rows: Mapping[Key, Row], expected: Mapping[Key, str]) -> Score:
    """Judge the results of those instances that have one."""
    judged = [(instance, rows[instance.key]) for instance in instances if instance.key in rows]
    wrong = tuple(row.key for _, row in judged if is_wrong(row, expected))
    costs = [
        row.seconds if row.result in SOLVED and row.key not in wrong else 2.0 * instance.timeout
        for instance, row in judged
    ]
    solved = sum(row.result in SOLVED for _, row in judged) - len(wrong)
    claimed = sum(bool(row.claimed) for _, row in judged)
    return Score(len(judged), solved, wrong, sum(costs) / len(costs) if costs else 0.0, claimed)
