"""That a written problem is the network and the property: read back from its text, and compared in rationals.

What this compares is all that is trusted of the package: whatever else wrote a problem or a proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NoReturn

from eqverify.domain import HalfSpace
from eqverify.errors import ContradictionError
from eqverify.network import Affine, Network
from eqverify.proved.questions import Question, chain


def require_same(
    text: str, network: Network, questions: Sequence[Question], reduced: Network | None = None,
    epsilon: Sequence[float] = (), signs: Sequence[Sequence[int]] = (),
) -> None:  # fmt: skip
    """Raise unless a problem says what these say: bounds of rows rounded up, epsilon down.

    Raises:
        ContradictionError: `check/kernel-problem`.
    """
    numbers = _Numbers(text)
    one = Fraction(1, 1 << numbers.next())
    _require_network(numbers, network)
    if numbers.next() != len(questions):
        _differs("cases")
    for question in questions:
        _require_question(numbers, question, one)
    if reduced is not None:
        _require_network(numbers, reduced)
        written = numbers.list()
        if len(epsilon) != network.output_size or len(written) != len(epsilon):
            _differs("epsilon")
        if not all(0 <= Fraction(e) - w * one < one for e, w in zip(epsilon, written, strict=True)):
            _differs("epsilon")
        if [numbers.list() for _ in range(numbers.next())] != [list(units) for units in signs]:
            _differs("signs")
    numbers.end()


def require_same_point(text: str, network: Network, rows: Sequence[HalfSpace]) -> None:
    """Raise unless a problem says what a network and rows say, to the letter.

    Raises:
        ContradictionError: `check/kernel-problem`.
    """
    numbers = _Numbers(text)
    _require_network(numbers, network)
    if numbers.next() != len(rows):
        _differs("rows")
    for row in rows:
        if numbers.next() != int(row.strict):
            _differs("a strict row")
        _require_row(numbers, row, Fraction(1), exactly=True)
    numbers.end()


def _require_network(numbers: _Numbers, network: Network) -> None:
    links = chain(network)
    if numbers.next() != len(links):
        _differs("layers")
    for node, active in reversed(links):
        _require_layer(numbers, node, active)


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


def _require_question(numbers: _Numbers, question: Question, one: Fraction) -> None:
    box = question.box
    ends = [(numbers.next() * one, numbers.next() * one) for _ in range(numbers.next())]
    written = list(zip(map(Fraction, box.lower.tolist()), map(Fraction, box.upper.tolist()), strict=True))
    if ends != written:
        _differs("a box")
    _require_rows(numbers, question.common, one)
    if numbers.next() != len(question.disjuncts):
        _differs("disjuncts")
    for rows in question.disjuncts:
        _require_rows(numbers, rows, one)


def _require_rows(numbers: _Numbers, rows: Sequence[HalfSpace], one: Fraction) -> None:
    if numbers.next() != len(rows):
        _differs("rows")
    for row in rows:
        _require_row(numbers, row, one)


def _require_row(numbers: _Numbers, row: HalfSpace, one: Fraction, *, exactly: bool = False) -> None:
    outputs, inputs, limit = numbers.list(), numbers.list(), numbers.next() * one
    found = [(k, row.outputs, v) for k, v in enumerate(outputs)] + [(k, row.inputs, v) for k, v in enumerate(inputs)]
    if not _rounded(found, row, limit, Fraction(0) if exactly else one):
        _differs("a row")


def _rounded(
    found: Sequence[tuple[int, Mapping[int, Fraction], int]], row: HalfSpace, limit: Fraction, one: Fraction
) -> bool:
    """Whether integers are a positive multiple of a row, its bound rounded up by less than `one`, or not at all."""
    factors = {Fraction(v) / one[k] for k, one, v in found if k in one}
    whole = sum(k in one for k, one, _ in found) == len(row.outputs) + len(row.inputs)
    if not whole or len(factors) > 1 or any(v for k, one, v in found if k not in one):
        return False
    factor = factors.pop() if factors else Fraction(1)
    off = limit - factor * row.bound
    return factor > 0 and (off == 0 or 0 < off < one)


def _differs(what: str) -> NoReturn:
    raise ContradictionError("check/kernel-problem", "what was written for the kernel is another problem", value=what)
