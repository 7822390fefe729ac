"""Passes on forms and chains, applied until none changes anything, and checked here, not by their authors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import ContradictionError
from eqverify.normal_form.form import NormalForm
from eqverify.normal_form.passes import Context, Declined, RemovedUnit, Rewrite, Rewritten, make_pass, to_fixpoint
from eqverify.normal_form.simplify import LevelPass, Sweep
from eqverify.problem import Problem
from eqverify.stability.facts import Facts
from eqverify.transform.chain import Chain, chain_of
from eqverify.transform.deviation import prove_deviation
from eqverify.transform.realise import realise, require_finite
from eqverify.transform.result import Transformed, TransformOptions

_LARGE = 1e50

ROUNDING = "rounding"
"""What layers are said to be declined by that keep their weights for the sake of eps."""


def by_passes(problem: Problem, facts: Facts, options: TransformOptions) -> Transformed:
    """The network after passes on chains to a fixpoint, in float64, then written and compared.

    Where eps exceeds its limit, layers are exempted from passes that compute new weights, first ones first.

    Raises:
        InputError: the network is no chain, or a weight overflows.
        ContradictionError: `transform/postcondition` where a pass broke an invariant.
    """
    chain, passes = chain_of(problem.network), _passes(options, "chain")
    exact: list[str] = []
    refused: list[Declined] = []
    while True:
        found = to_fixpoint(chain, passes, Context(facts.by_name()), exact, _check)
        network, unit_maps = realise(found.subject, problem.network, options.dtype)
        epsilon = prove_deviation(problem, facts, network, unit_maps, found.relations)
        declined = (*refused, *found.declined)
        result = Transformed(network, unit_maps, epsilon, "leo", "", found.relations, found.removed, declined)
        rounding = _rounding_layers(found.removed, facts, exact)
        if result.worst <= options.max_epsilon or not rounding:
            return result
        name, units = rounding[0]
        reason = f"new weights would bring eps to {result.worst:.1e}, above {options.max_epsilon:.1e}"
        refused.append(Declined(ROUNDING, name, units, reason))
        exact.append(name)


def simplified(form: NormalForm, facts: Facts, options: TransformOptions, tolerance: float) -> Rewritten[NormalForm]:
    """A normal form after passes on forms to a fixpoint.

    Raises:
        InputError: `transform/overflow` where numbers that were extreme before are not finite any more.
        ContradictionError: `transform/postcondition`, `deviation/relation` where a pass broke an invariant.
    """
    return to_fixpoint(form, _passes(options, "form"), Context(facts.by_name(), tolerance), check=_check)


def _passes(options: TransformOptions, rewrites: Literal["form", "chain"]) -> list[Rewrite[Any]]:
    """The passes of that kind; those that go level by level do so together where they are neighbours."""
    found: list[Rewrite[Any]] = []
    for one in map(make_pass, options.passes):
        if not isinstance(one, LevelPass):
            found += [one] if one.rewrites == rewrites else []
        elif found and isinstance(found[-1], Sweep):
            found[-1] = Sweep((*found[-1].passes, one))
        elif rewrites == "form":
            found.append(Sweep((one,)))
    return found


def _rounding_layers(
    removed: Sequence[RemovedUnit], facts: Facts, exact: Sequence[str]
) -> list[tuple[str, tuple[int, ...]]]:
    """Layers whose units were rewritten into others, in topological order, with those units."""
    units: dict[str, list[int]] = {layer.name: [] for layer in facts.layers if layer.name not in exact}
    for one in removed:
        if one.what in ("merged", "folded") and one.layer in units:
            units[one.layer].append(one.unit)
    return [(name, tuple(chosen)) for name, chosen in units.items() if chosen]


def _check(rewrite: Rewrite[Any], before: Any, result: Rewritten[Any]) -> None:
    """Post-conditions of every pass: shapes fit, numbers are finite, and just the units that it names went.

    Raises:
        InputError: `transform/overflow` where numbers that were extreme before are not finite any more.
        ContradictionError: `transform/postcondition`.
    """
    after = result.subject
    gone = before.relu_count - after.relu_count
    fits = _form_fits(before, after) if isinstance(before, NormalForm) else _chain_fits(before, after)
    finite = all(np.isfinite(array).all() for array in _numbers(after))
    if not finite and _is_extreme(before):
        for array in _numbers(after):
            require_finite(array, "float64")
    if gone != len(result.removed) or not fits or not finite or (after is before) != (gone == 0):
        raise ContradictionError(
            "transform/postcondition",
            f"the pass {rewrite.name} broke an invariant",
            value=f"{gone} units went, {len(result.removed)} reported; shapes {fits}, finite {finite}",
            hint="a defect of the pass; if it is one of eqverify, please report it with the files",
        )


def _form_fits(before: NormalForm, after: NormalForm) -> bool:
    """Whether a form has units of the one before only, each of which reads lower levels."""
    if after.basis is not before.basis or after.outputs.shape != before.outputs.shape:
        return False
    unknown = np.ones(before.basis.width, dtype=bool)
    unknown[: before.basis.input_size + 1] = False
    for own in after.levels():
        if after.rows[own][:, unknown].any() or not np.isin(after.columns[own], before.columns).all():
            return False
        unknown[after.columns[own]] = False
    return not after.outputs[:, unknown].any()


def _chain_fits(before: Chain, after: Chain) -> bool:
    width = before.layers[0].weight.shape[1] if before.layers else before.weight.shape[1]
    sizes = [width, *(layer.size for layer in after.layers), before.bias.size]
    weights, biases = _numbers(after)[::2], _numbers(after)[1::2]
    ends = zip(weights, biases, sizes[:-1], sizes[1:], strict=True)
    return all(w.shape == (n, m) and b.shape == (n,) for w, b, m, n in ends)


def _numbers(subject: Chain | NormalForm) -> list[FloatArray]:
    """The rows of a form and of its outputs; weights and biases of a chain, in turns."""
    if isinstance(subject, NormalForm):
        return [subject.rows, subject.outputs]
    return [a for layer in subject.layers for a in (layer.weight, layer.bias)] + [subject.weight, subject.bias]


def _is_extreme(subject: Chain | NormalForm) -> bool:
    """Whether products or quotients of weights can leave the range of float64, a few in a row."""
    sizes = np.abs(np.concatenate([array.reshape(-1) for array in _numbers(subject)]))
    return bool((sizes > _LARGE).any() or ((sizes > 0) & (sizes < 1 / _LARGE)).any())
