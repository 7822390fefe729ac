"""Proofs of verdicts, as integers for the checker that is proved in Coq; and that checker, where it was built.

The tests of the program are skipped where it is not on PATH (specs/coq/build.sh makes it); where EQVERIFY_COQ is set
they fail, so that nothing is skipped by mistake.
"""

import os
import random
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import settings

import eqverify as eq
from eqverify.checker.reader import Reader
from eqverify.errors import UsageError
from eqverify.frontend.onnx import parse_network
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode
from eqverify.network.normalise import normalised
from eqverify.proved import check_proved
from eqverify.proved.problem import integers
from eqverify.proved.questions import of_property
from eqverify.proved.reading_back import require_same
from eqverify.proved.run import PROGRAM
from eqverify.proved.steps import property_proof

from ..check.certificate_cases import case as reduction
from ..check.proof_cases import case, satisfied
from ..check.test_proofs import WRONG
from ..reject.test_mutations import mutate_array
from ..vnncomp import slow

IN_REACH = ["bounds", "cover", "rows", "constraints"]
"""Recipes whose networks are chains once they are normalised."""

program = pytest.mark.skipif(
    shutil.which(PROGRAM) is None and "EQVERIFY_COQ" not in os.environ, reason=f"{PROGRAM} is not on PATH"
)


def read(one):
    return normalised(parse_network(one.network)), lower(parse_query(decode(one.query)))


def written(one, proof=None):
    """The problem of a case, and the numbers of its proof or another's."""
    network, specification = read(one)
    problem, reader = integers(network, of_property(specification)), Reader(proof or one.proof, network)
    return list(problem.numbers()), list(property_proof(network, specification.cases, problem, reader))


def accepts(folder, *files, claim="unsat"):
    """What the program says about lists of numbers: verified (0), rejected (1), or that it cannot read them (2)."""
    for name, numbers in zip(("problem", "proof"), files, strict=True):
        (folder / name).write_text(" ".join(map(str, numbers)))
    command = [PROGRAM, claim, folder / "problem", folder / "proof"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) in {(0, "verified\n"), (1, "rejected\n"), (2, "")}
    return ended.returncode == 0


@pytest.mark.parametrize("name", [*slow("cover"), "constraints"])
def test_each_number_of_a_problem_is_compared_with_the_files(name):
    network, specification = read(case(name))
    questions = of_property(specification)
    numbers = list(integers(network, questions).numbers())
    require_same(" ".join(map(str, numbers)), network, questions)
    generator = random.Random(name)
    for place in {0, 1, 2, *generator.sample(range(len(numbers)), 15), *range(len(numbers) - 20, len(numbers))}:
        for step in (1, -1):
            changed = [v + step * (k == place) for k, v in enumerate(numbers)]
            with pytest.raises((eq.EqverifyError, IndexError, ValueError)):
                require_same(" ".join(map(str, changed)), network, questions)


@pytest.mark.parametrize("place", ["end", "start"])
def test_a_problem_with_more_numbers_is_another(place):
    network, specification = read(case("bounds"))
    questions = of_property(specification)
    text = " ".join(map(str, integers(network, questions).numbers()))
    with pytest.raises((eq.EqverifyError, IndexError)):
        require_same(f"{text} 0" if place == "end" else f"0 {text}", network, questions)


