"""Passes of a package outside the tree: found by its entry points, run, checked, and never believed."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import eqverify
from eqverify.cli.main import run
from eqverify.domain import box_domain
from eqverify.errors import ContradictionError, UsageError
from eqverify.export.onnx import write_network
from eqverify.normal_form.passes import make_pass, pass_names
from eqverify.problem import Problem, domain_problem
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import deviations_exact

MODULE = '''
"""A package that knows eqverify, and that eqverify does not know."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from eqverify.normal_form.passes import RemovedUnit, Rewritten
from eqverify.normal_form.relation import Relation
from eqverify.normal_form.simplify import LevelPass


@dataclass(frozen=True)
class MergeDuplicates:
    """Units of a layer with equal rows become one."""

    name: ClassVar[str] = "merge-duplicates"
    statement: ClassVar[str] = "outside, 1"
    rewrites: ClassVar[str] = "chain"
    rounds: ClassVar[bool] = True
    says: ClassVar[bool] = True
    wanted: ClassVar[str] = "equal"

    def __call__(self, chain, context, /):
        for index, layer in enumerate(chain.layers):
            rows = np.column_stack([layer.weight, layer.bias])
            for unit in range(1, layer.size):
                for other in range(unit):
                    if self.wanted == "any" or np.array_equal(rows[unit], rows[other]):
                        return self.merged(chain, index, unit, other)
        return Rewritten(chain)

    def merged(self, chain, index, unit, other):
        layer, (weight, bias) = chain.layers[index], chain.reader(index)
        weight = weight.copy()
        weight[:, other] += weight[:, unit]
        kept = np.delete(np.arange(layer.size), unit)
        after = chain.with_layer(index, layer.select(kept)).with_reader(index, weight[:, kept], bias)
        gone, same = int(layer.units[unit]), int(layer.units[other])
        relations = (Relation("parallel", layer.source, gone, layer.source, same),) if self.says else ()
        return Rewritten(after, (RemovedUnit(layer.source, gone, "duplicate"),), relations)


class Silent(MergeDuplicates):
    """The same, and does not say what the units that went equal."""

    name, says = "silent", False


class Liar(MergeDuplicates):
    """Takes any two units for equal."""

    name, wanted = "liar", "any"


@dataclass(frozen=True)
class FoldDuplicates(LevelPass):
    """The same on normal forms: what equals what is all that is said."""

    name: ClassVar[str] = "fold-duplicates"
    statement: ClassVar[str] = "outside, 2"
    wanted: ClassVar[str] = "equal"

    def begin(self, form, context, declined):
        seen = {}

        def find(level):
            found = []
            for row, pair in zip(level.rows, level.pairs(), strict=True):
                other = seen.setdefault(row.tobytes() if self.wanted == "equal" else b"", pair)
                found += [Relation("parallel", *pair, *other)] if other != pair else []
            return found

        return find


class FormLiar(FoldDuplicates):
    """Takes all units for equal."""

    name, wanted = "form-liar", "any"


@dataclass(frozen=True)
class Vandal:
    """Moves the outputs of a form, and drops its last unit."""

    name: ClassVar[str] = "vandal"
    statement: ClassVar[str] = "outside, 3"
    rewrites: ClassVar[str] = "form"
    rounds: ClassVar[bool] = True

    def __call__(self, form, context, /):
        if len(form) < 2:
            return Rewritten(form)
        outputs = form.outputs + 0.125
        outputs[:, form.columns[1:]] = 0.0
        after = replace(form.select(np.arange(1)), outputs=outputs * (np.arange(form.basis.width) < 4))
        return Rewritten(after, tuple(RemovedUnit(*pair, "lost") for pair in form.pairs()[1:]))


class Forgetful(Vandal):
    """Drops units that are still read."""

    name = "forgetful"

    def __call__(self, form, context, /):
        gone = tuple(RemovedUnit(*pair, "lost") for pair in form.pairs()[1:])
        return Rewritten(form.select(np.arange(1)), gone) if len(form) > 1 else Rewritten(form)


class Misnamed(Vandal):
    """Its entry point has another name."""

    name = "something-else"
