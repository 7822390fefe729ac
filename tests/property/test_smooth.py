"""Networks with smooth nodes: bounds, facts and verdicts never contradict what ball arithmetic computes at points."""

from __future__ import annotations

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eqverify as eq
from eqverify.bounds import crown_bounds, interval_bounds, optimise_slopes
from eqverify.deciding.run import VerifyKeywords, VerifyRun
from eqverify.domain import Box, Case, Declaration, HalfSpace, NetworkSignature, Polytope, Specification
from eqverify.errors import InputError
from eqverify.export.onnx import write_network
from eqverify.functions import Sigmoid
from eqverify.network import Affine, Dense, Network, Port, Relu, Smooth, Term, evaluate_nodes, evaluation_error
from eqverify.network.sameness import same_function
from eqverify.problem import Problem, box_problem
from eqverify.stability.facts import Status
from tests.functions.function_checks import below

from ..deciding.deciding_helpers import needs_marabou
from .smooth_networks import balls, boxes, middle, points_of, smooth_networks


def whole(bounds_of, network, lower, upper):
    bounds = bounds_of(network, lower[None], upper[None])
    assert set(bounds) == set(network.sizes)
    return bounds


def crown(network, lower, upper):
    return crown_bounds(network, lower, upper, outputs=True)


def optimised(network, lower, upper):
    bounds = crown_bounds(network, lower, upper)
    targets = {name: np.ones(network.sizes[name], dtype=bool) for name in [r.source for r in network.relus] + ["y"]}
    return optimise_slopes(network, lower, upper, bounds, targets, iterations=5).bounds


@pytest.mark.parametrize("bounds_of", [interval_bounds, crown, optimised])
@given(data=st.data())
def test_bounds_hold_at_points(bounds_of, data):
    network = data.draw(smooth_networks())
    lower, upper = data.draw(boxes(network))
    bounds = whole(bounds_of, network, lower, upper)
    for x in points_of(lower, upper, 6):
        for name, values in balls(network, x).items():
            for unit, value in enumerate(values):
                assert below(bounds[name].lower[0, unit], value), (name, unit)
                assert below(-bounds[name].upper[0, unit], -value), (name, unit)


@given(data=st.data())
def test_values_are_as_near_as_their_errors_say(data):
    network = data.draw(smooth_networks())
    x = points_of(*data.draw(boxes(network)), 4)
    values = evaluate_nodes(network, x)
    errors = evaluation_error(network, values)
    for row, point in enumerate(x):
        for name, exact in balls(network, point).items():
            for unit, value in enumerate(exact):
                error = errors[name][row, unit]
                assert np.isfinite(error)
                assert not abs(value - flint.arb(values[name][row, unit])) > flint.arb(error), (name, unit)


@given(data=st.data())
def test_no_stable_unit_changes_its_sign(data):
    network = data.draw(smooth_networks())
    lower, upper = data.draw(boxes(network))
    facts = eq.prove_stability(box_problem(network, lower, upper), time_limit=2.0, branch_nodes=50)
    assert facts.summary()["units"] == network.relu_count
    exact = [balls(network, x) for x in points_of(lower, upper, 12)]
    for layer in facts.layers:
        for unit, status in enumerate(layer.status.tolist()):
            values = [one[layer.source][unit] for one in exact]
            assert status != Status.ACTIVE or not any(value < 0 for value in values)
            assert status != Status.INACTIVE or not any(value > 0 for value in values)


def specification(network, lower, upper, rows):
    signature = NetworkSignature(
        "N", (Declaration("X", "Real", (network.input_size,)),), (Declaration("Y", "Real", (network.output_size,)),)
    )
    return Specification((signature,), (Case(Polytope(Box(lower, upper)), (rows,)),))


@given(data=st.data())
def test_verdicts_are_right_at_points(data):
    """Thresholds beside what points reach: `unsat` above a point that satisfies the condition would be wrong."""
    network = data.draw(smooth_networks(without=("Erf", "Softplus")))  # onnxruntime has none in double
    lower, upper = data.draw(boxes(network))
    reached = [middle(balls(network, x)["y"][0]) for x in points_of(lower, upper, 12)]
    margin = data.draw(st.sampled_from([0.5, 1e-3, 0.0, -1e-3]))
    threshold = max(reached) + middle(flint.arb(margin)) * (max(reached) - min(reached) + 1)
    rows = (HalfSpace({}, {0: -1}, -threshold),)  # y_0 at least the threshold
    problem = Problem(network, specification(network, lower, upper, rows))
    data_of = write_network(network, metadata={}, producer="test", dtype="float64")
    answer = VerifyRun(VerifyKeywords(timeout=2.0)).decide(problem, data_of)
    if margin < 0:
        assert answer.verdict != "unsat"
    if answer.verdict == "sat":
        value = balls(network, answer.witness.x)["y"][0]
        assert not value < flint.arb(flint.fmpq(threshold.numerator, threshold.denominator))
    assert answer.verdict in ("sat", "unsat", "unknown", "timed-out")


