"""What a caller may choose about counting linear regions, and about following them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eqverify.errors import UsageError
from eqverify.options import Element, require_seconds
from eqverify.trust import NOBODY, Names, Trusting

Method = Literal["fast", "milp"]
Patterns = Literal["all", "feasible"]


@dataclass(frozen=True, slots=True)
class RegionOptions(Trusting):
    """How linear regions are looked for.

    Attributes:
        method: Depth-first search with linear programs, or SCIP with no-good cuts.
        time_limit: Seconds; what was found until then is a lower bound.
        seed: Of random points and of SCIP.
        trust: scip: where SCIP finds no other regions, and no proof of that was found, these count as all.
    """

    method: Method = "fast"
    time_limit: float = 60.0
    seed: int = 0
    trust: Names = NOBODY

    def __post_init__(self) -> None:
        Trusting.__post_init__(self)
        require_seconds(self, "time_limit")


@dataclass(frozen=True, slots=True)
class ShallowOptions:
    """How a network with two hidden layers is made.

    Attributes:
        patterns: Units for the linear regions on the inputs, or for every activation pattern.
        delta: Distance from the facets of a region at which the network is exact; by default a tenth of the median
            radius.
        dtype: Type of the written weights; by default that of the network's input.
        time_limit: Seconds for finding the regions.
        samples: Random points for the share of the inputs where it is exact, and for the error.
        seed: Of random points.
    """

    patterns: Patterns = "feasible"
    delta: float | None = None
    dtype: Element | None = None
    time_limit: float = 60.0
    samples: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError("shallow/samples", "at least one sample is needed", value=self.samples)
