"""How far any float32 run of a network can be from it, and what that makes of claims (specs/certificate.md, K-20).

A run adds to each affine node what it rounds there.  So the differences run - network are a network of their own: the
same maps without biases, and in the place of each ReLU a factor s in [0, 1].  Rows on them are pulled back, layer by
layer, and meet what was rounded on the way.  What is rounded in one node is F-1 of specs/runtime.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.checker.numbers import Floats, Numbers
from eqverify.checker.reader import Reader
from eqverify.checker.region import Interval, Pull, Region
from eqverify.checker.replay import Replay, input_bounds
from eqverify.checker.whole import input_of, no_input, outputs_at, require_shown
from eqverify.domain import Case, Domain, HalfSpace, Specification
from eqverify.errors import RejectedError
from eqverify.frontend.onnx import Front
from eqverify.network import Affine, Network, Relu
from eqverify.network.arithmetic import largest_factor, scales
from eqverify.numerals import nearest_float, round_up

MOST_HALVINGS = 8
_NORMAL, _LARGEST = 2.0**-126, float(np.finfo(np.float32).max)
_PRODUCTS = 1 << 33
"""Of rows on differences that are pulled back, about; beyond, differences are carried as intervals."""

Known = Mapping[str, Interval]
"""Bounds of nodes, (parts, n), that are established on the parts of a domain."""


def model_of_runs(front: Front) -> Network:
    """The network node by node as its file says it, of which runs are runs.

    Raises:
        RejectedError: `check/runs` where nothing is known of them.
    """
    own = front.unit_by_unit()
    if own.tail is not None or own.unmodelled or own.network.element != "float32":
        raise RejectedError("check/runs", "how this network is rounded is not known", value=", ".join(own.unmodelled))
    return own.network


def halved(network: Network, domain: Domain, numbers: Floats, halvings: int, known: Known | None = None) -> Region:
    """The parts of a domain, halved so often where they are widest for their part, with bounds of all nodes."""
    lower, upper, part = domain.lower, domain.upper, np.arange(len(domain.lower))
    widths = np.maximum(upper - lower, np.finfo(float).tiny)
    for _ in range(halvings if np.isfinite(widths).all() else 0):
        rows, cut = np.arange(len(lower)), np.argmax((upper - lower) / widths[part], axis=1)
        low, high = lower[rows, cut], upper[rows, cut]
        above, below = lower.copy(), upper.copy()
        above[rows, cut] = below[rows, cut] = np.clip(low / 2 + high / 2, low, high)
        lower, upper = np.concatenate([lower, above]), np.concatenate([below, upper])
        part = np.concatenate([part, part])
    region, void = Region(network, numbers, input_bounds(network, lower, upper)), np.zeros(len(lower), dtype=bool)
    for node in network.nodes:
        told = None if known is None or isinstance(node, Relu) else known[node.name].take(part)
        void |= region.bound(node, told)
    return region if void.all() else region.take(~void)


def output_errors(region: Region) -> FloatArray:
    """(outputs,) bounds on |run - network| on all boxes of a region where the bounds of all nodes hold.

    Raises:
        RejectedError: `check/runs` where runs may leave the range of float32.
    """
    return _finite(Errors.of(region).rows(np.eye(region.network.output_size)))


def row_errors(region: Region, rows: list[HalfSpace]) -> list[Fraction]:
    """The most by which runs change the exact rows' sums over outputs.

    Raises:
        RejectedError: as `output_errors`.
    """
    errors, count = Errors.of(region), region.network.output_size
    near = np.zeros((len(rows), count))
    for number, row in enumerate(rows):
        for j, value in row.outputs.items():
            near[number, j] = nearest_float(value)
    found = list(map(Fraction, _finite(np.hstack([errors.rows(near), errors.rows(np.eye(count))])).tolist()))
    for number, row in enumerate(rows):  # what the nearest floats leave of the coefficients
        for j, value in row.outputs.items():
            found[number] += abs(value - Fraction(float(near[number, j]))) * found[len(rows) + j]
    return found[: len(rows)]


def _finite(errors: FloatArray) -> FloatArray:
    most = errors.max(axis=0, initial=0.0)
    if not np.isfinite(most).all():
        raise RejectedError("check/runs", "numbers of a run may leave the range of float32")
    return np.asarray(most)


def relaxed(case: Case, slack: list[Fraction]) -> Case:
    """A case of which the rows of all disjuncts, in order, are relaxed by so much."""
    left = iter(slack)
    rows = [tuple(replace(row, bound=row.bound + next(left), strict=False) for row in one) for one in case.unsafe]
    return replace(case, unsafe=tuple(rows))


def no_run(network: Network, specification: Specification, numbers: Floats, reader: Reader) -> None:
    """K-20: no run satisfies the property; arguments and errors as of `no_input`, and `check/runs`."""
    halvings, cases = reader.integer(reader.head, "halvings", 0, MOST_HALVINGS), []
    for case, entry in zip(specification.cases, reader.items(reader.head, "cases"), strict=False):
        rows = [row for disjunct in case.unsafe for row in disjunct]
        slack = [Fraction(value) for value in reader.floats(entry, "slack", (len(rows),), 0.0).tolist()]
        region = halved(network, Domain((case.polytope,)), numbers, halvings)
        require_at_most(row_errors(region, rows), slack)
        cases.append(relaxed(case, slack))
    left = specification.cases[len(cases) :]  # of these there is no entry, which is rejected
    no_input(network, replace(specification, cases=(*cases, *left)), numbers, reader)


def run_epsilons(replay: Replay, reader: Reader, fronts: tuple[Front, Front], epsilons: list[float]) -> list[float]:
    """K-20: how far runs of the reduced network are from runs of the original, for each output, which is claimed.

    Args:
        replay: after the steps, about the original as it is normalised.
        reader: the certificate.
        fronts: original and reduced network.
        epsilons: by how much the networks differ, which is established.

    Raises:
        RejectedError: `certificate/...`, `check/runs`.
    """
    entry = reader.field(reader.head, "runs")
    halvings = reader.integer(entry, "halvings", 0, MOST_HALVINGS)
    claimed = reader.floats(entry, "epsilon", (len(epsilons),), 0.0).tolist()
    found = run_errors(replay, fronts, halvings)
    require_at_most([Fraction(e) + off for e, off in zip(epsilons, found, strict=True)], list(map(Fraction, claimed)))
    return list(claimed)


def run_errors(replay: Replay, fronts: tuple[Front, Front], halvings: int) -> list[Fraction]:
    """How far runs of both networks are from them, together, for each output."""
    own = fronts[0].as_stored is fronts[0].network  # else bounds are of other nodes
    known = replay.region.bounds if own else None
    total = [Fraction(0)] * replay.network.output_size
    for front, told in zip(fronts, (known, None), strict=True):
        region = halved(model_of_runs(front), replay.domain, replay.numbers, halvings, told)
        total = [one + Fraction(off) for one, off in zip(total, output_errors(region).tolist(), strict=True)]
    return total


def require_at_most(found: list[Fraction], claimed: list[Fraction]) -> None:
    """Raise unless runs are off by no more than is claimed."""
    for own, most in zip(found, claimed, strict=True):
        if own > most:
            value = f"{round_up(own)!r} > {float(most)!r}"
            raise RejectedError("check/runs", "runs may be off by more than is claimed", value=value)


def every_run(network: Network, specification: Specification, numbers: Floats, reader: Reader) -> None:
    """K-20: at an input of float32 numbers every run satisfies the property; errors as of `one_input`."""
    case, x = input_of(network, specification, reader)
    if any(abs(value) > _LARGEST or Fraction(float(np.float32(float(value)))) != value for value in x):
        raise RejectedError("check/not-in-domain", "no run has this input: it is no float32 number")
    region = outputs_at(network, numbers, x)
    require_shown(region, case, x, output_errors(region))


@dataclass(slots=True, eq=False)
class Errors(Region):
    """The network of differences on a batch of boxes; its bounds are those of differences, on either side of 0.

    Attributes:
        rounded: by affine node, (boxes, n) what a run rounds there, at most.
        shares: by ReLU node, (boxes, n) factor f and rest r: a difference d becomes f d, up to r.
        ranges: by name, the run's values.
        summed: by name, the largest sum of magnitudes of summands on any box.
    """

    rounded: dict[str, FloatArray] = field(default_factory=dict)
    shares: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    ranges: dict[str, Interval] = field(default_factory=dict)
    summed: dict[str, float] = field(default_factory=dict)

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")
    def of(cls, region: Region) -> Errors:
        """Those of a region with bounds of all nodes."""
        given, found = region.network, region.bounds
        nodes = [n if isinstance(n, Relu) else Affine(n.name, n.terms, np.zeros(n.size)) for n in given.plain_nodes]
        errors = cls(Network(given.inputs, tuple(nodes), given.outputs), region.numbers, {})
        for port in given.inputs:
            errors._set(port.name, found[port.name], np.zeros_like(found[port.name].lower))
        for node in given.plain_nodes:
            if isinstance(node, Relu):
                errors._relu(node, found[node.source])
            else:
                errors._affine(node, found[node.name])
        return errors

    def rows(self, rows: FloatArray) -> FloatArray:
        """(boxes, k) bounds on |rows (run - network)| for rows (k, outputs)."""
        pull, start = ErrorPull(self), 0
        for port in self.network.outputs:
            own, start = slice(start, start + port.size), start + port.size
            pull.add(port.source, self.numbers.of(rows[None, :, own]), np.arange(port.size))
        return np.broadcast_to(pull.run(), (self.boxes, len(rows)))

    def _set(self, name: str, values: Interval, size: FloatArray) -> None:
        """Take what a difference is at most in size, where the network has these values."""
        self.bounds[name] = Interval(-size, size)
        lower, upper = np.nextafter(values.lower - size, -np.inf), np.nextafter(values.upper + size, np.inf)
        run = Interval(np.where(size > 0, lower, values.lower), np.where(size > 0, upper, values.upper))
        self.ranges[name] = run
        self.summed.setdefault(name, float(np.maximum(-run.lower, run.upper).max(initial=0.0)))

    def _affine(self, node: Affine, values: Interval) -> None:
        self.rounded[node.name] = rounded = self._rounding(node)
        linear, widest = self.network.by_name[node.name], max(self.network.sizes.values())
        assert isinstance(linear, Affine)
        size = self.numbers.up(self.numbers.of(self.interval(linear).upper), self.numbers.of(rounded))
        if self.network.products * sum(self.network.sizes.values()) <= _PRODUCTS:
            self.bounds[node.name] = Interval(-size, size)  # what rows are on that begin there
            step, pulled = max(1, self.numbers.chunk // (self.boxes * widest)), np.empty_like(size)
            for start in range(0, node.size, step):
                units, pull = np.arange(start, min(node.size, start + step)), ErrorPull(self)
                pull.add(node.name, self.numbers.of(np.eye(node.size)[None, units]), np.arange(node.size))
                pulled[:, units] = pull.run()
            size = np.minimum(size, pulled)
        self._set(node.name, values, size)

    def _rounding(self, node: Affine) -> FloatArray:
        """(boxes, n) what a run rounds in a node (F-1), rounded up; infinite where sums may overflow."""
        numbers, count, summands = self.numbers, 4, 0
        if len(node.terms) == 1 and node.terms[0].map.copies and not node.bias.any():
            self.summed[node.name] = self.summed[node.terms[0].source]
            return np.zeros((self.boxes, node.size))
        total, balance = (numbers.of(np.broadcast_to(b, (self.boxes, node.size))) for b in (abs(node.bias), node.bias))
        for term in node.terms:
            lower, upper = self.ranges[term.source]
            above, below = numbers.of(np.maximum(upper, 0.0)), numbers.of(np.maximum(-lower, 0.0))
            total = total + numbers.forward(term.map, above + below, absolute=True)
            balance = balance + numbers.forward(term.map, above - below)
            count += term.map.fan_in + 4
            summands += min(term.map.fan_in, int(((lower != 0) | (upper != 0)).any(axis=0).sum()))
        gamma = 2 * numbers.gamma(count)
        sums, twice = numbers.up(total, gamma * total), numbers.up(total + np.abs(balance), gamma * total)
        factor, most = largest_factor(node), float(sums.max(initial=0.0))
        if scales(node):
            most = max(most, factor * max(self.summed[source] for source in node.sources))
        self.summed[node.name] = most
        others = len(node.terms) + (16 if scales(node) else 3)
        if not most <= _LARGEST / 4 or summands + others > 2**23:
            return np.full_like(sums, np.inf)
        later = Fraction(summands + others, 2**24 - summands - others)
        peaks = round_up(Fraction(summands, 2**25)), round_up((summands * later + others * (1 + later)) / 2**24)
        share, more = (numbers.of(np.array(one)) for one in peaks)
        product, lost = numbers.of(twice) * share + numbers.of(sums) * more, 4 * (summands + others) * _NORMAL * factor
        return numbers.up(product, numbers.of(np.array(lost * (1 + 2.0**-40))) + 4 * numbers.unit * product)

    def _relu(self, node: Relu, z: Interval) -> None:
        """s d with s in [0, 1]: all of it where both are active, nothing where both are not, else half and the rest."""
        size = self.bounds[node.source].upper
        active, inactive, off = z.lower >= size, z.upper <= 0, z.upper + size <= 0
        over = np.where(inactive, np.minimum(size, np.nextafter(np.maximum(z.upper + size, 0), np.inf)), size)
        rest = np.where(active, 0.0, np.where(inactive, over, size / 2)) + _NORMAL  # a result that is flushed
        factor = np.where(active, 1.0, np.where(inactive, 0.0, 0.5))
        self.shares[node.name] = np.where(off, 0.0, factor), np.where(off, 0.0, np.nextafter(rest, np.inf))
        whole = np.where(off, 0.0, np.nextafter(np.where(active, size, over) + 2 * _NORMAL, np.inf))
        self._set(node.name, Interval(np.maximum(z.lower, 0.0), np.maximum(z.upper, 0.0)), whole)


class ErrorPull(Pull):
    """A pull of rows on differences, which meet what is rounded."""

    region: Errors

    def _affine(self, node: Affine, values: Numbers, columns: IntArray) -> None:
        self._meet(values, self.region.rounded[node.name][:, None, columns])
        super()._affine(node, values, columns)

    def relu(self, node: Relu, values: Numbers, columns: IntArray) -> None:
        """Through a ReLU."""
        numbers = self.region.numbers
        factor, rest = (part[:, None, columns] for part in self.region.shares[node.name])
        self._meet(values, rest)
        pulled, left = numbers.cut(values * numbers.of(factor), self.region.reach(node.source)[columns])
        self.shift(left)
        self.add(node.source, pulled, columns)

    def _meet(self, values: Numbers, most: FloatArray) -> None:
        """Add what these rows make of anything no larger than that, (boxes, 1, n)."""
        numbers = self.region.numbers
        reach = numbers.dot(np.abs(values), numbers.of(most))
        self.shift(reach)
        self.error = self.error + numbers.gamma(most.shape[2] + 2) * reach
