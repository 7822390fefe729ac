"""Properties as VNN-LIB text, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm

from eqverify.domain import Case, Conjunction, Declaration, HalfSpace, NetworkSignature, Polytope, Specification
from eqverify.errors import InputError
from eqverify.frontend.vnnlib.resolve import MAX_DIGITS
from eqverify.frontend.vnnlib.scope import FLOATS
from eqverify.frontend.vnnlib.syntax import (
    And,
    BoundList,
    Comparison,
    Difference,
    Formula,
    Literal,
    Network,
    Or,
    Product,
    Query,
    Sum,
    Tensor,
    Term,
    Variable,
    elements,
)
from eqverify.numerals import decimal_places, nearest_float

_OPERATOR = {Sum: "+", Difference: "-", Product: "*"}
_ZERO = Fraction(0)


def write_query(query: Query) -> str:
    """The text of a query, in its version; `parse_query` reads an equal query from it.

    Args:
        query: as parsed, or made in memory by the rules of its version.

    Returns:
        The text, one assertion per line.

    Raises:
        InputError: ``export/not-decimal`` for a number without finite decimal expansion, ``export/not-expressible``
            for what the version cannot say.
    """
    lines = _declarations1(query) if query.version == "1.0" else _declarations2(query)
    variables: list[str] = []
    for statement in query.statements:
        if isinstance(statement, BoundList):
            variables = variables or [query.spelling(variable) for variable in query.input_variables()]
            columns = zip(statement.relations, statement.inputs, statement.numbers, strict=True)
            lines += [f"(assert ({sign}= {variables[i]} {number}))" for sign, i, number in columns]
        else:
            lines.append(f"(assert {_formula(query, statement)})")
    return "\n".join(lines) + "\n"


def _declarations1(query: Query) -> list[str]:
    tensors = [tensor for network in query.networks for tensor in network.tensors]
    if len(query.networks) != 1 or [tensor.name for tensor in tensors] != ["X", "Y"]:
        raise _not_expressible("version 1.0 has one network with an input X and an output Y", query.networks[0].name)
    variables = [query.spelling(variable) for tensor in tensors for variable in elements(tensor)]
    return [f"(declare-const {name} Real)" for name in variables]


def _declarations2(query: Query) -> list[str]:
    lines = [f"(vnnlib-version <{query.version}>)"]
    for network in query.networks:
        lines.append(f"(declare-network {network.name}")
        for word, other in (("equal-to", network.equal_to), ("isomorphic-to", network.isomorphic_to)):
            lines += [f"  ({word} {other})"] if other else []
        for kind, tensors in (("input", network.inputs), ("hidden", network.hidden), ("output", network.outputs)):
            lines += [_declaration2(kind, tensor) for tensor in tensors]
        lines.append(")")
    return lines


def _declaration2(kind: str, tensor: Tensor) -> str:
    node = "" if tensor.node is None else f' "{tensor.node}"'
    return f"  (declare-{kind} {tensor.name} {tensor.element} [{','.join(map(str, tensor.shape))}]{node})"


def _formula(query: Query, formula: Formula) -> str:
    if isinstance(formula, Comparison):
        relation = formula.relation
        if query.version == "1.0":
            if relation == "!=":
                raise _not_expressible("version 1.0 has no !=", relation)
            relation = "=" if relation == "==" else relation
        return f"({relation} {_term(query, formula.left)} {_term(query, formula.right)})"
    if not formula.parts and query.version != "1.0":
        raise _not_expressible("version 2 has no empty and/or", "()")
    word = "and" if isinstance(formula, And) else "or"
    return f"({' '.join([word, *(_formula(query, part) for part in formula.parts)])})"


def _term(query: Query, term: Term) -> str:
    if isinstance(term, Variable):
        return query.spelling(term)
    if isinstance(term, Literal):
        return decimal_text(term.value, term.decimal)
    return f"({' '.join([_OPERATOR[type(term)], *(_term(query, part) for part in term.terms)])})"


def decimal_text(value: Fraction, decimal: bool = True) -> str:
    """A number in decimal, exactly.

    Args:
        value: the number.
        decimal: whether to write a point even for an integer.

    Returns:
        Positional notation, or scientific notation where that would be too long to be read back.

    Raises:
        InputError: ``export/not-decimal``.
    """
    digits = decimal_places(value)
    if digits is None or (digits and not decimal):
        raise _not_decimal(value)
    scaled = value.numerator * 10**digits // value.denominator
    whole = str(abs(scaled)).rjust(digits + 1, "0") if abs(scaled) < 10**4000 else ""
    sign = "-" if value < 0 else ""
    if not decimal:
        text = sign + whole
    elif digits:
        text = f"{sign}{whole[:-digits]}.{whole[-digits:]}"
    else:
        text = f"{sign}{whole}.0"
    if whole and len(text) <= MAX_DIGITS:
        return text
    significant = whole.lstrip("0")
    exponent = len(significant) - 1 - digits
    text = f"{sign}{significant[:1]}.{significant[1:].rstrip('0') or '0'}e{exponent}"
    if not decimal or not whole or len(text) > MAX_DIGITS:
        raise _not_decimal(value)
    return text


def _not_decimal(value: Fraction) -> InputError:
    return InputError(
        "export/not-decimal",
        "a number has no decimal expansion that VNN-LIB can hold",
        value=f"about {nearest_float(value)!r}",
        hint="multiply the constraint by the denominator",
    )


def _not_expressible(message: str, value: str) -> InputError:
    return InputError("export/not-expressible", message, value=value, hint="write version 2.0, or simplify the query")


def format_specification(specification: Specification, version: str | None = None) -> str:
    """A specification as a property file.

    Box bounds and rows are written with the exact decimal expansion of their float64 values, so that reading the file
    gives the same domain bit for bit.  Conditions are exact; where a coefficient has no finite decimal expansion the
    whole row is multiplied by the denominators.

    Args:
        specification: what to write; tensors of integer type must have integer constraints.
        version: ``1.0`` (one network; its inputs are numbered flat) or ``2.0``; by default the specification's own.

    Returns:
        The text.

    Raises:
        InputError: ``export/not-expressible`` for several networks in version 1.0, or ``export/not-decimal``.
    """
    return write_query(query_of(specification, version or specification.version))


def query_of(specification: Specification, version: str) -> Query:
    """The query that `format_specification` writes; same arguments and errors."""
    networks = specification.networks
    if version == "1.0":
        if len(networks) != 1:
            raise _not_expressible("version 1.0 has one network", ", ".join(n.name for n in networks))
        inputs, outputs = specification.input_size, specification.output_size
        declared: tuple[Network, ...] = (
            Network("N", (Tensor("X", "Real", (inputs,)),), (Tensor("Y", "Real", (outputs,)),)),
        )
    else:
        declared = tuple(map(_network2, networks))
    printer = _Printer(declared)
    return Query(version, declared, tuple(printer.statements(specification.cases)))


def _network2(signature: NetworkSignature) -> Network:
    def tensors(declarations: tuple[Declaration, ...]) -> tuple[Tensor, ...]:
        return tuple(Tensor(d.name, "real" if d.element == "Real" else d.element, d.shape) for d in declarations)

    inputs, outputs = tensors(signature.inputs), tensors(signature.outputs)
    return Network(signature.name, inputs, outputs, (), signature.equal_to, signature.isomorphic_to)


class _Printer:
    """Half-spaces and polytopes as formulas over declared tensors."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._inputs = [(v, t.element) for n in networks for t in n.inputs for v in elements(t)]
        self._outputs = [(v, t.element) for n in networks for t in n.outputs for v in elements(t)]

    def statements(self, cases: tuple[Case, ...]) -> list[Formula]:
        """The assertions: domain and condition apart where they are independent, else one disjunction of pairs."""
        first = cases[0]
        if len(cases) == 1:
            return [*self._polytope(first.polytope), *self._condition(first.unsafe)]
        if all(case.unsafe == first.unsafe for case in cases):
            boxes = tuple(And(tuple(self._polytope(case.polytope))) for case in cases)
            return [Or(boxes), *self._condition(first.unsafe)]
        pairs = [And((*self._polytope(case.polytope), *self._condition(case.unsafe))) for case in cases]
        return [Or(tuple(pairs))]

    def _polytope(self, polytope: Polytope) -> list[Formula]:
        box = polytope.box
        formulas: list[Formula] = []
        for (variable, element), low, high in zip(self._inputs, box.lower.tolist(), box.upper.tolist(), strict=True):
            formulas.append(Comparison(">=", variable, _literal(Fraction(low), element)))
            formulas.append(Comparison("<=", variable, _literal(Fraction(high), element)))
        for row, bound in zip(polytope.matrix.tolist(), polytope.bound.tolist(), strict=True):
            coefficients = {i: Fraction(value) for i, value in enumerate(row) if value}
            formulas.append(self._row(HalfSpace(coefficients, {}, Fraction(bound))))
        return formulas

    def _condition(self, unsafe: tuple[Conjunction, ...]) -> list[Formula]:
        """The assertions of a condition; none for a condition that always holds."""
        if len(unsafe) == 1:
            return [self._row(row) for row in unsafe[0]]
        if () in unsafe:
            return []
        if not unsafe:
            return [self._constant(False)]
        return [Or(tuple(And(tuple(map(self._row, conjunction))) for conjunction in unsafe))]

    def _constant(self, value: bool) -> Formula:
        return Comparison("<=", Literal(_ZERO), Literal(Fraction(1 if value else -1)))

    def _row(self, row: HalfSpace) -> Formula:
        """A half-space: as a bound or as a comparison of two variables where it is one."""
        terms = [*_pairs(row.inputs, self._inputs), *_pairs(row.outputs, self._outputs)]
        if not terms:
            return self._constant(row.bound > 0 or (row.bound == 0 and not row.strict))
        at_most = "<" if row.strict else "<="
        at_least = ">" if row.strict else ">="
        values = [coefficient for coefficient, _, _ in terms]
        if len(terms) == 1 and decimal_places(row.bound / values[0]) is not None:
            _, variable, element = terms[0]
            bound = _literal(row.bound / values[0], element)
            return Comparison(at_most if values[0] > 0 else at_least, variable, bound)
        if len(terms) == 2 and not row.bound and sum(values) == 0:
            positive, negative = (0, 1) if values[0] > 0 else (1, 0)
            return Comparison(at_most, terms[positive][1], terms[negative][1])
        factor = Fraction(1)
        if None in map(decimal_places, [*values, row.bound]):
            factor = Fraction(lcm(*(number.denominator for number in [*values, row.bound])))
        products: list[Term] = []
        for coefficient, variable, element in terms:
            scaled = coefficient * factor
            products.append(variable if scaled == 1 else Product((_literal(scaled, element), variable)))
        left = products[0] if len(products) == 1 else Sum(tuple(products))
        return Comparison(at_most, left, _literal(row.bound * factor, terms[0][2]))


def _pairs(
    coefficients: Mapping[int, Fraction], variables: list[tuple[Variable, str]]
) -> list[tuple[Fraction, Variable, str]]:
    return [(value, *variables[i]) for i, value in sorted(coefficients.items())]


def _literal(value: Fraction, element: str) -> Literal:
    return Literal(value, element in FLOATS or element == "Real")
