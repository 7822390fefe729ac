"""A pass on normal forms: of units of a layer that are computed from equal rows, one is enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from eqverify.normal_form.form import NormalForm
from eqverify.normal_form.passes import Context, Declined
from eqverify.normal_form.relation import Relation
from eqverify.normal_form.simplify import Finder, LevelPass


@dataclass(frozen=True)
class MergeEqual(LevelPass):
    """Says which units equal an earlier one; the proof of eps finds out whether that is so."""

    name: ClassVar[str] = "merge-equal"
    statement: ClassVar[str] = "template, 1: max(0, r) = max(0, r) for equal rows r"

    def begin(self, form: NormalForm, context: Context, declined: list[Declined]) -> Finder:
        """A function that is called for each level, from the inputs on."""

        def find(level: NormalForm) -> Sequence[Relation]:
            first: dict[bytes, tuple[str, int]] = {}
            pairs = [
                (unit, first.setdefault(row.tobytes(), unit))
                for row, unit in zip(level.rows, level.pairs(), strict=True)
            ]
            return [Relation("parallel", *unit, *same) for unit, same in pairs if unit != same]

        return find
