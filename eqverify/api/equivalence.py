"""Are two networks equivalent on a domain, where they come from files?  And the question as a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eqverify.api.loading import (
    Inputs,
    Model,
    digests_of,
    given_inputs,
    load_compared,
    load_query,
    load_whole,
    stored_model,
)
from eqverify.arrays import IEEE, FloatArray
from eqverify.attack.replay import holding
from eqverify.bounds import rounding_radii
from eqverify.budget import Budget
from eqverify.deciding.pair_proofs import with_pair_proof
from eqverify.deciding.pair_runs import answer_pair_runs, why_no_pair_runs
from eqverify.deciding.pairs import PairAnswer, answer_query
from eqverify.domain import Box, Case, Declaration, Domain, NetworkSignature, Polytope, Specification, widened_domain
from eqverify.equivalence.answer import Epsilon, Equivalence, EquivalenceKeywords, answer_pair, pair_goals
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.options import EquivalenceOptions
from eqverify.equivalence.product import beside_each_other
from eqverify.equivalence.shared import shared_cases
from eqverify.equivalence.witness import Confirm
from eqverify.errors import ContradictionError, InputError, Place, UsageError
from eqverify.files import Source
from eqverify.network import Network, Port
from eqverify.options import keywords
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.reading import Reading

if TYPE_CHECKING:
    from eqverify.frontend.vnnlib import Query


@keywords(EquivalenceKeywords)
@IEEE
def equivalent(f: Model, g: Model, domain: Inputs, options: EquivalenceKeywords) -> Equivalence:
    """Decide whether two networks are equivalent on a domain: |f_i - g_i| <= epsilon_i for all outputs, or equal top-1.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> eq.equivalent(network, network, eq.ball([0, 0], 1), epsilon=0)
    <Equivalence: equivalent, eps 0>

    Args:
        f: as for `load_problem`.
        g: likewise, with as many inputs and outputs.
        domain: a property, whose output conditions are ignored, or a domain.  A property of two networks must
            equate their inputs.
        options: the keywords are those of `EquivalenceKeywords`.

    Returns:
        The answer.  Trusted for ``equivalent``: float64 and rational arithmetic, and those in `decision.trusted`.
        For ``different``: nothing but the evaluation of the witness, by rounding bounds or in rationals, and a run of
        onnxruntime where files were given.

    Raises:
        UsageError: `equivalence/goal` unless exactly one of epsilon and top1 is given, `equivalence/epsilon`,
            `equivalence/timeout`; `equivalence/arity` where networks and domain do not fit; with `proof`
            `certificate/no-files`.
        InputError: a file is malformed; `equivalence/inputs` as `load_domain`.
    """
    where = load_domain(domain)
    stored = options.semantics != "real"  # what runs compute
    models = [stored_model(model, domain) for model in (f, g)]
    (first, one), (second, other) = (load_compared(m, where, as_stored=stored, roundings=True) for m in models)
    pair = beside_each_other(first, second)
    if pair[0].input_size > where.size == first.own_size == second.own_size:
        rounding = (first,) if pair[0] is first else (first, second)  # one and the same network rounds the same
        where = widened_domain(where, lambda box: np.concatenate([rounding_radii(n, box) for n in rounding]))
    answer = answer_pair if options.semantics == "real" else answer_pair_runs
    about = pair, where, options, _replay(*models), (one, other)
    return _proved((models[0], models[1]), domain, *about) if options.proof else answer(*about)


def _proved(
    models: tuple[Source | Network, Source | Network],
    domain: Inputs,
    networks: tuple[Network, Network],
    where: Domain,
    options: EquivalenceKeywords,
    replay: Callable[[PairGoals], Confirm] | None,
    readings: tuple[Reading, Reading],
) -> Equivalence:
    """The answer with a proof, which is looked for in the second half of the time.

    Raises:
        UsageError: `certificate/no-files`.
        InputError: `certificate/opaque` where one of the networks rounds.
    """
    from eqverify.frontend.onnx import read_bytes
    from eqverify.frontend.vnnlib import Query, lower

    f, g = models
    query = load_query(domain) if isinstance(domain, str | Path) else domain
    if not isinstance(query, Query) or len(query.networks) > 1 or isinstance(f, Network) or isinstance(g, Network):
        raise UsageError(
            "certificate/no-files",
            "a proof is about files: two networks, and a property of one network for their inputs",
            hint="of a property of two networks: write the question with --query-out, then eqverify verify --proof",
        )
    if any(network.roundings for network in networks):
        raise InputError("certificate/opaque", "no proofs are written for networks that round")
    files = {**digests_of({"f": f}, query), "reduced": digests_of({"g": g}, query)["network"]}
    budget, runs = Budget(options.timeout), options.semantics != "real"
    answer = answer_pair_runs if runs else answer_pair
    found = answer(networks, where, replace(options, timeout=options.timeout / 2), replay, readings)
    if runs and (options.top1 or why_no_pair_runs(networks, readings)):
        return found
    front, own = load_whole(f), {key: files[key] for key in ("network", "property")}
    stored = None if front.network is front.as_stored else front.as_stored
    problem = Problem(front.network, lower(query), files=own, stored=stored, reading=readings[0])
    other = load_whole(g).as_stored, read_bytes(g)
    return with_pair_proof(found, networks, problem, files, other, options, budget)


def load_domain(domain: Inputs) -> Domain:
    """The inputs that a property describes; its output conditions are ignored.

    Raises:
        InputError: `equivalence/inputs` for a property of two networks that does not equate their inputs, or of
            more.
    """
    specification = given_inputs(domain)
    if isinstance(specification, Domain):
        return specification
    if len(specification.networks) == 1:
        return specification.domain
    cases = shared_cases(specification)
    if not all(case.equated and not case.loose for case in cases):
        raise InputError(
            "equivalence/inputs",
            "the property does not say that both networks read the same inputs, or not in numbers that floats can hold",
            place=Place(file=specification.source),
            hint="assert (== X_f[i] X_g[i]) for every input, or answer the query with eqverify verify",
        )
    return Domain(tuple(case.part for case in cases))


def _replay(*networks: Source | Network) -> Callable[[PairGoals], Confirm] | None:
    """Both files by onnxruntime at an input; None where one of them is no file."""
    from eqverify.export.runtime import run_model
    from eqverify.frontend.onnx import read_bytes

    if any(isinstance(network, Network) for network in networks):
        return None
    data = [read_bytes(network) for network in networks if not isinstance(network, Network)]

    def shown(goals: PairGoals, point: FloatArray) -> bool:
        outputs = [value for model in data for value in run_model(model, point[None])[0].tolist()]
        return holding(goals.exact, list(map(Fraction, point.tolist())), outputs, [0.0] * len(outputs))[0] is not None

    return lambda goals: partial(shown, goals)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairKeywords(EquivalenceOptions):
    """Keywords of `decide_pair_query`.

    Attributes:
        progress: called with stage, done, total.
        files: the digests of the files that are read, where the answer is to have a proof; None for no proof.
    """

    progress: Progress = silent
    files: Mapping[str, str] | None = None


@keywords(PairKeywords)
@IEEE
def decide_pair_query(query: str | Path | Query, networks: Mapping[str, Model], options: PairKeywords) -> PairAnswer:
    """Answer a VNN-LIB 2 query about two networks or more.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> from eqverify.frontend.vnnlib import parse_query
    >>> query = parse_query(eq.pair_query(network, network, eq.ball([0, 0], 1), epsilon=0.5))
    >>> eq.decide_pair_query(query, {"f": network, "g": network})
    <PairAnswer: unsat>

    Args:
        query: path or query.
        networks: by declared name; a network declared ``equal-to`` another may be left out.
        options: the keywords are those of `PairKeywords`.

    Returns:
        The answer.  A ``sat`` assignment is proved exactly, against the query as written.
        Trusted for ``unsat``: as `equivalent`.

    Raises:
        UsageError: `equivalence/timeout`, `equivalence/arity`; `equivalence/no-network` where a network is missing;
            `equivalence/semantics` for other semantics than ``real``.
        InputError: `equivalence/networks`, or a file is malformed.
    """
    if options.semantics != "real":
        raise UsageError(
            "equivalence/semantics", "queries about several networks are answered over the real numbers only"
        )
    parsed = load_query(query) if isinstance(query, str | Path) else query
    given = {name: partial(load_compared, stored_model(model, parsed, name)) for name, model in networks.items()}
    return answer_query(parsed, given, options, options.progress, options.files)


@IEEE
def pair_query(
    f: Model,
    g: Model,
    domain: Inputs,
    *,
    epsilon: Epsilon | None = None,
    top1: bool = False,
) -> str:
    """The question of `equivalent` as a VNN-LIB 2 query about networks f and g: unsat means equivalent.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> query = eq.pair_query(network, network, eq.ball([0, 0], 1), top1=True)
    >>> query.splitlines()[0]
    '(vnnlib-version <2.0>)'

    Two plain declarations, since f and g need not have one architecture; inputs are equated by assertions.

    Args:
        f: as in `equivalent`.
        g: likewise.
        domain: as in `equivalent`.
        epsilon: as in `equivalent`.
        top1: as in `equivalent`.

    Returns:
        The text.  It was read back, and says the same.

    Raises:
        UsageError, InputError: as `equivalent`.
        ContradictionError: `equivalence/query` where reading it back gives another question.
    """
    from eqverify.export.vnnlib import query_of, write_query
    from eqverify.frontend.vnnlib import lower, parse_query
    from eqverify.frontend.vnnlib.syntax import Comparison, elements
    from eqverify.frontend.vnnlib.syntax import Query as Parsed

    where = load_domain(domain)
    first, second = (load_compared(stored_model(network, domain), where)[0] for network in (f, g))
    goals = pair_goals((first, second), where, epsilon, top1)
    signatures = (_signature("f", first), _signature("g", second))
    inputs = query_of(Specification(signatures[:1], tuple(Case(p, ((),)) for p in where.polytopes)), "2.0")
    point = Polytope(Box(np.zeros(2 * where.size), np.zeros(2 * where.size)))
    condition = query_of(Specification(signatures, (Case(point, goals.exact),)), "2.0")
    pairs = [[v for tensor in network.inputs for v in elements(tensor)] for network in condition.networks]
    equations = [Comparison("==", *pair) for pair in zip(*pairs, strict=True)]
    statements = (*inputs.statements, *equations, *condition.statements[4 * where.size :])
    text = write_query(Parsed("2.0", condition.networks, statements))
    cases = shared_cases(lower(parse_query(text)))
    same = all(case.equated and case.goals.exact == goals.exact for case in cases)
    if not same or Domain(tuple(case.part for case in cases)).digest != where.digest:
        raise ContradictionError("equivalence/query", "the query written says something else when it is read back")
    return text


def _signature(name: str, network: Network) -> NetworkSignature:
    def declared(kind: str, ports: tuple[Port, ...]) -> tuple[Declaration, ...]:
        names = [f"{kind}_{name}"] if len(ports) == 1 else [f"{kind}_{name}{k}" for k in range(len(ports))]
        shapes = [tuple(extent if isinstance(extent, int) else 1 for extent in port.shape) for port in ports]
        return tuple(Declaration(n, "Real", shape) for n, shape in zip(names, shapes, strict=True))

    return NetworkSignature(name, declared("X", network.inputs), declared("Y", network.outputs))
