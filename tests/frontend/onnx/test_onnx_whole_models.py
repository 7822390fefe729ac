"""Models as exporters write them: weights beside the file, functions of their own, branches, prefixes of constants."""

from __future__ import annotations

import gzip
import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import eqverify as eq
from eqverify.errors import InputError
from eqverify.export.comparison import compare_reading, probe_points
from eqverify.export.runtime import compare_with_runtime
from eqverify.frontend.onnx import describe, parse_front, parse_network, read_bytes, read_front, read_network
from eqverify.network import outputs_exact

FLOAT, DOMAIN = TensorProto.FLOAT, "com.example"
RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 4)).astype(np.float32)
V = RNG.normal(size=(4, 2)).astype(np.float32)


def node(operator, inputs, *outputs, **attributes):
    return helper.make_node(operator, inputs.split(), list(outputs), **attributes)


def model(nodes, stored, *, shape=("batch", 3), opset=17, functions=()) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    inputs = [helper.make_tensor_value_info("x", FLOAT, list(shape))]
    outputs = [helper.make_tensor_value_info("y", FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=functions)


def agrees(made: onnx.ModelProto, relus: int) -> None:
    """It is read, with so many ReLUs, and runs as it was read."""
    data = made.SerializeToString()
    network = parse_network(data)
    assert network.relu_count == relus
    comparison = compare_with_runtime(data, network, RNG.normal(size=(8, network.input_size)))
    assert comparison.agrees, comparison


LAYERS = [node("MatMul", "x w", "a"), node("Relu", "a", "r"), node("MatMul", "r v", "y")]


# Weights beside the model


def exported(folder: Path, location: str = "net.onnx.data") -> Path:
    """As torch's dynamo exporter writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "net.onnx"
    onnx.save(model(LAYERS, {"w": W, "v": V}), path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def test_weights_beside_the_model_are_read(tmp_path):
    path = exported(tmp_path)
    assert (tmp_path / "net.onnx.data").stat().st_size == W.nbytes + V.nbytes
    inside = parse_network(model(LAYERS, {"w": W, "v": V}).SerializeToString())
    assert read_network(path).digest == inside.digest == read_front(path).network.digest
    assert describe(path).unsupported == ()
    packed = tmp_path / "packed.onnx.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_network(packed).digest == inside.digest
    assert compare_with_runtime(read_bytes(path), inside, RNG.normal(size=(4, 3))).agrees


def test_weights_in_a_folder_below_and_in_attributes_are_read(tmp_path):
    (tmp_path / "data").mkdir()
    made = model([node("Constant", "", "w", value=numpy_helper.from_array(W, "w")), *LAYERS], {"v": V})
    tensor = made.graph.node[0].attribute[0].t
    (tmp_path / "data" / "w.bin").write_bytes(b"padding." + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "data/w.bin"), ("offset", "8"), ("length", str(W.nbytes))):
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString())
    inside = parse_network(model(LAYERS, {"w": W, "v": V}).SerializeToString())
    assert read_network(path).digest == inside.digest


def moved(path: Path, **entries: str) -> Path:
    """The model with other entries for its first tensor."""
    made = onnx.load(path, load_external_data=False)
    for entry in made.graph.initializer[0].external_data:
        entry.value = entries.pop(entry.key, entry.value)
    for key, value in entries.items():
        made.graph.initializer[0].external_data.add(key=key, value=value)
    path.write_bytes(made.SerializeToString())
    return path


OUTSIDE = [
    "../weights",
    "/etc/passwd",
    "a/../../weights",
    "..",
    ".",
    "",
    "link",
    "loop",
    "missing",
    "C:\\weights",
    "x\0y",
]


@pytest.mark.parametrize("location", OUTSIDE)
def test_files_outside_the_folder_are_not_read(tmp_path, location):
    path = moved(exported(tmp_path / "inner"), location=location)
    (tmp_path / "weights").write_bytes(b"\0" * 1000)
    (tmp_path / "inner" / "link").symlink_to(tmp_path / "weights")
    (tmp_path / "inner" / "loop").symlink_to(tmp_path / "inner" / "loop")
    for read in (read_network, read_bytes, describe, read_front):
        with pytest.raises(InputError) as caught:
            read(path)
        assert (caught.value.code, caught.value.place.node) == ("onnx/external-data", "w")


@pytest.mark.parametrize(
    "entries", [{"offset": "-1"}, {"offset": "9999"}, {"length": "9999"}, {"length": "-4"}, {"offset": "one"}]
)
def test_parts_that_are_not_there_are_not_read(tmp_path, entries):
    with pytest.raises(InputError) as caught:
        read_network(moved(exported(tmp_path), **entries))
    assert caught.value.code == "onnx/external-data"


def test_a_part_of_the_wrong_length_is_an_error(tmp_path):
    with pytest.raises(InputError) as caught:
        read_network(moved(exported(tmp_path), length="4"))
    assert caught.value.code == "onnx/invalid"


def test_weights_beside_the_model_count_for_its_size(tmp_path, monkeypatch):
    path = exported(tmp_path)
    monkeypatch.setattr("eqverify.frontend.onnx.external.MAX_FILE_BYTES", path.stat().st_size + W.nbytes)
    with pytest.raises(InputError) as caught:
        read_network(path)
    assert (caught.value.code, caught.value.place.node) == ("onnx/too-large", "v")


def test_a_certificate_names_the_weights_beside_the_model(tmp_path):
    path, query = exported(tmp_path), tmp_path / "p.vnnlib"
    lines = [f"(declare-const X_{k} Real)" for k in range(3)] + [f"(declare-const Y_{k} Real)" for k in range(2)]
    lines += [f"(assert (>= X_{k} 0.0))\n(assert (<= X_{k} 1.0))" for k in range(3)] + ["(assert (<= Y_0 Y_1))"]
    query.write_text("\n".join(lines))
    reduction = eq.reduce(eq.load_problem(path, query), certificate=True)
    reduced, certificate = tmp_path / "r.onnx", tmp_path / "r.cert"
    reduction.save(reduced, certificate=certificate)
    assert eq.check(path, query, reduced, certificate).verified
    numbers = np.frombuffer((tmp_path / "net.onnx.data").read_bytes(), dtype=np.float32).copy()
    numbers[0] += 1
    (tmp_path / "net.onnx.data").write_bytes(numbers.tobytes())
    verdict = eq.check(path, query, reduced, certificate)
    assert not verdict.verified
    assert "digest" in json.dumps(verdict.as_dict())


# Functions of the model


def layer(name, body, inputs=("h", "weights"), outputs=("z",), attributes=(), opset=17):
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_function(DOMAIN, name, list(inputs), list(outputs), body, imports, list(attributes))


def test_functions_of_the_model_are_unfolded():
    slope = helper.make_node("LeakyRelu", ["m"], ["z"])
    slope.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    calls = [
        node("Layer", "h a", "m", domain=DOMAIN, slope=0.5),
        node("Layer", "m b", "z", domain=DOMAIN, slope=0.25),
    ]
    functions = [
        layer("Layer", [node("MatMul", "h weights", "m"), slope], attributes=["slope"]),
        layer("Twice", calls, ("h", "a", "b")),
    ]
    made = model([node("Twice", "x w v", "y", domain=DOMAIN)], {"w": W, "v": V}, functions=functions)
    agrees(made, 6)
    assert describe(made.SerializeToString()).unsupported == ()


def test_functions_that_cannot_be_unfolded_are_refused():
    again = layer("Again", [node("Again", "h weights", "z", domain=DOMAIN)])
    made = model([node("Again", "x w", "y", domain=DOMAIN)], {"w": W}, functions=[again])
    with pytest.raises(InputError) as caught:
        parse_network(made.SerializeToString())
    assert caught.value.code in ("onnx/unsupported-form", "onnx/invalid")
    bombs = [layer("F0", [node("Relu", "h", "z")], ["h"])]
    for k in range(1, 9):
        names = ["h", *(f"t{i}" for i in range(99)), "z"]
        body = [node(f"F{k - 1}", a, b, domain=DOMAIN) for a, b in itertools.pairwise(names)]
        bombs.append(layer(f"F{k}", body, ["h"]))
    made = model([node("F8", "x", "y", domain=DOMAIN)], {}, functions=bombs)
    with pytest.raises(InputError) as caught:
        parse_network(made.SerializeToString())
    assert caught.value.code == "onnx/too-large"


def test_a_function_with_the_name_of_an_operator_is_refused():
    function = helper.make_function("", "Relu", ["h"], ["z"], [node("Neg", "h", "z")], [helper.make_opsetid("", 17)])
    made = model([node("Relu", "x", "y")], {}, functions=[function])
    with pytest.raises(InputError) as caught:
        parse_network(made.SerializeToString())
    assert caught.value.code == "onnx/unsupported-form"


# Branches


def graph(nodes, output, **stored):
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    return helper.make_graph(nodes, "b", [], [helper.make_tensor_value_info(output, FLOAT, None)], initializer=tensors)


def chosen(condition, then, other) -> onnx.ModelProto:
    branches = {"then_branch": then, "else_branch": other}
    nodes = [*LAYERS[:2], helper.make_node("If", ["c"], ["i"], **branches), node("MatMul", "i v", "y")]
    return model(nodes, {"w": W, "v": V, "c": np.array(condition)})


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_that_is_constant_is_read(condition):
    then = graph([node("Add", "r b", "t"), node("Relu", "t", "o")], "o", b=np.float32([1, -2, 3, -4]))
    agrees(chosen(condition, then, graph([node("Neg", "r", "o")], "o")), 8 if condition else 4)


def test_branches_within_branches_and_with_equal_names_are_read():
    inner = graph([node("Mul", "t b", "u")], "u", b=np.float32([2]))
    other = graph([node("Sigmoid", "t", "u")], "u")
    deep = [node("Add", "r b2", "t"), helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=other)]
    first = graph(deep, "o", b2=np.float32([1]))
    made = chosen(True, first, graph([node("Sigmoid", "r", "o")], "o"))
    again = helper.make_node("If", ["c"], ["j"], then_branch=first, else_branch=graph([node("Neg", "r", "o")], "o"))
    made.graph.node[3].input[0] = "k"
    made.graph.node.insert(3, again)
    made.graph.node.insert(4, node("Add", "i j", "k"))
    agrees(made, 4)


def test_a_branch_that_cannot_be_read_is_cut_before():
    made = chosen(True, graph([node("Tanh", "r", "o")], "o"), graph([node("Neg", "r", "o")], "o"))
    front = parse_front(made.SerializeToString())
    assert front.cut is not None
    assert [entry.operator for entry in front.cut.opaque] == ["If"]
    assert front.network.relu_count == 4


def test_a_branch_whose_names_hide_others_is_refused():
    made = chosen(True, graph([node("Neg", "r", "o")], "o", w=W), graph([node("Neg", "r", "o")], "o"))
    with pytest.raises(InputError):
        parse_network(made.SerializeToString())


def test_squeeze_as_scripts_write_it():
    """torch's script exporter asks whether the extent is 1."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "e", axis=0),
        node("Equal", "e one", "c"),
        helper.make_node(
            "If",
            ["c"],
            ["q"],
            then_branch=graph([node("Squeeze", "x axis", "o1")], "o1"),
            else_branch=graph([node("Identity", "x", "o2")], "o2"),
        ),
        node("MatMul", "q w", "a"),
        node("Relu", "a", "y"),
    ]
    stored = {"zero": np.array(0), "one": np.array(1), "axis": np.array([0]), "w": W}
    agrees(model(nodes, stored, shape=(1, 3)), 4)


