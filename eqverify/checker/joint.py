"""Several networks as one (specs/certificate.md): side by side, equated inputs made one (K-16), or all (K-17)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from eqverify.arrays import IntArray
from eqverify.domain import Box, Case, Conjunction, HalfSpace, Polytope, Specification
from eqverify.network import Affine, Network, Node, Port, Relu, Selection, Term

_SHARED = "\0x"
"""The name of the inputs that are left; no input of a file can begin with the first character."""


def side_by_side(networks: Sequence[Network]) -> Network:
    """The network that reads the inputs of all in order, and shows their outputs in order; names are numbered."""
    inputs: list[Port] = []
    outputs: list[Port] = []
    nodes: list[Node] = []
    for number, network in enumerate(networks):
        prefix = f"\0{number}:"
        for ports, own in ((inputs, network.inputs), (outputs, network.outputs)):
            ports += [replace(port, name=prefix + port.name, source=prefix + port.source) for port in own]
        for node in network.plain_nodes:
            if isinstance(node, Relu):
                nodes.append(Relu(prefix + node.name, prefix + node.source))
            else:
                terms = tuple(Term(prefix + term.source, term.map) for term in node.terms)
                nodes.append(Affine(prefix + node.name, terms, node.bias))
    return Network(tuple(inputs), tuple(nodes), tuple(outputs))


def compared(
    first: Network, second: Network, specification: Specification, epsilons: Sequence[Fraction] | None
) -> tuple[Network, Specification]:
    """Both networks over the same inputs, and a property that an input satisfies just where they differ (K-17).

    Args:
        first, second: networks with as many inputs and outputs as the property says.
        specification: whose inputs count; its conditions do not.
        epsilons: for each output, the deviation that is allowed; None where equal largest outputs are asked for.
    """
    whole = side_by_side([first, second])
    network = _reading(whole, np.tile(np.arange(first.input_size), 2), first.input_size)
    count = first.output_size
    unsafe = _other_tops(count) if epsilons is None else _apart(epsilons)
    return network, replace(specification, cases=tuple(replace(case, unsafe=unsafe) for case in specification.cases))


def _apart(epsilons: Sequence[Fraction]) -> tuple[Conjunction, ...]:
    """For each output k,  f_k - g_k > eps_k,  then  g_k - f_k > eps_k."""
    one, count = Fraction(1), len(epsilons)
    rows = [({k: -sign, count + k: sign}, -most) for k, most in enumerate(epsilons) for sign in (one, -one)]
    return tuple((HalfSpace({}, outputs, bound, strict=True),) for outputs, bound in rows)


def _other_tops(count: int) -> tuple[Conjunction, ...]:
    """For each pair i, j of outputs: i is largest for f, j for g, and neither is tied with the other."""

    def ahead(winner: int, other: int, start: int) -> Conjunction:
        return tuple(
            HalfSpace({}, {start + k: Fraction(1), start + winner: Fraction(-1)}, Fraction(0), k == other)
            for k in range(count)
            if k != winner
        )

    return tuple(ahead(i, j, 0) + ahead(j, i, count) for i in range(count) for j in range(count) if i != j)


def shared(network: Network, case: Case) -> tuple[Network, Case] | None:
    """A network and a case over the inputs that are left where those that are equated are one.

    Whoever satisfies the case satisfies what is returned: rows are left out whose sums are no floats.

    Returns:
        None where two boxes of equated inputs have nothing in common: no input satisfies the case.
    """
    place = _places(case.polytope)
    count, box = int(place.max()) + 1, case.polytope.box
    lower, upper = np.full(count, -np.inf), np.full(count, np.inf)
    np.maximum.at(lower, place, box.lower)
    np.minimum.at(upper, place, box.upper)
    if (lower > upper).any():
        return None
    rows, bounds = [], []
    for row, bound in zip(case.polytope.matrix, case.polytope.bound.tolist(), strict=True):
        total = [Fraction(0)] * count
        for i in np.flatnonzero(row).tolist():
            total[place[i]] += Fraction(float(row[i]))
        floats = [float(value) for value in total]
        if any(floats) and all(Fraction(one) == value for one, value in zip(floats, total, strict=True)):
            rows.append(floats)
            bounds.append(bound)
    part = Polytope(Box(lower, upper), np.array(rows, dtype=np.float64).reshape(-1, count), np.array(bounds))
    unsafe = tuple(tuple(_moved(row, place) for row in rows) for rows in case.unsafe)
    return _reading(network, place, count), Case(part, unsafe)


def _places(polytope: Polytope) -> IntArray:
    """(inputs,) the number of what is left of each input, numbered by first occurrence.

    Equated are x_a and x_b where rows say c x_a - c x_b <= 0 and the reverse, for some c > 0 each.
    """
    first = list(range(polytope.box.size))
    below = set()
    for row, bound in zip(polytope.matrix, polytope.bound.tolist(), strict=True):
        columns = np.flatnonzero(row).tolist()
        if bound == 0 and len(columns) == 2 and row[columns[0]] == -row[columns[1]]:
            below.add(tuple(columns if row[columns[0]] > 0 else columns[::-1]))
    for a, b in sorted(below):
        if (b, a) in below:
            low, high = sorted((first[a], first[b]))
            first = [low if one == high else one for one in first]
    numbers = {one: k for k, one in enumerate(dict.fromkeys(first))}
    return np.array([numbers[one] for one in first], dtype=np.int64)


def _moved(row: HalfSpace, place: IntArray) -> HalfSpace:
    inputs: dict[int, Fraction] = {}
    for i, value in row.inputs.items():
        inputs[int(place[i])] = inputs.get(int(place[i]), Fraction(0)) + value
    return replace(row, inputs={i: value for i, value in inputs.items() if value})


def _reading(network: Network, place: IntArray, count: int) -> Network:
    """The network with its inputs read from what is left of them."""
    reading, start = [], 0
    for port in network.inputs:
        own = place[start : start + port.size]
        start += port.size
        reading.append(Affine(port.name, (Term(_SHARED, Selection(own, count)),), np.zeros(port.size)))
    port = Port(_SHARED, (count,), network.inputs[0].element, _SHARED)
    return Network((port,), (*reading, *network.nodes), network.outputs)
