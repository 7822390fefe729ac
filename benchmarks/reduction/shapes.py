"""Every shape and LEO's passes on the same facts, for instances of VNN-COMP, each checked on samples.

    python benchmarks/reduction/shapes.py --benchmarks mnist_fc acasxu --every 3 --time-limit 10 --output shapes.csv

Each instance is a process of its own; a row is written as soon as it ends, and rows that are there are not run again.
Per shape: ReLUs, weights and the proved eps.  The network of the default shape is compared with the original on
`--samples` points: |f - g| must not exceed eps plus the rounding of both evaluations.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from run import data_root, every_nth, instances

SHAPES = ("leo", "sequential", "residual", "structured")
FIELDS = (
    "benchmark", "network", "property", "status", "relus", "open", "claimed",
    *(f"{shape}_{what}" for shape in SHAPES for what in ("relus", "weights", "epsilon")),
    "not_more_than_leo", "samples", "largest_deviation", "within_epsilon", "load", "seconds",
)  # fmt: skip


def child(network: str, query: str, options: argparse.Namespace) -> dict[str, object]:
    """The row of one instance."""
    from eqverify.api.loading import load_problem
    from eqverify.errors import EqverifyError
    from eqverify.stability.facts import Status
    from eqverify.stability.options import StabilityOptions
    from eqverify.stability.portfolio import prove_stability
    from eqverify.transform.driver import transform
    from eqverify.transform.result import TransformOptions

    problem = load_problem(network, query)
    facts = prove_stability(problem, StabilityOptions(options.engine, time_limit=options.time_limit))
    row: dict[str, object] = {
        "relus": problem.network.relu_count,
        "open": facts.count(Status.UNDECIDED) + facts.count(Status.UNSTABLE),
        "claimed": facts.claimed,
    }
    made = {}
    for shape in SHAPES:
        try:
            made[shape] = transform(problem, facts, TransformOptions(shape))
        except EqverifyError as error:
            row[f"{shape}_relus"] = error.code
            continue
        reduced = made[shape].network
        row |= {
            f"{shape}_relus": reduced.relu_count,
            f"{shape}_weights": reduced.parameter_count,
            f"{shape}_epsilon": made[shape].worst,
        }
    default = made["sequential"]
    if "leo" in made:
        row["not_more_than_leo"] = default.network.relu_count <= made["leo"].network.relu_count
    return row | sampled(problem, default.network, default.epsilon, options.samples)


def sampled(problem, reduced, epsilon, count: int) -> dict[str, object]:
    """How far the networks are apart on random points of the domain, and whether eps allows for it.

    The rounding of an evaluation grows with the magnitudes of its values, so the bound for the largest magnitudes of a
    batch holds for each point of it.
    """
    from eqverify.network import evaluate_nodes, evaluation_error, join_outputs

    random = np.random.default_rng(0)
    largest, within, seen = 0.0, True, 0
    step = max(1, (1 << 24) // max(1, sum(problem.network.sizes.values())))
    for start in range(0, count, step):
        chosen = random.integers(len(problem.domain.polytopes), size=min(step, count - start))
        lower, upper = problem.domain.lower[chosen], problem.domain.upper[chosen]
        points = np.clip(lower + (upper - lower) * random.random(lower.shape), lower, upper)
        points = points[problem.domain.contains(points)]
        sides = []
        for network in (problem.network, reduced):
            values = evaluate_nodes(network, points)
            outputs = join_outputs(network, values)
            extreme = {name: np.abs(value).max(axis=0, keepdims=True, initial=0.0) for name, value in values.items()}
            sides.append((outputs, join_outputs(network, evaluation_error(network, extreme))))
        (old, old_error), (new, new_error) = sides
        gap = np.abs(old - new)
        seen += len(points)
        largest = max(largest, float(gap.max(initial=0.0)))
        within = within and bool((gap <= epsilon + old_error + new_error).all())
    return {"samples": seen, "largest_deviation": largest, "within_epsilon": within}


def run_one(benchmark: str, network: str, query: str, options: argparse.Namespace) -> dict[str, object]:
    """Run one instance in a process of its own and return its row."""
    root = data_root() / benchmark
    path = root / query if (root / query).exists() else root / f"{query}.gz"
    row: dict[str, object] = {"benchmark": benchmark, "network": Path(network).stem, "property": Path(query).stem}
    command = [sys.executable, __file__, "--child", str(root / network), str(path), "--engine", options.engine]
    command += ["--time-limit", str(options.time_limit), "--samples", str(options.samples)]
    row["load"] = round(os.getloadavg()[0], 1)
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    row["seconds"] = round(time.perf_counter() - start, 1)
    if done.returncode:
        return row | {"status": f"exit {done.returncode}: {done.stderr.splitlines()[-1] if done.stderr else ''}"}
    return row | {"status": "ok"} | json.loads(done.stdout)


def kept(row: dict[str, str], shape: str) -> float | None:
    """Share of the ReLUs that a shape keeps; None where it does not apply."""
    relus = row[f"{shape}_relus"]
    return int(relus) / int(row["relus"]) if relus.isdigit() else None


def percent(shares: list[float | None]) -> str:
    """Their median."""
    known = [share for share in shares if share is not None]
    return f"{100 * statistics.median(known):.1f} %" if known else "-"


def summary(rows: list[dict[str, str]]) -> str:
    """Two markdown tables: medians per network, and every instance."""
    lines = [
        "Share of the ReLUs kept, medians per network and per family.\n",
        (
            "| benchmark | network | instances | LEO | sequential | residual | structured | eps (sequential, median) "
            "| eps (largest) | more than LEO | samples above eps | load (median) |"
        ),
        "|---" * 12 + "|",
    ]
    good = [row for row in rows if row["status"] == "ok"]
    for benchmark in dict.fromkeys(row["benchmark"] for row in good):
        family = [row for row in good if row["benchmark"] == benchmark]
        networks = sorted({row["network"] for row in family})
        if len(networks) <= 6:
            lines += [_medians(benchmark, name, [row for row in family if row["network"] == name]) for name in networks]
        lines.append(_medians(benchmark, "all", family))
    lines += [
        "\nReLUs per instance.\n",
        (
            "| network | property | before | open | LEO | sequential | residual | structured | eps (sequential) "
            "| largest deviation sampled | seconds |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["status"] != "ok":
            lines.append(f"| {row['network']} | {row['property']} | {row['status']} | | | | | | | | {row['seconds']} |")
            continue
        counts = " | ".join(row[f"{shape}_relus"] for shape in SHAPES)
        lines.append(
            f"| {row['network']} | {row['property']} | {row['relus']} | {row['open']} | {counts} "
            f"| {float(row['sequential_epsilon']):.1e} | {float(row['largest_deviation']):.1e} | {row['seconds']} |"
        )
    return "\n".join(lines) + "\n"


def _medians(benchmark: str, network: str, rows: list[dict[str, str]]) -> str:
    """One line of the first table."""
    shares = " | ".join(percent([kept(row, shape) for row in rows]) for shape in SHAPES)
    epsilons = [float(row["sequential_epsilon"]) for row in rows]
    more, above = (sum(row[name] == "False" for row in rows) for name in ("not_more_than_leo", "within_epsilon"))
    load = statistics.median(float(row["load"]) for row in rows)
    return (
        f"| {benchmark} | {network} | {len(rows)} | {shares} | {statistics.median(epsilons):.1e} | {max(epsilons):.1e} "
        f"| {more} | {above} | {load:.1f} |"
    )


def main() -> None:
    """Run what is missing, then write the tables beside the CSV; fail where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=2, metavar=("NETWORK", "PROPERTY"), help="one instance, as JSON")
    parser.add_argument("--benchmarks", nargs="+", default=["mnist_fc"])
    parser.add_argument("--every", type=int, default=1, help="take each n-th instance, network by network")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no instance later than this")
    parser.add_argument("--output", type=Path, default=Path("shapes.csv"))
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--engine", default="portfolio")
    parser.add_argument("--samples", type=int, default=100_000)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*options.child, options)))
        return
    rows = list(csv.DictReader(options.output.open())) if options.output.exists() else []
    done = {(row["benchmark"], row["network"], row["property"]) for row in rows}
    todo = []
    for benchmark in options.benchmarks:
        todo += [(benchmark, *pair) for pair in every_nth(instances(benchmark, ""), options.every)]
    todo = [(b, n, q) for b, n, q in todo if (b, Path(n).stem, Path(q).stem) not in done]
    start = time.perf_counter()
    with options.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for number, (benchmark, network, query) in enumerate(todo, 1):
            if time.perf_counter() - start > 60 * options.minutes:
                break
            row = run_one(benchmark, network, query, options)
            writer.writerow(row)
            stream.flush()
            print(f"{number}/{len(todo)} {row['network']} {row['property']}: {row['status']}", file=sys.stderr)
    with options.output.open() as stream:
        rows = list(csv.DictReader(stream))
    table = summary(rows)
    options.output.with_suffix(".md").write_text(table)
    print(table)
    broken = [row for row in rows if "False" in (row["not_more_than_leo"], row["within_epsilon"])]
    sys.exit(f"{len(broken)} instances break a promise" if broken else 0)


if __name__ == "__main__":
    main()