@pytest.mark.parametrize(
    "ending", ["echo rejected; exit 1", "echo verified; exit 1", "exit 0", "echo verified no; exit 0"]
)
def test_only_a_program_that_says_verified_is_believed(ending, tmp_path, monkeypatch):
    fake = tmp_path / PROGRAM
    fake.write_text(f"#!/bin/sh\n{ending}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    one = case("bounds")
    verdict = check_proved(one.network, one.query, one.proof)
    assert (verdict.verified, verdict.code, verdict.exit_status) == (False, "check/kernel", 1)
    assert verdict.kernel == "coq"


def test_what_the_theorem_does_not_cover_is_refused(tmp_path, monkeypatch):
    fake = tmp_path / PROGRAM
    fake.write_text("#!/bin/sh\necho verified\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    one = case("signs")  # a network that is no chain
    verdict = check_proved(one.network, one.query, one.proof)
    assert (verdict.verified, verdict.code, verdict.exit_status) == (False, "check/kernel-scope", 4)
    for name in ("solver", "residual"):  # a solver's word; a reduced network that is no chain
        pair = reduction(name)
        verdict = check_proved(pair.network, pair.query, pair.certificate, pair.reduced)
        assert (verdict.verified, verdict.code, verdict.exit_status) == (False, "check/kernel-scope", 4)
    other = case("bounds")
    assert check_proved(other.network, other.query, case("cover").proof).code == "certificate/digest"


def test_the_program_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    one = case("bounds")
    with pytest.raises(UsageError, match="not there"):
        check_proved(one.network, one.query, one.proof)


def test_properties_of_reduced_networks_are_not_checked_by_the_kernel():
    with pytest.raises(UsageError, match="no property of several networks"):
        eq.check("f.onnx", "p.vnnlib", "g.onnx", "c.cert", relaxed="q.vnnlib", kernel="coq")


@program
@pytest.mark.parametrize("name", IN_REACH)
def test_proofs_verify(name, tmp_path):
    one = case(name)
    files = [tmp_path / end for end in ("net.onnx", "prop.vnnlib", "proof")]
    for file, data in zip(files, (one.network, one.query, one.proof), strict=True):
        file.write_bytes(data)
    verdict = eq.check(files[0], files[1], None, files[2], kernel="coq")
    assert (str(verdict), verdict.as_dict()["kernel"]) == ("verified unsat by the coq kernel", "coq")


@program
@pytest.mark.parametrize(("name", "change"), [one[:2] for one in WRONG], ids=lambda v: getattr(v, "__name__", None))
def test_what_is_left_out_or_wrong_is_rejected(name, change):
    one = case(name)
    head, arrays = one.parts
    change(head, arrays)
    assert not check_proved(one.network, one.query, one.about(head, arrays)).verified


@program
def test_no_mutant_with_digests_of_a_satisfiable_property_is_verified():
    """`satisfied` has an input that satisfies its property, which is of the same form."""
    one, other, generator = case("cover"), satisfied(), np.random.default_rng(11)
    reached = 0
    for _ in range(3 * settings().max_examples):
        head, arrays = one.parts
        mutate_array(generator, arrays)
        verdict = check_proved(other.network, other.query, other.about(head, arrays))
        assert not verdict.verified
        reached += verdict.code == "check/kernel"
    assert reached


@program
def test_no_steps_show_the_program_what_is_false(tmp_path):
    """Numbers of a proof are changed, and the program is asked about a property that an input satisfies."""
    problem, proof = written(case("cover"))
    assert accepts(tmp_path, problem, proof)
    satisfiable, _ = written(satisfied(), satisfied().about(*case("cover").parts))
    assert not accepts(tmp_path, satisfiable, proof)
    generator = random.Random(3)
    for _ in range(6 * settings().max_examples):
        changed = list(proof)
        for _ in range(generator.choice([1, 1, 2, 5])):
            place = generator.randrange(len(changed))
            changed[place] = generator.choice([0, 1, -1, 2, 3, changed[place] * 2, -changed[place], 1 << 80])
        assert not accepts(tmp_path, satisfiable, changed)


@program
def test_a_network_that_is_not_one_is_rejected(tmp_path):
    """Rows without a bias, and shifts that are negative."""
    problem, proof = written(case("bounds"))
    assert accepts(tmp_path, problem, proof)
    assert not accepts(tmp_path, [problem[0], problem[1], -1, *problem[3:]], proof)
    assert not accepts(tmp_path, [-1, *problem[1:]], proof)
    assert not accepts(tmp_path, problem[:-1], proof)
    assert not accepts(tmp_path, problem, [*proof, 0])
