"""What the reduced file itself is worth to a verifier: the same backend on the original and on what `reduce` wrote.

    python benchmarks/reduction/verifier.py --properties 0.03 --backend marabou --output verifier.csv

`eqverify reduce --fold-property` writes one network for the whole property; nothing is directed by the property, and no
disjunct is decided on the way.  Then `eqverify verify --no-reduction` asks the backend about either file.  The time of
the reduction counts for the reduced one.  Each command is a process of its own; a row is written as soon as it is
known, and rows that are there already are not run again.
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
    "benchmark", "network", "property", "backend", "relus", "kept", "epsilon", "reduce_seconds", "reduced",
    "reduced_seconds", "original", "original_seconds", "load",
)  # fmt: skip


def command(name: str, *arguments: str, limit: float) -> tuple[dict, float]:
    """What a command said in JSON, nothing if it failed or took too long; and its seconds."""
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "eqverify", name, *arguments, "--json"],
            check=False, capture_output=True, text=True, timeout=limit,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, time.perf_counter() - start
    return json.loads(done.stdout) if done.returncode == 0 else {}, time.perf_counter() - start


def run_one(benchmark: str, network: str, query: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Reduce, and ask about both; the row."""
    root, limit = data_root() / benchmark, arguments.timeout
    original = str(root / network)
    asked = str(root / query if (root / query).exists() else root / f"{query}.gz")
    row: dict[str, object] = {"benchmark": benchmark, "network": Path(network).stem, "property": Path(query).stem}
    row |= {"backend": arguments.backend, "load": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as folder:
        reduced, relaxed = f"{folder}/reduced.onnx", f"{folder}/reduced.vnnlib"
        made, spent = command(
            "reduce", original, asked, "-o", reduced, "--property-out", relaxed, "--fold-property",
            "--time-limit", str(arguments.time_limit), limit=limit,
        )  # fmt: skip
        if made:
            row |= {"relus": made["relus_before"], "kept": made["relus_after"], "epsilon": f"{made['epsilon']:.2g}"}
        row["reduce_seconds"] = round(spent, 2)
        for which, net, text, left in (
            ("reduced", reduced, relaxed, limit - spent),
            ("original", original, asked, limit),
        ):
            options = ("--no-reduction", "--backend", arguments.backend, "--timeout", str(left))
            said, seconds = command("verify", text, "--network", f"={net}", *options, limit=left + 10)
            row |= {which: said.get("verdict", "none"), f"{which}_seconds": round(seconds, 2)}
    return row


def summary(rows: list[dict[str, str]], limit: float) -> str:
    """Solved by either, and the ratio of times where the original was decided or ran to the limit."""
    lines = []
    for network in sorted({row["network"] for row in rows}):
        own = [row for row in rows if row["network"] == network]
        solved = {which: sum(row[which] in ("sat", "unsat") for row in own) for which in ("reduced", "original")}
        both = [row for row in own if row["reduced"] == "unsat"]
        ratios = [
            min(float(row["original_seconds"]), limit) / (float(row["reduce_seconds"]) + float(row["reduced_seconds"]))
            for row in both
        ]
        middle = f"{statistics.median(ratios):.1f}" if ratios else "-"
        lines.append(
            f"{network}: reduced {solved['reduced']} of {len(own)}, original {solved['original']}; "
            f"unsat on the reduced file {len(both)}, at least {middle} times as fast there in the median"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", nargs="+", default=["mnist_fc"])
    parser.add_argument("--properties", default="", help="parts of names of properties, with commas between")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--backend", default="marabou")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds for the proof of each reduction")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for each answer, with the reduction")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    known: list[dict[str, str]] = []
    if arguments.output.exists():
        with arguments.output.open() as stream:
            known = list(csv.DictReader(stream))
    done = {tuple(row[field] for field in FIELDS[:4]) for row in known}
    with arguments.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not known:
            writer.writeheader()
        for benchmark in arguments.benchmarks:
            for network, query in every_nth(instances(benchmark, arguments.properties), arguments.every):
                if (benchmark, Path(network).stem, Path(query).stem, arguments.backend) in done:
                    continue
                row = run_one(benchmark, network, query, arguments)
                writer.writerow(row)
                stream.flush()
                known.append({name: str(value) for name, value in row.items()})
                print(*row.values(), flush=True)
    print(summary(known, arguments.timeout))


if __name__ == "__main__":
    main()
