"""Runs of random models of each operator that the model of runs has are within the bound on their error."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eqverify.bounds import interval_bounds
from eqverify.errors import EqverifyError
from eqverify.export.runtime import run_model
from eqverify.frontend.onnx import operator_table, parse_front
from eqverify.frontend.onnx.table import ROUNDED_AS_READ
from eqverify.network import evaluate_nodes, evaluation_error, join_outputs
from eqverify.runtime_error import runtime_errors

from .onnx_drafts import DRAWERS, models

KINDS = [kind for kind in DRAWERS if kind.split()[0] in ROUNDED_AS_READ]


def test_the_operators_of_the_model_are_read_and_drawn():
    assert {entry.name for entry in operator_table()} >= ROUNDED_AS_READ
    assert {kind.split()[0] for kind in KINDS} == ROUNDED_AS_READ
    assert not ROUNDED_AS_READ & {"Resize", "Upsample", "LpPool", "GlobalLpPool", "RNN", "HardSigmoid", "Pow"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_is_within_the_bound(kind):
    @settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        model, rng = data.draw(models(kind))
        front = parse_front(model)
        assume(not front.unmodelled)
        network = front.network
        points = rng.normal(size=(4, network.input_size)) * np.array([[1.0], [1e-3], [30.0], [1.0]])
        points = points.astype(np.float16).astype(float)
        try:
            runs = np.concatenate([run_model(model, point[None]) for point in points])
        except EqverifyError as error:
            assert "NOT_IMPLEMENTED" in str(error.value) or "InferenceError" in str(error.value)
            return
        values = evaluate_nodes(network, points)
        exact, own = (join_outputs(network, v) for v in (values, evaluation_error(network, values)))
        errors = runtime_errors(network, interval_bounds(network, points, points))
        lower, upper = points.min(axis=0, keepdims=True), points.max(axis=0, keepdims=True)
        whole = runtime_errors(network, interval_bounds(network, lower, upper))
        assert (np.abs(runs - exact) <= errors + own).all(), onnx.load_from_string(model)
        assert (np.abs(runs - exact) <= whole + own).all()

    check()
