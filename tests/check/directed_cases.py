"""Networks made for one disjunct of small problems that some inputs satisfy, with their certificates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from unittest.mock import patch

from eqverify.checker import check_bytes
from eqverify.domain import Conjunction, Domain
from eqverify.network import Network

from .certificate_cases import box, cut_box, random_network
from .refutation_cases import at_least, highest, reduced


@dataclass(frozen=True)
class Directed:
    """A certificate of a network for a disjunct, and the exact problem."""

    network: bytes
    query: bytes
    reduced: bytes
    certificate: bytes
    original: Network
    domain: Domain
    disjuncts: tuple[Conjunction, ...]

    def check(self, certificate=None, arithmetic="float", **files):
        found = replace(self, certificate=self.certificate if certificate is None else certificate, **files)
        return check_bytes(found.network, found.query, found.reduced, found.certificate, arithmetic)


def directed(network: Network, domain: Domain, *, share: float, output=0, **options) -> Directed:
    """The first of two disjuncts: an output is within a share of its largest value.  The second says the opposite.

    The search for inputs that satisfy it is left out, which would end the work.
    """
    top = highest(network, domain, output)
    bound = top - Fraction(share) * abs(top)
    (row,) = above = (at_least(bound, output),)
    below = (replace(row, outputs={output: Fraction(1)}, bound=bound),)
    blind = "eqverify.stability.counterexample.CounterexampleSearch"
    boxes = patch("eqverify.stability.stages.region.SPLIT_BOXES", 6)
    with patch(f"{blind}.search"), patch(f"{blind}.try_points"), boxes:
        result, model, query = reduced(network, domain, (above, below), certified_only=True, **options)
    first = result.disjuncts[0]
    assert first.status == "open"
    assert first.certificate is not None
    assert first.reduction is not None
    data = first.reduction.data
    return Directed(model, query, data, first.certificate.data, result.problem.network, domain, (above, below))


RECIPES = {
    "rows": lambda: directed(random_network(3, (2, 6, 6, 2), 0.7), box(2), share=0.4, split_inputs=0),
    "cover": lambda: directed(random_network(3, (2, 6, 6, 2), 0.7), box(2), share=0.4),
    "deeper": lambda: directed(random_network(14, (2, 8, 8, 8, 2), 0.7), box(2), share=0.4),
    "constraints": lambda: directed(random_network(5, (4, 8, 8, 2), 0.6), cut_box(4), share=0.4, split_inputs=0),
}


@cache
def case(name: str) -> Directed:
    """One of the recipes, made once."""
    return RECIPES[name]()
