"""Z3 as an independent judge of equivalence, in exact rational arithmetic.  The only file that imports z3.

``equivalent`` is z3's claim, unless it was not asked: it rests on this file, `eqverify.equivalence.encoding`, and z3's
simplex, and nobody draws a conclusion from it who was not told to trust z3.  Trusted for ``different``:
nothing but `eqverify.network.outputs_exact`, for the witness is replayed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import z3

from eqverify.arrays import FloatArray
from eqverify.attack.points import sample_boxes
from eqverify.budget import Budget
from eqverify.domain import Domain, Polytope
from eqverify.equivalence.encoding import Encoder, Form, UnstableRelu, combine, lies_in
from eqverify.equivalence.rational import exact_vector
from eqverify.errors import ContradictionError, LimitError, UsageError
from eqverify.network import Affine, Network, evaluate, outputs_exact, require_piecewise_linear

Verdict = Literal["equivalent", "different", "unknown"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest pair of networks that is attempted; both networks count together.

    Attributes:
        relus: ReLU units.
        weights: summands of all affine units, a shared convolution weight as often as it is used.
    """

    relus: int = 800
    weights: int = 60_000


DEFAULT_LIMITS = Limits()

_SAMPLES = 256


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """The answer of `cross_check`.

    Attributes:
        verdict: ``equivalent``: |f_k(x) - g_k(x)| <= epsilon_k for all x in the domain and all outputs k, proved where
            `claimed` is false, else as z3 claims.
            ``different``: `witness` violates it, replayed exactly.  ``unknown``: see `reason`.
        witness: exact input, input_size rationals; only where different.
        output: flat index of the output that deviates there.
        deviation: exact |f - g| of that output at the witness.
        reason: why the answer is unknown; empty otherwise.
        relus: ReLUs that z3 had to branch on, the largest number over the parts of the domain.
        queries: calls of z3; the other output differences were bounded by exact interval arithmetic.
        seconds: wall time.
    """

    verdict: Verdict
    witness: tuple[Fraction, ...] | None = None
    output: int | None = None
    deviation: Fraction | None = None
    reason: str = ""
    relus: int = 0
    queries: int = 0
    seconds: float = field(default=0.0, compare=False)

    @property
    def claimed(self) -> bool:
        """Whether ``equivalent`` is what z3 claims; else exact interval arithmetic proved it."""
        return self.verdict == "equivalent" and self.queries > 0


def cross_check(
    f: Network,
    g: Network,
    domain: Domain,
    epsilon: FloatArray | Sequence[Fraction | float],
    *,
    timeout: float,
    limits: Limits = DEFAULT_LIMITS,
) -> CrossCheck:
    """Whether two networks agree on a domain up to epsilon, over the rationals.

    Every float is read as the rational it is.  |f_k - g_k| = epsilon_k counts as agreement.  An interrupt from the
    keyboard ends the call with `KeyboardInterrupt`.

    Args:
        f: one network.
        g: another of the same input and output size.
        domain: inputs; of the networks' input size.
        epsilon: (output_size,) allowed deviation per flat output, finite and not negative.
        timeout: wall time in seconds for the whole call, positive.  z3 looks at its clock now and then, so a call
            with very long numbers may take longer.
        limits: the largest networks attempted.

    Returns:
        The verdict, with a replayed witness or a reason.  A timeout is ``unknown``, never ``equivalent``.

    Raises:
        UsageError: `equivalence/arity`, `equivalence/epsilon`, `equivalence/timeout` for arguments that do not fit.
        LimitError: `equivalence/too-large`, before any work, where the networks exceed `limits`.
        ContradictionError: `equivalence/replay` if z3 reports a witness that the networks do not confirm.

    Trusted:
        z3's ``unsat`` where the answer is `claimed`, and the encoding of this package.
    """
    for network in (f, g):
        require_piecewise_linear(network, "a cross-check")
    _require_arity(f, g, domain)
    allowed = _exact_epsilon(epsilon, f.output_size)
    if not timeout > 0:
        raise UsageError("equivalence/timeout", "the timeout must be positive", value=timeout)
    _require_size(f, g, limits)
    start = time.monotonic()
    search = _Search(f, g, allowed, Budget(timeout))
    try:
        answer = _search_domain(search, domain)
    except TimeoutError:
        answer = CrossCheck("unknown", reason=f"no answer within {timeout:g} seconds")
    return CrossCheck(
        answer.verdict,
        answer.witness,
        answer.output,
        answer.deviation,
        answer.reason,
        search.relus,
        search.queries,
        time.monotonic() - start,
    )


