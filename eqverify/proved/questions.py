"""What is asked of the proved checker, in the types that the front ends return.  All of this module is trusted.

A claim about a network and a property becomes boxes with rows that hold there, and disjuncts that nothing may satisfy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from eqverify.domain import Box, Case, Domain, HalfSpace, Polytope, Specification
from eqverify.domain.condition import Conjunction
from eqverify.errors import LimitError, Place
from eqverify.network import Affine, Network, Relu

_MOST_WEIGHTS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The inputs in a box that satisfy all rows of `common`, and disjuncts of which they satisfy none, or any."""

    box: Box
    common: Sequence[HalfSpace]
    disjuncts: Sequence[Conjunction]


def of_property(specification: Specification) -> list[Question]:
    """That no input satisfies a property (K-13): one for each case."""
    return [Question(case.polytope.box, polytope_rows(case.polytope), case.unsafe) for case in specification.cases]


def of_disjunct(case: Case, number: int) -> Question:
    """That no input of a case satisfies one disjunct, from 0 (K-8)."""
    return Question(case.polytope.box, polytope_rows(case.polytope), (case.unsafe[number],))


def of_inputs(domain: Domain) -> list[Question]:
    """What holds of all inputs of a property (K-6, K-7): one for each part."""
    return [Question(part.box, polytope_rows(part), ()) for part in domain.polytopes]


def where_disjunct(case: Case, number: int) -> Question:
    """What holds of the inputs of a case that satisfy a disjunct, from 0 (K-12)."""
    return Question(case.polytope.box, [*case.unsafe[number], *polytope_rows(case.polytope)], ())


def rows_of_point(case: Case, number: int) -> list[HalfSpace]:
    """All that an input has to satisfy, as it is written, for a disjunct, from 0, of a case (K-14)."""
    box, written, rows = case.polytope.box, case.written, polytope_rows(case.polytope)
    for i, (low, high) in enumerate(zip(box.lower.tolist(), box.upper.tolist(), strict=True)):
        rows += _ends(i, (Fraction(low), Fraction(high)), (False, False))
    if written is not None:
        rows += written.rows
        for i in range(written.size):
            rows += _ends(i, written.interval(i), written.strict_ends(i))
    return [*rows, *case.unsafe[number]]


def _ends(i: int, ends: tuple[Fraction, Fraction], excluded: tuple[bool, bool]) -> list[HalfSpace]:
    """That an input lies between two numbers."""
    (low, high), (above, below) = ends, excluded
    return [HalfSpace({i: Fraction(-1)}, {}, -low, above), HalfSpace({i: Fraction(1)}, {}, high, below)]


def polytope_rows(polytope: Polytope) -> list[HalfSpace]:
    """A x <= b."""
    return [
        HalfSpace({i: Fraction(a) for i, a in enumerate(row) if a}, {}, Fraction(bound))
        for row, bound in zip(polytope.matrix.tolist(), polytope.bound.tolist(), strict=True)
    ]


def chain(network: Network) -> list[tuple[Affine, bool]]:
    """The affine nodes from the input to the outputs, and whether each reads a ReLU."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise refused("the network has several inputs or outputs")
    if network.smooth:
        raise refused("the network has smooth nodes", node=network.smooth[0].name)
    links: list[tuple[Affine, bool]] = []
    last, active = network.inputs[0].name, False
    for node in network.plain_nodes:
        if list(node.sources) != [last]:
            raise refused("the network is no chain", node=node.name)
        if isinstance(node, Relu):
            active = True
        else:
            links.append((node, active))
            active = False
        last = node.name
    if active or not links or network.outputs[0].source != last:
        raise refused("the last node is not affine, or no output", node=last)
    if sum(node.size * node.terms[0].map.shape[1] for node, _ in links) > _MOST_WEIGHTS:
        raise refused("the network has more weights than are written")
    return links


def refused(why: str, value: object = None, node: str | None = None) -> LimitError:
    """What the theorems do not cover, or what is not written for them."""
    return LimitError(
        "check/kernel-scope", "the checker that is proved in Coq does not cover it", place=Place(node=node),
        value=why if value is None else f"{why}: {value}", hint="use --arithmetic exact without --kernel",
    )  # fmt: skip
