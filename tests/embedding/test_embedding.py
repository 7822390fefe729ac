"""Models with a network inside, solved through the real packages, against problems solved by hand and runs.

Optimisers have tolerances of 1e-6 on rows; that is how near an optimum can be to the exact one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import highspy
import numpy as np
import pyscipopt
import pytest

import eqverify as eq
from eqverify.domain import Box, Domain, Polytope
from eqverify.embedding import Formulation, formulate
from eqverify.embedding.files import write_formulation
from eqverify.embedding.scip_model import add_predictor_constr
from eqverify.errors import InputError, UsageError
from eqverify.network import evaluate
from eqverify.problem import Problem, domain_problem
from eqverify.testing.chains import chain_network
from eqverify.testing.handmade import all_handmade

from ..vnncomp import slow

WITHIN = 2e-5

Best = tuple[np.ndarray, np.ndarray]
"""Inputs and outputs at an optimum."""


def random_problem(seed: int, sizes: tuple[int, ...] = (3, 8, 6, 2)) -> Problem:
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(m, n)), rng.normal(size=m)) for n, m in pairwise(sizes)]
    return domain_problem(chain_network(layers), Domain((Polytope(Box(np.full(sizes[0], -1.0), np.ones(sizes[0]))),)))


@cache
def formulated(name: str) -> Formulation:
    case = next(h for h in ONE_PART if h.name == name)
    problem = domain_problem(case.network, case.domain)
    return formulate(problem, eq.prove_stability(problem))


@cache
def random_formulation(seed: int) -> tuple[Problem, Formulation]:
    problem = random_problem(seed)
    return problem, formulate(problem, eq.prove_stability(problem))


def by_file(formulation: Formulation, output: int, sign: int, tmp_path, ending: str) -> Best:
    path = tmp_path / f"model{ending}"
    write_formulation(formulation, path)
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.readModel(str(path))
    names = [model.getColName(c)[1] for c in range(model.getNumCol())]
    model.changeColCost(names.index(f"y_{output}"), float(-sign))
    model.run()
    value = dict(zip(names, model.getSolution().col_value, strict=True))
    return (
        np.array([value[f"x_{i}"] for i in range(formulation.inputs)]),
        np.array([value[f"y_{j}"] for j in range(formulation.outputs)]),
    )


def by_pyomo(formulation: Formulation, output: int, sign: int, _) -> Best:
    import pyomo.environ as pyo

    from eqverify.embedding.pyomo_block import network_block

    model = pyo.ConcreteModel()
    model.network = network_block(formulation)
    model.objective = pyo.Objective(expr=sign * model.network.y[output], sense=pyo.maximize)
    pyo.SolverFactory("appsi_highs").solve(model)
    return (
        np.array([pyo.value(v) for v in model.network.x.values()]),
        np.array([pyo.value(v) for v in model.network.y.values()]),
    )


def by_scip(formulation: Formulation, output: int, sign: int, _) -> Best:
    model = pyscipopt.Model()
    model.hideOutput()
    x = np.array([model.addVar(lb=None, ub=None) for _ in range(formulation.inputs)], dtype=object)
    added = add_predictor_constr(model, formulation, x)
    model.setObjective(sign * added.output[0, output], "maximize")
    model.optimize()
    return np.array([model.getVal(v) for v in x]), np.array([model.getVal(v) for v in added.output[0]])


def by_gurobi(formulation: Formulation, output: int, sign: int, _) -> Best:
    import gurobi_ml
    import gurobipy

    import eqverify.embedding.gurobi_model  # noqa: F401 - registers the formulation

    with gurobipy.Env(params={"OutputFlag": 0}) as env, gurobipy.Model(env=env) as model:
        x = model.addMVar(formulation.inputs, lb=-np.inf)
        added = gurobi_ml.add_predictor_constr(model, formulation, x)
        model.setObjective(sign * added.output[0, output], gurobipy.GRB.MAXIMIZE)
        model.optimize()
        return x.X, added.output.X[0]


WAYS: dict[str, Callable[..., Best]] = {
    "mps": lambda *a: by_file(*a, ".mps"),
    "lp": lambda *a: by_file(*a, ".lp"),
    "pyomo": by_pyomo,
    "scip": by_scip,
    "gurobi": by_gurobi,
}
# Pyomo and gurobi-machinelearning start in seconds.
EACH_WAY = pytest.mark.parametrize("way", ["mps", "lp", "scip", *slow("pyomo", "gurobi")])
ONE_PART = [h for h in all_handmade() if len(h.domain.polytopes) == 1]


@EACH_WAY
@pytest.mark.parametrize("case", ONE_PART, ids=lambda h: h.name)
def test_the_extremes_of_outputs_are_found(way, case, tmp_path):
    formulation = formulated(case.name)
    for output, (least, most) in enumerate(case.outputs):
        for sign, exact in ((1, most), (-1, least)):
            x, y = WAYS[way](formulation, output, sign, tmp_path)
            assert y[output] == pytest.approx(exact, abs=WITHIN)
            assert y == pytest.approx(evaluate(case.network, x[None])[0], abs=WITHIN)


@EACH_WAY
@pytest.mark.parametrize("seed", range(3))
def test_an_optimum_is_a_point_of_the_network_and_no_sample_is_better(way, seed, tmp_path):
    problem, formulation = random_formulation(seed)
    x, y = WAYS[way](formulation, 1, 1, tmp_path)
    samples = np.random.default_rng(seed).uniform(-1, 1, (4000, 3))
    assert y == pytest.approx(evaluate(problem.network, x[None])[0], abs=WITHIN)
    assert y[1] >= evaluate(problem.network, samples)[:, 1].max() - WITHIN


def test_only_open_units_have_binaries():
    problem = random_problem(5)
    facts = eq.prove_stability(problem)
    formulation = formulate(problem, facts)
    open_units = facts.count(eq.Status.UNSTABLE) + facts.count(eq.Status.UNDECIDED)
    assert 0 < open_units < problem.network.relu_count
    assert int(formulation.binary.sum()) == open_units


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_omlt_gets_layers_and_proved_ranges(seed):
    import omlt
    import pyomo.environ as pyo

    from eqverify.embedding.omlt_network import network_definition, network_formulation

    problem = random_problem(seed)
    facts = eq.prove_stability(problem)
    definition = network_definition(problem.network, problem.domain.polytopes[0].box)
    model = pyo.ConcreteModel()
    model.network = omlt.OmltBlock()
    model.network.build_formulation(network_formulation(definition, facts))
    model.objective = pyo.Objective(expr=model.network.outputs[1], sense=pyo.maximize)
    pyo.SolverFactory("appsi_highs").solve(model)
    x = np.array([pyo.value(model.network.inputs[i]) for i in range(3)])
    assert pyo.value(model.network.outputs[1]) == pytest.approx(evaluate(problem.network, x[None])[0, 1], abs=WITHIN)
    best = by_pyomo(formulate(problem, facts), 1, 1, None)[1][1]
    assert pyo.value(model.network.outputs[1]) == pytest.approx(best, abs=WITHIN)
    blocks = [b for b in model.network.layer.values() if hasattr(b, "q_relu")]
    for block, known in zip(blocks, facts.layers, strict=True):
        assert all(block.zhat[u].lb >= known.lower[u] and block.zhat[u].ub <= known.upper[u] for u in range(known.size))


def test_a_model_about_several_boxes_is_refused():
    case = next(h for h in all_handmade() if len(h.domain.polytopes) > 1)
    problem = domain_problem(case.network, case.domain)
    with pytest.raises(InputError, match="embedding/parts"):
        formulate(problem, eq.prove_stability(problem))


def test_facts_of_another_network_are_refused():
    with pytest.raises(eq.EqverifyError):
        formulate(random_problem(1), eq.prove_stability(random_problem(2)))


def test_another_ending_is_refused(tmp_path):
    problem = random_problem(1)
    with pytest.raises(UsageError, match="embedding/format"):
        write_formulation(formulate(problem, eq.prove_stability(problem)), tmp_path / "model.sav")
