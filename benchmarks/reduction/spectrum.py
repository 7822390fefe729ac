"""How independent the rows are that each layer of the sequential shape carries: singular values, by layer.

    python benchmarks/reduction/spectrum.py NETWORK PROPERTY --time-limit 15

Of the rows that later layers need, over inputs and earlier units scaled by their radii, each row to size 1: how many
singular values are above each share of the largest.  Fewer carriers than that would move a row by about that share.
"""

from __future__ import annotations

import argparse

import numpy as np

from eqverify.api.loading import load_problem
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.transform.carriers import columns_before
from eqverify.transform.result import TransformOptions
from eqverify.transform.shapes import Work

SHARES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("property")
    parser.add_argument("--time-limit", type=float, default=15.0)
    options = parser.parse_args()
    problem = load_problem(options.network, options.property)
    facts = prove_stability(problem, StabilityOptions(time_limit=options.time_limit))
    form = Work(problem, facts, TransformOptions()).forms[0].subject
    print(f"| layer | units | rows | {' | '.join(f'above {share:.0e}' for share in SHARES)} |")
    print("|---|" + "---|" * (2 + len(SHARES)))
    for index, own in enumerate(form.levels()):
        before = columns_before(form, own)
        later = np.concatenate([form.rows[own[-1] + 1 :], form.outputs])
        rows = later[:, before] * form.basis.radius[before]
        size = np.linalg.norm(rows, axis=1, keepdims=True)
        values = np.linalg.svd(rows / np.where(size > 0, size, 1.0), compute_uv=False)
        counts = [int((values > share * values[0]).sum()) for share in SHARES]
        print(f"| {index + 1} | {own.size} | {len(rows)} | {' | '.join(map(str, counts))} |")


if __name__ == "__main__":
    main()
