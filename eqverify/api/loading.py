"""Networks, properties and problems from files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from eqverify.arrays import IEEE
from eqverify.domain import Domain, Specification, box_domain, widened_domain, widened_specification
from eqverify.errors import ContradictionError, EqverifyError, InputError, Place, UsageError
from eqverify.files import Source, contents, source_name
from eqverify.network import Network, evaluate_nodes, evaluation_error, join_outputs
from eqverify.numerals import round_down, round_up
from eqverify.problem import Problem, domain_problem
from eqverify.reading import Reading

if TYPE_CHECKING:
    from eqverify.arrays import FloatArray
    from eqverify.frontend.onnx import Front, TorchModule
    from eqverify.frontend.vnnlib import Query

Model: TypeAlias = "Source | Network | TorchModule"
"""A path to an ONNX file, its bytes, an `onnx.ModelProto`, a network, or a `torch.nn.Module` (which torch exports)."""

Inputs: TypeAlias = "str | Path | Query | Specification | Domain | tuple[ArrayLike, ArrayLike]"
"""A property, or inputs without a condition on outputs: a domain, or a pair of arrays (lower, upper)."""


@IEEE
def load_network(path: Source) -> Network:
    """Read an ONNX model (``.onnx``, ``.onnx.gz``, or what such a file holds), with every unit that it has.

    >>> import eqverify as eq
    >>> network = eq.load_network(eq.example_files().network)
    >>> network
    <Network: 64 inputs, 120 ReLUs in 4 layers, 10 outputs, 5410 weights>
    >>> network([0.5] * 64).shape
    (10,)

    Raises:
        UsageError: there is no such file.
        InputError: it is malformed, or holds what is not supported; `read/differs` where onnxruntime computes something
            else at some points with components between -1 and 1.
    """
    front = load_whole(path).unit_by_unit()
    compared(path, front, None)
    return front.network


def stored_model(model: Model, inputs: Inputs, name: str | None = None) -> Source | Network:
    """A model as it is read: what torch exports of a module, and anything else as it is.

    Args:
        model: any.
        inputs: those that count: a pair of arrays, or a property of version 2, has the shape that a module takes.
        name: which of the networks of a property, if it declares several.

    Raises:
        UsageError, InputError: `usage/torch`, `onnx/torch`; as `load_query`.
    """
    from eqverify.frontend.onnx import TorchModule, export_module

    if isinstance(model, Network) or not isinstance(model, TorchModule):
        return model
    if isinstance(inputs, tuple):
        return export_module(model, np.shape(inputs[0]))
    if isinstance(inputs, Domain):
        return export_module(model, (inputs.size,))
    declared = load_query(inputs) if isinstance(inputs, str | Path) else inputs
    network = next((one for one in declared.networks if one.name == name), declared.networks[0])
    return export_module(model, network.inputs[0].shape)


def load_compared(
    network: Source | Network, domain: Domain | None, *, as_stored: bool = False, roundings: bool = False
) -> tuple[Network, Reading]:
    """A whole network, and how far it was compared with onnxruntime, on a domain or around zero.

    It is normalised (M-6), but where it is wanted as it is stored.  Operators that round are read where `roundings`
    says so: the domain is still that of the model's own inputs.

    Raises:
        UsageError, InputError: as `load_network`.
    """
    if isinstance(network, Network):
        return network, Reading()
    front = load_whole(network, roundings=roundings)
    front = front.unit_by_unit() if as_stored else front
    return front.network, compared(network, front, domain)


def load_whole(path: Source, *, roundings: bool = False, smooth: bool = False) -> Front:
    """A file without opaque operators, not compared yet.

    Args:
        path: the file.
        roundings: whether operators that round are read.
        smooth: whether functions like Sigmoid are, as smooth nodes.

    Raises:
        UsageError, InputError: as `load_network`.
    """
    from eqverify.frontend.onnx import read_front, read_network

    front = read_front(path, roundings=roundings, smooth=smooth)
    if front.tail is not None:
        read_network(path)  # says what is opaque
    return front


def compared(file: Source, front: Front, domain: Domain | None) -> Reading:
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
    reading = Reading(
        partial(_compare, file, front),
        reason="",
        rounded=front.rounded,
        folded=network.relu_count - front.network.relu_count,
        folded_weights=network.parameter_count - front.network.parameter_count,
        unmodelled=front.unmodelled,
    )
    if front.open_ends and domain is not None and domain.size == network.input_size:
        _require_range(file, front, domain)
    if domain is None or domain.size in (network.own_size, network.input_size):
        reading.compare(probe_points(network, domain))
    return reading


def _require_range(file: Source, front: Front, domain: Domain) -> None:
    """Raise where values may be beyond the numbers of the network's type on the domain."""
    from eqverify.bounds import interval_bounds

    network = front.as_stored
    most = np.finfo(network.element).max
    hull = domain.hull
    for name, interval in interval_bounds(network, hull.lower[None], hull.upper[None]).items():
        beyond = ~(interval.magnitude[0] <= most)
        if beyond.any():
            raise InputError(
                "read/beyond-type",
                "a bound at the end of its type was read as none, and values may be beyond it on these inputs",
                place=Place(file=source_name(file), node=name, unit=int(np.argmax(beyond))),
                value=", ".join(front.open_ends[:3]),
                hint="leave the bound out of the model, or give smaller inputs",
            )


