"""Satisfying assignments: as the VNN-LIB 2 standard prints and serialises them, and as the competition reads them.

Numbers are printed exactly: what is printed satisfies the property, and is what was checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eqverify.files import atomic_write, make_folder
from eqverify.numerals import exact_text

if TYPE_CHECKING:
    from eqverify.attack.replay import Values, Witness
    from eqverify.deciding.answer import Verification
    from eqverify.frontend.vnnlib import Query, Tensor

_RESULTS = {"timed-out": "timeout"}


def _tensors(query: Query, witness: Witness) -> Iterator[tuple[Tensor, Values]]:
    """The declared tensors in order, with their values."""
    x, y = witness.inputs, witness.outputs
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
        yield from map(exact_text, values)


def serialise(query: Query, witness: Witness, folder: Path) -> bool:
    """One file per variable, ``NAME.pb``, with an ONNX tensor.

    Returns:
        Whether the tensors hold the numbers of the witness exactly, and not just the nearest ones of their types.

    Raises:
        UsageError: `files/no-folder` where the folder can neither be found nor made.
    """
    from eqverify.export.tensors import tensor_bytes

    make_folder(folder)
    exact = True
    for tensor, values in _tensors(query, witness):
        single = tensor.element == "float32"
        stored = np.array([float(value) for value in values])
        stored = stored.astype(np.float32).astype(np.float64) if single else stored
        exact &= all(Fraction(a) == b for a, b in zip(stored.tolist(), values, strict=True))
        data = tensor_bytes(tensor.name, stored.reshape(tensor.shape), "float32" if single else "float64")
        atomic_write(folder / f"{tensor.name}.pb", data)
    return exact


def write_result(path: Path, answer: Verification, query: Query | None = None) -> None:
    """The competition's result file: the answer, and for ``sat`` the assignment.

    For version 1.0 that is the values of X_0, ..., Y_0, ... as S-expressions, for version 2 the tensors in the order of
    their declarations, as `lines` has them.

    Args:
        path: of the file.
        answer: with a witness where it is ``sat``.
        query: what was asked; not needed where there is no witness.
    """
    text = _RESULTS.get(answer.verdict, answer.verdict) + "\n"
    if answer.witness is not None and query is not None and query.version != "1.0":
        text += "".join(f"{line}\n" for line in lines(query, answer.witness))
    elif answer.witness is not None:
        pairs = [f"(X_{k} {exact_text(value)})" for k, value in enumerate(answer.witness.inputs)]
        pairs += [f"(Y_{k} {exact_text(value)})" for k, value in enumerate(answer.witness.outputs)]
        text += "(" + "\n".join(pairs) + ")\n"
    atomic_write(path, text)
