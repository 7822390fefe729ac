"""Loops over many rows, in numpy and compiled by numba, which is imported when it has work enough.

`rows_*` are the loops of gradient steps, which prove nothing (`eqverify.bounds.gradient_steps`); `windows_*` are
convolutions, whose rounding contract is that of `eqverify.network.LinearMap`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from eqverify.kernels import rows_numpy, windows_numpy

SWITCH = "EQVERIFY_KERNELS"
"""Environment variable: `numpy` for that form alone, `numba` for the compiled one from the start."""

_ENOUGH = 1.0
"""Seconds of numpy's loops, about as many as numba takes to start, after which the compiled form is used."""

_PER_NUMBER, _PER_PRODUCT = 5e-9, 2e-10
"""Seconds that numpy takes for a number that a gradient step moves, and for a product in a convolution."""

FEW_ROWS = 16
"""Convolutions of fewer rows are left to numpy: the compiled form takes as long for them as for a block."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """One form of the loops."""

    rows: ModuleType
    windows: ModuleType


_PLAIN = Kernels(rows_numpy, windows_numpy)


class _Choice:
    """The form that the job uses from now on, and how long numpy took until then."""

    seconds = 0.0
    form: Kernels | None = None
    jobs = 0


def kernels(*, numbers: float = 0.0, products: float = 0.0) -> Kernels:
    """The form to use.

    Args:
        numbers: how many numbers a gradient step is about to move.
        products: how many products a convolution is about to make.

    Returns:
        The compiled form where numba works and the process has so much to do that its start pays, else numpy's.
    """
    if _Choice.form is not None:
        return _Choice.form
    wish = os.environ.get(SWITCH, "")
    _Choice.seconds += numbers * _PER_NUMBER + products * _PER_PRODUCT
    if wish == "numpy" or (_Choice.seconds < _ENOUGH and wish != "numba"):
        return _PLAIN
    _Choice.form = _compiled()
    return _Choice.form


def _compiled() -> Kernels:
    try:
        from eqverify.kernels import rows_numba, windows_numba
    except (ImportError, RuntimeError):  # not installed, not for this numpy, or nowhere to keep machine code
        return _PLAIN
    return Kernels(rows_numba, windows_numba)


@contextmanager
def job() -> Iterator[None]:
    """Within it, the form does not depend on what the process did before: the same job gives the same numbers.

    A job that another one runs is a part of that.
    """
    before = _Choice.seconds, _Choice.form
    if _Choice.jobs == 0:
        _Choice.seconds, _Choice.form = 0.0, None
    _Choice.jobs += 1
    try:
        yield
    finally:
        _Choice.jobs -= 1
        if _Choice.jobs == 0:
            _Choice.seconds, _Choice.form = before


@contextmanager
def numpy_alone() -> Iterator[None]:
    """Within it, nothing is compiled: for checks that shall trust no compiler at run time."""
    before, _Choice.form = _Choice.form, _PLAIN
    try:
        yield
    finally:
        _Choice.form = before
