"""The passes on normal forms: units that others make superfluous on the domain (M-1 to M-4 in `specs/rewrites.md`).

What they find, `NormalForm.related` puts in the place of units, with bounds on what that changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.budget import checkpoint
from eqverify.network.expression import Basis, Expression, value_range
from eqverify.normal_form.form import NormalForm
from eqverify.normal_form.passes import Context, Declined, RemovedUnit, Rewritten, register, to_fixpoint
from eqverify.normal_form.relation import Relation, RelationKind

_WINDOW = 2.0**-16
"""Rows with keys this close are compared; near misses are reported."""


def simplify(form: NormalForm, tolerance: float) -> NormalForm:
    """The form without units that others make superfluous; only what is exactly never read counts as dead.

    Units that are active by their bounds already are no open units: whoever kept them wants them.

    Args:
        form: rows of kept units and outputs.
        tolerance: residuals up to this share of what a row can reach count as zero; what they change joins the errors.
    """
    both = Sweep((FoldSigns(open_only=True), MergeParallel(window=2.0**-30)))
    found = to_fixpoint(form, [both], Context(tolerance=tolerance)).subject
    return DropUnread()(found, Context()).subject


Finder = Callable[[NormalForm], Sequence[Relation]]
"""What units of a level equal, from a form of just these; called for one level after the other."""


class LevelPass(ABC):
    """A pass that finds relations level by level, each on rows in which all that was found before is put in."""

    name: ClassVar[str]
    statement: ClassVar[str]
    rewrites: ClassVar[Literal["form", "chain"]] = "form"
    rounds: ClassVar[bool] = True

    @abstractmethod
    def begin(self, form: NormalForm, context: Context, declined: list[Declined]) -> Finder:
        """What looks at the levels of a form; it may add to what was declined."""

    def __call__(self, form: NormalForm, context: Context, /) -> Rewritten[NormalForm]:
        """The form with what was found in the place of units."""
        declined: list[Declined] = []
        result, relations = form.related(self.begin(form, context, declined))
        removed = tuple(RemovedUnit(r.layer, r.unit, r.kind) for r in relations)
        return Rewritten(result, removed, relations, tuple(declined))


@dataclass(frozen=True)
class Sweep(LevelPass):
    """Several passes level by level: what one finds about a level, the others know on the next.

    The proof of eps goes from layer to layer too, with all relations of earlier ones; so it sees the same rows.
    """

    name: ClassVar[str] = "sweep"
    statement: ClassVar[str] = "M-1"
    passes: tuple[LevelPass, ...]

    def begin(self, form: NormalForm, context: Context, declined: list[Declined]) -> Finder:
        """All passes, each on the units of a level that those before it left."""
        finders = [one.begin(form, context, declined) for one in self.passes]

        def find(level: NormalForm) -> list[Relation]:
            found: list[Relation] = []
            checkpoint()
            for finder in finders:
                relations = finder(level)
                gone = {(relation.layer, relation.unit) for relation in relations}
                level = level.select(np.array([pair not in gone for pair in level.pairs()], dtype=bool))
                found += relations
            return found

        return find


@register
@dataclass(frozen=True)
class FoldSigns(LevelPass):
    """Statement M-1: a unit with z >= 0 on the domain shows z there, one with z <= 0 shows 0.

    Rows change while related units are replaced: what bounds could not see through two ReLUs can be plain to see once
    these are gone.  Units that are constant are the case of an empty row.

    Attributes:
        open_only: whether units whose bounds show their sign already are left alone.
    """

    name: ClassVar[str] = "fold-signs"
    statement: ClassVar[str] = "M-1"
    open_only: bool = False

    def begin(self, form: NormalForm, context: Context, declined: list[Declined]) -> Finder:
        """Look at all rows."""

        def find(level: NormalForm) -> list[Relation]:
            lower, upper = value_range(Expression(level.rows, level.error), level.basis)
            with np.errstate(invalid="ignore"):
                tiny = 4 * level.error + context.tolerance * _reach(level.rows, level.basis)
            tiny = np.where(np.isfinite(tiny), tiny, 0.0)
            wanted = ((level.lower < 0) & (level.upper > 0)) | (not self.open_only)
            inactive, active = wanted & (upper <= tiny), wanted & (lower >= -tiny) & (upper > tiny)
            pairs = level.pairs()
            return [Relation("inactive", *pairs[k]) for k in np.flatnonzero(inactive)] + [
                Relation("active", *pairs[k]) for k in np.flatnonzero(active)
            ]

        return find


@register
@dataclass(frozen=True)
class MergeParallel(LevelPass):
    """Statements M-2 and M-3: z = s z' with s > 0 gives h = s h', z = -s z' gives h = s (h' - z').

    Attributes:
        window: rows with keys this close are compared.
    """

    name: ClassVar[str] = "merge-parallel"
    statement: ClassVar[str] = "M-2"
    window: float = _WINDOW

    def begin(self, form: NormalForm, context: Context, declined: list[Declined]) -> Finder:
        """Compare units with all before."""
        return _ParallelSearch(form.basis, context.tolerance, self.window, declined).visit


@register
@dataclass(frozen=True, slots=True)
class DropUnread:
    """Statement M-4: a unit whose column is zero in all rows that are left may go; last levels first.

    A coefficient counts as zero where the column's range times it is below the tolerance's share of the reach of its
    row.  The column is replaced by a constant there.
    """

    name: ClassVar[str] = "drop-unread"
    statement: ClassVar[str] = "M-4"
    rewrites: ClassVar[Literal["form", "chain"]] = "form"
    rounds: ClassVar[bool] = False

    def __call__(self, form: NormalForm, context: Context) -> Rewritten[NormalForm]:
        """Go back from the outputs."""
        kept = np.zeros(len(form), dtype=bool)
        read = _read(form.outputs, form.basis, context.tolerance)
        for own in reversed(form.levels()):
            kept[own] = read[form.columns[own]]
            read |= _read(form.rows[own[kept[own]]], form.basis, context.tolerance)
        if kept.all():
            return Rewritten(form)
        gone = form.select(~kept)
        removed = tuple(RemovedUnit(layer, unit, "dead") for layer, unit in gone.pairs())
        return Rewritten(form.select(kept).fixed(gone.columns), removed)


def _read(rows: FloatArray, basis: Basis, tolerance: float) -> BoolArray:
    """(width,) columns with a coefficient that counts in some row."""
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.abs(rows) * basis.radius
    limit = tolerance * _reach(rows, basis)
    limit = np.where(np.isfinite(limit), limit, 0.0)
    return np.asarray(((rows != 0) & ~(change <= limit[:, None])).any(axis=0))


def _reach(rows: FloatArray, basis: Basis) -> FloatArray:
    """(n,) how large rows can be on the domain, at most: what residuals are compared with."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.abs(rows) @ basis.magnitude)


