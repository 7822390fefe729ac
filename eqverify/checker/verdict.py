"""The verdict: everything a certificate claims is compared with what was established."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.checker.certificate import Certificate, read_certificate, read_disjunct, read_steps
from eqverify.checker.deviation import deviations
from eqverify.checker.numbers import Floats, Rationals
from eqverify.checker.region import Interval, Region
from eqverify.checker.replay import Established, Replay, input_bounds
from eqverify.domain import Assumption, Case, Domain, Specification, assume
from eqverify.errors import EmptySetError, EqverifyError, Place, RejectedError, UsageError
from eqverify.frontend.onnx import parse_network, unpacked
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode
from eqverify.network import Network

Arithmetic = Literal["float", "exact"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of the checker.

    Attributes:
        verified: whether the claim was established.
        claim: ``equivalent`` on the property's inputs up to `epsilon`, or ``unsat``: no input of one case of the
            property satisfies one disjunct of its output condition.
        epsilon: the largest of the claimed deviations; infinite where rejected, and for ``unsat``.
        epsilons: the claimed deviation of each output.
        solver_trusted: units whose sign rests on a solver's word.
        code: why it was rejected, or empty.
        reason: the same for people.
        exit_status: 0 verified, 1 rejected, 4 refused because it would take too long.
        case: number of the case, from 1, for ``unsat``.
        disjunct: number of the disjunct within it, from 1.
    """

    verified: bool
    claim: str = ""
    epsilon: float = float("inf")
    epsilons: tuple[float, ...] = ()
    solver_trusted: int = 0
    code: str = ""
    reason: str = ""
    exit_status: int = 0
    case: int | None = None
    disjunct: int | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "verdict": "verified" if self.verified else "rejected",
            "claim": self.claim or None,
            "epsilon": self.epsilon if self.verified and self.claim != "unsat" else None,
            "epsilons": list(self.epsilons),
            "case": self.case,
            "disjunct": self.disjunct,
            "solver_trusted": self.solver_trusted if self.verified else None,
            "code": self.code or None,
            "reason": self.reason or None,
        }

    def __str__(self) -> str:
        if not self.verified:
            return f"rejected {self.code} {self.reason}"
        if self.claim == "unsat":
            place = f"case={self.case} disjunct={self.disjunct}"
            return f"verified unsat {place} solver-trusted units: {self.solver_trusted}"
        return f"verified eps={self.epsilon!r} ({self.claim}) solver-trusted units: {self.solver_trusted}"


def check_bytes(
    network: bytes, query: bytes, reduced: bytes | None, certificate: bytes, arithmetic: Arithmetic = "float"
) -> Verdict:
    """Re-establish the claim of a certificate.

    Args:
        network, query, reduced, certificate: the bytes of the four files; models and properties may be packed by gzip.
            None for `reduced` where the claim is ``unsat``.
        arithmetic: ``float`` with a-priori error bounds, or ``exact``.

    Returns:
        The verdict.  Trusted: numpy's (or python-flint's) arithmetic, the readers of both formats, this package.

    Raises:
        UsageError: an unknown arithmetic.
    """
    if arithmetic not in ("float", "exact"):
        raise UsageError("usage/arithmetic", "unknown arithmetic", value=arithmetic, hint="use float or exact")
    try:
        original, specification = _model(network), lower(parse_query(decode(query)))
        numbers = Floats() if arithmetic == "float" else Rationals()
        if reduced is None:
            return refuted(original, specification, numbers, certificate, {"network": network, "property": query})
        domain, written = specification.domain, _model(reduced)
        require_arity(original, domain, written)
        files = {"network": network, "property": query, "reduced": reduced}
        found = read_certificate(certificate, original, domain, written, files)
        replay = Replay(original, domain, numbers)
        return conclude(replay, replay.run(found.steps), found, written)
    except EqverifyError as error:
        reason = " ".join(str(part) for part in (error.message, error.place, error.value or "") if str(part))
        return Verdict(False, code=error.code, reason=reason, exit_status=4 if error.exit_status == 4 else 1)


def _model(data: bytes) -> Network:
    return parse_network(unpacked(data) if data.startswith(b"\x1f\x8b") else data)


def require_arity(network: Network, domain: Domain, reduced: Network) -> None:
    """Raise unless the three fit together."""
    shapes = [[port.size for port in ports] for ports in (network.inputs, network.outputs)]
    if shapes != [[port.size for port in ports] for ports in (reduced.inputs, reduced.outputs)]:
        raise RejectedError("check/arity", "the reduced network has other inputs or outputs than the original")
    if domain.size != network.input_size:
        raise RejectedError("check/arity", "the property has another number of inputs than the network")