'''

ENTRIES = {
    "merge-duplicates": "MergeDuplicates", "silent": "Silent", "liar": "Liar", "fold-duplicates": "FoldDuplicates",
    "form-liar": "FormLiar", "vandal": "Vandal", "forgetful": "Forgetful", "misnamed": "Misnamed", "gone": "Nowhere",
}  # fmt: skip


@pytest.fixture(autouse=True)
def outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, installed in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "outside_passes.py").write_text(MODULE)
    info = folder / "outside_passes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-passes\nVersion: 1.0\n")
    lines = [f"{name} = outside_passes:{attribute}" for name, attribute in ENTRIES.items()]
    (info / "entry_points.txt").write_text("\n".join(["[eqverify.passes]", *lines]) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "outside_passes", raising=False)


def duplicates() -> Problem:
    """Two equal units, and one that is none of them, none of them stable; eps = 4 if nothing is known of the copy."""
    rows = np.array([[1.0, 0.5], [1.0, 0.5], [1.0, -1.0]])
    network = chain_network([(rows, np.zeros(3)), (np.array([[1.0, 3.0, 1.0]]), np.zeros(1))], "float64")
    return domain_problem(network, box_domain(-np.ones(2), np.ones(2)))


def assert_eps_holds(problem: Problem, result: eqverify.Reduction) -> None:
    exact = deviations_exact(problem.network, result.network, problem.domain, max_regions=400)
    assert all(found.value <= Fraction(float(eps)) for found, eps in zip(exact, result.epsilons, strict=True))


@pytest.mark.parametrize(("name", "shape"), [("merge-duplicates", "leo"), ("fold-duplicates", "residual")])
def test_an_exact_pass_from_outside_is_proved(name: str, shape: str) -> None:
    problem = duplicates()
    result = eqverify.reduce(problem, shape=shape, passes=[name])  # type: ignore[arg-type]
    assert result.network.relu_count == 2
    assert result.epsilon <= 1e-14
    assert len(result.transformed.relations) == 1
    assert_eps_holds(problem, result)


def test_without_a_relation_the_proof_knows_sizes_only() -> None:
    result = eqverify.reduce(duplicates(), shape="leo", passes=["silent"], max_epsilon=10.0)
    assert result.network.relu_count == 2
    assert result.epsilon >= 4.0


@pytest.mark.parametrize(("name", "shape"), [("liar", "leo"), ("form-liar", "residual"), ("vandal", "residual")])
def test_a_lying_pass_gives_a_large_eps_and_never_a_wrong_one(name: str, shape: str) -> None:
    problem = duplicates()
    result = eqverify.reduce(problem, shape=shape, passes=name, max_epsilon=100.0)  # type: ignore[arg-type]
    assert result.network.relu_count < 2
    assert result.epsilon > 0.1
    assert_eps_holds(problem, result)
    avoided = eqverify.reduce(problem, passes=name)
    assert avoided.epsilon <= 1e-4
    assert_eps_holds(problem, avoided)


def test_what_a_broken_pass_leaves_behind_is_refused() -> None:
    with pytest.raises(ContradictionError, match="the pass forgetful broke an invariant"):
        eqverify.reduce(duplicates(), shape="residual", passes="forgetful")


@pytest.mark.parametrize(("name", "why"), [("polish", "choose from"), ("misnamed", "something-else"), ("gone", "Now")])
def test_passes_that_cannot_be_used_are_refused_before_any_work(
    name: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eqverify.reduction.pipeline.prove_stability", None)
    with pytest.raises(UsageError, match="usage/pass") as caught:
        eqverify.reduce(duplicates(), passes=f"drop-unread, {name}")
    assert why in str(caught.value)


@pytest.mark.slow
def test_the_command_line_knows_passes_from_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading leaves the duplicates to the pass."""
    for reader in ("eqverify.frontend.onnx.cut", "eqverify.checker.verdict"):
        monkeypatch.setattr(f"{reader}.normalised", lambda network: network)
    problem = duplicates()
    network, query, output = (tmp_path / name for name in ("a.onnx", "a.vnnlib", "b.onnx"))
    network.write_bytes(write_network(problem.network, metadata={}, producer="test", dtype="float64"))
    names = [f"X_{i}" for i in range(2)]
    lines = [f"(declare-const {name} Real)\n(assert (<= {name} 1.0))\n(assert (>= {name} -1.0))" for name in names]
    query.write_text("\n".join([*lines, "(declare-const Y_0 Real)\n(assert (<= Y_0 -1.0))"]))
    assert run(["passes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["passes"]
    assert list(listed) == list(pass_names())
    assert listed["merge-duplicates"] == {
        "rewrites": "chain",
        "statement": "outside, 1",
        "default": False,
        "summary": "Units of a layer with equal rows become one.",
    }
    assert listed["gone"]["rewrites"] == "unusable"
    assert all(listed[name]["default"] for name in ("fold-signs", "merge-parallel", "drop-unread", "fold-stable"))
    certificate = tmp_path / "c.cert"
    command = ["reduce", str(network), str(query), "-o", str(output), "--certificate", str(certificate)]
    command += ["--json", "--passes", "merge-duplicates,drop-dead"]
    assert run(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["relus_after"], found["shape"], found["went"]) == (2, "leo", {"duplicate": 1})
    assert found["epsilon"] <= 1e-14
    assert run(["check", *map(str, (network, query, output, certificate))]) == 0
    assert capsys.readouterr().out.startswith("verified")
    assert run([*command[:-1], "polish"]) == 2
    assert "error[usage/pass]" in capsys.readouterr().err


def test_every_pass_of_eqverify_can_be_made() -> None:
    assert all(make_pass(name).name == name for name in pass_names() if name not in ENTRIES)
