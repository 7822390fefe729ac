"""Values of nodes as affine expressions over inputs and chosen ReLU outputs, with tracked error bounds.

This is the arithmetic behind the normal form on a domain (design, section 2): where a unit is stably active its output is
its pre-activation, where it is stably inactive its output is zero, and every other unit is a *basis* element of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.network.evaluate import UNDERFLOW, gamma
from eqverify.network.graph import Affine, Network


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What expressions are written over: columns  x (input_size), 1, then the kept units in topological order.

    Attributes:
        input_size: number of inputs.
        columns: by ReLU node, (n,) int64: the column of each unit, -1 where it is none.
        centre: (width,) a centre of each column's range on the domain.
        radius: (width,) |value - centre| <= radius on the domain.
    """

    input_size: int
    columns: Mapping[str, IntArray]
    centre: FloatArray
    radius: FloatArray

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.centre.size)

    @property
    def magnitude(self) -> FloatArray:
        """(width,) bound on |value|."""
        return np.abs(self.centre) + self.radius


def make_basis(
    network: Network, kept: Mapping[str, BoolArray], lower: FloatArray, upper: FloatArray, unit_upper: Mapping[str, FloatArray]
) -> Basis:
    """The basis of inputs in [lower, upper] and of the kept units, whose outputs lie in [0, max(0, unit_upper)]."""
    columns, centres, radii = {}, [], []
    start = network.input_size + 1
    for node in network.relus:
        chosen = np.flatnonzero(kept[node.name])
        index = np.full(network.sizes[node.name], -1, dtype=np.int64)
        index[chosen] = start + np.arange(chosen.size)
        columns[node.name] = index
        start += chosen.size
        half = np.maximum(unit_upper[node.name][chosen], 0.0) * 0.5
        centres.append(half)
        radii.append(np.nextafter(half, np.inf))
    middle = np.clip(lower + (upper - lower) / 2, lower, upper)
    spread = np.maximum(upper - middle, middle - lower)
    spread = np.where(spread > 0, np.nextafter(spread, np.inf), spread)
    centre = np.concatenate([middle, [1.0], *centres])
    return Basis(network.input_size, columns, centre, np.concatenate([spread, [0.0], *radii]))


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """The value of a node: |value - rows . basis| <= error on the domain.

    Attributes:
        rows: (n, width).
        error: (n,) bound on the rounding errors made in composing the rows, and on deviations they stand for.
    """

    rows: FloatArray
    error: FloatArray

    def select(self, units: IntArray) -> Expression:
        """The expression of some components."""
        return Expression(self.rows[units], self.error[units])


def input_expressions(network: Network, basis: Basis) -> dict[str, Expression]:
    """The inputs themselves."""
    eye = np.eye(network.input_size, basis.width)
    parts, start = {}, 0
    for port in network.inputs:
        parts[port.name] = Expression(eye[start : start + port.size], np.zeros(port.size))
        start += port.size
    return parts


def affine_expression(node: Affine, values: Mapping[str, Expression], basis: Basis) -> Expression:
    """An affine node over expressions of its sources; rounding by the a-priori bound of the products."""
    terms = sum(term.map.fan_in + 4 for term in node.terms) + 4
    constant = gamma(terms)
    rows = np.zeros((node.size, basis.width))
    rows[:, basis.input_size] = node.bias
    error = constant * np.abs(node.bias)
    for term in node.terms:
        source = values[term.source]
        rows = rows + term.map.forward(source.rows.T).T
        reach = np.abs(source.rows) @ basis.magnitude * (1 + gamma(basis.width + 2))
        error = error + term.map.absolute().forward(constant * (reach + source.error) + source.error)
    return Expression(rows, error * (1 + 4 * constant) + UNDERFLOW)


def kept_expression(columns: IntArray, width: int) -> Expression:
    """Basis elements as an expression: one row per entry of `columns`, zero where it is -1."""
    rows = np.zeros((columns.size, width))
    chosen = np.flatnonzero(columns >= 0)
    rows[chosen, columns[chosen]] = 1.0
    return Expression(rows, np.zeros(columns.size))


def restrict_relu(z: Expression, active: BoolArray, columns: IntArray) -> Expression:
    """The output of a ReLU layer: z where `active`, the basis element where there is one, zero elsewhere."""
    units = kept_expression(columns, z.rows.shape[1])
    rows = np.where(active[:, None], z.rows, units.rows)
    return Expression(rows, np.where(active, z.error, 0.0))


def value_range(expression: Expression, basis: Basis) -> tuple[FloatArray, FloatArray]:
    """Sound bounds (lower, upper), each (n,), of an expression's value on the domain."""
    middle = expression.rows @ basis.centre
    size = np.abs(expression.rows)
    constant = gamma(basis.width + 4)
    spread = size @ basis.radius
    spread = (spread + constant * (size @ basis.magnitude)) * (1 + 4 * constant) + expression.error * (1 + 1e-15)
    slack = spread + 1e-15 * np.abs(middle) + UNDERFLOW
    return np.nextafter(middle - slack, -np.inf), np.nextafter(middle + slack, np.inf)


def restricted_values(
    network: Network, basis: Basis, active: Mapping[str, BoolArray], stop: str | None = None
) -> dict[str, Expression]:
    """Expressions of all nodes on a domain where units of `active` have z >= 0 and units without column z <= 0.

    Args:
        network: the network.
        basis: columns for the units that are kept as ReLUs.
        active: by ReLU node, (n,) bool: stably active units that are not kept.
        stop: the last node wanted; None for all.

    Returns:
        By name.  Valid on the domain if the claims about stable units and the basis's ranges are.
    """
    values = input_expressions(network, basis)
    for node in network.nodes:
        if isinstance(node, Affine):
            values[node.name] = affine_expression(node, values, basis)
        else:
            values[node.name] = restrict_relu(values[node.source], active[node.name], basis.columns[node.name])
        if node.name == stop:
            break
    return values
