"""Small properties with the proofs of their verdicts, taken apart and written again with the digests of any files."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.domain import Conjunction, Domain, HalfSpace, Polytope
from eqverify.network import Network
from eqverify.testing.chains import chain_network

from .certificate_cases import box, cut_box, pack, random_network, unpack
from .refutation_cases import at_least, highest, save


@dataclass(frozen=True)
class Proved:
    """A property with a proof, and the exact problem."""

    network: bytes
    query: bytes
    proof: bytes
    original: Network
    domain: Domain
    disjuncts: tuple[Conjunction, ...]

    def check(self, proof=None, arithmetic="float", **files):
        found = replace(self, proof=self.proof if proof is None else proof, **files)
        return check_bytes(found.network, found.query, None, found.proof, arithmetic)

    @property
    def parts(self):
        return unpack(self.proof)

    def about(self, head, arrays):
        """The file, by an adversary who computes all digests again."""
        digests = {"network": hashlib.sha256(self.network), "property": hashlib.sha256(self.query)}
        return pack({**head, "digests": {name: one.hexdigest() for name, one in digests.items()}}, arrays)


def proved(network: Network, domain: Domain, disjuncts: tuple[Conjunction, ...], verdict="unsat") -> Proved:
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, disjuncts)
        answer = eq.verify(query, model, proof=True, timeout=30, workers=1)
        assert answer.verdict == verdict, answer.reason
        assert answer.proof is not None
        return Proved(model.read_bytes(), query.read_bytes(), answer.proof, network, domain, disjuncts)


def tops(network: Network, domain: Domain) -> tuple[Fraction, Fraction]:
    first, second = (max(highest(network, Domain((part,)), output) for part in domain.polytopes) for output in (0, 1))
    return first, second


def conditions(network: Network, domain: Domain, margin: float) -> tuple[Conjunction, ...]:
    """Three disjuncts: outputs above their largest values, by a margin; below 0 an input satisfies them."""
    top, other = tops(network, domain)
    more = Fraction(margin)
    return (
        (at_least(top + more, 0),),
        (at_least(other + more, 1),),
        (at_least(top - 1, 0), HalfSpace({}, {0: Fraction(-1), 1: Fraction(-1)}, -(top + other + 2 * more))),
    )


def two_boxes() -> Domain:
    (whole,) = box(2).polytopes
    lower = Polytope(replace(whole.box, upper=np.array([0.0, 1.0])))
    upper = Polytope(replace(whole.box, lower=np.array([0.0, -1.0])))
    return Domain((lower, upper))


def small(margin: float, domain: Domain | None = None, verdict="unsat") -> Proved:
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), domain or two_boxes()
    return proved(network, domain, conditions(network, domain, margin), verdict)


def tied() -> Proved:
    """relu(s) - relu(s) + 1/2 <= 0: 20 inputs, which are not split, and signs that are."""
    network = chain_network([(np.full((2, 20), 0.125), np.zeros(2)), (np.array([[1.0, -1.0]]), np.array([0.5]))])
    return proved(network, box(20), ((HalfSpace({}, {0: Fraction(1)}, Fraction(0)),),))


def both() -> Proved:
    """u + relu(a) + relu(b) - relu(a + b) <= -1/64 and u >= 0: each alone is satisfied, both are not."""
    first = np.zeros((4, 21))
    first[0, :10] = first[1, 10:20] = first[2, :20] = 0.125
    first[3, 20] = 1.0
    last = np.array([[1.0, 1.0, -1.0, 1.0], [0.0, 0.0, 0.0, -1.0]])
    network = chain_network([(first, np.array([0.0, 0.0, 0.0, 2.0])), (last, np.array([-2.0, 2.0]))])
    rows = HalfSpace({}, {0: Fraction(1)}, Fraction(-1, 64)), HalfSpace({}, {1: Fraction(1)}, Fraction(0))
    return proved(network, box(21), (rows,))


def cut() -> Proved:
    network, domain = random_network(5, (4, 8, 8, 2), 0.6), cut_box(4)
    return proved(network, domain, conditions(network, domain, 2.0)[:2])


RECIPES = {
    "bounds": lambda: small(20.0),
    "cover": lambda: small(0.2),
    "signs": tied,
    "rows": both,
    "constraints": cut,
}


@cache
def case(name: str) -> Proved:
    """One of the recipes, made once."""
    return RECIPES[name]()


@cache
def satisfied() -> Proved:
    return small(-0.05, verdict="sat")


def all_steps(head):
    return [step for entry in head["cases"] for one in (entry, *entry["disjuncts"]) for step in one["steps"]]
