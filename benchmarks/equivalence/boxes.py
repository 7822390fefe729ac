"""Time `equivalent` beside the plain product-network MILP on small boxes, where both can say `equivalent`.

    python benchmarks/equivalence/boxes.py --budget 1000 --milp-timeout 60 --output results/boxes.csv

The pairs are from `run.py`; the boxes lie around seeded points of the domain of ACAS property 1 and reach a share of
its width in every direction.  Rows that are there already are not run again.  Where the MILP reaches its limit, the
ratio is a lower bound.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

import numpy as np
from run import data_root, domain_file, plain_milp

from eqverify.api.equivalence import equivalent, load_domain
from eqverify.api.loading import load_network
from eqverify.domain import Box, Polytope, box_domain

PAIRS = (("1_1", 5), ("1_2", 10), ("2_2", 5))
SHARES = (0.1, 0.15, 0.2, 0.3, 0.4)
POINTS = 2
EPSILON = 0.05
FIELDS = (
    "network",
    "pruned",
    "share",
    "point",
    "verdict",
    "seconds",
    "boxes",
    "evidence",
    "milp_verdict",
    "milp_seconds",
)


def box_around(whole: Box, share: float, point: int) -> Box:
    """The box around a seeded point that reaches `share` of the domain's width in each direction, cut by the domain."""
    width = whole.upper - whole.lower
    centre = whole.lower + np.random.default_rng(point).random(whole.size) * width
    return Box(np.maximum(whole.lower, centre - share * width), np.minimum(whole.upper, centre + share * width))


def run_one(network: str, pruned: int, share: float, point: int, arguments: argparse.Namespace) -> dict[str, object]:
    folder = data_root() / "acasxu_pruned" / "onnx"
    f, g = (load_network(folder / f"ACASXU_run2a_{network}_batch_2000{end}.onnx") for end in ("", f"_pruned{pruned}"))
    box = box_around(load_domain(domain_file("prop_1")).polytopes[0].box, share, point)
    found = equivalent(f, g, box_domain(box.lower, box.upper), epsilon=EPSILON, timeout=arguments.timeout)
    verdict, seconds = plain_milp(f, g, Polytope(box), EPSILON, arguments.milp_timeout)
    return {
        "network": network,
        "pruned": pruned,
        "share": share,
        "point": point,
        "verdict": found.verdict,
        "seconds": f"{found.seconds:.3f}",
        "boxes": found.decision.boxes,
        "evidence": found.decision.evidence,
        "milp_verdict": verdict,
        "milp_seconds": f"{seconds:.3f}",
    }


def summary(rows: list[dict[str, str]]) -> str:
    """Counts and median ratios, all of it on rows that `equivalent` proved."""
    proved = [row for row in rows if row["verdict"] == "equivalent"]
    both = [row for row in proved if row["milp_verdict"] == "equivalent"]
    ratios = [[float(row["milp_seconds"]) / float(row["seconds"]) for row in some] for some in (proved, both) if some]
    medians = ", ".join(f"{statistics.median(some):.1f} on {len(some)}" for some in ratios)
    return f"{len(rows)} rows, {len(proved)} equivalent, {len(both)} of them by the MILP too; median ratios {medians}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--milp-timeout", type=float, default=60.0)
    parser.add_argument("--budget", type=float, default=float("inf"), help="no row is begun after so many seconds")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    known: list[dict[str, str]] = []
    if arguments.output.exists():
        with arguments.output.open() as stream:
            known = list(csv.DictReader(stream))
    done = {tuple(row[field] for field in FIELDS[:4]) for row in known}
    cases = [(n, p, share, point) for share in SHARES for point in range(POINTS) for n, p in PAIRS]
    start = time.monotonic()
    with arguments.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not known:
            writer.writeheader()
        for case in cases:
            if tuple(map(str, case)) in done or time.monotonic() - start > arguments.budget:
                continue
            row = run_one(*case, arguments)
            writer.writerow(row)
            stream.flush()
            known.append({key: str(value) for key, value in row.items()})
            print(*row.values(), flush=True)
    print(summary(known))


if __name__ == "__main__":
    main()