@dataclass(slots=True)
class _Search:
    """The question, the time for it and the running counts of one call."""

    f: Network
    g: Network
    epsilon: list[Fraction]
    budget: Budget
    relus: int = 0
    queries: int = 0

    def remaining(self) -> float:
        """Seconds left; raises `TimeoutError` where there are none."""
        if not (left := self.budget.left):
            raise TimeoutError
        return left


def _require_arity(f: Network, g: Network, domain: Domain) -> None:
    sizes = [("input", f.input_size, g.input_size), ("output", f.output_size, g.output_size)]
    for kind, one, other in sizes:
        if one != other:
            raise UsageError(
                "equivalence/arity", f"the networks differ in their number of {kind}s", value=f"{one} and {other}"
            )
    if domain.size != f.input_size:
        raise UsageError(
            "equivalence/arity",
            "the domain has another number of inputs than the networks",
            value=f"{domain.size} and {f.input_size}",
        )


def _exact_epsilon(epsilon: FloatArray | Sequence[Fraction | float], outputs: int) -> list[Fraction]:
    values = list(epsilon)
    if len(values) != outputs:
        raise UsageError(
            "equivalence/epsilon", "one epsilon per output is needed", value=f"{len(values)} for {outputs} outputs"
        )
    for value in values:
        if not (math.isfinite(value) and value >= 0):
            raise UsageError("equivalence/epsilon", "an epsilon must be finite and not negative", value=value)
    return [Fraction(value) for value in values]


def _require_size(f: Network, g: Network, limits: Limits) -> None:
    sizes = [
        ("ReLUs", f.relu_count + g.relu_count, limits.relus),
        ("weights", _weight_count(f) + _weight_count(g), limits.weights),
    ]
    for kind, size, limit in sizes:
        if size > limit:
            raise LimitError(
                "equivalence/too-large",
                f"the two networks are too large for the exact cross-check: {size} {kind}, the limit is {limit}",
                value=size,
                hint="compare smaller networks, or give fewer units",
            )


def _weight_count(network: Network) -> int:
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    return sum(node.size + sum(term.map.fan_in * node.size for term in node.terms) for node in affine)


def _search_domain(search: _Search, domain: Domain) -> CrossCheck:
    """Parts of the domain one by one; a part without answer does not hide a difference in a later one."""
    reasons: list[str] = []
    for part in domain.polytopes:
        answer = _search_part(search, part)
        if answer.verdict == "different":
            return answer
        if answer.verdict == "unknown":
            reasons.append(answer.reason)
    return CrossCheck("unknown", reason="; ".join(dict.fromkeys(reasons))) if reasons else CrossCheck("equivalent")


def _search_part(search: _Search, part: Polytope) -> CrossCheck:
    lower, upper = exact_vector(part.box.lower.tolist()), exact_vector(part.box.upper.tolist())
    encoder = Encoder(lower, upper, search.budget.tick)
    pairs = zip(encoder.outputs(search.f), encoder.outputs(search.g), strict=True)
    gaps = [combine([(Fraction(1), one), (Fraction(-1), other)]) for one, other in pairs]
    search.relus = max(search.relus, len(encoder.relus))
    open_outputs = [k for k, gap in enumerate(gaps) if _exceeds(encoder.interval(gap), search.epsilon[k])]
    if not open_outputs:
        return CrossCheck("equivalent")
    if (sampled := _sampled_witness(search, part)) is not None:
        return sampled
    model = _Z3Model(encoder, part)
    reasons = []
    for k in open_outputs:
        search.queries += 1
        status, found = model.find_gap(gaps[k], search.epsilon[k], search.remaining())
        if found is not None:
            return _replay(search, part, k, found)
        if status:
            search.budget.tick()
            reasons.append(f"output {k}: {status}")
    return CrossCheck("unknown", reason="; ".join(reasons)) if reasons else CrossCheck("equivalent")


def _exceeds(interval: tuple[Fraction, Fraction], epsilon: Fraction) -> bool:
    return interval[0] < -epsilon or interval[1] > epsilon


