"""What a caller may choose about the proof of stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eqverify.errors import UsageError

Engine = Literal["portfolio", "crown"]


@dataclass(frozen=True, slots=True)
class StabilityOptions:
    """Options of the proof of stability.

    Attributes:
        engine: ``crown`` stops after the bounds; ``portfolio`` asks SCIP about what they leave open.
        time_limit: seconds for the whole proof; what is open then stays undecided.
        unit_time_limit: seconds for one solver question.
        seed: of the falsifier's random points and of SCIP; equal seeds give equal questions.
    """

    engine: Engine = "portfolio"
    time_limit: float = 60.0
    unit_time_limit: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("time_limit", "unit_time_limit"):
            if not getattr(self, name) > 0:
                raise UsageError(
                    "usage/limit", f"{name} must be a positive number of seconds", value=getattr(self, name)
                )
        if self.engine not in ("portfolio", "crown"):
            raise UsageError("usage/engine", "unknown engine", value=self.engine, hint="use portfolio or crown")
