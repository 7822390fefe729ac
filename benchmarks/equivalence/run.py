"""Time `eqverify equiv` on the pairs of acasxu_pruned, beside the plain product-network MILP.

    python benchmarks/equivalence/run.py --timeout 100 --milp-timeout 100 --output results/acasxu_pruned.csv

Properties 1 and 2 have one and the same input box, so that it is run once.  The data is found in $EQVERIFY_VNNCOMP,
or in ../shared/vnncomp beside the checkout.  A row is written as soon as it is known, and rows that are there already
are not run again.  The plain product MILP gets the same pair, domain and epsilon, bounds by CROWN for each network
alone, no search and no cuts; where it reaches its limit the ratio is a lower bound.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import time
from pathlib import Path

import numpy as np

from eqverify.api.equivalence import equivalent, load_domain
from eqverify.api.loading import load_network
from eqverify.bounds import crown_bounds
from eqverify.domain import Domain, Polytope
from eqverify.equivalence.goals import epsilon_goals
from eqverify.equivalence.joint import make_joint
from eqverify.equivalence.product_milp import ProductMilp
from eqverify.equivalence.witness import WitnessSearch
from eqverify.network import Network

PAIRS = (("1_1", 5), ("1_1", 30), ("1_2", 10), ("2_2", 5), ("2_2", 30), ("2_6", 10))
DOMAINS = ("upstream_instance_0", "prop_1", "prop_3", "prop_4")
EPSILONS = (0.05, 0.01, 0.001)
FIELDS = (
    "network", "pruned", "domain", "epsilon", "verdict", "proved", "deviation", "replayed", "boxes", "done", "seconds",
    "milp_verdict", "milp_seconds",
)  # fmt: skip


def data_root() -> Path:
    """Where the benchmarks are."""
    return Path(os.environ.get("EQVERIFY_VNNCOMP", Path(__file__).resolve().parents[2].parent / "shared" / "vnncomp"))


def domain_file(name: str) -> Path:
    folder = data_root()
    if name.startswith("prop"):
        return folder / "acasxu" / "vnnlib" / f"{name}.vnnlib.gz"
    return folder / "acasxu_pruned" / f"{name}.vnnlib"


def plain_milp(f: Network, g: Network, part: Polytope, epsilon: float, timeout: float) -> tuple[str, float]:
    """The product network without anything differential: one question per output and sign."""
    start = time.monotonic()
    box, goals = part.box, epsilon_goals(f.input_size, f.output_size, epsilon)
    bounds = tuple(crown_bounds(network, box.lower[None], box.upper[None]) for network in (f, g))
    milp = ProductMilp(make_joint((f, g), bounds, goals), goals, part, differences=False)
    search = WitnessSearch(f, g, goals, Domain((part,)))
    verdict = "equivalent"
    for disjunct in range(len(goals)):
        left = timeout - (time.monotonic() - start)
        answer = milp.ask(disjunct, left) if left > 0 else None
        if answer is not None and answer.point is not None:
            point = np.clip(answer.point, box.lower, box.upper)[None]
            if search.attempt(point, part):
                return "different", time.monotonic() - start
        if answer is None or answer.verdict.value != "never":
            verdict = "unknown"
    return verdict, time.monotonic() - start


def run_one(network: str, pruned: int, domain: str, epsilon: float, arguments: argparse.Namespace) -> dict[str, object]:
    folder = data_root() / "acasxu_pruned" / "onnx"
    f, g = (folder / f"ACASXU_run2a_{network}_batch_2000{end}.onnx" for end in ("", f"_pruned{pruned}"))
    answer = equivalent(f, g, domain_file(domain), epsilon=epsilon, timeout=arguments.timeout)
    row: dict[str, object] = {
        "network": network, "pruned": pruned, "domain": domain, "epsilon": epsilon, "verdict": answer.verdict,
        "proved": "" if answer.epsilon is None else f"{answer.epsilon:.6g}", "deviation": f"{answer.deviation:.6g}",
        "replayed": answer.replayed, "boxes": answer.decision.boxes, "done": f"{answer.decision.done:.4f}",
        "seconds": f"{answer.seconds:.3f}",
    }  # fmt: skip
    part = load_domain(domain_file(domain)).polytopes[0]
    verdict, seconds = plain_milp(load_network(f), load_network(g), part, epsilon, arguments.milp_timeout)
    return row | {"milp_verdict": verdict, "milp_seconds": f"{seconds:.3f}"}


def summary(rows: list[dict[str, str]]) -> str:
    decided = [row for row in rows if row["verdict"] != "unknown"]
    ratios = [float(row["milp_seconds"]) / float(row["seconds"]) for row in decided]
    counts = {v: sum(row["verdict"] == v for row in rows) for v in ("equivalent", "different", "unknown")}
    milp = {v: sum(row["milp_verdict"] == v for row in rows) for v in counts}
    ratio = f"{statistics.median(ratios):.1f}" if ratios else "-"
    return f"{counts}; plain product MILP {milp}; median ratio of seconds on decided pairs {ratio}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timeout", type=float, default=100.0)
    parser.add_argument("--milp-timeout", type=float, default=100.0)
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS))
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    known: list[dict[str, str]] = []
    if arguments.output.exists():
        with arguments.output.open() as stream:
            known = list(csv.DictReader(stream))
    done = {tuple(row[k] for k in FIELDS[:4]) for row in known}
    with arguments.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not known:
            writer.writeheader()
        for domain in arguments.domains:
            for network, pruned in PAIRS:
                for epsilon in EPSILONS:
                    if (network, str(pruned), domain, str(epsilon)) in done:
                        continue
                    row = run_one(network, pruned, domain, epsilon, arguments)
                    writer.writerow(row)
                    stream.flush()
                    known.append({key: str(value) for key, value in row.items()})
                    print(*row.values(), flush=True)
    print(summary(known))


if __name__ == "__main__":
    main()
