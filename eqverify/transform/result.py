"""What to make of a network, and what was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from eqverify.arrays import FloatArray
from eqverify.errors import UsageError
from eqverify.network import Network
from eqverify.transform import leo
from eqverify.transform.base import REGISTRY, Declined, Fate
from eqverify.transform.realise import Element
from eqverify.transform.unit_map import Meaning, Relation

Shape = Literal["sequential", "residual", "structured", "leo", "auto"]
Made = Literal["sequential", "residual", "structured", "leo", "unchanged"]

LEO: tuple[str, ...] = tuple(
    rewrite.name
    for rewrite in (leo.CollapseConstant, leo.RemoveInactive, leo.MergeDependent, leo.FoldStable, leo.DropDead)
)
"""The order in which LEO's passes are applied in each round."""


@dataclass(frozen=True, slots=True)
class TransformOptions:
    """Options of the rewriting.

    Attributes:
        shape: ``sequential`` is a chain of layers, by carriers, by LEO's passes, or as the original is, whichever has
            fewest ReLUs; ``residual`` has skip connections and the fewest ReLUs; ``structured`` is the original's
            graph without whole channels and units; ``leo`` is LEO's passes alone; ``auto`` takes what costs least
            (`eqverify.transform.driver`).
        passes: for LEO's passes, names of registered passes, applied in this order until none changes anything.
        dtype: type of the written weights.
        max_epsilon: results with a larger proved deviation are avoided; in LEO's passes, those that compute new weights
            then leave layers alone, from the first on, until the deviation is at most this.
    """

    shape: Shape = "sequential"
    passes: tuple[str, ...] = LEO
    dtype: Element = "float32"
    max_epsilon: float = 1e-4

    def __post_init__(self) -> None:
        shapes = get_args(Shape)
        if self.shape not in shapes:
            raise UsageError("usage/shape", "unknown shape", value=self.shape, hint=f"use one of {', '.join(shapes)}")
        for name in self.passes:
            if name not in REGISTRY:
                raise UsageError("usage/pass", "unknown pass", value=name, hint=f"known: {', '.join(REGISTRY)}")
        if self.dtype not in ("float32", "float64"):
            raise UsageError("usage/dtype", "unknown element type", value=self.dtype, hint="use float32 or float64")


@dataclass(frozen=True, slots=True, eq=False)
class Transformed:
    """A reduced network with the proof of what it changes.

    Attributes:
        network: the reduced network, its weights already numbers of the wanted type.
        meanings: by its ReLU nodes, what their units stand for.
        epsilon: (output_size,) proved bounds on |original - reduced| over the domain.
        shape: how it was made; ``unchanged`` where nothing gained anything.
        choice: why that way and not the other, in one clause.
        relations: what units without a counterpart equal, as far as the proof needs it.
        fates: units that went though the facts leave them open (for ``leo``: all that went), and what happened to each.
        declined: why others stayed, by pass.
        wants_float64: whether it is float32 weights that eps, or the number of ReLUs, is limited by.
        seconds: measured wall time.
    """

    network: Network
    meanings: Mapping[str, Meaning]
    epsilon: FloatArray
    shape: Made
    choice: str = ""
    relations: tuple[Relation, ...] = ()
    fates: tuple[Fate, ...] = ()
    declined: tuple[Declined, ...] = ()
    wants_float64: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        """The largest deviation."""
        return float(self.epsilon.max(initial=0.0))
