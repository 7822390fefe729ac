"""Solver questions on several processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from eqverify import execution
from eqverify.errors import LimitError
from eqverify.execution import ProcessExecutor, SerialExecutor, make_executor, use_one_thread, users_environment
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability

from .stability_helpers import DyingFactory, fine, problem, wrong


@pytest.mark.parametrize("workers", [1, 2])
def test_executors_return_values_raise_errors_and_share(workers):
    executor = make_executor(workers)
    try:
        assert executor.workers == workers
        assert executor.submit(fine, 1).result() == 2
        with pytest.raises(ValueError, match="7"):
            executor.submit(wrong, 7).result()
        shared = executor.share(np.arange(3))
        assert shared.load().tolist() == [0, 1, 2]
        assert executor.submit(sum, [1, 2]).result() == 3
    finally:
        executor.close()
    assert isinstance(executor, SerialExecutor if workers == 1 else ProcessExecutor)


@pytest.mark.slow
def test_two_workers_find_what_one_finds_with_a_node_limit():
    made = problem(seed=3, width=24, radius=1.0)
    options = {"split_inputs": 0, "branch_nodes": 0, "node_limit": 3, "time_limit": 600.0, "unit_time_limit": 600.0}
    one = prove_stability(made, StabilityOptions(**options))
    two = prove_stability(made, StabilityOptions(workers=2, **options))
    again = prove_stability(made, StabilityOptions(**options))
    assert one.stages[-1].questions == two.stages[-1].questions > 8
    for first, second, third in zip(one.layers, two.layers, again.layers, strict=True):
        for other in (second, third):
            assert (first.status == other.status).all()
            assert (first.lower == other.lower).all()
            assert (first.upper == other.upper).all()
    assert np.array_equal(one.witnesses, two.witnesses)


def test_a_worker_that_dies_is_an_error():
    with pytest.raises(LimitError, match="execution/worker-died"):
        prove_stability(
            problem(),
            StabilityOptions(workers=2, split_inputs=0, branch_nodes=0, time_limit=600.0),
            solver_factory=DyingFactory(),
        )


CODE = """
import signal
import sys
sys.path.insert(0, {folder!r})
from stability_helpers import SlowFactory, problem
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        prove_stability(
            problem(), StabilityOptions(workers=2, time_limit=100.0, split_inputs=0, branch_nodes=0),
            solver_factory=SlowFactory(),
            progress=lambda stage, done, total: print(stage, flush=True),
        )
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def children(pid):
    """Processes with this parent, by /proc."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[1] == str(pid):
                found.append(int(name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(CODE.format(folder=os.path.dirname(__file__)))
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not parent.stdout.readline().startswith("scip relu"):
        assert parent.poll() is None
    deadline = time.monotonic() + 30
    while len(workers := children(parent.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    workers = children(parent.pid)
    parent.send_signal(how)
    out, err = parent.communicate(timeout=20)
    if how == signal.SIGINT:
        assert "interrupted" in out
        assert "Traceback" not in err
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]


@pytest.fixture
def silent_environment(monkeypatch):
    """An environment that does not say how many threads there are."""
    for name in (*execution._THREADS, execution._OURS):
        monkeypatch.setenv(name, "restored")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("silent_environment")
def test_workers_have_one_thread_of_linear_algebra():
    """Found as a user: without it mnist_fc 256x4 prop_7_0.05 had no answer after 60 s, with it after 37 s."""
    executor = ProcessExecutor(1)
    try:
        assert executor.submit(os.getenv, "OPENBLAS_NUM_THREADS").result() == "1"
    finally:
        executor.close()
    assert not set(execution._THREADS) & set(users_environment())


@pytest.mark.usefixtures("silent_environment")
def test_what_the_user_says_of_threads_holds_and_is_handed_on(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    use_one_thread()
    assert users_environment() == dict(os.environ)
    assert [os.environ.get(name) for name in execution._THREADS] == [None, "3", None]


def test_commands_have_one_thread_of_linear_algebra():
    """Found as a user, beside a busy process: acasxu 1_1 prop_3 took 19 s, and 2.4 s with the variable set."""
    code = "import sys, os, eqverify.cli; assert 'numpy' not in sys.modules; print(os.environ['OPENBLAS_NUM_THREADS'])"
    clean = {name: value for name, value in os.environ.items() if name not in (*execution._THREADS, execution._OURS)}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
