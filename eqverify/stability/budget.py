"""Time limits of the proof of stability."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Budget:
    """A total in seconds, counted from construction.

    Attributes:
        seconds: the total.
    """

    seconds: float
    _start: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left, not below 0."""
        return max(0.0, self.seconds - (time.monotonic() - self._start))

    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0.0

    def share(self, parts: int) -> Budget:
        """A budget of its own: an equal share of what is left."""
        return Budget(self.left / parts)
