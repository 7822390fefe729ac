"""`eqverify equiv`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eqverify.cli.commands.shared import Json, print_json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.equivalence.options import EquivalenceOptions
from eqverify.errors import UsageError
from eqverify.options import keywords_of

_MOST_DIGITS = 400
"""Digits before or behind the point of an epsilon: more are no float, and their rational would fill the memory."""


def equiv(
    f: Path,
    g: Path,
    domain: Path,
    /,
    *,
    epsilon: Annotated[list[Decimal] | None, Parameter(negative="")] = None,
    top1: Annotated[bool, Parameter(negative="")] = False,
    options: Annotated[EquivalenceOptions, Parameter(name="*", negative_iterable=())] = EquivalenceOptions(),
    query_out: Path | None = None,
    proof: Path | None = None,
    json: Json = False,
) -> int:
    """Say whether two networks are equivalent on the inputs of a property: up to epsilon, or in their largest output.

    For example

        eqverify equiv F.onnx G.onnx PROP.vnnlib --epsilon 0.001

    Exit status 0 for equivalent, 1 for different, 4 for unknown.

    Parameters
    ----------
    f:
        ONNX file.
    g:
        ONNX file with as many inputs and outputs.
    domain:
        VNN-LIB file, version 1.0 or 2.x, about one network, or about two with equal inputs. Only what it says about
        inputs counts; conditions on outputs are ignored.
    epsilon:
        Allowed deviation of every output, or, given several times, of each output in turn. Decimals are exact.
    top1:
        Ask for an equal largest output instead; a tie counts as agreement.
    options:
        Limits, and whose word counts.
    query_out:
        Also write the question as a VNN-LIB 2 query about networks f and g; unsat means equivalent.
    proof:
        Write a proof of the answer, which `eqverify check F DOMAIN G PROOF` verifies; what has none is unknown.
    json:
        Print one JSON object instead of text.
    """
    import eqverify as eq
    from eqverify.cli import render
    from eqverify.files import atomic_write, write_files

    allowed = None if epsilon is None else _exact(epsilon)
    require_outputs({"--query-out": query_out, "--proof": proof}, (f, g, domain))
    if query_out is not None:
        atomic_write(query_out, eq.pair_query(f, g, domain, epsilon=allowed, top1=top1).encode())
    with shown_progress(options.timeout) as progress:
        own, told = keywords_of(options), proof is not None
        answer = eq.equivalent(f, g, domain, epsilon=allowed, top1=top1, proof=told, progress=progress, **own)
    if proof is not None and answer.proof is not None:
        write_files({proof: answer.proof})
    if json:
        print_json("equiv", answer.as_dict(), options)
    else:
        render.print_equivalence(answer)
    return {"equivalent": 0, "different": 1, "unknown": 4}[answer.verdict]


def _exact(epsilon: Sequence[Decimal]) -> Fraction | list[Fraction]:
    """Decimals as rationals: one for all outputs, or one for each.

    Raises:
        UsageError: `equivalence/epsilon`.
    """
    for value in epsilon:
        if not value.is_finite() or (value and not -_MOST_DIGITS <= value.adjusted() <= _MOST_DIGITS):
            raise UsageError("equivalence/epsilon", "an epsilon must be finite and of ordinary size", value=value)
    exact = [Fraction(value) for value in epsilon]
    return exact[0] if len(exact) == 1 else exact
