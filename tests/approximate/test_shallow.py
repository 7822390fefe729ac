"""The network with two hidden layers: exact where it says so, by Z3; bounded elsewhere, by exact enumeration."""

from dataclasses import replace

import numpy as np
import pytest

import eqverify as eq
from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.equivalence.exact import cross_check
from eqverify.errors import InputError, LimitError, UsageError
from eqverify.examples import example_files
from eqverify.export.runtime import run_model
from eqverify.frontend.onnx import parse_network
from eqverify.network import Affine, Relu, evaluate
from eqverify.problem import Problem, box_problem, domain_problem
from eqverify.testing.handmade import all_handmade
from eqverify.testing.oracle import deviations_exact

from ..vnncomp import OWN, slow, vnncomp
from .region_checks import dyadic_network, random_network

HANDMADE = [problem for problem in all_handmade() if problem.name != "point"]


def interiors(report):
    """The delta-interiors of all pieces with a region, as polytopes of float rows that lie inside them."""
    parts = report.problem.domain.polytopes
    domain = parts[0] if len(parts) == 1 else Polytope(report.problem.domain.hull)
    box = domain.box
    free = box.lower < box.upper
    shown = {region.pattern.tobytes() for region in report.regions.regions}
    for piece, thresholds in zip(report.shallow.pieces, report.shallow.thresholds, strict=True):
        if piece.pattern.tobytes() not in shown:
            continue
        rows = np.zeros((len(piece.rows), box.size))
        rows[:, free] = -piece.rows
        slack = 1e-12 * (1 + np.abs(piece.rows).sum(axis=1))
        bound = piece.offsets - thresholds[: len(rows)] - slack
        yield Polytope(box, np.vstack([domain.matrix, rows]), np.append(domain.bound, bound))


def check_exact_inside(report):
    """Z3 finds no input of a delta-interior where the networks differ by more than the proved rounding."""
    network = parse_network(report.data)
    for part in interiors(report):
        answer = cross_check(report.problem.network, network, Domain((part,)), report.shallow.epsilon, timeout=60)
        assert answer.verdict == "equivalent", answer


