"""The verdict: everything a certificate claims is compared with what was established."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from eqverify.arrays import BoolArray, IntArray
from eqverify.checker.deviation import deviations
from eqverify.checker.joint import compared, side_by_side
from eqverify.checker.numbers import Exact, Floats
from eqverify.checker.reader import Reader, reject
from eqverify.checker.region import Interval
from eqverify.checker.regions import count_regions
from eqverify.checker.relaxed import require_relaxed
from eqverify.checker.replay import Replay
from eqverify.checker.runs import every_run, model_of_runs, no_run, run_epsilons
from eqverify.checker.whole import assumed, no_input, one_input
from eqverify.domain import Case, Domain, Specification
from eqverify.errors import EmptySetError, EqverifyError, InputError, Place, RejectedError, UsageError
from eqverify.frontend.onnx import Front, keeps_order, parse_front, parse_network, unpacked
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode
from eqverify.network import Network, Port, Relu
from eqverify.network.normalise import normalised
from eqverify.numerals import exact_text, round_up
from eqverify.reading import Reading

Arithmetic = Literal["float", "exact"]

WHOLE = {"property-unsat": no_input, "property-sat": one_input}
"""Claims about a whole property, and what establishes them."""

RUNS = {"runs-unsat": no_run, "runs-sat": every_run}
"""The same about all float32 runs of a network (K-20)."""

PAIR = {
    "pair-equivalent": no_input, "pair-different": one_input, "runs-equivalent": no_run, "runs-different": every_run,
}  # fmt: skip
"""Claims about two networks on a property's inputs (K-17), or about all float32 runs of both (K-20)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of the checker.

    Attributes:
        verified: whether the claim was established.
        claim: ``property-unsat``: no input satisfies the property; ``property-sat``: one does.  ``equivalent`` on the
            property's inputs up to `epsilon`; ``unsat``: no input of one case of the property satisfies one disjunct of
            its output condition; ``equisatisfiable``: the networks are within `epsilon` of each other on the inputs
            that do (specs/certificate.md, K-12).
        epsilon: the largest of the claimed deviations; infinite where rejected, and for ``unsat``.
        epsilons: the claimed deviation of each output.
        solver_trusted: units whose sign rests on a solver's word.
        code: why it was rejected, or empty.
        reason: the same for people.
        exit_status: 0 verified, 1 rejected, 4 refused because it would take too long.
        case: number of the case, from 1, for claims about a disjunct.
        disjunct: number of the disjunct within it, from 1.
        asked: of two networks that are compared as they are, what they are equivalent or different in: `eps=...` for
            all outputs, or for each in turn; or `top-1`.  Of linear regions, how many there are.
        epsilons_float32: the claimed deviation of runs of both networks from each other, for each output (K-20).
        relaxed: whether the property that was written for the reduced network was seen to follow (K-15).
        kernel: what checked it: ``python``, this package, or ``coq``, the checker of specs/coq.
        readings: how far each model was compared with onnxruntime, where the caller did that.
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
    asked: str = ""
    epsilons_float32: tuple[float, ...] = ()
    relaxed: bool = False
    kernel: str = "python"
    readings: tuple[Reading, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "verdict": "verified" if self.verified else "rejected",
            "claim": self.claim or None,
            "epsilon": self.epsilon if self.epsilons else None,
            "epsilons": list(self.epsilons),
            "epsilon_float32": max(self.epsilons_float32, default=None),
            "epsilons_float32": list(self.epsilons_float32),
            "case": self.case,
            "disjunct": self.disjunct,
            "asked": self.asked or None,
            "property_relaxed": self.relaxed,
            "solver_trusted": self.solver_trusted if self.verified else None,
            "code": self.code or None,
            "reason": self.reason or None,
            "kernel": self.kernel,
            "readings": [reading.as_dict() for reading in self.readings],
        }

    def __str__(self) -> str:
        if not self.verified:
            return f"rejected {self.code} {self.reason}"
        place = f"case={self.case} disjunct={self.disjunct}"
        proved = "" if self.kernel == "python" else f" by the {self.kernel} kernel"
        if self.claim in WHOLE:
            return f"verified {self.claim.removeprefix('property-')}{proved}"
        if self.claim in RUNS:
            return f"verified {self.claim.removeprefix('runs-')} of all float32 runs"
        if self.asked:
            kind, _, claim = self.claim.rpartition("-")
            found = f"verified {claim} {self.asked}" + (" of all float32 runs" if kind == "runs" else "")
            return f"{found}; the property of the reduced network follows" if self.relaxed else found
        if self.claim == "unsat":
            return f"verified unsat {place} solver-trusted units: {self.solver_trusted}{proved}"
        claim = f"equisatisfiable with signs, {place}" if self.claim == "equisatisfiable" else self.claim
        found = f"verified eps={self.epsilon!r} ({claim}) solver-trusted units: {self.solver_trusted}{proved}"
        if self.epsilons_float32:
            found += f"; eps float32={max(self.epsilons_float32)!r} verified"
        return f"{found}; the property of the reduced network follows" if self.relaxed else found


