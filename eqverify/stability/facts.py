"""What is known about every ReLU unit: bounds, status, evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, frozen
from eqverify.bounds import Interval
from eqverify.errors import ContradictionError, Place, UsageError
from eqverify.frames import frame
from eqverify.network import Network
from eqverify.problem import Problem
from eqverify.stability.proofs import Proof, SolverClaim
from eqverify.trust import NOBODY, Trust


class Status(IntEnum):
    """The four answers for a unit with pre-activation z on a domain D (specs/semantics.md).

    >>> import eqverify as eq
    >>> facts = eq.prove_stability(*eq.example_files(), engine="crown")
    >>> facts.count(eq.Status.ACTIVE)
    88
    """

    UNDECIDED = 0
    INACTIVE = 1  # z <= 0 on D
    ACTIVE = 2  # z >= 0 on D
    UNSTABLE = 3  # both signs witnessed


class Evidence(IntEnum):
    """Why a status holds (specs/trust.md)."""

    NONE = 0
    DERIVED = 1
    SOLVER = 2
    WITNESS = 3
    TREE = 4
    DUAL = 5


PROOFS = (Evidence.DERIVED, Evidence.DUAL, Evidence.TREE, Evidence.SOLVER)
"""What a stable status can rest on; later kinds may rest on earlier ones."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerFacts:
    """The facts of one ReLU layer.

    Attributes:
        name: the ReLU node.
        source: its pre-activation node.
        lower: (n,) proved lower bounds of z on the domain.
        upper: (n,) proved upper bounds.
        status: (n,) `Status` values.
        evidence: (n,) `Evidence` values.
        claimed: (n,) bool: undecided units that a solver says are stable; all False by default.
    """

    name: str
    source: str
    lower: FloatArray
    upper: FloatArray
    status: ByteArray
    evidence: ByteArray
    claimed: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        for attribute, dtype in (
            ("lower", np.float64),
            ("upper", np.float64),
            ("status", np.int8),
            ("evidence", np.int8),
        ):
            object.__setattr__(self, attribute, frozen(getattr(self, attribute), dtype))
        claimed = self.claimed if self.claimed.size else np.zeros(self.status.shape, dtype=bool)
        object.__setattr__(self, "claimed", frozen(claimed & (self.status == Status.UNDECIDED), np.bool_))

    @property
    def claims(self) -> int:
        """How many undecided units a solver says are stable."""
        return int(self.claimed.sum())

    def count(self, status: Status) -> int:
        """How many units have this status."""
        return int((self.status == status).sum())

    def mask(self, *statuses: Status) -> BoolArray:
        """(n,) bool: units with one of these statuses."""
        return np.isin(self.status, statuses)

    @property
    def size(self) -> int:
        """Number of units."""
        return int(self.status.size)