def _compare(path: Source, front: Front, points: FloatArray) -> tuple[int, str]:
    from eqverify.export.comparison import compare_reading
    from eqverify.frontend.onnx import read_bytes

    if front.network is not front.as_stored:
        _require_same(front, points, path)
    return compare_reading(read_bytes(path), front.as_stored, points, source_name(path))


def _require_same(front: Front, points: FloatArray, path: Source) -> None:
    """Raise where the normalised network differs from the stored one by more than the rounding of both."""
    sides = [(network, evaluate_nodes(network, points)) for network in (front.as_stored, front.network)]
    one, other = (join_outputs(network, values) for network, values in sides)
    allowed = sum(join_outputs(network, evaluation_error(network, values)) for network, values in sides)
    with np.errstate(invalid="ignore"):
        if (np.abs(one - other) > allowed).any():
            raise ContradictionError(
                "read/normalised",
                "the normalised network computes something else than the one that was read",
                place=Place(file=source_name(path)),
                hint="a defect of eqverify; please report it with the file",
            )


def load_query(path: str | Path) -> Query:
    """Read a VNN-LIB file, version 1.0 or 2.x (``.vnnlib``, ``.vnnlib.gz``), as a typed query.

    >>> import eqverify as eq
    >>> query = eq.load_query(eq.example_files().query)
    >>> query.version, [network.inputs[0].size for network in query.networks]
    ('1.0', [64])

    Raises:
        UsageError: there is no such file.
        InputError: it is malformed.
    """
    from eqverify.frontend.vnnlib import read_query

    return read_query(path)


@IEEE
def load_problem(
    network: Model, query: Inputs, *, as_stored: bool = False, roundings: bool = False, smooth: bool = False
) -> Problem:
    """A network with the property it is to be judged on.

    >>> import eqverify as eq
    >>> eq.load_problem(*eq.example_files())
    <Problem: 120 ReLUs, 64 inputs, 10 outputs, 9 disjuncts>
    >>> eq.load_problem(eq.example_files().network, ([0.0] * 64, [0.1] * 64))
    <Problem: 120 ReLUs, 64 inputs, 10 outputs, 0 disjuncts>

    A file with operators that are not piecewise linear (Sigmoid, Softmax, ...) is cut before them: the problem's
    network is what comes before, and the rest is kept to be copied.

    Args:
        network: path, bytes, `onnx.ModelProto`, network, or `torch.nn.Module`: what is said is then about the model
            that torch exports of a copy in evaluation mode, for a batch of one (extra `torch`).
        query: a property: path, query or specification; or inputs without a condition on outputs: a domain (`ball`),
            or a pair of arrays (lower, upper), in row-major order, of whatever shape, which a module is given: with one
            axis, as a batch of one.  Numbers that are no float64 are rounded outwards.
        as_stored: whether the network has every unit of its file, as what is said about single units should; else units
            that others make superfluous everywhere are gone (M-6), as is best where the network is to be reduced.
        roundings: whether operators that round (of quantised models) are read, with inputs of their own for what they
            round, which the problem's domain has too; else they are opaque.
        smooth: whether functions like Sigmoid are read, as smooth nodes (`Network.smooth`), as `prove_stability`,
            `prove_ranges` and `reduce` understand them; else the file is cut before them.

    Raises:
        UsageError, InputError: as `load_network` and `load_query`; `problem/...` where the two do not fit;
            `read/differs` where onnxruntime computes something else on the property's inputs; `domain/...` for pairs
            that are no boxes.
    """
    from eqverify.frontend.onnx import read_front

    network = stored_model(network, query)
    specification = given_inputs(query)
    if isinstance(network, Network):
        return problem_with_roundings(network, specification, files=_digests(property=query))
    front = read_front(network, roundings=roundings, smooth=smooth)  # first: what cannot be read has its own error
    files = _digests(network=network, property=query)
    if as_stored:
        front = front.unit_by_unit()
    stored = None if front.network is front.as_stored else front.as_stored
    problem = problem_with_roundings(front.network, specification, tail=front.tail, files=files, stored=stored)
    reading = compared(network, front, problem.domain)
    return replace(problem, reading=replace(reading, model=partial(_same_bytes, network, files["network"])))


