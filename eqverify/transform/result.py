"""What to make of a network, and what was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from eqverify.arrays import FloatArray
from eqverify.errors import UsageError
from eqverify.network import Network
from eqverify.normal_form import simplify
from eqverify.normal_form.passes import Declined, RemovedUnit, make_pass, pass_names
from eqverify.normal_form.relation import Relation
from eqverify.transform import leo
from eqverify.transform.realise import Element
from eqverify.transform.shape_names import Made, Shape
from eqverify.transform.unit_map import UnitMap

LEO: tuple[str, ...] = tuple(
    rewrite.name
    for rewrite in (leo.CollapseConstant, leo.RemoveInactive, leo.MergeDependent, leo.FoldStable, leo.DropDead)
)
"""The order in which LEO's passes are applied in each round."""

PASSES: tuple[str, ...] = (simplify.FoldSigns.name, simplify.MergeParallel.name, simplify.DropUnread.name, *LEO)
"""What is applied by default: on normal forms, and on chains."""


def named_passes(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names of passes from a list or a text with commas; those applied by default where there is neither."""
    names = given.split(",") if isinstance(given, str) else PASSES if given is None else given
    return tuple(name.strip() for name in names if name.strip())


def pass_table() -> dict[str, dict[str, object]]:
    """All passes by name: what each rewrites, where it is stated, whether it is a default; of unusable ones, why."""
    rows: dict[str, dict[str, object]] = {}
    for name in pass_names():
        try:
            made = make_pass(name)
            summary = " ".join((type(made).__doc__ or "").split("\n\n")[0].split())
            row: tuple[object, ...] = made.rewrites, made.statement, name in PASSES, summary
        except UsageError as error:
            row = "unusable", "", False, str(error.value)
        rows[name] = dict(zip(("rewrites", "statement", "default", "summary"), row, strict=True))
    return rows


@dataclass(frozen=True, slots=True)
class TransformOptions:
    """Options of the rewriting.

    Attributes:
        shape: ``sequential`` is a chain of layers, by carriers, by LEO's passes, or as the original is, whichever has
            fewest ReLUs; ``residual`` has skip connections and the fewest ReLUs; ``structured`` is the original's
            graph without whole channels and units; ``leo`` is LEO's passes alone; ``auto`` takes what costs least
            (`eqverify.transform.driver`).
        passes: names of passes, applied in this order until none changes anything: those that rewrite forms for
            ``sequential`` and ``residual``, those that rewrite chains for ``leo``.
        dtype: type of the written weights.
        max_epsilon: results with a larger proved deviation are avoided; in LEO's passes, those that compute new weights
            then leave layers alone, from the first on, until the deviation is at most this.
        density: products of an evaluation for each of the original, at most; what takes more is left out where the
            original's graph can be written.
    """

    shape: Shape = "sequential"
    passes: tuple[str, ...] = PASSES
    dtype: Element = "float32"
    max_epsilon: float = 1e-4
    density: float = float("inf")

    def __post_init__(self) -> None:
        shapes = get_args(Shape)
        if self.shape not in shapes:
            raise UsageError("usage/shape", "unknown shape", value=self.shape, hint=f"use one of {', '.join(shapes)}")
        for name in self.passes:
            make_pass(name)
        if self.dtype not in ("float32", "float64"):
            raise UsageError("usage/dtype", "unknown element type", value=self.dtype, hint="use float32 or float64")


@dataclass(frozen=True, slots=True, eq=False)
class Transformed:
    """A reduced network with the proof of what it changes.

    Attributes:
        network: the reduced network, its weights already numbers of the wanted type.
        unit_maps: by its ReLU nodes, what their units stand for.
        epsilon: (output_size,) proved bounds on |original - reduced| over the domain.
        shape: how it was made; ``unchanged`` where nothing gained anything.
        choice: that way, with its reasons: what the other ones would have given.
        relations: what units without a counterpart equal, as far as the proof needs it.
        removed: units that went though the facts leave them open (for ``leo``: all that went), and how.
        declined: why others stayed, by pass.
        wants_float64: whether it is float32 weights that eps, or the number of ReLUs, is limited by.
        handed_on: whether the file is the original's, byte for byte.
        seconds: measured wall time.
    """

    network: Network
    unit_maps: Mapping[str, UnitMap]
    epsilon: FloatArray
    shape: Made
    choice: str = ""
    relations: tuple[Relation, ...] = ()
    removed: tuple[RemovedUnit, ...] = ()
    declined: tuple[Declined, ...] = ()
    wants_float64: bool = False
    handed_on: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)

    def gained_on(self, network: Network) -> bool:
        """Whether there are fewer ReLUs or weights than in a network."""
        own = self.network
        return own.relu_count < network.relu_count or own.parameter_count < network.parameter_count

    @property
    def worst(self) -> float:
        """The largest deviation."""
        return float(self.epsilon.max(initial=0.0))
