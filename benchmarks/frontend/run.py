"""Read every VNN-COMP network, write it again, and tabulate time, size, operators and agreement with onnxruntime.

    python benchmarks/frontend/run.py --output benchmarks/frontend/results

writes results.csv and results.md.  The data is found in $EQVERIFY_VNNCOMP, or in ../shared/vnncomp beside the checkout.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from eqverify.export.onnx import write_network
from eqverify.export.runtime import compare_with_runtime
from eqverify.files import atomic_write
from eqverify.frontend.onnx import describe, parse_network, read_network
from eqverify.frontend.onnx.load import read_bytes
from eqverify.network import Network, evaluate

FIELDS = (
    "benchmark", "network", "bytes", "operators", "inputs", "outputs", "nodes", "relus", "parameters", "load_ms",
    "write_ms", "rewritten", "points", "ratio_original", "ratio_rewritten", "agrees",
)  # fmt: skip


def data_root() -> Path:
    """Where the benchmarks are."""
    return Path(os.environ.get("EQVERIFY_VNNCOMP", Path(__file__).resolve().parents[2].parent / "shared" / "vnncomp"))


def model_files(root: Path) -> list[Path]:
    """All models, by benchmark and name."""
    return sorted(path for path in root.rglob("*.onnx*") if path.suffix in (".onnx", ".gz"))


def same_function(network: Network, again: Network, points: np.ndarray) -> str:
    """`digest` where both are one network, `values` where all their float64 values are equal, else `different`."""
    if again.digest == network.digest:
        return "digest"
    return "values" if np.array_equal(evaluate(again, points), evaluate(network, points)) else "different"


def measure(root: Path, path: Path, count: int) -> dict[str, object]:
    """One row: the best of three load times, and both comparisons with onnxruntime."""
    data, about, seconds = read_bytes(path), describe(path), []
    for _ in range(3):
        start = time.perf_counter()
        network = read_network(path)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    written = write_network(network, metadata={}, producer="eqverify benchmark", dtype=network.inputs[0].element)
    writing = time.perf_counter() - start
    again = parse_network(written)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (count, network.input_size))
    # Against the original's own tensors, and against those of the file that was written.
    original, rewritten = compare_with_runtime(data, again, points), compare_with_runtime(written, network, points)
    return {
        "benchmark": path.relative_to(root).parts[0],
        "network": path.name,
        "bytes": len(data),
        "operators": " ".join(f"{name}:{number}" for name, number in about.operators),
        "inputs": network.input_size,
        "outputs": network.output_size,
        "nodes": len(network.nodes),
        "relus": network.relu_count,
        "parameters": network.parameter_count,
        "load_ms": round(1000 * min(seconds), 1),
        "write_ms": round(1000 * writing, 1),
        "rewritten": same_function(network, again, points[:100]),
        "points": original.points,
        "ratio_original": f"{original.worst_ratio:.2g}",
        "ratio_rewritten": f"{rewritten.worst_ratio:.2g}",
        "agrees": original.agrees and rewritten.agrees,
    }


def table(rows: list[dict[str, object]], seconds: float) -> str:
    """The rows as Markdown, with the machine and versions."""
    versions = f"numpy {np.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}; {seconds:.0f} s in all"
    lines = [f"{len(rows)} networks; {machine}.", "", f"| {' | '.join(FIELDS)} |", f"|{'---|' * len(FIELDS)}"]
    lines += [f"| {' | '.join(str(row[field]) for field in FIELDS)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="path without suffix")
    parser.add_argument("--points", type=int, default=1000)
    arguments = parser.parse_args()
    start, rows, root = time.perf_counter(), [], data_root()
    for path in model_files(root):
        rows.append(measure(root, path, arguments.points))
        print(*(rows[-1][field] for field in FIELDS), sep=",", flush=True)
    with arguments.output.with_suffix(".csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    atomic_write(arguments.output.with_suffix(".md"), table(rows, time.perf_counter() - start).encode())
    wrong = [row for row in rows if row["rewritten"] == "different" or not row["agrees"]]
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    raise SystemExit(main())
