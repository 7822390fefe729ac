"""What `reduce` does where it gains nothing, has no time, or works for a verifier."""

import numpy as np
import onnx
import pytest

import eqverify as eq
from eqverify.domain import box_domain
from eqverify.errors import UsageError
from eqverify.export.onnx import write_network
from eqverify.network import Affine, Convolution, Network, Port, Relu, Term, evaluate
from eqverify.network.linear import Dense
from eqverify.problem import domain_problem
from eqverify.reduction.profiles import PROFILES, tool_of
from eqverify.testing.chains import chain_network


def text_of(size, outputs, low, high, conditions):
    lines = [f"(declare-const X_{k} Real)" for k in range(size)]
    lines += [f"(declare-const Y_{k} Real)" for k in range(outputs)]
    lines += [f"(assert (>= X_{k} {low}))\n(assert (<= X_{k} {high}))" for k in range(size)]
    return "\n".join([*lines, *conditions])


def unstable():
    """Two units that are unstable on [-1, 1]^2."""
    return chain_network([(np.array([[1.0, 0.5], [0.25, -1.0]]), np.zeros(2)), (np.array([[1.0, 2.0]]), np.ones(1))])


def written(folder, network, text, **options):
    """The problem of two files, of which the model has a name of its own."""
    model, query = folder / "net.onnx", folder / "prop.vnnlib"
    kept = onnx.load_model_from_string(write_network(network, metadata={}, producer="somebody", **options))
    kept.graph.doc_string = "kept as it is"
    model.write_bytes(kept.SerializeToString())
    query.write_text(text)
    return eq.load_problem(model, query), model


NEVER = ["(assert (>= Y_0 1000.0))"]


