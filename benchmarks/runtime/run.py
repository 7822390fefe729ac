"""Reduce instances, and decide them over the reals and for float32 runs: eps of both kinds, answers that are kept.

Seconds are of processor time.

    python benchmarks/runtime/run.py --benchmarks acasxu --every 11 --time-limit 5 --timeout 15 --output results.csv

The data is found in $EQVERIFY_VNNCOMP, or in ../shared/vnncomp beside the checkout.  Rows that are there already are
not run again.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from pathlib import Path

import numpy as np

import eqverify as eq
from eqverify.attack.points import sample_boxes
from eqverify.export.runtime import run_model
from eqverify.frontend.onnx import read_bytes
from eqverify.reduction.runs import run_epsilons

FIELDS = (
    "benchmark", "network", "property", "relus_before", "relus_after", "epsilon", "epsilon_float32", "sampled",
    "real", "float32", "run_error", "real_seconds", "float32_seconds",
)  # fmt: skip
POINTS = 1000


def data_root() -> Path:
    """Where the benchmarks are."""
    return Path(os.environ.get("EQVERIFY_VNNCOMP", Path(__file__).resolve().parents[2].parent / "shared" / "vnncomp"))


def run_one(root: Path, network: str, query: str, options: argparse.Namespace) -> dict[str, object]:
    """The row of an instance."""
    model, path = ((root / name) if (root / name).exists() else root / f"{name}.gz" for name in (network, query))
    problem = eq.load_problem(model, path)
    reduction = eq.reduce(problem, time_limit=options.time_limit)
    runs, why = reduction.runs
    if why == "no time was left for it":  # of the time for the reduction
        runs, _ = run_epsilons(problem, reduction.facts, reduction.network, reduction.epsilons)
    domain = problem.domain
    points = sample_boxes(domain.lower, domain.upper, POINTS, np.random.default_rng(0))
    points = points.astype(np.float32).astype(float)
    points = points[domain.contains(points)]
    seen = (
        np.abs(run_model(read_bytes(model), points) - run_model(reduction.data, points)).max() if len(points) else None
    )
    row: dict[str, object] = {
        "relus_before": problem.network.relu_count,
        "relus_after": reduction.network.relu_count,
        "epsilon": f"{reduction.epsilon:.3g}",
        "epsilon_float32": "" if runs is None else f"{runs.max(initial=0.0):.3g}",
        "sampled": "" if seen is None else f"{seen:.3g}",
    }
    for semantics in ("real", "float32"):
        start = time.process_time()
        answer = eq.verify(path, model, timeout=options.timeout, semantics=semantics)
        row[semantics] = answer.verdict
        row[f"{semantics}_seconds"] = round(time.process_time() - start, 1)
        row["run_error"] = "" if answer.run_error is None else f"{answer.run_error:.3g}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", nargs="+", default=["acasxu", "mnist_fc", "rl_benchmarks", "tllverifybench"])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--match", default="")
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path("results.csv"))
    options = parser.parse_args()
    done = set()
    if options.output.exists():
        with options.output.open() as stream:
            done = {(row["benchmark"], row["network"], row["property"]) for row in csv.DictReader(stream)}
    else:
        options.output.write_text(",".join(FIELDS) + "\n")
    for benchmark in options.benchmarks:
        root = data_root() / benchmark
        with (root / "instances.csv").open() as stream:
            pairs = [(row[0], row[1]) for row in csv.reader(stream) if row and options.match in f"{row[0]} {row[1]}"]
        for network, query in pairs[:: options.every]:
            key = benchmark, Path(network).stem, Path(query).stem
            if key in done:
                continue
            row = dict(zip(FIELDS[:3], key, strict=True)) | run_one(root, network, query, options)
            with options.output.open("a", newline="") as stream:
                csv.DictWriter(stream, FIELDS, lineterminator="\n").writerow(row)
            print(row, flush=True)


if __name__ == "__main__":
    main()
