"""Deciding a property: reduce, ask a backend, replay what it finds on the original."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eqverify.api.loading import Model, compared, digests_of, load_query, problem_with_roundings, stored_model
from eqverify.arrays import IEEE
from eqverify.attack.replay import Witness, holding, is_of_types
from eqverify.deciding.answer import Verification
from eqverify.deciding.question import Verdict
from eqverify.deciding.run import VerifyKeywords, VerifyRun
from eqverify.domain import Specification
from eqverify.errors import InputError, Place, UsageError
from eqverify.files import Source
from eqverify.network import Network
from eqverify.numerals import nearest_float
from eqverify.options import keywords
from eqverify.problem import Problem

if TYPE_CHECKING:
    from eqverify.frontend.vnnlib import Query


@keywords(VerifyKeywords)
@IEEE
def verify(query: str | Path | Query, networks: Model | Mapping[str, Model], options: VerifyKeywords) -> Verification:
    """Decide whether an input satisfies a property (for a counterexample query: whether there is a counterexample).

    >>> import eqverify as eq
    >>> network, query = eq.example_files()
    >>> eq.verify(query, network, timeout=60).verdict
    'unsat'

    Gradient steps look for such an input first; then bounds, and a reduction directed by each disjunct of the output
    condition (`reduce_for_property`), decide what they can; the backend is asked about one disjunct that is left after
    the other, on its own reduced network, with output constraints relaxed by the proved eps.  Whatever a backend finds
    is replayed on the original network; where it does not hold there, the backend is asked about the original network
    itself.  Where it says `unsat`, that is a claim, and a proof is looked for.  A query about several networks goes to
    `decide_pair_query` instead.

    Args:
        query: path or query, version 1.0 or 2.x.
        networks: the network, or networks by the names that the query declares; version 1.0 takes any name, and an
            empty name stands for the only one declared.
        options: the keywords are those of `VerifyKeywords`.  With several `workers` (here one, by default) processes
            start afresh, so that a script needs the usual ``if __name__ == "__main__":``.

    Returns:
        The answer. `unsat` is proved by arithmetic, but for claims that `evidence` names; `sat` holds for the network
        over the reals, and for onnxruntime within the competition's tolerance. Trusted: float64 arithmetic, and whom
        `trust` names.  With `proof` it has the bytes of a proof that `eqverify.check` verifies, where there is one.

    Raises:
        UsageError: `usage/trust`, `usage/backend`, `usage/limit`; `usage/networks` where networks and declarations do
            not match.
        InputError: as `load_problem`.
    """
    from eqverify.frontend.onnx import read_front
    from eqverify.frontend.vnnlib import lower
    from eqverify.reduction.certifying import certify_empty

    run = VerifyRun(options)
    parsed = load_query(query) if isinstance(query, str | Path) else query
    given = {name: stored_model(model, parsed, name) for name, model in _named(parsed, networks).items()}
    try:
        specification = lower(parsed)
    except InputError as error:
        if error.code != "domain/empty":
            raise
        for network in given.values():
            if not isinstance(network, Network):
                read_front(network)
        proof = certify_empty(digests_of(given, parsed)) if options.proof else None
        semantics = options.semantics
        return Verification(
            "unsat", "reduction", None, ("bounds",), "", 0, None, (), {}, semantics=semantics, proof=proof
        )
    if len(parsed.networks) > 1 and options.semantics != "real":
        why = "runs of several networks are not judged together"
        return Verification("unknown", "", None, (), why, 0, None, (), {}, semantics=options.semantics)
    if len(parsed.networks) > 1:
        return _decide_pair(parsed, given, options)
    (network,) = given.values()
    problem, data = _load(parsed, specification, network, as_stored=options.semantics == "float32")
    if options.proof:
        problem = replace(problem, files=digests_of({"": network}, parsed))
    options.counted(problem.relu_count)
    return run.decide(problem, data)


def _decide_pair(query: Query, networks: Mapping[str, Source | Network], options: VerifyKeywords) -> Verification:
    """The answer about several networks: by `decide_pair_query`, whatever the backend."""
    from eqverify.api.equivalence import decide_pair_query

    shared = {name: getattr(options, name) for name in ("timeout", "seed", "trust", "progress")}
    files = digests_of(networks, query) if options.proof else None
    found = decide_pair_query(query, networks, files=files, **shared)
    late = found.answer == "unknown" and found.seconds >= options.timeout
    witness = None
    if found.answer == "sat":
        names = [network.name for network in query.networks]
        inputs, outputs = (tuple(v for n in names for v in values[n]) for values in (found.inputs, found.outputs))
        x, y = (np.array([nearest_float(v) for v in values]) for values in (inputs, outputs))
        witness = Witness(x, y, inputs, outputs)
        if options.exactly:
            witness = _shown_exactly(query, networks, witness)
    evidence = (found.evidence,) if found.answer == "unsat" else ()
    verdict: Verdict = "timed-out" if late else found.answer
    reason = found.reason if verdict == "unknown" else ""
    if found.answer == "sat" and witness is None:
        verdict, reason = "unknown", "an input was found that onnxruntime does not show without tolerance"
    seconds = {"decide": found.seconds}
    told = found.readings, found.claimed
    return Verification(
        verdict, "equivalence", witness, evidence, reason, 0, None, (), seconds, *told, proof=found.proof
    )


def _shown_exactly(query: Query, networks: Mapping[str, Source | Network], witness: Witness) -> Witness | None:
    """The witness with the numbers of runs, where these satisfy the text without tolerance."""
    from eqverify.export.onnx import write_network
    from eqverify.export.runtime import run_model
    from eqverify.frontend.onnx import read_bytes, read_front
    from eqverify.frontend.vnnlib import lower

    x, shown = witness.x, list[float]()
    for declared in query.networks:
        model = networks[declared.equal_to if declared.name not in networks and declared.equal_to else declared.name]
        network = model if isinstance(model, Network) else read_front(model).as_stored
        own, x = np.split(x, [network.own_size])
        if not is_of_types(network, own):
            return None
        if isinstance(model, Network):
            data = write_network(network, metadata={}, producer="eqverify", dtype="float64")
        else:
            data = read_bytes(model)
        shown += run_model(data, own[None], optimised=True)[0].tolist()
    outputs = tuple(map(Fraction, shown)) if np.isfinite(shown).all() else ()
    holds = (
        bool(outputs)
        and witness.as_floats
        and any(
            (case.written is None or case.written.holds(witness.inputs))
            and holding(case.unsafe, witness.inputs, shown, [0.0] * len(shown))[0] is not None
            for case in lower(query).cases
        )
    )
    return replace(witness, y=np.array(shown), outputs=outputs) if holds else None


def _load(
    query: Query, specification: Specification, chosen: Source | Network, *, as_stored: bool
) -> tuple[Problem, bytes]:
    """The problem, and the bytes of the original model for onnxruntime."""
    from eqverify.export.onnx import write_network
    from eqverify.frontend.onnx import keeps_order, read_bytes, read_front

    if isinstance(chosen, Network):
        return Problem(chosen, specification), write_network(chosen, metadata={}, producer="eqverify", dtype="float64")
    front = read_front(chosen, roundings=True, smooth=not as_stored)
    front = front.unit_by_unit() if as_stored else front
    _check_elements(query, front.network)
    ordered = keeps_order(front) and all(case.compares_outputs for case in specification.cases)
    about = {"tail": None if ordered else front.tail, "ordered": ordered}
    problem = problem_with_roundings(front.network, specification, **about)
    return replace(problem, reading=compared(chosen, front, problem.domain)), read_bytes(chosen)


def _named(query: Query, networks: Model | Mapping[str, Model]) -> dict[str, Model]:
    """The networks by declared name."""
    declared = [network.name for network in query.networks]
    given = dict(networks) if isinstance(networks, Mapping) else {"": networks}
    for network in query.networks:  # may be given once more, as the same file
        if network.equal_to in given and _same_file(given.get(network.name), given[network.equal_to]):
            del given[network.name]
    wanted = [network.name for network in query.networks if network.equal_to is None]
    if len(declared) == len(given) == 1 and (query.version == "1.0" or "" in given):
        return {declared[0]: next(iter(given.values()))}
    if sorted(given) != sorted(wanted):
        raise UsageError(
            "usage/networks",
            "the networks given are not those that the property declares",
            place=Place(file=query.source),
            value=f"{', '.join(sorted(given)) or 'none'} given, {', '.join(wanted)} declared",
            hint="give --network NAME=FILE once for each declared network that is not equal-to another",
        )
    return given


def _same_file(one: Model | None, other: Model) -> bool:
    paths = [Path(path) for path in (one, other) if isinstance(path, str | Path)]
    return len(paths) == 2 and all(path.is_file() for path in paths) and paths[0].samefile(paths[1])


def _check_elements(query: Query, network: Network) -> None:
    """Declared element types must be those of the model; ``real`` fits any."""
    if query.version == "1.0":
        return
    pairs = [*zip(query.networks[0].inputs, network.inputs, strict=False)]
    pairs += [*zip(query.networks[0].outputs, network.outputs, strict=False)]
    for tensor, port in pairs:
        if tensor.element not in ("real", port.element):
            raise InputError(
                "verify/element-type",
                "the model has another element type than the property declares",
                place=query.place(tensor.position),
                value=f"{tensor.name} is {tensor.element}, {port.name} is {port.element}",
                hint="declare the type of the model, or real",
            )
