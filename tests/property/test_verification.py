"""Random properties decided whole: no sampled point satisfies what is called unsat, and sat has a true witness."""

from hypothesis import given, reject, settings
from hypothesis import strategies as st

import eqverify as eq
from eqverify.errors import EqverifyError
from eqverify.export.vnnlib import query_of
from eqverify.network import outputs_exact
from eqverify.testing.oracle import polytope_vertices
from eqverify.testing.strategies import networks, problems

EXPECTED = {"export/not-representable", "export/overflow", "reduce/no-bound", "domain/not-finite", "runtime/rejected"}
"""The only errors a random problem may end in: numbers beyond the range of a type."""


def holds(unsafe, x, y):
    return any(all(row.holds(x, y) for row in rows) for rows in unsafe)


PAIRS = st.lists(
    st.tuples(st.integers(0, 63), st.integers(0, 63), st.fractions(0, 1, max_denominator=8)), min_size=8, max_size=16
)
"""Two vertices of a polytope, and where between them a point lies; drawn before anything slow is done."""


def exact_points(pairs, polytope):
    """Vertices, and points between two of them: all exactly in the polytope."""
    vertices = polytope_vertices(polytope)
    for one, other, share in pairs if vertices else ():
        ends = zip(vertices[one % len(vertices)], vertices[other % len(vertices)], strict=True)
        yield [a + share * (b - a) for a, b in ends]


@settings(max_examples=max(min(10, settings().max_examples), settings().max_examples // 2))
@given(problems(networks=networks(element="float32")), st.booleans(), PAIRS)
def test_verdicts_are_true(problem, reduction, pairs):
    try:
        query = query_of(problem.specification, "1.0")
        answer = eq.verify(query, problem.network, timeout=2.0, reduction=reduction)
    except EqverifyError as error:
        assert error.code in EXPECTED, error
        reject()
    if answer.verdict == "sat":
        x = list(answer.witness.inputs)
        y = outputs_exact(problem.network, x)
        assert any(holds(case.unsafe, x, y) for case in problem.cases)
    if answer.verdict == "unsat":
        for case in problem.cases:
            for x in exact_points(pairs, case.polytope):
                assert not holds(case.unsafe, x, outputs_exact(problem.network, x)), (x, answer)
