"""Small problems solved by hand: every path through eqverify must find these answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.network import Affine, Dense, Identity, Network, Node, Port, Relu, Term
from eqverify.testing.chains import chain_network

Matrix = list[list[float]]


@dataclass(frozen=True, slots=True, eq=False)
class Handmade:
    """A problem with its answer.

    Attributes:
        name: unique.
        network: the network.
        domain: the input set.
        ranges: per ReLU node, per unit, the exact (least, greatest) pre-activation on the domain.
        outputs: per flat output, the exact (least, greatest) value on the domain.
        reduced: a network that agrees with `network` on the domain exactly.
        fewest_relus: least number of ReLUs of any network with skip connections that agrees on the domain.
        why: one sentence.
    """

    name: str
    network: Network
    domain: Domain
    ranges: dict[str, tuple[tuple[float, float], ...]]
    outputs: tuple[tuple[float, float], ...]
    reduced: Network
    fewest_relus: int
    why: str

    def units(self, stability: str) -> frozenset[tuple[str, int]]:
        """The (ReLU node, unit) pairs that are ``inactive``, ``active`` or ``unstable``; constant zero is inactive."""
        found = set()
        for name, ranges in self.ranges.items():
            for unit, (low, high) in enumerate(ranges):
                kind = "inactive" if high <= 0 else "active" if low >= 0 else "unstable"
                if kind == stability:
                    found.add((name, unit))
        return frozenset(found)


def _chain(*layers: tuple[Matrix, list[float]]) -> Network:
    return chain_network([(np.array(matrix), np.array(bias)) for matrix, bias in layers])


def _constant(inputs: int, value: float) -> Network:
    return _chain(([[0.0] * inputs], [value]))


def _box(lower: list[float], upper: list[float]) -> Domain:
    return box_domain(np.array(lower), np.array(upper))


def _network(inputs: int, nodes: tuple[Node, ...], source: str) -> Network:
    return Network((Port("X", (inputs,), "float64", "X"),), nodes, (Port("Y", (1,), "float64", source),))


def absolute_value() -> Handmade:
    """|x| on [-1, 1] by two ReLUs."""
    network = _chain(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0]))
    nodes: tuple[Node, ...] = (
        Affine("z", (Term("X", Identity(1)),), np.zeros(1)),
        Relu("h", "z"),
        Affine("y", (Term("h", Dense(np.array([[2.0]]))), Term("X", Dense(np.array([[-1.0]])))), np.zeros(1)),
    )
    return Handmade(
        "absolute-value",
        network,
        _box([-1.0], [1.0]),
        {"relu0": ((-1.0, 1.0), (-1.0, 1.0))},
        ((0.0, 1.0),),
        _network(1, nodes, "y"),
        1,
        "Both units change sign at 0; they are antiparallel, so relu(-x) = relu(x) - x leaves one kink and a skip.",
    )


def one_of_each() -> Handmade:
    """An inactive, an active and an unstable unit."""
    network = _chain(([[1.0], [1.0], [1.0]], [-2.0, 2.0, 0.0]), ([[5.0, 1.0, 1.0]], [0.0]))
    nodes: tuple[Node, ...] = (
        Relu("h", "X"),
        Affine("y", (Term("h", Identity(1)), Term("X", Identity(1))), np.array([2.0])),
    )
    return Handmade(
        "one-of-each",
        network,
        _box([-1.0], [1.0]),
        {"relu0": ((-3.0, -1.0), (1.0, 3.0), (-1.0, 1.0))},
        ((1.0, 4.0),),
        _network(1, nodes, "y"),
        1,
        "On [-1, 1] x - 2 < 0 vanishes, x + 2 > 0 is linear, and only x changes sign: y = relu(x) + x + 2.",
    )


def ties() -> Handmade:
    """Units that touch zero at an end of the domain."""
    network = _chain(([[1.0], [1.0]], [-1.0, 1.0]), ([[7.0, 1.0]], [0.5]))
    return Handmade(
        "ties",
        network,
        _box([-1.0], [1.0]),
        {"relu0": ((-2.0, 0.0), (0.0, 2.0))},
        ((0.5, 2.5),),
        _chain(([[1.0]], [1.5])),
        0,
        "x - 1 reaches 0 only at x = 1 and x + 1 only at x = -1: both are stable, for equality is allowed.",
    )


def hidden_dependency() -> Handmade:
    """A unit that is stable although interval arithmetic says otherwise."""
    network = _chain(
        ([[1.0], [-1.0]], [0.0, 0.0]),
        ([[1.0, 1.0], [-1.0, -1.0]], [-1.0, 0.5]),
        ([[1.0, 1.0]], [0.0]),
    )
    nodes: tuple[Node, ...] = (
        Relu("h0", "X"),
        Affine("z1", (Term("h0", Dense(np.array([[-2.0]]))), Term("X", Identity(1))), np.array([0.5])),
        Relu("h1", "z1"),
    )
    return Handmade(
        "hidden-dependency",
        network,
        _box([-1.0], [1.0]),
        {"relu0": ((-1.0, 1.0), (-1.0, 1.0)), "relu1": ((-1.0, 0.0), (-0.5, 0.5))},
        ((0.0, 0.5),),
        _network(1, nodes, "h1"),
        2,
        "|x| - 1 <= 0 needs that relu(x) and relu(-x) are never positive together; relu(1/2 - |x|) has three kinks, "
        "which one ReLU and a skip cannot make, but two nested ones can.",
    )


def dependent_active() -> Handmade:
    """Three stably active units of rank two."""
    network = _chain(([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [1.0, 1.0, 2.0]), ([[1.0, 2.0, -1.0]], [0.0]))
    return Handmade(
        "dependent-active",
        network,
        _box([-1.0, -1.0], [1.0, 1.0]),
        {"relu0": ((0.0, 2.0), (0.0, 2.0), (0.0, 4.0))},
        ((0.0, 2.0),),
        _chain(([[0.0, 1.0]], [1.0])),
        0,
        "The third unit is the sum of the others, all are active, and (x+1) + 2(y+1) - (x+y+2) = y + 1.",
    )


def inactive_layer() -> Handmade:
    """A layer that is switched off makes the network constant."""
    network = _chain(
        ([[1.0, -1.0], [2.0, 1.0]], [-2.0, -3.0]), ([[3.0, 4.0], [1.0, 1.0]], [1.0, -1.0]), ([[2.0, 5.0]], [0.25])
    )
    return Handmade(
        "inactive-layer",
        network,
        _box([0.0, 0.0], [1.0, 1.0]),
        {"relu0": ((-3.0, -1.0), (-3.0, 0.0)), "relu1": ((1.0, 1.0), (-1.0, -1.0))},
        ((2.25, 2.25),),
        _constant(2, 2.25),
        0,
        "Both first units stay at or below 0 on [0, 1]^2, so the second layer sees (1, -1) and y = 2*1 + 1/4.",
    )


def point() -> Handmade:
    """A domain of zero width."""
    network = _chain(([[1.0, 1.0], [1.0, -1.0]], [0.0, -1.0]), ([[1.0, 1.0]], [0.0]))
    return Handmade(
        "point",
        network,
        _box([0.5, -0.5], [0.5, -0.5]),
        {"relu0": ((0.0, 0.0), (0.0, 0.0))},
        ((0.0, 0.0),),
        _constant(2, 0.0),
        0,
        "At the single input (1/2, -1/2) both pre-activations are exactly 0.",
    )


def union_gap() -> Handmade:
    """A union of two intervals whose hull would make a unit unstable."""
    network = _chain(([[1.0], [-2.0], [1.0]], [-2.0, 4.0, 0.0]), ([[1.0, 1.0, 1.0]], [0.0]))
    part = [Polytope(Box(np.array([low]), np.array([high]))) for low, high in ((0.0, 1.0), (3.0, 4.0))]
    nodes: tuple[Node, ...] = (
        Affine("z", (Term("X", Identity(1)),), np.array([-2.0])),
        Relu("h", "z"),
        Affine("y", (Term("h", Dense(np.array([[3.0]]))), Term("X", Dense(np.array([[-1.0]])))), np.array([4.0])),
    )
    return Handmade(
        "union-gap",
        network,
        Domain(tuple(part)),
        {"relu0": ((-2.0, 2.0), (-4.0, 4.0), (0.0, 4.0))},
        ((3.0, 6.0),),
        _network(1, nodes, "y"),
        1,
        "x - 2 is negative on [0, 1] and positive on [3, 4]: unstable on the union although no part contains its kink; "
        "relu(4 - 2x) = 2 relu(x - 2) - 2x + 4 and x >= 0, hence y = 3 relu(x - 2) - x + 4.",
    )


def simplex() -> Handmade:
    """A linear constraint that decides a unit."""
    network = _chain(([[1.0, 1.0], [1.0, -1.0]], [-1.0, 0.0]), ([[1.0, 1.0]], [0.0]))
    reduced = _chain(([[1.0, -1.0]], [0.0]), ([[1.0]], [0.0]))
    box = Box(np.zeros(2), np.ones(2))
    return Handmade(
        "simplex",
        network,
        Domain((Polytope(box, np.array([[1.0, 1.0]]), np.array([1.0])),)),
        {"relu0": ((-1.0, 0.0), (-1.0, 1.0))},
        ((0.0, 1.0),),
        reduced,
        1,
        "On x + y <= 1 the first unit never gets positive; on the box alone it would reach 1.",
    )


def split_unit() -> Handmade:
    """A unit split into scaled copies, as obfuscators do."""
    network = _chain(([[2.0, -1.0], [4.0, -2.0], [-2.0, 1.0]], [0.5, 1.0, -0.5]), ([[1.0, 0.5, -2.0]], [0.0]))
    nodes: tuple[Node, ...] = (
        Affine("z", (Term("X", Dense(np.array([[2.0, -1.0]]))),), np.array([0.5])),
        Affine("y", (Term("z", Dense(np.array([[2.0]]))),), np.zeros(1)),
    )
    return Handmade(
        "split-unit",
        network,
        _box([-1.0, -1.0], [1.0, 1.0]),
        {"relu0": ((-2.5, 3.5), (-5.0, 7.0), (-3.5, 2.5))},
        ((-5.0, 7.0),),
        _network(2, nodes, "y"),
        0,
        "With z = 2x - y + 1/2: relu(z) + relu(2z)/2 - 2 relu(-z) = 2 relu(z) - 2 relu(-z) = 2z.",
    )


def all_handmade() -> tuple[Handmade, ...]:
    """All hand-solved problems."""
    return (
        absolute_value(),
        one_of_each(),
        ties(),
        hidden_dependency(),
        dependent_active(),
        inactive_layer(),
        point(),
        union_gap(),
        simplex(),
        split_unit(),
    )
