"""A killed run resumes; a journal that does not fit or is damaged is refused."""

import binascii
import json
import os
import signal
import subprocess
import sys
import time
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eqverify
from eqverify.errors import InputError, UsageError
from eqverify.problem import box_problem
from eqverify.stability.factories import ScipFactory
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network

from .stability_helpers import problem


class Counting:
    """SCIP, counting questions."""

    def __init__(self):
        self.asked = 0

    def __call__(self, polytope):
        solver, outer = ScipFactory()(polytope), self

        class Counted:
            description = solver.description

            def add_units(self, block):
                solver.add_units(block)

            def exceeds(self, row, threshold, time_limit):
                outer.asked += 1
                return solver.exceeds(row, threshold, time_limit)

        return Counted()


def prove(path, factory=None, made=None, trust="scip", **options):
    """What a solver claims is believed, unless a test says otherwise: a journal is the same for facts of any kind."""
    chosen = StabilityOptions(resume=path, split_inputs=0, branch_nodes=0, trust=trust, **options)
    return prove_stability(made or problem(), chosen, solver_factory=factory)


def line(entry):
    body = json.dumps(entry).encode()
    return b"%08x %s\n" % (binascii.crc32(body), body)


def test_what_is_in_the_journal_is_not_asked_again(tmp_path):
    path = tmp_path / "run.journal"
    first, second = Counting(), Counting()
    before = prove(path, first)
    after = prove(path, second)
    assert first.asked > 0
    assert second.asked == 0
    for one, two in zip(before.layers, after.layers, strict=True):
        assert (one.status == two.status).all()
        assert (one.evidence == two.evidence).all()
    assert before.solver == after.solver
    assert after.stages[0].name == "journal"


@pytest.mark.slow
def test_every_prefix_of_a_journal_resumes_to_the_same_answers(tmp_path):
    path = tmp_path / "run.journal"
    whole = prove(path)
    data = path.read_bytes()
    for cut in np.linspace(0, len(data), 12).astype(int):
        path.write_bytes(data[:cut])
        again = prove(path)
        assert all((a.status == b.status).all() for a, b in zip(whole.layers, again.layers, strict=True))


def branching_problem():
    """z = 2 max(|x0|, |x1|) - 2.1 is negative on the box, which only branching on signs shows."""
    first = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    layers = [(first, np.zeros(4)), (np.ones((1, 4)), np.array([-2.1])), (np.ones((1, 1)), np.zeros(1))]
    return box_problem(chain_network(layers), -np.ones(2), np.ones(2))


def test_what_branching_showed_is_in_the_journal(tmp_path):
    path = tmp_path / "run.journal"
    made, options = branching_problem(), StabilityOptions(resume=path, split_inputs=0)
    whole = prove_stability(made, options)
    assert whole.layers[1].evidence[0] == Evidence.TREE
    data = path.read_bytes()
    for cut in np.linspace(0, len(data), 6).astype(int):
        path.write_bytes(data[:cut])
        again = prove_stability(made, options)
        for one, two in zip(whole.layers, again.layers, strict=True):
            assert (one.status == two.status).all()
            assert (one.evidence == two.evidence).all()
    path.write_bytes(data)
    again = prove_stability(made, options)
    assert sum(stage.questions for stage in again.stages if stage.name in ("lp", "branch", "scip")) == 0


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from stability_helpers import problem
from eqverify.stability.factories import ScipFactory
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.stability.stages import solvers
import time

solvers.prove_claims = lambda *_: None

class Slow:
    def __init__(self, polytope):
        self.solver = ScipFactory()(polytope)
        self.description = self.solver.description
        self.add_units = self.solver.add_units
    def exceeds(self, row, threshold, time_limit):
        answer = self.solver.exceeds(row, threshold, time_limit)
        time.sleep(0.3)
        return answer

options = StabilityOptions(resume=Path({path!r}), split_inputs=0, branch_nodes=0, trust="scip")
prove_stability(problem(), options, solver_factory=Slow)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr("eqverify.stability.stages.solvers.prove_claims", lambda *_: None)
    path = tmp_path / "run.journal"
    reference = Counting()
    expected = prove(None, reference, trust="scip")
    code = KILLED.format(folder=os.path.dirname(__file__), path=str(path))
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (path.exists() and path.read_bytes().count(b'"sign"') >= 1):
        assert child.poll() is None, "ended before it could be killed"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    signs = path.read_bytes().count(b'"sign"')
    counting = Counting()
    found = prove(path, counting, trust="scip")
    assert signs >= 1
    assert counting.asked < reference.asked
    assert all((a.status == b.status).all() for a, b in zip(expected.layers, found.layers, strict=True))
    solver = sum(int((layer.evidence == Evidence.SOLVER).sum()) for layer in found.layers)
    assert solver == expected.evidence_counts()["solver"]


