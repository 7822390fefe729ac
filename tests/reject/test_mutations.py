"""Mutants of valid certificates: whatever is still verified is true, by enumeration of linear regions.

A few hundred mutants by default; with the profile `deep` (HYPOTHESIS_PROFILE) 10,000.
"""

from __future__ import annotations

import json
import os
from fractions import Fraction

import numpy as np
import pytest

from eqverify.checker import check_bytes
from eqverify.frontend.onnx import parse_network
from eqverify.testing.oracle import deviations_exact, stable_sets_exact

from ..check.certificate_cases import MAGIC, RECIPES, case, pack, unpack

COUNT = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 60
TINY = ["boxes", "two-parts", "float64", "residual"]
"""Recipes whose truth the oracle enumerates."""


class Truth:
    """What is true of a case."""

    def __init__(self, original, reduced, domain):
        found = deviations_exact(original, reduced, domain)
        self.deviations = [d.value for d in found]
        self.layers = list(stable_sets_exact(original, domain).layers.values())

    def allows(self, verdict, certificate):
        head, arrays = unpack(certificate)
        for layer, ranges in zip(head["layers"], self.layers, strict=True):
            columns = (arrays[layer[key]] for key in ("status", "lower", "upper"))
            for status, low, high, truth in zip(*columns, ranges, strict=True):
                if (status == 1 and truth.upper > 0) or (status == 2 and truth.lower < 0):
                    return False
                if (np.isfinite(low) and Fraction(float(low)) > truth.lower) or (
                    np.isfinite(high) and Fraction(float(high)) < truth.upper
                ):
                    return False
        return all(d <= Fraction(eps) for d, eps in zip(self.deviations, verdict.epsilons, strict=True))


def mutate_array(random, arrays):
    index = int(random.integers(len(arrays)))
    array = arrays[index]
    kind = random.choice(["value", "sign", "swap", "drop", "repeat", "fill", "scale", "bit"])
    if not array.size:
        return
    spot = int(random.integers(array.size))
    if kind == "value":
        choices = (
            [0, 1, -1, 2, 7, 2**31 - 1, -(2**31)]
            if array.dtype.kind == "i"
            else [0, 1, -1, 1e-300, 1e300, np.inf, np.nan]
        )
        value = random.choice(choices)
        limit = {"int8": 127, "float32": 1e30}.get(array.dtype.name, np.inf)
        array.flat[spot] = np.clip(value, -limit, limit)
    elif kind == "sign":
        array.flat[spot] *= -1
    elif kind == "swap":
        other = int(random.integers(array.size))
        array.flat[spot], array.flat[other] = array.flat[other], array.flat[spot]
    elif kind == "drop":
        arrays[index] = array[:-1]
    elif kind == "repeat":
        arrays[index] = np.concatenate([array, array[:1]])
    elif kind == "fill":
        array.fill(array.flat[spot])
    elif kind == "scale" and array.dtype.kind == "f":
        array *= random.choice([0.0, 0.5, 0.999, 1.001, 2.0])
    else:
        view = array.view(np.uint8).reshape(-1)
        view[int(random.integers(view.size))] ^= 1 << int(random.integers(8))


def places(value, way=()):
    """All places in a JSON value."""
    yield way
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*way, key))


def mutate_head(random, head):
    ways = [way for way in places(head) if way]
    way = ways[int(random.integers(len(ways)))]
    target = head
    for key in way[:-1]:
        target = target[key]
    kind, last = random.choice(["delete", "replace", "add", "other", "repeat"]), way[-1]
    value = target[last]
    if kind == "delete":
        del target[last]
    elif kind == "replace":
        target[last] = [None, 0, -1, 1, 3, 10**9, 1.5, "x", [], {}, True][int(random.integers(11))]
    elif kind == "add" and type(value) is int:
        target[last] = value + int(random.choice([-1, 1]))
    elif kind == "repeat" and isinstance(target, list):
        target.insert(last, value)
    else:
        other = ways[int(random.integers(len(ways)))]
        found = head
        for key in other:
            found = found[key]
        target[last] = json.loads(json.dumps(found))


def mutant(random, certificate):
    head, arrays = unpack(certificate)
    for _ in range(int(random.integers(1, 3))):
        if random.random() < 0.6:
            mutate_array(random, arrays)
        else:
            mutate_head(random, head)
    try:
        return pack(head, arrays)
    except (KeyError, TypeError, AttributeError):
        return None


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_mutants_that_are_verified_are_true(name):
    one, random = case(name), np.random.default_rng(1)
    truth = Truth(one.original, parse_network(one.reduced), one.domain)
    accepted = 0
    for _ in range(COUNT):
        changed = mutant(random, one.certificate)
        if changed is None:
            continue
        verdict = one.check(changed)
        assert verdict.verified == (verdict.exit_status == 0)
        if verdict.verified:
            accepted += 1
            assert truth.allows(verdict, changed)
        else:
            assert verdict.code
    assert accepted < COUNT * 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(RECIPES) - set(TINY)))
def test_mutants_with_multipliers_and_sign_trees_never_crash_nor_claim_more(name):
    """Here the truth is too large to enumerate: a verified mutant may not claim more than the original certificate."""
    one, random = case(name), np.random.default_rng(2)
    valid = one.check()
    statuses = [unpack(one.certificate)[1][layer["status"]] for layer in unpack(one.certificate)[0]["layers"]]
    for _ in range(COUNT):
        changed = mutant(random, one.certificate)
        if changed is None:
            continue
        verdict = one.check(changed)
        assert verdict.verified or verdict.code
        if verdict.verified:
            assert verdict.solver_trusted >= 0
            head, arrays = unpack(changed)
            for layer, before in zip(head["layers"], statuses, strict=True):
                after = arrays[layer["status"]]
                assert ((after == 0) | (after == before)).all()
            if verdict.solver_trusted < valid.solver_trusted:
                assert sum(step["kind"] == "solver" for step in head["steps"]) < valid.solver_trusted
            assert all(a >= b * 0.999 for a, b in zip(verdict.epsilons, valid.epsilons, strict=True))


@pytest.mark.slow
def test_random_bytes_never_crash():
    random = np.random.default_rng(3)
    data = case("boxes").certificate
    for _ in range(COUNT):
        changed = bytearray(data)
        for _ in range(int(random.integers(1, 6))):
            changed[int(random.integers(len(MAGIC), len(data)))] = int(random.integers(256))
        verdict = case("boxes").check(bytes(changed))
        assert verdict.verified or verdict.code


def test_a_certificate_is_no_proof_of_another_reduction():
    one, other = case("boxes"), case("two-parts")
    assert not check_bytes(one.network, one.query, one.reduced, other.certificate).verified
