"""Values of nodes as affine expressions over inputs and chosen ReLU outputs, with tracked error bounds.

This is the arithmetic behind the normal form on a domain (specs/rewrites.md, C-1): where a unit is stably active its
output is its pre-activation, where it is stably inactive its output is zero, and every other unit is a *basis*
element of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.budget import checkpoint
from eqverify.network.composition import as_sparse
from eqverify.network.evaluate import UNDERFLOW, gamma, lost_coefficients, scaled_error
from eqverify.network.graph import Affine, Network, Relu, require_piecewise_linear
from eqverify.network.linear import UNIT_ROUNDOFF, Dense, Diagonal, LinearMap
from eqverify.network.sparse import Sparse

_LONG_BITS = (63, 112)
"""Bits of the fractions of the two longer IEEE 754 formats that a C compiler may offer as long double."""


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What expressions are written over: columns  x (input_size), 1, then the kept units in topological order.

    Attributes:
        input_size: number of inputs.
        columns: by ReLU node, (n,) int64: the column of each unit, -1 where it is none.
        centre: (width,) a centre of each column's range on the domain.
        radius: (width,) |value - centre| <= radius on the domain; infinite where bounds left the range of float64.
        long: whether rows are composed in long double, where the platform has one that is longer than float64.
        sparse: whether rows are compressed (scipy.sparse.csr_array, in float64), for networks of convolutions.
    """

    input_size: int
    columns: Mapping[str, IntArray]
    centre: FloatArray
    radius: FloatArray
    long: bool = False
    sparse: bool = False

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.centre.size)

    @property
    def magnitude(self) -> FloatArray:
        """(width,) bound on |value|."""
        return np.abs(self.centre) + self.radius

    @property
    def element(self) -> type[np.floating[Any]]:
        """The type of rows."""
        return np.longdouble if self.long and np.finfo(np.longdouble).nmant in _LONG_BITS else np.float64

    @property
    def unit(self) -> float:
        """The unit roundoff of arithmetic with rows."""
        return float(np.finfo(self.element).eps) / 2

    def reach(self, rows: FloatArray, columns: BoolArray | None = None) -> FloatArray:
        """(n,) bounds on |rows . basis|, rounded upwards; without all but some columns, (width,), where given."""
        size = abs(rows).astype(np.float64, copy=False)
        magnitude = self.magnitude if columns is None else np.where(columns, self.magnitude, 0.0)
        return scaled_error(1 + 2 * gamma(self.width + 4), np.asarray(size @ magnitude))


def make_basis(
    network: Network,
    kept: Mapping[str, BoolArray],
    inputs: tuple[FloatArray, FloatArray],
    units: Mapping[str, tuple[FloatArray, FloatArray]],
    long: bool = False,
) -> Basis:
    """The basis of the inputs and of the chosen units.

    Args:
        network: the network.
        kept: by ReLU node, (n,) bool: the units that become columns.
        inputs: (lower, upper) of the flat input, (input_size,) each.
        units: by ReLU node with kept units, (lower, upper) of the pre-activations, (n,) each.
        long: whether rows are composed in long double.
    """
    columns, lowers, uppers = {}, [inputs[0], np.ones(1)], [inputs[1], np.ones(1)]
    start = network.input_size + 1
    for node in network.relus:
        chosen = np.flatnonzero(kept[node.name])
        index = np.full(network.sizes[node.name], -1, dtype=np.int64)
        index[chosen] = start + np.arange(chosen.size)
        columns[node.name] = index
        start += chosen.size
        if not chosen.size:
            continue
        lower, upper = units[node.name]
        lowers.append(np.maximum(lower[chosen], 0.0))
        uppers.append(np.maximum(upper[chosen], 0.0))
    low, high = np.concatenate(lowers), np.concatenate(uppers)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = np.clip(low + (high - low) / 2, low, high)
        radius = np.maximum(high - centre, centre - low)
    radius = np.where(np.isfinite(radius), radius, np.inf)
    return Basis(network.input_size, columns, centre, np.where(radius > 0, np.nextafter(radius, np.inf), radius), long)


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """The value of a node: |value - rows . basis| <= error on the domain.

    Attributes:
        rows: (n, width), of the basis's type; perhaps compressed, where they only multiply and are selected from.
        error: (n,) bound on the rounding errors made in composing the rows, and on deviations they stand for; NaN, like
            infinity, where none is known.
    """

    rows: FloatArray
    error: FloatArray

    def select(self, units: IntArray) -> Expression:
        """The expression of some components."""
        return Expression(self.rows[units], self.error[units])


def input_expressions(network: Network, basis: Basis) -> dict[str, Expression]:
    """The inputs themselves."""
    parts, start = {}, 0
    for port in network.inputs:
        parts[port.name] = kept_expression(start + np.arange(port.size), basis)
        start += port.size
    return parts


