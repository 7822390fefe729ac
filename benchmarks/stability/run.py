"""Time the engine `portfolio` against the published methods `leo` and `isa`, and compare what they find.

    python benchmarks/stability/run.py --limit 1800 --output results.csv

Families: `digits`, networks trained here on scikit-learn's digits, over widths, depths and L1 strengths, on the whole
input box (the papers' setting); `isa`, the networks published with the ISA paper; `mnist`, balls of VNN-COMP's
mnist_fc.  The data of the last two is found in $EQVERIFY_SHARED, or in ../shared beside the checkout.  All engines of
one problem run one after the other, each in a process of its own, with one thread; a row is written as soon as it
ends, and rows that are there are not run again.  Ratios are of processor seconds, since the machine may be shared; the
limit is one of wall time.  A baseline that does not finish within it counts with what it used: a lower bound.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ENGINES = ("portfolio", "leo", "isa")
FIELDS = (
    "family", "problem", "engine", "limit", "units", "inactive", "active", "unstable", "undecided", "finished",
    "agrees", "seconds", "cpu",
)  # fmt: skip
BALLS = (("256x2", "prop_0_0.03"), ("256x2", "prop_1_0.03"), ("256x4", "prop_1_0.03"))
GOALS = {"leo": 200.0, "isa": 10.0}


def shared() -> Path:
    """Where the data of others is."""
    return Path(os.environ.get("EQVERIFY_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))


def problem_names(options: argparse.Namespace) -> list[tuple[str, str]]:
    """(family, problem) pairs, by families as asked, small ones first."""
    shapes = sorted(((w, d) for w in options.widths for d in options.depths), key=lambda s: s[0] * s[1])
    listed = {
        "digits": [f"{width}x{depth} l1={l1:g}" for width, depth in shapes for l1 in options.l1],
        "isa": ["100-100", "200-200"],
        "mnist": [f"{network} {ball}" for network, ball in BALLS],
    }
    return [(family, name) for family in options.families for name in listed[family]]


def worker(family: str, name: str, engine: str, limit: float, folder: Path) -> None:
    """Prove one problem with one engine and print the outcome as JSON."""
    import resource

    import numpy as np

    import eqverify
    import eqverify.milp.isa  # imported here, so that no engine pays for it
    import eqverify.milp.leo
    import eqverify.stability.portfolio
    from eqverify.api.loading import load_network, load_problem
    from eqverify.problem import box_problem

    if family == "digits":
        path = trained(name, folder)
        problem = box_problem(load_network(path), np.zeros(64), np.ones(64))
    elif family == "isa":
        problem = load_problem(shared() / "isa" / f"dnn_MNIST_{name}.onnx", shared() / "isa" / "whole_box_784.vnnlib")
    else:
        network, ball = name.split()
        root = shared() / "vnncomp" / "mnist_fc"
        problem = load_problem(root / "onnx" / f"mnist-net_{network}.onnx", root / "vnnlib" / f"{ball}.vnnlib.gz")
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    unit_limit = min(5.0, limit) if engine == "portfolio" else limit
    trust = () if engine == "portfolio" else ("scip",)  # what the published methods find are a solver's claims
    facts = eqverify.prove_stability(problem, engine=engine, time_limit=limit, unit_time_limit=unit_limit, trust=trust)
    status = [layer.status.tolist() for layer in facts.layers]
    seconds = sum(stage.seconds for stage in facts.stages)
    cpu = max(resource.getrusage(resource.RUSAGE_SELF).ru_utime - start, 1e-3)
    print(json.dumps({**facts.summary(), "seconds": seconds, "cpu": round(cpu, 3), "status": status}))


def trained(name: str, folder: Path) -> Path:
    """The file of a digits network; trained where it is not there yet."""
    from eqverify.examples.train_digits import OPSET, Training, digits_split, train
    from eqverify.export.onnx import write_network
    from eqverify.files import atomic_write

    path = folder / f"{name.replace(' ', '_')}.onnx"
    if not path.exists():
        shape, strength = name.split(" l1=")
        width, depth = (int(part) for part in shape.split("x"))
        training, test = digits_split()
        network = train(training, Training(hidden=(width,) * depth, epochs=20, l1=float(strength)))
        print(f"{name}: accuracy {test.accuracy(network):.3f}", file=sys.stderr)
        atomic_write(path, write_network(network, metadata={}, producer="benchmarks/stability", opset=OPSET))
    return path


def run_one(family: str, name: str, engine: str, limit: float, folder: Path) -> dict[str, object]:
    """One row, from a process of its own; its status lists are kept beside the networks for comparison."""
    call = f"import run; run.worker({family!r}, {name!r}, {engine!r}, {limit!r}, run.Path({str(folder)!r}))"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", call],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{family} {name} {engine} failed:\n{done.stderr}")
    found = json.loads(done.stdout)
    status = found.pop("status")
    (folder / f"{family}_{name}_{engine}.json".replace(" ", "_")).write_text(json.dumps(status))
    reference = folder / f"{family}_{name}_portfolio.json".replace(" ", "_")
    agrees = reference.exists() and compatible(status, json.loads(reference.read_text()))
    finished = found["undecided"] == 0 or found["seconds"] < limit
    row: dict[str, object] = {"family": family, "problem": name, "engine": engine, "limit": limit, **found}
    row |= {"finished": finished, "agrees": agrees}
    row["seconds"] = round(found["seconds"], 4) if finished else limit
    return row


def compatible(left: list[list[int]], right: list[list[int]]) -> bool:
    """Whether no unit has two different answers; 0 is undecided."""
    pairs = [(a, b) for one, two in zip(left, right, strict=True) for a, b in zip(one, two, strict=True)]
    return all(a == b or 0 in (a, b) for a, b in pairs)


def shown(row: dict[str, str]) -> str:
    """The seconds of a row, as a lower bound where the limit was reached."""
    return ("" if row["finished"] == "True" else "> ") + f"{float(row['cpu']):.3g}"


def summary(rows: list[dict[str, str]], command: str) -> str:
    """Markdown: every problem, then medians of the ratios by family."""
    by_problem: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in rows:
        by_problem.setdefault((row["family"], row["problem"]), {})[row["engine"]] = row
    lines = [
        f"Made by `{command}`.",
        "",
        "Processor seconds; `>` where the limit of wall time was reached: a lower bound.",
    ]
    lines += ["Undecided units: portfolio / leo / isa.  Agree: no unit has two answers.", ""]
    lines += ["| family | problem | units | stable | undecided | portfolio | leo | isa | leo x | isa x | agree |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|---|"]
    ratios: dict[tuple[str, str], list[float]] = {}
    for (family, problem), found in by_problem.items():
        if len(found) < len(ENGINES):
            continue
        own = found["portfolio"]
        cells = [shown(found[engine]) for engine in ENGINES]
        for engine in GOALS:
            ratios.setdefault((family, engine), []).append(float(found[engine]["cpu"]) / float(own["cpu"]))
        stable = int(own["inactive"]) + int(own["active"])
        undecided = " / ".join(found[engine]["undecided"] for engine in ENGINES)
        agree = all(found[engine]["agrees"] == "True" for engine in ENGINES)
        last = [f"{ratios[family, engine][-1]:.3g}" for engine in GOALS]
        row = [family, problem, own["units"], str(stable), undecided, *cells, *last, str(agree)]
        lines.append(f"| {' | '.join(row)} |")
    lines += ["", "| family | engine | problems | median ratio | goal | met |", "|---|---|---|---|---|---|"]
    for (family, engine), values in ratios.items():
        median = statistics.median(values)
        met = "yes" if median >= GOALS[engine] else "no"
        lines.append(f"| {family} | {engine} | {len(values)} | {median:.3g} | {GOALS[engine]:g} | {met} |")
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=["digits", "isa", "mnist"], default=["digits", "isa", "mnist"])
    parser.add_argument("--widths", nargs="+", type=int, default=[25, 50, 100, 200])
    parser.add_argument("--depths", nargs="+", type=int, default=[2, 3, 4, 5])
    parser.add_argument("--l1", nargs="+", type=float, default=[0.03, 0.12, 0.3])
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds for each engine on each problem")
    parser.add_argument(
        "--networks", type=Path, default=Path("stability-networks"), help="where trained networks are kept"
    )
    parser.add_argument("--output", type=Path, default=Path("stability.csv"))
    return parser.parse_args()


def main() -> None:
    """Run what is missing, then write the summary beside the CSV."""
    options = arguments()
    options.networks.mkdir(exist_ok=True)
    rows = list(csv.DictReader(options.output.open())) if options.output.exists() else []
    done = {(row["family"], row["problem"], row["engine"]) for row in rows}
    with options.output.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for family, name in problem_names(options):
            for engine in ENGINES:
                if (family, name, engine) in done:
                    continue
                row = run_one(family, name, engine, options.limit, options.networks.resolve())
                writer.writerow(row)
                stream.flush()
                print(f"{family} {name} {engine}: {row['seconds']} s, {row['undecided']} undecided", file=sys.stderr)
    with options.output.open() as stream:
        table = summary(list(csv.DictReader(stream)), "python " + " ".join(sys.argv))
    options.output.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