# Prefixes of constants


def test_a_prefix_of_dynamic_shapes_is_constant():
    """What torch's dynamo exporter writes for index arithmetic on extents."""
    nodes = [
        node("Shape", "x", "s", start=0, end=1),
        node("Size", "x", "count"),
        node("Squeeze", "s", "n"),
        node("Concat", "s three", "target", axis=0),
        node("ConstantOfShape", "target", "ones", value=helper.make_tensor("v", TensorProto.INT64, [1], [1])),
        node("Mul", "ones minus", "negative"),
        node("Equal", "target negative", "same"),
        node("Where", "same ones target", "extents"),
        node("Slice", "extents zero1 two1 zero1", "wanted"),
        node("Range", "zero n one", "rows"),
        node("LessOrEqual", "rows zero", "early"),
        node("Expand", "x wanted", "expanded"),
        node("Unsqueeze", "rows one1", "places"),
        node("GatherND", "expanded places", "gathered"),
        node("Where", "early gathered expanded", "kept"),
        node("CastLike", "count kept", "number"),
        node("Div", "kept number", "scaled"),
        node("MatMul", "scaled w", "a"),
        node("Relu", "a", "y"),
    ]
    stored = {
        "three": np.array([3]), "minus": np.array(-1), "zero": np.array(0), "one": np.array(1), "one1": np.array([1]),
        "zero1": np.array([0]), "two1": np.array([2]), "w": W,
    }  # fmt: skip
    nodes[7] = node("Where", "same target target", "extents")
    nodes[4] = node("ConstantOfShape", "two1b", "ones", value=helper.make_tensor("v", TensorProto.INT64, [1], [1]))
    stored["two1b"] = np.array([2])
    agrees(model(nodes, stored, opset=18), 4)


