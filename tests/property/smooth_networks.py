"""Random networks with smooth nodes, and what they compute, by balls of python-flint."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import flint
import numpy as np
from hypothesis import strategies as st

from eqverify.network import Affine, Dense, Network, Port, Product, Relu, Smooth, Term
from tests.functions.function_checks import MEANINGS, POSITIVE

SAFE = [f for f in MEANINGS if f not in POSITIVE and f.name not in ("Reciprocal", "Exp", "Power 8")]
"""Functions of any number, whose values do not explode."""


@st.composite
def smooth_networks(draw, most_inputs=3, without=()):
    """A chain of dense layers of which each is followed by ReLUs or one function, with one skip now and then.

    Logarithms, roots and reciprocals read a ReLU plus a positive number.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = [draw(st.integers(1, most_inputs)), *draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))]
    nodes, source, behind = [], "x", []
    for k, (count, size) in enumerate(pairwise(sizes)):
        terms = [Term(source, Dense(_weights(rng, (size, count))))]
        if behind and draw(st.booleans()):
            name, width = behind[0]
            terms.append(Term(name, Dense(_weights(rng, (size, width)))))
        nodes.append(Affine(f"z{k}", tuple(terms), _weights(rng, size)))
        source = f"h{k}"
        smooth = [f for f in (*SAFE, *POSITIVE) if f.name not in without]
        kind = draw(st.sampled_from(["relu", "relu", "product", *smooth]))
        if kind == "relu":
            nodes.append(Relu(source, f"z{k}"))
        elif kind == "product":
            nodes.append(Affine(f"q{k}", (Term(f"z{k}", Dense(_weights(rng, (size, size)))),), _weights(rng, size)))
            nodes.append(Product(source, f"z{k}", f"q{k}"))
        elif kind in POSITIVE:
            least = np.full(size, draw(st.sampled_from([0.01, 0.5, 2.0])))
            nodes += [Relu(f"r{k}", f"z{k}"), Affine(f"p{k}", (Term(f"r{k}", Dense(np.eye(size))),), least)]
            nodes.append(Smooth(source, f"p{k}", kind))
        else:
            nodes.append(Smooth(source, f"z{k}", kind))
        behind.append((source, size))
    nodes.append(Affine("y", (Term(source, Dense(_weights(rng, (2, sizes[-1])))),), _weights(rng, 2)))
    return Network((Port("x", (sizes[0],), "float64", "x"),), tuple(nodes), (Port("y", (2,), "float64", "y"),))


def _weights(rng, shape):
    return np.round(rng.normal(size=shape), 2)


@st.composite
def boxes(draw, network):
    """(lower, upper), (input_size,) each, some of them points."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    centre = rng.normal(size=network.input_size)
    width = rng.uniform(size=network.input_size) * draw(st.sampled_from([0.0, 1e-3, 0.3, 1.0]))
    return centre - width, centre + width


def points_of(lower, upper, count, seed=0):
    """(count, n) points of a box: corners and inner ones."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(size=(count, lower.size))
    shares[::2] = np.round(shares[::2])
    return np.clip(lower + shares * (upper - lower), lower, upper)


def balls(network, x):
    """By input and node, the values at a point, as a list of balls."""
    with flint.ctx.workprec(400):
        values = {"x": [flint.arb(float(v)) for v in x]}
        for node in network.nodes:
            if isinstance(node, Affine):
                values[node.name] = [_row(node, values, k) for k in range(node.size)]
            elif isinstance(node, Relu):
                values[node.name] = [v if v >= 0 else flint.arb(0).max(v) for v in values[node.source]]
            elif isinstance(node, Product):
                values[node.name] = [a * b for a, b in zip(values[node.left], values[node.right], strict=True)]
            else:
                values[node.name] = [MEANINGS[node.function](v) for v in values[node.argument]]
        return values


def _row(node, values, k):
    total = flint.arb(float(node.bias[k]))
    for term in node.terms:
        for weight, value in zip(term.map.dense()[k].tolist(), values[term.source], strict=True):
            total += flint.arb(weight) * value
    return total


def middle(ball):
    """A rational next to a ball's value: within 2^-300 of it, at the sizes here."""
    mantissa, exponent = ball.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
