"""Reduce networks of all families for a property, and confirm each by `eqverify equiv` at its own epsilons.

    python benchmarks/equivalence/reduced.py --time-limit 10 --timeout 300 --output results/reduced.csv

The reduced networks are compared as files with the originals, output by output at the eps that `reduce` proved for it.
The data is found in $EQVERIFY_VNNCOMP, or in ../shared/vnncomp beside the checkout.  A row is written as soon as it is
known, and rows that are there already are not run again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Literal

from run import data_root

from eqverify.api.equivalence import equivalent
from eqverify.api.loading import load_problem
from eqverify.reduction.pipeline import reduce

Engine = Literal["portfolio", "crown"]

INSTANCES: tuple[tuple[str, str, str, Engine], ...] = (
    ("acasxu", "ACASXU_run2a_1_1_batch_2000", "prop_1", "portfolio"),
    ("acasxu", "ACASXU_run2a_2_7_batch_2000", "prop_3", "portfolio"),
    ("acasxu", "ACASXU_run2a_2_6_batch_2000", "prop_4", "portfolio"),
    ("mnist_fc", "mnist-net_256x2", "prop_0_0.03", "portfolio"),
    ("mnist_fc", "mnist-net_256x2", "prop_2_0.05", "portfolio"),
    ("mnist_fc", "mnist-net_256x4", "prop_4_0.03", "portfolio"),
    ("mnist_fc", "mnist-net_256x4", "prop_6_0.05", "portfolio"),
    ("rl_benchmarks", "cartpole", "cartpole_case_unsafe_0", "portfolio"),
    ("rl_benchmarks", "lunarlander", "lunarlander_case_unsafe_70", "portfolio"),
    ("tllverifybench", "tllBench_n=2_N=M=8_m=1_instance_0_0", "property_N=8_0", "portfolio"),
    ("tllverifybench", "tllBench_n=2_N=M=16_m=1_instance_1_0", "property_N=16_0", "portfolio"),
    ("oval21", "cifar_base_kw", "cifar_base_kw-img8194-eps0.018300653594771243", "crown"),
    ("oval21", "cifar_deep_kw", "cifar_deep_kw-img8366-eps0.0550326797385621", "crown"),
    ("collins_rul_cnn", "NN_rul_small_window_20", "robustness_2perturbations_delta5_epsilon10_w20", "crown"),
    ("verivital", "Convnet_avgpool", "prop_0_0.02", "crown"),
    ("verivital", "Convnet_maxpool", "prop_0_0.004", "crown"),
    ("cifar10_resnet", "resnet_2b", "prop_0_eps_0.008", "crown"),
)
FIELDS = (
    "family", "network", "property", "relus", "kept", "epsilon", "verdict", "proved", "deviation", "evidence",
    "stages", "seconds",
)  # fmt: skip


def run_one(instance: tuple[str, str, str, Engine], folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Reduce and compare; the row."""
    family, network, name, engine = instance
    root = data_root() / family
    original, query = root / "onnx" / f"{network}.onnx", root / "vnnlib" / f"{name}.vnnlib"
    original, query = (p if p.exists() else p.with_name(f"{p.name}.gz") for p in (original, query))
    made = reduce(load_problem(original, query), engine=engine, time_limit=arguments.time_limit)
    written = folder / f"{network}-{name}.onnx"
    written.write_bytes(made.data)
    start = time.monotonic()
    found = equivalent(original, written, query, epsilon=made.epsilons.tolist(), timeout=arguments.timeout)
    return {
        "family": family,
        "network": network,
        "property": name,
        "relus": made.problem.network.relu_count,
        "kept": made.network.relu_count,
        "epsilon": f"{made.epsilon:.3g}",
        "verdict": found.verdict,
        "proved": "" if found.epsilon is None else f"{found.epsilon:.3g}",
        "deviation": "" if found.deviation is None else f"{found.deviation:.3g}",
        "evidence": found.decision.evidence,
        "stages": " ".join(f"{stage} {seconds:.1f}" for stage, seconds in found.decision.seconds.items()),
        "seconds": f"{time.monotonic() - start:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds for the proof of each reduction")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for each comparison")
    parser.add_argument("--families", nargs="+", default=sorted({instance[0] for instance in INSTANCES}))
    parser.add_argument("--folder", type=Path, help="keep the reduced networks here")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    known: list[dict[str, str]] = []
    if arguments.output.exists():
        with arguments.output.open() as stream:
            known = list(csv.DictReader(stream))
    done = {tuple(row[field] for field in FIELDS[:3]) for row in known}
    with tempfile.TemporaryDirectory() as temporary, arguments.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not known:
            writer.writeheader()
        for instance in INSTANCES:
            if instance[:3] in done or instance[0] not in arguments.families:
                continue
            row = run_one(instance, arguments.folder or Path(temporary), arguments)
            writer.writerow(row)
            stream.flush()
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
