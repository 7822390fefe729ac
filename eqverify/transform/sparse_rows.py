"""Expressions with compressed rows, for networks of convolutions: the same bounds as `network.expression`, in float64.

The rows of an `Expression` are a scipy.sparse.csr_array here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.network import UNIT_ROUNDOFF, Affine, Diagonal, LinearMap, Network, gamma
from eqverify.network.composition import as_sparse
from eqverify.network.evaluate import lost_coefficients, scaled_error
from eqverify.network.expression import Basis, Expression

Compressed = Any
"""scipy.sparse.csr_array."""


def unit_rows(columns: IntArray, basis: Basis) -> Expression:
    """Basis elements: one row per entry of `columns`, zero where it is -1."""
    rows = np.flatnonzero(columns >= 0)
    return Expression(_compressed(np.ones(rows.size), rows, columns[rows], (columns.size, basis.width)), _no(columns))


def input_rows(network: Network, basis: Basis) -> dict[str, Expression]:
    """The inputs themselves."""
    parts, start = {}, 0
    for port in network.inputs:
        parts[port.name] = unit_rows(start + np.arange(port.size), basis)
        start += port.size
    return parts


def affine_rows(node: Affine, values: Mapping[str, Expression], basis: Basis) -> Expression:
    """An affine node over expressions of its sources, as `network.expression.affine_expression`."""
    terms = sum(term.map.fan_in + 4 for term in node.terms) + 4
    safety, error = 1 + 4 * gamma(terms), np.zeros(node.size)
    rows = _compressed(np.empty(0), _no_index(), _no_index(), (node.size, basis.width))
    for term in node.terms:
        source = values[term.source]
        rows, rounding = _added(rows, _matrix(term.map) @ source.rows, basis)
        inner = gamma(terms) * (_rounded_reach(term.map, source.rows, basis) + source.error) + source.error
        error = error + rounding + term.map.absolute().forward(inner)
    filled = np.flatnonzero(node.bias)
    constant = _compressed(node.bias[filled], filled, np.full(filled.size, basis.input_size), rows.shape)
    rows, rounding = _added(rows, constant, basis)
    error = error + rounding
    return Expression(rows, np.where(error == 0, 0.0, error * safety + lost_coefficients(basis.magnitude)))


def reach_of(rows: Compressed, basis: Basis) -> FloatArray:
    """(n,) bounds on |rows . basis|, rounded upwards."""
    return scaled_error(1 + 2 * gamma(basis.width + 4), np.asarray(abs(rows) @ basis.magnitude))


def eliminate_rows(expression: Expression, columns: IntArray, meaning: Expression, basis: Basis) -> Expression:
    """As `network.expression.eliminate`, of an expression with full rows by one with compressed rows."""
    coefficients = expression.rows[:, columns]
    if not coefficients.any():
        return expression
    rest = expression.rows.copy()
    rest[:, columns] = 0.0
    added = coefficients @ meaning.rows
    both = (rest != 0) & (added != 0)
    rest += added
    rounding = basis.unit * basis.reach(np.where(both, rest, 0.0))
    reach = gamma(columns.size + 4) * reach_of(meaning.rows, basis) + meaning.error
    error = expression.error + rounding + np.abs(coefficients) @ reach
    return Expression(rest, error * (1 + 4 * gamma(columns.size + 4)) + lost_coefficients(basis.magnitude))


def equal_rows(one: Expression, other: Expression) -> bool:
    """Whether all coefficients are numbers that agree, whatever the errors are."""
    left: Compressed = one.rows
    right: Compressed = other.rows
    same = left.shape == right.shape and (left != right).nnz == 0
    return bool(same and np.isfinite(left.data).all())


def _matrix(linear: LinearMap) -> Compressed:
    """A map as a matrix; true quotients are rounded once, as the map's own product rounds them."""
    if not isinstance(linear, Diagonal):
        sparse = as_sparse(linear)
        return _from_rows(sparse.data, sparse.indices, sparse.starts, sparse.shape)
    every = np.arange(linear.scale.size)
    return _compressed(linear.forward(np.ones(every.size)), every, every, linear.shape)


def _added(left: Compressed, right: Compressed, basis: Basis) -> tuple[Compressed, FloatArray]:
    """left + right, and a bound on the rounding of it as a value on the domain: none where a summand is zero."""
    if not left.nnz or not right.nnz:
        return (right, np.zeros(left.shape[0])) if not left.nnz else (left, np.zeros(left.shape[0]))
    total = left + right
    both = (abs(total)).multiply((left != 0).multiply(right != 0))
    return total, UNIT_ROUNDOFF * reach_of(both.tocsr(), basis)


def _rounded_reach(linear: LinearMap, rows: Compressed, basis: Basis) -> FloatArray:
    """(n,) bounds on |rows . basis| without the columns that `linear` maps exactly: with one entry, which is 1."""
    if linear.copies:
        return np.zeros(rows.shape[0])
    entries = rows.tocsc()
    counts = np.diff(entries.indptr)
    ones = np.bincount(np.repeat(np.arange(basis.width), counts), weights=entries.data != 1, minlength=basis.width)
    single: BoolArray = (counts <= 1) & (ones == 0)
    if linear.entry_error:
        single = np.zeros(basis.width, dtype=bool)
    size = abs(rows) @ np.where(single, 0.0, basis.magnitude)
    return scaled_error(1 + 2 * gamma(basis.width + 4), np.asarray(size))


def _compressed(data: FloatArray, rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> Compressed:
    from scipy.sparse import coo_array  # takes a while, and few networks need it

    return coo_array((data, (rows, columns)), shape=shape).tocsr()


def _from_rows(data: FloatArray, indices: IntArray, starts: IntArray, shape: tuple[int, int]) -> Compressed:
    from scipy.sparse import csr_array

    return csr_array((data, indices, starts), shape=shape)


def _no(columns: IntArray) -> FloatArray:
    return np.zeros(columns.size)


def _no_index() -> IntArray:
    return np.empty(0, dtype=np.int64)
