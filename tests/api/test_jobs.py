"""Jobs on models and inputs of every kind that a caller may have; results that are looked at in a session."""

from __future__ import annotations

import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

import eqverify as eq
from eqverify.domain import box_domain
from eqverify.errors import InputError, UsageError
from eqverify.export.onnx import write_network
from eqverify.testing.chains import chain_network

CROWN = {"engine": "crown"}
NETWORK = chain_network(
    [
        (np.array([[1.0, 1.0], [1.0, -1.0], [0.5, 0.0]]), np.array([-3.0, 0.0, 4.0])),
        (np.array([[1.0, 1.0, -1.0]]), np.zeros(1)),
    ],
    "float32",
)
DATA = write_network(NETWORK, metadata={}, producer="test", dtype="float32")
TEXT = "".join(f"(declare-const {v} Real)" for v in ("X_0", "X_1", "Y_0")) + "".join(
    f"(assert (>= X_{k} -1)) (assert (<= X_{k} 1))" for k in (0, 1)
)
LOW, HIGH = np.array([-1.0, -1.0]), np.array([1.0, 1.0])


@pytest.fixture
def given(tmp_path):
    """All ways to give the network, and the box [-1, 1]^2."""
    network, query = tmp_path / "net.onnx", tmp_path / "prop.vnnlib"
    network.write_bytes(DATA)
    query.write_text(TEXT + "(assert (>= Y_0 3))")
    models = [str(network), network, DATA, onnx.load_from_string(DATA), NETWORK]
    loaded = eq.load_query(query)
    pairs = [(LOW, HIGH), ([[-1], [-1]], [[1], [1]]), (LOW.astype(np.float32), HIGH.astype(np.float16))]
    return models, [str(query), query, loaded, box_domain(LOW, HIGH), eq.ball([0.0, 0.0], 1.0), *pairs]


def test_any_model_and_any_inputs_make_one_problem(given):
    models, inputs = given
    for model in models:
        result = eq.reduce(model, inputs[0], **CROWN)
        assert (result.network.relu_count, result.epsilon) == (2, 0.0)
        assert result.problem.reading.points > 0 or model is NETWORK
    domains = {eq.load_problem(NETWORK, where).domain.digest for where in inputs}
    assert len(domains) == 1


@pytest.mark.parametrize(
    "job", ["reduce", "reduce_per_box", "reduce_for_property", "prove_stability", "find_regions", "make_shallow"]
)
def test_all_jobs_take_a_problem_or_what_makes_one(job, given):
    models, inputs = given
    run = getattr(eq, job)
    texts = {repr(run(eq.load_problem(models[0], inputs[0]))), repr(run(models[2], inputs[1]))}
    assert len(texts) == 1
    for wrong in ((eq.load_problem(NETWORK, inputs[0]), inputs[0]), (models[0],)):
        with pytest.raises(UsageError, match="usage/model"):
            run(*wrong)


def test_two_networks_and_queries_take_them_too(given):
    models, inputs = given
    for model in models:
        assert eq.equivalent(model, models[0], inputs[-1], epsilon=0.5).verdict == "equivalent"
        assert eq.verify(inputs[0], model).verdict == "unsat"
    assert eq.load_network(models[3]).digest == eq.load_network(models[0]).digest


def test_errors_of_models_in_memory_name_no_file():
    with pytest.raises(InputError) as caught:
        eq.load_network(b"\x00\x01 no model")
    assert caught.value.code == "onnx/malformed"
    assert caught.value.place.file is None
    assert str(caught.value).startswith("error[onnx/malformed]")


@pytest.mark.parametrize(
    ("low", "high", "code"),
    [
        ([-1.0], [1.0, 1.0], "domain/shape"),
        ([-1.0, 2.0], [1.0, 1.0], "domain/empty"),
        ([-1.0, np.nan], [1.0, 1.0], "domain/not-finite"),
        ([-1.0, None], [1.0, 1.0], "domain/not-finite"),
        ([-1.0], [1.0], "problem/arity"),
        (0.0, 1.0, "problem/arity"),
    ],
)
def test_pairs_that_are_no_boxes_of_the_network(low, high, code):
    with pytest.raises(InputError, match=code):
        eq.reduce(NETWORK, (low, high))


def test_numbers_that_are_no_floats_are_rounded_outwards():
    third = [Fraction(1, 3), 2**53 + 1]
    hull = eq.load_problem(NETWORK, (third, third)).domain.hull
    assert all(Fraction(a) < b < Fraction(c) for a, b, c in zip(hull.lower, third, hull.upper, strict=True))
    around = eq.ball(third, 0.1).hull
    for low, centre, high in zip(around.lower, third, around.upper, strict=True):
        assert Fraction(low) <= centre - Fraction(0.1)
        assert centre + Fraction(0.1) <= Fraction(high)
        assert Fraction(high) - Fraction(low) < Fraction(0.2) + 8


def test_networks_compute_when_they_are_called():
    assert NETWORK([0.5, 0.25]).tolist() == [0.25 - 4.25]
    assert NETWORK(np.zeros((5, 3, 2))).shape == (5, 3, 1)
    with pytest.raises(InputError, match="network/arity"):
        NETWORK([1.0])


def test_results_are_short_and_have_a_picture(given):
    models, inputs = given
    result = eq.reduce(models[0], inputs[0], **CROWN)
    shown = [result, result.facts, result.problem, result.network, eq.verify(inputs[0], models[0])]
    shown += [eq.find_regions(NETWORK, (LOW, HIGH)), eq.make_shallow(NETWORK, (LOW, HIGH))]
    shown += [eq.reduce_for_property(models[0], inputs[0]), eq.reduce_per_box(models[0], inputs[0])]
    shown += [eq.equivalent(NETWORK, NETWORK, inputs[-1], top1=True)]
    assert [text for text in map(repr, shown) if len(text) > 120 or not text.startswith("<")] == []
    html = result._repr_html_()
    assert html.startswith("<svg")
    assert html.endswith("</table></div>")
    assert "3 ReLUs before, 2 after" in html
    assert html == result._repr_html_()


def test_frames_have_a_row_per_unit_or_layer(given, monkeypatch):
    models, inputs = given
    result = eq.reduce(models[0], inputs[0], **CROWN)
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda columns: columns))
    units, layers = result.facts.to_frame(), result.to_frame()
    assert units["status"] == ["inactive", "unstable", "active"]
    assert units["evidence"][0] == units["evidence"][2] == "derived"
    assert [units["lower"][k] <= z <= units["upper"][k] for k, z in enumerate((-1.0, -2.0, 3.5))] == [True] * 3
    assert (layers["units"], layers["kept"]) == ([3], [2])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="usage/no-pandas"):
        result.to_frame()


@pytest.mark.parametrize("job", ["reduce", "reduce_for_property", "prove_stability", "find_regions", "verify"])
def test_what_the_callback_raises_cancels_a_job(job, given):
    class CancelledError(Exception):
        pass

    def cancel(*_):
        raise CancelledError

    models, inputs = given
    arguments = (inputs[0], models[0]) if job == "verify" else (models[0], inputs[0])
    with pytest.raises(CancelledError):
        getattr(eq, job)(*arguments, progress=cancel)
