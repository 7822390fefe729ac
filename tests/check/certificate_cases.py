"""Certified reductions of small networks, and certificates taken apart and put together again."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.domain import Box, Domain, Polytope
from eqverify.export.onnx import write_network
from eqverify.export.vnnlib import format_specification
from eqverify.network import Network
from eqverify.problem import domain_problem
from eqverify.testing.chains import chain_network

PROOFS = "eqverify.stability.stages.solvers.prove_claims"
"""What proves the claims of SCIP."""

MAGIC = b"eqverify certificate 1\n"
TYPES = {"f8": "<f8", "f4": "<f4", "i4": "<i4", "i1": "|i1"}


@dataclass(frozen=True)
class Case:
    """A reduction with its certificate: what `eqverify check` reads, and the exact problem."""

    network: bytes
    query: bytes
    reduced: bytes
    certificate: bytes
    original: Network
    domain: Domain

    def check(self, certificate=None, arithmetic="float", **files):
        found = replace(self, certificate=self.certificate if certificate is None else certificate, **files)
        return check_bytes(found.network, found.query, found.reduced, found.certificate, arithmetic)

    @property
    def parts(self):
        return unpack(self.certificate)


def certified(network: Network, domain: Domain, *, element="float32", **options) -> Case:
    """Write both to files, reduce, and take what was written."""
    specification = domain_problem(network, domain).specification
    with tempfile.TemporaryDirectory() as folder:
        model, query = Path(folder, "net.onnx"), Path(folder, "prop.vnnlib")
        model.write_bytes(write_network(network, metadata={}, producer="test", dtype=element))
        query.write_text(format_specification(specification))
        with patch(PROOFS) if options.get("trust") else nullcontext():  # else there would be no words to believe
            result = eq.reduce(eq.load_problem(model, query), certificate=True, time_limit=20, **options)
        assert result.certificate is not None
        assert result.certificate.verdict.verified
        return Case(
            model.read_bytes(), query.read_bytes(), result.data, result.certificate.data,
            result.problem.network, result.problem.domain,
        )  # fmt: skip


def unpack(data: bytes):
    """(head, arrays) of a certificate; arrays are writable copies."""
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    head, offset, arrays = json.loads(data[start : start + length]), start + length, []
    for kind, shape in head["arrays"]:
        dtype = np.dtype(TYPES[kind])
        array = np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape).copy()
        offset += array.nbytes
        arrays.append(array)
    return head, arrays


def pack(head, arrays) -> bytes:
    """The inverse; shapes are those of the arrays."""
    kinds = {np.dtype(dtype): kind for kind, dtype in TYPES.items()}
    listed = [[kinds[array.dtype], list(array.shape)] for array in arrays]
    text = json.dumps({**head, "arrays": listed}).encode()
    return b"".join([MAGIC, len(text).to_bytes(8, "little"), text, *(array.tobytes() for array in arrays)])


def random_network(seed: int, sizes=(2, 6, 6, 2), shift=0.0) -> Network:
    """A dense network with float32 weights; `shift` moves biases, so that more or fewer units are stable."""
    random = np.random.default_rng(seed)
    layers = [
        (
            random.normal(size=(n, m)).astype(np.float32).astype(np.float64),
            (random.normal(size=n) + shift * random.choice([-1, 1], size=n)).astype(np.float32).astype(np.float64),
        )
        for m, n in pairwise(sizes)
    ]
    return chain_network(layers, element="float32")


def box(size: int, reach=1.0, parts=1) -> Domain:
    """Boxes side by side."""
    made = []
    for part in range(parts):
        lower = np.full(size, -reach)
        lower[0] += 3 * reach * part
        made.append(Polytope(Box(lower, lower + 2 * reach)))
    return Domain(tuple(made))


def cut_box(size: int) -> Domain:
    """A box cut by a linear constraint."""
    return Domain((Polytope(Box(np.full(size, -1.0), np.full(size, 1.0)), np.ones((1, size)), np.array([-0.25])),))


RECIPES = {
    "boxes": lambda: certified(random_network(3, (2, 8, 8, 8, 2), 0.7), box(2)),
    "two-parts": lambda: certified(random_network(4, (2, 8, 8, 2), 0.7), box(2, 0.5, parts=2)),
    "branching": lambda: certified(
        random_network(5, (6, 9, 9, 2), 0.5), box(6, 0.6), split_inputs=0, certified_only=True
    ),
    "constraints": lambda: certified(random_network(6, (4, 10, 10, 2), 0.7), cut_box(4), split_inputs=0),
    "solver": lambda: certified(
        random_network(5, (6, 9, 9, 2), 0.5),
        box(6, 0.6),
        split_inputs=0,
        branch_nodes=0,
        tree_time_limit=0,
        trust="scip",
    ),
    "float64": lambda: certified(random_network(7, (3, 6, 2), 0.7), box(3), dtype="float64"),
    "residual": lambda: certified(random_network(8, (3, 6, 6, 2), 0.7), box(3), shape="residual"),
    "structured": lambda: certified(random_network(9, (3, 6, 6, 2), 0.7), box(3), shape="structured"),
}


@cache
def case(name: str) -> Case:
    """One of the recipes, made once."""
    return RECIPES[name]()


def kinds(one: Case) -> set[str]:
    """The kinds of steps in a certificate, and the hints in its rows."""
    head, _ = one.parts
    found = set()
    for step in head["steps"]:
        found.add(step["kind"])
        for entry in (*step.get("rows", []), step):
            found |= {hint for hint in ("alpha", "lam", "tau", "mu") if entry.get(hint)}
    return found