def test_another_problem_engine_or_version_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.journal"
    prove(path, engine="crown")
    before = path.read_bytes()
    for made in (problem(seed=2), problem(radius=0.25)):
        with pytest.raises(InputError, match="journal/other-problem"):
            prove(path, made=made, engine="crown")
    with pytest.raises(InputError, match="journal/other-engine"):
        prove(path, engine="isa")
    monkeypatch.setattr(eqverify, "__version__", "0.0.0")
    with pytest.raises(InputError, match="journal/other-version"):
        prove(path, engine="crown")
    assert path.read_bytes() == before


def test_a_folder_or_a_missing_folder_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "run.journal"):
        with pytest.raises(UsageError, match="journal/not-writable"):
            prove(path, engine="crown")


def small():
    return box_problem(
        chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]), -np.ones(2), np.ones(2)
    )


NANS = "AAAAAAAA+H8AAAAAAAD4fw=="
HOSTILE = [
    {},
    {"sign": []},
    {"sign": ["affine0", 0, 7, True]},
    {"sign": ["affine0", 0, -1, True]},
    {"sign": ["affine0", 1, 0, True]},
    {"sign": ["nothing", 0, 0, True]},
    {"sign": ["affine0", 0, 0, "yes"]},
    {"sign": ["affine0", True, 0, True]},
    {"sign": [[], 0, 0, True]},
    {"sign": 3},
    {"sign": ["affine0", 0, 1e300, True]},
    {"bounds": "affine0"},
    {"bounds": "affine0", "lower": "AAAA", "upper": "", "evidence": ""},
    {"bounds": "affine0", "lower": 3, "upper": None, "evidence": []},
    {"points": "!!!"},
    {"points": "AAAA"},
    {"points": 5},
    {"solver": 3},
    {
        "bounds": "affine0",
        "lower": NANS,
        "upper": NANS,
        "evidence": "AAAAAAAAAAAAAAAAAAAAAA==",
    },
]


@pytest.mark.parametrize("entry", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_entries_are_refused(tmp_path, entry):
    path = tmp_path / "run.journal"
    prove(path, made=small(), engine="crown")
    path.write_bytes(path.read_bytes() + line(entry))
    with pytest.raises(InputError, match="journal/damaged"):
        prove(path, made=small(), engine="crown")


def test_facts_that_contradict_each_other_are_refused(tmp_path):
    path = tmp_path / "run.journal"
    facts = prove(path, made=small(), engine="crown")
    assert facts.count(Status.UNSTABLE) == 2
    path.write_bytes(path.read_bytes() + line({"sign": ["affine0", 0, 0, True]}))
    with pytest.raises(InputError, match="journal/damaged"):
        prove(path, made=small(), engine="crown", trust="scip")
    assert prove(path, made=small(), engine="crown", trust=()).count(Status.UNSTABLE) == 2  # a claim, and refuted


def test_what_rests_on_a_solver_is_not_taken_from_a_journal_by_a_run_that_does_not_trust_it(tmp_path):
    path = tmp_path / "run.journal"
    with patch("eqverify.stability.stages.branching.prove_signs", return_value=[]):
        trusting = prove(path, made=branching_problem(), trust="scip")
        assert trusting.evidence_counts()["solver"] == 1
        again = prove(path, made=branching_problem(), trust="scip")
        assert again.evidence_counts()["solver"] == 1
        careful = prove(path, made=branching_problem(), trust=())
    assert careful.evidence_counts()["solver"] == 0
    assert careful.layers[1].status[0] == Status.UNDECIDED
    assert (careful.claimed, careful.summary()["claimed"]) == (1, 1)


@pytest.mark.parametrize("text", [b"\n", b"x\n", b"[" * 100_000 + b"\n", b"\xff\xfe\n", b"00000000 {}\n"])
def test_files_that_are_no_journal_are_refused(tmp_path, text):
    path = tmp_path / "run.journal"
    path.write_bytes(text)
    with pytest.raises(InputError, match="journal/"):
        prove(path, made=small(), engine="crown")
    deep = b"[" * 100_000
    path.write_bytes(b"%08x %s\n" % (binascii.crc32(deep), deep))
    with pytest.raises(InputError, match="journal/damaged"):
        prove(path, made=small(), engine="crown")


@given(st.data())
def test_a_flipped_byte_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "run.journal"
    prove(path, made=small(), engine="crown")
    written = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(written) - 2))
    written[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(written))
    with pytest.raises(InputError, match="journal/"):
        prove(path, made=small(), engine="crown")
