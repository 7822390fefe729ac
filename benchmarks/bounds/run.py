"""Time and strength of the bound computations on VNN-COMP instances.

    python benchmarks/bounds/run.py --output benchmarks/bounds

writes bounds.csv and bounds.md there.  All methods of an instance run in one process, one after the other; a time is
the best of `--repeat` runs, and ratios are within one run of this script.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

from eqverify.api.loading import load_problem
from eqverify.bounds import crown_bounds, interval_bounds
from eqverify.bounds.alpha import optimise_slopes
from eqverify.bounds.lp import lp_of
from eqverify.budget import Budget
from eqverify.relaxation.model import restricted_model
from eqverify.search.input_splitting import split_bounds
from eqverify.stability.facts import Evidence, FactTable, Status
from eqverify.stability.falsify import Falsifier

ACAS = "ACASXU_run2a_{}_batch_2000"
INSTANCES = [
    ("mnist_fc", "mnist-net_256x2", "prop_0_0.03"),
    ("mnist_fc", "mnist-net_256x4", "prop_0_0.03"),
    ("mnist_fc", "mnist-net_256x2", "prop_0_0.05"),
    ("mnist_fc", "mnist-net_256x4", "prop_0_0.05"),
    ("oval21", "cifar_base_kw", "cifar_base_kw-img2578-eps0.021176470588235297"),
    ("oval21", "cifar_deep_kw", None),
    ("cifar10_resnet", "resnet_2b", "prop_0_eps_0.008"),
    *[("acasxu", ACAS.format(n), f"prop_{k}") for n in ("1_1", "1_2", "2_9") for k in (1, 2, 3, 4)],
]
# unstable units of all and seconds, as printed in the project's notes on auto_LiRPA (same kind of machine, float32)
AUTO_LIRPA = {
    ("mnist-net_256x2", "prop_0_0.03"): {"interval": (99, None), "crown": (95, 0.03), "alpha": (91, 0.28)},
    ("mnist-net_256x4", "prop_0_0.03"): {"interval": (702, None), "crown": (218, 0.03), "alpha": (167, 0.81)},
    ("resnet_2b", "prop_0_eps_0.008"): {"interval": (3015, None), "crown": (708, 0.39), "alpha": (692, 13.0)},
}

NOTES = [
    "*unstable*: units of both signs as far as the method knows. The figures of auto_LiRPA are copied from the",
    "project's notes, not measured here. On resnet_2b intervals leave the same units open, so that the domain is the",
    "same one. Those for mnist_fc are of another domain: intervals leave 99 (702) units open there, 56 (685) here, and",
    "153 (797) on the ball without the clipping to [0, 1] that the property states.",
]


def unstable(problem, bounds):
    """Units of both signs as far as the bounds say; on a union of boxes, over the union."""
    count = 0
    for relu in problem.network.relus:
        z = bounds[relu.source]
        count += int(((z.lower.min(axis=0) < 0) & (z.upper.max(axis=0) > 0)).sum())
    return count


def best_of(repeat, work):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return result, min(times)


def table_of(problem, bounds):
    table = FactTable(problem.network, len(problem.domain.polytopes))
    table.learn(bounds, Evidence.DERIVED)
    falsifier = Falsifier(problem.network, problem.domain, table, 0)
    falsifier.sample()
    falsifier.climb()
    return table


def everything(problem):
    network = problem.network
    return {
        r.source: np.ones(network.sizes[r.source], dtype=bool) for r in network.relus if r.source in network.by_name
    }


def measure(problem, repeat, seconds):
    network, lower, upper = problem.network, problem.domain.lower, problem.domain.upper
    interval, took = best_of(repeat, lambda: interval_bounds(network, lower, upper))
    yield "interval", unstable(problem, interval), took, ""
    crown, took = best_of(repeat, lambda: crown_bounds(network, lower, upper))
    yield "crown", unstable(problem, crown), took, ""
    alpha, took = best_of(repeat, lambda: optimise_slopes(network, lower, upper, crown, everything(problem)))
    yield "alpha", unstable(problem, alpha.bounds), took, "20 steps, all open units"
    table = table_of(problem, alpha.bounds)
    witnessed = sum(int((table.status(n) == Status.UNSTABLE).sum()) for n in table.bounds)
    yield "witnessed", witnessed, 0.0, "lower limit for every method"
    if network.input_size <= 10:
        yield splitting(problem, table_of(problem, crown), seconds)
    elif network.input_size < 1000:
        yield linear(problem, table)


def splitting(problem, table, seconds):
    undecided = {n: table.status(n) == Status.UNDECIDED for n in table.bounds}
    before = table.undecided()
    found = split_bounds(
        problem.network,
        problem.domain.lower,
        problem.domain.upper,
        table.bounds,
        undecided=undecided,
        above=table.above,
        below=table.below,
        max_boxes=10**9,
        budget=Budget(seconds),
    )
    still = sum(int(m.sum()) for m in found.open.values())
    table.learn(found.bounds, Evidence.DERIVED)
    note = f"undecided {before} -> {still}, {len(found.tree.part)} boxes"
    return "split", unstable(problem, table.bounds), found.seconds, note


def linear(problem, table):
    """LP bounds of what alpha leaves undecided, layer by layer; bounds are tightened again in between."""
    network, start, before, questions = problem.network, time.perf_counter(), table.undecided(), 0
    for relu in network.relus:
        status = {r.name: table.status(r.source) for r in network.relus}
        kept = {n: np.isin(s, (Status.UNDECIDED, Status.UNSTABLE)) for n, s in status.items()}
        active = {n: s == Status.ACTIVE for n, s in status.items()}
        box = (problem.domain.lower[0], problem.domain.upper[0])
        model = restricted_model(network, kept, active, box, table.bounds, relu.source)
        layer, z = lp_of(model), model.values[relu.source]
        for unit in np.flatnonzero(status[relu.name] == Status.UNDECIDED):
            for sign, witnessed in ((1, table.above), (-1, table.below)):
                if witnessed[relu.source][unit]:
                    continue
                questions += 1
                value = sign * layer.bound(z.rows[unit], sign).value
                if np.nextafter(value + z.error[unit], np.inf) <= 0:
                    table.learn_sign(relu.source, 0, unit, above=sign > 0)
        table.learn(crown_bounds(network, *(b[None] for b in box), table.bounds), Evidence.DERIVED)
    took = time.perf_counter() - start
    note = f"after alpha: undecided {before} -> {table.undecided()}, {questions} questions"
    return "lp", unstable(problem, table.bounds), took, note


def rows_of(root, repeat, seconds):
    for benchmark, network, query in INSTANCES:
        folder = root / benchmark
        files = sorted((folder / "vnnlib").glob(f"{query}.vnnlib.gz" if query else f"{network}*"))
        if not files:
            print(f"missing: {benchmark} {query}", file=sys.stderr)
            continue
        problem = load_problem(folder / "onnx" / f"{network}.onnx", files[0])
        name = files[0].name.removesuffix(".vnnlib.gz")
        for method, open_units, took, note in measure(problem, repeat, seconds):
            theirs = AUTO_LIRPA.get((network, name), {}).get(method, (None, None))
            yield {
                "network": network,
                "query": name,
                "units": problem.network.relu_count,
                "method": method,
                "unstable": open_units,
                "seconds": f"{took:.3f}",
                "auto_lirpa_unstable": theirs[0] if theirs[0] is not None else "",
                "auto_lirpa_seconds": theirs[1] if theirs[1] is not None else "",
                "note": note,
            }
            print(network, name, method, open_units, f"{took:.3f}", note, file=sys.stderr, flush=True)


def markdown(rows, command):
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    lines = [
        "# Bound computations",
        "",
        f"    {command}",
        "",
        f"{os.cpu_count()} cores, BLAS threads: {threads}, Python {platform.python_version()}, numpy {np.__version__}.",
        f"The machine was shared: load average {os.getloadavg()[1]:.1f} at the end.",
        *NOTES,
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
        *("| " + " | ".join(str(v) for v in row.values()) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[3] / "shared" / "vnncomp"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("EQVERIFY_VNNCOMP", default)))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of input splitting")
    options = parser.parse_args()
    rows = list(rows_of(options.data, options.repeat, options.seconds))
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "bounds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    command = f"python benchmarks/bounds/run.py --repeat {options.repeat} --seconds {options.seconds:g}"
    (options.output / "bounds.md").write_text(markdown(rows, command), encoding="utf-8")


if __name__ == "__main__":
    main()
