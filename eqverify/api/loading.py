"""Networks, properties and problems from files."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import IEEE
from eqverify.bounds import interval_bounds
from eqverify.domain import Domain
from eqverify.errors import ContradictionError, EqverifyError, InputError, Place
from eqverify.network import Network, evaluate_nodes, evaluation_error, join_outputs
from eqverify.problem import Problem
from eqverify.reading import Reading

if TYPE_CHECKING:
    from eqverify.arrays import FloatArray
    from eqverify.frontend.onnx import Front
    from eqverify.frontend.vnnlib import Query

PathOrNetwork = str | Path | Network
"""A path to an ONNX file, or a network."""


@IEEE
def load_network(path: str | Path) -> Network:
    """Read an ONNX file (``.onnx``, ``.onnx.gz``).

    Raises:
        UsageError: there is no such file.
        InputError: it is malformed, or holds what is not supported; `read/differs` where onnxruntime computes something
            else at some points with components between -1 and 1.
    """
    return load_compared(path, None)[0]


def load_compared(network: PathOrNetwork, domain: Domain | None) -> tuple[Network, Reading]:
    """A whole network, and how far it was compared with onnxruntime, on a domain or around zero.

    Raises:
        UsageError, InputError: as `load_network`.
    """
    if isinstance(network, Network):
        return network, Reading()
    front = load_whole(network)
    return front.network, compared(network, front, domain)


def load_whole(path: str | Path) -> Front:
    """A file without opaque operators, not compared yet.

    Raises:
        UsageError, InputError: as `load_network`.
    """
    from eqverify.frontend.onnx import read_front, read_network

    front = read_front(path)
    if front.tail is not None:
        read_network(path)  # says what is opaque
    return front


def compared(file: str | Path, front: Front, domain: Domain | None) -> Reading:
    """A reading of a file, begun by comparing it with onnxruntime on a domain, or around zero.

    Args:
        file: what was read.
        front: what was read from it.
        domain: where to compare; one that does not fit the network is not used.

    Raises:
        InputError: `read/differs`; `read/beyond-type` where a bound at the end of a type was read as none and values
            may be beyond it on the domain.
        ContradictionError: `read/normalised` where the normalised network differs from the stored one.
    """
    from eqverify.export.comparison import probe_points

    network = front.as_stored
    folded = network.relu_count - front.network.relu_count
    probe, unmodelled = partial(_compare, file, front), front.unmodelled
    reading = Reading(probe, reason="", rounded=front.rounded, folded=folded, unmodelled=unmodelled)
    if front.open_ends and domain is not None and domain.size == network.input_size:
        _require_range(file, front, domain)
    if domain is None or domain.size == network.input_size:
        reading.compare(probe_points(network, domain))
    return reading


def _require_range(file: str | Path, front: Front, domain: Domain) -> None:
    """Raise where values may be beyond the numbers of the network's type on the domain."""
    network = front.as_stored
    most = np.finfo(network.element).max
    hull = domain.hull
    for name, interval in interval_bounds(network, hull.lower[None], hull.upper[None]).items():
        beyond = ~(interval.magnitude[0] <= most)
        if beyond.any():
            raise InputError(
                "read/beyond-type",
                "a bound at the end of its type was read as none, and values may be beyond it on these inputs",
                place=Place(file=str(file), node=name, unit=int(np.argmax(beyond))),
                value=", ".join(front.open_ends[:3]),
                hint="leave the bound out of the model, or give smaller inputs",
            )


def _compare(path: str | Path, front: Front, points: FloatArray) -> tuple[int, str]:
    from eqverify.export.comparison import compare_reading
    from eqverify.frontend.onnx import read_bytes

    if front.network is not front.as_stored:
        _require_same(front, points, path)
    return compare_reading(read_bytes(path), front.as_stored, points, str(path))


def _require_same(front: Front, points: FloatArray, path: str | Path) -> None:
    """Raise where the normalised network differs from the stored one by more than the rounding of both."""
    sides = [(network, evaluate_nodes(network, points)) for network in (front.as_stored, front.network)]
    one, other = (join_outputs(network, values) for network, values in sides)
    allowed = sum(join_outputs(network, evaluation_error(network, values)) for network, values in sides)
    with np.errstate(invalid="ignore"):
        if (np.abs(one - other) > allowed).any():
            raise ContradictionError(
                "read/normalised",
                "the normalised network computes something else than the one that was read",
                place=Place(file=str(path)),
                hint="a defect of eqverify; please report it with the file",
            )


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
        UsageError, InputError: as `load_network` and `load_query`; `problem/...` where the two do not fit;
            `read/differs` where onnxruntime computes something else on the property's inputs.
    """
    from eqverify.frontend.onnx import read_front
    from eqverify.frontend.vnnlib import lower

    specification = lower(load_query(query) if isinstance(query, str | Path) else query)
    if isinstance(network, Network):
        return Problem(network, specification, files=_digests(property=query))
    front = read_front(network)  # first: what cannot be read has an error of its own
    files = _digests(network=network, property=query)
    problem = Problem(front.network, specification, front.tail, files=files)
    reading = compared(network, front, problem.domain)
    return replace(problem, reading=replace(reading, model=partial(_same_bytes, network, files["network"])))


def _same_bytes(path: str | Path, digest: str) -> bytes | None:
    """The bytes of a model, if they still have this digest."""
    from eqverify.frontend.onnx import read_bytes

    try:
        return read_bytes(path) if _digests(network=path)["network"] == digest else None
    except (EqverifyError, OSError):
        return None


def _digests(**sources: object) -> dict[str, str]:
    """SHA-256 (hex) of the bytes of those that are paths; of a network, with the weights that are stored beside it."""
    from eqverify.frontend.onnx import whole_bytes

    paths = {name: Path(path) for name, path in sources.items() if isinstance(path, str | Path)}
    contents = {name: path.read_bytes() for name, path in paths.items()}
    if "network" in paths:
        contents["network"] = whole_bytes(contents["network"], paths["network"])
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
