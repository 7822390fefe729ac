"""The mixed-integer formulation of a network on a domain, over the units that are not proved stable.

    z = row . (x, 1, earlier h),  h >= z,  h <= u d,  h <= z - l (1 - d),  l <= z <= u,  d in {0, 1}

(Tjeng, Xiao, Tedrake 2019, arXiv 1711.07356) with the proved ranges [l, u]; stable units do not occur.  Rows are those
of `relaxation.RestrictedModel`.  Optimisers compute with tolerances, so that what a model with it answers is no proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import IEEE, BoolArray, FloatArray, IntArray, frozen
from eqverify.budget import Budget
from eqverify.domain import Box, Polytope
from eqverify.errors import InputError, Place
from eqverify.network.expression import value_range
from eqverify.problem import Problem
from eqverify.relaxation.model import RestrictedModel, open_model
from eqverify.stability.facts import Facts
from eqverify.stability.outputs import narrowed_ranges


@dataclass(frozen=True, slots=True, eq=False)
class Formulation:
    """Constraints  row_lower <= matrix v <= row_upper  over columns v: inputs, outputs, then z, h, d by open unit.

    Attributes:
        names: (columns,) `x_0`, ..., `y_0`, ..., `z_LAYER_UNIT`, `h_LAYER_UNIT`, `d_LAYER_UNIT`, all numbers from 0.
        lower: (columns,) bounds; those of inputs are the domain's, all others follow from them.
        upper: (columns,).
        binary: (columns,) bool.
        matrix: (rows, columns).
        row_lower: (rows,).
        row_upper: (rows,).
        inputs: how many columns are inputs.
        outputs: how many columns after them are outputs.
    """

    names: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    binary: BoolArray
    matrix: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    inputs: int
    outputs: int

    def __post_init__(self) -> None:
        for name in ("lower", "upper", "matrix", "row_lower", "row_upper"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def units(self) -> Iterator[tuple[int, int, int]]:
        """The columns z, h and d of each open unit."""
        for z in range(self.inputs + self.outputs, len(self.names), 3):
            yield z, z + 1, z + 2

    def rows(self) -> Iterator[tuple[list[tuple[int, float]], float, float]]:
        """Each row: its nonzero entries (column, coefficient), and its two sides."""
        for row, low, high in zip(self.matrix, self.row_lower.tolist(), self.row_upper.tolist(), strict=True):
            used = np.flatnonzero(row)
            yield list(zip(used.tolist(), row[used].tolist(), strict=True)), low, high


@IEEE
def formulate(problem: Problem, facts: Facts, *, seconds: float = 10.0) -> Formulation:
    """The formulation of a problem's network on its domain.

    Args:
        problem: network and domain, of one part.  Its condition on outputs is not used; linear constraints on inputs
            are, and make ranges narrower.
        facts: of `prove_stability` on this problem; the longer it may take, the fewer binaries.
        seconds: at most so long the ranges of open units are made narrower by linear programs, whose duals are checked.

    Returns:
        The constraints.  Trusted: the facts; each row is exact up to the rounding of composing it in float64.

    Raises:
        InputError: `embedding/parts` where the domain has several parts, on whose hull nothing is proved;
            `embedding/unbounded` where a unit has no finite range; `domain/empty`; as `Facts.require`.
    """
    box = single_part(problem).box
    ranges = narrowed_ranges(problem, facts, Budget(seconds))
    for name, known in ranges.items():
        if not np.isfinite(known.magnitude).all():
            place = Place(node=name, unit=int(np.argmin(np.isfinite(known.magnitude[0]))))
            raise InputError("embedding/unbounded", "a unit has no finite range on these inputs", place=place)
    model = open_model(problem.network, (box.lower, box.upper), ranges)
    return _assemble(problem, model)


def single_part(problem: Problem) -> Polytope:
    """The one part of a problem's domain.

    Raises:
        InputError: `embedding/parts` where it has several.
    """
    if len(problem.domain.polytopes) != 1:
        raise InputError(
            "embedding/parts",
            "the property allows several boxes of inputs",
            value=len(problem.domain.polytopes),
            hint="what is embedded is about one box: give a property for each",
        )
    return problem.domain.polytopes[0]


def single_box(problem: Problem) -> Box:
    """A problem's domain, where it is one box: where ranges are used that do not hold without what else it says.

    Raises:
        InputError: `embedding/parts`, `embedding/constraints`.
    """
    part = single_part(problem)
    if part.bound.size:
        raise InputError(
            "embedding/constraints",
            "the ranges hold under constraints that the query does not have",
            value=f"{part.bound.size} linear constraints on inputs",
            hint="prove them on a box alone",
        )
    return part.box


def _assemble(problem: Problem, model: RestrictedModel) -> Formulation:
    """The columns and rows; those of the model are inputs, 1, and kept units."""
    polytope, size, outputs = problem.domain.polytopes[0], model.network.input_size, model.outputs()
    m, blocks = outputs.rows.shape[0], model.blocks()
    low, high = (np.concatenate([np.empty(0), *(getattr(b, end) for b in blocks)]) for end in ("lower", "upper"))
    units = [f"{n}_{u}" for n, relu in enumerate(model.network.relus) for u in model.units(relu)]
    k, first = len(units), size + m
    rows = _Rows(first + 3 * k, np.concatenate([np.arange(size), [-1], first + 3 * np.arange(k) + 1]))
    for number, row in enumerate(row for block in blocks for row in np.asarray(block.rows)):
        z, h, d = first + 3 * number + np.arange(3)
        rows.define(z, row)
        rows.add({h: 1.0, z: -1.0}, 0.0, np.inf)
        rows.add({h: 1.0, d: -high[number]}, -np.inf, 0.0)
        rows.add({h: 1.0, z: -1.0, d: -low[number]}, -np.inf, -low[number])
    for j, row in enumerate(np.asarray(outputs.rows)):
        rows.define(size + j, row)
    for row, bound in zip(polytope.matrix, polytope.bound.tolist(), strict=True):
        rows.add(dict(enumerate(row.tolist())), -np.inf, bound)
    zero, one = np.zeros(k), np.ones(k)
    out_low, out_high = value_range(outputs, model.basis)
    return Formulation(
        names=(
            *(f"x_{i}" for i in range(size)),
            *(f"y_{j}" for j in range(m)),
            *(f"{kind}_{unit}" for unit in units for kind in "zhd"),
        ),
        lower=np.concatenate([polytope.box.lower, out_low, np.stack([low, zero, zero], axis=1).ravel()]),
        upper=np.concatenate([polytope.box.upper, out_high, np.stack([high, high, one], axis=1).ravel()]),
        binary=np.concatenate([np.zeros(first, dtype=bool), np.tile([False, False, True], k)]),
        matrix=np.array(rows.coefficients).reshape(-1, first + 3 * k),
        row_lower=np.array(rows.lower),
        row_upper=np.array(rows.upper),
        inputs=size,
        outputs=m,
    )


class _Rows:
    """Rows as they are added.

    Args:
        width: number of columns.
        columns: (c,) the column that stands for each column of the restricted model; -1 for the constant 1.
    """

    def __init__(self, width: int, columns: IntArray) -> None:
        self._width, self._columns = width, columns
        self.coefficients: list[FloatArray] = []
        self.lower: list[float] = []
        self.upper: list[float] = []

    def add(self, entries: Mapping[int, float], lower: float, upper: float) -> None:
        """lower <= the sum of coefficient times column <= upper."""
        row = np.zeros(self._width)
        row[list(entries)] = list(entries.values())
        self.coefficients.append(row)
        self.lower.append(lower)
        self.upper.append(upper)

    def define(self, column: int, row: FloatArray) -> None:
        """v_column = row . columns of the restricted model, as many as the row has."""
        used = self._columns[: row.size]
        entries = dict(zip(used[used >= 0].tolist(), (-row[used >= 0]).tolist(), strict=True))
        constant = float(row[used < 0].sum())
        self.add({**entries, column: 1.0}, constant, constant)