def affine_expression(node: Affine, values: Mapping[str, Expression], basis: Basis) -> Expression:
    """An affine node over expressions of its sources.

    Rounding by the a-priori bound of the products, but only where there is any: a product with a column that has a
    single entry of 1, and a sum with zero, are exact.  So an expression that is merely copied has error 0.
    """
    terms = sum(term.map.fan_in + 4 for term in node.terms) + 4
    safety = 1 + 4 * gamma(terms)
    error = np.zeros(node.size)
    rows: FloatArray | None = None
    for term in node.terms:
        source = values[term.source]
        checkpoint(0.0 if basis.sparse else float(term.map.fan_in * node.size * basis.width))
        product, unit = _product(term.map, source.rows, basis)
        constant = gamma(terms, unit)
        rounding: FloatArray | float = 0.0
        rows, rounding = (product, rounding) if rows is None else _add(rows, product, basis)
        reach = _rounded_reach(term.map, source.rows, basis)
        carried = term.map.absolute().forward(constant * (reach + source.error) + source.error)
        error = error + rounding + carried
    if rows is None:
        rows = kept_expression(np.full(node.size, -1), basis).rows
    rows, rounding = _add_constant(rows, node.bias, basis)
    error = error + rounding
    return Expression(rows, np.where(error == 0, 0.0, error * safety + lost_coefficients(basis.magnitude)))


def _product(linear: LinearMap, rows: FloatArray, basis: Basis) -> tuple[FloatArray, float]:
    """A map applied to rows, and the unit roundoff of that: maps that are not matrices know float64 only."""
    if basis.sparse:
        return _matrix(linear) @ rows, basis.unit
    if isinstance(linear, Dense) and (columns := _unit_columns(rows)) is not None:
        product = np.zeros((linear.shape[0], basis.width), dtype=basis.element)
        product[:, columns] = linear.matrix
        return product, basis.unit
    if basis.element is np.float64 or linear.copies or isinstance(linear, Dense):
        return linear.forward(rows.T).T, basis.unit
    return linear.forward(rows.astype(np.float64).T).T.astype(basis.element), UNIT_ROUNDOFF


def _matrix(linear: LinearMap) -> Any:
    """A map in compressed rows; true quotients are rounded once, as the map's own product rounds them."""
    if not isinstance(linear, Diagonal):
        return as_sparse(linear).matrix
    every = np.arange(linear.scale.size)
    return Sparse.from_entries(every, every, linear.forward(np.ones(every.size)), linear.shape).matrix


def _unit_columns(rows: FloatArray) -> IntArray | None:
    """The column of each row where all rows are different basis elements, as those of inputs are; else None."""
    if np.count_nonzero(rows) != rows.shape[0]:
        return None
    places, columns = np.nonzero(rows)
    distinct = np.array_equal(places, np.arange(rows.shape[0])) and np.unique(columns).size == columns.size
    return columns if distinct and (rows[places, columns] == 1).all() else None


def _add_constant(rows: FloatArray, constant: FloatArray, basis: Basis) -> tuple[FloatArray, FloatArray]:
    """rows with `constant` added to the column of 1, and a bound on the rounding: none where a summand is zero."""
    if basis.sparse:
        filled = np.flatnonzero(constant)
        ones = np.full(filled.size, basis.input_size)
        return _add(rows, Sparse.from_entries(filled, ones, constant[filled], rows.shape).matrix, basis)
    before = rows[:, basis.input_size]
    total = before + constant
    rows = rows.copy()
    rows[:, basis.input_size] = total
    size = np.abs(total).astype(np.float64)
    return rows, basis.unit * np.where((before != 0) & (constant != 0), size, 0.0)


def _rounded_reach(linear: LinearMap, rows: FloatArray, basis: Basis) -> FloatArray:
    """(n,) bounds on |rows . basis|, without the columns that `linear` maps exactly: with one entry, which is 1."""
    if linear.copies:
        return np.zeros(rows.shape[0])
    entries, ones = (np.asarray(some.sum(axis=0)) for some in (rows != 0, rows == 1))
    exact = (entries <= 1) & (ones == entries) & (not linear.entry_error)
    return basis.reach(rows, ~exact)


def _add(left: FloatArray, right: FloatArray, basis: Basis) -> tuple[FloatArray, FloatArray]:
    """left + right, and a bound on the rounding of it as a value on the domain: none where a summand is zero."""
    total = left + right
    if basis.sparse:
        both = (left != 0).multiply(right != 0)
        return total, basis.unit * basis.reach(abs(total).multiply(both))  # type: ignore[attr-defined]
    return total, basis.unit * basis.reach(np.where((left != 0) & (right != 0), total, 0.0))