NOT_REACHED = "not reached within the time limit"
"""The note of a stage that a longer limit would have come to."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the proof: its name, what it cost, what it decided.

    Attributes:
        name: ``falsify``, ``crown``, ``scip`` ...
        seconds: measured wall time.
        decided: units that got their status here.
        stable: those of them that were proved stable.
        questions: solver calls, 0 for others.
        note: anything a reader should know, such as a limit that was reached.
    """

    name: str
    seconds: float
    decided: int
    stable: int = 0
    questions: int = 0
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """The table of units of one network on one domain.

    >>> import eqverify as eq
    >>> facts = eq.prove_stability(*eq.example_files(), engine="crown")
    >>> facts
    <Facts: 120 units, 26 inactive, 88 active, 5 unstable, 1 undecided>
    >>> layer = facts.layers[0]
    >>> bool((layer.lower <= layer.upper).all())
    True

    Attributes:
        network_digest: the network these facts are about.
        domain_digest: the domain.
        layers: one entry per ReLU node, in topological order.
        stages: how they came about.
        witnesses: (k, input_size) inputs that showed signs, for replay elsewhere.
        solver: name, version and tolerances of the solver that was asked, or empty.
        proofs: how to prove them again, in order.
        trust: the solvers whose claims were taken for facts.
    """

    network_digest: str
    domain_digest: str
    layers: tuple[LayerFacts, ...]
    stages: tuple[Stage, ...] = ()
    witnesses: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    solver: str = ""
    proofs: tuple[Proof, ...] = ()
    trust: Trust = NOBODY

    def __repr__(self) -> str:
        counts = self.summary()
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in ("inactive", "active", "unstable", "undecided"))
        return f"<Facts: {counts['units']} units, {kinds}>"

    def to_frame(self) -> Any:
        """A `pandas.DataFrame` with a row per unit: layer, unit, proved lower and upper bounds, status, evidence.

        Raises:
            UsageError: `usage/no-pandas`.
        """
        columns: dict[str, list[Any]] = {name: [] for name in ("layer", "unit", "lower", "upper", "status", "evidence")}
        for layer in self.layers:
            columns["layer"] += [layer.name] * layer.size
            columns["unit"] += range(layer.size)
            columns["lower"] += layer.lower.tolist()
            columns["upper"] += layer.upper.tolist()
            columns["status"] += [Status(status).name.lower() for status in layer.status.tolist()]
            columns["evidence"] += [Evidence(kind).name.lower() for kind in layer.evidence.tolist()]
        return frame(columns)

    def by_name(self) -> Mapping[str, LayerFacts]:
        """The layers by ReLU node."""
        return {layer.name: layer for layer in self.layers}

    def count(self, status: Status) -> int:
        """Units of this status over all layers."""
        return sum(layer.count(status) for layer in self.layers)

    def evidence_counts(self) -> dict[str, int]:
        """Stable units per kind of evidence."""
        stable = [layer.evidence[layer.mask(Status.INACTIVE, Status.ACTIVE)] for layer in self.layers]
        flat = np.concatenate([np.empty(0, dtype=np.int8), *stable])
        return {kind.name.lower(): int((flat == kind).sum()) for kind in PROOFS}

    @property
    def gained_nothing(self) -> float:
        """Seconds of the stages that proved no unit stable."""
        return sum(stage.seconds for stage in self.stages if not stage.stable)

    @property
    def claimed(self) -> int:
        """How many undecided units a solver says are stable, which nothing shows."""
        return sum(layer.claims for layer in self.layers)

    @property
    def weakest_evidence(self) -> Evidence:
        """The weakest evidence that anything rests on."""
        kinds = np.unique(np.concatenate([np.empty(0, dtype=np.int8), *(layer.evidence for layer in self.layers)]))
        proved = [Evidence(int(kind)) for kind in kinds if kind in PROOFS]
        return Evidence.SOLVER if self.trusts else max([Evidence.DERIVED, *proved], key=PROOFS.index)

    @property
    def trusts(self) -> bool:
        """Whether anything in the table rests on the word of a solver."""
        return self.evidence_counts()["solver"] > 0 or any(isinstance(proof, SolverClaim) for proof in self.proofs)

    def summary(self) -> dict[str, int]:
        """Counts over all layers: units, inactive, active, unstable, undecided, and of the undecided the claimed."""
        counts = {status.name.lower(): self.count(status) for status in Status}
        return {"units": sum(layer.size for layer in self.layers), **counts, "claimed": self.claimed}

    def require(self, problem: Problem) -> None:
        """Raise unless these facts are about this problem.

        Raises:
            UsageError: `facts/other-problem`.
        """
        if self.network_digest != problem.network.digest or self.domain_digest != problem.domain_digest:
            raise UsageError(
                "facts/other-problem",
                "these facts were proved for another network or domain",
                value=f"{self.network_digest[:12]} on {self.domain_digest[:12]}",
                hint="prove stability again for this problem",
            )


Enough: TypeAlias = Callable[[Mapping[str, Interval]], bool]
"""Whether bounds, by pre-activation node (parts, n), are all that a caller wants to know."""


Asked: TypeAlias = Mapping[str, BoolArray]
"""By pre-activation node, (n,) bool: the units that a caller wants decided; nodes left out have none."""


def never_enough(bounds: Mapping[str, Interval]) -> bool:  # noqa: ARG001
    """A caller who wants to know everything."""
    return False


