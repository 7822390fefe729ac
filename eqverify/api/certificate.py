"""Checking certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from eqverify.api.loading import compared, load_compared, load_query
from eqverify.arrays import IEEE
from eqverify.checker import Arithmetic, Verdict, check_bytes, check_several
from eqverify.errors import InputError, LimitError, Place, UsageError
from eqverify.files import beside, contents, read_limited
from eqverify.kernels import numpy_alone

_MOST_BYTES = 1 << 31
"""Of each file that is checked."""


@IEEE
def check(
    network: str | Path | Mapping[str, str | Path],
    query: str | Path,
    reduced: str | Path | None,
    certificate: str | Path,
    *,
    arithmetic: Arithmetic = "float",
    relaxed: str | Path | None = None,
    kernel: Literal["python", "coq"] = "python",
) -> Verdict:
    """Re-establish what a certificate claims, with code that shares nothing with the prover; any file may be packed.

    >>> import eqverify as eq
    >>> network, query = eq.example_files()
    >>> result = eq.reduce(network, query, engine="crown", certificate=True)
    >>> [file.name for file in result.save("out.onnx", certificate="out.cert")]
    ['out.onnx', 'out.cert']
    >>> eq.check(network, query, "out.onnx", "out.cert").verified
    True

    Args:
        network: the original ONNX file; for the proof of a verdict about several, files by declared name.
        query: the VNN-LIB file.
        reduced: the reduced ONNX file; None for the proof of a verdict, and for a certificate that a disjunct of the
            output condition is ``unsat``.
        certificate: the certificate.
        arithmetic: ``float`` is float64 with a-priori error bounds, ``exact`` rational.
        relaxed: the property that was written for the reduced network, which is then checked as well.
        kernel: ``coq`` for the checker that is proved in Coq, a program to be built (specs/coq): exact, for verdicts
            about dense feed-forward networks, and certificates of their reductions.

    Returns:
        The verdict; `verified` and `epsilon`, or the code of what is wrong.

    Raises:
        UsageError: `certificate/no-file` where a file cannot be read; an unknown arithmetic; `usage/no-kernel`,
            `usage/kernel`.
        InputError: `read/differs` where onnxruntime computes something else for a model than the verdict is about.
        LimitError: `certificate/too-large`.
    """
    from eqverify.frontend.onnx import read_front, whole_bytes
    from eqverify.frontend.vnnlib import lower
    from eqverify.frontend.vnnlib.reader import MAX_TEXT_BYTES

    if kernel == "coq" and (isinstance(network, Mapping) or relaxed is not None):
        hint = "leave --kernel out"
        what = "the Coq kernel checks no property of several networks, and none that was written for a reduced one"
        raise UsageError("usage/kernel", what, hint=hint)
    if isinstance(network, Mapping):
        several = {name: whole_bytes(_bytes(Path(path)), path) for name, path in network.items()}
        text, proof = contents(_bytes(Path(query)), MAX_TEXT_BYTES), contents(_bytes(Path(certificate)), _MOST_BYTES)
        with numpy_alone():
            found = check_several(several, text, proof, arithmetic)
        paths = network.values() if found.verified else ()
        return replace(found, readings=tuple(load_compared(path, None)[1] for path in paths))
    first, second, last = (_bytes(Path(path)) for path in (network, query, certificate))
    second, last = contents(second, MAX_TEXT_BYTES), contents(last, _MOST_BYTES)
    written = None if reduced is None else whole_bytes(_bytes(Path(reduced)), reduced)
    told = None if relaxed is None else _bytes(Path(relaxed))
    model = whole_bytes(first, network)
    with numpy_alone():
        if kernel == "coq":
            from eqverify.proved import check_proved

            verdict = check_proved(model, second, last, written)
        else:
            verdict = check_bytes(model, second, written, last, arithmetic, told)
    if not verdict.verified:
        return verdict
    try:
        domain = lower(load_query(query)).domain
    except InputError:  # it allows no input
        domain = None
    models = [path for path in (network, reduced) if path is not None]
    return replace(verdict, readings=tuple(compared(path, read_front(path), domain) for path in models))


def _bytes(path: Path) -> bytes:
    place = Place(file=str(path))
    try:
        data = read_limited(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = f"check the path{beside(path)}"
        raise UsageError(
            "certificate/no-file", "a file cannot be read", place=place, value=reason, hint=hint
        ) from error
    if data is None:
        value = f"{_MOST_BYTES >> 20} MiB"
        raise LimitError("certificate/too-large", "a file is larger than what is read", place=place, value=value)
    return data
