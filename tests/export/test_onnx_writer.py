"""The ONNX writer: what it writes reads back equal, and verifiers' rules are kept."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from eqverify.errors import EqverifyError
from eqverify.export.onnx import round_to, write_network
from eqverify.export.runtime import compare_with_runtime, run_model
from eqverify.frontend.onnx import parse_network
from eqverify.network import (
    Affine,
    Dense,
    Diagonal,
    Identity,
    LinearMap,
    Network,
    Port,
    Relu,
    Term,
    evaluate,
    outputs_exact,
)
from eqverify.network.sparse import Sparse

EXAMPLES = settings(deadline=None, max_examples=3 * settings().max_examples, suppress_health_check=list(HealthCheck))

INPUT_SHAPES = [(1, 4), ("N", 4), (4,), (1, 4, 1), (1, 1, 1, 4), ("batch", 2, 2), (4, 1), (1, 2, 2)]
OUTPUT_SHAPES = [(1, 3), ("N", 3), (3,), (3, 1), (1, 3, 1), ("N", 1, 3), (1, 1, 3)]


def chain(rng, widths, *, source=(1, 4), target=(1, 3), relus=(), element="float32", dtype=np.float32) -> Network:
    """A sequential network with random weights of `dtype`; a ReLU follows the layers in `relus`."""
    nodes, previous = [], "x"
    for index, (inside, outside) in enumerate(pairwise(widths)):
        matrix = rng.normal(size=(outside, inside)).astype(dtype)
        bias = rng.normal(size=outside).astype(dtype)
        nodes.append(Affine(f"z{index}", (Term(previous, Dense(matrix)),), bias))
        previous = f"z{index}"
        if index in relus:
            nodes.append(Relu(f"h{index}", previous))
            previous = f"h{index}"
    return Network((Port("x", source, element, "x"),), tuple(nodes), (Port("y", target, element, previous),))


def layers(network: Network) -> list:
    return [
        [*n.terms[0].map.dense().tolist(), n.bias.tolist()] if isinstance(n, Affine) else "relu" for n in network.nodes
    ]


def write(network: Network, dtype="float32", **options) -> bytes:
    return write_network(network, dtype=dtype, metadata={}, producer="test", **options)


@EXAMPLES
@given(st.data())
def test_what_is_written_reads_back_equal(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    hidden = data.draw(st.lists(st.integers(1, 4), max_size=3))
    relus = data.draw(st.sets(st.integers(0, len(hidden))))
    network = chain(
        rng,
        [4, *hidden, 3],
        source=data.draw(st.sampled_from(INPUT_SHAPES)),
        target=data.draw(st.sampled_from(OUTPUT_SHAPES)),
        relus=relus,
        dtype=np.dtype(dtype),
        element=data.draw(st.sampled_from(["float32", "float64"])),
    )
    opset = data.draw(st.sampled_from([9, 11, 13, 18, 21]))
    model = write(network, dtype, opset=opset)
    again = parse_network(model)
    assert layers(again) == layers(network)
    assert (again.inputs[0].name, again.inputs[0].shape) == ("x", network.inputs[0].shape)
    assert (again.outputs[0].name, again.outputs[0].shape) == ("y", network.outputs[0].shape)
    assert again.inputs[0].element == dtype
    comparison = compare_with_runtime(model, again, rng.normal(size=(3, 4)))
    assert comparison.agrees, comparison
    assert write(network, dtype, opset=opset) == model


def test_operators_and_attributes_are_what_every_verifier_reads():
    network = chain(np.random.default_rng(0), [4, 5, 3], source=(1, 1, 4), relus={0})
    model = onnx.load_from_string(write(network))
    assert [node.op_type for node in model.graph.node] == ["Flatten", "Gemm", "Relu", "Gemm"]
    for node in model.graph.node:
        if node.op_type == "Gemm":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            assert attributes == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
            assert len(node.input) == 3
    assert all(tensor.HasField("raw_data") for tensor in model.graph.initializer)
    assert len({node.name for node in model.graph.node}) == 4


def test_rank_one_is_reshaped_before_and_after():
    network = chain(np.random.default_rng(0), [4, 3], source=(4,), target=(3,))
    model = onnx.load_from_string(write(network))
    assert [node.op_type for node in model.graph.node] == ["Reshape", "Gemm", "Reshape"]
    assert run_model(model.SerializeToString(), np.ones((2, 4))).shape == (2, 3)


@pytest.mark.parametrize(("opset", "ir_version"), [(9, 4), (13, 7)])
def test_the_ir_version_suits_the_opset(opset, ir_version):
    model = onnx.load_from_string(write(chain(np.random.default_rng(0), [4, 3]), opset=opset))
    assert (model.opset_import[0].version, model.ir_version) == (opset, ir_version)


def test_metadata_and_producer():
    network = chain(np.random.default_rng(0), [4, 3], element="float32")
    data = write_network(network, dtype="float64", metadata={"b": "2", "a": "1"}, producer="eqverify 0.1")
    model = onnx.load_from_string(data)
    properties = [(entry.key, entry.value) for entry in model.metadata_props]
    assert properties == [("a", "1"), ("b", "2"), ("eqverify.original_element", "float32")]
    assert model.producer_name == "eqverify 0.1"


def test_symbolic_batches_really_run():
    network = chain(np.random.default_rng(0), [4, 3], source=("N", 2, 2), target=("N", 3, 1))
    outputs = run_model(write(network), np.ones((5, 4)))
    np.testing.assert_allclose(outputs, evaluate(network, np.ones((5, 4))), atol=1e-5)


def test_constant_network():
    network = Network(
        (Port("x", (1, 2), "float32", "x"),),
        (Affine("z", (Term("x", Dense(np.zeros((1, 2)))),), np.array([0.5])),),
        (Port("y", (1, 1), "float32", "z"),),
    )
    assert run_model(write(network), np.ones((1, 2))).tolist() == [[0.5]]


def test_names_that_collide_are_made_unique():
    rng = np.random.default_rng(0)
    nodes = (
        Affine("y", (Term("x", Dense(rng.integers(-3, 3, (2, 2)))),), np.zeros(2)),
        Relu("y.weight", "y"),
        Affine("x_row", (Term("y.weight", Dense(rng.integers(-3, 3, (2, 2)))),), np.zeros(2)),
    )
    network = Network((Port("x", (2,), "float32", "x"),), nodes, (Port("y", (2,), "float32", "x_row"),))
    assert layers(parse_network(write(network))) == layers(network)


def one(name, *terms, size=2):
    return Affine(name, tuple(terms), np.zeros(size))


EYE = Dense(np.eye(2))
GENERAL = {
    "two terms": (one("z", Term("x", EYE), Term("x", EYE)),),
    "no terms": (one("z"),),
    "skip": (one("a", Term("x", EYE)), one("z", Term("x", EYE), Term("a", Identity(2)))),
    "identity": (one("z", Term("x", Identity(2))),),
    "diagonal": (one("z", Term("x", Diagonal(np.ones(2), np.full(2, 3.0)))),),
    "sparse": (one("z", Term("x", Sparse(np.array([2.0]), np.array([1]), np.array([0, 1, 1]), 2))),),
    "no nodes": (),
}


@pytest.mark.parametrize("case", GENERAL)
@pytest.mark.parametrize("shape", [(1, 2), (2,), ("N", 2, 1)])
def test_any_network_is_written(case, shape):
    nodes = GENERAL[case]
    output = Port("y", shape, "float32", nodes[-1].name if nodes else "x")
    network = Network((Port("x", shape, "float32", "x"),), nodes, (output,))
    again = parse_network(write(network))
    assert (again.inputs[0].shape, again.outputs[0].shape) == (shape, shape)
    point = [Fraction(1, 3), Fraction(-5)]
    assert outputs_exact(again, point) == outputs_exact(network, point)
    assert compare_with_runtime(write(network), again, np.ones((3, 2))).agrees


def test_unknown_maps_are_refused():
    class Strange(LinearMap):
        """Not known to the writer."""

        shape, fan_in, fan_out = (2, 2), 1, 1
        absolute = dense = forward = backward = forward_exact = None

        def parameters(self):
            return (np.ones(1),)

    port = Port("y", (1, 2), "float32", "z")
    network = Network((Port("x", (1, 2), "float32", "x"),), (one("z", Term("x", Strange())),), (port,))
    for function in (write, lambda n: round_to(n, "float32")):
        with pytest.raises(EqverifyError) as caught:
            function(network)
        assert caught.value.code == "export/linear-map"


def test_empty_layers_are_refused():
    nodes = (one("a", Term("x", Dense(np.zeros((0, 2)))), size=0), one("z", Term("a", Dense(np.zeros((2, 0))))))
    network = Network((Port("x", (1, 2), "float32", "x"),), nodes, (Port("y", (1, 2), "float32", "z"),))
    with pytest.raises(EqverifyError) as caught:
        write(network)
    assert caught.value.code == "export/empty-layer"


def with_weight(weight: float) -> Network:
    nodes = (Affine("z", (Term("x", Dense(np.array([[1.0, 1.0], [weight, 1.0]]))),), np.zeros(2)),)
    return Network((Port("x", (1, 2), "float32", "x"),), nodes, (Port("y", (1, 2), "float32", "z"),))


@pytest.mark.parametrize("weight", [0.1, 1e300, 1e-300, 1 + 2**-30])
def test_weights_are_never_rounded_silently(weight):
    with pytest.raises(EqverifyError) as caught:
        write(with_weight(weight))
    assert caught.value.code == "export/not-representable"
    assert (caught.value.place.node, caught.value.place.unit) == ("z", 1)
    (stored,) = (
        t for t in onnx.load_from_string(write(with_weight(weight), "float64")).graph.initializer if t.dims == [2, 2]
    )
    assert numpy_helper.to_array(stored)[1, 0] == weight


def test_round_to_float32_is_to_nearest_and_overflow_is_an_error():
    (node,) = round_to(with_weight(0.1), "float32").nodes
    assert node.terms[0].map.dense()[1, 0] == float(np.float32(0.1))
    assert round_to(with_weight(0.1), "float64").nodes[0].terms[0].map.dense()[1, 0] == 0.1
    write(round_to(with_weight(0.1), "float32"))
    with pytest.raises(EqverifyError) as caught:
        round_to(with_weight(1e39), "float32")
    assert caught.value.code == "export/overflow"


@pytest.mark.parametrize(("options", "code"), [({"dtype": "float16"}, "export/dtype"), ({"opset": 6}, "export/opset")])
def test_wrong_options_are_usage_errors(options, code):
    with pytest.raises(EqverifyError) as caught:
        write(with_weight(0.5), **options)
    assert (caught.value.code, caught.value.exit_status) == (code, 2)
