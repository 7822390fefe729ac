"""Which form is used: numba only where it is asked for, or has enough to do, and works."""

import subprocess
import sys

import pytest

import eqverify.kernels as module
from eqverify.kernels import rows_numpy


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.delenv(module.SWITCH, raising=False)
    monkeypatch.setattr(module._Choice, "seconds", 0.0)
    monkeypatch.setattr(module._Choice, "form", None)


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
def test_little_work_is_left_to_numpy_and_much_is_compiled():
    assert module.kernels(numbers=1e3, products=1e3).rows is rows_numpy
    assert module.kernels(products=1e12).windows.__name__ == "eqverify.kernels.windows_numba"
    assert module.kernels().rows.__name__ == "eqverify.kernels.rows_numba"


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
def test_the_switch_chooses(monkeypatch):
    monkeypatch.setenv(module.SWITCH, "numpy")
    assert module.kernels(numbers=1e15).rows is rows_numpy
    monkeypatch.setenv(module.SWITCH, "numba")
    assert module.kernels().rows.__name__ == "eqverify.kernels.rows_numba"


@pytest.mark.usefixtures("fresh")
def test_without_numba_everything_is_numpy(monkeypatch):
    for name in ("rows_numba", "windows_numba"):
        monkeypatch.delattr(module, name, raising=False)
        monkeypatch.setitem(sys.modules, f"eqverify.kernels.{name}", None)  # as if the import failed
    assert module.kernels(numbers=1e15).rows is rows_numpy


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
def test_numpy_alone_holds_while_it_is_asked_for(monkeypatch):
    monkeypatch.setenv(module.SWITCH, "numba")
    with module.numpy_alone():
        assert module.kernels(numbers=1e15).rows is rows_numpy
    assert module.kernels().rows.__name__ == "eqverify.kernels.rows_numba"


def test_a_small_proof_does_not_load_numba():
    program = (
        "import sys, numpy as np; from eqverify.bounds import crown_bounds; "
        "from eqverify.testing.handmade import all_handmade; p = all_handmade()[0]; "
        "crown_bounds(p.network, p.domain.lower, p.domain.upper); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
