"""Train with several regularisers, then reduce on the whole input box and count linear regions.

    python benchmarks/training/run.py --output benchmarks/training/results.csv

Needs `pip install eqverify[train]`.  Tables in the form of the papers (arXiv 1905.11428, 2001.00218): regulariser and
strength, accuracy (for the controller, the share of the variance explained), stable units per layer, linear regions,
units and connections removed, time.  Regions of the controller are those on its whole box; those of the digit readers,
which have 64 inputs, lie on the triangle's plane through three images.  `bound` is the logarithm (base 10) of an upper
bound on the whole box, from the units that are not stable.
"""

from __future__ import annotations

import argparse
import csv
import time
from math import comb, log10
from pathlib import Path

import numpy as np
from tasks import Task, control, digits
from training import Recipe, train

import eqverify as eq
from eqverify.approximate.regions import LinearRegions, find_regions
from eqverify.domain import box_domain
from eqverify.network import Affine, Dense, Network, Port, Term, evaluate
from eqverify.problem import box_problem
from eqverify.stability.facts import Facts, Status

RECIPES = {
    "digits": (
        ("none", 0.0, Recipe()),
        *(("l1", s, Recipe(l1=s)) for s in (3e-4, 1e-3, 2e-3, 3e-3)),
        *(("pgd", s, Recipe(pgd=s)) for s in (0.05, 0.1)),
        *(("stability", s, Recipe(stability=s)) for s in (0.001, 0.01)),
        ("l1+pgd", 1e-3, Recipe(l1=1e-3, pgd=0.05)),
        ("l1+stability", 1e-3, Recipe(l1=1e-3, stability=0.001)),
    ),
    "control": (
        ("none", 0.0, Recipe(epochs=30)),
        *(("l1", s, Recipe(epochs=30, l1=s)) for s in (3e-4, 1e-3, 3e-3)),
        *(("pgd", s, Recipe(epochs=30, pgd=s)) for s in (0.02, 0.05)),
        *(("stability", s, Recipe(epochs=30, stability=s)) for s in (3e-4, 3e-3)),
        ("l1+stability", 1e-3, Recipe(epochs=30, l1=1e-3, stability=3e-4)),
    ),
}
"""By task: name, strength (of the first part of the name, or the radius) and recipe."""

FIELDS = (
    "task", "regulariser", "strength", "accuracy", "stable", "undecided", "regions", "regions_complete", "bound",
    "units", "units_removed", "connections", "connections_removed", "accuracy_after", "epsilon", "train_seconds",
    "reduce_seconds", "regions_seconds",
)  # fmt: skip


def connections(network: Network) -> int:
    """Weights that are not zero."""
    maps = [term.map for node in network.nodes if isinstance(node, Affine) for term in node.terms]
    return sum(int(np.count_nonzero(linear.dense())) for linear in maps)


def on_plane(network: Network, points: np.ndarray) -> Network:
    """The network of  points[0] + s (points[1] - points[0]) + t (points[2] - points[0])."""
    matrix = np.stack([points[1] - points[0], points[2] - points[0]], axis=1)
    entry = Affine("plane", (Term("S", Dense(matrix)),), points[0])
    first = network.nodes[0]
    assert isinstance(first, Affine)
    moved = Affine(first.name, (Term("plane", first.terms[0].map),), first.bias)
    return Network((Port("S", (2,), "float64", "S"),), (entry, moved, *network.nodes[1:]), network.outputs)


def count(task: Task, network: Network, seconds: float) -> LinearRegions:
    """Regions on the whole box, or on a plane where there are many inputs."""
    if network.input_size <= 8:
        box = box_domain(np.full(network.input_size, task.lower), np.full(network.input_size, task.upper))
        return find_regions(network, box, time_limit=seconds)
    plane = on_plane(network, task.test[0][:3])
    return find_regions(plane, box_domain(np.zeros(2), np.ones(2)), time_limit=seconds)


def bound(facts: Facts, inputs: int) -> float:
    """log10 of the most regions that the units which are not stable can make."""
    total = 0.0
    for layer in facts.layers:
        free = layer.count(Status.UNSTABLE) + layer.count(Status.UNDECIDED)
        total += log10(sum(comb(free, k) for k in range(inputs + 1)))
    return total


def row_of(task: Task, name: str, strength: float, recipe: Recipe, limit: float) -> dict[str, object]:
    """Train one network and measure it."""
    start = time.perf_counter()
    network = train(task, recipe)
    trained = time.perf_counter() - start
    inputs = network.input_size
    problem = box_problem(network, np.full(inputs, task.lower), np.full(inputs, task.upper))
    start = time.perf_counter()
    result = eq.reduce(problem, time_limit=limit, unit_time_limit=min(2.0, limit))
    reduced = time.perf_counter() - start
    stable = [
        f"{layer.count(Status.INACTIVE)}+{layer.count(Status.ACTIVE)}/{layer.size}" for layer in result.facts.layers
    ]
    regions = count(task, network, limit)
    before, after = connections(network), connections(result.network)
    return {
        "task": task.name,
        "regulariser": name,
        "strength": strength,
        "accuracy": round(task.score(evaluate(network, task.test[0])), 4),
        "stable": " ".join(stable),
        "undecided": result.facts.count(Status.UNDECIDED),
        "regions": len(regions.regions),
        "regions_complete": regions.complete,
        "bound": round(bound(result.facts, inputs), 1),
        "units": network.relu_count,
        "units_removed": f"{100 * (1 - result.network.relu_count / network.relu_count):.0f} %",
        "connections": before,
        "connections_removed": f"{100 * (1 - after / before):.0f} %",
        "accuracy_after": round(task.score(evaluate(result.network, task.test[0])), 4),
        "epsilon": f"{result.epsilon:.1e}",
        "train_seconds": round(trained, 1),
        "reduce_seconds": round(reduced, 1),
        "regions_seconds": round(regions.seconds, 1),
    }


def main() -> None:
    """Run all recipes and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=["digits", "control"], choices=["digits", "control"])
    parser.add_argument("--limit", type=float, default=15.0, help="seconds for each reduction and each count")
    parser.add_argument("--output", type=Path, default=Path("results.csv"))
    options = parser.parse_args()
    rows = []
    for name in options.tasks:
        task = {"digits": digits, "control": control}[name]()
        for regulariser, strength, recipe in RECIPES[name]:
            rows.append(row_of(task, regulariser, strength, recipe, options.limit))
            print(rows[-1], flush=True)
            with options.output.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