def check_bytes(
    network: bytes,
    query: bytes,
    reduced: bytes | None,
    certificate: bytes,
    arithmetic: Arithmetic = "float",
    relaxed: bytes | None = None,
) -> Verdict:
    """Re-establish the claim of a certificate.

    Args:
        network, query, reduced, certificate: the bytes of the four files; models and properties may be packed by gzip.
            None for `reduced` where the claim is ``unsat``.
        arithmetic: ``float`` with a-priori error bounds, or ``exact``.
        relaxed: a property that was written for the reduced network, to be checked as well (K-15).

    Returns:
        The verdict.  Trusted: numpy's arithmetic, the readers of both formats, this package.

    Raises:
        UsageError: an unknown arithmetic.
    """
    numbers = _numbers(arithmetic)
    try:
        files = {"network": network, "property": query}
        specification = _specification(query)
        if specification is None:
            return _nothing(certificate, files if reduced is None else {**files, "reduced": reduced})
        original = _model(network, specification if reduced is None else None)
        reader = Reader(certificate, original)
        if len(specification.networks) != 1 or specification.domain.size != original.input_size:
            raise RejectedError("check/arity", "the property is about another network")
        if reduced is None:
            if relaxed is not None:
                reject("claim", "no claim that a property follows from")
            reader.compare(files)
            return _alone(network, original, specification, numbers, reader)
        written = parse_network(unpacked(reduced))
        shapes = [[[port.size for port in ports] for ports in (n.inputs, n.outputs)] for n in (original, written)]
        if shapes[0] != shapes[1]:
            raise RejectedError("check/arity", "networks have other numbers of inputs or outputs")
        reader.compare({**files, "reduced": reduced})
        claim = reader.field(reader.head, "claim")
        if isinstance(claim, str) and claim in PAIR:
            pair = original, normalised(written)
            if claim.startswith("runs-"):
                pair = model_of_runs(parse_front(unpacked(network))), model_of_runs(parse_front(unpacked(reduced)))
            verdict = _paired(*pair, specification, numbers, reader)
            return verdict if relaxed is None else _with_property(verdict, specification, relaxed)
        replay = _begin(original, specification, numbers, reader)
        boxes = reader.field(reader.head, "domain")
        for key, bound in (("lower", replay.domain.lower), ("upper", replay.domain.upper)):
            if not np.array_equal(reader.floats(boxes, key, bound.shape), bound):
                reject("domain", "the domain is not that of the property")
        replay.run(reader)
        verdict = conclude(replay, reader, written)
        if "runs" in reader.head:
            fronts = parse_front(unpacked(network)), parse_front(unpacked(reduced))
            verdict = with_runs(verdict, replay, reader, fronts)
        return verdict if relaxed is None else _with_property(verdict, specification, relaxed)
    except EqverifyError as error:
        return rejected(error)