class _ParallelSearch:
    """Rows seen so far, by keys in which parallel rows agree.

    A row is scaled by the ranges of its columns to unit length; its key is the magnitude of its product with one
    random vector of unit length.  So rows that are parallel up to r have keys that differ by at most r, and equal keys
    of other rows are an accident that costs one comparison.
    """

    def __init__(self, basis: Basis, tolerance: float, window: float, declined: list[Declined]) -> None:
        self.basis, self.tolerance, self.window, self.declined = basis, tolerance, window, declined
        self.weights = np.where(np.isfinite(basis.magnitude), basis.magnitude, 0.0)
        self.direction = np.random.default_rng(0).normal(size=basis.width)
        self.direction /= np.linalg.norm(self.direction)
        self.rows: list[FloatArray] = []
        self.pairs: list[tuple[str, int]] = []
        self.keys = np.empty(0)

    def visit(self, level: NormalForm) -> list[Relation]:
        """Compare the units of a level with each other and with all before."""
        found, sizes = [], _reach(level.rows, self.basis)
        for row, key, size, pair in zip(level.rows, self._key(level.rows), sizes, level.pairs(), strict=True):
            if not np.isfinite(size) or size == 0:
                continue
            near = np.flatnonzero(np.abs(self.keys - key) <= self.window)
            relation = self._match(row, size, pair, near.tolist())
            if relation is not None:
                found.append(relation)
                continue
            self.rows.append(row)
            self.pairs.append(pair)
            self.keys = np.append(self.keys, key)
        return found

    def _key(self, rows: FloatArray) -> FloatArray:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            weighted = rows * self.weights
            weighted = weighted / np.abs(weighted).max(axis=1, keepdims=True)
            return np.asarray(np.abs(weighted @ self.direction) / np.linalg.norm(weighted, axis=1))

    def _match(self, row: FloatArray, size: float, pair: tuple[str, int], near: list[int]) -> Relation | None:
        """The first of some units that the row is a multiple of."""
        for index in near:
            other = self.rows[index]
            pivot = int(np.argmax(np.abs(other * self.weights)))
            factor = row[pivot] / other[pivot]
            residual = float(_reach((row - factor * other)[None], self.basis)[0])
            name, unit = self.pairs[index]
            if residual <= self.tolerance * size and factor != 0 and np.isfinite(factor):
                kind: RelationKind = "parallel" if factor > 0 else "antiparallel"
                return Relation(kind, *pair, name, unit, float(abs(factor)))
            if residual <= _WINDOW * size:
                reason = f"nearly parallel to {name}[{unit}], but off by up to {residual:.1e}"
                self.declined.append(Declined(MergeParallel.name, pair[0], (pair[1],), reason))
        return None
