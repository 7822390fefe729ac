"""Networks over one polytope as affine forms of inputs and unstable ReLUs, in exact rational arithmetic.

A ReLU that exact interval arithmetic proves stable is linear and disappears by substitution.  ReLUs whose
pre-activations are multiples of each other share one variable,
relu(s c) = s relu(c) and relu(-s c) = s (relu(c) - c) for s > 0, also across networks: what two networks have in common
is written once and cancels in their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from eqverify.domain import Polytope
from eqverify.equivalence.rational import affine_rows, exact_vector
from eqverify.network import Network, PlainNode, Relu

ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class Form:
    """The affine form  sum_v coefficients[v] * variable v + constant;  no zero coefficients."""

    coefficients: dict[int, Fraction]
    constant: Fraction


@dataclass(frozen=True, slots=True)
class UnstableRelu:
    """The constraint  variable = max(0, form)  with proved bounds lower < 0 < upper of the form."""

    variable: int
    form: Form
    lower: Fraction
    upper: Fraction


class Encoder:
    """Collects variables and ReLU constraints over one box.

    Args:
        lower: exact lower bounds of the inputs.
        upper: exact upper bounds, none below `lower`.
        tick: called for each affine unit and ReLU; raises to stop.

    Attributes:
        bounds: interval of each variable; inputs of positive width first, then ReLU outputs.
        inputs: the input components as forms; constants where the width is zero.
        relus: the unstable ReLUs, in topological order.
    """

    def __init__(self, lower: Sequence[Fraction], upper: Sequence[Fraction], tick: Callable[[], None]) -> None:
        self.bounds: list[tuple[Fraction, Fraction]] = []
        self.inputs: list[Form] = []
        self.relus: list[UnstableRelu] = []
        self._tick = tick
        self._known: dict[tuple[frozenset[tuple[int, Fraction]], Fraction], int] = {}
        for low, high in zip(lower, upper, strict=True):
            if low == high:
                self.inputs.append(Form({}, low))
            else:
                self.inputs.append(Form({self.variable(low, high): Fraction(1)}, ZERO))

    def variable(self, lower: Fraction, upper: Fraction) -> int:
        """A new variable with these bounds; its number."""
        self.bounds.append((lower, upper))
        return len(self.bounds) - 1

    def outputs(self, network: Network) -> list[Form]:
        """The flat outputs of a network on these inputs; adds the unstable ReLUs that they depend on."""
        ends = self.ends(network)
        values, start = dict(ends), 0
        for port in network.inputs:
            values[port.name] = self.inputs[start : start + port.size]
            start += port.size
        for node in nodes_read(network, ends):
            if isinstance(node, Relu):
                values[node.name] = [self.unit(node, k, form) for k, form in enumerate(values[node.source])]
                continue
            forms = []
            for row, constant in affine_rows(node):
                self._tick()
                forms.append(combine([(c, values[source][i]) for (source, i), c in row.items()], constant))
            values[node.name] = forms
        return [form for port in network.outputs for form in values[port.source]]

    def ends(self, network: Network) -> dict[str, list[Form]]:
        """Forms of nodes behind which nothing is looked at, by name; here there are none."""
        return {}

    def unit(self, relu: Relu, unit: int, form: Form) -> Form:
        """A ReLU's output, given its pre-activation."""
        return self.relu(form)

    def interval(self, form: Form) -> tuple[Fraction, Fraction]:
        """Exact bounds of a form over the variables' intervals."""
        low = high = form.constant
        for variable, coefficient in form.coefficients.items():
            ends = [coefficient * end for end in self.bounds[variable]]
            low, high = low + min(ends), high + max(ends)
        return low, high

    def relu(self, form: Form) -> Form:
        """max(0, form): linear if its sign is proved, else by a shared or new variable."""
        self._tick()
        low, high = self.interval(form)
        if high <= 0:
            return Form({}, ZERO)
        if low >= 0:
            return form
        lead = form.coefficients[min(form.coefficients)]
        direction = combine([(1 / lead, form)])
        size = Form({self._relu_variable(direction): abs(lead)}, ZERO)
        return size if lead > 0 else combine([(Fraction(1), size), (lead, direction)])

    def _relu_variable(self, form: Form) -> int:
        key = frozenset(form.coefficients.items()), form.constant
        if key not in self._known:
            low, high = self.interval(form)
            self._known[key] = self.variable(ZERO, high)
            self.relus.append(UnstableRelu(self._known[key], form, low, high))
        return self._known[key]


def nodes_read(network: Network, ends: Collection[str]) -> list[PlainNode]:
    """The nodes that the outputs read, directly or not, without `ends` and what only these read; in order."""
    found, needed = [], {port.source for port in network.outputs}
    for node in reversed(network.plain_nodes):
        if node.name in needed and node.name not in ends:
            found.append(node)
            needed |= set(node.sources)
    return found[::-1]


def combine(summands: Sequence[tuple[Fraction, Form]], constant: Fraction = ZERO) -> Form:
    """The linear combination  sum_k factor_k * form_k + constant,  without zero coefficients."""
    total: dict[int, Fraction] = {}
    for factor, form in summands:
        constant += factor * form.constant
        for variable, coefficient in form.coefficients.items():
            total[variable] = total.get(variable, ZERO) + factor * coefficient
    return Form({variable: c for variable, c in total.items() if c}, constant)


def lies_in(part: Polytope, x: Sequence[Fraction]) -> bool:
    """Whether an exact input (input_size,) belongs to a part of the domain."""
    ends = zip(part.box.lower.tolist(), x, part.box.upper.tolist(), strict=True)
    if not all(low <= value <= high for low, value, high in ends):
        return False
    for row, limit in zip(part.matrix.tolist(), part.bound.tolist(), strict=True):
        if sum((c * v for c, v in zip(exact_vector(row), x, strict=True)), ZERO) > limit:
            return False
    return True