def _sampled_witness(search: _Search, part: Polytope) -> CrossCheck | None:
    """A difference at the worst of some fixed pseudo-random points and corners, confirmed exactly; or None.

    Searching this way costs little, and spares z3 the large networks that differ plainly.
    """
    points = sample_boxes(part.box.lower[None], part.box.upper[None], _SAMPLES, np.random.default_rng(0))
    points = points[part.contains(points)]
    if not len(points):
        return None
    with np.errstate(all="ignore"):
        gaps = np.abs(evaluate(search.f, points) - evaluate(search.g, points)) - np.array(search.epsilon, dtype=float)
    worst, output = np.unravel_index(int(np.argmax(gaps)), gaps.shape)
    x, k = tuple(exact_vector(points[worst].tolist())), int(output)
    deviation = _deviation(search, x, k)
    return CrossCheck("different", x, k, deviation) if deviation > search.epsilon[k] else None


def _deviation(search: _Search, x: tuple[Fraction, ...], output: int) -> Fraction:
    return abs(outputs_exact(search.f, x)[output] - outputs_exact(search.g, x)[output])


def _replay(search: _Search, part: Polytope, output: int, x: tuple[Fraction, ...]) -> CrossCheck:
    """Confirm a witness of z3 by exact evaluation of both networks as they were given."""
    inside = lies_in(part, x)
    deviation = _deviation(search, x, output)
    if not inside or deviation <= search.epsilon[output]:
        raise ContradictionError(
            "equivalence/replay",
            "z3 reports a difference that the networks do not show",
            value=f"output {output}, deviation {float(deviation)!r}, {'inside' if inside else 'outside'} the domain",
        )
    return CrossCheck("different", x, output, deviation)


class _Z3Model:
    """One part of the domain with the shared ReLUs, asserted once."""

    def __init__(self, encoder: Encoder, part: Polytope) -> None:
        self._context = z3.Context()
        self._inputs = encoder.inputs
        self._variables = [z3.Real(f"v{i}", self._context) for i in range(len(encoder.bounds))]
        self._solver = z3.SolverFor("QF_LRA", ctx=self._context)
        self._solver.set("ctrl_c", False)
        for variable, (low, high) in zip(self._variables, encoder.bounds, strict=True):
            self._solver.add(variable >= self._number(low), variable <= self._number(high))
        for row, bound in zip(part.matrix.tolist(), exact_vector(part.bound.tolist()), strict=True):
            form = combine(list(zip(exact_vector(row), encoder.inputs, strict=True)), -bound)
            self._solver.add(self._expression(form) <= 0)
        for relu in encoder.relus:
            self._add_relu(relu)

    def _number(self, value: Fraction) -> Any:
        return z3.RealVal(str(value), self._context)

    def _expression(self, form: Form) -> Any:
        summands = [self._number(c) * self._variables[variable] for variable, c in form.coefficients.items()]
        return z3.Sum([self._number(form.constant), *summands])

    def _add_relu(self, relu: UnstableRelu) -> None:
        """h = max(0, z); h >= z and the chord are implied, and spare z3 branches."""
        h, z = self._variables[relu.variable], self._expression(relu.form)
        slope = relu.upper / (relu.upper - relu.lower)
        self._solver.add(h >= z, h <= self._number(slope) * (z - self._number(relu.lower)))
        self._solver.add(z3.Or(z3.And(z <= 0, h <= 0), z3.And(z >= 0, h <= z)))

    def find_gap(self, gap: Form, epsilon: Fraction, seconds: float) -> tuple[str, tuple[Fraction, ...] | None]:
        """Search an input with |gap| > epsilon.

        Returns:
            ("", x) where found, ("", None) where there is none, (reason, None) where z3 does not know.
        """
        solver, value, limit = self._solver, self._expression(gap), self._number(epsilon)
        solver.set("timeout", min(math.ceil(seconds * 1000), 2**31 - 1))
        solver.push()
        try:
            solver.add(z3.Or(value > limit, value < -limit))
            status = self._check()
            if status == z3.unsat:
                return "", None
            if status == z3.sat:
                return "", self._input_values(solver.model())
            reason = str(solver.reason_unknown())
        finally:
            solver.pop()
        return f"z3 gave up ({reason})", None

    def _check(self) -> Any:
        """`check` in a thread, for z3 would keep the main thread from seeing an interrupt (or swallow it)."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self._solver.check)
            try:
                return answer.result()
            except KeyboardInterrupt:
                self._context.interrupt()
                raise

    def _input_values(self, model: Any) -> tuple[Fraction, ...]:
        values = []
        for form in self._inputs:
            number = form.constant
            for variable in form.coefficients:
                shown = model.eval(self._variables[variable], model_completion=True)
                number = Fraction(shown.numerator_as_long(), shown.denominator_as_long())
            values.append(number)
        return tuple(values)
