"""Facts of earlier runs: used on boxes inside theirs, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import eqverify as eq
from eqverify.domain import Box, Domain, Polytope
from eqverify.errors import InputError
from eqverify.network import evaluate_nodes
from eqverify.problem import Problem, domain_problem
from eqverify.stability import store
from eqverify.stability.facts import Evidence, Facts, Status
from eqverify.testing.chains import chain_network

RNG = np.random.default_rng(1)
SHAPES = ((10, 2), (10, 10), (10, 10), (1, 10))
NETWORK = chain_network([(RNG.normal(size=shape), RNG.normal(size=shape[0])) for shape in SHAPES])


def on(*boxes: tuple[float, float]) -> Problem:
    """The network on squares [low, high]^2."""
    return domain_problem(NETWORK, Domain(tuple(Polytope(Box(np.full(2, a), np.full(2, b))) for a, b in boxes)))


def prove(problem: Problem, folder, engine="crown") -> Facts:
    return eq.prove_stability(problem, engine=engine, facts=folder, time_limit=20)


def lying(folder, problem: Problem) -> None:
    """A file that says that all units are active, with bounds of their own."""
    facts = eq.prove_stability(problem, engine="crown")
    layers = tuple(
        replace(
            layer,
            lower=np.full(layer.size, 0.25),
            upper=np.full(layer.size, 0.5),
            status=np.full(layer.size, Status.ACTIVE),
            evidence=np.full(layer.size, Evidence.DERIVED),
        )
        for layer in facts.layers
    )
    store.keep(folder, problem, replace(facts, layers=layers))


def flipped(data: bytes) -> bytes:
    """One bit of the first numbers changed."""
    place = data.index(b"NUMPY", data.index(b"layer0")) + 140
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_what_was_proved_on_a_box_is_known_inside_it(tmp_path):
    outer = prove(on((-0.4, 0.4)), tmp_path, "portfolio")
    alone = eq.prove_stability(on((-0.4, 0.39)), engine="crown")
    inner = prove(on((-0.4, 0.39)), tmp_path)
    assert inner.count(Status.UNDECIDED) < alone.count(Status.UNDECIDED)
    for wide, narrow in zip(outer.layers, inner.layers, strict=True):
        assert (narrow.lower >= wide.lower).all()
        assert (narrow.upper <= wide.upper).all()
    assert inner.stages[0].name == "facts"
    points = RNG.uniform(-0.4, 0.39, (2000, 2))
    values = evaluate_nodes(NETWORK, points)
    for layer in inner.layers:
        assert (values[layer.source] >= layer.lower - 1e-9).all()
        assert (values[layer.source] <= layer.upper + 1e-9).all()


@pytest.mark.parametrize("box", [(-0.5, 0.4), (-0.4, 0.5), (0.3, 0.41)])
def test_nothing_is_known_outside_of_it(box, tmp_path):
    lying(tmp_path, on((-0.4, 0.4)))
    plain, found = eq.prove_stability(on(box), engine="crown"), prove(on(box), tmp_path)
    assert [layer.status.tolist() for layer in found.layers] == [layer.status.tolist() for layer in plain.layers]


def test_all_parts_have_to_lie_inside(tmp_path):
    lying(tmp_path, on((-0.4, 0.4)))
    assert store.known(tmp_path, on((-0.1, 0.0), (0.1, 0.2)))
    assert not store.known(tmp_path, on((-0.1, 0.0), (0.1, 0.9)))


def test_another_network_has_facts_of_its_own(tmp_path):
    lying(tmp_path, on((-0.4, 0.4)))
    other = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    box = Domain((Polytope(Box(np.full(2, -0.4), np.full(2, 0.4))),))
    assert not store.known(tmp_path, domain_problem(other, box))


def test_facts_of_another_version_are_passed_over(tmp_path, monkeypatch):
    prove(on((-1.0, 1.0)), tmp_path)
    assert store.known(tmp_path, on((-1.0, 1.0)))
    monkeypatch.setattr(store, "version", lambda: "0.0.1")
    assert not store.known(tmp_path, on((-1.0, 1.0)))


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"no archive", lambda data: data[:-40], flipped])
def test_damage_is_told_with_its_place(damage, tmp_path):
    prove(on((-1.0, 1.0)), tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError) as caught:
        prove(on((-0.5, 0.5)), tmp_path)
    assert caught.value.code == "facts/damaged"
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "what"),
    [(np.zeros((3, 5)), "shape"), (np.full((3, 10), np.nan), "none"), (np.full((3, 10), 2.0), "kind")],
)
def test_contents_that_cannot_be_are_told(layer, what, tmp_path):
    """Bounds of another shape, NaN, and the evidence of a solver (2)."""
    prove(on((-1.0, 1.0)), tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, "layer0": layer})
    with pytest.raises(InputError, match=what):
        prove(on((-0.5, 0.5)), tmp_path)


def test_what_a_solver_is_believed_for_is_not_kept(tmp_path):
    facts = eq.prove_stability(on((-1.0, 1.0)), engine="crown")
    solver = [replace(layer, evidence=np.full(layer.size, Evidence.SOLVER)) for layer in facts.layers]
    active = [replace(layer, status=np.full(layer.size, Status.ACTIVE)) for layer in solver]
    store.keep(tmp_path, on((-1.0, 1.0)), replace(facts, layers=tuple(active)))
    assert not list(tmp_path.rglob("*.npz"))


def test_unions_and_baselines_leave_nothing(tmp_path):
    prove(on((-0.1, 0.0), (0.1, 0.2)), tmp_path)
    prove(on((-1.0, 1.0)), tmp_path, "leo")
    assert not list(tmp_path.rglob("*.npz"))


def test_certificates_do_without(tmp_path):
    """False facts would be rejected by the checker at best."""
    network, query = eq.example_files()
    problem = eq.load_problem(network, query)
    lying(tmp_path, problem)
    assert eq.reduce(problem, facts=tmp_path, certificate=True, engine="crown").certificate is not None
    with pytest.raises(eq.EqverifyError):  # contradicted by inputs that are found
        eq.reduce(problem, facts=tmp_path, engine="crown")


def test_all_jobs_share_a_folder(tmp_path):
    network, query = eq.example_files()
    assert eq.verify(query, network, facts=tmp_path, timeout=60).verdict == "unsat"
    first = eq.prove_stability(network, query, facts=tmp_path, time_limit=20)
    assert list(tmp_path.rglob("*.npz"))
    again = eq.prove_stability(network, query, facts=tmp_path, engine="crown")
    assert again.evidence_counts()["derived"] >= 26 + 88
    assert all((f.lower >= g.lower).all() for f, g in zip(again.layers, first.layers, strict=True))
    assert eq.reduce_for_property(network, query, facts=tmp_path).verdict == "unsat"
