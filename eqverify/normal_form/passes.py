"""What a pass is, what it returns, and the registry of passes, to which other packages may add.

A pass rewrites a `NormalForm`, or a `Chain` of layers as they are.  What it computes is not trusted: eps is proved for
the network that is written.  What it *knows* about a unit that went, it says as a relation; the proof finds out how far
that is true, and without it can only use the sizes of values.  The driver, not the author of a pass, checks results.

Another package adds a class or function without arguments that makes a pass, as entry point of the group
`eqverify.passes`, under the name of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np

from eqverify.budget import checkpoint
from eqverify.errors import UsageError
from eqverify.normal_form.relation import Relation
from eqverify.stability.facts import LayerFacts, Status

GROUP = "eqverify.passes"


class Subject(Protocol):
    """What a pass rewrites: a `NormalForm` or a `Chain`."""

    @property
    def relu_count(self) -> int:
        """Number of units."""


S = TypeVar("S", bound=Subject)


@dataclass(frozen=True, slots=True)
class RemovedUnit:
    """What a pass did to one original unit.

    Attributes:
        layer: ReLU node of the original network.
        unit: index in it.
        what: ``inactive``, ``merged``, ``folded``, ``constant``, ``dead``; by a row of the normal form ``active``,
            ``inactive``, ``parallel``, ``antiparallel``; or a word of the pass's own.
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
class Rewritten(Generic[S]):
    """The result of a pass, or of several.

    Attributes:
        subject: the new form or chain; the same object where nothing changed.
        removed: units that went, in any order.
        relations: what those of them equal that are not stable by the facts.
        declined: places where the pass looked and left things alone.
    """

    subject: S
    removed: tuple[RemovedUnit, ...] = ()
    relations: tuple[Relation, ...] = ()
    declined: tuple[Declined, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What a pass may know and use.

    Attributes:
        facts: by ReLU node of the original network.
        tolerance: residuals up to this share of what a row can reach count as zero.  They are not assumed to be zero:
            the proof of eps bounds what they change.
    """

    facts: Mapping[str, LayerFacts] = field(default_factory=dict)
    tolerance: float = 0.0

    def without_active(self, layers: Sequence[str]) -> Context:
        """As seen by a pass that must not compute new weights for some layers."""
        hidden = {
            name: replace(known, status=np.where(known.status == Status.ACTIVE, Status.UNDECIDED, known.status))
            for name, known in self.facts.items()
            if name in layers
        }
        return replace(self, facts={**self.facts, **hidden})


class Rewrite(Protocol[S]):
    """A pass: a frozen dataclass whose fields are its options."""

    name: ClassVar[str]
    statement: ClassVar[str]
    """Where it is stated and proved; for those of eqverify a number of `specs/rewrites.md`."""

    rewrites: ClassVar[Literal["form", "chain"]]
    """What it works on."""

    rounds: ClassVar[bool]
    """Whether it computes new weights, so that writing them moves the outputs."""

    def __call__(self, subject: S, context: Context, /) -> Rewritten[S]:
        """Apply it everywhere once."""


R = TypeVar("R", bound=Rewrite[Any])

REGISTRY: dict[str, Callable[[], Rewrite[Any]]] = {}
"""Passes of eqverify by name, each made with its default options."""


def register(rewrite: type[R]) -> type[R]:
    """Class decorator: enter a pass under its name.

    Raises:
        UsageError: `transform/duplicate-pass`.
    """
    if rewrite.name in REGISTRY:
        raise UsageError("transform/duplicate-pass", "two passes have one name", value=rewrite.name)
    REGISTRY[rewrite.name] = rewrite
    return rewrite


def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in REGISTRY}


def pass_names() -> tuple[str, ...]:
    """The names of all passes: those of eqverify first."""
    return (*sorted(REGISTRY), *sorted(_added()))


def make_pass(name: str) -> Rewrite[Any]:
    """A pass by name, with its default options.

    Raises:
        UsageError: `usage/pass` for a name that nobody registered, or whose package does not give a pass.
    """
    if name in REGISTRY:
        return REGISTRY[name]()
    if (point := _added().get(name)) is None:
        raise UsageError("usage/pass", "no such pass", value=name, hint=f"choose from {', '.join(pass_names())}")
    try:
        made: Rewrite[Any] = point.load()()
        if made.name == name and made.rewrites in ("form", "chain"):
            return made
        problem = f"it is named {made.name} and rewrites {made.rewrites}"
    except (ImportError, AttributeError, TypeError) as error:
        problem = str(error)
    raise UsageError(
        "usage/pass", "a pass of another package cannot be used", value=f"{point.value}: {problem}", hint="repair it"
    )


def to_fixpoint(
    subject: S,
    passes: Sequence[Rewrite[S]],
    context: Context,
    exact: Sequence[str] = (),
    check: Callable[[Rewrite[S], S, Rewritten[S]], None] = lambda *_: None,
) -> Rewritten[S]:
    """Apply passes one after the other, and again until none changes anything.

    Args:
        subject: what to rewrite.
        passes: in order.
        context: for all of them.
        exact: layers that keep their weights: passes that round do not see that their units are active.
        check: called with each pass, what it got and its result; raises where that is broken.

    Returns:
        What is left; all units that went and their relations, and what was declined in the last round.
    """
    guarded = context.without_active(exact)
    removed: list[RemovedUnit] = []
    relations: list[Relation] = []
    while True:
        before, declined = subject, list[Declined]()
        for rewrite in passes:
            checkpoint()
            result = rewrite(subject, guarded if rewrite.rounds else context)
            check(rewrite, subject, result)
            subject = result.subject
            removed += result.removed
            relations += result.relations
            declined += result.declined
        if subject is before:
            return Rewritten(subject, tuple(removed), tuple(relations), tuple(declined))
