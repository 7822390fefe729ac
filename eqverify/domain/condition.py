"""Exact linear constraints on inputs and outputs, and disjunctive normal forms of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from eqverify.domain.polytope import Domain, Polytope

if TYPE_CHECKING:
    from eqverify.domain.written import Written


@dataclass(frozen=True, slots=True)
class HalfSpace:
    """The constraint  sum_i inputs[i] x_i + sum_j outputs[j] y_j  <=  bound   (<  where `strict`).

    Attributes:
        inputs: flat input index -> exact coefficient, no zeros.
        outputs: flat output index -> exact coefficient, no zeros.
        bound: exact right-hand side.
        strict: whether equality is excluded.
    """

    inputs: Mapping[int, Fraction]
    outputs: Mapping[int, Fraction]
    bound: Fraction
    strict: bool = False

    def holds(self, x: Mapping[int, Fraction] | list[Fraction], y: Mapping[int, Fraction] | list[Fraction]) -> bool:
        """Whether the constraint holds at exact values, by rational arithmetic."""
        total = sum((c * x[i] for i, c in self.inputs.items()), Fraction(0))
        total += sum((c * y[j] for j, c in self.outputs.items()), Fraction(0))
        return total < self.bound if self.strict else total <= self.bound


Conjunction = tuple[HalfSpace, ...]
"""All of these must hold; the empty one always does."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One part of the input set with the output condition that belongs to it.

    Attributes:
        polytope: the inputs, closed and rounded outwards to float64.
        unsafe: the output condition in disjunctive normal form: satisfied where any conjunction holds.
            ``()`` never holds, ``((),)`` always does.  Rows may mention inputs too.
        written: what is written of the inputs, exactly: an input belongs to the case where it lies in `polytope` and
            this holds.  None where `polytope` is what is meant.
    """

    polytope: Polytope
    unsafe: tuple[Conjunction, ...]
    written: Written | None = None

    @property
    def compares_outputs(self) -> bool:
        """Whether all that the condition says of outputs is which of two is larger."""
        return all(
            len(row.outputs) == 2 and not sum(row.outputs.values()) and not row.inputs and not row.bound
            for rows in self.unsafe
            for row in rows
        )


@dataclass(frozen=True, slots=True)
class Declaration:
    """A declared variable: its name, element type (``Real``, ``float32``, ...) and shape (``()`` for a scalar)."""

    name: str
    element: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of components."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class NetworkSignature:
    """What a property declares about one network.  Version 1.0 declares one network, named ``N``."""

    name: str
    inputs: tuple[Declaration, ...]
    outputs: tuple[Declaration, ...]
    hidden: tuple[Declaration, ...] = ()
    equal_to: str | None = None
    isomorphic_to: str | None = None


@dataclass(frozen=True, eq=False)
class Specification:
    """The meaning of a property file, before a network is attached.

    Inputs (and outputs) are numbered flat: networks in order of declaration, their variables in order, each
    variable in row-major order.

    Attributes:
        networks: signatures, at least one.
        cases: the query is satisfied by an x in `polytope` and y = network(x) with `unsafe`, for any case.
        version: ``1.0`` or ``2.0``, as written.
        source: file name for messages, or None.
    """

    networks: tuple[NetworkSignature, ...]
    cases: tuple[Case, ...]
    version: str = "1.0"
    source: str | None = field(default=None)

    @cached_property
    def domain(self) -> Domain:
        """The union of the cases' polytopes, each listed once."""
        parts: dict[int, Polytope] = {}
        limits: dict[int, list[Written]] = {}
        for case in self.cases:
            parts[id(case.polytope)] = case.polytope
            limits.setdefault(id(case.polytope), []).extend([case.written] if case.written else [])
        written = tuple(map(tuple, limits.values()))
        meant = any(case.written is None for case in self.cases)
        return Domain(tuple(parts.values()), () if meant else written)

    @property
    def input_size(self) -> int:
        """Number of input components over all networks."""
        return sum(d.size for network in self.networks for d in network.inputs)

    @property
    def output_size(self) -> int:
        """Number of output components over all networks."""
        return sum(d.size for network in self.networks for d in network.outputs)
