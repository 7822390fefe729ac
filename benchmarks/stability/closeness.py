"""How near the engine `portfolio` comes to the limit: kept units / units witnessed unstable, per instance.

    python benchmarks/stability/closeness.py --limit 60 --every 6 --output benchmarks/stability/results/closeness.csv

Units witnessed to take both signs cannot be removed, so the ratio is at least 1.  Instances are those of VNN-COMP, in
$EQVERIFY_SHARED/vnncomp or beside the checkout; `--every N` takes each N-th of a family.  Rows are written as they
come, and rows that are there are not run again; the markdown beside the CSV file is written at the end.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import sys
import time
from pathlib import Path

import eqverify

FAMILIES = ("rl_benchmarks", "acasxu", "mnist_fc", "oval21")
FULLY_CONNECTED = ("rl_benchmarks", "acasxu", "mnist_fc")
FIELDS = (
    "family", "network", "property", "units", "stable", "unstable", "undecided", "ratio", "seconds", "cpu", "evidence",
    "stages",
)  # fmt: skip


def shared() -> Path:
    """Where the data of others is."""
    return Path(os.environ.get("EQVERIFY_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))


def instances(family: str, every: int) -> list[tuple[Path, Path]]:
    """Each `every`-th instance of a family: network and property."""
    root = shared() / "vnncomp" / family
    with (root / "instances.csv").open(encoding="utf-8") as file:
        rows = [(root / row[0], root / row[1]) for row in csv.reader(file) if row]
    return [(existing(network), existing(query)) for network, query in rows[::every]]


def existing(path: Path) -> Path:
    """The file, or its compressed form."""
    return path if path.exists() else path.with_name(f"{path.name}.gz")


def cpu_seconds() -> float:
    """Of this process and the workers that have ended."""
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(family: str, network: Path, query: Path, limit: float, workers: int) -> dict[str, object]:
    """One row."""
    problem = eqverify.load_problem(network, query)
    start, before = time.perf_counter(), cpu_seconds()
    facts = eqverify.prove_stability(problem, time_limit=limit, workers=workers)
    seconds = time.perf_counter() - start
    cpu = cpu_seconds() - before
    found = facts.summary()
    kept = found["unstable"] + found["undecided"]
    return {
        "family": family,
        "network": network.name.split(".onnx")[0],
        "property": query.name.split(".vnnlib")[0],
        "units": found["units"],
        "stable": found["inactive"] + found["active"],
        "unstable": found["unstable"],
        "undecided": found["undecided"],
        "ratio": round(kept / found["unstable"], 4) if found["unstable"] else (1.0 if not kept else float("inf")),
        "seconds": round(seconds, 2),
        "cpu": round(cpu, 2),
        "evidence": " ".join(f"{kind}={count}" for kind, count in facts.evidence_counts().items()),
        "stages": " ".join(f"{stage.name}={stage.decided}/{stage.seconds:.1f}s" for stage in facts.stages),
    }


def summary(rows: list[dict[str, str]], command: str) -> str:
    """Markdown: a line per family, then the instances."""
    lines = [f"Made by `{command}`.", "", f"Load average at the end: {os.getloadavg()[1]:.1f}.", ""]
    undecided = "undecided of all units | of an instance's, median | worst"
    lines += [
        f"| family | instances | median ratio | worst | {undecided} | goal 1.05 | goal 5 % of all | on each instance |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family]
        if not own:
            continue
        ratios = [float(row["ratio"]) for row in own]
        shares = [int(row["undecided"]) / int(row["units"]) for row in own]
        median = statistics.median(ratios)
        near = "met" if median <= 1.05 else "not met"
        pooled = sum(int(row["undecided"]) for row in own) / sum(int(row["units"]) for row in own)
        few, each = (
            ("met" if share <= 0.05 else "not met") if family in FULLY_CONNECTED else "-"
            for share in (pooled, max(shares))
        )
        lines.append(
            f"| {family} | {len(own)} | {median:.3f} | {max(ratios):.3f} | {pooled:.2%} "
            f"| {statistics.median(shares):.1%} | {max(shares):.1%} | {near} | {few} | {each} |"
        )
    columns = [field for field in FIELDS if field not in ("evidence", "stages")]
    lines += ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row[column] for column in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--limit", type=float, default=60.0, help="seconds per instance")
    parser.add_argument("--workers", type=int, default=1, help="processes per instance")
    parser.add_argument("--every", type=int, default=1, help="take each N-th instance")
    parser.add_argument("--output", type=Path, default=Path("closeness.csv"))
    options = parser.parse_args()
    rows: list[dict[str, str]] = []
    if options.output.exists():
        with options.output.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    done = {(row["family"], row["network"], row["property"]) for row in rows}
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        for family in options.families:
            for network, query in instances(family, options.every):
                name = family, network.name.split(".onnx")[0], query.name.split(".vnnlib")[0]
                if name in done:
                    continue
                found = measure(family, network, query, options.limit, options.workers)
                row = {key: str(value) for key, value in found.items()}
                print(*row.values(), file=sys.stderr, flush=True)
                writer.writerow(row)
                file.flush()
                rows.append(row)
    arguments = " ".join(["python benchmarks/stability/closeness.py", *sys.argv[1:]])
    options.output.with_suffix(".md").write_text(summary(rows, arguments), encoding="utf-8")


if __name__ == "__main__":
    main()
