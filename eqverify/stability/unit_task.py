"""What a worker does for one unit: a few questions to warm models.  Runs in any process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from eqverify.arrays import FloatArray
from eqverify.budget import Budget
from eqverify.domain import Polytope
from eqverify.execution import Shared
from eqverify.milp.encoding import Answer, Solver, SolverFactory, Verdict
from eqverify.relaxation.blocks import UnitBlock

Block: TypeAlias = UnitBlock | tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """The models of a proof: one per polytope, grown layer by layer.

    Attributes:
        base: who makes models, and of which polytopes.
        layers: per layer added so far, one block per polytope; constraints (rows, bound) stand there too.
    """

    base: Shared[tuple[SolverFactory, tuple[Polytope, ...]]]
    layers: tuple[Shared[tuple[Block, ...]], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class UnitTask:
    """The questions about one unit.

    Attributes:
        unit: its index in the layer.
        directions: in the order to be asked: whether z > 0 (True) or z < 0 is in question.
        parts: by direction, the polytopes where it is open.
        row: (columns,) z as a row over the columns of the models.
        error: bound on |z - row . columns|.
        unit_limit: seconds for one question.
        budget: the time for all of them.
    """

    unit: int
    directions: tuple[bool, ...]
    parts: tuple[tuple[int, ...], ...]
    row: FloatArray
    error: float
    unit_limit: float
    budget: Budget


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """One answer to a `UnitTask`, and the seconds it took."""

    part: int
    above: bool
    answer: Answer
    seconds: float


_WARM: dict[str, tuple[list[Solver], int]] = {}
"""Models of this process and how many layers they have, by the token of their recipe's base."""


def warm_models(recipe: Recipe) -> list[Solver]:
    """The models of a recipe: those this process has already, with the layers they lack."""
    token = recipe.base.token
    if token not in _WARM:
        factory, polytopes = recipe.base.load()
        _WARM[token] = ([factory(part) for part in polytopes], 0)
    models, count = _WARM[token]
    for layer in recipe.layers[count:]:
        for model, block in zip(models, layer.load(), strict=True):
            if isinstance(block, UnitBlock):
                model.add_units(block)
            else:
                model.add_constraints(*block)
    _WARM[token] = models, len(recipe.layers)
    return models


def forget(recipe: Recipe) -> None:
    """Drop the models of a recipe in this process."""
    _WARM.pop(recipe.base.token, None)


def ask_unit(recipe: Recipe, task: UnitTask) -> list[Reply]:
    """Ask until one direction is excluded everywhere, or all are answered; a direction ends at its first open part."""
    models = warm_models(recipe)
    replies: list[Reply] = []
    for above, parts in zip(task.directions, task.parts, strict=True):
        for part in parts:
            if task.budget.exhausted():
                return replies
            row, before = task.row if above else -task.row, time.monotonic()
            answer = models[part].exceeds(row, -task.error, min(task.unit_limit, task.budget.left))
            replies.append(Reply(part, above, answer, time.monotonic() - before))
            if answer.verdict is not Verdict.NEVER:
                break
        else:
            return replies
    return replies


def all_unknown(replies: Sequence[Reply]) -> bool:
    """Whether no question was answered."""
    return all(reply.answer.verdict is Verdict.UNKNOWN for reply in replies)
