"""Disjuncts of small problems that no input satisfies, with their certificates."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.domain import Case as Part
from eqverify.domain import Conjunction, Domain, HalfSpace
from eqverify.export.onnx import write_network
from eqverify.export.vnnlib import format_specification
from eqverify.network import Network, evaluate_nodes
from eqverify.problem import domain_problem

from .certificate_cases import box, cut_box, pack, random_network, unpack


@dataclass(frozen=True)
class Refutation:
    """A certificate that a disjunct is unsat, and the exact problem."""

    network: bytes
    query: bytes
    certificate: bytes
    original: Network
    domain: Domain
    disjuncts: tuple[Conjunction, ...]

    def check(self, certificate=None, arithmetic="float", **files):
        found = replace(self, certificate=self.certificate if certificate is None else certificate, **files)
        return check_bytes(found.network, found.query, None, found.certificate, arithmetic)


def highest(network: Network, domain: Domain, output: int) -> Fraction:
    """About the largest value of an output, from samples."""
    polytope = domain.polytopes[0]
    random = np.random.default_rng(0)
    x = random.uniform(polytope.box.lower, polytope.box.upper, (20000, polytope.box.size))
    x = x[(x @ polytope.matrix.T <= polytope.bound).all(axis=1)]
    values = evaluate_nodes(network, x)[network.outputs[0].source]
    return Fraction(float(values[:, output].max()))


def at_least(bound: Fraction, output: int) -> HalfSpace:
    return HalfSpace({}, {output: Fraction(-1)}, -Fraction(bound))


def save(folder: str, network: Network, domain: Domain, disjuncts: tuple[Conjunction, ...]) -> tuple[Path, Path]:
    specification = domain_problem(network, domain).specification
    specification = replace(specification, cases=tuple(Part(p, disjuncts) for p in domain.polytopes))
    model, query = Path(folder, "net.onnx"), Path(folder, "prop.vnnlib")
    model.write_bytes(write_network(network, metadata={}, producer="test", dtype="float32"))
    query.write_text(format_specification(specification))
    return model, query


def reduced(network: Network, domain: Domain, disjuncts: tuple[Conjunction, ...], **options):
    """The result, and the bytes of both files."""
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, disjuncts)
        result = eq.reduce_for_property(eq.load_problem(model, query), certificate=True, time_limit=20, **options)
        return result, model.read_bytes(), query.read_bytes()


def refuted(network: Network, domain: Domain, *, margin: float, output=0, **options) -> Refutation:
    """The first of three disjuncts, where an output is above all its values; some inputs satisfy the third.

    It is proved for a property that has no other, since an input that satisfies one ends the work.
    """
    top = highest(network, domain, output)
    bounds = (top + Fraction(margin), top + 100, top - Fraction(1, 100))
    disjuncts = tuple((at_least(bound, output),) for bound in bounds)
    result, _, _ = reduced(network, domain, disjuncts[:1], **options)
    (first,) = result.disjuncts
    assert first.status == "unsat"
    assert first.certificate is not None
    with tempfile.TemporaryDirectory() as folder:
        model, query = (path.read_bytes() for path in save(folder, network, domain, disjuncts))
    head, arrays = unpack(first.certificate.data)
    head["digests"]["property"] = hashlib.sha256(query).hexdigest()
    return Refutation(model, query, pack(head, arrays), result.problem.network, domain, disjuncts)


def without_splits(*about, **more) -> Refutation:
    """By bounds and linear programs."""
    with patch("eqverify.stability.stages.region.SMALL", 0):
        return refuted(*about, split_inputs=0, **more)


RECIPES = {
    "slopes": lambda: without_splits(random_network(3, (2, 6, 6, 2), 0.7), box(2), margin=8.0),
    "rounds": lambda: without_splits(random_network(3, (3, 8, 8, 2), 0.6), box(3), margin=0.3),
    "program": lambda: without_splits(random_network(5, (2, 6, 6, 2), 0.6), box(2), margin=0.02),
    "cover": lambda: refuted(random_network(3, (2, 6, 6, 2), 0.7), box(2), margin=0.2),
    "cuts": lambda: refuted(random_network(5, (2, 6, 6, 2), 0.6), box(2), margin=0.02, split_inputs=0),
    "constraints": lambda: without_splits(random_network(5, (4, 8, 8, 2), 0.6), cut_box(4), margin=2.0),
}


@cache
def case(name: str) -> Refutation:
    """One of the recipes, made once."""
    return RECIPES[name]()


def kinds(one: Refutation) -> set[str]:
    """The kinds of steps, and the hints in them."""
    head, _ = unpack(one.certificate)
    found = set()
    for step in head["steps"]:
        found.add(step["kind"])
        for entry in (*step.get("rows", []), step):
            found |= {hint for hint in ("alpha", "lam", "mu", "tau") if entry.get(hint)}
    return found
