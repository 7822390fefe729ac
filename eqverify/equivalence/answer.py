"""Are two networks equivalent on a domain?  The question, and the answer with what is proved."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Domain
from eqverify.equivalence.goals import PairGoals, epsilon_goals, top1_goals
from eqverify.equivalence.portfolio import DecideOptions, Decision, Verdict, decide, plain_decision
from eqverify.equivalence.witness import Confirm, Witness, WitnessSearch
from eqverify.errors import UsageError
from eqverify.network import Network
from eqverify.numerals import at_most
from eqverify.options import Semantics
from eqverify.progress import Progress, silent
from eqverify.reading import Reading

Epsilon = float | Fraction | Sequence[float | Fraction]
"""An allowed deviation: one number for all outputs, or one for each.  A float is the rational that it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Equivalence:
    """The answer about two networks.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> answer = eq.equivalent(network, network, eq.ball([0, 0], 1), epsilon=0)
    >>> answer.verdict, answer.epsilon
    ('equivalent', 0.0)

    Attributes:
        verdict: ``equivalent``, ``different`` or ``unknown``.
        epsilons: per output, a proved bound on |f - g| over the domain, that of `proof` if there is one; None where
            none is known, or for top-1.
        asked: the epsilon that was asked about, one number or one per output; None for top-1.
        witness: an input where they differ, with the outputs there; None unless ``different``.
        deviation: the largest |f - g| seen at an input of the domain (in float64); None for top-1.
        replayed: whether onnxruntime ran both files at the witness and showed the difference too; None where networks
            were given without files, or nothing was found.
        decision: how the portfolio got there.
        seconds: wall time.
        readings: how far each network was compared with onnxruntime.
        semantics: what the answer and `epsilons` are about: the networks, or their float32 runs.
        run_error: for runs, by how much those of both may be off together.
        proof: the bytes of a file that `eqverify check F PROPERTY G FILE` verifies, where one was asked for and found.
    """

    verdict: Verdict
    epsilons: tuple[float, ...] | None
    asked: Epsilon | None
    witness: Witness | None
    deviation: float | None
    replayed: bool | None
    decision: Decision
    seconds: float
    readings: tuple[Reading, ...] = ()
    semantics: Semantics = "real"
    run_error: float | None = None
    proof: bytes | None = None

    def __repr__(self) -> str:
        within = "" if self.epsilon is None else f", eps {at_most(self.epsilon)}"
        return f"<Equivalence: {self.verdict}{within}>"

    @property
    def epsilon(self) -> float | None:
        """The largest of `epsilons`."""
        return None if self.epsilons is None else max(self.epsilons, default=0.0)

    @property
    def reason(self) -> str:
        """Why the answer is unknown; empty otherwise."""
        return self.decision.reason

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        decision = self.decision
        return {
            "verdict": self.verdict,
            "semantics": self.semantics,
            "run_error": self.run_error,
            "epsilon": self.epsilon,
            "epsilons": None if self.epsilons is None else list(self.epsilons),
            "asked": _plain(self.asked),
            "deviation": self.deviation,
            "witness": None if self.witness is None else witness_dict(self.witness),
            "replayed": self.replayed,
            "evidence": decision.evidence,
            "trusted": list(decision.trusted),
            "claimed": decision.claimed,
            "claimants": list(decision.claimants),
            "solver": decision.solver or None,
            "boxes": decision.boxes,
            "open_boxes": decision.left,
            "share_done": decision.done,
            "reason": decision.reason or None,
            "stages": dict(decision.seconds),
            "readings": [reading.as_dict() for reading in self.readings],
            "seconds": self.seconds,
            "proof_bytes": None if self.proof is None else len(self.proof),
        }


def _plain(asked: Epsilon | None) -> float | list[float] | None:
    """Numbers for JSON: those whose shortest decimals are the ones that were asked, up to 15 digits."""
    if asked is None or isinstance(asked, int | float | Fraction):
        return None if asked is None else float(asked)
    return [float(value) for value in asked]