def conclude(replay: Replay, established: Established, certificate: Certificate, reduced: Network) -> Verdict:
    """Compare the claims with what the steps established, and prove eps.

    Raises:
        RejectedError: `check/...`, naming the claim that was not established.
    """
    for relu, layer in zip(replay.network.relus, certificate.layers, strict=True):
        hull, evidence = established.hull(relu.source), established.evidence[relu.source]
        high, low = hull.upper[0], hull.lower[0]
        unsigned = (layer.status == 1) & (high > 0) | (layer.status == 2) & (low < 0)
        outside, dearer = (low < layer.lower) | (high > layer.upper), (layer.status != 0) & (evidence > layer.evidence)
        _unless(relu.name, hull, "check/not-stable", "the sign of a unit was not established", unsigned)
        _unless(relu.name, hull, "check/bound", "a bound of a unit was not established", outside)
        _unless(relu.name, hull, "check/evidence", "a unit needed dearer evidence than is claimed", dearer)
    found = deviations(around(replay), reduced, certificate.layers, certificate.relations, certificate.meanings)
    if not (found <= certificate.epsilon).all():
        output = int(np.argmin(found <= certificate.epsilon))
        raise RejectedError(
            "check/epsilon", "a deviation above the claimed one cannot be excluded", place=Place(unit=output),
            value=f"{found[output]!r} > {certificate.epsilon[output]!r}",
        )  # fmt: skip
    eps: FloatArray = certificate.epsilon
    return Verdict(True, certificate.claim, float(eps.max(initial=0.0)), tuple(eps.tolist()), established.trusted)


def refuted(
    network: Network, specification: Specification, numbers: Floats, certificate: bytes, files: Mapping[str, bytes]
) -> Verdict:
    """Establish that no input of a case satisfies a disjunct.

    Raises:
        RejectedError: `certificate/...`, or `check/...` where the steps do not show it.
    """
    if len(specification.networks) != 1 or specification.domain.size != network.input_size:
        raise RejectedError("check/arity", "the property is about another network")
    if specification.output_size != network.output_size:
        raise RejectedError("check/arity", "the property has another number of outputs than the network")
    case, disjunct = read_disjunct(certificate, network, specification, files)
    replay, assumed = directed_replay(network, specification.cases[case - 1], disjunct - 1, numbers)
    steps = read_steps(certificate, network, replay.domain, len(assumed))
    try:
        replay.run(steps)
    except EmptySetError:
        return Verdict(True, "unsat", case=case, disjunct=disjunct, solver_trusted=replay.established().trusted)
    raise RejectedError(
        "check/not-empty", "the steps do not show that no input satisfies the disjunct", value=f"{case} {disjunct}"
    )


def directed_replay(network: Network, case: Case, disjunct: int, numbers: Floats) -> tuple[Replay, Assumption]:
    """The state before the steps on the inputs of a case that satisfy a disjunct, and what is assumed there.

    The exact constraints imply the assumed ones, rounded with bounds on the outputs established here (S-3).  Those of
    the polytope come after those of the disjunct.
    """
    polytope = case.polytope
    replay = Replay(network, Domain((polytope,)), numbers)
    outputs = np.concatenate([replay.region.bounds[port.source].magnitude[0] for port in network.outputs])
    rows = assume(case.unsafe[disjunct], polytope.box.magnitude, outputs)
    assumed = rows.with_inputs(polytope.matrix, polytope.bound)
    replay.assume(assumed)
    return replay, assumed


def _unless(node: str, hull: Interval, code: str, message: str, failed: BoolArray) -> None:
    """Raise for the first unit of which a claim failed."""
    if failed.any():
        unit = int(np.argmax(failed))
        raise RejectedError(
            code, message, place=Place(node=node, unit=unit),
            value=f"[{hull.lower[0, unit]!r}, {hull.upper[0, unit]!r}]",
        )  # fmt: skip


def around(replay: Replay) -> Region:
    """One box around the whole domain, with the bounds established."""
    hull = replay.domain.hull
    bounds = {
        name: Interval(z.lower.min(axis=0, keepdims=True), z.upper.max(axis=0, keepdims=True))
        for name, z in replay.region.bounds.items()
    }
    bounds |= input_bounds(replay.network, hull.lower[None], hull.upper[None])
    return Region(replay.network, replay.numbers, bounds)
