"""Inputs that a network has beside those that a property describes, each between two numbers of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain.box import Box
from eqverify.domain.condition import Case, Declaration, Specification
from eqverify.domain.polytope import Domain, Polytope
from eqverify.domain.written import Written

Radii = Callable[[Box], FloatArray]
"""(k,) by how much the further inputs are off zero at most, where the others lie in a box."""


def widened_specification(specification: Specification, radii: Radii) -> Specification:
    """A specification of one network with further inputs behind its own."""
    made: dict[int, Polytope] = {}
    cases = []
    for case in specification.cases:
        if id(case.polytope) not in made:  # bounds are what this takes time for
            made[id(case.polytope)] = _polytope(case.polytope, radii)
        part = made[id(case.polytope)]
        written = None if case.written is None else _written(case.written, part)
        cases.append(Case(part, case.unsafe, written))
    (signature,), size = specification.networks, _added(specification.cases[0].polytope, cases[0].polytope)
    inputs = (*signature.inputs, Declaration("roundings", "Real", (size,)))
    return replace(specification, networks=(replace(signature, inputs=inputs),), cases=tuple(cases))


def widened_domain(domain: Domain, radii: Radii) -> Domain:
    """A domain with further inputs behind its own."""
    parts = tuple(_polytope(part, radii) for part in domain.polytopes)
    texts = zip(parts, domain.written, strict=True) if domain.written else ()
    return Domain(parts, tuple(tuple(_written(text, part) for text in several) for part, several in texts))


def _polytope(part: Polytope, radii: Radii) -> Polytope:
    more = radii(part.box)
    box = Box(np.concatenate([part.box.lower, -more]), np.concatenate([part.box.upper, more]))
    return Polytope(box, np.concatenate([part.matrix, np.zeros((part.bound.size, more.size))], axis=1), part.bound)


def _written(text: Written, part: Polytope) -> Written:
    new = range(text.size, part.box.size)
    lower = {i: Fraction(part.box.lower[i]) for i in new}
    upper = {i: Fraction(part.box.upper[i]) for i in new}
    bounds = replace(text.bounds, lower={**text.bounds.lower, **lower}, upper={**text.bounds.upper, **upper})
    return Written(part.box.size, bounds, text.rows)


def _added(before: Polytope, after: Polytope) -> int:
    return after.box.size - before.box.size
