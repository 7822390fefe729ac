"""The JSON schema of heads accepts those that are written, and rejects what the checker rejects by their form."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema
import pytest

from .certificate_cases import RECIPES, case, unpack
from .directed_cases import RECIPES as DIRECTED
from .directed_cases import case as directed
from .refutation_cases import RECIPES as UNSAT
from .refutation_cases import case as refutation

SCHEMA = jsonschema.Draft202012Validator(json.loads(Path("specs/certificate.schema.json").read_text("utf-8")))


def heads():
    return [
        *(unpack(case(name).certificate)[0] for name in RECIPES),
        *(unpack(refutation(name).certificate)[0] for name in UNSAT),
        *(unpack(directed(name).certificate)[0] for name in DIRECTED),
    ]


def test_the_schema_is_one():
    SCHEMA.check_schema(SCHEMA.schema)


@pytest.mark.slow
def test_heads_that_are_written_fit():
    for head in heads():
        SCHEMA.validate(head)


def without(*path):
    def change(head):
        *way, last = path
        for key in way:
            head = head[key]
        del head[last]

    return change


def put(value, *path):
    def change(head):
        *way, last = path
        for key in way:
            head = head[key]
        head[last] = value

    return change


def step(kind, **changes):
    """The first step of a kind, or the first row of a pass, with other values."""

    def change(head):
        found = next(s for s in head["steps"] if s["kind"] == kind and (kind != "pass" or s["rows"]))
        (found["rows"][0] if kind == "pass" else found).update(changes)

    return change


WRONG = {
    "claim": ("boxes", put("safe", "claim")),
    "version": ("boxes", put(2, "version")),
    "no-steps": ("boxes", without("steps")),
    "no-epsilon": ("boxes", without("epsilon")),
    "no-reduced": ("boxes", without("digests", "reduced")),
    "digest": ("boxes", put("abc", "digests", "network")),
    "array-of-text": ("boxes", put("0", "epsilon")),
    "unknown-step": ("boxes", put({"kind": "trust-me"}, "steps", 0)),
    "unknown-type": ("boxes", put(["f2", [1]], "arrays", 0)),
    "many-axes": ("boxes", put(["f8", [1, 1, 1, 1, 1]], "arrays", 0)),
    "negative-part": ("boxes", step("pass", part=-1)),
    "count-zero": ("boxes", step("pass", count=0)),
    "no-multipliers": ("boxes", step("pass", tau=None)),
    "slopes-of-two": ("boxes", step("pass", alpha=[[0, 1]])),
    "goals": ("boxes", step("box-tree", goals=None)),
    "sign": ("solver", step("solver", sign=0)),
    "zero-of-a-reduction": ("boxes", put({"kind": "zero", "alpha": [], "lam": [], "tau": [], "mu": None}, "steps", 0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_heads_of_another_form_do_not_fit(name):
    recipe, change = WRONG[name]
    head = copy.deepcopy(unpack(case(recipe).certificate)[0])
    change(head)
    assert not SCHEMA.is_valid(head)


@pytest.mark.parametrize(("case_of", "name"), [(refutation, "slopes"), (directed, "rows")])
@pytest.mark.parametrize("key", ["case", "disjunct"])
def test_cases_and_disjuncts_are_counted_from_1(case_of, name, key):
    head = unpack(case_of(name).certificate)[0]
    assert not SCHEMA.is_valid({**head, key: 0})
    assert not SCHEMA.is_valid({k: v for k, v in head.items() if k != key})