def witness_dict(witness: Witness) -> dict[str, object]:
    """A witness for JSON."""
    return {
        "input": witness.point.tolist(),
        "f": witness.f.tolist(),
        "g": witness.g.tolist(),
        "confirmed": witness.confirmed,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EquivalenceKeywords(DecideOptions):
    """Keywords of `equivalent`.

    Attributes:
        epsilon: the allowed deviation, finite and not negative, one number or one per output; not with `top1`.
        top1: whether to ask for an equal largest output instead: the networks differ where one output is largest for
            f, another for g, and each is strictly ahead of the other there.
        proof: whether the answer is to have a proof: one that has none is unknown, unless somebody is trusted.
        progress: called with stage, done, total.
    """

    epsilon: Epsilon | None = None
    top1: bool = False
    proof: bool = False
    progress: Progress = silent


def pair_goals(networks: tuple[Network, Network], domain: Domain, epsilon: Epsilon | None, top1: bool) -> PairGoals:
    """What is asked about two networks, which have to fit each other and the domain.

    Raises:
        UsageError: `equivalence/goal`, `equivalence/arity`, `equivalence/epsilon`.
    """
    if (epsilon is None) == (not top1):
        raise UsageError("equivalence/goal", "either an epsilon or top-1 must be asked for, and not both")
    _require_arity(*networks, domain)
    sizes = networks[0].input_size, networks[0].output_size
    if epsilon is None:
        return top1_goals(*sizes)
    _require_epsilon(epsilon, sizes[1])
    return epsilon_goals(*sizes, epsilon)


def answer_pair(
    networks: tuple[Network, Network],
    domain: Domain,
    options: EquivalenceKeywords,
    replay: Callable[[PairGoals], Confirm] | None = None,
    readings: tuple[Reading, ...] = (),
) -> Equivalence:
    """Decide whether two networks are equivalent on a domain.

    Args:
        networks: f and g.
        domain: the inputs.
        options: question and limits.
        replay: makes what runs both files at an input, where there are files.
        readings: of the files; further points are compared at a witness.

    Raises:
        UsageError: as `pair_goals`.
    """
    start, (f, g) = time.monotonic(), networks
    goals = pair_goals(networks, domain, options.epsilon, options.top1)
    shown = None if replay is None else replay(goals)
    search = WitnessSearch(f, g, goals, domain, replay=shown, seed=options.seed)
    decision = _same(goals) if f.digest == g.digest else decide(f, g, goals, search, options, options.progress)
    if decision.witness is not None:
        for reading in readings:
            reading.compare(decision.witness.point[None])
    return Equivalence(
        decision.verdict,
        _proved(goals, decision),
        options.epsilon,
        decision.witness,
        _deviation(goals, decision),
        None if decision.witness is None or shown is None else True,
        decision,
        time.monotonic() - start,
        readings,
    )


def _require_epsilon(epsilon: Epsilon, outputs: int) -> None:
    each = (epsilon,) * outputs if isinstance(epsilon, int | float | Fraction) else tuple(epsilon)
    if len(each) != outputs:
        message = "an epsilon is one number, or one for each output"
        raise UsageError("equivalence/epsilon", message, value=f"{len(each)} for {outputs} outputs")
    for value in each:
        if not 0 <= value <= sys.float_info.max:
            raise UsageError("equivalence/epsilon", "an epsilon must be finite and not negative", value=value)


def _proved(goals: PairGoals, decision: Decision) -> tuple[float, ...] | None:
    """The deviations that are proved, rounded upwards; None for none."""
    reach = min(decision.reach, 0.0) if decision.verdict == "equivalent" else decision.reach  # a solver closes boxes
    if goals.epsilon is None or reach == np.inf:
        return None
    return tuple(_sum_above(e, reach) for e in goals.epsilon)


def _sum_above(epsilon: Fraction, reach: float) -> float:
    """The least float that is neither negative nor below epsilon + reach."""
    total = max(Fraction(0), epsilon + Fraction(reach)) if reach > -np.inf else Fraction(0)
    if total > sys.float_info.max:
        return float("inf")
    nearest = float(total)
    return nearest if Fraction(nearest) >= total else float(np.nextafter(nearest, np.inf))


def _deviation(goals: PairGoals, decision: Decision) -> float | None:
    """The largest |f - g| that was seen, up to rounding, which goes no further than what is proved.

    None where nothing was looked at.
    """
    if goals.epsilon is None or not np.isfinite(decision.closest).any():
        return None
    proved = max(_proved(goals, decision) or (np.inf,))
    return min(proved, max(0.0, float((decision.closest + _twice(goals)).max())))


def _twice(goals: PairGoals) -> FloatArray:
    """(disjuncts,) the epsilon of each disjunct, in float64."""
    return np.repeat(np.array(goals.epsilon or (), dtype=np.float64), 2)


def _same(goals: PairGoals) -> Decision:
    """One and the same network."""
    return plain_decision("equivalent", -np.inf, -_twice(goals))


def _require_arity(f: Network, g: Network, domain: Domain) -> None:
    pairs = [
        ("the networks differ in their number of inputs", f.input_size, g.input_size),
        ("the networks differ in their number of outputs", f.output_size, g.output_size),
        ("the domain has another number of inputs than the networks", domain.size, f.input_size),
    ]
    for message, one, other in pairs:
        if one != other:
            raise UsageError("equivalence/arity", message, value=f"{one} and {other}")
