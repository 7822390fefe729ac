"""What a network computes, as exact affine forms: with known ranges, from the last layers only, on one pattern."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from eqverify.bounds import Interval
from eqverify.equivalence.encoding import Encoder, Form, combine
from eqverify.equivalence.rational import affine_rows
from eqverify.network import Affine, Network, Relu

_ZERO = Fraction(0)


class Forms(Encoder):
    """Forms of a network's outputs; a unit whose sign is known is linear.

    Args:
        lower: exact lower bounds of the inputs.
        upper: exact upper bounds.
        tick: called often; raises to stop.
        ranges: proved intervals (1, n) of nodes.
        late: where given, only so many ReLU nodes, the last, are looked into: what comes before is anything within its
            range, so that the forms describe more than the network does.  Signs then follow from exact intervals only:
            a unit that floats show to be active would no longer say that its pre-activation is not negative.
    """

    def __init__(
        self,
        lower: Sequence[Fraction],
        upper: Sequence[Fraction],
        tick: Callable[[], None],
        ranges: Mapping[str, Interval],
        late: int | None = None,
    ) -> None:
        super().__init__(lower, upper, tick)
        self.ranges, self.late = ranges, late

    def outputs(self, network: Network) -> list[Form]:
        """As `Encoder.outputs`."""
        relus = [relu.name for relu in network.relus]
        early = set() if self.late is None else set(relus[: max(0, len(relus) - self.late)])
        needed = _needed(network, early)
        values: dict[str, list[Form]] = {}
        start = 0
        for port in network.inputs:
            values[port.name] = self.inputs[start : start + port.size]
            start += port.size
        for node in network.nodes:
            if node.name not in needed:
                continue
            if node.name in early:
                values[node.name] = [self._anything(node.sources[0], k) for k in range(network.sizes[node.name])]
            elif isinstance(node, Relu):
                values[node.name] = [self.unit(node, k, form) for k, form in enumerate(values[node.source])]
            else:
                values[node.name] = self._affine(node, values)
        return [form for port in network.outputs for form in values[port.source]]

    def _affine(self, node: Affine, values: Mapping[str, list[Form]]) -> list[Form]:
        forms = []
        for row, constant in affine_rows(node):
            self._tick()
            forms.append(combine([(c, values[source][i]) for (source, i), c in row.items()], constant))
        return forms

    def unit(self, relu: Relu, unit: int, form: Form) -> Form:
        """A ReLU's output, given its pre-activation."""
        if self.late is not None:
            return self._plain(form)
        z = self.ranges.get(relu.source)
        if z is not None and z.upper[0, unit] <= 0:
            return Form({}, _ZERO)
        return form if z is not None and z.lower[0, unit] >= 0 else self.relu(form)

    def _plain(self, form: Form) -> Form:
        """max(0, form) as a variable of its own: intervals then know that it is not negative."""
        low, high = self.interval(form)
        if high <= 0:
            return Form({}, _ZERO)
        return form if low >= 0 else Form({self._variable(_ZERO, high): Fraction(1)}, _ZERO)

    def _anything(self, source: str, unit: int) -> Form:
        """A ReLU's output of which nothing but the range is known."""
        z = self.ranges[source]
        low, high = (max(Fraction(float(end[0, unit])), _ZERO) for end in (z.lower, z.upper))
        return Form({}, low) if low == high else Form({self._variable(low, high): Fraction(1)}, _ZERO)


class PatternForms(Forms):
    """Forms on the linear region around a point.

    Args:
        lower: exact lower bounds of the inputs; where they are those of `upper`, the number is taken.
        upper: exact upper bounds.
        tick: called often; raises to stop.
        point: value of each input that has a range.

    Attributes:
        positive: the pre-activations that are not negative on the region.
        negative: those that are not positive.
    """

    def __init__(
        self, lower: Sequence[Fraction], upper: Sequence[Fraction], tick: Callable[[], None], point: Sequence[Fraction]
    ) -> None:
        super().__init__(lower, upper, tick, {})
        ranged = zip(lower, upper, point, strict=True)
        self.values = [value for low, high, value in ranged if low != high]
        self.positive: list[Form] = []
        self.negative: list[Form] = []

    def unit(self, relu: Relu, unit: int, form: Form) -> Form:
        """As `Forms.unit`: the sign is that at the point."""
        if value_of(form, self.values) > 0:
            self.positive.append(form)
            return form
        self.negative.append(form)
        return Form({}, _ZERO)


def value_of(form: Form, values: Sequence[Fraction]) -> Fraction:
    """The value of a form, given those of the variables."""
    return sum((c * values[v] for v, c in form.coefficients.items()), form.constant)


def _needed(network: Network, early: set[str]) -> set[str]:
    """The nodes that the outputs read, directly or not, without what comes before `early` ones."""
    needed = {port.source for port in network.outputs}
    for node in reversed(network.nodes):
        if node.name in needed and node.name not in early:
            needed |= set(node.sources)
    return needed
