"""Networks with smooth nodes: eps by what is piecewise linear between these (specs/rewrites.md, D-3).

A network's *plain part* has the outputs of smooth nodes and products as further inputs, and what they read as further
outputs.  Plain parts of two networks are compared like any networks, at the points where both get what the original's
smooth nodes give; then what that moves is carried through the reduced network, by sizes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, Interval, crown_bounds
from eqverify.domain import box_domain
from eqverify.errors import ContradictionError, Place
from eqverify.network import Affine, Network, Port, Product, Relu, Smooth, gamma
from eqverify.network.graph import Curved, meaning
from eqverify.problem import Problem, domain_problem
from eqverify.stability.facts import Facts

_ABOVE = 1.0 + 2.0**-48
"""Covers the rounding of a few operations on numbers that are not negative."""


def plain_part(network: Network, curved: Sequence[Curved]) -> Network:
    """What is piecewise linear: further inputs are what some smooth nodes give, outputs what they read, node by node.

    Others, of which the output is no function, are inputs behind these.
    """

    def ports(names: Iterable[str]) -> tuple[Port, ...]:
        return tuple(Port(name, (network.sizes[name],), "float64", name) for name in names)

    inputs = ports(dict.fromkeys(node.name for node in (*curved, *network.smooth)))
    read = [source for node in curved for source in node.sources]
    shown = [
        replace(port, name=f"{number} {port.name}") for number, port in enumerate((*network.outputs, *ports(read)))
    ]
    nodes = tuple(node for node in network.nodes if not isinstance(node, Curved))
    return Network((*network.inputs, *inputs), nodes, tuple(shown))


def plain_problem(problem: Problem, facts: Facts, curved: Sequence[Curved]) -> tuple[Problem, Facts, Bounds]:
    """The plain part with the ranges that its inputs have on the domain; what is known of its units; all ranges.

    The facts hold where the further inputs are what smooth nodes give, and so does all that is concluded from them.
    """
    network, hull = problem.network, problem.domain.hull
    known = {layer.source: Interval(layer.lower[None], layer.upper[None]) for layer in facts.layers}
    bounds = crown_bounds(network, hull.lower[None], hull.upper[None], known)
    plain = plain_part(network, curved)
    given = [bounds[port.name] for port in plain.inputs[len(network.inputs) :]]
    lower = np.concatenate([hull.lower, *(one.lower[0] for one in given)])
    upper = np.concatenate([hull.upper, *(one.upper[0] for one in given)])
    made = domain_problem(plain, box_domain(lower, upper))
    own = replace(facts, network_digest=made.network.digest, domain_digest=made.domain_digest)
    return made, own, bounds


def carried(curved: Sequence[Curved], reduced: Network, bounds: Bounds, gaps: FloatArray) -> FloatArray:
    """Bounds on |original - reduced| on the domain, (output_size,).

    Args:
        curved: the original's smooth node for each of `reduced`.
        reduced: the reduced network.
        bounds: ranges of the original's nodes on the domain, (1, n) each.
        gaps: bounds on the difference of their plain parts where both have the original's smooth values.
    """
    parts = np.split(gaps, np.cumsum([port.size for port in plain_part(reduced, reduced.smooth).outputs]))
    shown, read = parts[: len(reduced.outputs)], iter(parts[len(reduced.outputs) :])
    pairs, moved = iter(curved), {port.name: np.zeros(port.size) for port in reduced.inputs}
    for node in reduced.nodes:
        if isinstance(node, Affine):
            moved[node.name] = _through(node, moved)
        elif isinstance(node, Relu):
            moved[node.name] = moved[node.source]
        else:
            off = [_sum(moved[source], next(read)) for source in node.sources]
            moved[node.name] = _bent(next(pairs), bounds, off)
    found = [_sum(moved[port.source], gap) for port, gap in zip(reduced.outputs, shown, strict=True)]
    return np.concatenate(found)


def paired(original: Network, reduced: Network) -> list[Curved]:
    """For each smooth node of a reduced network one of the original: of its name, or the next of its kind.

    A wrong one gives a large eps, not a wrong one.

    Raises:
        ContradictionError: `deviation/meaning` where there is none.
    """
    found: list[Curved] = []
    for node in reduced.smooth:
        same = [one for one in original.smooth if _kind(original, one) == _kind(reduced, node)]
        best = [one for one in same if one.name == node.name] or [one for one in same if one not in found]
        if not best:
            place = Place(node=node.name)
            raise ContradictionError("deviation/meaning", "a reduced network has another smooth node", place=place)
        found.append(best[0])
    return found


def _kind(network: Network, node: Curved) -> tuple[str, int]:
    return meaning(node), network.sizes[node.name]


def _through(node: Affine, moved: Mapping[str, FloatArray]) -> FloatArray:
    total = np.zeros(node.size)
    for term in node.terms:
        total = _sum(total, term.map.absolute().forward(moved[term.source]) * (1.0 + 2 * gamma(term.map.fan_in + 2)))
    return total


def _bent(node: Curved, bounds: Bounds, off: Sequence[FloatArray]) -> FloatArray:
    """How far values of a smooth node or a product can be from the original's, if what it reads is off by so much."""
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(node, Smooth):
            z, (reach,) = bounds[node.argument], off
            ends = np.nextafter(z.lower[0] - reach, -np.inf), np.nextafter(z.upper[0] + reach, np.inf)
            found = np.where(reach == 0, 0.0, node.function.steepest(*ends) * reach * _ABOVE)
        else:
            assert isinstance(node, Product)
            (left, right), (one, other) = (bounds[source].magnitude[0] for source in node.sources), off
            found = (left * other + right * one + one * other) * _ABOVE
            found = np.where((one == 0) & (other == 0), 0.0, found)
    return np.where(np.isnan(found), np.inf, found)


def _sum(one: FloatArray, other: FloatArray) -> FloatArray:
    """A sum of numbers that are not negative, rounded up; exact where one is 0."""
    total = one + other
    return np.where((one == 0) | (other == 0), total, total * _ABOVE)
