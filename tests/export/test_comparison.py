"""A file is compared with the network read from it: whatever operator is misread is named, and nothing else is."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.domain import box_domain
from eqverify.errors import InputError
from eqverify.export.comparison import compare_reading, point_count, probe_points
from eqverify.frontend.onnx import parse_front, parse_network
from eqverify.reading import Reading

RNG = np.random.default_rng(3)
STORED = {
    "w": RNG.normal(size=(4, 4)),
    "b": RNG.normal(size=4),
    "k": RNG.normal(size=(2, 2, 2)),
    "mean": np.array([0.1, -0.2]),
    "one": np.array([1.0, 2.0]),
    "low": np.array(-0.5),
    "high": np.array(0.5),
    "inf": np.array(np.inf),
    "shape": np.array([1, 4]),
    "image": np.array([1, 2, 2]),
    "pads": np.array([0, 1, 0, 0]),
    "axes": np.array([1]),
}


def model(operator: str, *rest: str, after: str = "Neg", element: int = TensorProto.FLOAT, **attributes):
    """A model x -> Gemm -> Reshape -> the operator -> another -> y."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    stored = [
        numpy_helper.from_array(a.astype(np.int64 if a.dtype.kind == "i" else dtype), n) for n, a in STORED.items()
    ]
    image = operator in ("Conv", "AveragePool", "MaxPool", "BatchNormalization")
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["g"])]
    nodes += [helper.make_node("Reshape", ["g", "image" if image else "shape"], ["h"])]
    inputs = ["h", *(name for name in rest)]
    nodes += [helper.make_node(operator, inputs, ["m"], **attributes)]
    nodes += [helper.make_node(after, ["m"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, [1, 4])],
        [helper.make_tensor_value_info("y", element, None)],
        initializer=stored,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return made.SerializeToString()


def pair(operator, *rest, other=None, **attributes):
    """The model that is run, and the one that the network is read from."""
    wrong = {**attributes, **{k: v for k, v in (other or {}).items() if k != "rest"}}
    return model(operator, *rest, **attributes), model(operator, *(other or {}).get("rest", rest), **wrong)


MISREAD = {
    "LeakyRelu": partial(pair, "LeakyRelu", alpha=0.5, other={"alpha": 0.5001}),
    "HardSigmoid": partial(pair, "HardSigmoid", alpha=0.2, other={"alpha": 0.2001}),
    "Gemm beta": partial(pair, "Gemm", "w", "b", other={"beta": 0.999}),
    "Gemm transB": partial(pair, "Gemm", "w", other={"transB": 1}),
    "Gemm left out": partial(pair, "Gemm", "w", "b", other={"rest": ("w",)}),
    "Clip upper bound": partial(pair, "Clip", "low", "high", other={"rest": ("low", "inf")}),
    "Clip as nothing": partial(pair, "Clip", "", "high", other={"rest": ("", "inf")}),
    "Conv pads": partial(pair, "Conv", "k", pads=[1, 0], other={"pads": [0, 1]}),
    "Conv strides": partial(pair, "Conv", "k", pads=[1, 0], other={"strides": [2]}),
    "AveragePool": partial(
        pair, "AveragePool", kernel_shape=[2], pads=[1, 0], count_include_pad=1, other={"count_include_pad": 0}
    ),
    "MaxPool": partial(pair, "MaxPool", kernel_shape=[2], pads=[1, 0], other={"pads": [0, 1]}),
    "BatchNormalization": partial(
        pair, "BatchNormalization", "one", "mean", "mean", "one", epsilon=1e-5, other={"epsilon": 1e-3}
    ),
    "Pad": partial(pair, "Pad", "pads", "high", other={"rest": ("pads", "low")}),
    "Transpose as nothing": partial(pair, "Flatten", axis=0, other={"axis": 1}),
}


def compared(data: bytes, wrong: bytes):
    network = parse_network(wrong)
    return compare_reading(data, network, probe_points(network, None), "net.onnx")


@pytest.mark.parametrize("name", [name for name in MISREAD if not name.startswith("Transpose")])
def test_a_misread_operator_is_named(name):
    data, wrong = MISREAD[name]()
    with pytest.raises(InputError) as caught:
        compared(data, wrong)
    assert caught.value.code == "read/differs"
    assert caught.value.place.node == "m"
    assert caught.value.place.file == "net.onnx"
    assert f"({name.split()[0]})" in caught.value.message


@pytest.mark.parametrize("name", MISREAD)
def test_the_right_reading_is_not(name):
    data, _ = MISREAD[name]()
    assert compared(data, data) == (96, "")


@pytest.mark.parametrize("element", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_both_element_types(element):
    data = model("Gemm", "w", element=element)
    assert compared(data, data) == (96, "")
    with pytest.raises(InputError, match="read/differs"):
        compared(data, model("Gemm", "w", element=element, alpha=1.0 + 1e-4))


def test_double_precision_is_compared_much_more_closely():
    with pytest.raises(InputError, match="read/differs"):
        compared(model("Gemm", "w", element=TensorProto.DOUBLE), model("Gemm", "w", element=11, alpha=1.0 + 2.0**-23))


def test_a_model_that_onnxruntime_cannot_run_is_not_compared():
    data = model("Conv", "k", element=TensorProto.DOUBLE, pads=[1, 0])
    points, reason = compared(data, data)
    assert points == 0
    assert "NOT_IMPLEMENTED" in reason


def test_numbers_that_overflow_are_left_out():
    data = model("Gemm", "w")
    network = parse_network(data)
    points = np.concatenate([np.full((1, 4), 3e38), np.ones((2, 4))])
    assert compare_reading(data, network, points) == (2, "its numbers overflow at 1 points")
    assert compare_reading(data, network, points[:1])[0] == 0


def test_what_comes_before_a_cut_is_compared_at_the_cut():
    data, wrong = model("Softmax"), model("Softmax")
    front = parse_front(data)
    assert [port.name for port in front.network.outputs] == ["h"]
    assert compare_reading(data, front.network, probe_points(front.network, None)) == (96, "")
    changed = parse_front(
        wrong.replace(STORED["b"].astype("<f4").tobytes(), (STORED["b"] * 1.001).astype("<f4").tobytes())
    )
    with pytest.raises(InputError) as caught:
        compare_reading(data, changed.network, probe_points(front.network, None))
    assert (caught.value.code, caught.value.place.node) == ("read/differs", "g")


def test_points_are_in_the_domain_and_hold_centre_and_corners():
    network = parse_network(model("Gemm", "w"))
    domain = box_domain(np.array([0.0, 1, 2, 3]), np.array([1.0, 2, 2, 5]))
    points = probe_points(network, domain)
    assert len(points) == point_count(network) == 96
    assert ((points >= domain.lower) & (points <= domain.upper)).all()
    corners = ((points == domain.lower) | (points == domain.upper)).all(axis=1)
    assert corners.sum() > 10
    assert (points == [0.5, 1.5, 2, 4]).all(axis=1).any()


def test_a_reading_counts_and_gives_up():
    asked = []

    def probe(points):
        asked.append(len(points))
        return 0, "onnxruntime rejects the model"

    reading = Reading(probe, reason="")
    reading.compare(np.zeros((2, 3)))
    reading.compare(np.zeros((5, 3)))
    assert asked == [2]
    assert reading.as_dict() == {
        "compared": False,
        "points": 0,
        "reason": "onnxruntime rejects the model",
        "rounded": [],
        "folded": 0,
        "foreign": [],
    }
    assert "NOT compared" in str(reading)
    good = Reading(lambda points: (len(points), ""), reason="", rounded=("a", "b", "c", "d"))
    good.compare(np.zeros((2, 3)))
    good.compare(np.zeros((5, 3)))
    assert str(good) == "as onnxruntime runs it, at 7 points; numbers mean the nearest float64 in a, b, c, ..."


def test_what_no_output_needs_is_not_run():
    made = onnx.load_from_string(model("Gemm", "w"))
    made.graph.node.append(helper.make_node("NoSuchOperator", ["g"], ["z"], domain="nowhere"))
    made.opset_import.append(helper.make_opsetid("nowhere", 1))
    data = made.SerializeToString()
    assert compared(data, data) == (96, "")


def test_an_effect_that_a_later_layer_hides_is_seen():
    """Relu(LeakyRelu(x)) is Relu(x) whatever the slope."""
    data, wrong = pair("LeakyRelu", alpha=0.5, other={"alpha": 0.5001}, after="Relu")
    with pytest.raises(InputError) as caught:
        compared(data, wrong)
    assert caught.value.place.node == "m"