def test_weight_normalisation_is_a_constant_whose_root_is_told():
    nodes = [
        node("ReduceL2", "direction", "norm", axes=[0], keepdims=1),
        node("Div", "direction norm", "unit"),
        node("Mul", "unit gain", "w"),
        *LAYERS[:2],
        node("Identity", "r", "y"),
    ]
    made = model(nodes, {"direction": W, "gain": np.float32([[1, 2, 3, 4]])})
    agrees(made, 4)
    assert "norm" in parse_front(made.SerializeToString()).rounded


def test_quantised_weights_are_exact():
    stored = {"q": np.array([[1, -2], [100, 7], [0, 3]], np.int8), "s": np.float32([0.1, 0.3]), "z": np.int8([1, -1])}
    nodes = [node("DequantizeLinear", "q s z", "w", axis=1), node("MatMul", "x w", "y")]
    front = parse_front(model(nodes, stored).SerializeToString())
    exact = [
        (Fraction(int(q)) - int(z)) * Fraction(float(s)) for q, s, z in zip([1, -2], stored["s"], [1, -1], strict=True)
    ]
    assert front.rounded == ()
    assert outputs_exact(front.network, [Fraction(1), Fraction(0), Fraction(0)]) == exact


def test_images_with_channels_last():
    """As keras models come out of tf2onnx: a Transpose in front and one behind, Squeeze and Reshape by Shape."""
    kernel = RNG.normal(size=(2, 3, 2, 2)).astype(np.float32)
    nodes = [
        node("Transpose", "x", "c", perm=[0, 3, 1, 2]),
        node("Conv", "c k", "v1"),
        node("Relu", "v1", "r"),
        node("Transpose", "r", "b", perm=[0, 2, 3, 1]),
        node("Shape", "b", "s"),
        node("Cast", "s", "si", to=TensorProto.INT32),
        node("Slice", "si zero one", "n"),
        node("Concat", "n minus", "wanted", axis=0),
        node("Cast", "wanted", "w64", to=TensorProto.INT64),
        node("Reshape", "b w64", "y"),
    ]
    stored = {"k": kernel, "zero": np.array([0]), "one": np.array([1]), "minus": np.array([-1], np.int32)}
    agrees(model(nodes, stored, shape=("unk__1", 4, 4, 3)), 18)