def check_several(
    networks: Mapping[str, bytes], query: bytes, proof: bytes, arithmetic: Arithmetic = "float"
) -> Verdict:
    """Re-establish the verdict about a property of several networks (K-16).

    Args:
        networks: the bytes of their files, by declared name; one declared ``equal-to`` another may be left out.
        query, proof, arithmetic: as for `check_bytes`.

    Raises:
        UsageError: an unknown arithmetic.
    """
    numbers = _numbers(arithmetic)
    try:
        files = {"property": query, **{f"network {name}": data for name, data in networks.items()}}
        specification = _specification(query)
        if specification is None:
            return _nothing(proof, files)
        models = {name: _model(data) for name, data in networks.items()}
        chosen: dict[str, Network] = {}
        for declared in specification.networks:
            same = models.pop(declared.name, None) or chosen.get(declared.equal_to or "")
            sizes = [sum(one.size for one in part) for part in (declared.inputs, declared.outputs)]
            if same is None or sizes != [same.input_size, same.output_size]:
                raise RejectedError("check/arity", "the property is about other networks", value=declared.name)
            chosen[declared.name] = same
        if models or len(chosen) < 2:
            raise RejectedError("check/arity", "the property is about other networks", value=", ".join(models))
        whole = side_by_side(list(chosen.values()))
        reader = Reader(proof, whole)
        reader.compare(files)
        claim = reader.field(reader.head, "claim")
        if not isinstance(claim, str) or claim not in WHOLE:
            reject("claim", "not a claim about several networks", str(claim)[:40])
        WHOLE[claim](whole, specification, numbers, reader)
        return Verdict(True, claim)
    except EqverifyError as error:
        return rejected(error)


def _numbers(arithmetic: str) -> Floats:
    if arithmetic not in ("float", "exact"):
        raise UsageError("usage/arithmetic", "unknown arithmetic", value=arithmetic, hint="use float or exact")
    return Floats() if arithmetic == "float" else Exact()


def rejected(error: EqverifyError) -> Verdict:
    """What an error says."""
    reason = " ".join(str(part) for part in (error.message, error.place, error.value or "") if str(part))
    return Verdict(False, code=error.code, reason=reason, exit_status=4 if error.exit_status == 4 else 1)


def _alone(data: bytes, network: Network, specification: Specification, numbers: Floats, reader: Reader) -> Verdict:
    """What is claimed of one network and a property, where there is no other network."""
    claim = reader.field(reader.head, "claim")
    if claim == "regions":
        stored = parse_network(unpacked(data))
        return Verdict(True, claim, asked=count_regions(stored, specification, reader.about(stored)))
    if isinstance(claim, str) and claim in RUNS:
        stored = model_of_runs(parse_front(unpacked(data)))
        _require_outputs(stored, specification)
        RUNS[claim](stored, specification, numbers, reader.about(stored))
        return Verdict(True, claim)
    if isinstance(claim, str) and claim in WHOLE:
        _require_outputs(network, specification)
        WHOLE[claim](network, specification, numbers, reader)
        return Verdict(True, claim)
    return refuted(network, specification, numbers, reader)


def _paired(first: Network, second: Network, specification: Specification, numbers: Floats, reader: Reader) -> Verdict:
    """Two networks that are compared as they are (K-17), or their runs (K-20)."""
    claim, count = reader.field(reader.head, "claim"), first.output_size
    exact = None
    if reader.field(reader.head, "epsilon") is not None:
        exact = reader.rationals(reader.head, "epsilon", count)
        if any(value < 0 for value in exact):
            reject("negative", "a number is negative that must not be")
    if claim != "pair-equivalent" or first.digest != second.digest:
        PAIR[claim](*compared(first, second, specification, exact), numbers, reader)
    if exact is None:
        return Verdict(True, claim, asked="top-1")
    told = exact[:1] if len(set(exact)) == 1 else exact
    asked, most = f"eps={','.join(map(exact_text, told))}", tuple(map(round_up, exact))
    if claim.endswith("different"):
        return Verdict(True, claim, asked=asked)
    return Verdict(True, claim, max(most, default=0.0), most, asked=asked)