def _same_bytes(model: Source, digest: str) -> bytes | None:
    """The bytes of a model, if they still have this digest."""
    from eqverify.frontend.onnx import read_bytes

    try:
        data = read_bytes(model)
    except (EqverifyError, OSError):
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def given_inputs(where: Inputs) -> Specification | Domain:
    """What callers may give for the inputs that count.

    Raises:
        UsageError, InputError: as `load_problem`.
    """
    from eqverify.frontend.vnnlib import lower

    if isinstance(where, Specification | Domain):
        return where
    if isinstance(where, tuple):
        low, high = where
        return box_domain(rounded(low, round_down), rounded(high, round_up))
    return lower(load_query(where) if isinstance(where, str | Path) else where)


def rounded(values: ArrayLike, way: Callable[[Fraction], float]) -> FloatArray:
    """(n,) numbers as float64: themselves where they are that, or else rounded one way.

    Raises:
        InputError: `domain/not-finite` for what is no finite number.
    """
    array = np.asarray(values).reshape(-1)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return array.astype(np.float64)
    try:
        return np.array([way(Fraction(value)) for value in array.tolist()], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        value = f"{type(error).__name__}: {error}"
        raise InputError("domain/not-finite", "a bound of the input box is not a finite number", value=value) from error


def problem_with_roundings(network: Network, where: Specification | Domain, **about: Any) -> Problem:
    """The problem of a network and what is asked of its own inputs, with further inputs for what it rounds.

    Args:
        network: as read.
        where: about the inputs of the model.
        about: as for `Problem`.
    """
    if network.roundings:
        from eqverify.bounds import rounding_radii

        radii = partial(rounding_radii, network)
        if isinstance(where, Domain):
            where = widened_domain(where, radii)
        elif where.input_size == network.own_size and len(where.networks) == 1:
            where = widened_specification(where, radii)
    if isinstance(where, Domain):
        where = domain_problem(network, where).specification
    return Problem(network, where, **about)


def digests_of(networks: Mapping[str, Source | Network], query: Query) -> dict[str, str]:
    """The digests of the files that networks and a query were read from, for a proof.

    Args:
        networks: by declared name; a single one under any name.
        query: with its source.

    Raises:
        UsageError: `certificate/no-files` where one was not read from a file, or that has changed.
    """
    from eqverify.frontend.vnnlib import read_query

    same = query.source is not None and Path(query.source).is_file() and read_query(query.source).text == query.text
    if not same or any(isinstance(network, Network) for network in networks.values()):
        raise UsageError(
            "certificate/no-files",
            "a proof is about files, and the problem was not read from files",
            hint="give paths of the property and of each network",
        )
    several = len(query.networks) > 1
    found = _digests(property=query.source)
    for name, network in networks.items():
        found[f"network {name}" if several else "network"] = _digests(network=network)["network"]
    return found


def _digests(**sources: object) -> dict[str, str]:
    """SHA-256 (hex) of the unpacked bytes of a model, with weights stored beside it, and of a property's file."""
    from eqverify.frontend.onnx import read_bytes
    from eqverify.frontend.vnnlib.reader import MAX_TEXT_BYTES

    digests = {}
    for name, path in sources.items():
        if name == "network":
            digests[name] = hashlib.sha256(read_bytes(cast(Source, path))).hexdigest()
        elif isinstance(path, str | Path):
            digests[name] = hashlib.sha256(contents(Path(path).read_bytes(), MAX_TEXT_BYTES)).hexdigest()
    return digests