# Half precision


def halved(shape=(1, 3), wide: bool = False) -> bytes:
    """Two layers in float16, of which the second one may be in float32."""
    nodes = [node("MatMul", "x w", "a"), node("Add", "a b", "s"), node("Relu", "s", "r")]
    nodes += [node("Cast", "r", "c", to=FLOAT), node("MatMul", "c v", "y")] if wide else [node("MatMul", "r v", "y")]
    stored = {"w": W.astype(np.float16), "b": np.float16([0.1, -0.2, 0.3, 0]), "v": V.astype("f4" if wide else "f2")}
    made = model(nodes, stored, shape=shape)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    made.graph.output[0].type.tensor_type.elem_type = FLOAT if wide else TensorProto.FLOAT16
    return made.SerializeToString()


@pytest.mark.parametrize("wide", [False, True])
def test_half_precision_means_the_real_function_and_is_compared_within_its_own_rounding(wide):
    data = halved(wide=wide)
    network = parse_network(data)
    assert network.element == "float16"
    x = [Fraction(1, 2), Fraction(-1, 4), Fraction(3)]
    layer = [sum(v * Fraction(float(a)) for v, a in zip(x, W.astype(np.float16)[:, k], strict=True)) for k in range(4)]
    layer = [
        max(v + Fraction(float(b)), Fraction(0)) for v, b in zip(layer, np.float16([0.1, -0.2, 0.3, 0]), strict=True)
    ]
    weights = V if wide else V.astype(np.float16)
    exact = [sum(v * Fraction(float(a)) for v, a in zip(layer, weights[:, k], strict=True)) for k in range(2)]
    assert outputs_exact(network, x) == exact
    points = probe_points(network, None)
    count, reason = compare_reading(data, network, points)
    assert (count, reason) == (len(points), "")
    comparison = compare_with_runtime(data, network, points)
    assert comparison.agrees
    assert comparison.worst_ratio > 0
    wrong = parse_network(data.replace(np.float16(0.3).tobytes(), np.float16(0.8).tobytes()))
    with pytest.raises(InputError) as caught:
        compare_reading(data, wrong, points)
    assert caught.value.code == "read/differs"


def test_a_network_in_half_precision_is_reduced_and_verified(tmp_path):
    path, query = tmp_path / "net.onnx", tmp_path / "p.vnnlib"
    path.write_bytes(halved())
    lines = [f"(declare-const X_{k} Real)" for k in range(3)] + [f"(declare-const Y_{k} Real)" for k in range(2)]
    lines += [f"(assert (>= X_{k} 0.0))\n(assert (<= X_{k} 1.0))" for k in range(3)]
    query.write_text("\n".join([*lines, "(assert (>= Y_0 100.0))"]))
    assert eq.verify(query, path).verdict == "unsat"
    query.write_text("\n".join([*lines, "(assert (<= Y_0 100.0))"]))
    answer = eq.verify(query, path)
    assert answer.verdict == "sat"
    assert answer.witness is not None
    assert all(value == float(np.float16(value)) for value in map(float, answer.witness.inputs))
    reduction = eq.reduce(eq.load_problem(path, query), dtype="float32")
    reduction.save(tmp_path / "r.onnx")
    written = read_network(tmp_path / "r.onnx")
    assert written.inputs[0].element == "float32"