@pytest.mark.parametrize("patterns", ["feasible", *slow("all")])
@pytest.mark.parametrize("handmade", HANDMADE, ids=lambda p: p.name)
def test_problems_solved_by_hand(handmade, patterns):
    problem = domain_problem(handmade.network, handmade.domain)
    report = eq.make_shallow(problem, patterns=patterns)
    assert report.regions.complete
    check_exact_inside(report)
    parts = handmade.domain.polytopes
    domain = handmade.domain if len(parts) == 1 else Domain((Polytope(handmade.domain.hull),))
    deviations = deviations_exact(handmade.network, parse_network(report.data), domain)
    assert all(d.value <= b for d, b in zip(deviations, report.shallow.bound.tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(4))
def test_small_networks_are_followed(seed, dtype):
    network = (dyadic_network if seed % 2 else random_network)(seed, 2, (2, 1), outputs=2)
    report = eq.make_shallow(box_problem(network, np.full(2, -1.0), np.full(2, 1.0)), dtype=dtype)
    check_exact_inside(report)
    points = np.random.default_rng(seed).uniform(-1, 1, size=(5000, 2))
    gap = np.abs(evaluate(network, points) - evaluate(parse_network(report.data), points))
    assert (gap.max(axis=0) <= report.shallow.bound).all()
    assert report.measured.largest <= report.shallow.bound.max()
    assert report.measured.exact_low <= report.measured.exact <= report.measured.exact_high


def test_the_shape_is_two_hidden_layers_with_the_published_counts():
    network = random_network(0, 2, (3, 2), outputs=2)
    problem = box_problem(network, np.full(2, -1.0), np.full(2, 1.0))
    feasible, every = (eq.make_shallow(problem, patterns=p) for p in ("feasible", "all"))
    for report in (feasible, every):
        kinds = [type(node) for node in parse_network(report.data).nodes]
        assert [kind for kind in kinds if kind is Relu] == [Relu, Relu]
        assert kinds[0] is Affine
        made = report.shallow
        assert report.shallow.network.relu_count == made.ramps + made.carriers + made.second
    free, count = feasible.unstable, len(feasible.regions.regions)
    assert feasible.units()["bound"] == (5 * 2**5, 2 * 2**5)
    assert feasible.units()["all"] == every.units()["all"] == (free * 2**free, 2 * 2**free)
    assert feasible.units()["feasible"] == (free * count, 2 * count)
    assert every.shallow.ramps_apart == free * 2**free
    assert every.shallow.second == 2 * 2**free
    assert feasible.shallow.second == 2 * count
    assert feasible.shallow.ramps <= feasible.shallow.ramps_apart <= free * count


@pytest.mark.slow
def test_the_domain_may_be_cut_and_inputs_fixed():
    network = random_network(3, 3, (4, 3))
    box = Box(np.array([-1.0, 0.5, -1.0]), np.array([1.0, 0.5, 1.0]))
    part = Polytope(box, np.array([[1.0, 1.0, 1.0]]), np.array([0.75]))
    report = eq.make_shallow(domain_problem(network, Domain((part,))))
    check_exact_inside(report)


class Ticks:
    """A clock that advances by a second whenever the search looks at it, so that no machine is too slow or too fast."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


@pytest.mark.slow
def test_unfinished_regions_leave_a_bounded_network(monkeypatch):
    network = random_network(0, 3, (12, 10))
    problem = box_problem(network, np.full(3, -1.0), np.full(3, 1.0))
    monkeypatch.setattr("eqverify.budget.time", Ticks())
    report = eq.make_shallow(problem, time_limit=200.0)
    assert not report.regions.complete
    points = np.random.default_rng(0).uniform(-1, 1, size=(2000, 3))
    gap = np.abs(evaluate(network, points) - evaluate(report.shallow.network, points))
    assert gap.max() <= report.shallow.bound.max()


@pytest.mark.slow
def test_the_shipped_example_and_its_file():
    files = example_files()
    report = eq.make_shallow(eq.load_problem(files.network, files.query), samples=500)
    assert report.regions.complete
    assert report.measured.exact > 0.9
    points = np.stack([region.point for region in report.regions.regions]).astype(np.float32).astype(np.float64)
    shown = run_model(report.data, points)
    assert np.abs(shown - evaluate(report.shallow.network, points)).max() < 1e-2


@pytest.mark.parametrize("name", ["policy", *slow("cartpole")])
def test_a_control_network_on_a_sub_box(name):
    model = OWN[name].model if name in OWN else vnncomp("rl_benchmarks") / "onnx" / f"{name}.onnx"
    network = eq.load_network(model)
    half = np.array([0.1, 0.1, 0.02, 0.05]) if name == "cartpole" else np.full(4, 0.15)
    report = eq.make_shallow(box_problem(network, -half, half))
    assert report.regions.complete
    assert len(report.regions.regions) > 10
    assert 0.5 < report.measured.exact <= 1.0
    assert report.measured.largest <= report.shallow.bound.max()
    inside = np.stack([region.point for region in report.regions.regions])
    thresholds = report.shallow.delta <= report.regions.radii * 0.999
    gap = np.abs(evaluate(network, inside) - evaluate(report.shallow.network, inside))[thresholds]
    assert (gap <= report.shallow.epsilon + 1e-9).all()


@pytest.mark.slow
def test_what_cannot_be_done_says_so():
    network = random_network(0, 2, (3, 2))
    problem = box_problem(network, np.full(2, -1.0), np.full(2, 1.0))
    for wrong in (0.0, -1.0, float("nan"), 1e-30):
        with pytest.raises(UsageError, match="shallow/delta"):
            eq.make_shallow(problem, delta=wrong)
    with pytest.raises(UsageError, match="shallow/samples"):
        eq.make_shallow(problem, samples=0)
    with pytest.raises(InputError, match="shallow/point"):
        eq.make_shallow(box_problem(network, np.zeros(2), np.zeros(2)))
    wide = box_problem(random_network(0, 2, (20,)), np.full(2, -1.0), np.full(2, 1.0))
    with pytest.raises(LimitError, match="shallow/too-large"):
        eq.make_shallow(wide, patterns="all")
    with pytest.raises(LimitError, match="shallow/no-regions"):
        eq.make_shallow(wide, time_limit=1e-9)


def test_a_wrong_piece_is_caught_by_z3():
    """The check of this file can fail: a piece that computes something else is seen."""
    network = dyadic_network(1, 2, (3, 2))
    report = eq.make_shallow(box_problem(network, np.full(2, -1.0), np.full(2, 1.0)))
    nodes = list(report.shallow.network.nodes)
    nodes[-1] = replace(nodes[-1], bias=nodes[-1].bias + 0.5)
    wrong = replace(report.shallow.network, nodes=tuple(nodes))
    parts = Domain(tuple(interiors(report)))
    answer = cross_check(network, wrong, parts, report.shallow.epsilon, timeout=60)
    assert answer.verdict == "different"


def test_domains_of_several_parts_are_followed_on_the_box_around_them():
    network = random_network(2, 2, (4,))
    parts = tuple(Polytope(Box(np.full(2, low), np.full(2, low + 1))) for low in (-1.0, 0.0))
    report = eq.make_shallow(domain_problem(network, Domain(parts)))
    whole = eq.find_regions(domain_problem(network, box_domain(np.full(2, -1.0), np.full(2, 1.0))))
    assert len(report.regions.regions) == len(whole.found.regions)
    assert isinstance(report.problem, Problem)