def with_runs(verdict: Verdict, replay: Replay, reader: Reader, fronts: tuple[Front, Front]) -> Verdict:
    """The verdict, if runs are as near to each other as is claimed."""
    if replay.directed:
        reject("claim", "no claim about runs", verdict.claim)
    return replace(verdict, epsilons_float32=tuple(run_epsilons(replay, reader, fronts, list(verdict.epsilons))))


def _with_property(verdict: Verdict, specification: Specification, relaxed: bytes) -> Verdict:
    """The verdict, if the property that was written follows."""
    cases = specification.cases
    if not verdict.epsilons:
        reject("claim", "no claim that a property follows from", verdict.claim)
    if verdict.case is not None and verdict.disjunct is not None:
        case = cases[verdict.case - 1]
        cases = (replace(case, unsafe=(case.unsafe[verdict.disjunct - 1],)),)
    require_relaxed(cases, lower(parse_query(decode(relaxed))), verdict.epsilons)
    return replace(verdict, relaxed=True)


def _specification(query: bytes) -> Specification | None:
    """What a property says; None where it allows no input at all."""
    try:
        return lower(parse_query(decode(query)))
    except InputError as error:
        if error.code != "domain/empty":
            raise
        return None


def _nothing(proof: bytes, files: Mapping[str, bytes]) -> Verdict:
    """That no input satisfies a property which allows none: the reader has seen that."""
    port = Port("x", (1,), "float32", "x")  # of a network that nothing is read about
    reader, claim = Reader(proof, Network((port,), (), (port,))), "property-unsat"
    reader.compare(files)
    if reader.field(reader.head, "claim") != claim or reader.items(reader.head, "cases"):
        reject("cases", "the property allows no input: it has no cases")
    return Verdict(True, claim)


def _model(data: bytes, specification: Specification | None = None) -> Network:
    """The network of a file; what its last Softmax reads, where a property only compares outputs (K-18)."""
    front = parse_front(unpacked(data), smooth=True)
    if front.tail is None:
        return front.network
    ordered = specification is not None and all(case.compares_outputs for case in specification.cases)
    return front.network if ordered and keeps_order(front) else parse_network(unpacked(data))


def conclude(replay: Replay, reader: Reader, reduced: Network) -> Verdict:
    """Compare what a certificate claims with what its steps established (K-6, K-7, K-12).

    Raises:
        RejectedError: `certificate/...`; `check/...`, naming the claim that was not established.
    """
    claim = _claim(reader, "equisatisfiable" if replay.directed else "equivalent")
    layers, relus = reader.items(reader.head, "layers"), replay.network.relus
    if len(layers) != len(relus):
        reject("layers", "not one entry per ReLU node", len(layers))
    statuses = [_layer(replay, reader, relu, entry) for relu, entry in zip(relus, layers, strict=True)]
    claimed = reader.floats(reader.head, "epsilon", (replay.network.output_size,), 0.0)
    found = deviations(replay.region.hull(), reduced, reader, statuses)
    if not (found <= claimed).all():
        output = int(np.argmin(found <= claimed))
        raise RejectedError(
            "check/epsilon", "a deviation above the claimed one cannot be excluded", place=Place(unit=output),
            value=f"{found[output]!r} > {claimed[output]!r}",
        )  # fmt: skip
    where = {key: reader.field(reader.head, key) for key in ("case", "disjunct") if replay.directed}
    return Verdict(True, claim, float(claimed.max(initial=0.0)), tuple(claimed.tolist()), replay.trusted, **where)


def _claim(reader: Reader, expected: str) -> str:
    claim = reader.field(reader.head, "claim")
    if claim != expected:
        reject("claim", f"not the claim {expected} of a certificate for these files", str(claim)[:40])
    return expected


