"""Reduce instances with certificates and check these: seconds, size, verdicts, evidence.

    python benchmarks/certificate/run.py --benchmarks acasxu mnist_fc rl_benchmarks oval21 --time-limit 10 --every 8

The data is found in $EQVERIFY_VNNCOMP, or in ../shared/vnncomp beside the checkout.  A row is written as soon as an
instance ends, and rows that are there already are not run again.  With --exact each certificate is also checked in
exact arithmetic, for at most that many seconds.
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
    "benchmark", "network", "property", "status", "stable", "solver_only", "lost", "relus_after", "epsilon", "bytes",
    "reduce_seconds", "self_check_seconds", "check_seconds", "verdict", "exact", "exact_seconds",
)  # fmt: skip


def data_root() -> Path:
    """Where the benchmarks are."""
    return Path(os.environ.get("EQVERIFY_VNNCOMP", Path(__file__).resolve().parents[2].parent / "shared" / "vnncomp"))


def instances(benchmark: str, properties: str, every: int) -> list[tuple[str, str]]:
    """(network, property) pairs; of the properties those whose name contains one of the parts given."""
    with (data_root() / benchmark / "instances.csv").open() as stream:
        pairs = [(row[0], row[1]) for row in csv.reader(stream) if row]
    parts = [part for part in properties.split(",") if part]
    return [pair for pair in pairs if not parts or any(part in pair[1] for part in parts)][::every]


def run(command: list[str], timeout: float) -> tuple[int, str, float]:
    """Exit status, stdout and seconds; status -1 for a time-out."""
    start = time.perf_counter()
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout or done.stderr, time.perf_counter() - start
    except subprocess.TimeoutExpired:
        return -1, "", time.perf_counter() - start


def run_one(benchmark: str, network: str, query: str, options: argparse.Namespace) -> dict[str, object]:
    """Reduce, check, and check exactly; the row."""
    root = data_root() / benchmark
    model, path = ((root / name) if (root / name).exists() else root / f"{name}.gz" for name in (network, query))
    row: dict[str, object] = {"benchmark": benchmark, "network": Path(network).stem, "property": Path(query).stem}
    program = [sys.executable, "-m", "eqverify"]
    with tempfile.TemporaryDirectory() as folder:
        files = [str(model), str(path), f"{folder}/out.onnx", f"{folder}/out.cert"]
        command = [*program, "reduce", *files[:2], "-o", files[2], "--certificate", files[3], "--json"]
        command += ["--certified-only", "--time-limit", str(options.time_limit)]
        command += ["--tree-time-limit", str(options.tree_time_limit)]
        status, output, seconds = run(command, 600)
        if status:
            return row | {"status": f"exit {status}: {output.splitlines()[0] if output else ''}"}
        found = json.loads(output)
        stages, certificate = found["seconds"], found["certificate"]
        own = stages["certify"] + stages["claim"]
        verdicts = {}
        for arithmetic, limit in (("float", 600.0), ("exact", options.exact)):
            if limit:
                check = [*program, "check", *files, "--arithmetic", arithmetic]
                verdicts[arithmetic] = run(check, limit)
        status, output, check_seconds = verdicts["float"]
        row |= {"check_seconds": round(check_seconds, 2), "verdict": output.split(" ")[0].strip()}
        if "exact" in verdicts:
            status, output, exact_seconds = verdicts["exact"]
            row |= {"exact": " ".join(output.split(" ")[: 1 if status == 0 else 2]) or "time-out"}
            row |= {"exact_seconds": round(exact_seconds, 2)}
        stable = sum(layer["inactive"] + layer["active"] for layer in found["layers"])
        return row | {
            "status": "ok",
            "stable": stable + certificate["lost"],
            "solver_only": certificate["lost"],
            "lost": certificate["unconfirmed"],
            "relus_after": found["relus_after"],
            "epsilon": found["epsilon"],
            "bytes": certificate["bytes"],
            "reduce_seconds": round(seconds - own, 2),
            "self_check_seconds": round(own, 2),
        }


def summary(rows: list[dict[str, str]], command: str) -> str:
    """A table by benchmark."""
    head = (
        "benchmark", "runs", "verified (float)", "exact: verified / too large or time-out / rejected",
        "solver-only units of the stable", "MB (median)", "reduce s (median)", "check s (median)",
        "check / reduce (median)",
    )  # fmt: skip
    lines = [f"`{command}`", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in dict.fromkeys(row["benchmark"] for row in rows):
        own = [row for row in rows if row["benchmark"] == name]
        good = [row for row in own if row["status"] == "ok"]
        verified = sum(row["verdict"] == "verified" for row in good)
        exact = [row["exact"] for row in good if row["exact"]]
        wrong = sum(e != "verified" and "exact" not in e and e != "time-out" for e in exact)
        right = exact.count("verified")
        share = sum(int(r["solver_only"]) for r in good) / max(1, sum(int(r["stable"]) for r in good))
        medians = [
            statistics.median(float(row[key]) for row in good) for key in ("bytes", "reduce_seconds", "check_seconds")
        ]
        ratio = statistics.median(float(row["check_seconds"]) / float(row["reduce_seconds"]) for row in good)
        cells = (
            name, f"{len(own)}", f"{verified}", f"{right} / {len(exact) - right - wrong} / {wrong}",
            f"{100 * share:.2f} %",
            f"{medians[0] / 1e6:.2f}", f"{medians[1]:.1f}", f"{medians[2]:.1f}", f"{ratio:.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", nargs="+", default=["acasxu", "mnist_fc", "rl_benchmarks", "oval21"])
    parser.add_argument("--properties", default="", help="parts of names, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="take each such instance only")
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--tree-time-limit", type=float, default=10.0)
    parser.add_argument("--exact", type=float, default=0.0, help="seconds for a check in exact arithmetic")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing after this")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results.csv"))
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    rows: list[dict[str, str]] = []
    if options.output.exists():
        with options.output.open() as stream:
            rows = list(csv.DictReader(stream))
    done = {(row["benchmark"], row["network"], row["property"]) for row in rows}
    with options.output.open("a") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for benchmark in options.benchmarks:
            for network, query in instances(benchmark, options.properties, options.every):
                if (benchmark, Path(network).stem, Path(query).stem) in done or time.monotonic() > end:
                    continue
                row = run_one(benchmark, network, query, options)
                writer.writerow(row)
                stream.flush()
                rows.append({field: str(row.get(field, "")) for field in FIELDS})
    command = "python benchmarks/certificate/run.py " + " ".join(sys.argv[1:])
    options.output.with_suffix(".md").write_text(summary(rows, command))


if __name__ == "__main__":
    main()
