"""`reduce` with a property for the reduced network, on real networks: each pair of files says what it must."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import eqverify as eq
from eqverify.cli.main import run
from eqverify.errors import EqverifyError, UsageError
from eqverify.export.runtime import compare_with_runtime
from eqverify.network import outputs_exact

from ..vnncomp import OWN, slow, vnncomp

INSTANCES = {
    "acasxu": ("acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx", "acasxu/vnnlib/prop_2.vnnlib"),
    "acasxu-boxes": ("acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx", "acasxu/vnnlib/prop_6.vnnlib"),
    "mnist_fc": ("mnist_fc/onnx/mnist-net_256x2.onnx", "mnist_fc/vnnlib/prop_0_0.03.vnnlib"),
    "oval21": ("oval21/onnx/cifar_base_kw.onnx", None),
}


def files(name):
    if name in OWN:
        return OWN[name].model, OWN[name].properties[1]
    network, query = INSTANCES[name]
    root = vnncomp(network.partition("/")[0]).parent
    found = root / query if query else min((root / "oval21/vnnlib").glob("cifar_base_kw*"))
    if not found.exists():
        found = found.with_name(found.name + ".gz")
    network = root / network
    return (network if network.exists() else network.with_name(network.name + ".gz")), found


def holds(unsafe, x, y):
    return any(all(row.holds(x, y) for row in rows) for rows in unsafe)


def points(case, count=20):
    box, random = case.polytope.box, np.random.default_rng(0)
    return box.lower + (box.upper - box.lower) * random.random((count, box.size))


@pytest.mark.parametrize("name", [*OWN, *slow(*INSTANCES)])
def test_written_properties_relax_the_original(name, tmp_path):
    network, query = files(name)
    problem = eq.load_problem(network, query)
    result = eq.reduce(problem, engine="crown", time_limit=5)
    out, plain = tmp_path / "out.onnx", tmp_path / "out.vnnlib"
    assert result.save(out, property=plain) == (out, plain)
    relaxed = eq.load_problem(out, plain)
    assert relaxed.domain.digest == problem.domain.digest
    pairs = result.save(tmp_path / "fold.onnx", property=tmp_path / "fold.vnnlib", fold_property=True)
    assert len(pairs) == 2 * len(problem.cases)
    for case, loose, one, other in zip(problem.cases, relaxed.cases, pairs[::2], pairs[1::2], strict=True):
        folded = eq.load_problem(one, other)
        assert compare_with_runtime(one.read_bytes(), folded.network, points(case)).agrees
        for x in points(case, 3):
            exact = [Fraction(v) for v in x.tolist()]
            original, reduced, rows = (outputs_exact(side.network, exact) for side in (problem, relaxed, folded))
            differences = [abs(a - b) for a, b in zip(original, reduced, strict=True)]
            assert all(d <= Fraction(e) for d, e in zip(differences, result.epsilons.tolist(), strict=True))
            if holds(case.unsafe, exact, original):
                assert holds(loose.unsafe, exact, reduced)
            if holds(loose.unsafe, exact, reduced):
                # a sharper statement than the chain needs: folding loses nothing that relaxing keeps but roundings
                assert holds(folded.cases[0].unsafe, exact, [value - Fraction(1, 10**3) for value in rows])
            if not holds(loose.unsafe, exact, reduced):
                assert not holds(folded.cases[0].unsafe, exact, [value + Fraction(1, 10**3) for value in rows])


@pytest.mark.slow
def test_the_command_writes_both(tmp_path, capsys):
    network, query = files("acasxu-boxes")
    command = ["reduce", str(network), str(query), "-o", str(tmp_path / "r.onnx"), "--engine", "crown"]
    assert run([*command, "--property-out", str(tmp_path / "r.vnnlib"), "--fold-property"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r-1.onnx", "r-1.vnnlib", "r-2.onnx", "r-2.vnnlib"]
    assert "r-1.onnx" in capsys.readouterr().out
    assert run([*command, "--fold-property"]) == 2
    assert "usage/fold-property" in capsys.readouterr().err


def test_a_folded_property_needs_a_file():
    result = eq.reduce(eq.load_problem(*files("policy")), engine="crown")
    with pytest.raises(UsageError, match="usage/fold-property"):
        result.save("nowhere.onnx", fold_property=True)
    with pytest.raises(EqverifyError, match="files/no-folder"):
        result.save("no/such/folder/out.onnx", property="no/such/folder/out.vnnlib")
