"""One certificate for each rule and side condition, wrong in just that: all are rejected with the code of the rule."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import parse_network
from eqverify.network import Affine, Dense, Network, Term

from ..check.certificate_cases import MAGIC, RECIPES, case, pack, unpack


def step(head, kind, nth=0):
    return [s for s in head["steps"] if s["kind"] == kind][nth]


def rows(head):
    return next(row for s in head["steps"] for row in s.get("rows", []) if row["alpha"])


def put(arrays, index, position, value):
    arrays[index].flat[position] = value


def stable(head, arrays, status):
    """(layer, unit) of a unit with this status."""
    for layer in head["layers"]:
        units = np.flatnonzero(arrays[layer["status"]] == status)
        if units.size:
            return layer, units[0]
    raise AssertionError


def claim_stable(head, arrays):
    """A unit that takes both signs is claimed inactive."""
    layer, unit = stable(head, arrays, 0)
    put(arrays, layer["status"], unit, 1)
    put(arrays, layer["upper"], unit, 0.0)
    put(arrays, layer["lower"], unit, -1e9)
    put(arrays, layer["evidence"], unit, 4)


def swap_status(head, arrays):
    """An inactive unit is claimed active."""
    layer, unit = stable(head, arrays, 1)
    put(arrays, layer["status"], unit, 2)
    put(arrays, layer["lower"], unit, 0.0)
    put(arrays, layer["upper"], unit, 1e9)


def narrow_bound(head, arrays):
    layer, unit = stable(head, arrays, 0)
    put(arrays, layer["upper"], unit, arrays[layer["lower"]][unit])


def status_without_bounds(head, arrays):
    layer, unit = stable(head, arrays, 1)
    put(arrays, layer["upper"], unit, 1.0)


def cheaper_evidence(head, arrays):
    for layer in head["layers"]:
        evidence = arrays[layer["evidence"]]
        evidence[evidence > 1] = 1


def drop_leaf(head, arrays):
    tree = step(head, "box-tree")
    for name in ("parent", "side", "part", "dimension", "at"):
        arrays[tree[name]] = arrays[tree[name]][:-1]


def cut_tree(head, arrays):
    """Only the root is left of a tree."""
    tree = step(head, "box-tree")
    for name in ("parent", "side", "part", "dimension", "at"):
        arrays[tree[name]] = arrays[tree[name]][:1]
    arrays[tree["dimension"]][0] = -1


def split_outside(head, arrays):
    tree = step(head, "box-tree")
    put(arrays, tree["at"], 0, 1e6)


def drop_sign_leaf(head, arrays):
    tree = step(head, "sign-tree")
    for name in ("parent", "side", "relu", "split"):
        arrays[tree[name]] = arrays[tree[name]][:-1]


def set_field(head, path, value):
    *way, last = path
    for key in way:
        head = head[key]
    head[last] = value


def field(*path, value):
    return lambda head, arrays: set_field(head, path, value)


def entry(find, key, position, value):
    def change(head, arrays):
        put(arrays, find(head)[key], position, value)

    return change


def grow(find, key):
    def change(head, arrays):
        index = find(head)[key]
        arrays[index] = np.concatenate([arrays[index], arrays[index][:1]])

    return change


def smaller_eps(head, arrays):
    arrays[head["epsilon"]] *= 0.999


def relation(kind, layer, unit, other_layer, other_unit, factor):
    def change(head, arrays):
        values = (kind, layer, unit, other_layer, other_unit)
        for name, value in zip(("kind", "layer", "unit", "other_layer", "other_unit"), values, strict=True):
            arrays[head["relations"][name]] = np.array([value], dtype="<i4")
        arrays[head["relations"]["factor"]] = np.array([factor])

    return change


def twice(change):
    def both(head, arrays):
        change(head, arrays)
        for index in head["relations"].values():
            arrays[index] = np.concatenate([arrays[index], arrays[index]])

    return both


def swap_units(head, arrays):
    meaning = max(head["map"], key=lambda m: (arrays[m["layers"]] >= 0).sum())
    units, shown = arrays[meaning["units"]], np.flatnonzero(arrays[meaning["layers"]] >= 0)
    units[shown] = units[shown][::-1].copy()


def first_alpha(head):
    return {"columns": rows(head)["alpha"][0][1], "values": rows(head)["alpha"][0][2]}


def all_carriers(head, arrays):
    """Units that show a ReLU are said to be linear."""
    for meaning in head["map"]:
        arrays[meaning["layers"]].fill(-1)
        arrays[meaning["units"]].fill(0)


def layer0(head):
    return head["layers"][0]


def box_tree(head):
    return step(head, "box-tree")


def sign_tree(head):
    return step(head, "sign-tree")


def top(head):
    return head


def range_multipliers(find, value, column=None):
    """Multipliers on ranges, in the place of the first slopes."""

    def change(head, arrays):
        one = find(head)
        layer, columns, values = one["alpha"][0]
        arrays += [arrays[columns].copy(), np.full(arrays[values].shape, value)]
        one["tau"] = [[layer, len(arrays) - 2, len(arrays) - 1]]
        if column is not None:
            put(arrays, -2, 0, column)

    return change


def range_multipliers_twice(head, arrays):
    range_multipliers(rows, 0.5)(head, arrays)
    rows(head)["tau"] *= 2


def other_side(head, arrays):
    """Multipliers on z >= 0 where z <= 0 is given, and the other way round."""
    for tree in head["steps"]:
        for _, _, values in tree["tau"] if tree["kind"] == "sign-tree" else ():
            arrays[values] *= -1


def useless_range_multipliers(head, arrays):
    for tree in head["steps"]:
        if tree["kind"] == "sign-tree" and tree["alpha"]:
            range_multipliers(lambda _, one=tree: one, -1e6)(head, arrays)


def other_goal(head, arrays):
    """A unit that takes both signs is a goal."""
    layer, unit = stable(head, arrays, 0)
    before = sum(arrays[one["status"]].size for one in head["layers"][: head["layers"].index(layer)])
    put(arrays, box_tree(head)["goals"], 0, before + unit)


WRONG = {
    # file format
    "no-steps-field": ("boxes", lambda h, a: h.pop("steps"), "certificate/field"),
    "no-claim": ("boxes", lambda h, a: h.pop("claim"), "certificate/field"),
    "unknown-claim": ("boxes", field("claim", value="safe"), "certificate/claim"),
    "unknown-step": ("boxes", field("steps", 0, "kind", value="trust-me"), "certificate/step"),
    "steps-no-list": ("boxes", field("steps", value={}), "certificate/type"),
    "index-no-integer": ("boxes", field("epsilon", value="0"), "certificate/range"),
    "index-true": ("boxes", field("epsilon", value=True), "certificate/range"),
    "index-too-large": ("boxes", field("epsilon", value=10**30), "certificate/range"),
    "wrong-type": ("boxes", lambda h, a: h.update(epsilon=h["layers"][0]["status"]), "certificate/shape"),
    # what it is about
    "other-network": ("boxes", field("digests", "network", value="0" * 64), "certificate/digest"),
    "other-property": ("boxes", field("digests", "property", value="0" * 64), "certificate/digest"),
    "other-reduced": ("boxes", field("digests", "reduced", value="0" * 64), "certificate/digest"),
    "enlarged-domain": ("boxes", lambda h, a: a[h["domain"]["upper"]].__iadd__(1.0), "certificate/domain"),
    # claims about units
    "unstable-claimed": ("boxes", claim_stable, "check/not-stable"),
    "inactive-for-active": ("boxes", swap_status, "check/not-stable"),
    "narrow-bound": ("boxes", narrow_bound, "check/bound"),
    "status-without-bounds": ("boxes", status_without_bounds, "certificate/claims"),
    "cheaper-evidence": ("boxes", cheaper_evidence, "check/evidence"),
    "unknown-status": ("boxes", entry(layer0, "status", 0, 3), "certificate/range"),
    "nan-bound": ("boxes", entry(layer0, "lower", 0, np.nan), "certificate/not-a-number"),
    "crossed-bounds": ("boxes", entry(layer0, "lower", 0, np.inf), "certificate/claims"),
    "layer-missing": ("boxes", lambda h, a: h["layers"].pop(), "certificate/layers"),
    "short-status": ("boxes", grow(layer0, "status"), "certificate/shape"),
    # steps
    "no-steps": ("boxes", field("steps", value=[]), "check/not-stable"),
    "infinite-slope": ("boxes", entry(first_alpha, "values", 0, np.inf), "certificate/not-finite"),
    "negative-slope": ("boxes", entry(first_alpha, "values", 0, -0.5), "certificate/negative"),
    "slope-column-outside": ("boxes", entry(first_alpha, "columns", 0, 99), "certificate/range"),
    "slope-column-twice": (
        "boxes",
        lambda h, a: put(a, first_alpha(h)["columns"], 0, a[first_alpha(h)["columns"]][1]),
        "certificate/duplicate",
    ),
    "row-unit-outside": ("boxes", entry(rows, "units", 0, 99), "certificate/range"),
    "row-sign-zero": ("boxes", entry(rows, "signs", 0, 0), "certificate/sign"),
    "row-node-outside": ("boxes", lambda h, a: rows(h).update(node=9), "certificate/range"),
    "row-part-outside": ("boxes", lambda h, a: rows(h).update(part=1), "certificate/range"),
    "row-count": ("boxes", lambda h, a: rows(h).update(count=2), "certificate/range"),
    "row-without-tau": ("boxes", lambda h, a: rows(h).pop("tau"), "certificate/field"),
    "row-without-constraints": ("boxes", lambda h, a: rows(h).update(mu=rows(h)["alpha"][0][2]), "certificate/shape"),
    "slopes-twice": ("boxes", lambda h, a: rows(h)["alpha"].append(rows(h)["alpha"][0]), "certificate/duplicate"),
    "range-multiplier-infinite": ("boxes", range_multipliers(rows, -np.inf), "certificate/not-finite"),
    "range-multiplier-tiny": ("boxes", range_multipliers(rows, -1e-320), "certificate/tiny"),
    "range-multiplier-outside": ("boxes", range_multipliers(rows, 0.5, 99), "certificate/range"),
    "range-multiplier-twice": ("boxes", range_multipliers_twice, "certificate/duplicate"),
    "range-multiplier-nan-in-leaf": ("branching", range_multipliers(sign_tree, np.nan), "certificate/not-a-number"),
    "range-multipliers-useless-in-leaves": ("branching", useless_range_multipliers, "check/not-stable"),
    # trees of boxes
    "tree-leaf-dropped": ("boxes", drop_leaf, "certificate/tree"),
    "tree-cut": ("boxes", cut_tree, "check/tree-open"),
    "tree-split-outside": ("boxes", split_outside, "check/tree-split"),
    "tree-parent-behind": ("boxes", entry(box_tree, "parent", 1, 1), "certificate/tree"),
    "tree-parent-itself": ("boxes", entry(box_tree, "parent", 0, 0), "certificate/tree"),
    "tree-parent-negative": ("boxes", entry(box_tree, "parent", 0, -2), "certificate/range"),
    "tree-same-side": ("boxes", entry(box_tree, "side", 1, 1), "certificate/duplicate"),
    "tree-two-roots": ("boxes", entry(box_tree, "parent", 1, -1), "certificate/tree"),
    "tree-dimension-outside": ("boxes", entry(box_tree, "dimension", 0, 7), "certificate/range"),
    "tree-part-outside": ("boxes", entry(box_tree, "part", 0, 1), "certificate/range"),
    "tree-at-nan": ("boxes", entry(box_tree, "at", 0, np.nan), "certificate/not-a-number"),
    "tree-goal-outside": ("boxes", entry(box_tree, "goals", 0, 99), "certificate/range"),
    "tree-goal-of-both-signs": ("boxes", other_goal, "check/tree-open"),
    # trees of signs
    "sign-leaf-dropped": ("branching", drop_sign_leaf, "certificate/tree"),
    "sign-same-side": ("branching", entry(sign_tree, "side", 1, 1), "certificate/duplicate"),
    "sign-split-outside": ("branching", entry(sign_tree, "split", 0, 99), "certificate/unit"),
    "sign-unit-outside": ("branching", lambda h, a: sign_tree(h).update(unit=99), "certificate/range"),
    "sign-zero": ("branching", lambda h, a: sign_tree(h).update(sign=0), "certificate/sign"),
    "sign-multipliers-of-the-other-side": ("branching", other_side, "check/not-stable"),
    "constraint-multiplier-negative": (
        "constraints",
        lambda h, a: put(
            a, next(r for s in h["steps"] for r in s.get("rows", []) if r["mu"] is not None)["mu"], 0, -1.0
        ),
        "certificate/negative",
    ),
    "constraint-multiplier-tiny": (
        "constraints",
        lambda h, a: put(
            a, next(r for s in h["steps"] for r in s.get("rows", []) if r["mu"] is not None)["mu"], 0, 1e-320
        ),
        "certificate/tiny",
    ),
    # words
    "word-part": ("solver", lambda h, a: step(h, "solver").update(part=1), "certificate/range"),
    "words-hidden": (
        "solver",
        lambda h, a: h.update(steps=[s for s in h["steps"] if s["kind"] != "solver"]),
        "check/not-stable",
    ),
    # unit map and eps
    "smaller-eps": ("boxes", smaller_eps, "check/epsilon"),
    "negative-eps": ("boxes", entry(lambda h: h, "epsilon", 0, -1.0), "certificate/negative"),
    "infinite-eps": ("boxes", entry(lambda h: h, "epsilon", 0, np.inf), "certificate/not-finite"),
    "units-swapped": ("boxes", swap_units, "check/epsilon"),
    "map-layer-missing": ("boxes", lambda h, a: h["map"].pop(), "certificate/layers"),
    "map-unit-outside": ("boxes", lambda h, a: put(a, h["map"][0]["units"], 0, 50), "certificate/unit"),
    "map-layer-outside": ("boxes", lambda h, a: put(a, h["map"][0]["layers"], 0, 9), "certificate/range"),
    "carrier-for-unit": ("boxes", all_carriers, "check/epsilon"),
    "relation-to-later": ("boxes", relation(2, 0, 1, 0, 2, 1.0), "certificate/relation"),
    "relation-to-itself": ("boxes", relation(2, 0, 1, 0, 1, 1.0), "certificate/relation"),
    "relation-factor": ("boxes", relation(2, 0, 2, 0, 1, -1.0), "certificate/relation"),
    "relation-unit-outside": ("boxes", relation(0, 0, 99, -1, 0, 1.0), "certificate/unit"),
    "relation-layer-outside": ("boxes", relation(0, 9, 0, -1, 0, 1.0), "certificate/range"),
    "relation-other-missing": ("boxes", relation(2, 0, 2, -1, 1, 1.0), "certificate/unit"),
    "relation-twice": ("boxes", twice(relation(2, 0, 2, 0, 1, 1.0)), "certificate/duplicate"),
    "relation-wrong": ("boxes", relation(2, 1, 2, 0, 1, 1.0), "check/epsilon"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_rule_rejects(name):
    recipe, change, code = WRONG[name]
    head, arrays = unpack(case(recipe).certificate)
    change(head, arrays)
    verdict = case(recipe).check(pack(head, arrays))
    assert not verdict.verified
    assert verdict.code == code, verdict
    assert verdict.exit_status == 1


@pytest.mark.parametrize("name", RECIPES)
def test_taking_apart_and_packing_changes_nothing(name):
    assert case(name).check(pack(*unpack(case(name).certificate))) == case(name).check()


def raw(text: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return MAGIC + (len(text) if length is None else length).to_bytes(8, "little") + text + body


RAW = {
    "empty": (b"", "certificate/format"),
    "magic-only": (MAGIC, "certificate/format"),
    "zip": (b"PK\x03\x04" + bytes(100), "certificate/format"),
    "other-version": (MAGIC.replace(b"1", b"2") + bytes(8), "certificate/format"),
    "head-too-long": (raw(b"{}", length=2**62), "certificate/truncated"),
    "no-json": (raw(b"\xff\xfe"), "certificate/head"),
    "nan-in-head": (raw(b'{"arrays": [], "x": NaN}'), "certificate/head"),
    "duplicate-keys": (raw(b'{"arrays": [], "arrays": []}'), "certificate/head"),
    "deep-head": (raw(b"[" * 200_000 + b"]" * 200_000), "certificate/head"),
    "long-number": (raw(b'{"arrays": ' + b"9" * 10_000 + b"}"), "certificate/head"),
    "head-no-object": (raw(b"[]"), "certificate/field"),
    "head-empty": (raw(b"{}"), "certificate/field"),
    "huge-array": (raw(b'{"arrays": [["f8", [1000000000, 1000000000]]]}', bytes(8)), "certificate/range"),
    "huge-product": (raw(b'{"arrays": [["f8", [9, 9, 9, 9]]]}', bytes(16)), "certificate/truncated"),
    "many-axes": (raw(b'{"arrays": [["f8", [1, 1, 1, 1, 1]]]}', bytes(8)), "certificate/truncated"),
    "negative-extent": (raw(b'{"arrays": [["f8", [-1]]]}', bytes(8)), "certificate/range"),
    "unknown-type": (raw(b'{"arrays": [["O8", [1]]]}', bytes(8)), "certificate/array"),
    "type-no-text": (raw(b'{"arrays": [[8, [1]]]}', bytes(8)), "certificate/array"),
    "entry-no-list": (raw(b'{"arrays": [7]}', bytes(8)), "certificate/type"),
    "trailing": (raw(b'{"arrays": []}', bytes(8)), "certificate/trailing"),
}


@pytest.mark.parametrize("name", RAW)
def test_files_that_are_no_certificates_are_rejected(name):
    data, code = RAW[name]
    verdict = case("boxes").check(data)
    assert (verdict.verified, verdict.code) == (False, code)


def test_truncated_and_extended_files_are_rejected():
    data = case("boxes").certificate
    for cut in (1, 8, len(data) // 2, len(data) - 1):
        assert not case("boxes").check(data[:-cut]).verified
    assert not case("boxes").check(data + b"\0").verified


def with_digest(one, name, data):
    """The certificate, saying that it is about other bytes."""
    import hashlib

    head, arrays = unpack(one.certificate)
    head["digests"][name] = hashlib.sha256(data).hexdigest()
    return pack(head, arrays)


def changed_weight(data: bytes) -> bytes:
    network = parse_network(data)
    nodes = list(network.nodes)
    for index, node in enumerate(nodes):
        if isinstance(node, Affine) and isinstance(node.terms[0].map, Dense):
            matrix = node.terms[0].map.matrix.copy()
            matrix.flat[0] += 0.25
            nodes[index] = Affine(node.name, (Term(node.terms[0].source, Dense(matrix)), *node.terms[1:]), node.bias)
            break
    return write_network(Network(network.inputs, tuple(nodes), network.outputs), metadata={}, producer="test")


def test_a_changed_weight_is_rejected_in_either_network():
    one = case("boxes")
    reduced, network = changed_weight(one.reduced), changed_weight(one.network)
    assert one.check(reduced=reduced).code == "certificate/digest"
    verdict = one.check(with_digest(one, "reduced", reduced), reduced=reduced)
    assert verdict.code == "check/epsilon"
    assert not one.check(with_digest(one, "network", network), network=network).verified


def test_an_enlarged_property_is_rejected():
    one = case("boxes")
    query = one.query.replace(b"1.0", b"1.5").replace(b" 1)", b" 1.5)")
    assert query != one.query
    assert one.check(query=query).code == "certificate/digest"
    assert one.check(with_digest(one, "property", query), query=query).code == "certificate/domain"


def test_other_arity_and_broken_models_are_rejected():
    one, other = case("boxes"), case("float64")
    assert one.check(reduced=other.reduced).code == "check/arity"
    assert one.check(query=other.query).code == "check/arity"
    assert one.check(reduced=b"").code == "onnx/empty"
    assert one.check(network=gzip.compress(one.network)[:-9]).code == "onnx/malformed"
    assert one.check(query=b"(assert").code.startswith("vnnlib/")
