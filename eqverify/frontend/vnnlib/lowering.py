"""The typed query to its meaning: cases of input polytopes with output conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

from eqverify.domain import (
    Case,
    Conjunction,
    Declaration,
    HalfSpace,
    NetworkSignature,
    Polytope,
    Specification,
    Written,
)
from eqverify.errors import InputError
from eqverify.frontend.vnnlib.collecting import uncollected
from eqverify.frontend.vnnlib.normal import All, Compiler, Tree, atoms, normal_form, require_countable, size
from eqverify.frontend.vnnlib.region import Region
from eqverify.frontend.vnnlib.scope import OTHER
from eqverify.frontend.vnnlib.syntax import BoundList, Network, Query, Tensor


@dataclass(slots=True)
class _Sorted:
    """The conjuncts of a query by what they mention.

    Attributes:
        inputs: disjunctions of constraints on inputs alone.
        outputs: every constraint mentions an output, so that none can shape the domain.
        mixed: disjunctions of both kinds, whose pairing must be kept.
    """

    inputs: list[Tree] = field(default_factory=list)
    outputs: list[Tree] = field(default_factory=list)
    mixed: list[Tree] = field(default_factory=list)


@uncollected()
def lower(query: Query) -> Specification:
    """The meaning of a query.

    Constraints on inputs alone become the domain, everything that mentions an output the condition.  The domain is a
    superset of what is written: its bounds are rounded outwards to float64, and strict constraints on inputs
    alone are closed; a case keeps them as they are written beside that.  All other constraints stay exact, strictness
    included.  Disjuncts with contradictory bounds are dropped; disjuncts with the same inputs become one case.
    Tensors of integer and low-precision types are read over the reals, which only adds inputs.

    A version 1.0 file without outputs, which states a domain only, has an empty tuple of output declarations.

    Args:
        query: as `parse_query` returns it.

    Returns:
        The specification, its cases in the order of the text.

    Raises:
        InputError: ``vnnlib/nonlinear``, ``vnnlib/hidden-unsupported``, ``vnnlib/element-unsupported``,
            ``vnnlib/no-input``, ``domain/empty``, ``domain/unbounded`` or ``domain/not-finite``.
        LimitError: ``vnnlib/too-many-disjuncts`` or ``vnnlib/too-large``.
    """
    _require_lowerable(query)
    names = [query.spelling(variable) for variable in query.input_variables()]
    region = Region(names, query.source)
    conjuncts = _sort(query, region)
    region.close()
    domain = _expand(conjuncts.inputs, "the input disjunctions", query.source)
    mixed = _expand(conjuncts.mixed, "the disjunctions over inputs and outputs", query.source)
    condition = _expand(conjuncts.outputs, "the output conditions", query.source)
    require_countable(len(domain) * len(mixed), 0, "the input disjunctions", query.source)
    require_countable(len(condition) * len(mixed), 0, "the output conditions", query.source)
    cases = _cases(region, domain, mixed, condition)
    if not cases:
        assert region.empty is not None
        raise region.empty
    return Specification(tuple(map(_signature, query.networks)), tuple(cases), query.version, query.source)


def _sort(query: Query, region: Region) -> _Sorted:
    """Sort the conjuncts by what they mention; plain input constraints go to the region at once."""
    found = _Sorted()
    compiler = Compiler(query)
    for statement in query.statements:
        if isinstance(statement, BoundList):
            region.add_list(statement)
            continue
        tree = compiler.compile(statement)
        for part in tree.parts if isinstance(tree, All) else (tree,):
            kinds = {bool(atom.outputs) for atom in atoms(part)}
            if isinstance(part, HalfSpace) and not part.outputs:
                region.add(part)
            elif kinds == {False}:
                found.inputs.append(part)
            elif kinds == {True, False}:
                found.mixed.append(part)
            else:
                found.outputs.append(part)
    return found


def _expand(trees: list[Tree], what: str, source: str | None) -> list[Conjunction]:
    """The disjunctive normal form of the conjunction of trees."""
    tree = All(tuple(trees))
    require_countable(*size(tree), what, source)
    return normal_form(tree)


def _cases(
    region: Region, domain: list[Conjunction], mixed: list[Conjunction], condition: list[Conjunction]
) -> list[Case]:
    """One case per distinct set of inputs as written, in order of first appearance."""
    split = [_split(disjunct) for disjunct in mixed]
    unsafe: dict[int, tuple[Polytope, Written, dict[int, None]]] = {}
    found, last = None, None
    for part, (k, (rows, _)) in product(domain, enumerate(split)):
        if last != (inputs := (*part, *rows)):  # disjuncts about the same inputs mostly follow each other
            found, last = region.refine(inputs), inputs
        if found is not None:
            unsafe.setdefault(id(found[1]), (*found, {}))[2][k] = None
    conditions: dict[tuple[int, ...], tuple[Conjunction, ...]] = {}
    for *_, chosen in unsafe.values():
        if (key := tuple(chosen)) not in conditions:
            disjuncts = tuple((*split[k][1], *rest) for k in key for rest in condition)
            conditions[key] = ((),) if () in disjuncts else disjuncts
    return [Case(polytope, conditions[tuple(chosen)], written) for polytope, written, chosen in unsafe.values()]


def _split(disjunct: Iterable[HalfSpace]) -> tuple[Conjunction, Conjunction]:
    rows = tuple(disjunct)
    return tuple(row for row in rows if not row.outputs), tuple(row for row in rows if row.outputs)


def _signature(network: Network) -> NetworkSignature:
    return NetworkSignature(
        network.name,
        _declarations(network.inputs),
        _declarations(network.outputs),
        _declarations(network.hidden),
        network.equal_to,
        network.isomorphic_to,
    )


def _declarations(tensors: tuple[Tensor, ...]) -> tuple[Declaration, ...]:
    return tuple(Declaration(tensor.name, tensor.element, tensor.shape) for tensor in tensors if tensor.size)


def _require_lowerable(query: Query) -> None:
    for network in query.networks:
        if not sum(tensor.size for tensor in network.inputs):
            raise InputError(
                "vnnlib/no-input",
                "the property declares no input",
                place=query.place(),
                hint="declare inputs, as in (declare-const X_0 Real)",
            )
        for tensor in network.inputs + network.outputs:
            if tensor.element in OTHER:
                raise InputError(
                    "vnnlib/element-unsupported",
                    f"{tensor.name} is not a tensor of real numbers",
                    place=query.place(tensor.position),
                    value=tensor.element,
                    hint="properties of real, floating-point and integer tensors are supported",
                )
