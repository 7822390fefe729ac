"""Lowered networks against onnxruntime (rounding bound) and against a rational interpreter (equality)."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eqverify.errors import EqverifyError
from eqverify.export.runtime import compare_with_runtime
from eqverify.frontend.onnx import operator_table, parse_network
from eqverify.network import Network, outputs_exact

from . import onnx_fractions
from .onnx_drafts import DRAWERS, models
from .quantised_models import operators_drawn

# EQVERIFY_DEEP multiplies the number of examples.
EXAMPLES = settings(
    deadline=None,
    max_examples=max(10, settings().max_examples * 4 // 5) * int(os.environ.get("EQVERIFY_DEEP", "1")),
    suppress_health_check=list(HealthCheck),
)


def test_every_operator_of_the_table_is_drawn():
    table = {entry.name for entry in operator_table() if not entry.lowering.startswith("Constants only")}
    assert table <= {name.split()[0] for name in DRAWERS} | operators_drawn()


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWERS)
def test_network_agrees_with_onnxruntime_and_with_rational_arithmetic(kind):
    @EXAMPLES
    @given(st.data())
    def check(data):
        model, rng = data.draw(models(kind))
        network = parse_network(model)
        points = rng.normal(size=(3, network.input_size)).astype(np.float32).astype(np.float64)
        assert_agrees_with_onnxruntime(model, network, points)
        assert_exact(onnx.load_from_string(model), network, points[0])

    check()


def assert_agrees_with_onnxruntime(model: bytes, network: Network, points: np.ndarray) -> None:
    try:
        comparison = compare_with_runtime(model, network, points)
    except EqverifyError as error:
        # onnxruntime has no double-precision kernels for many operators; the rational comparison covers those.
        if "NOT_IMPLEMENTED" in str(error.value) and network.inputs[0].element == "float64":
            return
        # Its shape inference takes the output_shape of a ConvTranspose for the whole shape, and refuses what reads it.
        if "InferenceError" in str(error.value) and b"output_shape" in model:
            return
        raise
    assert comparison.agrees, (comparison, onnx.load_from_string(model))


def assert_exact(model: onnx.ModelProto, network: Network, point: np.ndarray) -> None:
    flat = [Fraction(float(number)) for number in point]
    inputs, start = {}, 0
    for port in network.inputs:
        part = np.empty(port.size, dtype=object)
        part[:] = flat[start : start + port.size]
        start += port.size
        inputs[port.name] = part.reshape([extent if isinstance(extent, int) else 1 for extent in port.shape])
    values = onnx_fractions.run(model, inputs)
    expected = [number for output in model.graph.output for number in values[output.name].reshape(-1)]
    assert outputs_exact(network, flat) == expected, model
