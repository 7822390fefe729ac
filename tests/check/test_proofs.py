"""Proofs of verdicts: verified in both arithmetics, true, and rejected where anything is left out or wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import pytest

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.cli.main import run
from eqverify.domain import Domain, HalfSpace
from eqverify.errors import UsageError
from eqverify.export.onnx import write_network
from eqverify.export.vnnlib import format_specification
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.numerals import exact_text
from eqverify.problem import domain_problem
from eqverify.testing.oracle import directed_sets_exact

from ..reject.test_mutations import mutant
from ..vnncomp import slow
from .certificate_cases import box, random_network
from .proof_cases import RECIPES, all_steps, case, conditions, proved, satisfied
from .refutation_cases import at_least, save

COUNT = 5_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 60
"""Mutants of each of two proofs."""


@pytest.mark.parametrize("name", [*(name for name in RECIPES if name != "rows"), *slow("rows")])
@pytest.mark.parametrize("arithmetic", ["float", *slow("exact")])
def test_proofs_verify_in_both_arithmetics(name, arithmetic):
    verdict = case(name).check(arithmetic=arithmetic)
    assert str(verdict) == "verified unsat"
    assert verdict.as_dict()["claim"] == "property-unsat"
    assert verdict.as_dict()["epsilon"] is None


@pytest.mark.parametrize("arithmetic", ["float", "exact"])
def test_an_input_verifies_in_both_arithmetics(arithmetic):
    assert str(satisfied().check(arithmetic=arithmetic)) == "verified sat"


def row_tree(head):
    """A tree about the only row of a condition that one layer of ReLUs is before, where another row is assumed."""
    (entry,) = head["cases"]
    (disjunct,) = entry["disjuncts"]
    (tree,) = (step for step in disjunct["steps"] if step["kind"] == "sign-tree" and step["node"] == 1)
    return tree


def test_the_recipes_reach_what_closes_disjuncts():
    kinds = {step["kind"] for name in RECIPES for step in all_steps(case(name).parts[0])}
    assert kinds >= {"pass", "cover", "sign-tree"}
    assert not all_steps(case("bounds").parts[0])
    assert row_tree(case("rows").parts[0])["unit"] == 0


@pytest.mark.parametrize("name", ["bounds", "cover"])
def test_what_is_verified_is_true(name):
    one = case(name)
    for part in one.domain.polytopes:
        for rows in one.disjuncts:
            assert directed_sets_exact(one.original, Domain((part,)), rows, max_regions=2000) is None


def lower_thresholds(one):
    """The files of a property that an input satisfies, with the same cases and disjuncts."""
    return replace(one, query=satisfied().query)


def test_the_other_property_is_satisfiable_and_of_the_same_form():
    one, other = case("cover"), satisfied()
    assert other.network == one.network
    forms = [[len(part.unsafe) for part in lower(parse_query(q.decode())).cases] for q in (one.query, other.query)]
    assert forms[0] == forms[1] == [3, 3]


def left_out(head, arrays):
    del head["cases"][1]


def a_case_too_many(head, arrays):
    head["cases"].append(head["cases"][0])


def one_case_twice(head, arrays):
    head["cases"][1] = head["cases"][0]


def a_disjunct_left_out(head, arrays):
    del head["cases"][0]["disjuncts"][0]


def a_disjunct_too_many(head, arrays):
    head["cases"][0]["disjuncts"].append(head["cases"][0]["disjuncts"][0])


def exchanged(head, arrays):
    """The steps of another disjunct in the place of those of one that needs its own."""
    needed = [k for k, one in enumerate(head["cases"][0]["disjuncts"]) if one["steps"]]
    first, second = needed[:2]
    head["cases"][0]["disjuncts"][first] = head["cases"][0]["disjuncts"][second]


def without_steps(head, arrays):
    for entry in head["cases"]:
        for one in entry["disjuncts"]:
            one["steps"] = []


def part_of_the_box(head, arrays):
    """The first half of a cover alone."""
    tree = next(step for step in all_steps(head) if step["kind"] == "cover")
    for key in ("parent", "side", "part", "dimension", "at"):
        arrays[tree[key]] = arrays[tree[key]][:-1]


def a_word(head, arrays):
    head["cases"][0]["steps"].append({"kind": "solver", "node": 2, "part": 0, "unit": 0, "sign": -1})


def the_claim_that_needs_less(head, arrays):
    head["claim"] = "property-sat"


def no_such_layer(head, arrays):
    step = {"kind": "solver", "node": 3, "part": 0, "unit": 0, "sign": -1}
    head["cases"][0]["steps"].append({**step, "kind": "sign-tree"})


def without_the_other_row(head, arrays):
    arrays[row_tree(head)["mu"]].fill(0.0)


def about_the_other_row(head, arrays):
    row_tree(head)["unit"] = 1


def no_such_row(head, arrays):
    row_tree(head)["unit"] = 2


WRONG = [
    ("rows", without_the_other_row, "check/not-empty"),
    ("rows", about_the_other_row, "check/not-empty"),
    ("rows", no_such_row, "certificate/range"),
    ("bounds", left_out, "certificate/cases"),
    ("bounds", a_case_too_many, "certificate/cases"),
    ("bounds", a_disjunct_left_out, "certificate/cases"),
    ("bounds", a_disjunct_too_many, "certificate/cases"),
    ("bounds", the_claim_that_needs_less, "certificate/field"),
    ("bounds", a_word, "certificate/step"),
    ("bounds", no_such_layer, "certificate/range"),
    ("cover", one_case_twice, "check/not-empty"),
    ("cover", exchanged, "check/not-empty"),
    ("cover", without_steps, "check/not-empty"),
    ("cover", part_of_the_box, "certificate/tree"),
]


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [one if one[0] != "rows" else pytest.param(*one, marks=pytest.mark.slow) for one in WRONG],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_left_out_or_wrong_is_rejected(name, change, code):
    one = case(name)
    head, arrays = one.parts
    change(head, arrays)
    verdict = one.check(one.about(head, arrays))
    assert not verdict.verified
    assert verdict.code == code


def test_a_proof_is_about_its_files():
    one = case("cover")
    relaxed = check_bytes(one.network, one.query, None, one.proof, relaxed=one.query)
    assert relaxed.code == "certificate/claim"  # there is no network that another property could be about
    assert lower_thresholds(one).check().code == "certificate/digest"
    assert one.check(query=one.query + b"\n").code == "certificate/digest"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 7])
def test_no_mutant_with_digests_of_a_satisfiable_property_is_verified(seed):
    """Of each mutant the digests are computed again; `satisfied` has an input that satisfies its property."""
    one, other, random = case("cover"), satisfied(), np.random.default_rng(seed)
    assert not other.check(other.about(*one.parts)).verified
    tried = 0
    while tried < COUNT:
        changed = mutant(random, one.proof)
        if changed is None:
            continue
        tried += 1
        try:
            head, arrays = replace(one, proof=changed).parts
            changed = other.about(head, arrays)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # a head that is none any more, as it is
        verdict = other.check(changed)
        assert not (verdict.verified and verdict.claim == "property-unsat")
        assert verdict.exit_status == 0 if verdict.verified else verdict.code


def test_no_mutant_of_an_input_is_verified_where_there_is_none():
    one, other, random = satisfied(), case("cover"), np.random.default_rng(6)
    for _ in range(COUNT):
        head, arrays = one.parts
        x = [Fraction(text) for text in head["input"]]
        k = int(random.integers(len(x)))
        x[k] += Fraction(float(random.choice([1e-9, -1e-9, 0.1, -0.5, 1.0, -1.0, 2.0])))
        head = {**head, "input": list(map(exact_text, x)), "case": int(random.integers(1, 3))}
        verdict = other.check(other.about(head, arrays))
        assert verdict.code in ("check/not-in-domain", "check/not-satisfied")


TEXT = """
(declare-const X_0 Real)
(declare-const Y_0 Real)
(assert (>= X_0 0.1))
(assert ({end} X_0 0.3))
(assert ({sign} Y_0 0.3))
"""
IDENTITY = random_network(0, (1, 1), 0.0)


def identity(end, sign, text, tmp_path, case=1):
    """What the checker says of an input of y = x in [0.1, 0.3], or with an end excluded, where y >= 0.3 or > 0.3."""
    from eqverify.testing.chains import chain_network

    network = chain_network([(np.array([[1.0]]), np.zeros(1))])
    model = write_network(network, metadata={}, producer="test", dtype="float64")
    query = TEXT.format(end=end, sign=sign).encode()
    one = replace(satisfied(), network=model, query=query)
    return one.check(one.about({**satisfied().parts[0], "input": text, "case": case}, []))


def test_inputs_are_judged_to_the_last_decimal_and_sign(tmp_path):
    assert identity("<=", ">=", ["0.3"], tmp_path).verified
    assert identity("<=", ">=", ["3/10"], tmp_path).verified
    assert identity("<=", ">=", ["3e-1"], tmp_path).verified
    assert identity("<=", ">=", ["0.30000000000000000000000001"], tmp_path).code == "check/not-in-domain"
    assert identity("<=", ">=", ["0.29999999999999999999999999"], tmp_path).code == "check/not-satisfied"
    assert identity("<=", ">", ["0.3"], tmp_path).code == "check/not-satisfied"
    assert identity("<", ">=", ["0.3"], tmp_path).code == "check/not-in-domain"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (["nan"], "certificate/number"),
        (["inf"], "certificate/number"),
        (["1_0"], "certificate/number"),
        ([" 0.3"], "certificate/number"),
        (["1/0"], "certificate/number"),
        (["0.3\n"], "certificate/number"),
        (["0." + "3" * 5000], "certificate/number"),
        ([0.3], "certificate/number"),
        (["0.3", "0.3"], "certificate/shape"),
        ([], "certificate/shape"),
        ("0.3", "certificate/type"),
    ],
)
def test_inputs_of_another_form_are_rejected(text, code, tmp_path):
    assert identity("<=", ">=", text, tmp_path).code == code


def test_an_input_of_no_case_is_rejected(tmp_path):
    assert identity("<=", ">=", ["0.3"], tmp_path, case=2).code == "certificate/range"
    assert identity("<=", ">=", ["0.3"], tmp_path, case=0).code == "certificate/range"


@pytest.mark.slow
def test_rows_of_several_disjuncts_are_units_once_and_each_disjunct_has_its_own():
    """A row that two disjuncts have is one unit; what excludes one disjunct excludes no other."""
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    (first, second, _) = conditions(network, domain, 0.2)
    weak = at_least(Fraction(-100), 0)
    one = proved(network, domain, ((*first, weak), (*second, weak)))
    assert one.check().verified
    head, arrays = one.parts
    with_weak = proved(network, domain, (first, (weak,)), "sat")
    assert not with_weak.check(with_weak.about(head, arrays)).verified


def test_the_command_writes_what_check_verifies(tmp_path, capsys):
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    model, query = save(str(tmp_path), network, domain, conditions(network, domain, 20.0))
    proof = tmp_path / "proof"
    run(["verify", str(query), "--network", f"N={model}", "--proof", str(proof), "--timeout", "60"])
    assert capsys.readouterr().out == "unsat\n"
    assert run(["check", str(model), str(query), str(proof)]) == 0
    assert capsys.readouterr().out == "verified unsat\n"
    damaged = tmp_path / "damaged"
    damaged.write_bytes(proof.read_bytes()[:-1])
    assert run(["check", str(model), str(query), str(damaged)]) == 1


def test_a_verdict_without_a_proof_is_unknown_unless_somebody_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr("eqverify.reduction.certifying.certify_no_input", lambda *_: None)
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    model, query = save(str(tmp_path), network, domain, conditions(network, domain, 20.0))
    answer = eq.verify(query, model, proof=True, timeout=20, workers=1)
    assert (answer.verdict, answer.proof) == ("unknown", None)
    assert "no proof" in answer.reason
    answer = eq.verify(query, model, proof=True, timeout=20, workers=1, trust="scip")
    assert (answer.verdict, answer.proof) == ("unsat", None)
    assert "no proof" in answer.evidence


def test_proofs_are_about_files():
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    specification = domain_problem(network, domain).specification
    specification = replace(
        specification,
        cases=tuple(
            replace(part, unsafe=((HalfSpace({}, {0: Fraction(1)}, Fraction(0)),),)) for part in specification.cases
        ),
    )
    query = parse_query(format_specification(specification))
    with pytest.raises(UsageError, match="certificate/no-files"):
        eq.verify(query, network, proof=True, timeout=5, workers=1)


HEAD = """
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
(assert (and (>= X_0 -1.0) (<= X_0 1.0) (>= X_1 -1.0) (<= X_1 1.0)))
"""
SPECIAL = [
    ("(assert (<= X_0 -2.0))", "unsat"),
    ("(assert (> X_0 1.0))", "unsat"),
    ("(assert (> X_0 X_1))(assert (<= X_0 X_1))", "unsat"),
    ("(assert (>= X_0 (+ X_1 3.0)))(assert (>= Y_0 0.0))", "unsat"),
    ("(assert (< Y_0 Y_0))", "unsat"),
    ("(assert (or (and (< Y_0 Y_0)) (and (>= Y_1 100.0))))", "unsat"),
    ("(assert (<= Y_0 Y_0))", "sat"),
    ("", "sat"),
]
"""Properties without inputs, and conditions that hold everywhere or nowhere."""


@pytest.mark.parametrize(("text", "verdict"), SPECIAL)
def test_properties_without_inputs_and_constant_conditions_have_proofs(text, verdict, tmp_path):
    model, query, proof = tmp_path / "net.onnx", tmp_path / "prop.vnnlib", tmp_path / "proof"
    model.write_bytes(write_network(random_network(3, (2, 4, 2), 0.7), metadata={}, producer="test", dtype="float64"))
    query.write_text(HEAD + text)
    answer = eq.verify(query, model, proof=True, timeout=60, workers=1)
    assert answer.verdict == verdict
    proof.write_bytes(answer.proof)
    for arithmetic in ("float", "exact"):
        assert str(eq.check(model, query, None, proof, arithmetic=arithmetic)) == f"verified {verdict}"


def test_that_there_is_no_input_is_seen_in_the_property_itself():
    """A proof without cases is one only for a property that allows no input, by name and by its digests."""
    one = case("bounds")
    nothing = replace(one, query=one.query + b"\n(assert (<= X_0 -2.0))\n")
    head, arrays = one.parts
    assert nothing.check(nothing.about({**head, "cases": []}, arrays)).verified
    assert nothing.check(one.about({**head, "cases": []}, arrays)).code == "certificate/digest"
    assert nothing.check(nothing.about(head, arrays)).code == "certificate/cases"
    assert one.check(one.about({**head, "cases": []}, arrays)).code == "certificate/cases"
    sat = {**satisfied().parts[0], "cases": []}
    assert nothing.check(nothing.about(sat, [])).code == "certificate/cases"


def behind_softmax(data, axis=-1, operators=("Softmax",)):
    """The model with further operators behind its output."""
    model = onnx.ModelProto.FromString(data)
    (output,) = model.graph.output
    for number, operator in enumerate(operators):
        axes = {"axis": axis} if "Softmax" in operator else {}
        model.graph.node.append(onnx.helper.make_node(operator, [output.name], [f"tail{number}"], **axes))
        output.name = f"tail{number}"
    return model.SerializeToString()


@pytest.mark.parametrize(("sign", "verdict"), [(">=", "sat"), ("<=", "unsat")])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_verdicts_behind_a_last_softmax_have_proofs(sign, verdict, operator, tmp_path):
    """The first output is always the larger one."""
    network = random_network(3, (2, 4, 2), 0.7)
    *nodes, last = network.nodes
    plain = replace(network, nodes=(*nodes, replace(last, bias=np.array([64.0, 0.0]))))
    model, query, proof = tmp_path / "net.onnx", tmp_path / "prop.vnnlib", tmp_path / "proof"
    data = write_network(plain, metadata={}, producer="test", dtype="float64")
    model.write_bytes(behind_softmax(data, operators=(operator,)))
    query.write_text(f"{HEAD}(assert ({sign} Y_0 Y_1))")
    answer = eq.verify(query, model, proof=True, timeout=60, workers=1)
    assert answer.verdict == verdict
    proof.write_bytes(answer.proof)
    for arithmetic in ("float", "exact"):
        assert str(eq.check(model, query, None, proof, arithmetic=arithmetic)) == f"verified {verdict}"
    one = replace(satisfied(), network=model.read_bytes(), query=query.read_bytes(), proof=answer.proof)
    others = [replace(one, query=f"{HEAD}(assert ({sign} Y_0 {bound}))".encode()) for bound in ("0.5", "(* 2.0 Y_1)")]
    others += [
        replace(one, network=behind_softmax(data, operators=tail)) for tail in (("Floor",), ("Softmax", "Floor"))
    ]
    for other in others:
        assert other.check(other.about(*one.parts)).code.startswith("onnx/")


@pytest.mark.parametrize(
    ("margin", "proof", "how"),
    [
        (20.0, False, "bounds"),
        (20.0, True, "bounds"),
        *slow((0.2, False, "exact arithmetic")),
        *slow((0.2, True, "splitting of inputs")),
    ],
)
def test_an_answer_says_what_closed_it(margin, proof, how, tmp_path):
    """With the smaller margin bounds of the whole box are not enough."""
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    model, query = save(str(tmp_path), network, domain, conditions(network, domain, margin))
    answer = eq.verify(query, model, proof=proof, timeout=60, workers=1)
    assert (answer.verdict, answer.evidence) == ("unsat", ("bounds",))
    assert how in answer.means
    assert (answer.means == ("bounds",)) == (how == "bounds")
    assert answer.as_dict()["means"] == list(answer.means)
