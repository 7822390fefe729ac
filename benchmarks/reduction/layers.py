"""What the sequential shape is made of, layer by layer: units and carriers, and how few there would be at best.

    python benchmarks/reduction/layers.py --benchmarks oval21 --every 1 --time-limit 60 --output layers.csv

One row per instance.  `at_least` is the size of the chain if every undecided unit were stably inactive: what stronger
proofs of stability could gain at most, since witnesses show both signs of all other units that are left.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from run import data_root, every_nth, instances

from eqverify.api.loading import load_problem
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.transform.result import Transformed, TransformOptions
from eqverify.transform.shapes import REALISATIONS, Work

FIELDS = (
    "benchmark", "network", "property", "relus", "unstable", "undecided", "units", "carriers", "kept", "at_least",
    "units_by_layer", "carriers_by_layer", "epsilon",
)  # fmt: skip


def measured(problem: Problem, facts: Facts) -> dict[str, object]:
    """The columns from `relus` on."""
    made = _sequential(problem, facts)
    units = [unit_map.shown for unit_map in made.unit_maps.values()]
    carriers = [len(unit_map.carriers) for unit_map in made.unit_maps.values()]
    return {
        "relus": problem.network.relu_count,
        "unstable": facts.count(Status.UNSTABLE),
        "undecided": facts.count(Status.UNDECIDED),
        "units": sum(units),
        "carriers": sum(carriers),
        "kept": made.network.relu_count,
        "at_least": _sequential(problem, _settled(facts)).network.relu_count,
        "units_by_layer": " ".join(map(str, units)),
        "carriers_by_layer": " ".join(map(str, carriers)),
        "epsilon": made.worst,
    }


def _sequential(problem: Problem, facts: Facts) -> Transformed:
    return REALISATIONS["sequential"](Work(problem, facts, TransformOptions()))


def _settled(facts: Facts) -> Facts:
    """The facts with undecided units taken for inactive: not true, and for counting only."""
    layers = [
        replace(layer, status=np.where(layer.status == Status.UNDECIDED, Status.INACTIVE, layer.status))
        for layer in facts.layers
    ]
    return replace(facts, layers=tuple(layers))


def summary(rows: list[dict[str, str]]) -> str:
    """Medians per network and family, then a line per instance."""
    lines = [
        "| benchmark | network | instances | units alone | with carriers (sequential) | at least | eps (max) |",
        "|---|---|---|---|---|---|---|",
    ]
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        family = [row for row in rows if row["benchmark"] == benchmark]
        for network in [*sorted({row["network"] for row in family}), "all"]:
            mine = [row for row in family if network in ("all", row["network"])]
            medians = [
                f"{100 * statistics.median(int(row[name]) / int(row['relus']) for row in mine):.1f} %"
                for name in ("units", "kept", "at_least")
            ]
            worst = max(float(row["epsilon"]) for row in mine)
            lines.append(f"| {benchmark} | {network} | {len(mine)} | {' | '.join(medians)} | {worst:.1e} |")
    lines += [
        "",
        "| property | ReLUs | unstable | undecided | units by layer | carriers by layer | kept | at least |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        kept, least = (f"{row[n]} ({100 * int(row[n]) / int(row['relus']):.1f} %)" for n in ("kept", "at_least"))
        cells = [row[n] for n in ("property", "relus", "unstable", "undecided", "units_by_layer", "carriers_by_layer")]
        lines.append(f"| {' | '.join([*cells, kept, least])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write the table beside the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", nargs="+", default=["oval21"])
    parser.add_argument("--every", type=int, default=1, help="take each n-th instance, network by network")
    parser.add_argument("--engine", default="portfolio")
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path("layers.csv"))
    options = parser.parse_args()
    rows = list(csv.DictReader(options.output.open())) if options.output.exists() else []
    done = {(row["benchmark"], row["network"], row["property"]) for row in rows}
    with options.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for benchmark in options.benchmarks:
            root = data_root() / benchmark
            for network, query in every_nth(instances(benchmark, ""), options.every):
                key = benchmark, Path(network).stem, Path(query).stem
                if key in done:
                    continue
                path = root / query if (root / query).exists() else root / f"{query}.gz"
                problem = load_problem(str(root / network), str(path))
                facts = prove_stability(problem, StabilityOptions(options.engine, time_limit=options.time_limit))
                row = measured(problem, facts)
                writer.writerow({"benchmark": key[0], "network": key[1], "property": key[2]} | row)
                stream.flush()
                print(*key, row["kept"], file=sys.stderr)
    with options.output.open() as stream:
        table = summary(list(csv.DictReader(stream)))
    options.output.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