def curved(function=None, weight=2.0):
    """max(0, f(2 x) - 3/4) on one input, for a sigmoid where nothing is said."""
    nodes = (
        Affine("z", (Term("x", Dense([[weight]])),), [0.0]),
        Smooth("s", "z", function or Sigmoid()),
        Affine("t", (Term("s", Dense([[1.0]])),), [-0.75]),
        Relu("r", "t"),
        Affine("y", (Term("r", Dense([[1.0]])),), [0.0]),
    )
    return Network((Port("x", (1, 1), "float64", "x"),), nodes, (Port("y", (1, 1), "float64", "y"),))


def test_units_behind_a_smooth_node_are_decided_as_they_should():
    """f(2 x) = 3/4 at x = log(3) / 2 = 0.5493...: the unit is inactive up to there, and active from there on."""
    statuses = []
    for low, high in ((-1.0, 0.549), (0.55, 2.0), (0.5, 0.6)):
        (layer,) = eq.prove_stability(curved(), ([low], [high])).layers
        statuses.append(Status(int(layer.status[0])))
    assert statuses == [Status.INACTIVE, Status.ACTIVE, Status.UNSTABLE]


QUERY = """
(declare-const X_0 Real) (declare-const Y_0 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1)) (assert (>= Y_0 {}))
"""


@pytest.fixture
def files(tmp_path):
    """A function of a threshold that writes a network and the question whether its output reaches that."""
    model = tmp_path / "net.onnx"
    model.write_bytes(write_network(curved(), metadata={}, producer="test", dtype="float64"))

    def written(threshold):
        query = tmp_path / f"{threshold}.vnnlib"
        query.write_text(QUERY.format(threshold))
        return query, model

    return written


@pytest.mark.parametrize(("threshold", "verdict"), [(0.14, "unsat"), (0.13, "sat")])
def test_verify_decides_behind_a_smooth_node(files, threshold, verdict):
    """The output is 1 / (1 + exp(-2)) - 3/4 = 0.1307... at most, where the input is 1."""
    answer = eq.verify(*files(threshold), timeout=60)
    assert answer.verdict == verdict
    assert answer.relus_before == 1
    if verdict == "sat":
        assert answer.witness.x[0] > 0.9


@pytest.mark.parametrize(("threshold", "verdict"), [(0.14, "unsat"), (0.13, "sat")])
def test_verdicts_behind_a_smooth_node_have_proofs(files, tmp_path, threshold, verdict):
    query, model = files(threshold)
    answer = eq.verify(query, model, timeout=60, proof=True)
    assert (answer.verdict, answer.reason) == (verdict, "")
    proof = tmp_path / "proof"
    proof.write_bytes(answer.proof)
    assert str(eq.check(model, query, None, proof)) == f"verified {verdict}"


@pytest.mark.parametrize("backend", ["scip", "scip:milp", pytest.param("marabou", marks=needs_marabou)])
def test_backends_that_take_rows_leave_the_question_open(files, backend):
    from eqverify.budget import Budget
    from eqverify.deciding.backends import make_backend
    from eqverify.deciding.claims import ask
    from eqverify.deciding.question import Question

    nodes = (*curved().nodes, Affine("row", (Term("y", Dense([[-1.0]])),), [0.13]))
    network = Network(curved().inputs, nodes, (Port("row", (1, 1), "float64", "row"),))
    box = Box(np.array([-1.0]), np.array([1.0]))
    reply = ask(make_backend(backend), Question(network, box, "float64"), lambda points: False, Budget(2.0))
    assert reply.verdict in ("unknown", "timed-out")


def test_digests_and_sameness_tell_functions_apart():
    from eqverify.functions import Power, Tanh

    networks = [curved(), curved(Tanh()), curved(Power(2)), curved(Power(3)), curved(weight=1.0)]
    assert len({network.digest for network in networks}) == len(networks)
    same = [[same_function(one, other) for other in networks] for one in networks]
    assert np.array_equal(same, np.eye(len(networks), dtype=bool))


def jobs():
    from eqverify.approximate.regions import find_regions

    problem = box_problem(curved(), np.zeros(1), np.ones(1))
    return {
        "certificate": lambda: eq.reduce(problem, certificate=True),
        "equivalent": lambda: eq.equivalent(curved(), curved(weight=3.0), ([0.0], [1.0]), epsilon=0.1),
        "regions": lambda: find_regions(curved(), problem.domain, time_limit=1.0),
        "exactly": lambda: eq.network.outputs_exact(curved(), [0]),
    }


@pytest.mark.parametrize("name", ["certificate", "equivalent", "regions", "exactly"])
def test_what_cannot_deal_with_smooth_nodes_says_so(name):
    with pytest.raises(InputError) as caught:
        jobs()[name]()
    assert caught.value.code == "network/smooth"
    assert "Sigmoid" in str(caught.value)
