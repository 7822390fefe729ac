"""How cost grows: with width, depth, input dimension, radius of the box, and for CROWN with the number of neurons.

    python benchmarks/stability/growth.py --limit 20 --output benchmarks/stability/results/growth.csv

Networks are random (normal weights over the square root of the fan-in, seed 0) on a box around 0.  Each row is a
process of its own, so that its peak memory is its own; `cpu` are seconds of the processor.  One thing varies in a
series, all else is as in `BASE`.  Series `neurons` runs CROWN alone, all others the engine `portfolio`; how cost grows
with the number of open units is in the columns `open` (after CROWN) and `undecided` of all series.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

BASE = {"width": 100, "depth": 3, "inputs": 20, "radius": 0.1}
SERIES = {
    "width": (50, 100, 200, 400, 800),
    "depth": (2, 3, 4, 6, 8),
    "inputs": (5, 10, 20, 100, 800),
    "radius": (0.025, 0.05, 0.1, 0.2, 0.4),
}
NEURONS = (1_000, 2_000, 5_000, 10_000, 20_000)
NEURON_DEPTH = 10
FIELDS = (
    "series", "width", "depth", "inputs", "radius", "units", "open", "undecided", "unstable", "cpu_crown", "cpu",
    "seconds", "megabytes",
)  # fmt: skip


def worker(prove: bool, width: int, depth: int, inputs: int, radius: float, limit: float) -> None:
    """One network; prints its row as JSON."""
    import resource
    import time

    import numpy as np

    from eqverify.bounds import crown_bounds
    from eqverify.bounds.crown import open_units
    from eqverify.domain import box_domain
    from eqverify.problem import domain_problem
    from eqverify.stability.options import StabilityOptions
    from eqverify.stability.portfolio import prove_stability
    from eqverify.testing.chains import chain_network

    random = np.random.default_rng(0)
    sizes = [inputs, *[width] * depth, 5]
    layers = [(random.normal(size=(m, n)) * (2.0 / n) ** 0.5, 0.1 * random.normal(size=m)) for n, m in pairwise(sizes)]
    problem = domain_problem(chain_network(layers), box_domain(-radius * np.ones(inputs), radius * np.ones(inputs)))
    wall, start = time.perf_counter(), time.process_time()
    bounds = crown_bounds(problem.network, problem.domain.lower, problem.domain.upper)
    crown = time.process_time() - start
    still = sum(int(open_units(bounds[relu.source]).sum()) for relu in problem.network.relus)
    found = {"undecided": still, "unstable": 0}
    if prove:
        wall, start = time.perf_counter(), time.process_time()
        found = prove_stability(problem, StabilityOptions(time_limit=limit)).summary()
    row = {
        "units": width * depth,
        "open": still,
        "undecided": found["undecided"],
        "unstable": found["unstable"],
        "cpu_crown": round(crown, 3),
        "cpu": round(time.process_time() - start, 3),
        "seconds": round(time.perf_counter() - wall, 3),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(row))


def settings() -> list[tuple[str, bool, dict[str, float]]]:
    """(series, whether to prove, parameters)."""
    found = [(series, True, {**BASE, series: value}) for series, values in SERIES.items() for value in values]
    return found + [
        ("neurons", False, {**BASE, "width": count // NEURON_DEPTH, "depth": NEURON_DEPTH, "radius": 0.01})
        for count in NEURONS
    ]


def run_one(prove: bool, parameters: dict[str, float], limit: float) -> dict[str, object]:
    """A row, from a process of its own."""
    width, depth, inputs = (int(parameters[name]) for name in ("width", "depth", "inputs"))
    call = f"import growth; growth.worker({prove}, {width}, {depth}, {inputs}, {parameters['radius']}, {limit})"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", call],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> None:
    """All series; the markdown is the CSV as a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=20.0, help="seconds per network")
    parser.add_argument("--output", type=Path, default=Path("growth.csv"))
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for series, prove, parameters in settings():
            row = {"series": series, **parameters, **run_one(prove, parameters, options.limit)}
            writer.writerow(row)
            file.flush()
            rows.append(row)
            print(*row.values(), file=sys.stderr, flush=True)
    lines = [f"Made by `{' '.join(['python benchmarks/stability/growth.py', *sys.argv[1:]])}`.", ""]
    lines += [f"Load average at the end: {os.getloadavg()[1]:.1f}.", ""]
    lines += ["| " + " | ".join(FIELDS) + " |", "|" + "---|" * len(FIELDS)]
    lines += ["| " + " | ".join(str(row[field]) for field in FIELDS) + " |" for row in rows]
    options.output.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
