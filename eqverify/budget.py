"""Time: what there is of it, and what was spent on what."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal


def _now() -> float:
    return time.monotonic()


FIRST_HOPE = 2.0
"""Seconds that work may go on without a gain, at least."""

HOPE_SHARE = 0.25
"""Share of the time spent so far that work may go on without a gain."""

TimeLimit = float | Literal["auto"]
"""Seconds, or as long as time gains anything, at most `LONGEST`."""

LONGEST = 60.0

WORTH = 0.002
"""A second is worth it if it is expected to gain that share of what is open."""


class Hope:
    """Time that gains buy: work goes on as long as the next second is expected to gain what it is worth.

    A gain of a share s of what is open buys s / `WORTH` seconds.  None are saved beyond `HOPE_SHARE` of the time spent
    so far, or `FIRST_HOPE`: what was gained long ago says little.
    """

    def __init__(self) -> None:
        self._start = _now()
        self.renew()

    @property
    def left(self) -> float:
        """Seconds left."""
        return self._until - _now()

    def renew(self) -> None:
        """Called where work of another kind begins, of which nothing is known yet."""
        self._until = _now() + self._most()

    def gain(self, share: float) -> None:
        """Called where a share of what is open was gained."""
        now = _now()
        self._until = min(max(self._until, now) + share / WORTH, now + self._most())

    def delay(self, seconds: float) -> None:
        """Called after seconds in which nothing could be gained."""
        self._until += seconds

    def _most(self) -> float:
        return max(FIRST_HOPE, HOPE_SHARE * (_now() - self._start))


@dataclass(slots=True)
class Budget:
    """A total in seconds, counted from construction.

    Parts of it share its hope, and pickle: clocks of processes agree.

    Attributes:
        seconds: the total.
        hope: ends it earlier, if given.
    """

    seconds: float
    hope: Hope | None = None
    _start: float = field(default_factory=lambda: _now())  # noqa: PLW0108 - tests move the clock

    @classmethod
    def of(cls, limit: TimeLimit) -> Budget:
        """What a caller allows."""
        return cls(LONGEST, Hope()) if limit == "auto" else cls(limit)

    @property
    def left(self) -> float:
        """Seconds left, not below 0."""
        return self.total_left if self.hope is None else max(0.0, min(self.total_left, self.hope.left))

    @property
    def total_left(self) -> float:
        """Seconds left, not below 0, for work that hope does not end."""
        return max(0.0, self.seconds - self.spent)

    @property
    def spent(self) -> float:
        """Seconds since construction."""
        return _now() - self._start

    def without_hope(self) -> Budget:
        """What is left of the total."""
        return Budget(self.total_left)

    def renew(self) -> None:
        """Note that work of another kind begins."""
        if self.hope is not None:
            self.hope.renew()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """For work that can gain nothing yet, such as loading a solver: it counts for the total, not for the hope."""
        start = _now()
        yield
        if self.hope is not None:
            self.hope.delay(_now() - start)

    def gain(self, share: float) -> None:
        """Note that a share of what is open was gained."""
        if self.hope is not None:
            self.hope.gain(share)

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
        return self.part(1 / parts)

    def part(self, share: float, most: float = float("inf")) -> Budget:
        """A budget of its own: a share of what is left, between 0 and 1, and at most some seconds."""
        return Budget(min(self.total_left * share, most), self.hope)

    def until(self, share: float) -> Budget:
        """A budget of its own: what is left before a share of the total is spent."""
        return Budget(max(0.0, self.total_left - (1.0 - share) * self.seconds), self.hope)


FOREVER = Budget(float("inf"))
"""Time without limit."""

PRODUCTS = 1e9
"""Products that dense arithmetic is taken to make in a second."""

_CURRENT: ContextVar[Budget] = ContextVar("budget", default=FOREVER)


@contextmanager
def limited(budget: Budget) -> Iterator[None]:
    """Have `checkpoint`, wherever it is called meanwhile, raise once nothing is left of a budget."""
    token = _CURRENT.set(budget)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def checkpoint(products: float = 0.0) -> None:
    """Called by long work that no caller hands a budget to, between its steps.

    Args:
        products: how many the next step makes, which nothing can interrupt.

    Raises:
        TimeoutError: nothing is left, or the next step would take longer than what is left.
    """
    left = _CURRENT.get().left
    if left <= products / PRODUCTS:
        raise TimeoutError


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
