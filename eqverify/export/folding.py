"""An output condition as a last affine layer: one output per linear constraint, which holds where that is at most 0.

For verifiers whose property readers know no arithmetic: what is left of the property is  (<= Y_k 0.0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from eqverify.domain import Case, Conjunction, Declaration, HalfSpace, NetworkSignature, Polytope, Specification
from eqverify.errors import InputError, Place
from eqverify.export.property import relax
from eqverify.export.rounding import TYPES, ElementType, element_type
from eqverify.network import Affine, Dense, Network, Port, Term
from eqverify.numerals import nearest_float

_NEVER = HalfSpace({}, {}, Fraction(-1))
_EXPONENTS: dict[ElementType, int] = {"float32": 100, "float64": 900}
"""Numbers of rows stay below about 2 to this power, so that sums of products with them do too."""

_ALWAYS = HalfSpace({}, {}, Fraction(1))

_Key: TypeAlias = tuple[tuple[tuple[int, Fraction], ...], tuple[tuple[int, Fraction], ...], Fraction]


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A network that computes the rows of a condition, and the property that is left.

    Attributes:
        network: outputs one row each.
        specification: one case: a box, and  y_k <= 0  in the and/or structure of the condition.
        rows: what output k stands for:  row.x + row.y - bound  of the network before, up to outward rounding.
    """

    network: Network
    specification: Specification
    rows: tuple[HalfSpace, ...]


def fold(
    network: Network,
    case: Case,
    epsilons: Sequence[Fraction],
    magnitudes: Sequence[Fraction | None],
    dtype: ElementType,
) -> Folded:
    """Append a condition to a network.

    A coefficient c that is no number of the type is rounded to c'; its row is relaxed by |c - c'| times the magnitude
    of what it multiplies, and its constant is rounded downwards, so that folded y_k <= 0 wherever the row holds
    (specs/rewrites.md, P-2).  Linear constraints of the inputs become rows too, which join every
    conjunction: what is left of the input set is a box.

    Args:
        network: the reduced network.
        case: inputs, and the condition on the original network's outputs.
        epsilons: (output_size,) exact proved bounds on |original - network| on these inputs.
        magnitudes: (output_size,) exact proved bounds on |network| on these inputs; None where there are none.
        dtype: type of the weights to be written.

    Returns:
        The network with one output port and its property, in version 1.0.

    Raises:
        UsageError: `export/dtype`.
        InputError: `export/overflow` for a constant beyond the range of the type; `reduce/no-bound` for an output
            without a bound of which a coefficient is no number of the type.
    """
    element_type(dtype)
    inputs = _input_rows(case.polytope)
    conjunctions = [
        tuple(_scaled(row, dtype) for row in (*inputs, *(relax(row, epsilons) for row in rows))) or (_ALWAYS,)
        for rows in case.unsafe
    ]
    numbers: dict[_Key, int] = {}
    rows: list[HalfSpace] = []
    structure = []
    for conjunction in conjunctions or [(_NEVER,)]:
        for row in conjunction:
            if numbers.setdefault(_key(row), len(rows)) == len(rows):
                rows.append(row)
        structure.append(tuple(dict.fromkeys(numbers[_key(row)] for row in conjunction)))
    reach = [Fraction(value) for value in case.polytope.box.magnitude.tolist()]
    folded = _append(network, rows, reach, magnitudes, dtype)
    condition = tuple(tuple(HalfSpace({}, {k: Fraction(1)}, Fraction(0)) for k in chosen) for chosen in structure)
    signature = NetworkSignature(
        "N", (Declaration("X", "Real", (network.input_size,)),), (Declaration("Y", "Real", (len(rows),)),)
    )
    return Folded(folded, Specification((signature,), (Case(Polytope(case.polytope.box), condition),)), tuple(rows))


def _scaled(row: HalfSpace, dtype: ElementType) -> HalfSpace:
    """The constraint with numbers within the range of a type: divided by a power of two where they are beyond it."""
    numbers = (row.bound, *row.inputs.values(), *row.outputs.values())
    excess = max(abs(v.numerator).bit_length() - v.denominator.bit_length() for v in numbers) - _EXPONENTS[dtype]
    if excess <= 0:
        return row
    factor = Fraction(1, 1 << excess)
    inputs, outputs = ({i: c * factor for i, c in part.items()} for part in (row.inputs, row.outputs))
    return HalfSpace(inputs, outputs, row.bound * factor, row.strict)


def _key(row: HalfSpace) -> _Key:
    return tuple(sorted(row.inputs.items())), tuple(sorted(row.outputs.items())), row.bound


def _input_rows(polytope: Polytope) -> Conjunction:
    """The linear constraints of the inputs, exactly."""
    return tuple(
        HalfSpace({i: Fraction(v) for i, v in enumerate(row) if v}, {}, Fraction(bound))
        for row, bound in zip(polytope.matrix.tolist(), polytope.bound.tolist(), strict=True)
    )


def _append(
    network: Network,
    rows: Sequence[HalfSpace],
    reach: Sequence[Fraction],
    magnitudes: Sequence[Fraction | None],
    dtype: ElementType,
) -> Network:
    """The network with the rows as its only output."""
    constants = [-row.bound for row in rows]
    terms = []
    for ports, kind, sizes in ((network.inputs, "inputs", reach), (network.outputs, "outputs", magnitudes)):
        start = 0
        for port in ports:
            matrix = np.zeros((len(rows), port.size))
            for k, row in enumerate(rows):
                for j, c in getattr(row, kind).items():
                    if start <= j < start + port.size:
                        matrix[k, j - start] = stored = _nearest(c, dtype)
                        constants[k] -= _lost(abs(c - Fraction(stored)), sizes[j], port.name, j - start)
            if matrix.any():
                terms.append(Term(port.source, Dense(matrix)))
            start += port.size
    bias = np.array([_round_down(value, dtype) for value in constants])
    name = "Y"
    while name in network.sizes:
        name += "_"
    batch = next((port.shape[0] for port in network.inputs if port.shape and isinstance(port.shape[0], str)), 1)
    output = Port(name, (batch, len(rows)), network.outputs[0].element, name)
    return replace(network, nodes=(*network.nodes, Affine(name, tuple(terms), bias)), outputs=(output,))


def _lost(rounded: Fraction, size: Fraction | None, name: str, unit: int) -> Fraction:
    """What the rounding of a coefficient amounts to on a value of this size."""
    if not rounded:
        return rounded
    if size is None:
        raise InputError(
            "reduce/no-bound",
            "a coefficient has to be rounded, and the output has no bound within the range of float64",
            place=Place(node=name, unit=unit),
            value=float(rounded),
            hint="the weights or the input bounds are extremely large: write float64, or do not fold the property",
        )
    return rounded * size


def _nearest(value: Fraction, dtype: ElementType) -> float:
    return _finite(float(_stored(value, dtype)))


def _round_down(value: Fraction, dtype: ElementType) -> float:
    """A number of the type that is at most `value`, next to it or nearly so."""
    stored = _stored(value, dtype)
    while np.isfinite(stored) and Fraction(float(stored)) > value:
        stored = np.nextafter(stored, np.asarray(-math.inf, dtype=stored.dtype))
    return _finite(float(stored))


def _stored(value: Fraction, dtype: ElementType) -> npt.NDArray[np.floating[Any]]:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(nearest_float(value)).astype(TYPES[dtype][1])


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InputError(
            "export/overflow",
            "a number of the property is too large for the type of the network",
            value=value,
            hint="write float64 (--dtype float64), or divide the constraint by a suitable factor",
        )
    return value
