"""Time: what there is of it, and what was spent on what."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field


def _now() -> float:
    return time.monotonic()


@dataclass(slots=True)
class Budget:
    """A total in seconds, counted from construction.

    Attributes:
        seconds: the total.
    """

    seconds: float
    _start: float = field(default_factory=_now)

    @property
    def left(self) -> float:
        """Seconds left, not below 0."""
        return max(0.0, self.seconds - (_now() - self._start))

    @property
    def end(self) -> float:
        """When nothing is left, as `time.monotonic` counts."""
        return self._start + self.seconds

    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0.0

    def tick(self) -> None:
        """Called in work that takes long.

        Raises:
            TimeoutError: nothing is left.
        """
        if self.exhausted():
            raise TimeoutError

    def share(self, parts: int) -> Budget:
        """A budget of its own: an equal share of what is left."""
        return Budget(self.left / parts)

    def part(self, share: float, most: float = float("inf")) -> Budget:
        """A budget of its own: a share of what is left, between 0 and 1, and at most some seconds."""
        return Budget(min(self.left * share, most))

    def until(self, share: float) -> Budget:
        """A budget of its own: what is left before a share of the total is spent."""
        return Budget(max(0.0, self.left - (1.0 - share) * self.seconds))


class Clock:
    """Wall time by stage.

    Attributes:
        seconds: by stage; those of a stage that comes again are added up.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Count the time since the last call for a stage."""
        now = time.perf_counter()
        self.add({stage: now - self._last})
        self._last = now

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count time that was measured elsewhere."""
        for stage, took in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + took
