"""Models that onnxruntime's own quantiser made: how far they are from their originals is proved, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import version_converter

import eqverify as eq
from eqverify.api.equivalence import load_domain
from eqverify.attack.points import sample_boxes
from eqverify.domain import Box
from eqverify.export.runtime import run_model
from eqverify.frontend.onnx import read_bytes

from ..vnncomp import vnncomp

FORMS = [(form, per_channel) for form in ("QDQ", "QOperator") for per_channel in (False, True)]


def quantised(model: bytes, box: Box, folder: Path, form: str, *, per_channel: bool) -> bytes:
    """The model in int8, calibrated on points of a box."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    source, made = folder / "source.onnx", folder / "made.onnx"
    graph = onnx.load_from_string(model)
    stored = {tensor.name for tensor in graph.graph.initializer}
    (port,) = [info for info in graph.graph.input if info.name not in stored]
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(port)
    del graph.graph.input[:]
    graph.graph.input.append(kept)
    graph.ir_version = 8
    onnx.save(version_converter.convert_version(graph, max(13, graph.opset_import[0].version)), source)
    shape = [extent.dim_value or 1 for extent in kept.type.tensor_type.shape.dim]
    points = sample_boxes(box.lower[None], box.upper[None], 40, np.random.default_rng(0)).astype(np.float32)

    class Points(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(points)

        def get_next(self):
            point = next(self.left, None)
            return None if point is None else {kept.name: point.reshape(shape)}

    types = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    quantize_static(source, made, Points(), quant_format=QuantFormat[form], per_channel=per_channel, **types)
    return made.read_bytes()


def judge(network: Path, query: Path, folder: Path, form: str, *, per_channel: bool, share: float) -> float:
    """The proved eps on a share of an input box, which no difference seen may exceed, by the largest of these."""
    hull = load_domain(query).hull
    model = quantised(read_bytes(network), hull, folder, form, per_channel=per_channel)
    lower, upper = hull.centre - (hull.centre - hull.lower) * share, hull.centre + (hull.upper - hull.centre) * share
    answer = eq.equivalent(network, model, (lower, upper), epsilon=1e6, timeout=120)
    assert answer.verdict == "equivalent"
    assert all(reading.points > 0 for reading in answer.readings)
    points = sample_boxes(lower[None], upper[None], 300, np.random.default_rng(1))
    points = points.astype(np.float32).astype(np.float64)
    points = points[((points >= lower) & (points <= upper)).all(axis=1)]
    runs = [run_model(data, points, one_by_one=True) for data in (read_bytes(network), model)]
    seen = np.abs(runs[0] - runs[1]).max(axis=0)
    assert len(points) > 10
    assert (seen <= np.array(answer.epsilons) + 1e-4).all()  # runs round, and eps is about the reals
    return float(max(answer.epsilons) / seen.max())


@pytest.mark.parametrize(
    ("form", "per_channel"), [FORMS[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in FORMS[1:3]), FORMS[3]]
)
def test_the_shipped_network(form, per_channel, tmp_path):
    assert judge(*eq.example_files(), tmp_path, form, per_channel=per_channel, share=0.1) < 8


@pytest.mark.slow
@pytest.mark.parametrize(("form", "per_channel"), FORMS[1:3])
@pytest.mark.parametrize(
    ("benchmark", "model", "query"),
    [
        ("acasxu", "ACASXU_run2a_1_1_batch_2000.onnx", "prop_3.vnnlib.gz"),
        ("mnist_fc", "mnist-net_256x2.onnx", "prop_0_0.03.vnnlib.gz"),
    ],
)
def test_networks_of_the_competition(benchmark, model, query, form, per_channel, tmp_path):
    folder = vnncomp(benchmark)
    judge(folder / "onnx" / model, folder / "vnnlib" / query, tmp_path, form, per_channel=per_channel, share=0.1)
