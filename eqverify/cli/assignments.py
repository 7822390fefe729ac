"""Satisfying assignments: as the VNN-LIB 2 standard prints and serialises them, and as the competition reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.files import atomic_write, make_folder

if TYPE_CHECKING:
    from eqverify.api.answers import Verification
    from eqverify.deciding.replay import Witness
    from eqverify.frontend.vnnlib import Query, Tensor

_RESULTS = {"timed-out": "timeout"}


def _tensors(query: Query, witness: Witness) -> Iterator[tuple[Tensor, FloatArray]]:
    """The declared tensors in order, with their values."""
    x, y = witness.x, witness.y
    for network in query.networks:
        for tensor in network.inputs:
            yield tensor, x[: tensor.size]
            x = x[tensor.size :]
        for tensor in network.outputs:
            yield tensor, y[: tensor.size]
            y = y[tensor.size :]


def lines(query: Query, witness: Witness) -> Iterator[str]:
    """A line with name, type and shape per variable, then its values in row-major order, one per line."""
    for tensor, values in _tensors(query, witness):
        yield f"{tensor.name} {tensor.element} [{','.join(map(str, tensor.shape))}]"
        yield from map(repr, values.tolist())


def serialise(query: Query, witness: Witness, folder: Path) -> None:
    """One file per variable, ``NAME.pb``, with an ONNX tensor.

    Raises:
        UsageError: `files/no-folder` where the folder can neither be found nor made.
    """
    from eqverify.export.tensors import tensor_bytes

    make_folder(folder)
    for tensor, values in _tensors(query, witness):
        shaped = np.asarray(values).reshape(tensor.shape)
        data = tensor_bytes(tensor.name, shaped, "float32" if tensor.element == "float32" else "float64")
        atomic_write(folder / f"{tensor.name}.pb", data)


def write_result(path: Path, answer: Verification) -> None:
    """The competition's result file: the answer, and for ``sat`` the values of X_0, ..., Y_0, ... as S-expressions."""
    text = _RESULTS.get(answer.verdict, answer.verdict) + "\n"
    if answer.witness is not None:
        pairs = [f"(X_{k} {value!r})" for k, value in enumerate(answer.witness.x.tolist())]
        pairs += [f"(Y_{k} {value!r})" for k, value in enumerate(answer.witness.y.tolist())]
        text += "(" + "\n".join(pairs) + ")\n"
    atomic_write(path, text)
