"""What a network computes, as exact affine forms: with known ranges, from the last layers only, on one pattern."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from eqverify.bounds import Interval
from eqverify.equivalence.encoding import ZERO, Encoder, Form, nodes_read
from eqverify.network import Network, Relu


class Forms(Encoder):
    """Forms of a network's outputs; a unit whose sign is known is linear.

    Args:
        lower: exact lower bounds of the inputs.
        upper: exact upper bounds.
        tick: called often; raises to stop.
        ranges: proved intervals (1, n) of nodes; finite where `late` leaves nothing else.
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

    def ends(self, network: Network) -> dict[str, list[Form]]:
        """All ReLU nodes but the last few, where only those are to be looked into."""
        relus = network.relus
        early = {} if self.late is None else {r.name: r.source for r in relus[: max(0, len(relus) - self.late)]}
        read = {port.source for port in network.outputs}.union(*(n.sources for n in nodes_read(network, early)))
        return {
            name: [self._anything(source, k) for k in range(network.sizes[name])]
            for name, source in early.items()
            if name in read
        }

    def unit(self, relu: Relu, unit: int, form: Form) -> Form:
        """As `Encoder.unit`, with the signs that the ranges know."""
        if self.late is not None:
            return self._plain(form)
        z = self.ranges.get(relu.source)
        if z is not None and z.upper[0, unit] <= 0:
            return Form({}, ZERO)
        return form if z is not None and z.lower[0, unit] >= 0 else self.relu(form)

    def _plain(self, form: Form) -> Form:
        """max(0, form) as a variable of its own: intervals then know that it is not negative."""
        low, high = self.interval(form)
        if high <= 0:
            return Form({}, ZERO)
        return form if low >= 0 else Form({self.variable(ZERO, high): Fraction(1)}, ZERO)

    def _anything(self, source: str, unit: int) -> Form:
        """A ReLU's output of which nothing but the range is known."""
        z = self.ranges[source]
        low, high = (Fraction(max(float(end[0, unit]), 0.0)) for end in (z.lower, z.upper))
        return Form({}, low) if low == high else Form({self.variable(low, high): Fraction(1)}, ZERO)


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
        return Form({}, ZERO)


def value_of(form: Form, values: Sequence[Fraction]) -> Fraction:
    """The value of a form, given those of the variables."""
    return sum((c * values[v] for v, c in form.coefficients.items()), form.constant)
