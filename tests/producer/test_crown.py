"""Proofs by a tool that shares no code with eqverify: verified where they are right, in both arithmetics."""

from __future__ import annotations

import ast
import gzip
import itertools
import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.cli.main import run

from ..vnncomp import OWN, slow, vnncomp
from . import crown

MOST_LINES = 150
BOUNDS = "".join(f"(assert (>= X_{i} -1.0))(assert (<= X_{i} 1.0))\n" for i in range(3))
DECLARED = "".join(f"(declare-const {name} Real)\n" for name in ("X_0", "X_1", "X_2", "Y_0", "Y_1"))


def chain(seed, sizes=(3, 8, 8, 2), matmul=False):
    """A random network: Gemm layers, or Sub, Flatten, MatMul and Add as ACAS Xu has them; bytes, and layers."""
    random, nodes, constants, layers = np.random.default_rng(seed), [], [], []

    def constant(array):
        constants.append(numpy_helper.from_array(array.astype(np.float32), f"c{len(constants)}"))
        return constants[-1].name

    def node(kind, *inputs, **attributes):
        nodes.append(
            helper.make_node(kind, [nodes[-1].output[0] if nodes else "x", *inputs], [f"v{len(nodes)}"], **attributes)
        )

    if matmul:
        node("Sub", constant(np.zeros((1, 1, 1, sizes[0]))))
        node("Flatten", axis=1)
    for k, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        matrix = random.normal(size=(outputs, inputs)).astype(np.float32) / np.float32(np.sqrt(inputs))
        bias = random.normal(size=outputs).astype(np.float32) / 4
        layers.append((matrix.astype(float), bias.astype(float)))
        if k:
            node("Relu")
        if matmul:
            node("MatMul", constant(matrix.T))
            node("Add", constant(bias))
        else:
            node("Gemm", constant(matrix), constant(bias), transB=1)
    shape = (1, 1, 1, sizes[0]) if matmul else (1, sizes[0])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, (1, sizes[-1]))
    model = helper.make_model(
        helper.make_graph(nodes, "chain", [x], [y], constants),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString(), layers


def tops(layers):
    """The largest outputs (2,) at many inputs of [-1, 1]^3, corners among them."""
    x = np.concatenate(
        [np.random.default_rng(0).uniform(-1, 1, (5000, 3)), np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T]
    )
    for matrix, bias in layers[:-1]:
        x = np.maximum(x @ matrix.T + bias, 0)
    return (x @ layers[-1][0].T + layers[-1][1]).max(axis=0)


def reaching(first, second):
    """The property that output 0 or output 1 is that large, or their sum as well as output 0."""
    either = f"(assert (or (and (>= Y_0 {first!r})) (and (>= Y_1 {second!r}) (>= Y_0 -1000.5))))\n"
    return (f"; two disjuncts\n{DECLARED}{BOUNDS}{either}").encode()


def closings(seed, matmul=False):
    """A network, and properties that bounds decide, or only better slopes, or only halved boxes; one is sat."""
    network, layers = chain(seed, matmul=matmul)
    box = np.array([[-1.0] * 3, [1.0] * 3])
    usual, *others = (crown.highest(layers, crown.ranges(layers, box), np.eye(2), slope) for slope in crown.SLOPES)
    best, top = np.minimum(*others), tops(layers)
    assert (best < usual - 0.1).all()
    limits = {"bounds": usual + 0.1, "slopes": best + 0.01, "boxes": (best + top) / 2, "sat": top - 0.05}
    return network, {name: reaching(*limit.tolist()) for name, limit in limits.items()}


def changed(proof, change):
    """The proof with another head."""
    end = 31 + int.from_bytes(proof[23:31], "little")
    head = json.loads(proof[31:end])
    change(head["cases"][0], head)
    told = json.dumps(head).encode()
    return proof[:23] + len(told).to_bytes(8, "little") + told + proof[end:]


def about(monkeypatch, network, query, other):
    """The steps for a property, by a producer who writes the digest of another."""
    read = crown.read_property
    with monkeypatch.context() as patched:
        patched.setattr(crown, "read_property", lambda _: read(query.decode()))
        return crown.prove(network, other)


@pytest.fixture
def checked(tmp_path, capsys):
    """What the command says of files, whose exit status fits."""

    def check(network, query, proof, arithmetic="float"):
        paths = [tmp_path / name for name in ("net.onnx", "prop.vnnlib", "proof")]
        for path, data in zip(paths, (network, query, proof), strict=True):
            path.write_bytes(data)
        status = run(["check", *map(str, paths), "--arithmetic", arithmetic])
        said = capsys.readouterr().out.strip()
        assert status == (0 if said == "verified unsat" else 1)
        return said

    return check


CHAINS = pytest.mark.parametrize(("seed", "matmul"), [(0, False), (13, True), *slow((14, False), (21, True))])


@CHAINS
@pytest.mark.parametrize("arithmetic", ["float", *slow("exact")])
def test_its_proofs_verify(seed, matmul, arithmetic, checked):
    network, properties = closings(seed, matmul)
    for name in ("bounds", "slopes", "boxes"):
        assert (
            checked(network, properties[name], crown.prove(network, properties[name]), arithmetic) == "verified unsat"
        )


@CHAINS
def test_what_it_writes_is_needed_and_understood(seed, matmul, checked):
    """Without its slopes, or its boxes, the checker does not see what it sees with them; but what bounds show."""
    network, properties = closings(seed, matmul)

    def without_slopes(case, head):
        case["steps"] = []

    def without_boxes(case, head):
        for one in case["disjuncts"]:
            one["steps"] = []

    proofs = {name: crown.prove(network, properties[name]) for name in ("bounds", "slopes", "boxes")}
    assert checked(network, properties["bounds"], changed(proofs["bounds"], without_slopes)) == "verified unsat"
    assert "check/not-empty" in checked(network, properties["slopes"], changed(proofs["slopes"], without_slopes))
    assert "check/not-empty" in checked(network, properties["boxes"], changed(proofs["boxes"], without_boxes))


@CHAINS
def test_it_proves_nothing_that_is_false(seed, matmul, checked, monkeypatch):
    """It finds no proof itself, and its steps for properties that hold show nothing about one that does not."""
    network, properties = closings(seed, matmul)
    false = properties["sat"]
    assert crown.prove(network, false) is None
    for name in ("bounds", "slopes", "boxes"):
        proof = about(monkeypatch, network, properties[name], false)
        assert "check/not-empty" in checked(network, false, proof)
        assert "certificate/digest" in checked(network, false, crown.prove(network, properties[name]))


def about_one_unit(case, head):
    case["steps"][0]["rows"][0]["units"] = case["steps"][0]["rows"][0]["signs"]


def another_node(case, head):
    case["steps"][0]["rows"][0]["node"] = 3


def swapped(case, head):
    case["disjuncts"][0]["steps"][0]["parent"] = case["disjuncts"][0]["steps"][0]["dimension"]


def one_disjunct(case, head):
    del case["disjuncts"][1]


def one_case_more(case, head):
    head["cases"].append(case)


def no_multipliers(case, head):
    case["disjuncts"][0]["steps"][0]["mu"] = None


WRONG = {
    about_one_unit: "certificate/range",
    another_node: "certificate/range",
    swapped: "certificate/tree",
    one_disjunct: "certificate/cases",
    one_case_more: "certificate/cases",
    no_multipliers: "certificate/range",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_wrong_files_are_rejected(change, checked):
    network, properties = closings(14)
    proof = crown.prove(network, properties["boxes"])
    assert checked(network, properties["boxes"], proof) == "verified unsat"
    assert WRONG[change] in checked(network, properties["boxes"], changed(proof, change))


NESTED = """(assert (or (>= Y_0 {0}) (and (>= Y_1 {1}) (or (<= Y_0 -{0}) (>= {2} Y_1) (>= Y_1 {1})))))
(assert (or (and (>= Y_0 {0}) (>= Y_0 {0})) (and (or (>= Y_1 {1}) (<= {1} Y_1)))))
"""


def test_it_counts_and_orders_disjuncts_as_the_checker_does(checked):
    """Nested, equal and repeated constraints, of which the first of each disjunct is the hard one."""
    network, layers = chain(14)
    first, second = (tops(layers) + 0.05).tolist()
    query = (DECLARED + BOUNDS + NESTED.format(first, second, second - 0.5)).encode()
    proof = crown.prove(network, query)
    assert len(crown.read_property(query.decode())[1]) == 12
    assert checked(network, query, proof) == "verified unsat"


def test_its_heads_fit_the_schema():
    schema = jsonschema.Draft202012Validator(json.loads(Path("specs/certificate.schema.json").read_text("utf-8")))
    network, properties = closings(14)
    for name in ("bounds", "slopes", "boxes"):
        proof = crown.prove(network, properties[name])
        schema.validate(json.loads(proof[31 : 31 + int.from_bytes(proof[23:31], "little")]))


def test_it_shares_no_code_and_is_small():
    text = Path(crown.__file__).read_text("utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [one.module if isinstance(one, ast.ImportFrom) else alias.name for one in imports for alias in one.names]
    assert {name for name in names if name not in sys.stdlib_module_names} == {"numpy", "onnx"}
    assert len(text.splitlines()) < MOST_LINES


@pytest.mark.parametrize(
    ("benchmark", "model", "query"),
    [
        ("rl_benchmarks", "cartpole", "cartpole_case_unsafe_20"),
        ("rl_benchmarks", "dubinsrejoin", "dubinsrejoin_case_unsafe_70"),
        ("acasxu", "ACASXU_run2a_1_1_batch_2000", "prop_1"),
    ],
)
def test_it_proves_properties_of_the_competition(benchmark, model, query, checked):
    found = [next(vnncomp(benchmark).rglob(name)) for name in (f"{model}.onnx*", f"{query}.vnnlib*")]
    network, text = (gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in found)
    assert checked(network, text, crown.prove(network, text)) == "verified unsat"


def test_it_proves_a_property_of_a_trained_network(checked):
    network, text = (path.read_bytes() for path in (OWN["tabular"].model, OWN["tabular"].properties[0]))
    assert checked(network, text, crown.prove(network, text, most=5000)) == "verified unsat"
