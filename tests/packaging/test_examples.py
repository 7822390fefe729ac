"""The shipped example: found, reproducible, and with units of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from eqverify.errors import UsageError
from eqverify.examples import example_files, property_names
from eqverify.examples.digits_properties import property_texts
from eqverify.examples.train_digits import Training, digits_split, train
from eqverify.frontend.onnx import read_network
from eqverify.frontend.vnnlib import lower, read_query
from eqverify.problem import Problem
from eqverify.stability.facts import Status
from eqverify.stability.portfolio import prove_stability
from eqverify.transform.driver import transform
from eqverify.transform.result import TransformOptions

SHORT = Training(epochs=8)


def shipped_problem(name: str) -> Problem:
    files = example_files(name)
    return Problem(read_network(files.network), lower(read_query(files.query)))


def test_files_are_found() -> None:
    files = example_files()
    assert files.network.is_file()
    assert files.query.is_file()
    assert len(property_names()) >= 3


@pytest.mark.parametrize("name", ["none.vnnlib", "../errors.md", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="examples/no-file"):
        example_files(name)


@pytest.mark.slow
def test_properties_are_those_of_the_script() -> None:
    texts = property_texts()
    assert tuple(sorted(texts)) == property_names()
    for name, text in texts.items():
        assert example_files(name).query.read_text("utf-8") == text


def test_both_versions_of_the_format_occur() -> None:
    assert {lower(read_query(example_files(name).query)).version for name in property_names()} == {"1.0", "2.0"}


def test_network_reads_digits() -> None:
    _, test = digits_split()
    assert test.accuracy(read_network(example_files().network)) >= 0.95


def test_training_learns_and_repeats_itself() -> None:
    training, test = digits_split()
    first, again = train(training, SHORT), train(training, SHORT)
    assert test.accuracy(first) > 0.8
    assert first.digest == again.digest


def test_shipped_network_has_the_shape_of_the_script() -> None:
    training, _ = digits_split()
    shipped, trained = read_network(example_files().network), train(training, Training(epochs=0))
    assert [shipped.sizes[relu.name] for relu in shipped.relus] == list(Training().hidden)
    assert shipped.parameter_count == trained.parameter_count
    assert [(port.name, port.shape, port.element) for port in shipped.inputs] == [("image", (1, 64), "float32")]


@pytest.mark.parametrize("name", property_names())
def test_units_of_every_kind_occur(name: str) -> None:
    problem = shipped_problem(name)
    facts = prove_stability(problem)
    assert min(facts.count(status) for status in (Status.INACTIVE, Status.ACTIVE, Status.UNSTABLE)) > 0
    what = {gone.what for gone in transform(problem, facts, TransformOptions("leo")).removed}
    assert {"inactive", "merged"} <= what
    assert name != example_files().query.name or "folded" in what


def test_files_are_small() -> None:
    files: list[Path] = [example_files().network, *(example_files(name).query for name in property_names())]
    assert max(path.stat().st_size for path in files) < 50_000
