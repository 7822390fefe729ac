"""That a written problem is the network and the property: read back from its text, and compared in rationals.

What this compares is all that is trusted of the package: whatever else wrote a problem or a proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NoReturn

from eqverify.domain import Case, HalfSpace, Specification
from eqverify.errors import ContradictionError
from eqverify.network import Affine, Network
from eqverify.proved.problem import chain, polytope_rows


def require_same(text: str, network: Network, specification: Specification) -> None:
    """Raise unless a problem says what network and property say, bounds of rows rounded up.

    Raises:
        ContradictionError: `check/kernel-problem`.
    """
    numbers = _Numbers(text)
    one = Fraction(1, 1 << numbers.next())
    links = chain(network)
    if numbers.next() != len(links):
        _differs("layers")
    for node, active in reversed(links):
        _require_layer(numbers, node, active)
    if numbers.next() != len(specification.cases):
        _differs("cases")
    for case in specification.cases:
        _require_case(numbers, case, one)
    numbers.end()


class _Numbers:
    def __init__(self, text: str) -> None:
        self.values, self.place = [int(word) for word in text.split()], 0

    def next(self) -> int:
        """One number."""
        self.place += 1
        return self.values[self.place - 1]

    def list(self) -> Sequence[int]:
        """As many as the first one says."""
        return [self.next() for _ in range(self.next())]

    def end(self) -> None:
        """Nothing is left."""
        if self.place != len(self.values):
            _differs("the end")


def _require_layer(numbers: _Numbers, node: Affine, active: bool) -> None:
    one = Fraction(1, 1 << numbers.next())
    weights, bias = [numbers.list() for _ in range(numbers.next())], numbers.list()
    matrix = node.terms[0].map.dense().tolist()
    same = len(weights) == len(matrix) and all(_equal(*pair, one) for pair in zip(weights, matrix, strict=True))
    if not same or not _equal(bias, node.bias.tolist(), one) or numbers.next() != int(active):
        _differs(node.name)


def _equal(integers: Sequence[int], floats: Sequence[float], one: Fraction) -> bool:
    """Whether integers times `one`, 1 / 2^k, are the floats."""
    ratios = [value.as_integer_ratio() for value in floats]
    scaled = [n * (one.denominator // d) if one.denominator % d == 0 else None for n, d in ratios]
    return scaled == list(integers)


def _require_case(numbers: _Numbers, case: Case, one: Fraction) -> None:
    box = case.polytope.box
    ends = [(numbers.next() * one, numbers.next() * one) for _ in range(numbers.next())]
    written = list(zip(map(Fraction, box.lower.tolist()), map(Fraction, box.upper.tolist()), strict=True))
    if ends != written:
        _differs("a box")
    _require_rows(numbers, polytope_rows(case.polytope), one)
    if numbers.next() != len(case.unsafe):
        _differs("disjuncts")
    for rows in case.unsafe:
        _require_rows(numbers, rows, one)


def _require_rows(numbers: _Numbers, rows: Sequence[HalfSpace], one: Fraction) -> None:
    if numbers.next() != len(rows):
        _differs("rows")
    for row in rows:
        outputs, inputs, limit = numbers.list(), numbers.list(), numbers.next() * one
        found = [(k, row.outputs, v) for k, v in enumerate(outputs)] + [
            (k, row.inputs, v) for k, v in enumerate(inputs)
        ]
        if not _rounded(found, row, limit, one):
            _differs("a row")


def _rounded(
    found: Sequence[tuple[int, Mapping[int, Fraction], int]], row: HalfSpace, limit: Fraction, one: Fraction
) -> bool:
    """Whether a row with these integers is a positive multiple of one of the property, with its bound rounded up."""
    factors = {Fraction(v) / one[k] for k, one, v in found if k in one}
    whole = sum(k in one for k, one, _ in found) == len(row.outputs) + len(row.inputs)
    if not whole or len(factors) > 1 or any(v for k, one, v in found if k not in one):
        return False
    factor = factors.pop() if factors else Fraction(1)
    return factor > 0 and 0 <= limit - factor * row.bound < one


def _differs(what: str) -> NoReturn:
    raise ContradictionError("check/kernel-problem", "what was written for the kernel is another problem", value=what)
