"""Run `eqverify reduce --for-property` on every instance of some VNN-COMP benchmarks and tabulate what came out.

    python benchmarks/reduction/directed.py --benchmarks acasxu mnist_fc oval21 --time-limit 6 --output directed.csv

Each instance is a process of its own; a row is written as soon as it ends, and rows that are there already are not run
again.  The verdicts are compared with `expected.csv` of the benchmark, where it has one.
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

from run import data_root, every_nth, instances

FIELDS = (
    "benchmark", "network", "property", "status", "verdict", "expected", "disjuncts", "unsat", "open", "sat", "skipped",
    "claimed", "relus_before", "relus_kept", "relus_kept_median", "epsilon", "load", "seconds",
)  # fmt: skip


def expected(benchmark: str) -> dict[tuple[str, str], str]:
    """What the tools of the competition agreed on, by (network, property)."""
    path = data_root() / benchmark / "expected.csv"
    if not path.exists():
        return {}
    with path.open() as stream:
        return {(Path(row[0]).stem, Path(row[1]).stem): row[2] for row in csv.reader(stream) if len(row) > 2}


def run_one(
    benchmark: str, network: str, query: str, limits: tuple[float, float], known: dict[tuple[str, str], str]
) -> dict:
    """Run one reduction in a process of its own and return its row."""
    root = data_root() / benchmark
    path = root / query if (root / query).exists() else root / f"{query}.gz"
    key = Path(network).stem, Path(query).stem
    row = {"benchmark": benchmark, "network": key[0], "property": key[1], "expected": known.get(key, "")}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "eqverify", "reduce", str(root / network), str(path), "--for-property"]
        command += ["-o", f"{folder}/out.onnx", "--json", "--time-limit", str(limits[0])]
        row["load"] = round(os.getloadavg()[0], 1)
        start = time.perf_counter()
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limits[1])
        except subprocess.TimeoutExpired:
            return row | {"status": f"more than {limits[1]:g} s", "seconds": limits[1]}
        row["seconds"] = round(time.perf_counter() - start, 2)
    if done.returncode:
        return row | {"status": f"exit {done.returncode}: {done.stderr.splitlines()[0] if done.stderr else ''}"}
    found = json.loads(done.stdout)
    kept = sorted(d["relus_after"] for d in found["disjuncts"] if d["status"] == "open")
    epsilons = [d["epsilon"] for d in found["disjuncts"] if d["status"] == "open"]
    return row | {
        "status": "ok",
        "verdict": found["verdict"],
        "disjuncts": len(found["disjuncts"]),
        **found["counts"],
        "claimed": sum(d["claimed"] for d in found["disjuncts"]),
        "relus_before": found["relus_before"],
        "relus_kept": " ".join(map(str, kept)),
        "relus_kept_median": statistics.median(kept) if kept else "",
        "epsilon": max(epsilons, default=""),
    }


def wrong(row: dict[str, str]) -> bool:
    """Whether a verdict contradicts the competition's."""
    return {row["verdict"], row["expected"]} == {"sat", "unsat"}


def summary(rows: list[dict[str, str]]) -> str:
    """Two markdown tables: medians per family, then one line per instance."""
    columns = (
        "benchmark", "network size", "runs", "errors", "wrong", "unsat", "sat", "open", "disjuncts proved unsat",
        "ReLUs kept per open disjunct (median)", "share kept", "eps (max)", "seconds (median)", "seconds (max)",
        "load (median)",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    good = [row for row in rows if row["status"] == "ok"]
    for key in sorted({(row["benchmark"], int(row["relus_before"])) for row in good}):
        mine = [row for row in good if (row["benchmark"], int(row["relus_before"])) == key]
        networks = {row["network"] for row in mine}
        errors = sum(row["status"] != "ok" for row in rows if row["network"] in networks)
        verdicts = [sum(row["verdict"] == v for row in mine) for v in ("unsat", "sat", "open")]
        tried = sum(int(row["disjuncts"]) - int(row["skipped"]) for row in mine)
        proved = sum(int(row["unsat"]) for row in mine)
        kept = [int(k) for row in mine for k in row["relus_kept"].split()]
        seconds = [float(row["seconds"]) for row in mine]
        epsilons = [float(row["epsilon"]) for row in mine if row["epsilon"]]
        load = statistics.median(float(row["load"]) for row in mine)
        middle = statistics.median(kept) if kept else None
        cells = (
            key[0], f"{key[1]} ReLUs", len(mine), errors, sum(map(wrong, mine)), *verdicts,
            f"{proved} of {tried} that were tried", "-" if middle is None else f"{middle:g}",
            "-" if middle is None else f"{100 * middle / key[1]:.1f} %", f"{max(epsilons):.1e}" if epsilons else "-",
            f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}", f"{load:.1f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    columns = ("benchmark", "network", "property", "verdict", "expected", "disjuncts", "unsat", "open", "relus_before",
               "relus_kept", "epsilon", "seconds")  # fmt: skip
    lines += ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(row[c] or '-' for c in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write the tables beside the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", nargs="+", default=["acasxu", "mnist_fc", "oval21"])
    parser.add_argument("--properties", default="", help="parts of property names, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="take each n-th instance, network by network")
    parser.add_argument("--output", type=Path, default=Path("directed.csv"))
    parser.add_argument("--time-limit", type=float, default=6.0)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one instance, all in all")
    options = parser.parse_args()
    rows = list(csv.DictReader(options.output.open())) if options.output.exists() else []
    done = {(row["benchmark"], row["network"], row["property"]) for row in rows}
    todo = [
        (b, n, q) for b in options.benchmarks for n, q in every_nth(instances(b, options.properties), options.every)
    ]
    todo = [(b, n, q) for b, n, q in todo if (b, Path(n).stem, Path(q).stem) not in done]
    known = {benchmark: expected(benchmark) for benchmark in options.benchmarks}
    with options.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for number, (benchmark, network, query) in enumerate(todo, 1):
            row = run_one(benchmark, network, query, (options.time_limit, options.limit), known[benchmark])
            writer.writerow(row)
            stream.flush()
            print(f"{number}/{len(todo)} {row['network']} {row['property']}: {row['status']}", file=sys.stderr)
    with options.output.open() as stream:
        table = summary(list(csv.DictReader(stream)))
    options.output.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
