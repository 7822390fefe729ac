"""Maximise an output of a network under constraints, with and without proved ranges.

    python benchmarks/embedding/run.py --limit 400 --output benchmarks/embedding/results.csv

Networks that scikit-learn trains here (seeded), and HiGHS and SCIP: three small surrogates on all of what they were
trained on, two larger ones on a part of that (a trust region). "plain" is what the packages make of the network:
OMLT's big-M formulation for HiGHS, PySCIPOpt-ML's for SCIP. "proved" is `eqverify.embedding` with ranges that are
proved for at most `--prove` seconds, which are counted in `total`, under the constraint that both have: the inputs
sum to at most a quarter of what they could. Each solver uses one thread; seconds are of processor time, so that other
work on the machine counts little, but limits are of the clock. The root gap is that of the relaxation before
branching (LP relaxation for HiGHS, SCIP's own root bound), relative to the best value found by anyone.
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pyscipopt
import pyscipopt_ml
from omlt import OmltBlock
from omlt.neuralnet import FullSpaceNNFormulation
from sklearn.neural_network import MLPRegressor

import eqverify as eq
from eqverify.domain import Box, Domain, Polytope
from eqverify.embedding import Formulation, formulate
from eqverify.embedding.omlt_network import network_definition
from eqverify.embedding.pyomo_block import network_block
from eqverify.embedding.scip_model import add_predictor_constr
from eqverify.problem import Problem, domain_problem
from eqverify.testing.chains import chain_network

SURROGATES = (
    (3, (16, 12), 1.0), (4, (24, 16), 1.0), (6, (20, 16, 10), 1.0), (5, (50, 50), 0.3), (5, (50, 50, 50), 0.15),
)  # fmt: skip
"""Inputs, widths, how far inputs are from the middle."""
FIELDS = ("network", "solver", "how", "binaries", "prove", "solve", "total", "status", "value", "root_gap")


def surrogate(inputs: int, widths: tuple[int, ...], radius: float) -> tuple[MLPRegressor, Problem]:
    """A network, for scikit-learn and eqverify, trained on a smooth function of several bumps on [-1, 1]^inputs.

    Its domain is the part of that within `radius` of the middle.
    """
    random = np.random.default_rng(inputs)
    x = random.uniform(-1, 1, (4000, inputs))
    y = np.sin(3 * x).sum(axis=1) * np.cos(2 * x[:, 0] * x[:, -1]) + x[:, 0] ** 2
    alpha = 1e-4 if radius == 1.0 else 1e-3
    model = MLPRegressor(hidden_layer_sizes=widths, alpha=alpha, max_iter=300, random_state=1).fit(x, y)
    layers = [(w.T, b) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]
    box = Box(np.full(inputs, -radius), np.full(inputs, radius))
    domain = Domain((Polytope(box, np.ones((1, inputs)), np.array([radius * inputs / 4])),))
    return model, domain_problem(chain_network(layers), domain)


def by_highs(build: Callable[[Any], tuple[Any, Any]], most: float, limit: float) -> dict[str, object]:
    """Value, status, seconds and bound of the LP relaxation."""
    model = pyo.ConcreteModel()
    x, y = build(model)
    model.budget = pyo.Constraint(expr=sum(x.values()) <= most)
    model.objective = pyo.Objective(expr=y, sense=pyo.maximize)
    solver = pyo.SolverFactory("appsi_highs")
    solver.highs_options = {"threads": 1, "time_limit": limit}
    solver.config.load_solution = False
    begin = time.process_time()
    found = solver.solve(model, load_solutions=False)
    seconds = time.process_time() - begin
    value, status = _number(found.problem.lower_bound), str(found.solver.termination_condition)
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(model)
    relaxed = pyo.SolverFactory("appsi_highs").solve(model, load_solutions=False)
    return {"solve": seconds, "status": status, "value": value, "root": float(relaxed.problem.upper_bound)}


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def omlt_model(problem: Problem) -> Callable[[Any], tuple[Any, Any]]:
    def build(model: Any) -> tuple[Any, Any]:
        model.network = OmltBlock()
        definition = network_definition(problem.network, problem.domain.polytopes[0].box)
        model.network.build_formulation(FullSpaceNNFormulation(definition))
        return model.network.inputs, model.network.outputs[0]

    return build


def proved_model(formulation: Formulation) -> Callable[[Any], tuple[Any, Any]]:
    def build(model: Any) -> tuple[Any, Any]:
        model.network = network_block(formulation)
        return model.network.x, model.network.y[0]

    return build


def by_scip(add: Callable[[Any, Any], Any], part: Polytope, limit: float) -> dict[str, object]:
    """Value, status, seconds and SCIP's bound at the root."""
    model = pyscipopt.Model()
    model.hideOutput()
    ends = zip(part.box.lower.tolist(), part.box.upper.tolist(), strict=True)
    x = np.array([model.addVar(lb=low, ub=high) for low, high in ends], dtype=object)
    y = add(model, x)
    model.addCons(pyscipopt.quicksum(x) <= float(part.bound[0]))
    model.setObjective(y, "maximize")
    model.setParam("limits/time", limit)
    model.setParam("timing/clocktype", 2)  # of the clock
    begin = time.process_time()
    model.optimize()
    seconds = time.process_time() - begin
    root = model.getDualboundRoot()
    return {
        "solve": seconds,
        "status": model.getStatus(),
        "value": model.getObjVal() if model.getNSols() else float("nan"),
        "root": root if abs(root) < model.infinity() else float("nan"),
    }


def measure(model: MLPRegressor, problem: Problem, limit: float, prove: float) -> list[dict[str, object]]:
    """All four runs on one network."""
    part = problem.domain.polytopes[0]
    most = float(part.bound[0])
    begin = time.process_time()
    formulation = formulate(problem, eq.prove_stability(problem, time_limit=prove))
    proved = time.process_time() - begin
    few, many = int(formulation.binary.sum()), problem.network.relu_count
    runs = [
        ("HiGHS", "plain", many, 0.0, by_highs(omlt_model(problem), most, limit)),
        ("HiGHS", "proved", few, proved, by_highs(proved_model(formulation), most, limit)),
        (
            "SCIP", "plain", many, 0.0,
            by_scip(lambda m, x: pyscipopt_ml.add_predictor_constr(m, model, x).output[0, 0], part, limit),
        ),
        (
            "SCIP", "proved", few, proved,
            by_scip(lambda m, x: add_predictor_constr(m, formulation, x).output[0, 0], part, limit),
        ),
    ]  # fmt: skip
    best = max(float(run["value"]) for *_, run in runs if run["value"] == run["value"])
    return [
        {
            "solver": solver, "how": how, "binaries": binaries, "prove": round(spent, 2),
            "solve": round(run["solve"], 2), "total": round(spent + run["solve"], 2), "status": run["status"],
            "value": round(run["value"], 6), "root_gap": round((run["root"] - best) / abs(best), 4),
        }
        for solver, how, binaries, spent, run in runs
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--prove", type=float, default=20.0)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="of the networks; the rows of those before it are kept")
    options = parser.parse_args()
    logging.getLogger("pyomo").setLevel(logging.ERROR)
    with options.output.open("a" if options.first else "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not options.first:
            writer.writeheader()
        for inputs, widths, radius in SURROGATES[options.first :]:
            name = "-".join(map(str, (inputs, *widths, 1))) + ("" if radius == 1.0 else f" within {radius}")
            for row in measure(*surrogate(inputs, widths, radius), options.limit, options.prove):
                writer.writerow({"network": name, **row})
                file.flush()


if __name__ == "__main__":
    main()