@pytest.mark.parametrize("shape", ["sequential", "residual", "structured", "auto"])
def test_where_nothing_is_gained_the_original_is_handed_on(tmp_path, shape):
    problem, model = written(tmp_path, unstable(), text_of(2, 1, -1.0, 1.0, NEVER))
    result = eq.reduce(problem, shape=shape)
    result.save(tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == model.read_bytes()
    assert result.transformed.handed_on
    assert result.epsilons.tolist() == [0.0]
    assert result.transformed.choice.startswith("the original, byte for byte")


def test_a_file_that_changed_meanwhile_is_not_handed_on(tmp_path):
    problem, model = written(tmp_path, unstable(), text_of(2, 1, -1.0, 1.0, NEVER))
    model.write_bytes(write_network(unstable(), metadata={}, producer="somebody else"))
    result = eq.reduce(problem)
    assert not result.transformed.handed_on
    assert onnx.load_from_string(result.data).producer_name == "eqverify"


def test_another_type_is_written_though_nothing_else_is_gained(tmp_path):
    problem, _ = written(tmp_path, unstable(), text_of(2, 1, -1.0, 1.0, NEVER))
    result = eq.reduce(problem, dtype="float64")
    assert result.dtype == "float64"
    assert not result.transformed.handed_on


def test_a_smaller_network_is_written(tmp_path):
    problem, model = written(tmp_path, unstable(), text_of(2, 1, 0.5, 1.0, NEVER))
    result = eq.reduce(problem)
    assert result.network.relu_count < 2
    assert result.data != model.read_bytes()


def test_a_certificate_of_what_was_handed_on_is_verified(tmp_path):
    problem, model = written(tmp_path, unstable(), text_of(2, 1, -1.0, 1.0, NEVER))
    result = eq.reduce(problem, certificate=True)
    assert result.transformed.handed_on
    result.save(tmp_path / "out.onnx", certificate=tmp_path / "out.cert")
    verdict = eq.check(model, tmp_path / "prop.vnnlib", tmp_path / "out.onnx", tmp_path / "out.cert")
    assert verdict.epsilon == 0.0


def test_without_time_the_original_is_handed_on_and_says_why(tmp_path, monkeypatch):
    problem, model = written(tmp_path, unstable(), text_of(2, 1, 0.5, 1.0, NEVER))
    result = eq.reduce(problem, time_limit=1e-9, facts=eq.prove_stability(problem))
    assert result.network.relu_count < 2  # half a second is granted, and enough for so small a network
    monkeypatch.setattr("eqverify.reduction.pipeline._OVERTIME", 0.0)
    result = eq.reduce(problem, time_limit=1e-9)
    assert result.data == model.read_bytes()
    assert "not done within the time limit" in result.transformed.choice


def row_of_pixels():
    """A convolution of a row of 40 pixels into 2 channels, of which units are stable here and there, and a sum."""
    kernel, pixels = np.array([[[1.0, 1.0, -1.0]], [[0.5, -1.0, 0.5]]]), 40
    one = Convolution(kernel, (pixels,), (1,), (1,), (1,), (1,))
    bias = np.where(np.arange(2 * pixels) % 3 == 0, 30.0, 0.0)
    mix = np.random.default_rng(0).normal(size=(6, 2 * pixels)).astype(np.float32).astype(np.float64)
    two = Convolution(np.array([[[0.5, 0.25, -0.5], [1.0, -0.5, 0.25]]]), (pixels,), (1,), (1,), (1,), (1,))
    return Network(
        (Port("X", (1, 1, pixels), "float32", "X"),),
        (
            Affine("z1", (Term("X", one),), bias),
            Relu("h1", "z1"),
            Affine("z2", (Term("h1", two),), np.zeros(pixels)),
            Relu("h2", "z2"),
            Affine("y", (Term("h2", Dense(mix[:, :pixels])),), np.zeros(6)),
        ),
        (Port("Y", (1, 6), "float32", "y"),),
    )


@pytest.mark.slow
def test_a_tool_gets_no_network_that_is_much_denser():
    network = row_of_pixels()
    problem = domain_problem(network, box_domain(np.full(40, -1.0), np.full(40, 1.0)))
    facts = eq.prove_stability(problem, engine="crown")
    plain = eq.reduce(problem, facts=facts)
    assert plain.network.products > PROFILES["nnenum"].density * network.products
    for tool in ("nnenum", "marabou", "abcrown"):
        result = eq.reduce(problem, facts=facts, for_=tool)
        assert result.network.products <= PROFILES[tool].density * network.products
        assert "times the products" in result.transformed.choice
    assert eq.reduce(problem, facts=facts, for_="scip").network.products > network.products
    assert eq.reduce(problem, facts=facts, for_="nnenum", shape="structured").transformed.shape in (
        "structured",
        "unchanged",
    )


def test_a_profile_sets_what_was_not_chosen():
    network = chain_network(
        [(np.array([[1.0, 0.5], [0.25, -1.0]]), np.array([9.0, 0.0])), (np.ones((1, 2)), np.ones(1))]
    )
    double = Network(
        tuple(Port(p.name, p.shape, "float64", p.source) for p in network.inputs),
        network.nodes,
        tuple(Port(p.name, p.shape, "float64", p.source) for p in network.outputs),
    )
    problem = domain_problem(double, box_domain(-np.ones(2), np.ones(2)))
    made = {tool: onnx.load_from_string(eq.reduce(problem, for_=tool).data) for tool in ("nnenum", "abcrown")}
    types = {t: {tensor.data_type for tensor in model.graph.initializer} for t, model in made.items()}
    assert onnx.TensorProto.DOUBLE not in types["nnenum"]
    assert onnx.TensorProto.DOUBLE in types["abcrown"]


def test_a_property_that_an_input_settles_is_handed_on_with_the_input(tmp_path):
    text = text_of(2, 1, 0.5, 1.0, ["(assert (>= Y_0 1.5))"])
    problem, model = written(tmp_path, unstable(), text)
    result = eq.reduce(problem, for_="abcrown")
    assert result.data == model.read_bytes()
    assert result.witness is not None
    assert problem.domain.contains(result.witness[None]).all()
    assert evaluate(problem.network, result.witness[None])[0, 0] >= 1.5
    assert eq.reduce(problem).witness is None  # nobody asked
    assert eq.reduce(problem).network.relu_count < 2


@pytest.mark.parametrize(
    ("command", "tool"),
    [
        ("/opt/nnenum/run.sh", "nnenum"),
        ("python Marabou.py {onnx}", "marabou"),
        ("python abcrown.py --onnx {onnx}", "abcrown"),
        ("/opt/verifier/run_instance.sh", None),
    ],
)
def test_commands_name_their_tool(command, tool):
    assert tool_of(command.split()) == tool


def test_an_unknown_tool_is_refused():
    with pytest.raises(UsageError) as told:
        eq.reduce(*eq.example_files(), for_="nobody")
    assert told.value.code == "usage/tool"
