"""A whole property: that no input satisfies it (specs/certificate.md, K-13), or that one does (K-14).

The cases and their disjuncts are those of the property, which is read here; a file has an entry for each, in order.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.checker.joint import shared
from eqverify.checker.numbers import Floats
from eqverify.checker.reader import Reader, reject
from eqverify.checker.region import Region
from eqverify.checker.replay import Replay, input_bounds
from eqverify.domain import Assumption, Case, Domain, HalfSpace, Specification, assume, condition_rows
from eqverify.errors import EmptySetError, LimitError, RejectedError
from eqverify.network import Affine, Dense, Network, Relu, Term, outputs_exact
from eqverify.numerals import round_down, round_up

_ROWS, _SIGNS = "\0rows", "\0signs"
"""Names of the nodes behind the network; no node of a file can begin with the first character."""

_PRODUCTS = 50_000_000
"""Of a network that is evaluated in rationals, at most."""


def no_input(network: Network, specification: Specification, numbers: Floats, reader: Reader) -> None:
    """K-13: every disjunct of every case is excluded.

    Args:
        network: several networks side by side, where the property is about several (K-16).

    Raises:
        RejectedError: `certificate/...`; `check/...` where a step does not show what it should; `check/not-empty`.
    """
    entries = reader.items(reader.head, "cases")
    if len(entries) != len(specification.cases):
        reject("cases", "not one entry per case of the property", len(entries))
    for number, (case, entry) in enumerate(zip(specification.cases, entries, strict=True), 1):
        disjuncts = reader.items(entry, "disjuncts")
        if len(disjuncts) != len(case.unsafe):
            reject("cases", "not one entry per disjunct of a case", f"{len(disjuncts)} for case {number}")
        told = shared(network, case) if len(specification.networks) > 1 else (network, case)
        left = None if told is None else _left(*told, numbers, reader, entry)
        if left is not None:
            where = f"case {number}, disjunct {left + 1}"
            raise RejectedError(
                "check/not-empty", "the steps do not show that no input satisfies the disjunct", value=where
            )


def _left(network: Network, case: Case, numbers: Floats, reader: Reader, entry: object) -> int | None:
    """The first disjunct of a case, from 0, that is not excluded."""
    if not case.unsafe or (case.written is not None and case.written.excludes_itself()):
        return None
    try:
        replay, members = _begin(network, case, numbers)
        about = reader.about(replay.network)
        replay.run(about, entry)
    except EmptySetError:  # the case has no input
        return None
    for number, steps in enumerate(reader.items(entry, "disjuncts")):
        try:
            replay.assuming(assumed(replay, case, number), _ROWS, members[number]).run(about, steps)
        except EmptySetError:
            continue
        return number
    return None


def _begin(network: Network, case: Case, numbers: Floats) -> tuple[Replay, BoolArray]:
    """The state before the steps of a case, on the network with the rows of its condition; whose these rows are."""
    domain = Domain((case.polytope,))
    plain = Replay(network, domain, numbers)
    rows, members = condition_rows(case.unsafe, case.polytope.box.magnitude, _reach(plain))
    replay = Replay(with_rows(network, rows), domain, numbers, plain.region.bounds)
    replay.believes = False
    (constraints,) = replay.constraints
    replay.assume(constraints)
    return replay, members


def with_rows(network: Network, rows: Assumption) -> Network:
    """The network with  C y + B x - d  and a ReLU behind it."""
    terms = []
    for ports, matrix in ((network.outputs, rows.outputs), (network.inputs, rows.inputs)):
        start = 0
        for port in ports:
            part = matrix[:, start : start + port.size]
            start += port.size
            if part.any():
                terms.append(Term(port.source, Dense(part)))
    behind = Affine(_ROWS, tuple(terms), -rows.bound), Relu(_SIGNS, _ROWS)
    return Network(network.inputs, (*network.nodes, *behind), network.outputs)


def _reach(replay: Replay) -> FloatArray:
    return np.concatenate([replay.region.reach(port.source) for port in replay.network.outputs])


def assumed(replay: Replay, case: Case, disjunct: int) -> Assumption:
    """The constraints of a disjunct of a case, rounded with bounds on the outputs established here (S-3).

    Those of the polytope come after them.
    """
    polytope = case.polytope
    rows = assume(case.unsafe[disjunct], polytope.box.magnitude, _reach(replay))
    return rows.with_inputs(polytope.matrix, polytope.bound)


def one_input(network: Network, specification: Specification, numbers: Floats, reader: Reader) -> None:
    """K-14: an input lies in a case as written, and its outputs satisfy the condition to the letter.

    Raises:
        RejectedError: `certificate/...`; `check/not-in-domain`, `check/not-satisfied`.
        LimitError: `check/exact-too-large`.
    """
    case, x = input_of(network, specification, reader)
    if (numbers.unit or network.smooth) and _shown(outputs_at(network, numbers, x), case, x):
        return
    if network.smooth:  # values are no rationals, but lie between floats
        raise RejectedError("check/not-satisfied", "bounds of the outputs at the input do not show the condition")
    require_work(network)
    y = outputs_exact(network, x)
    if not any(all(row.holds(x, y) for row in rows) for rows in case.unsafe):
        raise _not_satisfied()


def input_of(network: Network, specification: Specification, reader: Reader) -> tuple[Case, list[Fraction]]:
    """The case that a proof names, and its input, which lies there as it is written.

    Raises:
        RejectedError: `certificate/...`; `check/not-in-domain`.
    """
    case = specification.cases[reader.integer(reader.head, "case", 1, len(specification.cases)) - 1]
    x = reader.rationals(reader.head, "input", network.input_size)
    box = case.polytope.box
    inside = all(
        Fraction(low) <= v <= Fraction(high)
        for low, v, high in zip(box.lower.tolist(), x, box.upper.tolist(), strict=True)
    )
    inside = inside and case.polytope.rows_hold(x) and (case.written is None or case.written.holds(x))
    if not inside:
        raise RejectedError("check/not-in-domain", "the input does not satisfy the property's constraints on inputs")
    return case, x


def _not_satisfied() -> RejectedError:
    return RejectedError("check/not-satisfied", "the outputs at the input do not satisfy the property's condition")


def require_work(network: Network, times: int = 1) -> None:
    """Raise where evaluating a network in rationals so many times would take too long.

    Raises:
        LimitError: `check/exact-too-large`.
    """
    if network.products * times > _PRODUCTS:
        value = network.products * times
        raise LimitError("check/exact-too-large", "exact arithmetic would take too long", value=value)


def outputs_at(network: Network, numbers: Floats, x: list[Fraction]) -> Region:
    """An input with intervals around the values of all nodes there."""
    lower, upper = (np.array([[rounded(v) for v in x]]) for rounded in (round_down, round_up))
    region = Region(network, numbers, input_bounds(network, lower, upper))
    for node in network.nodes:
        if isinstance(node, Affine):
            region.bounds[node.name] = region.interval(node)
        else:
            region.bound(node)
    return region


def require_shown(region: Region, case: Case, x: list[Fraction], spread: FloatArray) -> None:
    """Raise unless a disjunct holds at an input for all outputs that are so far from those of a region, (outputs,)."""
    if not _shown(region, case, x, spread):
        raise _not_satisfied()


def _shown(region: Region, case: Case, x: list[Fraction], spread: FloatArray | None = None) -> bool:
    """Whether intervals around the outputs are enough to show that a disjunct holds."""
    network = region.network
    ends = [
        [np.concatenate([region.bounds[p.source][side][0] for p in ports]) for side in (0, 1)]
        for ports in (network.inputs, network.outputs)
    ]
    if not np.isfinite(np.concatenate([end for pair in ends for end in pair])).all():
        return False
    more = np.zeros(network.output_size) if spread is None else spread
    rows = zip(*(end.tolist() for end in (*ends[1], more)), strict=True)
    y = [(Fraction(low) - Fraction(off), Fraction(high) + Fraction(off)) for low, high, off in rows]
    return any(all(_holds(row, x, y) for row in rows) for rows in case.unsafe)


def _holds(row: HalfSpace, x: list[Fraction], y: list[tuple[Fraction, Fraction]]) -> bool:
    """Whether a row holds for all outputs in intervals."""
    most = sum((c * x[i] for i, c in row.inputs.items()), Fraction(0))
    most += sum((c * y[j][c > 0] for j, c in row.outputs.items()), Fraction(0))
    return most < row.bound if row.strict else most <= row.bound