def _layer(replay: Replay, reader: Reader, relu: Relu, entry: object) -> IntArray:
    """The status of units, which was established, as were bounds and evidence."""
    size = replay.network.sizes[relu.name]
    status, evidence = (reader.integers(entry, key, size, 0, most) for key, most in (("status", 2), ("evidence", 4)))
    lower, upper = (reader.floats(entry, key, (size,), infinite=True) for key in ("lower", "upper"))
    if not ((lower <= upper).all() and ((status == 0) == (evidence == 0)).all()):
        reject("claims", "bounds that exclude each other, or a status without evidence", node=relu.name)
    if ((status == 1) & (upper > 0)).any() or ((status == 2) & (lower < 0)).any():
        reject("claims", "a status that the bounds beside it do not show", node=relu.name)
    hull = replay.region.bounds[relu.source].hull()
    (low,), (high,) = hull
    unsigned, weaker = (status == 1) & (high > 0) | (status == 2) & (low < 0), replay.evidence[relu.source] > evidence
    _unless(relu, hull, "check/not-stable", "the sign of a unit was not established", unsigned)
    _unless(relu, hull, "check/bound", "a bound of a unit was not established", (low < lower) | (high > upper))
    _unless(relu, hull, "check/evidence", "a unit needed weaker evidence than is claimed", (status != 0) & weaker)
    return status


def _unless(relu: Relu, hull: Interval, code: str, message: str, failed: BoolArray) -> None:
    """Raise for the first unit of which a claim failed."""
    if failed.any():
        unit = int(np.argmax(failed))
        place, value = Place(node=relu.name, unit=unit), f"[{hull.lower[0, unit]!r}, {hull.upper[0, unit]!r}]"
        raise RejectedError(code, message, place=place, value=value)


def _begin(network: Network, specification: Specification, numbers: Floats, reader: Reader) -> Replay:
    """The state before the steps: on the property's inputs, or (K-12) on those that satisfy a disjunct."""
    if reader.field(reader.head, "claim") == "equisatisfiable":
        return directed_replay(network, *_disjunct(network, specification, reader), numbers)
    return Replay(network, specification.domain, numbers)


def refuted(network: Network, specification: Specification, numbers: Floats, reader: Reader) -> Verdict:
    """Establish that no input of a case satisfies a disjunct (K-8).

    Raises:
        RejectedError: `certificate/...`, or `check/...` where the steps do not show it.
    """
    claim = _claim(reader, "unsat")
    replay = directed_replay(network, *_disjunct(network, specification, reader), numbers)
    try:
        replay.run(reader)
    except EmptySetError:
        where = {key: reader.field(reader.head, key) for key in ("case", "disjunct")}
        return Verdict(True, claim, solver_trusted=replay.trusted, **where)
    raise RejectedError("check/not-empty", "the steps do not show that no input satisfies the disjunct")


def _disjunct(network: Network, specification: Specification, reader: Reader) -> tuple[Case, int]:
    """The case that a certificate names, and the disjunct within it, from 0."""
    _require_outputs(network, specification)
    case = specification.cases[reader.integer(reader.head, "case", 1, len(specification.cases)) - 1]
    return case, reader.integer(reader.head, "disjunct", 1, len(case.unsafe)) - 1


def _require_outputs(network: Network, specification: Specification) -> None:
    if specification.output_size != network.output_size:
        raise RejectedError("check/arity", "the property has another number of outputs than the network")


def directed_replay(network: Network, case: Case, disjunct: int, numbers: Floats) -> Replay:
    """The state before the steps on the inputs of a case that satisfy a disjunct.

    The exact constraints imply the assumed ones, rounded with bounds on the outputs established here (S-3).  Those of
    the polytope come after those of the disjunct.
    """
    replay = Replay(network, Domain((case.polytope,)), numbers)
    replay.assume(assumed(replay, case, disjunct))
    return replay
