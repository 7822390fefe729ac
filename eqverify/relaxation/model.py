"""A network on a domain where bounds of its pre-activations are proved, as rows over the units that are left.

Stable units are linear there and disappear; every other unit is a column of its own, and what rounding did to the rows
is bounded (`eqverify.network.expression`).  Whoever asks a solver about a network takes the rows from here: the linear
programs (`bounds/lp.py`), SCIP's questions unit by unit, ISA, the question of `verify` and the count of regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.network import Network, Relu
from eqverify.network.expression import Basis, Expression, make_basis, restricted_values, stacked
from eqverify.relaxation.blocks import UnitBlock


class Range(Protocol):
    """Proved bounds of a node, (parts, n) each."""

    @property
    def lower(self) -> FloatArray:
        """From below, on each part of the domain."""

    @property
    def upper(self) -> FloatArray:
        """From above."""


@dataclass(frozen=True, slots=True, eq=False)
class RestrictedModel:
    """The rows of a network on a domain.  Trusted: the ranges and signs it was made from, and float64 arithmetic.

    Attributes:
        network: the network.
        kept: by ReLU node, (n,) bool: the units that are columns.
        active: likewise: those that are stably active and no columns; the others are stably inactive.
        ranges: by pre-activation node; blocks have those that are there when they are made.
        box: (lower, upper) of the inputs, (input_size,) each.
        basis: the columns: inputs, 1, and the kept units in topological order.
        values: the nodes, as far as they were wanted, as rows over the columns with bounds on their errors.
    """

    network: Network
    kept: Mapping[str, BoolArray]
    active: Mapping[str, BoolArray]
    ranges: Mapping[str, Range]
    box: tuple[FloatArray, FloatArray]
    basis: Basis
    values: Mapping[str, Expression]

    def units(self, relu: Relu) -> IntArray:
        """(k,) the units of a ReLU node that are columns."""
        return np.flatnonzero(self.kept[relu.name])

    def width(self, relu: Relu) -> int:
        """How many columns stand before those of a ReLU node."""
        before = self.network.relus[: self.network.relus.index(relu)]
        return self.network.input_size + 1 + sum(int(self.kept[r.name].sum()) for r in before)

    def block(self, relu: Relu, part: int = 0) -> UnitBlock:
        """The kept units of a ReLU node over the columns before them, with their ranges on one part of the domain."""
        own, z, known = self.units(relu), self.values[relu.source], self.ranges[relu.source]
        return UnitBlock(z.rows[own, : self.width(relu)], z.error[own], known.lower[part, own], known.upper[part, own])

    def blocks(self, part: int = 0) -> list[UnitBlock]:
        """The kept units of all ReLU nodes whose pre-activations are wanted, in order; see `block`."""
        return [self.block(relu, part) for relu in self.network.relus if relu.source in self.values]

    def outputs(self) -> Expression:
        """The flat output."""
        return stacked([self.values[port.source] for port in self.network.outputs], self.basis)


def restricted_model(
    network: Network,
    kept: Mapping[str, BoolArray],
    active: Mapping[str, BoolArray],
    box: tuple[FloatArray, FloatArray],
    ranges: Mapping[str, Range],
    stop: str | None = None,
) -> RestrictedModel:
    """The model with the columns that are wanted.

    Args:
        network: the network.
        kept: by ReLU node, (n,) bool: the units that become columns; none of nodes that are left out.
        active: likewise: units that are stably active; those that are neither must be stably inactive.
        box: (lower, upper) of the inputs, (input_size,) each.
        ranges: by pre-activation node, proved on the parts of the domain.
        stop: the last node wanted; None for all.  What reads nodes behind it has no columns.
    """
    none = {relu.name: np.zeros(network.sizes[relu.name], dtype=bool) for relu in network.relus}
    order = [node.name for node in network.nodes]
    behind = set(order[order.index(stop) + 1 :]) if stop in order else set()
    kept = {**none, **{r.name: kept[r.name] for r in network.relus if r.name in kept and r.source not in behind}}
    active = {name: on & ~kept[name] for name, on in {**none, **active}.items()}
    hull = {r.name: _hull(ranges[r.source]) for r in network.relus if kept[r.name].any()}
    basis = make_basis(network, kept, box, hull)
    return RestrictedModel(network, kept, active, ranges, box, basis, restricted_values(network, basis, active, stop))


def open_model(
    network: Network, box: tuple[FloatArray, FloatArray], ranges: Mapping[str, Range], stop: str | None = None
) -> RestrictedModel:
    """The model whose columns are the units whose ranges leave the sign open.

    Args:
        network: the network.
        box: (lower, upper) of the inputs, (input_size,) each.
        ranges: by pre-activation node, of all of them, proved on the parts of the domain.
        stop: the last node wanted; None for all.
    """
    ends = {relu.name: _hull(ranges[relu.source]) for relu in network.relus}
    kept = {
        name: ~((lower >= 0) | (upper <= 0)) for name, (lower, upper) in ends.items()
    }  # where nothing is known, too
    active = {name: lower >= 0 for name, (lower, _) in ends.items()}
    return restricted_model(network, kept, active, box, ranges, stop)


def _hull(known: Range) -> tuple[FloatArray, FloatArray]:
    """(lower, upper) over all parts, (n,) each."""
    return np.asarray(known.lower.min(axis=0)), np.asarray(known.upper.max(axis=0))
