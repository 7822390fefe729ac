"""A reader of VNN-LIB for the hunt: what a property says, in rationals, strict signs included.

Nothing of eqverify is used.  Read is what the hunt writes: both versions, `and`, `or`, comparisons, `+ - *`, several
networks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from .hunt_oracle import Atom, Cell, Form, Function, LeftOutError, box, clipped, fmpq, rational, variable

TOKEN = re.compile(r"[()]|[^\s()]+")
COMPARISONS = ("<=", "<", ">=", ">", "=", "==", "!=")


@dataclass(slots=True)
class Declared:
    name: str
    equal_to: str | None = None
    relation: str = ""
    inputs: int = 0
    outputs: int = 0


@dataclass(slots=True)
class Property:
    """Variables are numbered over all networks: inputs as 0, 1, ..., outputs as -1, -2, ...

    `disjuncts` is the whole query in disjunctive normal form.
    """

    networks: list[Declared] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    disjuncts: list[list[Atom]] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        return sum(network.inputs for network in self.networks)

    def over(self, function: Function) -> list[list[Atom]]:
        """The disjuncts with outputs replaced by the function's forms."""
        return [[Atom(substituted(a.form, function.outputs), a.strict) for a in atoms] for atoms in self.disjuncts]

    def domain(self) -> list[list[Atom]]:
        """Per disjunct, the atoms about inputs alone; equal ones once."""
        found = []
        for atoms in self.disjuncts:
            own = [a for a in atoms if all(v >= 0 for v in a.form.terms)]
            if own not in found:
                found.append(own)
        return found


def substituted(form: Form, outputs: Sequence[Form]) -> Form:
    if all(v >= 0 for v in form.terms):
        return form
    total = Form({v: c for v, c in form.terms.items() if v >= 0}, form.constant)
    for v, c in form.terms.items():
        if v < 0:
            total += outputs[-1 - v].scaled(c)
    return total


def start(atoms: Iterable[Atom], inputs: int) -> tuple[Cell, list[Atom]]:
    """The closed cell of atoms about inputs, and those that are not just its box.

    Raises:
        LeftOutError: an input has no bound.
    """
    limits: list[dict[int, fmpq]] = [{}, {}]  # lower, upper
    others = []
    for atom in atoms:
        if len(atom.form.terms) == 1:
            narrowed(limits, atom.form, limits)
        else:
            others.append(atom)
    missing = [{v for v in range(inputs) if v not in side} for side in limits]
    for _ in range(inputs if any(missing) else 0):  # as for inputs that are linked with bounded ones
        derived: list[dict[int, fmpq]] = [{}, {}]
        for atom in others:
            narrowed(limits, atom.form, derived)
        for side, more, wanted in zip(limits, derived, missing, strict=True):
            side |= {v: end for v, end in more.items() if v in wanted}
    lower, upper = limits
    if len(lower) < inputs or len(upper) < inputs:
        raise LeftOutError("an input without bounds")
    whole = box([lower[v] for v in range(inputs)], [upper[v] for v in range(inputs)])
    return clipped(whole, others, 2 * inputs), others


def narrowed(limits: list[dict[int, fmpq]], form: Form, into: list[dict[int, fmpq]]) -> None:
    """What form <= 0 says about each of its inputs, where the others are within their limits."""
    for v, c in form.terms.items():
        least = form.constant
        for w, d in form.terms.items():
            if w != v:
                end = limits[0 if d > 0 else 1].get(w)
                if end is None:
                    break
                least += d * end
        else:
            side, end = into[1 if c > 0 else 0], -least / c
            side[v] = end if v not in side else (min if c > 0 else max)(side[v], end)


def read_property(text: str) -> Property:
    """Read a query of version 1.0 or 2."""
    found = Property()
    formulas = []
    for statement in parsed(text):
        head = statement[0]
        if head == "declare-const":
            declare_old(found, statement[1])
        elif head == "declare-network":
            declare(found, statement)
        elif head == "assert":
            formulas.append(statement[1])
        elif head != "vnnlib-version":
            raise LeftOutError(head)
    if not found.networks:
        raise LeftOutError("no declaration")
    found.disjuncts = normal(["and", *formulas], found.names)
    return found


def parsed(text: str) -> list[Any]:
    stack: list[list[Any]] = [[]]
    for token in TOKEN.findall(re.sub(r";.*", "", text)):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    return stack[0]


def declare_old(found: Property, name: str) -> None:
    found.networks = found.networks or [Declared("N")]
    kind, index = name.split("_")
    if kind == "X":
        found.names[name] = int(index)
        found.networks[0].inputs = max(found.networks[0].inputs, int(index) + 1)
    else:
        found.names[name] = -1 - int(index)
        found.networks[0].outputs = max(found.networks[0].outputs, int(index) + 1)


def declare(found: Property, statement: list[Any]) -> None:
    network = Declared(statement[1])
    starts = {"declare-input": found.inputs, "declare-output": sum(n.outputs for n in found.networks)}
    for part in statement[2:]:
        if part[0] in ("equal-to", "isomorphic-to"):
            network.relation, network.equal_to = part[0], part[1]
            continue
        shape = [int(extent) for extent in part[-1].strip("[]").split(",") if extent]
        for number, index in enumerate(product(*map(range, shape))):
            key = starts[part[0]] + number
            name = f"{part[1]}[{','.join(map(str, index))}]"
            found.names[name] = key if part[0] == "declare-input" else -1 - key
        starts[part[0]] += prod(shape)
        if part[0] == "declare-input":
            network.inputs += prod(shape)
        else:
            network.outputs += prod(shape)
    found.networks.append(network)


def normal(formula: list[Any], names: dict[str, int]) -> list[list[Atom]]:
    """A formula in disjunctive normal form; comparisons of numbers are decided."""
    head, parts = formula[0], formula[1:]
    if head == "or":
        return [atoms for part in parts for atoms in normal(part, names)]
    if head == "and":
        found: list[list[Atom]] = [[]]
        for part in parts:
            found = [atoms + more for atoms in found for more in normal(part, names)]
        return found
    if head not in COMPARISONS:
        raise LeftOutError(head)
    left, right = (term(part, names) for part in parts)
    below, above = left - right, right - left
    atoms = {
        "<=": [[Atom(below)]],
        "<": [[Atom(below, True)]],
        ">=": [[Atom(above)]],
        ">": [[Atom(above, True)]],
        "=": [[Atom(below), Atom(above)]],
        "==": [[Atom(below), Atom(above)]],
        "!=": [[Atom(below, True)], [Atom(above, True)]],
    }[head]
    if below.terms:
        return atoms
    return [[]] if any(all(holds(atom, atom.form.constant) for atom in conjunct) for conjunct in atoms) else []


def holds(atom: Atom, value: fmpq) -> bool:
    """Whether an atom holds where its form has this value."""
    return value < 0 if atom.strict else value <= 0


def term(text: Any, names: dict[str, int]) -> Form:
    if isinstance(text, str):
        name = text.replace(" ", "")
        return variable(names[name]) if name in names else Form({}, rational(name))
    head, parts = text[0], [term(part, names) for part in text[1:]]
    total = parts[0]
    if head == "-" and len(parts) == 1:
        return total.scaled(rational(-1))
    for part in parts[1:]:
        if head == "+":
            total += part
        elif head == "-":
            total -= part
        elif head == "*" and not (total.terms and part.terms):
            total = part.scaled(total.constant) if part.terms else total.scaled(part.constant)
        else:
            raise LeftOutError(head)
    return total
