"""What verifiers read, and what costs them: how a network is written that one of them gets (`reduce --for`).

All that are listed read dense chains and convolutions, which is what they read of networks as people export them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from eqverify.options import Element
from eqverify.transform.shape_names import Shape

Tool = Literal["marabou", "nnenum", "abcrown", "scip"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How a network is written for one tool.

    Attributes:
        shape: as in `ReduceOptions`; nnenum does not read sums of values from before and behind a ReLU.
        dtype: of the weights; None for that of the network.
        density: products of the written network for each of the original, at most: where a chain of dense layers takes
            more, the original's graph is written.  Bounds cost products, splits cost ReLUs; how many products a tool
            has for a ReLU is a convention.
    """

    shape: Shape
    dtype: Element | None
    density: float


PROFILES: Mapping[Tool, Profile] = {
    "marabou": Profile("auto", None, 2.0),
    "nnenum": Profile("sequential", "float32", 2.0),
    "abcrown": Profile("auto", None, 1.0),
    "scip": Profile("residual", None, float("inf")),
}


def tool_of(words: Iterable[str]) -> Tool | None:
    """The tool that a command is about: the first one that any of its words names."""
    told = [word.lower() for word in words]
    return next((tool for tool in get_args(Tool) if any(tool in word for word in told)), None)
