"""Scope and type rules.

Version 2 follows the standard and, where the standard leaves the typing of numbers to the network theory, the official
parser: a number with a point or an exponent belongs to the floating-point types and ``real``, one without to the
integer types, one with a sign to the signed ones.  Version 1.0 has no type rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eqverify.errors import InputError
from eqverify.frontend.vnnlib.syntax import (
    And,
    BoundList,
    Comparison,
    Formula,
    Literal,
    Network,
    Or,
    Position,
    Query,
    Tensor,
    Term,
    Variable,
    literal,
    spell,
)

MAX_DEPTH = 200
"""Deepest nesting of formulas and terms."""

_FLOAT8 = ("float8e4m3fn", "float8e5m2", "float8e4m3fnuz", "float8e5m2fnuz")
FLOATS = frozenset(("real", "float16", "float32", "float64", "bfloat16", *_FLOAT8, "float4e2m1"))
SIGNED = frozenset(["int8", "int16", "int32", "int64"])
UNSIGNED = frozenset(["uint8", "uint16", "uint32", "uint64"])
OTHER = frozenset(["complex64", "complex128", "bool"])
ELEMENT_TYPES = FLOATS | SIGNED | UNSIGNED | OTHER
"""The element types of version 2."""

_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")


def check(query: Query) -> None:
    """Check the scope and type rules of the query's version.

    Args:
        query: as parsed.

    Raises:
        InputError: the code of the first rule broken; `specs/vnnlib.md` lists them.
    """
    if query.version != "1.0":
        _check_networks(query)
    scope = {tensor.name: tensor for network in query.networks for tensor in network.tensors}
    runs = [statement for statement in query.statements if isinstance(statement, BoundList)]
    if query.version != "1.0":
        _check_runs(query, runs)
    for comparison in _comparisons(query):
        leaves = list(_leaves(query, comparison))
        for leaf in leaves:
            if isinstance(leaf, Variable):
                _check_variable(query, leaf, scope)
        if query.version != "1.0":
            _check_types(query, leaves, scope)


def _error(query: Query, code: str, message: str, position: Position, value: object, hint: str) -> InputError:
    return InputError(code, message, place=query.place(position), value=value, hint=hint)


def _comparisons(query: Query) -> Iterator[Comparison]:
    """The comparisons of all formulas in order, without recursion.

    Raises:
        InputError: ``vnnlib/too-deep``.
    """
    for statement in query.statements:
        if isinstance(statement, BoundList):
            continue
        stack: list[tuple[Formula, int]] = [(statement, 1)]
        while stack:
            formula, depth = stack.pop()
            if isinstance(formula, And | Or):
                if depth > MAX_DEPTH:
                    raise _too_deep(query, _first_position(formula))
                stack += [(part, depth + 1) for part in reversed(formula.parts)]
            else:
                yield formula


def _leaves(query: Query, comparison: Comparison) -> Iterator[Variable | Literal]:
    """The variables and numbers of a comparison in order, without recursion."""
    stack: list[tuple[Term, int]] = [(comparison.right, 1), (comparison.left, 1)]
    while stack:
        term, depth = stack.pop()
        if isinstance(term, Variable | Literal):
            yield term
            continue
        if depth > MAX_DEPTH:
            raise _too_deep(query, comparison.position)
        stack += [(part, depth + 1) for part in reversed(term.terms)]


def _first_position(formula: Formula) -> Position:
    while isinstance(formula, And | Or):
        if not formula.parts:
            return (0, 0)
        formula = formula.parts[0]
    return formula.position


def _too_deep(query: Query, position: Position) -> InputError:
    return _error(
        query,
        "vnnlib/too-deep",
        f"and/or or terms are nested more than {MAX_DEPTH} deep",
        position,
        None,
        "and, or, + and * take any number of arguments: flatten the nesting",
    )


def _check_variable(query: Query, variable: Variable, scope: dict[str, Tensor]) -> None:
    tensor = scope.get(variable.name)
    if query.version == "1.0":
        if tensor is None or not variable.indices:
            raise _error(
                query,
                "vnnlib/name",
                "a variable of version 1.0 must be called X_i (input) or Y_j (output)",
                variable.position,
                spell(variable),
                "number inputs X_0, X_1, ... and outputs Y_0, Y_1, ...",
            )
        if variable.indices[0] < tensor.shape[0]:
            return
        tensor = None
    if tensor is None:
        name = query.spelling(variable)
        hint = "declare every variable, before the assertions"
        raise _error(query, "vnnlib/undeclared", f"{name} is not declared", variable.position, name, hint)
    if len(variable.indices) != len(tensor.shape):
        raise _error(
            query,
            "vnnlib/index-count",
            f"{tensor.name} has {len(tensor.shape)} dimension(s), but the number of indices is {len(variable.indices)}",
            variable.position,
            spell(variable),
            "give one index per dimension, and none for a scalar",
        )
    if any(i >= extent for i, extent in zip(variable.indices, tensor.shape, strict=True)):
        raise _error(
            query,
            "vnnlib/index-bounds",
            f"an index is outside the shape {list(tensor.shape)} of {tensor.name}",
            variable.position,
            spell(variable),
            "indices start at 0",
        )


def _check_types(query: Query, leaves: list[Variable | Literal], scope: dict[str, Tensor]) -> None:
    """One element type per comparison, and numbers that belong to it."""
    first = next((leaf for leaf in leaves if isinstance(leaf, Variable)), None)
    if first is None:
        _check_constant_kinds(query, [leaf for leaf in leaves if isinstance(leaf, Literal)])
        return
    element = scope[first.name].element
    for leaf in leaves:
        if isinstance(leaf, Literal):
            if not _belongs(leaf.decimal, leaf.value < 0, element):
                raise _literal_type(query, leaf, element, spell(first))
        elif scope[leaf.name].element != element:
            raise _error(
                query,
                "vnnlib/type-mismatch",
                f"{spell(first)} is {element}, but {spell(leaf)} is {scope[leaf.name].element}",
                leaf.position,
                spell(leaf),
                "all variables of a comparison must have one element type",
            )


def _check_constant_kinds(query: Query, leaves: list[Literal]) -> None:
    for leaf in leaves:
        if leaf.decimal != leaves[0].decimal:
            raise _literal_type(query, leaf, "real" if leaves[0].decimal else "int64", "the first number")


def _belongs(decimal: bool, negative: bool, element: str) -> bool:
    """Whether a number, written with a point or as an integer, belongs to an element type."""
    if decimal:
        return element in FLOATS
    return element in SIGNED or (element in UNSIGNED and not negative)


def _literal_type(query: Query, leaf: Literal, element: str, because: str) -> InputError:
    hint = f"{because} is {element}: "
    if element in FLOATS:
        hint += "write the number with a decimal point, as in 1.0"
    elif element in SIGNED | UNSIGNED:
        hint += "write an integer without a decimal point" + (" or sign" if element in UNSIGNED else "")
    else:
        hint += "VNN-LIB has no numbers of this type"
    value = float(leaf.value) if leaf.decimal else leaf.value
    return _error(
        query, "vnnlib/number-type", f"a number does not belong to the type {element}", leaf.position, value, hint
    )


def _check_runs(query: Query, runs: list[BoundList]) -> None:
    """The number rule for runs of bounds."""
    only_floats = FLOATS.issuperset(tensor.element for network in query.networks for tensor in network.inputs)
    for run in runs:
        if only_floats and all("." in written for written in run.numbers):
            continue
        elements = [t.element for network in query.networks for t in network.inputs for _ in range(t.size)]
        variables = query.input_variables()
        for flat, written in zip(run.inputs, run.numbers, strict=True):
            decimal = not written.lstrip("-").isdigit()
            if not _belongs(decimal, written.startswith("-"), elements[flat]):
                raise _literal_type(query, _as_literal(written, query, flat), elements[flat], spell(variables[flat]))


def _as_literal(written: str, query: Query, flat: int) -> Literal:
    """The number of a run with its place, which is searched for only now."""
    name = re.escape(spell(query.input_variables()[flat]))
    found = re.search(rf"{name}\s+({re.escape(written)})\b", query.text)
    if found is None:
        return literal(written)
    offset = found.start(1)
    line = query.text.count("\n", 0, offset) + 1
    return literal(written, (line, offset - query.text.rfind("\n", 0, offset)))


def _check_networks(query: Query) -> None:
    names: set[str] = set()
    seen: dict[str, Network] = {}
    for network in query.networks:
        for name, position in [(network.name, network.position), *((t.name, t.position) for t in network.tensors)]:
            if not _NAME.fullmatch(name):
                hint = "names are letters, digits and underscores, beginning with a letter"
                raise _error(query, "vnnlib/name", f"{name} is not a name", position, name, hint)
        if network.name in seen:
            message = f"network {network.name} is declared twice"
            hint = "give every network its own name"
            raise _error(query, "vnnlib/duplicate-network", message, network.position, network.name, hint)
        for tensor in network.tensors:
            _check_tensor(query, tensor, names)
            names.add(tensor.name)
        _check_relative(query, network, seen)
        seen[network.name] = network


def _check_tensor(query: Query, tensor: Tensor, names: set[str]) -> None:
    if tensor.name in names:
        hint = "tensor names must be unique over all networks"
        raise _error(query, "vnnlib/duplicate", f"{tensor.name} is declared twice", tensor.position, tensor.name, hint)
    if tensor.element not in ELEMENT_TYPES:
        hint = "one of " + ", ".join(sorted(ELEMENT_TYPES))
        message = f"{tensor.name} has an unknown element type"
        raise _error(query, "vnnlib/element-type", message, tensor.position, tensor.element, hint)
    if 0 in tensor.shape:
        message = f"{tensor.name} has an extent of 0"
        hint = "extents are positive; a scalar has the shape []"
        raise _error(query, "vnnlib/shape", message, tensor.position, list(tensor.shape), hint)


def _check_relative(query: Query, network: Network, seen: dict[str, Network]) -> None:
    """The restrictions on ``equal-to`` and ``isomorphic-to``."""
    name = network.equal_to or network.isomorphic_to
    if name is None:
        return
    word = "equal-to" if network.equal_to else "isomorphic-to"
    other = seen.get(name)
    if other is None:
        raise _error(
            query,
            "vnnlib/unknown-network",
            f"{word} names {name}, which is not a network declared before {network.name}",
            network.position,
            name,
            "declare the network it refers to first",
        )
    if other.equal_to or other.isomorphic_to:
        raise _error(
            query,
            "vnnlib/equivalence-chain",
            f"{word} names {name}, which is itself equal or isomorphic to another network",
            network.position,
            name,
            f"name {other.equal_to or other.isomorphic_to} instead",
        )
    typed = network.equal_to is not None
    _check_same(query, network, word, network.inputs, other.inputs, typed)
    _check_same(query, network, word, network.outputs, other.outputs, typed)
    nodes = {tensor.node: tensor for tensor in other.hidden}
    for tensor in network.hidden:
        if tensor.node in nodes:
            _check_same(query, network, word, (tensor,), (nodes[tensor.node],), typed)


def _check_same(
    query: Query, network: Network, word: str, mine: tuple[Tensor, ...], theirs: tuple[Tensor, ...], typed: bool
) -> None:
    """Same count, shapes and, where `typed`, element types; names may differ."""
    if len(mine) != len(theirs):
        message = f"{word} needs as many inputs and outputs as the other network has"
        value = f"{len(mine)} and {len(theirs)}"
        hint = "declare the same tensors in the same order"
        raise _error(query, "vnnlib/equivalence-count", message, network.position, value, hint)
    for a, b in zip(mine, theirs, strict=True):
        if a.shape != b.shape:
            message = f"{word} needs equal shapes, but {a.name} and {b.name} differ"
            value, hint = f"{list(a.shape)} and {list(b.shape)}", "declare the same shapes"
            raise _error(query, "vnnlib/equivalence-shape", message, a.position, value, hint)
        if typed and a.element != b.element:
            message = f"{word} needs equal element types, but {a.name} and {b.name} differ"
            value, hint = f"{a.element} and {b.element}", "declare the same types, or use isomorphic-to"
            raise _error(query, "vnnlib/equivalence-type", message, a.position, value, hint)
