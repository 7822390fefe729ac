"""Networks, properties and problems from files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from eqverify.arrays import IEEE
from eqverify.network import Network
from eqverify.problem import Problem

if TYPE_CHECKING:
    from eqverify.frontend.vnnlib import Query

PathOrNetwork = str | Path | Network
"""A path to an ONNX file, or a network."""


@IEEE
def load_network(path: str | Path) -> Network:
    """Read an ONNX file (``.onnx``, ``.onnx.gz``).

    Raises:
        UsageError: there is no such file.
        InputError: it is malformed, or holds what is not supported.
    """
    from eqverify.frontend.onnx import read_network

    return read_network(path)


def load_query(path: str | Path) -> Query:
    """Read a VNN-LIB file, version 1.0 or 2.x (``.vnnlib``, ``.vnnlib.gz``), as a typed query.

    Raises:
        UsageError: there is no such file.
        InputError: it is malformed.
    """
    from eqverify.frontend.vnnlib import read_query

    return read_query(path)


@IEEE
def load_problem(network: PathOrNetwork, query: str | Path | Query) -> Problem:
    """A network with the property it is to be judged on.

    A file with operators that are not piecewise linear (Sigmoid, Softmax, ...) is cut before them: the problem's
    network is what comes before, and the rest is kept to be copied.

    Args:
        network: path or network.
        query: path or query.

    Raises:
        UsageError, InputError: as `load_network` and `load_query`; `problem/...` where the two do not fit.
    """
    from eqverify.frontend.onnx import read_front
    from eqverify.frontend.vnnlib import lower

    specification = lower(load_query(query) if isinstance(query, str | Path) else query)
    front = None if isinstance(network, Network) else read_front(network)
    read = (("network", network), ("property", query))
    files = {name: _digest(path) for name, path in read if isinstance(path, str | Path)}
    if front is None:
        assert isinstance(network, Network)
        return Problem(network, specification, files=files)
    return Problem(front.network, specification, front.tail, files=files)


def _digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
