"""What a pass is, what it returns, and the registry of passes.

The driver, not the author of a pass, checks preconditions and results (`eqverify.transform.driver`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from eqverify.errors import UsageError
from eqverify.stability.facts import LayerFacts
from eqverify.transform.chain import Chain


@dataclass(frozen=True, slots=True)
class Fate:
    """What a pass did to one original unit.

    Attributes:
        layer: ReLU node of the original network.
        unit: index in it.
        what: ``inactive``, ``merged``, ``folded``, ``constant``, ``dead``; by a row of the normal form ``active``,
            ``inactive``, ``parallel``, ``antiparallel``.
    """

    layer: str
    unit: int
    what: str


@dataclass(frozen=True, slots=True)
class Declined:
    """Where a pass did not apply, and why: "did not apply" is a value.

    Attributes:
        rewrite: the pass.
        layer: ReLU node of the original network.
        units: original units concerned.
        reason: one clause.
    """

    rewrite: str
    layer: str
    units: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Rewritten:
    """The result of a pass.

    Attributes:
        chain: the new chain; the same object where nothing changed.
        fates: units that went, in any order.
        declined: places where the pass looked and left things alone.
    """

    chain: Chain
    fates: tuple[Fate, ...] = ()
    declined: tuple[Declined, ...] = ()


class Rewrite(Protocol):
    """A pass: a frozen dataclass whose fields are its options."""

    name: ClassVar[str]
    statement: ClassVar[str]
    """Number of its statement in `specs/rewrites.md`."""

    rounds: ClassVar[bool]
    """Whether it computes new weights, so that writing them moves the outputs."""

    def __call__(self, chain: Chain, facts: Mapping[str, LayerFacts]) -> Rewritten:
        """Apply it everywhere once.  `facts` by ReLU node of the original network."""


R = TypeVar("R", bound=Rewrite)

REGISTRY: dict[str, Callable[[], Rewrite]] = {}
"""Passes by name, each made with its default options."""


def register(rewrite: type[R]) -> type[R]:
    """Class decorator: enter a pass under its name.

    Raises:
        UsageError: `transform/duplicate-pass`.
    """
    if rewrite.name in REGISTRY:
        raise UsageError("transform/duplicate-pass", "two passes have one name", value=rewrite.name)
    REGISTRY[rewrite.name] = rewrite
    return rewrite
