"""Both forms of the loops.  numba starts in seconds and compiles for longer, once: its tests are slow ones."""

from importlib import import_module
from types import SimpleNamespace

import pytest

FORMS = ["numpy", pytest.param("numba", marks=pytest.mark.slow)]


def loaded(form):
    """`rows` and `windows` of a form."""
    return SimpleNamespace(**{name: import_module(f"eqverify.kernels.{name}_{form}") for name in ("rows", "windows")})


@pytest.fixture(params=FORMS)
def form(request):
    return loaded(request.param)


@pytest.fixture
def both():
    return loaded("numpy"), loaded("numba")
