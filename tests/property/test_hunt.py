"""The hunt for unsound answers: every `stable` of every engine against exact enumeration, or Z3 where that is long.

`tox -e deep` runs this on 2,000 networks of all shapes of the strategies.
"""

from fractions import Fraction

import numpy as np
import z3
from hypothesis import event, given, settings
from hypothesis import strategies as st

from eqverify.equivalence.rational import affine_rows
from eqverify.errors import EqverifyError
from eqverify.network import Relu
from eqverify.stability.facts import Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import any_networks, problems

EXAMPLES = settings().max_examples
RUNS = (
    {"engine": "portfolio"},
    {"engine": "portfolio", "split_inputs": 0},
    {"engine": "portfolio", "split_inputs": 0, "branch_nodes": 30, "node_limit": 20},
    {"engine": "portfolio", "split_inputs": 0, "branch_nodes": 0},
    {"engine": "crown"},
    {"engine": "leo"},
    {"engine": "isa"},
)


def rational(value):
    return z3.RealVal(str(Fraction(value)))


def symbolic(network, inputs):
    """Values of all nodes as terms over the inputs, exact."""
    values, start = {}, 0
    for port in network.inputs:
        values[port.name] = inputs[start : start + port.size]
        start += port.size
    for node in network.nodes:
        if isinstance(node, Relu):
            values[node.name] = [z3.If(z > 0, z, z3.RealVal(0)) for z in values[node.source]]
            continue
        values[node.name] = [
            z3.Sum([rational(constant), *(rational(c) * values[source][i] for (source, i), c in row.items())])
            for row, constant in affine_rows(node)
        ]
    return values


def refuted(problem, claims):
    """Of claims (node, unit, sign) that z nowhere has that sign: those refuted by a point, and those left open."""
    inputs = [z3.Real(f"x{i}") for i in range(problem.network.input_size)]
    values = symbolic(problem.network, inputs)
    wrong, unknown = [], []
    for name, unit, sign in claims:
        solver = z3.Solver()
        solver.set("timeout", 2000)
        solver.add(z3.Or([inside(part, inputs) for part in problem.domain.polytopes]))
        solver.add(sign * values[name][unit] > 0)
        answer = solver.check()
        if answer == z3.sat:
            wrong.append((name, unit, sign))
        elif answer == z3.unknown:
            unknown.append((name, unit, sign))
    return wrong, unknown


def inside(part, inputs):
    limits = zip(part.box.lower.tolist(), inputs, part.box.upper.tolist(), strict=True)
    box = [z3.And(rational(low) <= x, x <= rational(high)) for low, x, high in limits]
    rows = zip(part.matrix.tolist(), part.bound.tolist(), strict=True)
    cuts = [
        z3.Sum([rational(c) * x for c, x in zip(row, inputs, strict=True)]) <= rational(bound) for row, bound in rows
    ]
    return z3.And(*box, *cuts)


def claims_of(facts):
    """What the facts exclude: (pre-activation node, unit, sign)."""
    claims = set()
    for layer in facts.layers:
        for status, sign in ((Status.INACTIVE, 1), (Status.ACTIVE, -1)):
            claims |= {(layer.source, int(unit), sign) for unit in np.flatnonzero(layer.mask(status))}
    return claims


@settings(max_examples=max(min(15, EXAMPLES), EXAMPLES // 5))
@given(st.data())
def test_no_engine_calls_an_unstable_unit_stable(data):
    problem = data.draw(problems(networks=any_networks(), parts=2))
    found = [prove_stability(problem, StabilityOptions(time_limit=5.0, **options)) for options in RUNS]
    claims = set().union(*(claims_of(facts) for facts in found))
    try:
        exact = stable_sets_exact(problem.network, problem.domain, max_regions=1000)
    except EqverifyError:
        event("judged by Z3")
        wrong, unknown = refuted(problem, sorted(claims))
        event(f"left by Z3: {len(unknown)}")
        assert not wrong
        return
    event("judged by enumeration")
    layer_of = {relu.source: exact.layers[relu.name] for relu in problem.network.relus}
    for name, unit, sign in claims:
        truth = layer_of[name][unit]
        assert truth.upper <= 0 if sign > 0 else truth.lower >= 0, (name, unit, sign)
    for facts in found:
        for layer in facts.layers:
            for unit in np.flatnonzero(layer.mask(Status.UNSTABLE)):
                truth = exact.layers[layer.name][unit]
                assert truth.lower < 0 < truth.upper, (layer.name, unit)