class FactTable:
    """Facts while they are being proved.  Bounds are kept per part of the domain.

    Attributes:
        network: the network.
        parts: number of parts of the domain.
        enough: whether what is known suffices.
        asked: the units to decide; None for all.
        bounds: by pre-activation node, proved intervals (parts, n).
        above, below: by pre-activation node, (n,) bool: an input with z > 0 (z < 0) is known.
        trusts: whether a solver's claims are taken for facts.
        listeners: told of each claim: node, part, unit, whether z > 0 is excluded.
        weakest_evidence: the weakest evidence that any bound rests on.
        goals: open goals that are about no unit.

    Args:
        gained: told which share of the open units was decided.
    """

    def __init__(
        self,
        network: Network,
        parts: int,
        enough: Enough = never_enough,
        asked: Asked | None = None,
        *,
        trusts: bool = False,
        gained: Callable[[float], None] | None = None,
    ) -> None:
        self.network = network
        self.parts = parts
        self.enough = enough
        self.asked = asked
        self.trusts = trusts
        self._gained = gained
        self.listeners: list[Callable[[str, int, int, bool], None]] = []
        self.bounds: dict[str, Interval] = {}
        self.above: dict[str, BoolArray] = {}
        self.below: dict[str, BoolArray] = {}
        self.weakest_evidence = Evidence.DERIVED
        self.goals = 0
        self._evidence: dict[str, ByteArray] = {}
        self._claims: dict[str, dict[bool, BoolArray]] = {}
        for node in network.relus:
            size = network.sizes[node.source]
            self.bounds[node.source] = Interval(np.full((parts, size), -np.inf), np.full((parts, size), np.inf))
            self.above[node.source] = np.zeros(size, dtype=bool)
            self.below[node.source] = np.zeros(size, dtype=bool)
            self._evidence[node.source] = np.full(size, Evidence.NONE, dtype=np.int8)

    def learn(self, bounds: Mapping[str, Interval], evidence: Evidence) -> None:
        """Take proved bounds, (parts, n) by node; nodes without a ReLU are ignored.

        Args:
            bounds: the intervals.
            evidence: what units that these bounds decide rest on: `SOLVER` also where arithmetic started from
                bounds that a trusted solver claimed.

        Raises:
            ContradictionError: they exclude what is known.
        """
        for name in self.bounds.keys() & bounds.keys():
            self._take(name, bounds[name], evidence)

    def claim(self, name: str, part: int, unit: int, *, above: bool) -> None:
        """Note that a solver says that z <= 0 (z >= 0 where not `above`) on one part: a fact only if it is trusted."""
        if self.trusts:
            self._believe(name, part, unit, above=above)
        else:
            if name not in self._claims:
                shape = self.bounds[name].lower.shape
                self._claims[name] = {side: np.zeros(shape, dtype=bool) for side in (False, True)}
            self._claims[name][above][part, unit] = True
        for listener in self.listeners:
            listener(name, part, unit, above)

    def as_claimed(self, name: str) -> ByteArray:
        """(n,) `Status` of the units of a node if all claims were true; a claim against a witness is none."""
        status = self.status(name)
        if name in self._claims:
            said, z = self._claims[name], self.bounds[name]
            inactive, active = ((z.upper <= 0) | said[True]).all(axis=0), ((z.lower >= 0) | said[False]).all(axis=0)
            open_ = status == Status.UNDECIDED
            status[open_ & active & ~self.below[name]] = Status.ACTIVE
            status[open_ & inactive & ~self.above[name]] = Status.INACTIVE
        return status

    def _believe(self, name: str, part: int, unit: int, *, above: bool) -> None:
        """Take a trusted solver's word that z <= 0 (z >= 0 where not `above`) on one part."""
        interval = self.bounds[name]
        lower, upper = interval.lower.copy(), interval.upper.copy()
        if above:
            upper[part, unit] = min(upper[part, unit], 0.0)
        else:
            lower[part, unit] = max(lower[part, unit], 0.0)
        self._take(name, Interval(lower, upper), Evidence.SOLVER)

    def restore(self, name: str, bounds: Interval, evidence: ByteArray, weakest_evidence: Evidence) -> None:
        """Take bounds (parts, n) of one node with what its units' status rests on, (n,), as they were proved before.

        Raises:
            ContradictionError: they exclude what is known.
        """
        self.rest_on(weakest_evidence)
        self.bounds[name] = self.bounds[name].intersect(bounds, name)
        self._confront(name)
        self._evidence[name] = np.where(self._evidence[name] == Evidence.NONE, evidence, self._evidence[name])

    def evidence(self, name: str) -> ByteArray:
        """(n,) `Evidence` of the stable units of a node, `NONE` for others."""
        return self._evidence[name]

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        """Tell who wants to know which share of the open units was decided, in a change that is about one node."""
        if self._gained is None:
            yield
            return
        before = int(self.open(name).sum())
        yield
        if decided := before - int(self.open(name).sum()):
            self._gained(decided / (decided + sum(int(self.open(node).sum()) for node in self.bounds)))

    def _take(self, name: str, interval: Interval, evidence: Evidence) -> None:
        with self._counted(name):
            self._enter(name, interval, evidence)

    def _enter(self, name: str, interval: Interval, evidence: Evidence) -> None:
        old = self.bounds[name]
        if (interval.lower > old.lower).any() or (interval.upper < old.upper).any():
            self.rest_on(evidence)
            self.bounds[name] = old.intersect(interval, name)
        self._confront(name)
        stable = np.isin(self.status(name), (Status.INACTIVE, Status.ACTIVE))
        self._evidence[name][stable & (self._evidence[name] == Evidence.NONE)] = evidence

    def rest_on(self, evidence: Evidence) -> None:
        """Note what bounds rest on from here on."""
        self.weakest_evidence = max(self.weakest_evidence, evidence, key=PROOFS.index)

    def witness(self, name: str, above: BoolArray, below: BoolArray) -> None:
        """Take signs shown by inputs of the domain, (n,) masks."""
        with self._counted(name):
            self.above[name] |= above
            self.below[name] |= below
        self._confront(name)

    def hull(self, name: str) -> tuple[FloatArray, FloatArray]:
        """(lower, upper) of a pre-activation node over all parts of the domain, (n,) each."""
        interval = self.bounds[name]
        return np.asarray(interval.lower.min(axis=0)), np.asarray(interval.upper.max(axis=0))

    def status(self, name: str) -> ByteArray:
        """(n,) `Status` of the units of a pre-activation node."""
        lower, upper = self.hull(name)
        status = np.full(lower.shape, Status.UNDECIDED, dtype=np.int8)
        status[self.above[name] & self.below[name]] = Status.UNSTABLE
        status[lower >= 0] = Status.ACTIVE
        status[upper <= 0] = Status.INACTIVE
        return status

    def open(self, name: str) -> BoolArray:
        """(n,) bool: the units of a pre-activation node that are to be decided and are not."""
        undecided = np.asarray(self.status(name) == Status.UNDECIDED)
        return undecided if self.asked is None else undecided & self.asked.get(name, np.zeros_like(undecided))

    def stable(self) -> int:
        """Units that are proved stable."""
        return sum(int(np.isin(self.status(name), (Status.INACTIVE, Status.ACTIVE)).sum()) for name in self.bounds)

    def undecided(self) -> int:
        """Goals that are open, of units and others; 0 where what is known is enough."""
        if self.enough(self.bounds):
            return 0
        return self.goals + sum(int(self.open(name).sum()) for name in self.bounds)

    def _confront(self, name: str) -> None:
        """Raise where a witness and a proof contradict each other."""
        interval = self.bounds[name]
        wrong = (self.above[name] & (interval.upper <= 0).all(axis=0)) | (
            self.below[name] & (interval.lower >= 0).all(axis=0)
        )
        if wrong.any():
            unit = int(np.argmax(wrong))
            raise ContradictionError(
                "facts/contradiction",
                "a unit proved stable is witnessed to take the other sign",
                place=Place(node=name, unit=unit),
                value=f"[{interval.lower[:, unit].min()!r}, {interval.upper[:, unit].max()!r}]",
                hint="a proof is wrong: a defect of eqverify or of a solver; please report it with the files",
            )

    def freeze(
        self, problem: Problem, stages: Iterable[Stage], witnesses: FloatArray, solver: str, proofs: Iterable[Proof]
    ) -> Facts:
        """The facts as they stand."""
        layers = []
        for node in self.network.relus:
            status = self.status(node.source)
            evidence = np.where(status == Status.UNSTABLE, Evidence.WITNESS, self._evidence[node.source])
            lower, upper = self.hull(node.source)
            claimed = self.as_claimed(node.source) != status
            layers.append(LayerFacts(node.name, node.source, lower, upper, status, evidence.astype(np.int8), claimed))
        digests = problem.network.digest, problem.domain_digest
        return Facts(*digests, tuple(layers), tuple(stages), witnesses, solver, tuple(proofs))
