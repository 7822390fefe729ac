"""A formulation as a block of a Pyomo model."""

from __future__ import annotations

import math
from typing import Any

import pyomo.environ as pyo

from eqverify.embedding.formulation import Formulation


def network_block(formulation: Formulation) -> Any:
    """A block with variables `x` (inputs) and `y` (outputs), numbered from 0, to be assigned to a model's attribute.

    Args:
        formulation: the network.  Constrain or equate `x` and `y`; the block keeps `x` within the domain.
    """
    block = pyo.Block(concrete=True)
    n, m = formulation.inputs, formulation.outputs
    ends = list(zip(formulation.lower.tolist(), formulation.upper.tolist(), strict=True))
    rest = range(n + m, len(ends))
    block.x = pyo.Var(range(n), bounds=lambda _, i: ends[i])
    block.y = pyo.Var(range(m), bounds=lambda _, j: ends[n + j])
    binary = formulation.binary
    block.v = pyo.Var(rest, bounds=lambda _, c: ends[c], domain=lambda _, c: pyo.Binary if binary[c] else pyo.Reals)
    columns = [*block.x.values(), *block.y.values(), *block.v.values()]
    block.network = pyo.ConstraintList()
    for entries, low, high in formulation.rows():
        expression = pyo.quicksum(value * columns[column] for column, value in entries)
        sides = (low if low > -math.inf else None, high if high < math.inf else None)
        block.network.add(expression == low if low == high else pyo.inequality(sides[0], expression, sides[1]))
    return block
