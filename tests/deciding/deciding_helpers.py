"""Tiny questions with known answers, and stand-ins for backends and replays."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest

from eqverify.budget import Budget
from eqverify.deciding.question import Question, Reply
from eqverify.domain import Box, Case, Declaration, HalfSpace, NetworkSignature, Polytope, Specification, box_domain
from eqverify.network import Affine, Dense, Identity, Network, Port, Relu, Term
from eqverify.problem import Problem
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import stable_sets_exact

needs_marabou = pytest.mark.skipif(sys.version_info >= (3, 12), reason="maraboupy has wheels up to Python 3.11 only")


def chain(*layers, element="float32"):
    return chain_network([(np.array(matrix), np.array(bias)) for matrix, bias in layers], element)


def absolute(shift):
    """|x0| + |x1| + shift."""
    rows = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    return chain((rows, [0.0] * 4), ([[1.0] * 4], [shift]))


def cancelling(shift):
    """relu(s) - relu(s) + shift, which is shift, with s = 0.1 sum of 20 inputs; bounds see less than shift - 0.99.

    So many inputs are not split.
    """
    return chain((np.full((2, 20), 0.1), [0.0, 0.0]), ([[1.0, -1.0]], [shift]))


def needle_corner(size=14):
    """The corner of `needle`."""
    return np.where(np.arange(size) * 7 % 5 < 2, -1.0, 1.0)


def needle(size=14, opening=1e-5, depth=2.0):
    """1 - depth / opening * relu(s x - size + opening), s of signs: 1 but in one corner, where it reaches 1 - depth.

    No search tries that corner without being led there, and slopes lead there only within the opening.
    """
    shift = -float(np.float32(size - opening))
    return chain((needle_corner(size)[None], [shift]), ([[-depth / (size + shift)]], [1.0]), element="float64")


def square(size=2):
    return Box(-np.ones(size), np.ones(size))


def question(network, box=None):
    return Question(network, square(network.input_size) if box is None else box, "float32")


def problem(network, rows, box=None):
    """The network with one disjunct per tuple of rows; a row is (coefficients of outputs, bound)."""
    signature = NetworkSignature(
        "N", (Declaration("X", "Real", (network.input_size,)),), (Declaration("Y", "Real", (network.output_size,)),)
    )
    unsafe = tuple(
        tuple(
            HalfSpace({}, {j: Fraction(c) for j, c in enumerate(cs) if c}, Fraction(bound)) for cs, bound in conjunction
        )
        for conjunction in rows
    )
    part = Polytope(square(network.input_size) if box is None else box)
    return Problem(network, Specification((signature,), (Case(part, unsafe),)))


def least_maximum(network, box):
    """The exact least value over the box of the largest output."""
    source, size = network.outputs[0].source, network.outputs[0].size
    nodes = list(network.nodes)
    current = "m0"
    nodes.append(Affine("m0", (Term(source, Dense(np.eye(size)[:1])),), np.zeros(1)))
    for k in range(1, size):
        # max(a, b) = b + relu(a - b)
        nodes.append(Affine(f"b{k}", (Term(source, Dense(np.eye(size)[k : k + 1])),), np.zeros(1)))
        terms = (Term(current, Identity(1)), Term(f"b{k}", Dense(np.array([[-1.0]]))))
        nodes.append(Affine(f"d{k}", terms, np.zeros(1)))
        nodes.append(Relu(f"r{k}", f"d{k}"))
        nodes.append(Affine(f"m{k}", (Term(f"b{k}", Identity(1)), Term(f"r{k}", Identity(1))), np.zeros(1)))
        current = f"m{k}"
    whole = Network(network.inputs, tuple(nodes), (Port("max", (1,), "float64", current),))
    return stable_sets_exact(whole, box_domain(box.lower, box.upper)).outputs[0].lower


def never(points):
    """A replay that fails, and keeps nothing."""
    return False


def accepting(network):
    """A replay that believes float64."""
    from eqverify.network import evaluate

    return lambda points: bool((evaluate(network, points).max(axis=1) <= 0).any())


class FixedBackend:
    """Says the same to everything, after showing points to the replay."""

    name = "fixed"

    def __init__(self, verdict, points=(), evidence="a lie"):
        self.verdict, self.points, self.evidence, self.asked = verdict, points, evidence, []

    def decide(self, question, replay, budget):
        self.asked.append(question)
        for point in self.points:
            replay(np.asarray(point, dtype=float)[None])
        return Reply(self.verdict, self.name, self.evidence if self.verdict == "unsat" else "")


SHORT = 5.0


def budget(seconds=SHORT):
    return Budget(seconds)