def difference(left: Expression, right: Expression, basis: Basis) -> Expression:
    """left - right."""
    rows, rounding = _add(left.rows, -right.rows, basis)
    return Expression(rows, (left.error + right.error + rounding) * (1 + 4 * UNIT_ROUNDOFF))


def scaled(expression: Expression, factor: float, basis: Basis) -> Expression:
    """factor times an expression; exact for powers of two, short of underflow."""
    rows = factor * expression.rows
    exact = abs(math.frexp(factor)[0]) == 0.5 and np.array_equal(rows / factor, expression.rows)
    error = abs(factor) * expression.error + (0.0 if exact else basis.unit * basis.reach(rows))
    return Expression(
        rows, np.where(error == 0, 0.0, error * (1 + 4 * UNIT_ROUNDOFF) + lost_coefficients(basis.magnitude))
    )


def stacked(parts: Sequence[Expression], basis: Basis) -> Expression:
    """Expressions below each other."""
    rows = np.concatenate([np.empty((0, basis.width), dtype=basis.element), *(part.rows for part in parts)])
    return Expression(rows, np.concatenate([np.empty(0), *(part.error for part in parts)]))


def eliminate(expression: Expression, columns: IntArray, meaning: Expression, basis: Basis) -> Expression:
    """Write other expressions in the place of some columns; rounding in proportion to the coefficients replaced.

    Args:
        expression: what to rewrite.
        columns: (k,) columns to replace.
        meaning: k expressions equal to those columns on the domain.
        basis: of all of them.
    """
    coefficients = expression.rows[:, columns]
    if not coefficients.any():
        return expression
    checkpoint(float(coefficients.shape[0]) * getattr(meaning.rows, "nnz", meaning.rows.size))
    rest = expression.rows.copy()
    rest[:, columns] = 0.0
    rows, rounding = _add(rest, coefficients @ meaning.rows, basis)
    reach = gamma(columns.size + 4, basis.unit) * basis.reach(meaning.rows) + meaning.error
    error = expression.error + rounding + np.abs(coefficients).astype(np.float64) @ reach
    return Expression(rows, error * (1 + 4 * gamma(columns.size + 4)) + lost_coefficients(basis.magnitude))


def kept_expression(columns: IntArray, basis: Basis) -> Expression:
    """Basis elements as an expression: one row per entry of `columns`, zero where it is -1."""
    shape, chosen, none = (columns.size, basis.width), np.flatnonzero(columns >= 0), np.zeros(columns.size)
    if basis.sparse:
        return Expression(Sparse.from_entries(chosen, columns[chosen], np.ones(chosen.size), shape).matrix, none)
    rows = np.zeros(shape, dtype=basis.element)
    rows[chosen, columns[chosen]] = 1.0
    return Expression(rows, none)


def restrict_relu(z: Expression, active: BoolArray, columns: IntArray, basis: Basis) -> Expression:
    """The output of a ReLU layer: z where `active`, the basis element where there is one, zero elsewhere."""
    units = kept_expression(columns, basis)
    if not active.any():
        return units
    rows = np.where(active[:, None], z.rows, units.rows)
    return Expression(rows, np.where(active, z.error, 0.0))


def value_range(expression: Expression, basis: Basis) -> tuple[FloatArray, FloatArray]:
    """Sound bounds (lower, upper), each (n,), of an expression's value; exactly 0 for the zero expression."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _range(expression, basis)


def _range(expression: Expression, basis: Basis) -> tuple[FloatArray, FloatArray]:
    middle = (expression.rows @ basis.centre).astype(np.float64)
    size = np.abs(expression.rows).astype(np.float64)
    rounding = gamma(basis.width + 4, basis.unit) * (size @ basis.magnitude)
    spread = (size @ basis.radius + rounding) * (1 + 4 * gamma(basis.width + 4)) + expression.error * (1 + 1e-15)
    slack = spread + 1e-15 * np.abs(middle) + UNDERFLOW
    zero = (expression.error == 0) & ~expression.rows.any(axis=1)
    lower, upper = np.nextafter(middle - slack, -np.inf), np.nextafter(middle + slack, np.inf)
    lower, upper = np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)
    return np.where(zero, 0.0, lower), np.where(zero, 0.0, upper)


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
    require_piecewise_linear(network, "a network as rows over its units")
    values = input_expressions(network, basis)
    for node in network.nodes:
        if isinstance(node, Affine):
            values[node.name] = affine_expression(node, values, basis)
        elif isinstance(node, Relu):
            values[node.name] = restrict_relu(values[node.source], active[node.name], basis.columns[node.name], basis)
        if node.name == stop:
            break
    return values
