"""Time the depth-first search for linear regions against SCIP with no-good cuts.

    python benchmarks/regions/run.py --limit 40 --output benchmarks/regions/regions.csv

Random networks on [-1, 1]^n, from about a hundred to about ten thousand regions.  Both methods run one after the other,
each in a process of its own.  Where SCIP does not end within the limit, its time for all regions is projected from the
time per region so far.  Its time per region grows with the number of cuts, so that the projection is rather too small.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

CASES = (
    (3, (8, 4)), (4, (6, 5)), (2, (9, 6, 4)), (2, (16, 16)), (3, (10, 8)), (2, (24, 16)),
    (3, (16, 12)), (2, (32, 32, 32)), (2, (64, 48)), (4, (10, 10)), (6, (10, 10)), (5, (14, 12)),
)  # fmt: skip
FIELDS = (
    "inputs", "widths", "regions", "affine_maps", "fast_seconds", "linear_programs", "milp_regions", "milp_exhausted",
    "milp_seconds", "ratio", "ratio_is",
)  # fmt: skip
SEED = 3


def worker(inputs: int, widths: list[int], method: str, limit: float) -> None:
    """Count the regions of one network and print the outcome as JSON."""
    import numpy as np

    from eqverify.approximate.regions import find_regions
    from eqverify.domain import box_domain
    from eqverify.testing.chains import chain_network

    random, layers, before = np.random.default_rng(SEED), [], inputs
    for width in (*widths, 1):
        layers.append((random.normal(size=(width, before)) / np.sqrt(before), random.normal(size=width) * 0.3))
        before = width
    domain = box_domain(-np.ones(inputs), np.ones(inputs))
    found = find_regions(chain_network(layers), domain, method=method, time_limit=limit)
    print(json.dumps(found.as_dict()))


def measure(inputs: int, widths: tuple[int, ...], method: str, limit: float) -> dict[str, object]:
    """The outcome of one method on one network."""
    shape = ",".join(map(str, widths))
    command = [sys.executable, __file__, "--worker", str(inputs), shape, method, "--limit", str(limit)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def row_of(inputs: int, widths: tuple[int, ...], limit: float) -> dict[str, object]:
    """One row of the table."""
    fast = measure(inputs, widths, "fast", 10 * limit)
    if not fast["complete"]:
        raise SystemExit(f"{inputs} {widths}: the search did not end")
    milp = measure(inputs, widths, "milp", limit)
    if milp["exhausted"] and milp["regions"] != fast["regions"]:
        print(f"DISAGREEMENT: {inputs} {widths}: {fast['regions']} and {milp['regions']}", file=sys.stderr)
    whole = milp["seconds"] if milp["exhausted"] else milp["seconds"] * fast["regions"] / max(1, milp["regions"])
    return {
        "inputs": inputs,
        "widths": "-".join(map(str, widths)),
        "regions": fast["regions"],
        "affine_maps": fast["affine_maps"],
        "fast_seconds": round(fast["seconds"], 2),
        "linear_programs": fast["linear_programs"],
        "milp_regions": milp["regions"],
        "milp_exhausted": milp["exhausted"],
        "milp_seconds": round(milp["seconds"], 2),
        "ratio": round(whole / fast["seconds"], 1),
        "ratio_is": "measured" if milp["exhausted"] else "projected",
    }


def main() -> None:
    """Run all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=40.0, help="seconds for SCIP per network")
    parser.add_argument("--output", type=Path, default=Path("regions.csv"))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        inputs, widths, method = options.worker
        worker(int(inputs), [int(w) for w in widths.split(",")], method, options.limit)
        return
    rows = []
    for inputs, widths in CASES:
        rows.append(row_of(inputs, widths, options.limit))
        print(rows[-1], flush=True)
        with options.output.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print("median ratio", statistics.median(row["ratio"] for row in rows))
    ended = [row["ratio"] for row in rows if row["ratio_is"] == "measured"]
    if ended:
        print("median ratio where SCIP ended", statistics.median(ended))


if __name__ == "__main__":
    main()
