"""Run `eqverify reduce` on every instance of some VNN-COMP benchmarks and tabulate what came out.

    python benchmarks/reduction/run.py --benchmarks acasxu mnist_fc --time-limit 10 --output results.csv

The data is found in $EQVERIFY_VNNCOMP, or in ../shared/vnncomp beside the checkout.  Each instance is a process of its
own; a row is written as soon as it ends, and rows that are there already are not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIELDS = (
    "benchmark", "network", "property", "status", "relus_before", "relus_after", "unstable", "undecided",
    "claimed", "parameters_before", "parameters_after", "epsilon", "seconds",
)  # fmt: skip


def data_root() -> Path:
    """Where the benchmarks are."""
    return Path(os.environ.get("EQVERIFY_VNNCOMP", Path(__file__).resolve().parents[2].parent / "shared" / "vnncomp"))


def instances(benchmark: str, properties: str) -> list[tuple[str, str]]:
    """(network, property) pairs of a benchmark; of the properties those whose name contains one of the parts given."""
    with (data_root() / benchmark / "instances.csv").open() as stream:
        pairs = [(row[0], row[1]) for row in csv.reader(stream) if row]
    parts = [part for part in properties.split(",") if part]
    return [pair for pair in pairs if not parts or any(part in pair[1] for part in parts)]


def every_nth(pairs: list[tuple[str, str]], step: int) -> list[tuple[str, str]]:
    """Each n-th of (network, property) pairs, which are listed network by network first: all networks have a share."""
    networks = list(dict.fromkeys(network for network, _ in pairs))
    return sorted(pairs, key=lambda pair: networks.index(pair[0]))[::step]


def run_one(benchmark: str, network: str, query: str, arguments: list[str]) -> dict[str, object]:
    """Run one reduction in a process of its own and return its row."""
    root = data_root() / benchmark
    path = root / query if (root / query).exists() else root / f"{query}.gz"
    row: dict[str, object] = {"benchmark": benchmark, "network": Path(network).stem, "property": Path(query).stem}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "eqverify", "reduce", str(root / network), str(path)]
        command += ["-o", f"{folder}/out.onnx", "--json", *arguments]
        start = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        row["seconds"] = round(time.perf_counter() - start, 3)
    if done.returncode:
        return row | {"status": f"exit {done.returncode}: {done.stderr.splitlines()[0] if done.stderr else ''}"}
    found = json.loads(done.stdout)
    return row | {
        "status": "ok",
        "relus_before": found["relus_before"],
        "relus_after": found["relus_after"],
        "unstable": found["witnessed_unstable"],
        "undecided": sum(layer["undecided"] for layer in found["layers"]),
        "claimed": found["claimed"],
        "parameters_before": found["parameters_before"],
        "parameters_after": found["parameters_after"],
        "epsilon": found["epsilon"],
    }


def summary(rows: list[dict[str, str]]) -> str:
    """A markdown table: one line per network, medians over its properties."""
    lines = [
        (
            "| benchmark | network | runs | errors | ReLUs before | after (median) | removed (median) "
            "| undecided (median) | eps (max) | seconds (median) |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key in sorted({(row["benchmark"], row["network"]) for row in rows}):
        mine = [row for row in rows if (row["benchmark"], row["network"]) == key]
        good = [row for row in mine if row["status"] == "ok"]
        if not good:
            lines.append(f"| {key[0]} | {key[1]} | {len(mine)} | {len(mine)} | | | | | | |")
            continue
        before = int(good[0]["relus_before"])
        after = statistics.median(int(row["relus_after"]) for row in good)
        undecided = statistics.median(int(row["undecided"]) for row in good)
        epsilon = max(float(row["epsilon"]) for row in good)
        seconds = statistics.median(float(row["seconds"]) for row in good)
        lines.append(
            f"| {key[0]} | {key[1]} | {len(mine)} | {len(mine) - len(good)} | {before} | {after:g} "
            f"| {100 * (1 - after / before):.1f} % | {undecided:g} | {epsilon:.1e} | {seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write the summary beside the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", nargs="+", default=["acasxu", "mnist_fc"])
    parser.add_argument("--properties", default="", help="parts of property names, separated by commas")
    parser.add_argument("--output", type=Path, default=Path("results.csv"))
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--engine", default="portfolio")
    options = parser.parse_args()
    arguments = ["--time-limit", str(options.time_limit), "--engine", options.engine]
    rows = list(csv.DictReader(options.output.open())) if options.output.exists() else []
    done = {(row["benchmark"], row["network"], row["property"]) for row in rows}
    todo = [(b, n, q) for b in options.benchmarks for n, q in instances(b, options.properties)]
    todo = [(b, n, q) for b, n, q in todo if (b, Path(n).stem, Path(q).stem) not in done]
    with options.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for number, (benchmark, network, query) in enumerate(todo, 1):
            row = run_one(benchmark, network, query, arguments)
            writer.writerow(row)
            stream.flush()
            print(f"{number}/{len(todo)} {row['network']} {row['property']}: {row['status']}", file=sys.stderr)
    with options.output.open() as stream:
        table = summary(list(csv.DictReader(stream)))
    options.output.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
