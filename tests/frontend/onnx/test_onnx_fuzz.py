"""Damaged files: an eqverify error or a network, never anything else, and quickly."""

from __future__ import annotations

import os
import time
import tracemalloc

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from eqverify.errors import EqverifyError
from eqverify.frontend.onnx import describe, parse_front, parse_network

from .onnx_drafts import DRAWERS, models

# EQVERIFY_DEEP multiplies the number of examples.
EXAMPLES = settings(
    deadline=None,
    max_examples=8 * settings().max_examples * int(os.environ.get("EQVERIFY_DEEP", "1")),
    suppress_health_check=list(HealthCheck),
)


def read(data: bytes) -> None:
    """Read and describe; only our own errors may escape, within seconds and without large allocations."""
    start = time.monotonic()
    tracemalloc.start()
    try:
        for reader in (parse_network, parse_front, describe):
            try:
                reader(data)
            except EqverifyError as error:
                assert str(error)
                assert error.code.split("/")[0] in ("onnx", "network")
        assert tracemalloc.get_traced_memory()[1] < 1 << 30
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 10


@EXAMPLES
@given(st.data())
def test_flipped_bytes(data):
    model, _ = data.draw(models(data.draw(st.sampled_from(sorted(DRAWERS)))))
    damaged = bytearray(model)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(damaged))


@EXAMPLES
@given(st.data())
def test_truncated(data):
    model, _ = data.draw(models(data.draw(st.sampled_from(sorted(DRAWERS)))))
    read(model[: data.draw(st.integers(0, len(model)))])


@EXAMPLES
@given(st.binary(max_size=200))
def test_any_bytes(data):
    read(data)


@pytest.mark.slow
@EXAMPLES
@given(st.data())
def test_removed_and_repeated_fields(data):
    serialised, _ = data.draw(models(data.draw(st.sampled_from(sorted(DRAWERS)))))
    model = onnx.load_from_string(serialised)
    for _ in range(data.draw(st.integers(1, 2))):
        damage(data.draw, model)
    read(model.SerializeToString())


def damage(draw, message) -> None:
    """Descend at random and clear, repeat or change one field."""
    while True:
        fields = message.ListFields()
        if not fields:
            return
        field, value = draw(st.sampled_from(fields))
        repeated = hasattr(value, "__len__") and not isinstance(value, (bytes, str))
        if repeated and field.message_type is not None and len(value) and draw(st.integers(0, 3)):
            message = value[draw(st.integers(0, len(value) - 1))]
            continue
        if not repeated and field.message_type is not None and draw(st.integers(0, 3)):
            message = value
            continue
        if repeated and field.message_type is not None and draw(st.booleans()):
            value.add().CopyFrom(value[0])
        elif not repeated and isinstance(value, int) and draw(st.booleans()):
            setattr(message, field.name, draw(st.sampled_from([0, 1, 2, 7, 10, 2**31 - 1])))
        elif repeated and field.message_type is None and len(value) and isinstance(value[0], int):
            value[0] = draw(st.sampled_from([-1, 0, 2, 5, 10**6]))
        else:
            message.ClearField(field.name)
        return


HUGE = 10**12


@pytest.mark.parametrize("extents", [[1, HUGE], [HUGE], [1, 10**6, 10**6], [1, 2**62, 4]])
def test_lying_input_extents(extents):
    node = helper.make_node("Relu", ["x"], ["y"])
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, extents) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]))
    with pytest.raises(EqverifyError, match="onnx/"):
        parse_network(model.SerializeToString())
    read(model.SerializeToString())


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("ConstantOfShape", [[HUGE]]),
        ("Expand", [[1], [HUGE]]),
        ("Tile", [[1], [HUGE]]),
        ("Range", [0, HUGE, 1]),
        ("ConstantOfShape", [[2**33, 2**33]]),
    ],
)
def test_lying_constants(operator, arguments):
    initialisers = [
        helper.make_tensor(
            f"c{i}", TensorProto.INT64, [] if isinstance(a, int) else [len(a)], [a] if isinstance(a, int) else a
        )
        for i, a in enumerate(arguments)
    ]
    nodes = [
        helper.make_node(operator, [t.name for t in initialisers], ["big"]),
        helper.make_node("Cast", ["big"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "float"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], initializer=initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(EqverifyError, match="onnx/too-large"):
        parse_network(model.SerializeToString())
    read(model.SerializeToString())


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [10**6] * 4},
        {"pads": [2**40] * 4},
        {"strides": [2**40, 1]},
        {"dilations": [10**6, 1], "pads": [10**6] * 4},
        {"kernel_shape": [5000, 5000], "pads": [2500] * 4},
    ],
    ids=str,
)
def test_lying_windows(operator, attributes):
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 2, 2], [1.0] * 4)
    inputs = ["x", "w"] if operator.startswith("Conv") else ["x"]
    nodes = [helper.make_node(operator, inputs, ["y"], **{"kernel_shape": [2, 2], **attributes})]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])]
    ports.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], initializer=[weights])
    read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)]).SerializeToString())
